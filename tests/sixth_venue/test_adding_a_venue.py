"""The walk in engine/venues/ADDING.md shows what the files say, and names every place that a venue has."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from engine.config import VENUES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "tests/sixth_venue"
TEXT = (ROOT / "engine" / "venues" / "ADDING.md").read_text()
BLOCKS = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PLACES = re.findall(r"^\| `([^`]+)` \|", TEXT.partition("## Every place that a venue has")[2], re.MULTILINE)
OWN_FOLDER = re.compile(f"engine/(venues|sim)/({'|'.join(VENUES)})/")
NAMED_ELSEWHERE = {
    "engine/sim/__main__.py": "an example of a command",
    "engine/cli/parser.py": "an example of a command",
    "engine/model/market.py": "the source of a sequence rule",
    "engine/sim/faults.py": "who has a fault that few venues have",
    "engine/sim/model.py": "why an order may end in a certain way",
    "config/engine-testnet.toml": "only venues with a test network",
}
"""Files that name a venue and are no place to be filled in for the next one."""


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def tracked(*patterns: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    files = done.stdout.split()
    assert files, "the tree is looked through by way of git"
    return files


@pytest.mark.parametrize(("file", "block"), BLOCKS, ids=[file for file, _ in BLOCKS])
def test_every_block_is_cut_out_of_its_file(file: str, block: str) -> None:
    """Line breaks apart: the formatter indents and breaks the blocks of a page as it likes."""
    assert len(block.strip()) > 40
    assert squeezed(block) in squeezed((ROOT / file).read_text())


def test_every_file_of_the_sixth_venue_is_shown() -> None:
    shown = {Path(file).name for file, _ in BLOCKS}
    files = {path.name for path in (ROOT / FOLDER).iterdir() if path.suffix in (".py", ".toml")}
    assert files - {"test_adding_a_venue.py"} == shown


def test_all_code_is_compared() -> None:
    assert TEXT.count("```") == 2 * len(BLOCKS), "a block without a file would rot"
    assert len(BLOCKS) > 15


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("place", PLACES)
def test_every_venue_is_in_every_place(place: str, venue: str) -> None:
    path = ROOT / place.replace("<venue>", venue)
    assert path.exists()
    if "<venue>" not in place:
        assert re.search(rf"\b{venue}", path.read_text(), re.IGNORECASE)


@pytest.mark.parametrize("venue", VENUES)
def test_no_place_is_forgotten(venue: str) -> None:
    named = {
        file
        for file in tracked("engine/*.py", "config/*.toml", "engine.toml", "env.example")
        if not OWN_FOLDER.match(file) and re.search(rf"\b{venue}\b", _code(file), re.IGNORECASE)
    }
    assert named <= set(PLACES) | set(NAMED_ELSEWHERE)


def _code(file: str) -> str:
    """Return a file's text; in the engine's own modules only what stands in quotes names a venue."""
    text = (ROOT / file).read_text()
    if not file.endswith(".py") or file in PLACES:
        return text
    return "\n".join(re.findall(r"[\"']\w+[\"']", text))
