"""Public data of Binance spot and USD-M: subscriptions, decoded frames, depth snapshots.

Combined streams are used throughout (``{"stream": name, "data": {...}}``): a futures partial-depth frame
looks exactly like a diff and can be told from it by the stream's name alone, which is also what routes
a depth frame to its book. Depth diffs never come here: the kernel reads them by ``depth_schema``.

    spot diff  {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,
                "b":[["0.0024","10"]],"a":[["0.0026","100"]]}}
    perp diff  the same plus "T", "ps", "pu" (the previous event's "u") and "st"

The book procedures themselves, as documented; ``book.sync`` walks them with the rule in the schema:

    spot   1. buffer the diff stream  2. GET /depth  3. snapshot older than the first "U": ask again
           4. drop "u" <= lastUpdateId  5. the first kept event holds lastUpdateId + 1
           6. each next "U" is the previous "u" + 1, else start over
    USD-M  the same, but 4. drops "u" < lastUpdateId, 5. the first kept event holds lastUpdateId itself,
           and 6. each next "pu" is the previous "u": ids count over all symbols, so "U" may jump

Source: spot web-socket-streams and "How to manage a local order book" (2025-11-12 text); USD-M "Diff.
Book Depth Streams", "How to manage a local order book correctly"; routing split of 2026-03/04.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import (
    BookSnapshot,
    DepthSchema,
    FundingUpdate,
    Levels,
    SequenceRule,
    Side,
    TopOfBook,
    Trade,
    levels_of,
)
from engine.venues.base import (
    ConnectionPlan,
    ControlReply,
    Endpoints,
    MarketEvent,
    PlannedShutdown,
    Topic,
)
from engine.venues.binance.endpoints import STREAM_RULES, VENUE
from engine.venues.binance.errors import clean
from engine.venues.binance.numbers import DECODE_ERRORS, MS, Id, Millis, decimal, scaled

NAMES_PER_MESSAGE = 100
"""Stream names in one SUBSCRIBE: many, because messages are budgeted (5 or 10 a second)."""

ROUTES: dict[Product, dict[str, str]] = {
    Product.SPOT: {"public": "/stream"},
    Product.PERP: {"public": "/public/stream", "market": "/market/stream"},
}
"""Connection kinds and the path of each. On USD-M a stream asked for on the wrong one is acknowledged
and stays silent. Source: USD-M change log 2026-03-06; measured 2026-09-25."""


def depth_schema(product: Product, is_raw: bool = False) -> DepthSchema:
    """Return how the kernel finds a depth frame's parts, and the product's sequence rule."""
    perp = product is Product.PERP
    return DepthSchema(
        rule=SequenceRule.PREVIOUS if perp else SequenceRule.RANGE,
        route_keys=("e", "s") if is_raw else ("stream",),
        containers=("data",),
        first_key="U",
        last_key="u",
        previous_key="pu" if perp else None,
        bids_key="b",
        asks_key="a",
        event_time_key="E",
        transaction_time_key="T" if perp else None,
    )


def depth_stream(product: Product, symbol: str, speed: str) -> str:
    """Return the diff stream's name; the slow default cadence has no suffix."""
    default = "1000ms" if product is Product.SPOT else "250ms"
    suffix = "" if speed == default else f"@{speed}"
    return f"{symbol.lower()}@depth{suffix}"


# ------------------------------------------------------------------------------------------ planning


_DEPTH_STREAM = re.compile(r"(.+)@depth(?:@[0-9]+ms)?")


def raw_depth_symbol(route: str) -> str | None:
    """Return the symbol of an unwrapped depth frame's route, ``depthUpdate\\nBTCUSDT``, else None."""
    event, _, symbol = route.partition("\n")
    return symbol if event == "depthUpdate" and symbol else None


def depth_symbol(stream: str) -> str | None:
    """Return the symbol of a diff stream's name, None for any other stream (partial books included)."""
    match = _DEPTH_STREAM.fullmatch(stream)
    return match[1].upper() if match else None


