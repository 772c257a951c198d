"""Public data of OKX: subscriptions, the depth schema, REST books. The frames are ``frames``'s.

    {"id":"s0x0","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}
    {"id":"s0x0","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}

The book procedure, as documented:

    1. subscribe  2. a frame with action "snapshot" (prevSeqId -1) clears and loads the book
    3. each update's prevSeqId is the last frame's seqId, else a delta is missing: unsubscribe, wait for the
       acknowledgement, subscribe: a new snapshot follows  4. an update whose seqId equals its prevSeqId is a
       heartbeat; one whose seqId is smaller resets the count and is applied like any other

``seqId`` jumps: it is never compared with "last + 1". ``checksum`` is 0 on live data since 2026-06-23 and is
not read. Sizes of swaps are contracts, here and everywhere on the wire.

Source: OKX v5 API docs, "WS / Order book channel", "WebSocket - Subscribe", "Get order book", seen 2026-08;
recorded frames of 2022 and 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import (
    BookSnapshot,
    DepthSchema,
    Levels,
    SequenceRule,
    levels_of,
)
from engine.venues.base import (
    ConnectionPlan,
    Endpoints,
    Topic,
)
from engine.venues.okx.endpoints import (
    ARGS_PER_MESSAGE,
    DEEP_CHANNELS_MAX,
    DEPTH_CHANNEL,
    FUNDING_CHANNELS,
    INDEX_CHANNEL,
    INST_TYPES,
    INSTRUMENTS_CHANNEL,
    STREAM_RULES,
    TOP_CHANNEL,
    TRADES_CHANNEL,
    VENUE,
)
from engine.venues.okx.numbers import (
    DECODE_ERRORS,
    Id,
    price_in,
    qty_in,
    time_ns,
)

Arg = tuple[str, str]
"""(channel, instrument id): what a subscription names."""


def depth_schema() -> DepthSchema:
    """Return how the kernel finds a depth frame's parts (acknowledgements repeat the route: ``event``)."""
    return DepthSchema(
        rule=SequenceRule.CHAIN,
        route_keys=("channel", "instId"),
        containers=("arg",),
        array_containers=("data",),
        control_keys=("event",),
        first_key=None,
        last_key="seqId",
        previous_key="prevSeqId",
        bids_key="bids",
        asks_key="asks",
        kind_key="action",
        has_heartbeats=True,
        is_quoting_integers=True,  # ts
        event_time_key="ts",
    )


# ------------------------------------------------------------------------------------------ planning


def arg_text(arg: Arg) -> bytes:
    """Return ``{"channel":"books","instId":"BTC-USDT"}`` in the venue's own key order."""
    return msgspec.json.encode({"channel": arg[0], "instId": arg[1]})


def request(operation: str, args: Sequence[Arg], request_id: str) -> bytes:
    """Return a subscribe or unsubscribe request; ``request_id`` has letters and digits only."""
    return msgspec.json.encode(
        {
            "id": request_id,
            "op": operation,
            "args": [{"channel": channel, "instId": inst_id} for channel, inst_id in args],
        }
    )


def listing_request(product: Product, request_id: str) -> bytes:
    """Return the subscription of what changes in a product's listing: statuses, ticks, sizes."""
    arg = {"channel": INSTRUMENTS_CHANNEL, "instType": INST_TYPES[product]}
    return msgspec.json.encode({"id": request_id, "op": "subscribe", "args": [arg]})


def depth_route(symbol: str) -> str:
    """Return the kernel's route of a book: the values of ``channel`` and ``instId``."""
    return f"{DEPTH_CHANNEL}\n{symbol}"


def depth_symbol(stream: str) -> str | None:
    """Return the symbol of a depth stream named ``books\\nBTC-USDT`` or ``books:BTC-USDT``, else None."""
    for separator in ("\n", ":"):
        channel, found, symbol = stream.partition(separator)
        if found and channel == DEPTH_CHANNEL and symbol:
            return symbol
    return None


def index_of(instrument: Instrument) -> str:
    """Return the id of the index that a swap follows: base and quote, e.g. ``BTC-USDT``."""
    return f"{instrument.base}-{instrument.quote}"


def instrument_args(
    product: Product, instrument: Instrument, topics: frozenset[Topic], with_index: bool
) -> list[Arg]:
    """Return the channels of one instrument. Spot has no funding."""
    args: list[Arg] = []
    if Topic.DEPTH in topics:
        args.append((DEPTH_CHANNEL, instrument.symbol))
    if Topic.TOP_OF_BOOK in topics:
        args.append((TOP_CHANNEL, instrument.symbol))
    if Topic.TRADES in topics:
        args.append((TRADES_CHANNEL, instrument.symbol))
    if Topic.FUNDING in topics and product is Product.PERP:
        args += [(channel, instrument.symbol) for channel in FUNDING_CHANNELS]
        if with_index:
            args.append((INDEX_CHANNEL, index_of(instrument)))
    return args


