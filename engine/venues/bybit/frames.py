"""Public frames of Bybit to trades, tops of book and funding updates; acknowledgements to control replies.

    {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":1672304486865,"s":"BTCUSDT",
     "S":"Buy","v":"0.001","p":"16578.50","i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}
    {"topic":"orderbook.1.BTCUSDT","ts":1772694601512,"type":"snapshot","data":{"s":"BTCUSDT",
     "b":[["71000.1","0.52"]],"a":[["71000.2","0.31"]],"u":72212457,"seq":101234567890},"cts":1772694601509}
    {"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17217.40"},"ts":1673272861786}

Depth frames never come here: the kernel reads them by ``market_data.depth_schema``. The top of book is
``orderbook.1`` on both products: it comes every 10 ms where tickers come every 50 or 100, and spot's tickers
have neither bid nor ask.

Source: Bybit v5 API docs, "Trade", "Orderbook", "Ticker", "Connect", seen 2026-07; single frames of 2023 to
2026.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS
from engine.model.instrument import Instrument, Product
from engine.model.market import FundingUpdate, Side, TopOfBook, Trade
from engine.venues.base import ControlReply, MarketEvent
from engine.venues.bybit.endpoints import TICKERS_TOPIC, TOP_TOPIC, TRADES_TOPIC
from engine.venues.bybit.errors import clean
from engine.venues.bybit.numbers import (
    DECODE_ERRORS,
    MS,
    Id,
    Millis,
    decimal,
    optional_decimal,
    price_in,
    qty_in,
    time_ns,
)

SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_INT64_MAX = 2**63 - 1
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_HOURS = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)


class _Trade(msgspec.Struct, gc=False):
    T: Millis
    S: str
    v: str
    p: str
    i: str
    BT: bool = False


class _Top(msgspec.Struct, gc=False):
    b: list[list[str]]
    a: list[list[str]]
    seq: Id = 0


class _Ticker(msgspec.Struct, gc=False):
    """What funding is made of; what a delta leaves out has not changed, "" means that there is none."""

    markPrice: str | None = None  # noqa: N815 - the wire's names
    indexPrice: str | None = None  # noqa: N815
    fundingRate: str | None = None  # noqa: N815
    nextFundingTime: str | None = None  # noqa: N815
    openInterest: str | None = None  # noqa: N815 - base units
    fundingIntervalHour: str | None = None  # noqa: N815


class _TradeFrame(msgspec.Struct, gc=False):
    data: list[_Trade]


class _TopFrame(msgspec.Struct, gc=False):
    type: str
    data: _Top
    ts: Millis
    cts: Millis = 0


class _TickerFrame(msgspec.Struct, gc=False):
    type: str
    data: _Ticker
    ts: Millis


class _Envelope(msgspec.Struct, gc=False):
    """Any message: a push has a ``topic``, an answer an ``op``."""

    topic: str = ""
    op: str = ""
    success: bool | None = None
    ret_msg: str = ""
    req_id: str | int | None = None


_TRADES = msgspec.json.Decoder(_TradeFrame)
_TOPS = msgspec.json.Decoder(_TopFrame)
_TICKERS = msgspec.json.Decoder(_TickerFrame)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_PREFIX = b'{"topic":"'
_PREFIX_SIZE = len(_PREFIX)

_Decode = Callable[[bytes, int, int], Sequence[MarketEvent]]


def trade_number(text: str) -> int:
    """Return a trade's id as a number of 63 bits: spot ids are numbers, linear ones UUIDs, folded in half.

    Every bit but one counts: nothing is documented of where these UUIDs differ.

    Raises:
        ProtocolViolation: neither.
    """
    if _NUMBER.fullmatch(text) is not None and int(text) <= _INT64_MAX:
        return int(text)
    if _UUID.fullmatch(text) is None:
        raise ProtocolViolation(f"not a trade id: {text[:40]!r}")
    whole = int(text.replace("-", ""), 16)
    return (whole >> 64 ^ whole) & _INT64_MAX


class MarketDecoder:
    """Decodes what the depth kernel passed on; knows the instruments by their topics.

    A push starts with its topic, which picks the typed decoder: one look-up, one pass. Any other layout of
    the same JSON takes the slower way.
    """

    def __init__(self) -> None:
        self._by_topic: dict[bytes, _Decode] = {}

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Learn instruments; frames of others are ignored."""
        for each in instruments:
            decoders = {TRADES_TOPIC: _trades(each), TOP_TOPIC: _tops(each)}
            if each.product is Product.PERP:
                decoders[TICKERS_TOPIC] = _Funding(each).decode
            for topic, decode in decoders.items():
                self._by_topic[f"{topic}.{each.symbol}".encode()] = decode

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode one message; unknown topics and operations give ``()``.

        Raises:
            ProtocolViolation: malformed, or a value out of range.
        """
        try:
            if payload.startswith(_PREFIX):
                known = self._by_topic.get(payload[_PREFIX_SIZE : payload.find(b'"', _PREFIX_SIZE)])
                if known is not None:
                    return known(payload, mono_ns, utc_ns)
            return self._other(payload, mono_ns, utc_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"market data: {error}", payload) from None

    def _other(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        envelope = _ENVELOPE.decode(payload)
        if envelope.topic:
            known = self._by_topic.get(envelope.topic.encode())
            return () if known is None else known(payload, mono_ns, utc_ns)
        request_id = None if envelope.req_id in (None, "") else str(envelope.req_id)
        if envelope.success is False:
            return (ControlReply(request_id, clean(envelope.ret_msg) or "refused without a reason"),)
        if envelope.op in ("subscribe", "unsubscribe") and envelope.success:
            return (ControlReply(request_id, None),)
        return ()  # pongs


def _trades(instrument: Instrument) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        events = []
        for row in _TRADES.decode(payload).data:
            if row.BT:
                continue  # a block trade was agreed elsewhere: it never met the book
            price, qty, side = price_in(row.p, instrument), qty_in(row.v, instrument), SIDES.get(row.S)
            if price <= 0 or qty <= 0 or side is None:
                raise ProtocolViolation(f"trade {row.i[:40]} of {instrument.symbol} is no trade")
            events.append(
                Trade(
                    instrument.universal,
                    trade_number(row.i),
                    price,
                    qty,
                    side,  # the taker's
                    row.T * MS,
                    utc_ns,
                    mono_ns,
                )
            )
        return events

    return decode


def _tops(instrument: Instrument) -> _Decode:
    def decode(payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        frame = _TOPS.decode(payload)
        bids, asks = frame.data.b, frame.data.a
        if frame.type != "snapshot" or not bids or not asks:
            return ()  # a side is empty: there is no best price to tell (deltas ended in 2024)
        if len(bids[0]) < 2 or len(asks[0]) < 2:
            raise ProtocolViolation(f"a level of {instrument.symbol} has no price or no size")
        return (
            TopOfBook(
                instrument.universal,
                price_in(bids[0][0], instrument),
                qty_in(bids[0][1], instrument),
                price_in(asks[0][0], instrument),
                qty_in(asks[0][1], instrument),
                frame.data.seq,
                (frame.cts or frame.ts) * MS,
                utc_ns,
                mono_ns,
            ),
        )

    return decode


class _Funding:
    """Merges the tickers of one perpetual: a snapshot, then deltas that name what has changed."""

    __slots__ = (
        "_has_snapshot", "_index", "_instrument", "_interest", "_interval_ns", "_mark", "_next_ns", "_rate",
    )  # fmt: skip

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._has_snapshot = False
        self._clear()

    def _clear(self) -> None:
        self._mark: Decimal | None = None
        self._index: Decimal | None = None
        self._rate: Decimal | None = None
        self._next_ns: int | None = None
        self._interest: Decimal | None = None
        self._interval_ns: int | None = None

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Return what is known now, where the frame tells something of it."""
        frame = _TICKERS.decode(payload)
        row = frame.data
        if frame.type == "snapshot":
            self._clear()
            self._has_snapshot = True
        elif not self._has_snapshot:
            return ()  # what it leaves out is not known
        is_told = False
        if row.markPrice is not None:
            self._mark, is_told = optional_decimal(row.markPrice), True
        if row.indexPrice is not None:
            self._index, is_told = optional_decimal(row.indexPrice), True
        if row.fundingRate is not None:  # of the settlement at nextFundingTime, still moving
            self._rate, is_told = optional_decimal(row.fundingRate), True
        if row.nextFundingTime is not None:
            self._next_ns = time_ns(row.nextFundingTime) or None if row.nextFundingTime else None
            is_told = True
        if row.openInterest is not None:
            self._interest = decimal(row.openInterest) if row.openInterest else None
            is_told = True
        if row.fundingIntervalHour is not None:
            self._interval_ns, is_told = _hours_ns(row.fundingIntervalHour), True
        if not is_told or self._mark is None:
            return ()
        return (
            FundingUpdate(
                self._instrument.universal,
                self._mark,
                self._index,
                self._rate,
                self._next_ns,
                frame.ts * MS,
                utc_ns,
                self._interest,
                None if self._rate is None else frame.ts * MS,  # what a delta leaves out stands unchanged
                None,
                self._interval_ns,
            ),
        )


def _hours_ns(text: str) -> int | None:
    """Return whole hours in nanoseconds, ``None`` where there are none; raises ProtocolViolation."""
    if text in ("", "0"):
        return None
    if _HOURS.fullmatch(text) is None:
        raise ProtocolViolation(f"an interval of {text[:20]!r} hours")
    return int(text) * HOUR_NS
