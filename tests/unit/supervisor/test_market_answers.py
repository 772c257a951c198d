"""``symbols`` and ``trades``: found by any of their names, exact, and shown to people and machines."""

from __future__ import annotations

import argparse
import io
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from rich.console import Console
from rich.table import Table

from engine import config as configuration
from engine.cli import public
from engine.model.errors import InstrumentUnknown, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.market import Side, Trade
from engine.supervisor import wiring
from engine.supervisor.market_answers import symbols_answer, trades_answer
from engine.supervisor.venue import VenueProduct
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.transport.reconnect import ConnectionBudgets
from engine.venues.base import Endpoints

ROOT = Path(__file__).resolve().parents[3]
SECOND = 1_000_000_000
BTC = "BTC/USDT:USDT"


def product(venue: str, served: tuple[str, ...] = (BTC,)) -> VenueProduct:
    """Return a venue's perpetuals with its sample listing, of which some are served; nothing is connected."""
    clock = SystemClock()
    adapter = wiring.replay_adapter(venue, Product.PERP)
    made = VenueProduct(
        adapter, Endpoints("http://127.0.0.1:9", "ws://127.0.0.1:9"), served,
        configuration.load(ROOT / "engine.toml"), clock=clock, log=EventLog("error", "json", io.StringIO()),
        tls=None, generator=random.Random(7), first_book_id=1, connects=ConnectionBudgets(clock),
    )  # fmt: skip
    word = "exchange_info" if venue == "binance" else "instruments"
    body = (ROOT / "tests" / "golden" / venue / f"http_{word}_perp.json").read_bytes()
    made._take_listing(adapter.decode_instruments(body))
    made._state = "up"
    made.is_listed.set()
    return made


@pytest_asyncio.fixture
async def venues() -> list[VenueProduct]:
    return [product("binance"), product("bybit")]


async def asked(venues: list[VenueProduct], query: str = "", **more: Any) -> list[tuple[str, str]]:
    answer = await symbols_answer(venues, {"query": query, **more})
    return [(row["venue"], row["symbol"]) for row in answer["symbols"]]


@pytest.mark.parametrize("query", ["1000SHIB/USDT:USDT", "1000shib", "SHIB", "shib"])
async def test_one_unit_is_found_under_every_venues_name(venues: list[VenueProduct], query: str) -> None:
    found = await asked(venues, query)
    assert found == [("binance", "1000SHIBUSDT"), ("bybit", "SHIB1000USDT")]


@pytest.mark.parametrize("query", ["SHIB1000USDT", "shib1000"])
async def test_a_venues_own_name_is_found(venues: list[VenueProduct], query: str) -> None:
    assert await asked(venues, query) == [("bybit", "SHIB1000USDT")]


async def test_parts_and_slips_are_found(venues: list[VenueProduct]) -> None:
    assert ("bybit", "1000PEPEUSDT") in await asked(venues, "PEP")
    answer = await symbols_answer(venues, {"query": "BTC/UDST:USDT"})
    assert answer["is_near"]
    assert BTC in {row["pair"] for row in answer["symbols"]}
    with pytest.raises(InstrumentUnknown, match="QQQQ"):
        await symbols_answer(venues, {"query": "QQQQ"})
    with pytest.raises(UsageError, match="binance, bybit"):
        await symbols_answer(venues, {"exchange": "okx"})


async def test_everything_is_listed_and_what_is_served_is_marked(venues: list[VenueProduct]) -> None:
    rows = (await symbols_answer(venues, {}))["symbols"]
    assert len(rows) == sum(len(venue.known) for venue in venues)
    assert [row["pair"] for row in rows] == sorted(row["pair"] for row in rows)
    assert {row["pair"] for row in rows if row["is_served"]} == {BTC}


async def test_rows_are_exact(venues: list[VenueProduct]) -> None:
    (row,) = (await symbols_answer(venues, {"query": "SHIB1000USDT"}))["symbols"]
    each: Instrument = venues[1].known["SHIB1000USDT"]
    assert Decimal(row["tick_size"]) == each.price(each.tick_size)
    assert Decimal(row["lot_size"]) == each.qty(each.lot_size)
    assert Decimal(row["qty_min"]) == each.qty(each.qty_min)
    assert Decimal(row["notional_min"]) == each.notional_min
    assert (row["multiplier"], row["contract_size"], row["status"]) == (1_000, "1", "trading")
    assert json.loads(msgspec.json.encode(row)) == row


def feed(venue: VenueProduct, *prints: tuple[int, float, int]) -> None:
    for number, second, price in prints:
        venue.prints.on_trade(
            Trade(BTC, number, price * 10**8, 5 * 10**6, Side(number % 2), int(second * SECOND), 0, 0)
        )


async def test_prints_of_all_venues_are_in_the_order_of_their_times(venues: list[VenueProduct]) -> None:
    feed(venues[0], (1, 1.0, 100), (2, 3.0, 101))
    feed(venues[1], (9, 2.0, 102))
    rows = (await trades_answer(venues, {"symbol": BTC, "count": 2}))["trades"]
    assert [(row["venue"], row["price"], row["side"]) for row in rows] == [
        ("bybit", "102", "sell"),
        ("binance", "101", "buy"),
    ]
    assert rows[0]["time"] == "1970-01-01T00:00:02.000Z"
    only = (await trades_answer(venues, {"symbol": BTC, "count": 2, "exchange": "binance"}))["trades"]
    assert [row["trade_id"] for row in only] == [1, 2]


