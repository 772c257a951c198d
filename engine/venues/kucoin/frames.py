"""Public frames of KuCoin to trades, tops of book and funding updates; acknowledgements to control replies.

    {"T":"trade.SPOT","P":1768802538491160904,"d":{"s":"BTC-USDT","M":1768802538480000000,"S":"sell",
     "p":"92525.6","q":"0.00008036","ti":"20631804219899904"}}                                  (unified)
    {"topic":"/market/match:BTC-USDT","type":"message","subject":"trade.l3match","data":{"side":"buy",
     "price":"67523","size":"0.003","tradeId":"11067996711960577","time":"1729843222921000000"}}  (classic)

Depth frames never come here: the kernel reads them by ``market_data.depth_schema``.
Source: KuCoin API docs, "Ticker", "Trade", "Mark Price & Index Price & Open Interest", "Funding Rate" (both
interfaces), seen 2026-08; frames recorded 2021-04, 2026-01 and 2026-09.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from engine.model.contract_news import ContractNews
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side, TopOfBook, Trade
from engine.venues.base import ControlReply, MarketEvent, VenueTime, Welcome
from engine.venues.kucoin.endpoints import CLASSIC_FUNDING, CLASSIC_TOPS, CLASSIC_TRADES
from engine.venues.kucoin.errors import clean
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    Number,
    exact,
    granularity_ns,
    number,
    number_price_in,
    number_qty_in,
    optional_time_ns,
    price_in,
    qty_in,
    time_ns,
)

Stamp = int | str
PONG_TICK_NS = 1_000_000
"""Pongs tell microseconds (classic) or nanoseconds (unified). UNCONFIRMED: how finely that clock ticks."""
SIDES = {"buy": Side.BUY, "sell": Side.SELL, "BUY": Side.BUY, "SELL": Side.SELL}


# The unified interface's letters: s symbol, M match time, S side, p price, q size, ti trade id, E sequence.
class _Trade(msgspec.Struct, gc=False):
    s: str
    S: str
    p: str
    q: str
    ti: Stamp
    M: Stamp


class _Top(msgspec.Struct, gc=False):
    """``a`` best ask and ``A`` its size, ``b`` and ``B`` likewise; empty where a side is."""

    s: str
    a: str = ""
    A: str = ""
    b: str = ""
    B: str = ""
    E: Stamp = 0
    M: Stamp | None = None


class _Mark(msgspec.Struct, gc=False):
    """``oi`` is lots."""

    s: str
    mp: Number
    ts: Stamp
    ip: Number | None = None
    oi: Number | None = None


class _Funding(msgspec.Struct, gc=False):
    """``fr`` runs on until the settlement at ``nt``; ``gl`` is the interval in ms, ``lfr`` was settled."""

    s: str
    fr: Number
    nt: Stamp | None = None
    gl: Stamp | None = None
    lfr: Number | None = None


class _TradeFrame(msgspec.Struct, gc=False):
    d: _Trade


class _TopFrame(msgspec.Struct, gc=False):
    d: _Top


class _MarkFrame(msgspec.Struct, gc=False):
    d: _Mark


class _FundingFrame(msgspec.Struct, gc=False):
    d: _Funding
    P: Stamp = 0


class _ClassicTrade(msgspec.Struct, gc=False):
    """Spot and futures; ``time`` (text) on spot, ``ts`` on futures, both ns."""

    side: str
    price: Number
    size: Number
    tradeId: str  # noqa: N815 - the wire's names
    sequence: Stamp
    time: Stamp | None = None
    ts: Stamp | None = None


class _ClassicTop(msgspec.Struct, gc=False):
    """Spot says ``bestBid``, futures ``bestBidPrice``."""

    bestBid: Number | None = None  # noqa: N815
    bestAsk: Number | None = None  # noqa: N815
    bestBidPrice: Number | None = None  # noqa: N815
    bestAskPrice: Number | None = None  # noqa: N815
    bestBidSize: Number | None = None  # noqa: N815
    bestAskSize: Number | None = None  # noqa: N815
    sequence: Stamp = 0
    time: Stamp | None = None
    ts: Stamp | None = None


class _ClassicMark(msgspec.Struct, gc=False):
    """Subjects ``mark.index.price`` and ``funding.rate``, told apart by what they hold."""

    timestamp: Stamp
    granularity: int = 0
    markPrice: Number | None = None  # noqa: N815
    indexPrice: Number | None = None  # noqa: N815
    fundingRate: Number | None = None  # noqa: N815


class Envelope(msgspec.Struct, gc=False):
    """Any message of either interface, but for the contents."""

    T: str = ""
    type: str = ""
    topic: str = ""
    subject: str = ""
    id: Stamp | None = None
    code: Stamp = ""
    result: bool | None = None
    message: str = ""
    reason: str = ""
    timestamp: Stamp | None = None
    ts: Stamp | None = None
    sessionId: str = ""  # noqa: N815
    data: msgspec.Raw = msgspec.Raw()


_TRADES = msgspec.json.Decoder(_TradeFrame)
_TOPS = msgspec.json.Decoder(_TopFrame)
_MARKS = msgspec.json.Decoder(_MarkFrame)
_FUNDINGS = msgspec.json.Decoder(_FundingFrame)
_CLASSIC_TRADES = msgspec.json.Decoder(_ClassicTrade)
_CLASSIC_TOPS = msgspec.json.Decoder(_ClassicTop)
_CLASSIC_MARKS = msgspec.json.Decoder(_ClassicMark)
ENVELOPE = msgspec.json.Decoder(Envelope)
_PREFIX = b'{"T":"'
_PREFIX_SIZE = len(_PREFIX)
_ESTIMATE_MS = 60_000
"""``granularity`` of a running funding estimate; the interval's own length marks the settled rate."""


