"""Public frames of OKX to trades, tops of book and funding updates; acknowledgements to control replies.

    {"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"2005639579",
     "px":"91467.1","sz":"0.03","side":"sell","ts":"1765201257145","count":"1","source":"0","seqId":279183506666}]}

Depth frames never come here: the kernel reads them by ``market_data.depth_schema``.
Source: OKX v5 API docs, "WS / Trades channel", "WS / Order book channel", "WS / Funding rate channel", "WS /
Mark price channel", "WS / Open interest channel", seen 2026-08; recorded frames of 2022 and 2025.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from engine.model.contract_news import ContractNews
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, InstrumentsTold, Product
from engine.model.market import Side, TopOfBook, Trade
from engine.venues.base import ControlReply, MarketEvent, PlannedShutdown
from engine.venues.okx.endpoints import (
    INDEX_CHANNEL,
    INST_TYPES,
    INSTRUMENTS_CHANNEL,
    TOP_CHANNEL,
    TRADES_CHANNEL,
)
from engine.venues.okx.errors import clean
from engine.venues.okx.instruments import decode_rows
from engine.venues.okx.market_data import Arg, arg_text, index_of
from engine.venues.okx.numbers import (
    DECODE_ERRORS,
    Id,
    decimal,
    interval_ns,
    number,
    optional_decimal,
    price_in,
    qty_in,
    time_ns,
)

SERVICE_UPGRADE = "64008"
"""Code of the notice that the connection will be closed in 60 s."""


class _Trade(msgspec.Struct, gc=False):
    tradeId: str  # noqa: N815 - the wire's names
    px: str
    sz: str
    side: str
    ts: str
    count: str = "1"


class _Top(msgspec.Struct, gc=False):
    """``{"asks":[["83.81","11.93","0","1"]],"bids":[..],"ts":"1765201257149","seqId":378617009}``."""

    asks: list[list[str]]
    bids: list[list[str]]
    ts: str
    seqId: Id = 0  # noqa: N815


class _Funding(msgspec.Struct, gc=False):
    """``fundingRate`` is for the settlement at ``fundingTime``, ``nextFundingRate`` for the one after it."""

    fundingRate: str  # noqa: N815
    fundingTime: str  # noqa: N815
    ts: str = ""
    nextFundingRate: str = ""  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    settFundingRate: str = ""  # noqa: N815


class _Mark(msgspec.Struct, gc=False):
    markPx: str  # noqa: N815
    ts: str


class _Index(msgspec.Struct, gc=False):
    idxPx: str  # noqa: N815
    ts: str


class _OpenInterest(msgspec.Struct, gc=False):
    oiCcy: str  # noqa: N815 - base units; ``oi`` is contracts
    ts: str


class _TradeFrame(msgspec.Struct, gc=False):
    data: list[_Trade]


class _TopFrame(msgspec.Struct, gc=False):
    data: list[_Top]


class _FundingFrame(msgspec.Struct, gc=False):
    data: list[_Funding]


class _MarkFrame(msgspec.Struct, gc=False):
    data: list[_Mark]


class _IndexFrame(msgspec.Struct, gc=False):
    data: list[_Index]


class _OpenInterestFrame(msgspec.Struct, gc=False):
    data: list[_OpenInterest]


class _ListingFrame(msgspec.Struct, gc=False):
    data: list[msgspec.Raw]


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""  # noqa: N815


class Envelope(msgspec.Struct, gc=False):
    """Any message: a push has ``arg`` and ``data``, everything else an ``event``."""

    arg: _Arg | None = None
    event: str = ""
    id: str | int | None = None
    code: str | int = ""
    msg: str = ""
    connId: str = ""  # noqa: N815


_TRADES = msgspec.json.Decoder(_TradeFrame)
_TOPS = msgspec.json.Decoder(_TopFrame)
_FUNDINGS = msgspec.json.Decoder(_FundingFrame)
_MARKS = msgspec.json.Decoder(_MarkFrame)
_INDICES = msgspec.json.Decoder(_IndexFrame)
_OPEN_INTERESTS = msgspec.json.Decoder(_OpenInterestFrame)
_LISTINGS = msgspec.json.Decoder(_ListingFrame)
ENVELOPE = msgspec.json.Decoder(Envelope)
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_PREFIX = b'{"arg":'
_PREFIX_SIZE = len(_PREFIX)


_Decode = Callable[[bytes, int, int], Sequence[MarketEvent]]


class MarketDecoder:
    """Decodes what the depth kernel passed on; knows the instruments by their subscription's text.

    A push starts with its subscription (``{"arg":{"channel":..,"instId":..},``), which picks the typed
    decoder: one look-up, one pass. Any other layout of the same JSON takes the slower way.
    """

    def __init__(self, product: Product = Product.SPOT) -> None:
        self._listing = _listings(product)
        listing = msgspec.json.encode({"channel": INSTRUMENTS_CHANNEL, "instType": INST_TYPES[product]})
        self._by_arg: dict[bytes, _Decode] = {listing: self._listing}
        self._requests: dict[str, tuple[Arg, ...]] = {}
        self._waiting: dict[str, tuple[str, set[Arg]]] = {}

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Learn instruments; frames of others are ignored."""
        by_index: dict[str, list[ContractNews]] = {}
        for each in instruments:
            decoders: dict[str, _Decode] = {
                TRADES_CHANNEL: _trades(each),
                TOP_CHANNEL: _tops(each),
            }
            if each.product is Product.PERP:
                swap = ContractNews(each)
                by_index.setdefault(index_of(each), []).append(swap)
                decoders["funding-rate"] = _fundings(swap)
                decoders["mark-price"] = _marks(swap)
                decoders["open-interest"] = _open_interests(swap)
            for channel, decode in decoders.items():
                self._by_arg[arg_text((channel, each.symbol))] = decode
        for index, swaps in by_index.items():
            self._by_arg[arg_text((INDEX_CHANNEL, index))] = _indices(swaps)

    def expect(self, requests: dict[str, tuple[Arg, ...]]) -> None:
        """Learn which channels a request of each id asks for: the venue acknowledges each by itself."""
        self._requests.update(requests)

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode one message; unknown channels and events give ``()``.

        Raises:
            ProtocolViolation: malformed, or a value out of range.
        """
        try:
            if payload.startswith(_PREFIX):
                known = self._by_arg.get(payload[_PREFIX_SIZE : payload.find(b"}") + 1])
                if known is not None:
                    return known(payload, mono_ns, utc_ns)
            elif payload == b"pong":
                return ()
            return self._other(payload, mono_ns, utc_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"market data: {error}", payload) from None

    def _other(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        envelope = ENVELOPE.decode(payload)
        if not envelope.event:
            if envelope.arg is None:
                return ()
            if envelope.arg.channel == INSTRUMENTS_CHANNEL:
                return self._listing(payload, mono_ns, utc_ns)
            known = self._by_arg.get(arg_text((envelope.arg.channel, envelope.arg.instId)))
            return () if known is None else known(payload, mono_ns, utc_ns)
        request_id = None if envelope.id is None else str(envelope.id)
        if envelope.event == "error":
            return (ControlReply(request_id, clean(f"{envelope.code}: {envelope.msg}")),)
        if envelope.event == "notice" and str(envelope.code) == SERVICE_UPGRADE:
            return (PlannedShutdown(None),)
        if envelope.event == "unsubscribe" and request_id is not None:
            return (ControlReply(request_id, None),)
        if envelope.event == "subscribe" and request_id is not None and envelope.arg is not None:
            arg = (envelope.arg.channel, envelope.arg.instId)
            return self._acknowledged(request_id, envelope.connId, arg)
        return ()

    def _acknowledged(self, request_id: str, connection: str, arg: Arg) -> Sequence[MarketEvent]:
        """Report a request as accepted once every channel of it was acknowledged on this connection."""
        wanted = self._requests.get(request_id)
        if wanted is None:
            return (ControlReply(request_id, None),)  # of one channel, see ``depth_request``
        known = self._waiting.get(request_id)
        if known is None or known[0] != connection:
            known = self._waiting[request_id] = (connection, set(wanted))
        known[1].discard(arg)
        if known[1]:
            return ()
        del self._waiting[request_id]
        return (ControlReply(request_id, None),)


def _listings(product: Product) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        told = decode_rows(product, _LISTINGS.decode(payload).data).instruments
        return (InstrumentsTold(tuple(told)),) if told else ()

    return decode


def _trades(instrument: Instrument) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        events = []
        for row in _TRADES.decode(payload).data:
            price, qty, side = price_in(row.px, instrument), qty_in(row.sz, instrument), SIDES.get(row.side)
            if price <= 0 or qty <= 0 or side is None:
                raise ProtocolViolation(f"trade {row.tradeId[:40]} of {instrument.symbol} is no trade")
            events.append(
                Trade(
                    instrument.universal,
                    number(row.tradeId),
                    price,
                    qty,
                    side,  # the taker's
                    time_ns(row.ts),
                    utc_ns,
                    mono_ns,
                    max(1, min(number(row.count), number(row.tradeId))),
                )
            )
        return events

    return decode


def _tops(instrument: Instrument) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        events = []
        for row in _TOPS.decode(payload).data:
            if not row.bids or not row.asks:
                continue  # a side is empty: there is no best price to tell
            bid, ask = row.bids[0], row.asks[0]
            if len(bid) < 2 or len(ask) < 2:
                raise ProtocolViolation(f"a level of {instrument.symbol} has no price or no size")
            events.append(
                TopOfBook(
                    instrument.universal,
                    price_in(bid[0], instrument),
                    qty_in(bid[1], instrument),
                    price_in(ask[0], instrument),
                    qty_in(ask[1], instrument),
                    row.seqId,
                    time_ns(row.ts),
                    utc_ns,
                    mono_ns,
                )
            )
        return events

    return decode


def _fundings(swap: ContractNews) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        stamp = 0
        for row in _FUNDINGS.decode(payload).data:
            swap.funding_rate = optional_decimal(row.fundingRate)  # of the settlement at fundingTime
            swap.next_funding_utc_ns = time_ns(row.fundingTime) if row.fundingTime else None
            swap.predicted_rate = optional_decimal(row.nextFundingRate)
            swap.interval_ns = interval_ns(row.fundingTime, row.nextFundingTime)
            swap.last_settled_rate = optional_decimal(row.settFundingRate)
            swap.rate_utc_ns = stamp = time_ns(row.ts) if row.ts else utc_ns
        return swap.update(stamp, utc_ns) if stamp else ()

    return decode


def _marks(swap: ContractNews) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        stamp = 0
        for row in _MARKS.decode(payload).data:
            swap.mark_price, stamp = decimal(row.markPx), time_ns(row.ts)
        return swap.update(stamp, utc_ns) if stamp else ()

    return decode


def _open_interests(swap: ContractNews) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        stamp = 0
        for row in _OPEN_INTERESTS.decode(payload).data:
            swap.open_interest, stamp = decimal(row.oiCcy), time_ns(row.ts)
        return swap.update(stamp, utc_ns) if stamp else ()

    return decode


def _indices(swaps: Sequence[ContractNews]) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        events: list[MarketEvent] = []
        for row in _INDICES.decode(payload).data:
            for swap in swaps:
                swap.index_price = decimal(row.idxPx)
                events += swap.update(time_ns(row.ts), utc_ns)
        return events

    return decode
