"""Public data of BitMart: subscriptions, depth schemas, REST books. The frames are ``frames``'s.

    {"op":"subscribe","args":["spot/depth/increase100:BTC_USDT"]}
    {"event":"subscribe","topic":"spot/depth/increase100:BTC_USDT"}
    {"action":"subscribe","args":["futures/depthIncrease50:BTCUSDT@100ms"]}
    {"action":"subscribe","group":"futures/depthIncrease50:BTCUSDT@100ms","success":true,"request":{...}}

The book procedure, the same on both families:

    1. subscribe  2. a frame of type "snapshot" replaces the book and sets its version
    3. an update whose version is not newer is dropped; one that is exactly one newer is applied (absolute
       sizes, zero removes); a later one is a gap  4. on a gap send ``request`` for the topic: a snapshot
       comes on the same stream, and updates until then are dropped

Two differences. Spot repeats the version in empty frames of a quiet book and never says which levels leave
its window of 100; futures count every frame and announce what leaves the window of 50. Sizes of futures are
contracts, here and everywhere on the wire. REST books have no version: they audit, and cannot be joined.

Source: BitMart API docs, "Depth-Increase Channel" (spot and futures v2), "Get Depth", seen 2026-11; frames
recorded from the futures socket on 2026-09-23.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot, DepthSchema, Levels, SequenceRule, levels_of
from engine.venues.base import ConnectionPlan, Endpoints, Topic
from engine.venues.bitmart.endpoints import (
    DEPTH_WINDOWS,
    FUTURES_DEPTH,
    FUTURES_FUNDING,
    FUTURES_TICKER,
    FUTURES_TOP,
    FUTURES_TRADES,
    MESSAGE_BYTES_MAX,
    SPOT_DEPTH,
    SPOT_TICKER,
    SPOT_TRADES,
    STREAM_RULES,
    TOPICS_PER_MESSAGE,
    VENUE,
)
from engine.venues.bitmart.numbers import DECODE_ERRORS, price_in, qty_in, time_ns

_SPOT_STREAM = re.compile(r"spot/depth/increase100[\n:](\S+)")
_FUTURES_STREAM = re.compile(r"futures/depthIncrease(?:5|20|50):([^@\s]+)(?:@(?:100|200)ms)?")
NO_SEQUENCE = -1
"""What a REST book says of its version."""


def depth_schema(product: Product) -> DepthSchema:
    """Return how the kernel finds a depth frame's parts; acknowledgements have a control key."""
    if product is Product.SPOT:
        return DepthSchema(
            rule=SequenceRule.RANGE,
            route_keys=("table", "symbol"),
            containers=(),
            array_containers=("data",),
            control_keys=("event",),
            first_key=None,
            last_key="version",
            previous_key=None,
            bids_key="bids",
            asks_key="asks",
            kind_key="type",
            window=DEPTH_WINDOWS[product],
            has_heartbeats=True,
            event_time_key="ms_t",
        )
    return DepthSchema(
        rule=SequenceRule.RANGE,
        route_keys=("group",),
        containers=("data",),
        control_keys=("success",),
        first_key=None,
        last_key="version",
        previous_key=None,
        bids_key="bids",
        asks_key="asks",
        level_keys=("price", "vol"),
        kind_key="type",
        event_time_key="ms_t",
    )


# ------------------------------------------------------------------------------------------ planning


def request(product: Product, operation: str, topics: Sequence[str]) -> bytes:
    """Return a ``subscribe``, ``unsubscribe`` or ``request`` message; it carries no id."""
    word = "op" if product is Product.SPOT else "action"
    return msgspec.json.encode({word: operation, "args": list(topics)})


def depth_topic(product: Product, symbol: str, speed: str) -> str:
    """Return the topic of one book."""
    return f"{SPOT_DEPTH}:{symbol}" if product is Product.SPOT else f"{FUTURES_DEPTH}:{symbol}@{speed}"


def depth_route(product: Product, symbol: str, speed: str) -> str:
    """Return the kernel's route of one book."""
    return f"{SPOT_DEPTH}\n{symbol}" if product is Product.SPOT else depth_topic(product, symbol, speed)


def depth_symbol(product: Product, stream: str) -> str | None:
    """Return the symbol of a depth route or topic, whatever its depth and speed; else None."""
    pattern = _SPOT_STREAM if product is Product.SPOT else _FUTURES_STREAM
    match = pattern.fullmatch(stream)
    return match[1] if match else None


def instrument_topics(product: Product, symbol: str, topics: frozenset[Topic], speed: str) -> list[str]:
    """Return the topics of one instrument. Spot has no funding."""
    wanted: list[str] = []
    if Topic.DEPTH in topics:
        wanted.append(depth_topic(product, symbol, speed))
    if product is Product.SPOT:
        if Topic.TOP_OF_BOOK in topics:
            wanted.append(f"{SPOT_TICKER}:{symbol}")
        if Topic.TRADES in topics:
            wanted.append(f"{SPOT_TRADES}:{symbol}")
        return wanted
    if Topic.TOP_OF_BOOK in topics:
        wanted.append(f"{FUTURES_TOP}:{symbol}")
    if Topic.TRADES in topics:
        wanted.append(f"{FUTURES_TRADES}:{symbol}")
    if Topic.FUNDING in topics:
        wanted += [f"{FUTURES_TICKER}:{symbol}", f"{FUTURES_FUNDING}:{symbol}"]
    return wanted


