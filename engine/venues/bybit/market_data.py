"""Public data of Bybit: subscriptions, the depth schema, REST books. The frames are ``frames``'s.

    {"req_id":"sBTCUSDT","op":"subscribe","args":["orderbook.50.BTCUSDT","publicTrade.BTCUSDT"]}
    {"success":true,"ret_msg":"subscribe","conn_id":"13ac3a8f","req_id":"sBTCUSDT","op":"subscribe"}

The book procedure, as documented:

    1. subscribe  2. a frame of type "snapshot" clears and loads the book, at any time and unasked too
    3. each delta's "u" is the last frame's "u" + 1: set the sizes, "0" deletes  4. a delta whose "u" is 1 is
       a snapshot: the service has restarted  5. a delta with a "u" not above ours is late: drop it
    6. a jump of "u" means that a delta is missing: unsubscribe, wait for the acknowledgement, subscribe

``seq`` counts on the matching engine over all depths and jumps: no gap can be told from it. Sizes are base
units on both products. The REST book counts on the 1000-level stream alone.

Source: Bybit v5 API docs, "Orderbook" (WebSocket and REST), "Connect", seen 2026-07; a recording of 2024-12;
that "u" rises by one on the v5 streams too is UNCONFIRMED (see NOTES.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot, DepthSchema, Levels, SequenceRule, levels_of
from engine.venues.base import ConnectionPlan, Endpoints, Topic
from engine.venues.bybit.endpoints import (
    ARGS_CHARACTERS_MAX,
    STREAM_RULES,
    TICKERS_TOPIC,
    TOP_TOPIC,
    TRADES_TOPIC,
    VENUE,
)
from engine.venues.bybit.numbers import DECODE_ERRORS, MS, Id, Millis, price_in, qty_in

_DEPTH_TOPIC = re.compile(r"orderbook\.(?!1\.)[0-9]{1,4}\.(\S+)", re.ASCII)


def depth_schema() -> DepthSchema:
    """Return how the kernel finds a depth frame's parts, whatever the order of its keys."""
    return DepthSchema(
        rule=SequenceRule.RANGE,
        route_keys=("topic",),
        containers=("data",),
        first_key=None,
        last_key="u",
        previous_key=None,
        bids_key="b",
        asks_key="a",
        kind_key="type",
        delta_kind="delta",
        restart_id=1,
        event_time_key="ts",
        transaction_time_key="cts",
    )


# ------------------------------------------------------------------------------------------ planning


def depth_topic(levels: int, symbol: str) -> str:
    """Return the topic of a book, which is also the kernel's route."""
    return f"orderbook.{levels}.{symbol}"


def depth_symbol(stream: str) -> str | None:
    """Return the symbol of a depth topic of any depth, None for any other (``orderbook.1`` has no deltas)."""
    match = _DEPTH_TOPIC.fullmatch(stream)
    return match[1] if match else None


def request(operation: str, topics: Sequence[str], request_id: str) -> bytes:
    """Return a subscribe or unsubscribe request; its one answer repeats ``request_id``."""
    return msgspec.json.encode({"req_id": request_id, "op": operation, "args": list(topics)})


def instrument_topics(
    product: Product, instrument: Instrument, topics: frozenset[Topic], levels: int
) -> list[str]:
    """Return the topics of one instrument. Spot has no funding, and its tickers have no bid and ask."""
    symbol = instrument.symbol
    names: list[str] = []
    if Topic.DEPTH in topics:
        names.append(depth_topic(levels, symbol))
    if Topic.TOP_OF_BOOK in topics:
        names.append(f"{TOP_TOPIC}.{symbol}")
    if Topic.TRADES in topics:
        names.append(f"{TRADES_TOPIC}.{symbol}")
    if Topic.FUNDING in topics and product is Product.PERP:
        names.append(f"{TICKERS_TOPIC}.{symbol}")
    return names