def market_plans(
    product: Product,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    with_index: bool = False,
) -> list[tuple[ConnectionPlan, dict[str, tuple[Arg, ...]]]]:
    """Return the connections for these instruments, each with the channels of its requests by request id.

    An instrument's channels stay on one connection, because trades and books of one instrument come in
    order there. Request ids are unique over all connections of one call.
    """
    if not instruments:
        return []
    per_instrument = len(instrument_args(product, instruments[0], topics, with_index))
    if not per_instrument:
        return []
    has_listing = Topic.INSTRUMENTS in topics
    size = max(1, STREAM_RULES.streams_max // (per_instrument + has_listing))
    if Topic.DEPTH in topics:
        size = min(size, DEEP_CHANNELS_MAX)
    plans = []
    for index, start in enumerate(range(0, len(instruments), size)):
        group = instruments[start : start + size]
        args: list[Arg] = []
        for each in group:
            args += instrument_args(product, each, topics, with_index)
        unique = list(dict.fromkeys(args))  # two swaps may follow one index
        chunks = {
            f"s{index}x{at // ARGS_PER_MESSAGE}": tuple(unique[at : at + ARGS_PER_MESSAGE])
            for at in range(0, len(unique), ARGS_PER_MESSAGE)
        }
        plan = ConnectionPlan(
            name=f"{VENUE}.{product.value}.public.{index}",
            url=endpoints.ws_public,
            subscribe=(
                *(request("subscribe", chunk, name) for name, chunk in chunks.items()),
                *((listing_request(product, "listing"),) if has_listing and index == 0 else ()),
            ),
            rules=STREAM_RULES,
            depth_routes=tuple((depth_route(each.symbol), each.universal) for each in group)
            if Topic.DEPTH in topics
            else (),
            universals=tuple(each.universal for each in group),
        )
        plans.append((plan, chunks))
    return plans


# ---------------------------------------------------------------------------------------- REST books


class _Book(msgspec.Struct, gc=False):
    """``{"asks":[["41006.8","0.60","0","1"]],"bids":[..],"ts":"1629966436396","seqId":3235851742}``."""

    asks: list[list[str]]
    bids: list[list[str]]
    ts: str
    seqId: Id  # noqa: N815 - the wire's name


class _BookAnswer(msgspec.Struct, gc=False):
    code: str
    data: list[_Book]
    msg: str = ""


class _Time(msgspec.Struct, gc=False):
    ts: str


class _TimeAnswer(msgspec.Struct, gc=False):
    code: str
    data: list[_Time]


_BOOK_ANSWER = msgspec.json.Decoder(_BookAnswer)
_TIME_ANSWER = msgspec.json.Decoder(_TimeAnswer)


def decode_snapshot(instrument: Instrument, body: bytes) -> BookSnapshot:
    """Return the answer of ``/market/books`` in the instrument's scales, for audits: it cannot be joined.

    Raises:
        ProtocolViolation: not a book, unsorted, or a value that does not fit.
    """
    try:
        answer = _BOOK_ANSWER.decode(body)
        if answer.code != "0" or len(answer.data) != 1:
            raise ProtocolViolation(f"code {answer.code[:10]} {answer.msg[:200]}")
        book = answer.data[0]
        bids = _levels(instrument, book.bids, -1)
        asks = _levels(instrument, book.asks, 1)
        return BookSnapshot(book.seqId, bids, asks, time_ns(book.ts))
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"book of {instrument.symbol}: {error}", body) from None


def _levels(instrument: Instrument, rows: list[list[str]], direction: int) -> Levels:
    if any(len(row) < 2 for row in rows):
        raise ProtocolViolation("a level has no price or no size")
    values = [(price_in(row[0], instrument), qty_in(row[1], instrument)) for row in rows]
    return levels_of(values, direction)


def decode_time_ns(body: bytes) -> int:
    """Return ``{"code":"0","data":[{"ts":"1597026383085"}]}`` in UTC ns; raises ProtocolViolation."""
    try:
        answer = _TIME_ANSWER.decode(body)
        if answer.code != "0" or not answer.data:
            raise ProtocolViolation(f"code {answer.code[:10]}")
        return time_ns(answer.data[0].ts)
    except (*DECODE_ERRORS, ProtocolViolation) as error:
        raise ProtocolViolation(f"server time: {error}", body) from None
