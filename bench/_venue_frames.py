"""Synthetic depth streams of one symbol set at five venues, each in its own words and scales."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from engine.model.instrument import Product
from engine.model.market import BookSnapshot, DepthSchema
from engine.venues.binance.market_data import depth_schema as binance_schema
from engine.venues.bitmart.market_data import depth_schema as bitmart_schema
from engine.venues.bybit.market_data import depth_schema as bybit_schema
from engine.venues.kucoin.market_data import depth_schema as kucoin_schema
from engine.venues.okx.market_data import depth_schema as okx_schema

Rows = list[list[str]]
Side = dict[int, int]
Touch = tuple[int, int, int, int]
"""Bid and its quantity, ask and its quantity, in the finest scales; zeros for an empty side."""

PRICE_SCALE = QTY_SCALE = 8
"""The finest scales among the venues: those of a consolidated book."""
TICK = 10**7
"""A tenth, scaled: the step of every price here."""
LOT = 10**4
"""A ten-thousandth, scaled: the step of every quantity here."""
MIDDLE = 600_000
LEVELS = 50
_START_MS = 1_790_000_000_000


class Message(msgspec.Struct):
    """What one depth message says."""

    symbol: str
    is_snapshot: bool
    previous: int
    first: int
    last: int
    time_ms: int
    bids: Rows
    asks: Rows


class Venue(msgspec.Struct):
    """One venue's dialect."""

    name: str
    schema: DepthSchema
    price_scale: int
    qty_scale: int
    route: Callable[[str], str]
    write: Callable[[Message], Any]


def _binance(message: Message) -> Any:
    data = {
        "e": "depthUpdate", "E": message.time_ms, "s": f"{message.symbol}USDT", "U": message.first,
        "u": message.last, "b": message.bids, "a": message.asks,
    }  # fmt: skip
    return {"stream": f"{message.symbol.lower()}usdt@depth@100ms", "data": data}


def _okx(message: Message) -> Any:
    data = {
        "asks": [[*row, "0", "3"] for row in message.asks],
        "bids": [[*row, "0", "1"] for row in message.bids],
        "ts": str(message.time_ms), "checksum": 0, "seqId": message.last,
        "prevSeqId": -1 if message.is_snapshot else message.previous,
    }  # fmt: skip
    arg = {"channel": "books", "instId": f"{message.symbol}-USDT"}
    return {"arg": arg, "action": "snapshot" if message.is_snapshot else "update", "data": [data]}


def _bybit(message: Message) -> Any:
    data = {
        "s": f"{message.symbol}USDT", "b": message.bids, "a": message.asks, "u": message.last, "seq": 7,
    }  # fmt: skip
    return {
        "topic": f"orderbook.50.{message.symbol}USDT", "ts": message.time_ms,
        "type": "snapshot" if message.is_snapshot else "delta", "data": data, "cts": message.time_ms - 2,
    }  # fmt: skip


def _kucoin(message: Message) -> Any:
    data = {
        "a": message.asks, "b": message.bids, "C": message.last, "s": f"{message.symbol}-USDT",
        "M": message.time_ms * 1_000_000, "O": message.last if message.is_snapshot else message.first,
    }  # fmt: skip
    kind = "snapshot" if message.is_snapshot else "delta"
    push_ns = message.time_ms * 1_000_000 + 676_191
    return {"T": "obu.SPOT", "dp": "increment@10ms", "t": kind, "P": push_ns, "d": data}


def _bitmart(message: Message) -> Any:
    sides = {
        word: [{"price": price, "vol": qty} for price, qty in rows]
        for word, rows in (("asks", message.asks), ("bids", message.bids))
    }
    data = {
        "symbol": f"{message.symbol}USDT", **sides, "ms_t": message.time_ms, "version": message.last,
        "type": "snapshot" if message.is_snapshot else "update",
    }  # fmt: skip
    return {"data": data, "group": f"futures/depthIncrease50:{message.symbol}USDT@100ms"}


VENUES = (
    Venue("binance", binance_schema(Product.SPOT), 8, 8, lambda s: f"{s.lower()}usdt@depth@100ms", _binance),
    Venue("okx", okx_schema(), 1, 8, lambda s: f"books\n{s}-USDT", _okx),
    Venue("bybit", bybit_schema(), 2, 6, lambda s: f"orderbook.50.{s}USDT", _bybit),
    Venue(
        "kucoin", kucoin_schema(Product.SPOT, False), 1, 8,
        lambda s: f"obu.SPOT\nincrement@10ms\n{s}-USDT", _kucoin,
    ),
    Venue(
        "bitmart", bitmart_schema(Product.PERP), 1, 4,
        lambda s: f"futures/depthIncrease50:{s}USDT@100ms", _bitmart,
    ),
)  # fmt: skip