async def test_candles_are_per_venue(venues: list[VenueProduct]) -> None:
    feed(venues[0], *[(number, number / 2, 100 + number) for number in range(1, 20)])
    rows = (await trades_answer(venues, {"symbol": BTC, "count": 3, "candles": "1s"}))["candles"]
    assert {row["venue"] for row in rows} == {"binance"}
    assert [(row["open"], row["close"], row["count"]) for row in rows] == [
        ("114", "115", 2), ("116", "117", 2), ("118", "119", 2),
    ]  # fmt: skip
    assert rows[0]["base_volume"] == "0.1"
    assert rows[0]["quote_volume"] == f"{Decimal('0.05') * (114 + 115):f}"


async def test_who_follows_asks_no_venue(venues: list[VenueProduct], monkeypatch: pytest.MonkeyPatch) -> None:
    async def recent(universal: str, count: int) -> Any:
        raise AssertionError("a venue was asked")

    for venue in venues:
        monkeypatch.setattr(venue.prints, "recent", recent)
    feed(venues[0], (1, 1.0, 100))
    answer = await trades_answer(venues, {"symbol": BTC, "count": 1_000, "heard": True})
    assert [row["trade_id"] for row in answer["trades"]] == [1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"symbol": "BTC/USDT:USD"}, "did you mean BTC/USDT:USDT"),
        ({"symbol": BTC, "count": 5_000}, "count must be"),
        ({"symbol": BTC, "candles": "5m"}, "1s, 1m"),
        ({"symbol": BTC, "exchange": "okx"}, "no enabled venue"),
    ],
)
async def test_what_makes_no_sense_is_told(
    venues: list[VenueProduct], arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises((InstrumentUnknown, UsageError), match=words):
        await trades_answer(venues, arguments)


def drawn(table: Table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(table)
    return stream.getvalue()


async def test_tables_show_it_to_people(venues: list[VenueProduct]) -> None:
    venues[0].known["1000SHIBUSDT"] = msgspec.structs.replace(
        venues[0].known["1000SHIBUSDT"], status=InstrumentStatus.HALTED
    )
    text = drawn(public.symbols_table((await symbols_answer(venues, {}))["symbols"]))
    assert "BTC/USDT:USDT*" in text
    assert "halted" in text
    feed(venues[0], (1, 1.5, 100), (2, 5.5, 101))
    assert "101" in drawn(public.trades_table((await trades_answer(venues, {"symbol": BTC}))["trades"]))
    rows = (await trades_answer(venues, {"symbol": BTC, "candles": "1s"}))["candles"]
    first, last = drawn(public.candles_table(rows)).splitlines()[1:]
    assert first.rstrip().endswith("incomplete"), "it began before the first print that was heard"
    assert last.rstrip().endswith("open")


class EndOfTestError(Exception):
    pass


async def followed(
    answers: list[list[dict[str, Any]]], candles: str | None, monkeypatch: pytest.MonkeyPatch, count: int = 2
) -> list[dict[str, Any]]:
    """Follow a row of answers; return what was printed."""
    printed: list[dict[str, Any]] = []

    async def ask(command: str, **arguments: Any) -> dict[str, Any]:
        assert arguments["heard"]
        if not answers:
            raise EndOfTestError
        return {"trades" if candles is None else "candles": answers.pop(0)}

    async def sleep(seconds: float) -> None:
        pass

    monkeypatch.setattr("engine.cli.public.asyncio.sleep", sleep)
    monkeypatch.setattr("engine.cli.output.print_json", printed.append)
    options = argparse.Namespace(json=True, candles=candles, count=count, symbol=BTC, exchange=None)
    with pytest.raises(EndOfTestError):
        await public._follow(ask, options, {"symbol": BTC}, answers.pop(0))
    return printed


def row(number: int | None, second: int, **fields: Any) -> dict[str, Any]:
    return {
        "venue": "v", "trade_id": number, "venue_utc_ns": second, "price": "1", "qty": "1", "side": "buy",
        "is_backfilled": False, **fields,
    }  # fmt: skip


async def test_following_prints_each_once_and_late_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(number, number) for number in range(1, 8)]
    printed = await followed(
        [rows[2:4], rows[:4], rows[:4], [*rows[:4], rows[5]], rows[:6], rows], None, monkeypatch
    )
    assert [each["trade_id"] for each in printed] == [3, 4, 6, 5, 7]


async def test_following_counts_prints_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    one = row(None, 5)
    printed = await followed([[one], [one], [one, one], [one, one], [one, one, one]], None, monkeypatch)
    assert len(printed) == 3


async def test_following_candles_prints_them_once_they_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    def candle(start: int, is_final: bool) -> dict[str, Any]:
        return {"venue": "v", "open_utc_ns": start, "is_final": is_final}

    printed = await followed(
        [[candle(1, False)], [candle(1, False)], [candle(1, True), candle(2, False)], [candle(1, True)]],
        "1s",
        monkeypatch,
    )
    assert [each["open_utc_ns"] for each in printed] == [1]
