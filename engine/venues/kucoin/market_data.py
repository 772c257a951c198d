"""Public data of KuCoin: subscriptions, depth schemas, REST books. The frames are ``frames``'s.

    unified  {"id":"s0x0","action":"SUBSCRIBE","channel":"obu","tradeType":"SPOT","symbol":"BTC-USDT",
              "depth":"increment@10ms"}                       answered {"id":"s0x0","result":true}
    classic  {"id":"s0x0","type":"subscribe","topic":"/market/level2:BTC-USDT","privateChannel":false,
              "response":true}                                answered {"id":"s0x0","type":"ack"}

The unified book procedure:

    1. subscribe  2. a frame with t "snapshot" loads the book (0.5 to 6 s later)  3. each delta's O is at most
    the last C + 1, else a delta is missing: unsubscribe and subscribe: a new snapshot follows

The classic one:

    1. subscribe, wait for the acknowledgement, keep the frames  2. ask for a snapshot over REST  3. drop
    what ends at or before its sequence; the next frame must begin at most one later  4. inside a spot frame
    skip the entries that the snapshot contains; a price of 0 says that nothing visible changed  5. a gap:
    from 2

Sequences are the same numbers on all sockets and REST. Sizes of futures are lots everywhere.

Source: KuCoin API docs, "Orderbook - Increment", "Orderbook (UTA)", "Websocket / Introduction", seen 2026-08;
frames recorded 2021-04 and 2026-09.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import BookSnapshot, DepthSchema, Levels, SequenceRule, levels_of
from engine.venues.base import ConnectionPlan, Endpoints, Handshake, Topic
from engine.venues.kucoin.endpoints import (
    CLASSIC_DEPTH,
    CLASSIC_FUNDING,
    CLASSIC_RULES,
    CLASSIC_TOPS,
    CLASSIC_TRADES,
    TOPICS_PER_MESSAGE,
    TRADE_TYPES,
    UNIFIED_DEPTH,
    UNIFIED_RULES,
    VENUE,
)
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    Millis,
    Number,
    number,
    number_price_in,
    number_qty_in,
    optional_time_ns,
)

Channel = str
"""A unified channel (``obu``) or the part of a classic topic before the colon (``/market/level2``)."""


def depth_schema(product: Product, is_classic: bool) -> DepthSchema:
    """Return how the kernel finds a depth frame's parts."""
    if not is_classic:
        return DepthSchema(
            rule=SequenceRule.RANGE,
            route_keys=("T", "dp", "s"),
            containers=("d",),
            first_key="O",
            last_key="C",
            previous_key=None,
            bids_key="b",
            asks_key="a",
            kind_key="t",
            delta_kind="delta",
            is_quoting_integers=True,
            event_time_key="P",
            transaction_time_key="M",
            time_unit_ns=1,
        )
    if product is Product.SPOT:
        return DepthSchema(
            rule=SequenceRule.RANGE,
            route_keys=("topic",),
            containers=("data", "changes"),
            first_key="sequenceStart",
            last_key="sequenceEnd",
            previous_key=None,
            bids_key="bids",
            asks_key="asks",
            has_level_ids=True,
            is_zero_price_void=True,
            event_time_key="time",
        )
    return DepthSchema(
        rule=SequenceRule.RANGE,
        route_keys=("topic",),
        containers=("data",),
        first_key=None,
        last_key="sequence",
        previous_key=None,
        change_key="change",
        event_time_key="timestamp",
    )


# ------------------------------------------------------------------------------------------ planning


def unified_request(
    product: Product, channel: Channel, symbol: str, request_id: str, action: str = "SUBSCRIBE"
) -> bytes:
    """Return a request of a unified socket; ``request_id`` has letters and digits only."""
    fields = {
        "id": request_id,
        "action": action,
        "channel": channel,
        "tradeType": TRADE_TYPES[product],
        "symbol": symbol,
    }
    if channel == "obu":
        fields["depth"] = UNIFIED_DEPTH
    return msgspec.json.encode(fields)


def classic_request(
    topic: str, request_id: str, operation: str = "subscribe", is_private: bool = False
) -> bytes:
    """Return a request of a classic socket; ``topic`` ends in symbols joined by commas."""
    return msgspec.json.encode(
        {
            "id": request_id,
            "type": operation,
            "topic": topic,
            "privateChannel": is_private,
            "response": True,
        }
    )


def depth_route(product: Product, symbol: str, is_classic: bool) -> str:
    """Return the kernel's route of a book."""
    if is_classic:
        return f"{CLASSIC_DEPTH[product]}:{symbol}"
    return f"obu.{TRADE_TYPES[product]}\n{UNIFIED_DEPTH}\n{symbol}"


def depth_symbol(product: Product, stream: str, is_classic: bool) -> str | None:
    """Return the symbol of a depth stream named by its route (or with ``:`` for a line's end), else None."""
    symbol = stream.replace("\n", ":").rpartition(":")[2]
    if symbol and stream.replace("\n", ":") == depth_route(product, symbol, is_classic).replace("\n", ":"):
        return symbol
    return None