def chunks(topics: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the topics in groups that fit one message, by count and by bytes."""
    group: list[str] = []
    size = 0
    for topic in topics:
        if group and (len(group) >= TOPICS_PER_MESSAGE or size + len(topic) > MESSAGE_BYTES_MAX - 100):
            yield tuple(group)
            group, size = [], 0
        group.append(topic)
        size += len(topic) + 3  # its quotes and comma
    if group:
        yield tuple(group)


def market_plans(
    product: Product,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    speed: str,
) -> list[tuple[ConnectionPlan, dict[str, tuple[str, ...]]]]:
    """Return the connections for these instruments, each with the topics of its requests by a name of ours.

    Requests carry no id: the topics of a request, each acknowledged by itself, stand for one. An instrument's
    topics stay on one connection.
    """
    if not instruments:
        return []
    rules = STREAM_RULES[product]
    per_instrument = len(instrument_topics(product, "", topics, speed))
    if not per_instrument:
        return []
    size = max(1, rules.streams_max // per_instrument)
    plans = []
    for index, start in enumerate(range(0, len(instruments), size)):
        group = instruments[start : start + size]
        wanted: list[str] = []
        for each in group:
            wanted += instrument_topics(product, each.symbol, topics, speed)
        named = {f"s{index}x{number}": chunk for number, chunk in enumerate(chunks(wanted))}
        plan = ConnectionPlan(
            name=f"{VENUE}.{product.value}.public.{index}",
            url=endpoints.ws_public,
            subscribe=tuple(request(product, "subscribe", chunk) for chunk in named.values()),
            rules=rules,
            depth_routes=tuple((depth_route(product, each.symbol, speed), each.universal) for each in group)
            if Topic.DEPTH in topics
            else (),
            universals=tuple(each.universal for each in group),
        )
        plans.append((plan, named))
    return plans


# ---------------------------------------------------------------------------------------- REST books


class _Book(msgspec.Struct, gc=False):
    """Spot ``{"ts":"1691672864874","symbol":..,"asks":[["31012.44","69994.7"]],..}``; futures ``timestamp``.

    A side without levels is ``null`` on futures; their levels have a third, cumulative number.
    """

    symbol: str
    asks: list[list[str]] | None
    bids: list[list[str]] | None
    ts: int | str | None = None
    timestamp: int | str | None = None


class _BookAnswer(msgspec.Struct, gc=False):
    code: int | str
    data: _Book | None = None
    message: str | None = None
    msg: str | None = None


class _Time(msgspec.Struct, gc=False):
    server_time: int | str


class _TimeAnswer(msgspec.Struct, gc=False):
    code: int | str
    data: _Time | None = None


_BOOK_ANSWER = msgspec.json.Decoder(_BookAnswer)
_TIME_ANSWER = msgspec.json.Decoder(_TimeAnswer)


def decode_snapshot(instrument: Instrument, body: bytes) -> BookSnapshot:
    """Return a REST book in the instrument's scales, for audits: it has no version and cannot be joined.

    Raises:
        ProtocolViolation: not this instrument's book, unsorted, or a value that does not fit.
    """
    try:
        answer = _BOOK_ANSWER.decode(body)
        book = answer.data
        if str(answer.code) != "1000" or book is None:
            raise ProtocolViolation(
                f"code {str(answer.code)[:10]} {(answer.message or answer.msg or '')[:200]}"
            )
        if book.symbol != instrument.symbol:
            raise ProtocolViolation(f"the book of {book.symbol[:40]!r}")
        stamp = book.ts if book.ts is not None else book.timestamp
        bids = _levels(instrument, book.bids or [], -1)
        asks = _levels(instrument, book.asks or [], 1)
        return BookSnapshot(NO_SEQUENCE, bids, asks, None if stamp is None else time_ns(stamp))
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"book of {instrument.symbol}: {error}", body) from None


def _levels(instrument: Instrument, rows: list[list[str]], direction: int) -> Levels:
    if any(len(row) < 2 for row in rows):
        raise ProtocolViolation("a level has no price or no size")
    values = [(price_in(row[0], instrument), qty_in(row[1], instrument)) for row in rows]
    return levels_of(values, direction)


def decode_time_ns(body: bytes) -> int:
    """Return ``{"code":1000,"data":{"server_time":1527777538000}}`` in UTC ns; raises ProtocolViolation."""
    try:
        answer = _TIME_ANSWER.decode(body)
        if str(answer.code) != "1000" or answer.data is None:
            raise ProtocolViolation(f"code {str(answer.code)[:10]}")
        return time_ns(answer.data.server_time)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"server time: {error}", body) from None
