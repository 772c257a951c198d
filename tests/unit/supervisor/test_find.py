"""Which venue product serves a symbol, and what a person is told when none does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from engine import config as configuration
from engine.model.errors import InstrumentUnknown, UsageError, VenueNotUp
from engine.supervisor.engine import Engine
from engine.telemetry.log import EventLog

ROOT = Path(__file__).resolve().parents[3]


class Product:
    """As much of a venue product as the search looks at."""

    def __init__(self, name: str, word: str, listed: tuple[str, ...] | None, error: str = "") -> None:
        self.venue, self.error = name, error
        self.product = type("Word", (), {"value": word})()
        self.state = "up" if listed is not None else "down" if error else "starting"
        self.instruments = dict.fromkeys(listed or ())
        self.is_listed = type("Event", (), {"is_set": lambda _: listed is not None})()

    def quote_rows(self, symbols: tuple[str, ...]) -> list[dict[str, Any]]:
        return [{"venue": self.venue, "pair": each} for each in symbols if each in self.instruments]


@pytest.fixture
def engine() -> Engine:
    config = configuration.load(ROOT / "engine.toml")
    made = Engine(config, EventLog("error", "json", io.StringIO()), with_control=False)
    products: list[Any] = [
        Product("binance", "spot", None, "cannot connect: refused"),
        Product("okx", "spot", ("BTC/USDT", "ETH/USDT")),
        Product("okx", "perp", None),
    ]
    made.venues = products
    return made


def test_whoever_is_up_serves(engine: Engine) -> None:
    assert engine.find("BTC/USDT").venue == "okx"


@pytest.mark.parametrize("symbol", ["btc/usdt", "BTCUSDT", "BTC/USD", "BTC-USDT"])
def test_a_symbol_written_otherwise_is_guessed(engine: Engine, symbol: str) -> None:
    with pytest.raises(InstrumentUnknown, match=r"^no enabled venue serves .*; did you mean BTC/USDT"):
        engine.find(symbol)
    with pytest.raises(InstrumentUnknown, match=r"^okx does not serve .*; did you mean BTC/USDT"):
        engine.find(symbol, "okx")


def test_a_venue_that_is_down_is_not_said_to_lack_the_symbol(engine: Engine) -> None:
    with pytest.raises(VenueNotUp, match=r"^binance spot is down: cannot connect: refused$"):
        engine.find("BTC/USDT", "binance")
    with pytest.raises(VenueNotUp, match=r"^okx perp is starting: its listing has not come yet$"):
        engine.find("BTC/USDT:USDT")
    with pytest.raises(UsageError, match="no enabled venue 'kraken'; enabled: binance, okx"):
        engine.find("BTC/USDT", "kraken")


async def test_quotes_answer_for_whoever_is_up_and_name_the_others(engine: Engine) -> None:
    answer = await engine.handle("quotes", {"symbols": ["BTC/USDT"]})
    assert answer["quotes"] == [{"venue": "okx", "pair": "BTC/USDT"}]
    assert [each["venue"] for each in answer["errors"]] == ["binance"]
    alone = await engine.handle("quotes", {"symbols": ["BTC/USDT"], "exchange": "binance"})
    assert alone["quotes"] == []
    assert alone["errors"] == [{"venue": "binance", "product": "spot", "error": "cannot connect: refused"}]


def test_what_is_configured_but_not_listed_is_told_as_such(engine: Engine) -> None:
    with pytest.raises(
        InstrumentUnknown, match=r"^okx does not list SOL/USDT, though the configuration names it$"
    ):
        engine.find("SOL/USDT", "okx")