class Frame(msgspec.Struct):
    """One frame, and what its book's best levels are afterwards."""

    venue: int
    symbol: int
    payload: bytes
    touch: Touch


class Crowd:
    """Seeded streams of every venue and symbol; their order is the order in which they are made.

    Args:
        symbols: how many, each listed at every venue.
        seed: makes the same streams again.

    Attributes:
        names: of the symbols.
    """

    def __init__(self, symbols: int, seed: int = 31) -> None:
        self._random = random.Random(seed)
        self.names = [f"C{number}" for number in range(symbols)]
        self._middles = [MIDDLE + self._random.randint(-2, 2) for _ in VENUES]
        self._books: dict[tuple[int, int], tuple[Side, Side]] = {}
        self._lasts: dict[tuple[int, int], int] = {}
        for key in [(venue, symbol) for venue in range(len(VENUES)) for symbol in range(symbols)]:
            middle = self._middles[key[0]]
            bids = {middle - 1 - level: self._random.randint(1, 10**7) for level in range(LEVELS)}
            asks = {middle + level: self._random.randint(1, 10**7) for level in range(LEVELS)}
            self._books[key], self._lasts[key] = (bids, asks), 1_000

    def starts(self) -> list[Frame]:
        """Return the snapshots of all books of venues that send them on the stream."""
        return [
            self._frame(venue, symbol, True, 0, *self._books[venue, symbol])
            for venue, each in enumerate(VENUES)
            for symbol in range(len(self.names))
            if each.schema.is_in_band
        ]

    def snapshot(self, venue: int, symbol: int) -> BookSnapshot:
        """Return a book as a REST answer has it, for venues whose stream has none."""
        sides = [
            np.array([[tick * TICK, lots * LOT] for tick, lots in rows], dtype=np.int64)
            for rows in self._ordered(*self._books[venue, symbol])
        ]
        return BookSnapshot(self._lasts[venue, symbol], sides[0], sides[1], None)

    def deltas(self, count: int) -> list[Frame]:
        """Return the next frames: venues and symbols take turns at random, 3 to 12 levels each."""
        made = []
        for number in range(count):
            venue, symbol = self._random.randrange(len(VENUES)), self._random.randrange(len(self.names))
            made.append(self._frame(venue, symbol, False, number, *self._change(venue, symbol)))
        return made

    def _change(self, venue: int, symbol: int) -> tuple[Side, Side]:
        generator, middle, sides = self._random, self._middles[venue], self._books[venue, symbol]
        changed: tuple[Side, Side] = ({}, {})
        for _ in range(generator.randint(3, 12)):
            which = generator.randrange(2)
            side, distance = sides[which], min(int(generator.expovariate(1 / 6)), LEVELS)
            tick = middle + distance if which else middle - 1 - distance
            lots = generator.randint(1, 10**7)
            if tick in side and generator.random() < 0.25 and len(side) > LEVELS // 2:
                side.pop(tick)
                lots = 0
            else:
                side[tick] = lots
            changed[which][tick] = lots
        return changed

    def _frame(self, venue: int, symbol: int, whole: bool, number: int, bids: Side, asks: Side) -> Frame:
        key = venue, symbol
        previous = self._lasts[key]
        if not whole:
            self._lasts[key] += self._random.randint(1, 3) if VENUES[venue].schema.first_key else 1
        rows = [[[_price(tick), _qty(lots)] for tick, lots in side] for side in self._ordered(bids, asks)]
        message = Message(
            self.names[symbol], whole, previous, previous + 1, self._lasts[key], _START_MS + number, *rows
        )
        payload = json.dumps(VENUES[venue].write(message), separators=(",", ":")).encode()
        return Frame(venue, symbol, payload, self.touch(venue, symbol))

    @staticmethod
    def _ordered(bids: Side, asks: Side) -> list[list[tuple[int, int]]]:
        return [sorted(bids.items(), reverse=True), sorted(asks.items())]

    def touch(self, venue: int, symbol: int) -> Touch:
        """Return a book's best levels now."""
        bids, asks = self._books[venue, symbol]
        bid, ask = max(bids), min(asks)
        return bid * TICK, bids[bid] * LOT, ask * TICK, asks[ask] * LOT


def best_of(touches: list[Touch]) -> tuple[int, int, int, int, int, int]:
    """Return the consolidated best by the definition: price, then quantity, then who was first."""
    bid, bid_qty, bid_slot = max((each[0], each[1], -slot) for slot, each in enumerate(touches))
    ask, ask_qty, ask_slot = max((-each[2], each[3], -slot) for slot, each in enumerate(touches))
    return bid, bid_qty, -bid_slot, -ask, ask_qty, -ask_slot


def _price(tick: int) -> str:
    return f"{tick // 10}.{tick % 10}"


def _qty(lots: int) -> str:
    return f"{lots // 10_000}.{lots % 10_000:04d}"