def channels_of(product: Product, topics: frozenset[Topic], is_classic: bool) -> list[Channel]:
    """Return what one instrument needs. Spot has no funding."""
    names = (
        (Topic.DEPTH, CLASSIC_DEPTH[product] if is_classic else "obu"),
        (Topic.TOP_OF_BOOK, CLASSIC_TOPS[product] if is_classic else "ticker"),
        (Topic.TRADES, CLASSIC_TRADES[product] if is_classic else "trade"),
    )
    channels = [channel for topic, channel in names if topic in topics]
    if Topic.FUNDING in topics and product is Product.PERP:
        channels += [CLASSIC_FUNDING] if is_classic else ["mark-price", "funding-fee"]
    return channels


def market_plans(
    product: Product,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    handshake: Handshake | None = None,
) -> list[ConnectionPlan]:
    """Return the connections for these instruments: classic ones where there is a handshake.

    An instrument's channels stay on one connection. Request ids are unique over all connections of a call.
    """
    is_classic = handshake is not None
    channels = channels_of(product, topics, is_classic)
    if not instruments or not channels:
        return []
    rules = CLASSIC_RULES if is_classic else UNIFIED_RULES
    size = max(1, rules.streams_max // len(channels))
    plans = []
    for index, start in enumerate(range(0, len(instruments), size)):
        group = instruments[start : start + size]
        make = _classic_messages if is_classic else _unified_messages
        plans.append(
            ConnectionPlan(
                name=f"{VENUE}.{product.value}.public.{index}",
                url="" if is_classic else endpoints.ws_public,
                subscribe=make(product, channels, [each.symbol for each in group], f"s{index}x"),
                rules=rules,
                depth_routes=tuple(
                    (depth_route(product, each.symbol, is_classic), each.universal) for each in group
                )
                if Topic.DEPTH in topics
                else (),
                universals=tuple(each.universal for each in group),
                handshake=handshake,
                awaits_welcome=True,
            )
        )
    return plans


def _unified_messages(
    product: Product, channels: list[Channel], symbols: list[str], prefix: str
) -> tuple[bytes, ...]:
    """One topic a message: a list of symbols is refused on some channels."""
    pairs = [(channel, symbol) for symbol in symbols for channel in channels]
    return tuple(
        unified_request(product, channel, symbol, f"{prefix}{at}")
        for at, (channel, symbol) in enumerate(pairs)
    )


def _classic_messages(
    product: Product, channels: list[Channel], symbols: list[str], prefix: str
) -> tuple[bytes, ...]:
    topics = [
        f"{channel}:{','.join(symbols[at : at + TOPICS_PER_MESSAGE])}"
        for channel in channels
        for at in range(0, len(symbols), TOPICS_PER_MESSAGE)
    ]
    return tuple(classic_request(topic, f"{prefix}{at}") for at, topic in enumerate(topics))


# ---------------------------------------------------------------------------------------- REST books


class _Book(msgspec.Struct, gc=False):
    """Text on spot (``sequence`` too), JSON numbers on futures."""

    sequence: int | str
    bids: list[list[Number]] | None = None
    asks: list[list[Number]] | None = None
    time: int | None = None
    ts: int | None = None
    symbol: str = ""


class _BookAnswer(msgspec.Struct, gc=False):
    code: str
    data: _Book | None = None
    msg: str = ""


class _TimeAnswer(msgspec.Struct, gc=False):
    code: str
    data: Millis


_BOOK_ANSWER = msgspec.json.Decoder(_BookAnswer)
_TIME_ANSWER = msgspec.json.Decoder(_TimeAnswer)


def decode_snapshot(instrument: Instrument, body: bytes) -> BookSnapshot:
    """Return a REST book in the instrument's scales.

    Raises:
        ProtocolViolation: not a book, unsorted, of another instrument, or a value that does not fit.
    """
    try:
        answer = _BOOK_ANSWER.decode(body)
        book = answer.data
        if answer.code != "200000" or book is None:
            raise ProtocolViolation(f"code {answer.code[:10]} {answer.msg[:200]}")
        if book.symbol not in ("", instrument.symbol):
            raise ProtocolViolation(f"the book of {book.symbol[:40]!r}")
        bids = _levels(instrument, book.bids or [], -1)
        asks = _levels(instrument, book.asks or [], 1)
        stamp = optional_time_ns(book.ts if book.ts is not None else book.time)
        return BookSnapshot(number(book.sequence), bids, asks, stamp)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"book of {instrument.symbol}: {error}", body) from None


def _levels(instrument: Instrument, rows: list[list[Number]], direction: int) -> Levels:
    if any(len(row) < 2 for row in rows):
        raise ProtocolViolation("a level has no price or no size")
    price_in: Callable[[Number, Instrument], int] = number_price_in
    values = [(price_in(row[0], instrument), number_qty_in(row[1], instrument)) for row in rows]
    return levels_of(values, direction)


def decode_time_ns(body: bytes) -> int:
    """Return ``{"code":"200000","data":1790113494904}`` in UTC ns; raises ProtocolViolation."""
    try:
        answer = _TIME_ANSWER.decode(body)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"server time: {error}", body) from None
    if answer.code != "200000":
        raise ProtocolViolation(f"server time: code {answer.code[:10]}", body)
    return answer.data * 1_000_000