def market_plans(
    product: Product,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    speed: str,
    trades: str = "trade",
    streams_max: int | None = None,
) -> list[ConnectionPlan]:
    """Return the connections for these instruments; an instrument's streams of one kind stay together.

    Spot has no funding: that topic is served by USD-M alone. ``streams_max`` is the documented limit of
    streams on one connection unless given.
    """
    base = endpoints.ws_public.rstrip("/")
    limit = streams_max or STREAM_RULES[product].streams_max
    plans = []
    for route, path in ROUTES[product].items():
        per_instrument = len(_streams(product, route, "x", topics, speed, trades))
        if not per_instrument:
            continue
        size = max(1, limit // per_instrument)
        for number, start in enumerate(range(0, len(instruments), size)):
            group = instruments[start : start + size]
            names: list[str] = []
            for each in group:
                names += _streams(product, route, each.symbol, topics, speed, trades)
            has_depth = route == "public" and Topic.DEPTH in topics
            plans.append(
                ConnectionPlan(
                    name=f"{VENUE}.{product.value}.{route}.{number}",
                    url=base + path,
                    subscribe=_subscribe(names),
                    rules=STREAM_RULES[product],
                    depth_routes=tuple(
                        (depth_stream(product, each.symbol, speed), each.universal) for each in group
                    )
                    if has_depth
                    else (),
                    universals=tuple(each.universal for each in group),
                    has_trades=route == _trades_route(product, trades),
                )
            )
    return plans


def _trades_route(product: Product, trades: str) -> str:
    """Return the kind of connection that has the prints.

    USD-M documents @aggTrade only, on /market; @trade on /public is undocumented and measured (2026-09-25),
    and has every print with its consecutive id.
    """
    return "market" if product is Product.PERP and trades == "aggTrade" else "public"


def _streams(
    product: Product, route: str, symbol: str, topics: frozenset[Topic], speed: str, trades: str
) -> list[str]:
    """Return the stream names of one instrument on one kind of connection; symbols are lower case there."""
    lower = symbol.lower()
    names = []
    if route == "public" and Topic.DEPTH in topics:
        names.append(depth_stream(product, symbol, speed))
    if route == "public" and Topic.TOP_OF_BOOK in topics:
        names.append(f"{lower}@bookTicker")
    if route == _trades_route(product, trades) and Topic.TRADES in topics:
        names.append(f"{lower}@{trades}")
    if route == "market" and Topic.FUNDING in topics:
        names.append(f"{lower}@markPrice@1s")
    return names


def _subscribe(names: list[str]) -> tuple[bytes, ...]:
    """Return SUBSCRIBE messages: ``{"method":"SUBSCRIBE","params":["btcusdt@depth@100ms"],"id":1}``."""
    return tuple(
        msgspec.json.encode(
            {"method": "SUBSCRIBE", "params": names[at : at + NAMES_PER_MESSAGE], "id": number}
        )
        for number, at in enumerate(range(0, len(names), NAMES_PER_MESSAGE), 1)
    )


# ---------------------------------------------------------------------------------------- snapshots


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: Id  # noqa: N815 - the wire's name
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    E: Millis | None = None


_SNAPSHOT = msgspec.json.Decoder(_Snapshot)


def decode_snapshot(instrument: Instrument, body: bytes) -> BookSnapshot:
    """Return a REST depth answer in the instrument's scales.

    ``{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}``; USD-M adds ``E``, ``T``.

    Raises:
        ProtocolViolation: not a snapshot, unsorted, or a value that does not fit.
    """
    try:
        snapshot = _SNAPSHOT.decode(body)
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: {error}", body) from None
    if snapshot.lastUpdateId == 0:
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: lastUpdateId is 0", body)
    try:
        bids = _levels(instrument, snapshot.bids, -1)
        asks = _levels(instrument, snapshot.asks, 1)
    except ProtocolViolation as violation:
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: {violation}", body) from None
    return BookSnapshot(
        snapshot.lastUpdateId, bids, asks, snapshot.E * MS if snapshot.E is not None else None
    )


def _levels(instrument: Instrument, rows: list[tuple[str, str]], direction: int) -> Levels:
    price_scale, qty_scale = instrument.price_scale, instrument.qty_scale
    values = [(scaled(price, price_scale), scaled(qty, qty_scale)) for price, qty in rows]
    return levels_of(values, direction)


# ------------------------------------------------------------------------------------------- frames


class _Trade(msgspec.Struct, gc=False):
    """``{"e":"trade","E":..,"s":"BTCUSDT","t":388510,"p":"76745.19","q":"0.00065","T":..,"m":false}``."""

    t: Id
    p: str
    q: str
    T: Millis
    m: bool
    X: str = "MARKET"


class _AggregateTrade(msgspec.Struct, gc=False):
    """``{"e":"aggTrade","a":3466782974,"p":"84551.10","q":"0.030","f":..,"l":..,"T":..,"m":false}``."""

    a: Id
    p: str
    q: str
    T: Millis
    m: bool


class _BookTicker(msgspec.Struct, gc=False):
    """``{"u":1801512,"s":"BTCUSDT","b":"76745.18","B":"8.74","a":"76745.19","A":"12.06"}``; USD-M adds T."""

    u: Id
    b: str
    B: str
    a: str
    A: str
    T: Millis | None = None


class _MarkPrice(msgspec.Struct, gc=False):
    """``{"e":"markPriceUpdate","E":..,"p":"64346.7","i":"64399.6","r":"0.00005301","T":..}``."""

    E: Millis
    p: str
    i: str = ""
    r: str = ""
    T: Millis = 0


class _TradeFrame(msgspec.Struct, gc=False):
    data: _Trade


class _AggregateTradeFrame(msgspec.Struct, gc=False):
    data: _AggregateTrade


class _BookTickerFrame(msgspec.Struct, gc=False):
    data: _BookTicker


class _MarkPriceFrame(msgspec.Struct, gc=False):
    data: _MarkPrice


class _Event(msgspec.Struct, gc=False):
    e: str = ""
    E: Millis | None = None


class _ControlError(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""


class _Envelope(msgspec.Struct, gc=False):
    """Any message of a stream connection: a combined frame, or an unwrapped control answer."""

    stream: str | None = None
    data: msgspec.Raw = msgspec.Raw()  # empty when absent; "Raw | None" would accept null alone
    id: int | str | None = None
    error: _ControlError | None = None
    code: int | None = None
    msg: str = ""
    e: str | None = None
    E: Millis | None = None


_TRADE = msgspec.json.Decoder(_TradeFrame)
_AGGREGATE_TRADE = msgspec.json.Decoder(_AggregateTradeFrame)
_BOOK_TICKER = msgspec.json.Decoder(_BookTickerFrame)
_MARK_PRICE = msgspec.json.Decoder(_MarkPriceFrame)
_EVENT = msgspec.json.Decoder(_Event)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_SHUTDOWN = "serverShutdown"
_PREFIX = b'{"stream":"'
_PREFIX_SIZE = len(_PREFIX)

_Decode = Callable[[Instrument, bytes, int, int], MarketEvent | None]


class MarketDecoder:
    """Decodes what the depth kernel passed on; knows the instruments by their stream names.

    A frame's stream name, which the venue writes first, picks the typed decoder: one look-up, one pass.
    Any other layout of the same JSON takes the slower way through the envelope.
    """

    def __init__(self) -> None:
        self._by_stream: dict[bytes, tuple[_Decode, Instrument]] = {}

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Learn instruments; frames of others are ignored."""
        for each in instruments:
            lower = each.symbol.lower()
            for suffix, decode in _DECODERS.items():
                self._by_stream[f"{lower}@{suffix}".encode()] = (decode, each)

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode one message; unknown streams and events give ``()``.

        Raises:
            ProtocolViolation: malformed, or a value out of range.
        """
        try:
            if payload.startswith(_PREFIX):
                known = self._by_stream.get(payload[_PREFIX_SIZE : payload.find(b'"', _PREFIX_SIZE)])
                if known is None:
                    return self._other(payload, mono_ns, utc_ns)
            else:
                return self._other(payload, mono_ns, utc_ns)
            event = known[0](known[1], payload, mono_ns, utc_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"market data: {error}", payload) from None
        return () if event is None else (event,)

    def _other(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        envelope = _ENVELOPE.decode(payload)
        if envelope.stream is None:
            return _control(envelope)
        if envelope.stream == f"!{_SHUTDOWN}" and bytes(envelope.data):
            stamp = _EVENT.decode(envelope.data).E
            return (PlannedShutdown(None if stamp is None else stamp * MS),)
        known = self._by_stream.get(envelope.stream.encode())
        if known is None:
            return ()
        event = known[0](known[1], payload, mono_ns, utc_ns)
        return () if event is None else (event,)


def _trade(instrument: Instrument, payload: bytes, mono_ns: int, utc_ns: int) -> Trade | None:
    trade = _TRADE.decode(payload).data
    if trade.X == "NA":  # carries price and quantity "0": not a print
        return None
    return _print(instrument, trade.t, trade, mono_ns, utc_ns)


def _aggregate_trade(instrument: Instrument, payload: bytes, mono_ns: int, utc_ns: int) -> Trade:
    trade = _AGGREGATE_TRADE.decode(payload).data
    return _print(instrument, trade.a, trade, mono_ns, utc_ns)


def _print(
    instrument: Instrument, trade_id: int, trade: _Trade | _AggregateTrade, mono_ns: int, utc_ns: int
) -> Trade:
    price, qty = scaled(trade.p, instrument.price_scale), scaled(trade.q, instrument.qty_scale)
    if price <= 0 or qty <= 0:
        raise ProtocolViolation(f"trade {trade_id} of {instrument.symbol} is not positive")
    return Trade(
        instrument.universal,
        trade_id,
        price,
        qty,
        Side.SELL if trade.m else Side.BUY,  # "m": the buyer is the maker, so the aggressor sold
        trade.T * MS,
        utc_ns,
        mono_ns,
    )


def _book_ticker(instrument: Instrument, payload: bytes, mono_ns: int, utc_ns: int) -> TopOfBook:
    top = _BOOK_TICKER.decode(payload).data
    price_scale, qty_scale = instrument.price_scale, instrument.qty_scale
    return TopOfBook(
        instrument.universal,
        scaled(top.b, price_scale),
        scaled(top.B, qty_scale),
        scaled(top.a, price_scale),
        scaled(top.A, qty_scale),
        top.u,
        top.T * MS if top.T is not None else None,
        utc_ns,
        mono_ns,
    )


def _mark_price(instrument: Instrument, payload: bytes, mono_ns: int, utc_ns: int) -> FundingUpdate:
    mark = _MARK_PRICE.decode(payload).data
    return FundingUpdate(
        instrument.universal,
        decimal(mark.p),
        decimal(mark.i) if mark.i else None,
        decimal(mark.r) if mark.r else None,  # "" on contracts without funding
        mark.T * MS if mark.T else None,
        mark.E * MS,
        utc_ns,
    )


_DECODERS: dict[str, _Decode] = {
    "trade": _trade,
    "aggTrade": _aggregate_trade,
    "bookTicker": _book_ticker,
    "markPrice@1s": _mark_price,
    "markPrice": _mark_price,
}


def _control(envelope: _Envelope) -> Sequence[MarketEvent]:
    """Read an unwrapped message: an answer to SUBSCRIBE in either error shape, or a raw shutdown notice.

    ``{"result":null,"id":1}``, ``{"code":2,"msg":"Invalid request: ..."}`` or
    ``{"error":{"code":2,"msg":"..."},"id":1}``: reports of the error shape differ, both are accepted.
    """
    if envelope.e == _SHUTDOWN:
        return (PlannedShutdown(envelope.E * MS if envelope.E is not None else None),)
    if envelope.e is not None:
        return ()
    request_id = None if envelope.id is None else str(envelope.id)
    if envelope.error is not None:
        return (ControlReply(request_id, clean(f"{envelope.error.code}: {envelope.error.msg}")),)
    if envelope.code is not None:
        return (ControlReply(request_id, clean(f"{envelope.code}: {envelope.msg}")),)
    if request_id is not None:
        return (ControlReply(request_id, None),)
    return ()


class _ServerTime(msgspec.Struct, gc=False):
    serverTime: Millis  # noqa: N815 - the wire's name


_SERVER_TIME = msgspec.json.Decoder(_ServerTime)


def decode_time_ns(body: bytes) -> int:
    """Return ``{"serverTime":1789478299014}`` in UTC nanoseconds; raises ProtocolViolation."""
    try:
        return _SERVER_TIME.decode(body).serverTime * MS
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"server time: {error}", body) from None
