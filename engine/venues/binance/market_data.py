"""Public data of Binance spot and USD-M: subscriptions, decoded frames, depth snapshots.

Combined streams are used throughout (``{"stream": name, "data": {...}}``): a futures partial-depth frame
looks exactly like a diff and can be told from it by the stream's name alone, which is also what routes
a depth frame to its book. Depth diffs never come here: the kernel reads them by ``depth_schema``.

    spot diff  {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,
                "b":[["0.0024","10"]],"a":[["0.0026","100"]]}}
    perp diff  the same plus "T", "ps", "pu" (the previous event's "u") and "st"

Source: spot web-socket-streams and "How to manage a local order book" (2025-11-12 text); USD-M "Diff.
Book Depth Streams", "How to manage a local order book correctly"; routing split of 2026-03/04.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import numpy as np

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
from engine.venues.binance.numbers import scaled

NAMES_PER_MESSAGE = 100
"""Stream names in one SUBSCRIBE: many, because messages are budgeted (5 or 10 a second)."""

_MS = 1_000_000


def depth_schema(product: Product) -> DepthSchema:
    """Return how the kernel finds a depth frame's parts, and the product's sequence rule."""
    perp = product is Product.PERP
    return DepthSchema(
        rule=SequenceRule.PREVIOUS if perp else SequenceRule.RANGE,
        route_keys=("stream",),
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


def market_plans(
    product: Product,
    endpoints: Endpoints,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    speed: str,
) -> list[ConnectionPlan]:
    """Return the connections for these instruments.

    Spot has one kind of connection; USD-M needs ``/public`` (depth, top of book, trades) and ``/market``
    (mark price, funding): a stream asked for on the wrong one is acknowledged and stays silent.
    """
    base = endpoints.ws_public.rstrip("/")
    if product is Product.SPOT:
        return _plans(product, f"{base}/stream", "public", instruments, topics, speed)
    plans = _plans(product, f"{base}/public/stream", "public", instruments, topics, speed)
    if Topic.FUNDING in topics:
        plans += _plans(product, f"{base}/market/stream", "market", instruments, topics, speed)
    return plans


def _streams(product: Product, route: str, symbol: str, topics: frozenset[Topic], speed: str) -> list[str]:
    lower = symbol.lower()
    if route == "market":
        return [f"{lower}@markPrice@1s"]
    names = [depth_stream(product, symbol, speed)]
    if Topic.TOP_OF_BOOK in topics:
        names.append(f"{lower}@bookTicker")
    if Topic.TRADES in topics:
        # USD-M documents @aggTrade only; @trade on /public is undocumented, measured, and has every
        # print with its consecutive id.
        names.append(f"{lower}@trade")
    return names


def _plans(
    product: Product,
    url: str,
    route: str,
    instruments: Sequence[Instrument],
    topics: frozenset[Topic],
    speed: str,
) -> list[ConnectionPlan]:
    rules = STREAM_RULES[product]
    per_instrument = max(1, len(_streams(product, route, "x", topics, speed)))
    size = max(1, rules.streams_max // per_instrument)
    plans = []
    for number, start in enumerate(range(0, len(instruments), size)):
        group = instruments[start : start + size]
        names = [name for each in group for name in _streams(product, route, each.symbol, topics, speed)]
        messages = tuple(
            msgspec.json.encode(
                {"method": "SUBSCRIBE", "params": names[at : at + NAMES_PER_MESSAGE], "id": index + 1}
            )
            for index, at in enumerate(range(0, len(names), NAMES_PER_MESSAGE))
        )
        routes: tuple[tuple[str, str], ...] = ()
        if route == "public":
            routes = tuple((depth_stream(product, each.symbol, speed), each.universal) for each in group)
        plans.append(
            ConnectionPlan(
                name=f"{VENUE}.{product.value}.{route}.{number}",
                url=url,
                subscribe=messages,
                rules=rules,
                depth_routes=routes,
                universals=tuple(each.universal for each in group),
            )
        )
    return plans


# ---------------------------------------------------------------------------------------- snapshots


class _Snapshot(msgspec.Struct, gc=False):
    lastUpdateId: int  # noqa: N815 - the wire's name
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]
    E: int | None = None


_SNAPSHOT = msgspec.json.Decoder(_Snapshot)


def decode_snapshot(instrument: Instrument, body: bytes) -> BookSnapshot:
    """Return a REST depth answer in the instrument's scales.

    ``{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}``; USD-M adds ``E``, ``T``.

    Raises:
        ProtocolViolation: not a snapshot, unsorted, or a value that does not fit.
    """
    try:
        snapshot = _SNAPSHOT.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: {error}", body) from None
    if not 0 < snapshot.lastUpdateId < 2**62:
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: lastUpdateId out of range", body)
    return BookSnapshot(
        snapshot.lastUpdateId,
        _levels(instrument, snapshot.bids, -1),
        _levels(instrument, snapshot.asks, 1),
        snapshot.E * _MS if snapshot.E is not None else None,
    )


def _levels(instrument: Instrument, rows: list[tuple[str, str]], direction: int) -> Levels:
    result = np.empty((len(rows), 2), dtype=np.int64)
    price_scale, qty_scale = instrument.price_scale, instrument.qty_scale
    for index, (price, qty) in enumerate(rows):
        result[index, 0] = scaled(price, price_scale)
        result[index, 1] = scaled(qty, qty_scale)
    if len(rows) > 1 and not (np.diff(result[:, 0]) * direction > 0).all():
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: levels are not sorted best first")
    if len(rows) and (result <= 0).any():
        raise ProtocolViolation(f"depth snapshot of {instrument.symbol}: a level is not positive")
    return result


# ------------------------------------------------------------------------------------------- frames


class _Envelope(msgspec.Struct, gc=False):
    """Any message of a stream connection: a combined frame, or an unwrapped control answer."""

    stream: str | None = None
    data: msgspec.Raw | None = None
    id: int | str | None = None
    error: msgspec.Raw | None = None
    code: int | None = None
    msg: str | None = None
    e: str | None = None
    E: int | None = None


class _Trade(msgspec.Struct, gc=False):
    t: int
    p: str
    q: str
    T: int
    m: bool
    X: str = "MARKET"


class _BookTicker(msgspec.Struct, gc=False):
    u: int
    b: str
    B: str
    a: str
    A: str
    T: int | None = None


class _MarkPrice(msgspec.Struct, gc=False):
    E: int
    p: str
    i: str
    r: str
    T: int


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_TRADE = msgspec.json.Decoder(_Trade)
_BOOK_TICKER = msgspec.json.Decoder(_BookTicker)
_MARK_PRICE = msgspec.json.Decoder(_MarkPrice)


class MarketDecoder:
    """Decodes what the depth kernel passed on; knows the instruments by their stream prefix."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._by_stream: dict[str, tuple[Any, Instrument]] = {}

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Learn instruments; frames of others are ignored."""
        for each in instruments:
            lower = each.symbol.lower()
            self._by_stream[f"{lower}@trade"] = (self._trade, each)
            self._by_stream[f"{lower}@bookTicker"] = (self._book_ticker, each)
            self._by_stream[f"{lower}@markPrice@1s"] = (self._mark_price, each)
            self._by_stream[f"{lower}@markPrice"] = (self._mark_price, each)

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode one message; unknown streams and events give ``()``.

        Raises:
            ProtocolViolation: malformed, or a value out of range.
        """
        try:
            envelope = _ENVELOPE.decode(payload)
            if envelope.stream is None:
                return _control(envelope)
            if envelope.stream == "!serverShutdown":
                return (PlannedShutdown(None),)
            known = self._by_stream.get(envelope.stream)
            if known is None or envelope.data is None:
                return ()
            decode, instrument = known
            event: MarketEvent | None = decode(instrument, envelope.data, mono_ns, utc_ns)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidOperation) as error:
            raise ProtocolViolation(f"market data: {error}", payload) from None
        return () if event is None else (event,)

    def _trade(self, instrument: Instrument, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> Trade | None:
        trade = _TRADE.decode(data)
        if trade.X == "NA":  # carries price and quantity "0": not a print
            return None
        price, qty = scaled(trade.p, instrument.price_scale), scaled(trade.q, instrument.qty_scale)
        if price <= 0 or qty <= 0:
            raise ProtocolViolation(f"trade {trade.t} of {instrument.symbol} is not positive")
        return Trade(
            instrument.universal,
            trade.t,
            price,
            qty,
            Side.SELL if trade.m else Side.BUY,  # "m": the buyer is the maker, so the aggressor sold
            trade.T * _MS,
            utc_ns,
            mono_ns,
        )

    def _book_ticker(self, instrument: Instrument, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> TopOfBook:
        top = _BOOK_TICKER.decode(data)
        price_scale, qty_scale = instrument.price_scale, instrument.qty_scale
        return TopOfBook(
            instrument.universal,
            scaled(top.b, price_scale),
            scaled(top.B, qty_scale),
            scaled(top.a, price_scale),
            scaled(top.A, qty_scale),
            top.u,
            top.T * _MS if top.T is not None else None,
            utc_ns,
            mono_ns,
        )

    def _mark_price(
        self, instrument: Instrument, data: msgspec.Raw, mono_ns: int, utc_ns: int
    ) -> FundingUpdate:
        mark = _MARK_PRICE.decode(data)
        return FundingUpdate(
            instrument.universal,
            _finite(mark.p),
            _finite(mark.i),
            _finite(mark.r) if mark.r else None,  # "" on contracts without funding
            mark.T * _MS if mark.T else None,
            mark.E * _MS,
            utc_ns,
        )


def _finite(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite() or len(text) > 40:
        raise ProtocolViolation(f"not a finite number: {text[:40]!r}")
    return value


def _control(envelope: _Envelope) -> Sequence[MarketEvent]:
    """Read an unwrapped message: an answer to SUBSCRIBE in either error shape, or a raw shutdown notice.

    ``{"result":null,"id":1}``, ``{"code":2,"msg":"Invalid request: ..."}`` or
    ``{"error":{"code":2,"msg":"..."},"id":1}``: reports of the error shape differ, both are accepted.
    """
    if envelope.e == "serverShutdown":
        return (PlannedShutdown(envelope.E * _MS if envelope.E is not None else None),)
    if envelope.e is not None:
        return ()
    request_id = None if envelope.id is None else str(envelope.id)
    if envelope.error is not None and bytes(envelope.error) != b"null":
        return (ControlReply(request_id, bytes(envelope.error)[:300].decode("utf-8", "replace")),)
    if envelope.code is not None:
        return (ControlReply(request_id, f"{envelope.code}: {(envelope.msg or '')[:300]}"),)
    if request_id is not None:
        return (ControlReply(request_id, None),)
    return ()


class _ServerTime(msgspec.Struct, gc=False):
    serverTime: int  # noqa: N815 - the wire's name


_SERVER_TIME = msgspec.json.Decoder(_ServerTime)


def decode_time_ns(body: bytes) -> int:
    """Return ``{"serverTime":1789478299014}`` in UTC nanoseconds; raises ProtocolViolation."""
    try:
        return _SERVER_TIME.decode(body).serverTime * _MS
    except (msgspec.DecodeError, RecursionError) as error:
        raise ProtocolViolation(f"server time: {error}", body) from None
