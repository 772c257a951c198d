"""The control socket takes a request by its word: what is not exactly right is refused, and nothing sent."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from engine import config as configuration
from engine.model.errors import UsageError
from engine.supervisor.engine import Engine
from engine.supervisor.questions import QUESTIONS, checked
from engine.telemetry.log import EventLog

ROOT = Path(__file__).resolve().parents[3]
PLACE = {"exchange": "okx", "pair": "BTC/USDT", "side": "buy", "qty": "0.001", "price": "70000"}
AMEND = {"exchange": "okx", "pair": "BTC/USDT", "id": "te1", "price": "1"}
CANCEL = {"exchange": "okx", "pair": "BTC/USDT", "id": "te1"}
IMPACT = {"symbol": "BTC/USDT", "side": "buy", "base": "1"}


class Untouched:
    """Stands for the trading desks: whoever looks at them has gone too far."""

    def __iter__(self) -> Any:
        raise AssertionError("a request that was not understood reached a desk")


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("place", {**PLACE, "side": "sideways"}, r"\$\.side"),
        ("place", {**PLACE, "side": "BUY"}, r"\$\.side"),
        ("place", {**PLACE, "side": None}, r"\$\.side"),
        ("place", {**PLACE, "exchange": None}, r"\$\.exchange"),
        ("place", {key: PLACE[key] for key in PLACE if key != "exchange"}, "exchange"),
        ("place", {**PLACE, "qty": 0.001}, r"\$\.qty"),
        ("place", {**PLACE, "price": 70000}, r"\$\.price"),
        ("place", {**PLACE, "time_in_force": "gtx"}, r"\$\.time_in_force"),
        ("place", {**PLACE, "post_only": "no"}, r"\$\.post_only"),
        ("place", {**PLACE, "reduceOnly": True}, "reduceOnly"),
        ("place", {**PLACE, "transport": "smoke"}, r"\$\.transport"),
        ("place", {}, "exchange"),
        ("amend", {**AMEND, "id": None}, r"\$\.id"),
        ("amend", {**AMEND, "qty": 1}, r"\$\.qty"),
        ("cancel", {**CANCEL, "all": True}, "either"),
        ("cancel", {**CANCEL, "id": None}, "either"),
        ("cancel", {**CANCEL, "id": None, "all": "yes"}, r"\$\.all"),
        ("impact", {**IMPACT, "side": "hold"}, r"\$\.side"),
        ("impact", {"side": "buy", "base": "1"}, "symbol"),
        ("quotes", {"symbols": 5}, r"\$\.symbols"),
        ("quotes", {"symbols": "BTC/USDT"}, r"\$\.symbols"),
        ("quotes", {"exchange": ["okx"]}, r"\$\.exchange"),
        ("book", {"symbol": "BTC/USDT", "depth": "x"}, r"\$\.depth"),
        ("book", {"symbol": "BTC/USDT", "depth": -1}, r"\$\.depth"),
        ("funding", {"history": "x"}, r"\$\.history"),
        ("status", {"orders": "all"}, r"\$\.orders"),
    ],
)  # fmt: skip
async def test_what_is_not_understood_is_refused(command: str, arguments: dict[str, Any], said: str) -> None:
    config = configuration.load(ROOT / "engine.toml")
    engine = Engine(config, EventLog("error", "json", io.StringIO()), with_control=False)
    engine.desks = Untouched()  # type: ignore[assignment]
    with pytest.raises(UsageError, match=said) as caught:
        await engine.handle(command, arguments)
    assert str(caught.value).startswith(f"{command}: ")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("place", PLACE), ("amend", AMEND), ("cancel", CANCEL), ("impact", IMPACT),
        ("cancel", {"exchange": "okx", "pair": "BTC/USDT", "all": True, "id": None, "transport": None}),
        ("quotes", {}), ("book", {"symbol": "BTC/USDT"}), ("funding", {}), ("status", {}),
    ],
)  # fmt: skip
def test_what_is_right_is_passed_on(command: str, arguments: dict[str, Any]) -> None:
    found = checked(command, arguments)
    assert {key: found[key] for key in arguments} == arguments
    assert set(found) == set(QUESTIONS[command].__struct_fields__)