def market_plans(
    product: Product,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    levels: int,
) -> list[ConnectionPlan]:
    """Return the connections for these instruments, each within the venue's characters and our topics.

    One request per instrument: one unknown topic fails its whole request, and the socket lives on in silence.
    An instrument's topics stay on one connection, because its trades and books come in order there.
    """
    groups: list[list[tuple[Instrument, list[str]]]] = []
    room = count = 0
    for each in instruments:
        names = instrument_topics(product, each, topics, levels)
        if not names:
            return []
        size = sum(len(name) + 3 for name in names)  # with quotes and comma, lest they count
        if not groups or size > room or count + len(names) > STREAM_RULES.streams_max:
            groups.append([])
            room, count = ARGS_CHARACTERS_MAX, 0
        groups[-1].append((each, names))
        room -= size
        count += len(names)
    return [
        ConnectionPlan(
            name=f"{VENUE}.{product.value}.public.{index}",
            url=endpoints.ws_public,
            subscribe=tuple(request("subscribe", names, f"s{each.symbol}") for each, names in group),
            rules=STREAM_RULES,
            depth_routes=tuple((depth_topic(levels, each.symbol), each.universal) for each, _ in group)
            if Topic.DEPTH in topics
            else (),
            universals=tuple(each.universal for each, _ in group),
        )
        for index, group in enumerate(groups)
    ]


# ---------------------------------------------------------------------------------------- REST books


class _Book(msgspec.Struct, gc=False):
    """``{"s":"BTCUSDT","a":[["65557.7","16.606555"]],"b":[..],"ts":1716863719031,"u":230704,"seq":14,"cts":..}``."""

    s: str
    b: list[list[str]]
    a: list[list[str]]
    u: Id
    ts: Millis


class _BookAnswer(msgspec.Struct, gc=False):
    retCode: int  # noqa: N815 - the wire's names
    result: msgspec.Raw = msgspec.Raw(b"{}")
    retMsg: str = ""  # noqa: N815


class _Time(msgspec.Struct, gc=False):
    timeNano: str  # noqa: N815


_ANSWER = msgspec.json.Decoder(_BookAnswer)
_BOOK = msgspec.json.Decoder(_Book)
_TIME = msgspec.json.Decoder(_Time)
_NANOS = re.compile(r"[0-9]{1,19}", re.ASCII)


def _result(body: bytes) -> msgspec.Raw:
    answer = _ANSWER.decode(body)
    if answer.retCode != 0:
        raise ProtocolViolation(f"code {answer.retCode} {answer.retMsg[:200]}")
    return answer.result


def decode_snapshot(instrument: Instrument, body: bytes) -> BookSnapshot:
    """Return the answer of ``/market/orderbook`` in the instrument's scales, for audits.

    Raises:
        ProtocolViolation: not this book, unsorted, or a value that does not fit.
    """
    try:
        book = _BOOK.decode(_result(body))
        if book.s != instrument.symbol:
            raise ProtocolViolation(f"a book of {book.s[:40]!r}")
        bids = _levels(instrument, book.b, -1)
        asks = _levels(instrument, book.a, 1)
        return BookSnapshot(book.u, bids, asks, book.ts * MS)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"book of {instrument.symbol}: {error}", body) from None


def _levels(instrument: Instrument, rows: list[list[str]], direction: int) -> Levels:
    if any(len(row) < 2 for row in rows):
        raise ProtocolViolation("a level has no price or no size")
    values = [(price_in(row[0], instrument), qty_in(row[1], instrument)) for row in rows]
    return levels_of(values, direction)


def decode_time_ns(body: bytes) -> int:
    """Return ``{"result":{"timeSecond":"1688639403","timeNano":"1688639403423213947"}}`` in UTC ns.

    Raises:
        ProtocolViolation: no such answer.
    """
    try:
        nanos = _TIME.decode(_result(body)).timeNano
        if _NANOS.fullmatch(nanos) is None or int(nanos) >= 2**63:
            raise ProtocolViolation(f"not a time in nanoseconds: {nanos[:40]!r}")
        return int(nanos)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"server time: {error}", body) from None
