"""How long a one-shot command waits for its venues, and what it says meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.cli import waiting
from engine.model.instrument import Product


class Venue:
    """As much of a venue product as the wait looks at."""

    def __init__(self, name: str, *, is_whole: bool = False, error: str = "") -> None:
        self.venue, self.product, self.is_whole, self.error = name, Product.SPOT, is_whole, error


class Some:
    """An engine of a few venues."""

    def __init__(self, *venues: Venue) -> None:
        self.venues: Any = list(venues)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("SILENT_S", 0.02), ("DOWN_S", 0.2), ("PARTIAL_S", 0.6), ("PATIENCE_S", 2.0)):
        monkeypatch.setattr(waiting, name, seconds)


async def waited(*venues: Venue, is_quiet: bool = False) -> float:
    engine: Any = Some(*venues)
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(20):
        await waiting.wait_for_books(engine, is_quiet=is_quiet)
    return asyncio.get_running_loop().time() - began


async def test_nothing_is_waited_for_when_all_is_there() -> None:
    assert await waited(Venue("okx", is_whole=True)) < 0.2


async def test_what_has_failed_is_given_up_first_then_what_only_others_have_then_all() -> None:
    failed, silent, up = Venue("okx", error="refused"), Venue("bybit"), Venue("binance", is_whole=True)
    down = await waited(failed)
    assert 0.2 <= down < 0.6
    assert 0.2 <= await waited(failed, up) < 0.6
    assert 0.6 <= await waited(failed, silent, up) < 2.0
    assert await waited(failed, silent) >= 2.0


async def test_a_venue_that_comes_up_ends_the_wait() -> None:
    late = Venue("okx", error="refused once")
    task = asyncio.ensure_future(waited(late))
    await asyncio.sleep(0)
    late.is_whole, late.error = True, ""
    assert await task < 0.2


async def test_who_is_waited_for_is_told_once_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    await waited(Venue("okx", error="HTTP 503 for the listing"), Venue("binance", is_whole=True))
    captured = capsys.readouterr()
    assert captured.err == "waiting for okx spot (HTTP 503 for the listing) ...\n"
    assert captured.out == ""
    await waited(Venue("okx", error="HTTP 503 for the listing"), is_quiet=True)
    assert capsys.readouterr() == ("", "")


async def test_a_running_engine_that_is_slow_to_answer_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    answered = asyncio.Event()

    async def slow() -> str:
        await answered.wait()
        return "done"

    task = asyncio.ensure_future(waiting.with_a_word(slow(), is_quiet=False))
    told = ""
    async with asyncio.timeout(20):
        while not told:
            await asyncio.sleep(0.005)
            told = capsys.readouterr().err
    assert told == "waiting for the running engine to answer ...\n"
    answered.set()
    assert await task == "done"


async def test_what_is_answered_at_once_is_not_commented(capsys: pytest.CaptureFixture[str]) -> None:
    async def quick() -> int:
        return 7

    assert await waiting.with_a_word(quick(), is_quiet=False) == 7
    assert capsys.readouterr() == ("", "")
