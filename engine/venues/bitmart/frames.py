"""Public frames of BitMart to trades, tops of book and funding updates; acknowledgements to control replies.

    {"table":"spot/trade","data":[{"symbol":"ETH_USDT","price":"162.12","side":"buy","size":"11.085",
     "s_t":1542337219,"ms_t":1542337219120}]}
    {"group":"futures/trade:BTCUSDT","data":[{"trade_id":3000000389425121,"symbol":"BTCUSDT",
     "deal_price":"78727.3","deal_vol":"310","way":2,"m":true,"created_at":"2025-03-10T18:17:14.656686827Z"}]}

Depth frames never come here: the kernel reads them by ``market_data.depth_schema``. Whether a message was
deflated is the transport's knowledge: here it is JSON, or the text ``pong``.
Source: BitMart API docs, "Ticker Channel", "Trade Channel", "Book Ticker Channel", "Funding Rate Channel",
seen 2026-11; futures frames recorded 2025-03 and 2026-09.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from engine.model.contract_news import ContractNews
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side, TopOfBook, Trade
from engine.venues.base import ControlReply, MarketEvent
from engine.venues.bitmart.endpoints import (
    FUTURES_FUNDING,
    FUTURES_TICKER,
    FUTURES_TOP,
    FUTURES_TRADES,
    SPOT_TICKER,
    SPOT_TRADES,
)
from engine.venues.bitmart.errors import clean
from engine.venues.bitmart.numbers import (
    DECODE_ERRORS,
    Id,
    Millis,
    decimal,
    iso_ns,
    optional_decimal,
    optional_time_ns,
    price_in,
    qty_in,
    time_ns,
)

NO_TRADE_ID = 0
"""Spot numbers no public prints."""


class _SpotTrade(msgspec.Struct, gc=False):
    symbol: str
    price: str
    size: str
    side: str
    ms_t: Millis


class _SpotTicker(msgspec.Struct, gc=False):
    symbol: str
    ms_t: Millis
    bid_px: str = ""
    bid_sz: str = ""
    ask_px: str = ""
    ask_sz: str = ""


class _FuturesTrade(msgspec.Struct, gc=False):
    """``m``: the buyer was the maker. ``way`` tells what was opened and closed, not who took."""

    symbol: str
    trade_id: Id
    deal_price: str
    deal_vol: str
    created_at: str
    m: bool | None = None


class _FuturesTop(msgspec.Struct, gc=False):
    symbol: str
    ms_t: Millis
    best_bid_price: str = ""
    best_bid_vol: str = ""
    best_ask_price: str = ""
    best_ask_vol: str = ""


class _FuturesTicker(msgspec.Struct, gc=False):
    symbol: str
    mark_price: str = ""
    index_price: str = ""


class _Funding(msgspec.Struct, gc=False):
    """``fundingRate`` is the last *settled* one; the next settlement's is ``nextFundingRate``."""

    symbol: str
    fundingRate: str = ""  # noqa: N815 - the wire's names
    nextFundingRate: str = ""  # noqa: N815
    nextFundingTime: int | None = None  # noqa: N815
    ts: int | None = None


class Envelope(msgspec.Struct, gc=False):
    """Any message of either family: a push has ``table`` or ``group`` with ``data``, the others a verb."""

    table: str = ""
    group: str = ""
    data: msgspec.Raw = msgspec.Raw()
    event: str = ""
    topic: str = ""
    errorCode: str | int = ""  # noqa: N815 - the wire's names
    errorMessage: str | None = None  # noqa: N815
    message: str | None = None
    action: str = ""
    success: bool | None = None
    error: str | None = None

    @property
    def problem(self) -> str:
        """Return what was refused, "" where nothing was."""
        if self.errorCode:
            return clean(f"{self.errorCode}: {self.errorMessage or self.message or ''}")
        return "" if self.success is not False else clean(self.error or "refused")