class MarketDecoder:
    """Decodes what the depth kernel passed on, of either interface.

    A unified push starts with its channel (``{"T":"trade.SPOT",``), which picks the typed decoder: one
    look-up, one pass. Any other layout of the same JSON takes the slower way.
    """

    def __init__(self, product: Product) -> None:
        self._known: dict[str, Instrument] = {}
        self._contracts: dict[str, ContractNews] = {}
        self._unified: dict[str, Callable[[bytes, int, int], Sequence[MarketEvent]]] = {
            "trade.SPOT": self._trade,
            "trade.FUTURES": self._trade,
            "ticker.SPOT": self._top,
            "ticker.FUTURES": self._top,
            "mark-price": self._mark,
            "funding-fee": self._funding,
        }
        self._unified_bytes = {name.encode(): decode for name, decode in self._unified.items()}
        self._classic: dict[str, Callable[[Instrument, msgspec.Raw, int, int], Sequence[MarketEvent]]] = {
            CLASSIC_TRADES[product]: _classic_trade,
            CLASSIC_TOPS[product]: _classic_top,
            CLASSIC_FUNDING: self._classic_mark,
        }

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Learn instruments; frames of others are ignored."""
        for each in instruments:
            self._known[each.symbol] = each
            if each.product is Product.PERP and each.symbol not in self._contracts:
                self._contracts[each.symbol] = ContractNews(each)

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode one message; unknown channels and kinds give ``()``.

        Raises:
            ProtocolViolation: malformed, or a value out of range.
        """
        try:
            if payload.startswith(_PREFIX):
                name = payload[_PREFIX_SIZE : payload.find(b'"', _PREFIX_SIZE)]
                known = self._unified_bytes.get(name)
                if known is not None:
                    return known(payload, mono_ns, utc_ns)
            return self._other(payload, mono_ns, utc_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"market data: {error}", payload) from None

    def _other(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        frame = ENVELOPE.decode(payload)
        if frame.T:
            known = self._unified.get(frame.T)
            return () if known is None else known(payload, mono_ns, utc_ns)
        if frame.topic and frame.type in ("message", ""):
            channel, _, symbol = frame.topic.partition(":")
            decode, instrument = self._classic.get(channel), self._known.get(symbol)
            if decode is None or instrument is None:
                return ()
            return decode(instrument, frame.data, mono_ns, utc_ns)
        return control(frame)

    def _trade(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        row = _TRADES.decode(payload).d
        each = self._known.get(row.s)
        if each is None:
            return ()
        return (
            _print(
                each, number(row.ti), price_in(row.p, each), qty_in(row.q, each), row.S, time_ns(row.M),
                utc_ns, mono_ns,
            ),
        )  # fmt: skip

    def _top(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        row = _TOPS.decode(payload).d
        each = self._known.get(row.s)
        if each is None:
            return ()
        bid, ask = price_in(row.b, each), price_in(row.a, each)
        if not bid or not ask:
            return ()  # a side is empty: there is no best price to tell
        return (
            TopOfBook(
                each.universal,
                bid,
                qty_in(row.B, each),
                ask,
                qty_in(row.A, each),
                number(row.E),
                optional_time_ns(row.M),
                utc_ns,
                mono_ns,
            ),
        )

    def _mark(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        row = _MARKS.decode(payload).d
        contract = self._contracts.get(row.s)
        if contract is None:
            return ()
        contract.mark_price = exact(row.mp)
        contract.index_price = contract.index_price if row.ip is None else exact(row.ip)
        if row.oi is not None:
            contract.open_interest = exact(row.oi) * contract.instrument.contract_size
        return contract.update(time_ns(row.ts), utc_ns)

    def _funding(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        frame = _FUNDINGS.decode(payload)
        contract = self._contracts.get(frame.d.s)
        if contract is None:
            return ()
        contract.funding_rate = exact(frame.d.fr)
        contract.next_funding_utc_ns = optional_time_ns(frame.d.nt)
        contract.interval_ns = granularity_ns(None if frame.d.gl is None else number(frame.d.gl))
        contract.last_settled_rate = None if frame.d.lfr is None else exact(frame.d.lfr)
        contract.rate_utc_ns = optional_time_ns(frame.P) or utc_ns
        return contract.update(contract.rate_utc_ns, utc_ns)

    def _classic_mark(
        self, instrument: Instrument, data: msgspec.Raw, mono_ns: int, utc_ns: int
    ) -> Sequence[MarketEvent]:
        row = _CLASSIC_MARKS.decode(data)
        contract = self._contracts.get(instrument.symbol)
        if contract is None:
            return ()
        if row.markPrice is not None:
            contract.mark_price = exact(row.markPrice)
            contract.index_price = None if row.indexPrice is None else exact(row.indexPrice)
        elif row.fundingRate is not None and row.granularity == _ESTIMATE_MS:
            contract.funding_rate, contract.rate_utc_ns = exact(row.fundingRate), time_ns(row.timestamp)
        elif row.fundingRate is not None and row.granularity > _ESTIMATE_MS:
            # What was settled; what the next settlement pays is told by the estimate.
            contract.last_settled_rate = exact(row.fundingRate)
            contract.interval_ns = granularity_ns(row.granularity)
        else:
            return ()
        return contract.update(time_ns(row.timestamp), utc_ns)


def control(frame: Envelope) -> Sequence[MarketEvent]:
    """Return what a message that is no push says: a welcome, an acknowledgement, a refusal; else ``()``."""
    if frame.type == "welcome" or frame.message == "welcome":
        return (Welcome(),)
    if frame.type == "error" or frame.result is False:
        return (ControlReply(request_id(frame), error_text(frame)),)
    if frame.type == "ack" or frame.result is True:
        return (ControlReply(request_id(frame), None),)
    said_ns = optional_time_ns(frame.ts or frame.timestamp) if frame.type == "pong" else None
    return () if said_ns is None else (VenueTime(said_ns, PONG_TICK_NS),)


def request_id(frame: Envelope) -> str | None:
    """Return whose answer a frame is; the venue quotes ids that were sent as numbers."""
    return None if frame.id is None else str(frame.id)


def error_text(frame: Envelope) -> str:
    """Return why something was refused; the unified interface says it under one of two keys."""
    data = bytes(frame.data).decode("utf-8", "replace").strip('"')
    return clean(f"{frame.code}: {frame.message or frame.reason or data}".removeprefix(": "))


def _print(
    each: Instrument,
    trade_id: int,
    price: int,
    qty: int,
    side: str,
    venue_utc_ns: int,
    utc_ns: int,
    mono_ns: int,
) -> Trade:
    aggressor = SIDES.get(side)
    if price <= 0 or qty <= 0 or aggressor is None:
        raise ProtocolViolation(f"trade {trade_id} of {each.symbol} is no trade")
    return Trade(each.universal, trade_id, price, qty, aggressor, venue_utc_ns, utc_ns, mono_ns)


def _classic_trade(
    instrument: Instrument, data: msgspec.Raw, mono_ns: int, utc_ns: int
) -> Sequence[MarketEvent]:
    row = _CLASSIC_TRADES.decode(data)
    # Old trade ids are hexadecimal; the stream's own number is an integer then and now.
    trade_id = number(row.tradeId if row.tradeId.isdecimal() and len(row.tradeId) < 19 else row.sequence)
    stamp = row.ts if row.ts is not None else row.time
    if stamp is None:
        raise ProtocolViolation("a trade without a time")
    return (
        _print(
            instrument, trade_id, number_price_in(row.price, instrument), number_qty_in(row.size, instrument),
            row.side, time_ns(stamp), utc_ns, mono_ns,
        ),
    )  # fmt: skip


def _classic_top(
    instrument: Instrument, data: msgspec.Raw, mono_ns: int, utc_ns: int
) -> Sequence[MarketEvent]:
    row = _CLASSIC_TOPS.decode(data)
    bid = number_price_in(row.bestBidPrice if row.bestBid is None else row.bestBid, instrument)
    ask = number_price_in(row.bestAskPrice if row.bestAsk is None else row.bestAsk, instrument)
    if not bid or not ask:
        return ()
    return (
        TopOfBook(
            instrument.universal,
            bid,
            number_qty_in(row.bestBidSize, instrument),
            ask,
            number_qty_in(row.bestAskSize, instrument),
            number(row.sequence),
            optional_time_ns(row.ts if row.ts is not None else row.time),
            utc_ns,
            mono_ns,
        ),
    )