_SPOT_TRADES = msgspec.json.Decoder(list[_SpotTrade])
_SPOT_TICKERS = msgspec.json.Decoder(list[_SpotTicker])
_FUTURES_TRADES = msgspec.json.Decoder(list[_FuturesTrade])
_FUTURES_TOP = msgspec.json.Decoder(_FuturesTop)
_FUTURES_TICKER = msgspec.json.Decoder(_FuturesTicker)
_FUNDING = msgspec.json.Decoder(_Funding)
ENVELOPE = msgspec.json.Decoder(Envelope)
SIDES = {"buy": Side.BUY, "sell": Side.SELL}
PONG = b"pong"

_Decode = Callable[[msgspec.Raw, int, int], Sequence[MarketEvent]]


class MarketDecoder:
    """Decodes what the depth kernel passed on.

    Acknowledgements name topics and no request: a request counts as accepted when each of its topics was
    acknowledged. Every topic is asked for on one connection alone, so topics are enough to tell.
    """

    def __init__(self, product: Product) -> None:
        self._product = product
        self._known: dict[str, Instrument] = {}
        self._contracts: dict[str, ContractNews] = {}
        self._request_of: dict[str, str] = {}
        self._topics_of: dict[str, tuple[str, ...]] = {}
        self._waiting: dict[str, set[str]] = {}
        self._single: dict[tuple[str, str], str] = {}
        self._newest_print: dict[str, int] = {}
        self._told_prints: dict[str, int] = {}
        self._decoders: dict[str, _Decode] = {
            SPOT_TRADES: self._spot_trades,
            SPOT_TICKER: self._spot_tickers,
            FUTURES_TRADES: self._futures_trades,
            FUTURES_TOP: self._futures_top,
            FUTURES_TICKER: self._futures_ticker,
            FUTURES_FUNDING: self._funding,
        }

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Learn instruments; frames of others are ignored."""
        for each in instruments:
            self._known[each.symbol] = each
            if each.product is Product.PERP:
                self._contracts.setdefault(each.symbol, ContractNews(each))

    def expect(self, requests: dict[str, tuple[str, ...]]) -> None:
        """Learn which topics a subscription of each name asks for."""
        for name, topics in requests.items():
            self._topics_of[name] = topics
            self._request_of.update(dict.fromkeys(topics, name))

    def expect_single(self, operation: str, topic: str, request_id: str) -> None:
        """Learn that the next acknowledgement of this topic answers a request of its own."""
        self._single[operation, topic] = request_id

    def decode(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode one message; unknown channels and events give ``()``.

        Raises:
            ProtocolViolation: malformed, or a value out of range.
        """
        if payload == PONG:
            return ()
        try:
            envelope = ENVELOPE.decode(payload)
            if envelope.event or envelope.action or envelope.success is not None:
                return self._control(envelope)
            channel = (envelope.table or envelope.group).partition(":")[0].partition("@")[0]
            decode = self._decoders.get(channel)
            return () if decode is None else decode(envelope.data, mono_ns, utc_ns)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"market data: {error}", payload) from None

    # -------------------------------------------------------------------------------------- control

    def _control(self, envelope: Envelope) -> Sequence[MarketEvent]:
        operation = envelope.event or envelope.action
        topic = envelope.topic or envelope.group
        problem = envelope.problem
        single = self._single.pop((operation, topic), None)
        if single is None and problem and not topic and len(self._single) == 1:
            single = self._single.popitem()[1]  # spot's refusals name no topic
        if single is not None:
            return (ControlReply(single, problem or None),)
        if problem:
            return (ControlReply(self._request_of.get(topic), f"{topic}: {problem}" if topic else problem),)
        if operation != "subscribe":
            return ()
        return self._acknowledged(topic)

    def _acknowledged(self, topic: str) -> Sequence[MarketEvent]:
        name = self._request_of.get(topic)
        if name is None:
            return ()
        channel, _, symbol = topic.partition(":")
        if channel == SPOT_TRADES:
            self._told_prints[symbol] = self._newest_print.get(symbol, 0)
        waiting = self._waiting.get(name)
        if waiting is None or topic not in waiting:  # a fresh connection begins anew
            waiting = self._waiting[name] = set(self._topics_of[name])
        waiting.discard(topic)
        if waiting:
            return ()
        del self._waiting[name]
        return (ControlReply(name, None),)

    # --------------------------------------------------------------------------------------- pushes

    def _spot_trades(self, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> list[MarketEvent]:
        """Read prints, which have no ids: what is not newer than those before a subscription repeats them."""
        events: list[MarketEvent] = []
        for row in _SPOT_TRADES.decode(data):
            instrument = self._known.get(row.symbol)
            if instrument is None or row.ms_t <= self._told_prints.get(row.symbol, 0):
                continue
            side = SIDES.get(row.side)
            price, qty = price_in(row.price, instrument), qty_in(row.size, instrument)
            if price <= 0 or qty <= 0 or side is None:
                raise ProtocolViolation(f"a trade of {row.symbol[:40]} is no trade")
            self._newest_print[row.symbol] = max(row.ms_t, self._newest_print.get(row.symbol, 0))
            events.append(
                Trade(
                    instrument.universal,
                    NO_TRADE_ID,
                    price,
                    qty,
                    side,  # the taker's
                    time_ns(row.ms_t),
                    utc_ns,
                    mono_ns,
                )
            )
        return events

    def _spot_tickers(self, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> list[MarketEvent]:
        events: list[MarketEvent] = []
        for row in _SPOT_TICKERS.decode(data):
            top = self._top(
                row.symbol, (row.bid_px, row.bid_sz, row.ask_px, row.ask_sz), row.ms_t, mono_ns, utc_ns
            )
            events += top
        return events

    def _futures_top(self, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> list[MarketEvent]:
        row = _FUTURES_TOP.decode(data)
        told = (row.best_bid_price, row.best_bid_vol, row.best_ask_price, row.best_ask_vol)
        return self._top(row.symbol, told, row.ms_t, mono_ns, utc_ns)

    def _top(
        self, symbol: str, told: tuple[str, str, str, str], stamp_ms: int, mono_ns: int, utc_ns: int
    ) -> list[MarketEvent]:
        instrument = self._known.get(symbol)
        if instrument is None:
            return []
        bid, ask = price_in(told[0], instrument), price_in(told[2], instrument)
        bid_qty, ask_qty = qty_in(told[1], instrument), qty_in(told[3], instrument)
        if min(bid, ask, bid_qty, ask_qty) <= 0:
            return []  # a side is empty: there is no best price to tell
        return [
            TopOfBook(instrument.universal, bid, bid_qty, ask, ask_qty, 0, time_ns(stamp_ms), utc_ns, mono_ns)
        ]

    def _futures_trades(self, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> list[MarketEvent]:
        """Read prints, newest first on the wire."""
        events: list[MarketEvent] = []
        for row in reversed(_FUTURES_TRADES.decode(data)):
            instrument = self._known.get(row.symbol)
            if instrument is None:
                continue
            price, qty = price_in(row.deal_price, instrument), qty_in(row.deal_vol, instrument)
            if price <= 0 or qty <= 0 or row.m is None:
                raise ProtocolViolation(
                    f"trade {row.trade_id} of {row.symbol[:40]} is no trade, or has no side"
                )
            events.append(
                Trade(
                    instrument.universal,
                    row.trade_id,
                    price,
                    qty,
                    Side.SELL if row.m else Side.BUY,
                    iso_ns(row.created_at),
                    utc_ns,
                    mono_ns,
                )
            )
        return events

    def _futures_ticker(self, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Read mark and index; the frame has no time of its own: ours stands in."""
        row = _FUTURES_TICKER.decode(data)
        contract = self._contracts.get(row.symbol)
        if contract is None or not row.mark_price:
            return []
        contract.mark_price = decimal(row.mark_price)
        contract.index_price = optional_decimal(row.index_price)
        return contract.update(utc_ns, utc_ns)

    def _funding(self, data: msgspec.Raw, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        row = _FUNDING.decode(data)
        contract = self._contracts.get(row.symbol)
        if contract is None:
            return []
        # The venue calls the running rate the next one.
        contract.funding_rate = contract.predicted_rate = optional_decimal(row.nextFundingRate)
        contract.next_funding_utc_ns = optional_time_ns(row.nextFundingTime)
        contract.last_settled_rate = optional_decimal(row.fundingRate)
        contract.rate_utc_ns = optional_time_ns(row.ts) or utc_ns
        return contract.update(contract.rate_utc_ns, utc_ns)
