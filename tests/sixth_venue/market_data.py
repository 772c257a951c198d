"""Acorn's public side: addresses, limits, instruments, depth and trades.

Acorn is invented: a spot venue as small as one can be. Its books come whole on the stream, then as changes
that number what they hold:

    {"market":"BTC-USDT","kind":"change","from":8,"to":9,"at":1700000000000,"bids":[["9.9","0"]],"asks":[]}
    {"print":{"market":"BTC-USDT","no":5,"price":"9.9","qty":"1","taker":"buy","at":1700000000000}}
    {"re":"s1","error":null}
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import quote

import msgspec

from engine.model.decimals import DECODE_ERRORS, MS, decimal, scaled
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, InstrumentStatus, Product, choose_scale
from engine.model.market import BookSnapshot, DepthSchema, SequenceRule, Side, Trade
from engine.model.orders import VenueError
from engine.venues.base import (
    BudgetRule,
    Capabilities,
    ConnectionPlan,
    ConnectionRules,
    ControlReply,
    Endpoints,
    Heartbeat,
    HttpRequest,
    MarketEvent,
    Topic,
)
from tests.sixth_venue.errors import decode_error

VENUE = "acorn"
LIVE = Endpoints(
    "https://api.acorn.example", "wss://ws.acorn.example/public", "wss://ws.acorn.example/private"
)

CAPABILITIES = Capabilities(
    depth="changes 100ms",
    depth_rule="range",
    snapshots="streamed",
    top_of_book=False,
    order_entry=("rest",),
    cancel_all=False,
    fills_page=False,
)

RULES = ConnectionRules(
    heartbeat=Heartbeat(silence_ms=10_000, ping_interval_ms=3_000, pong_timeout_ms=2_000),
    messages_per_s=20,
    streams_max=100,
    connects=60,
    connects_window_s=60,
    lifetime_s=24 * 3600,
)

BUDGETS = (BudgetRule("requests_1s", "weight", 1_000, 50), BudgetRule("orders_1s", "orders", 1_000, 30))

SCHEMA = DepthSchema(
    rule=SequenceRule.RANGE,
    route_keys=("market",),
    containers=(),
    first_key="from",
    last_key="to",
    previous_key=None,
    bids_key="bids",
    asks_key="asks",
    kind_key="kind",
    snapshot_kind="book",
    delta_kind="change",
    event_time_key="at",
)


class _Market(msgspec.Struct):
    name: str
    base: str
    quote: str
    tick: str
    lot: str
    most: str
    least_value: str
    is_open: bool


class _Listing(msgspec.Struct):
    markets: list[_Market]


class _Time(msgspec.Struct):
    now: int


class _Print(msgspec.Struct):
    market: str
    no: int
    price: str
    qty: str
    taker: str
    at: int


class _Message(msgspec.Struct):
    """Anything but depth: ``re`` answers a subscription, ``print`` is a trade."""

    re: str | None = None
    error: str | None = None
    print: _Print | None = None


_LISTING = msgspec.json.Decoder(_Listing)
_TIME = msgspec.json.Decoder(_Time)
_MESSAGE = msgspec.json.Decoder(_Message)


def decode_listing(body: bytes) -> list[Instrument]:
    """Return the listed instruments; raises ProtocolViolation."""
    try:
        return [_instrument(row) for row in _LISTING.decode(body).markets]
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"acorn listing: {error}", body) from None


def _instrument(row: _Market) -> Instrument:
    tick, lot, most = decimal(row.tick), decimal(row.lot), decimal(row.most)
    price_scale, qty_scale = choose_scale(tick, Decimal(10_000_000)), choose_scale(lot, most)
    lot_size = scaled(row.lot, qty_scale)
    return Instrument(
        venue=VENUE,
        product=Product.SPOT,
        symbol=row.name,
        universal=f"{row.base}/{row.quote}",
        base=row.base,
        quote=row.quote,
        settle=None,
        status=InstrumentStatus.TRADING if row.is_open else InstrumentStatus.HALTED,
        price_scale=price_scale,
        qty_scale=qty_scale,
        tick_size=scaled(row.tick, price_scale),
        lot_size=lot_size,
        market_lot_size=lot_size,
        price_min=0,
        price_max=0,
        qty_min=lot_size,
        qty_max=scaled(row.most, qty_scale),
        market_qty_max=0,
        notional_min=decimal(row.least_value),
        notional_max=Decimal(0),
    )


class AcornMarketData:
    """Public data; implements ``base.MarketDataAdapter``."""

    venue = VENUE
    schema = SCHEMA
    rest_budgets = BUDGETS

    def __init__(self, product: Product, endpoints: Endpoints) -> None:
        if product is not Product.SPOT:
            raise UsageError("acorn trades spot only")
        self.product: Product = product
        self._endpoints = endpoints
        self._served: dict[str, Instrument] = {}

    def instruments_request(self) -> HttpRequest:
        """Return the request that lists all instruments."""
        return HttpRequest(method="GET", target="/api/markets", label="acorn.markets")

    def decode_instruments(self, body: bytes) -> list[Instrument]:
        """Return every listed instrument."""
        return decode_listing(body)

    def decode_budgets(self, body: bytes) -> tuple[BudgetRule, ...]:
        """Return the documented limits: the listing states none."""
        return BUDGETS

    def market_plans(
        self, instruments: Sequence[Instrument], topics: frozenset[Topic]
    ) -> list[ConnectionPlan]:
        """Return one connection for all instruments, with a subscription per instrument and topic."""
        self._served = {each.symbol: each for each in instruments}
        wanted = [("book", Topic.DEPTH), ("prints", Topic.TRADES)]
        channels = [word for word, topic in wanted if topic in topics]
        subscribe = [
            self._subscription(f"s{number}{channel}", channel, each.symbol, True)
            for number, each in enumerate(instruments)
            for channel in channels
        ]
        routes = tuple((each.symbol, each.universal) for each in instruments)
        return [
            ConnectionPlan(
                name="acorn.spot.public.0",
                url=self._endpoints.ws_public,
                subscribe=tuple(subscribe),
                rules=RULES,
                depth_routes=routes if Topic.DEPTH in topics else (),
                universals=tuple(each.universal for each in instruments),
            )
        ]

    def _subscription(self, request_id: str, channel: str, symbol: str, is_wanted: bool) -> bytes:
        verb = "follow" if is_wanted else "leave"
        return msgspec.json.encode({"do": verb, "id": request_id, "channel": channel, "market": symbol})

    def depth_request(self, instrument: Instrument, is_wanted: bool, request_id: str) -> bytes:
        """Return the message that follows one book, or leaves it: following it anew brings it whole."""
        return self._subscription(request_id, "book", instrument.symbol, is_wanted)

    def depth_symbol(self, stream: str) -> str | None:
        """Return the symbol of a depth route: it is the route."""
        return stream or None

    def snapshot_request(self, instrument: Instrument) -> HttpRequest:
        """Refuse: books come whole on the stream."""
        raise UsageError("acorn sends whole books on the stream")

    def decode_snapshot(self, instrument: Instrument, body: bytes) -> BookSnapshot:
        """Refuse: see ``snapshot_request``."""
        raise ProtocolViolation("acorn has no snapshots over REST", body)

    def decode_market(self, payload: bytes, mono_ns: int, utc_ns: int) -> Sequence[MarketEvent]:
        """Decode an answer or a trade."""
        try:
            message = _MESSAGE.decode(payload)
            if message.re is not None:
                return (ControlReply(message.re, message.error),)
            if message.print is None or message.print.market not in self._served:
                return ()
            return (self._trade(message.print, mono_ns, utc_ns),)
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"acorn market message: {error}", payload) from None

    def _trade(self, row: _Print, mono_ns: int, utc_ns: int) -> Trade:
        instrument = self._served[row.market]
        if row.taker not in ("buy", "sell"):
            raise ProtocolViolation(f"unknown side {row.taker[:10]!r}")
        return Trade(
            universal=instrument.universal,
            trade_id=row.no,
            price=scaled(row.price, instrument.price_scale),
            qty=scaled(row.qty, instrument.qty_scale),
            aggressor=Side.BUY if row.taker == "buy" else Side.SELL,
            venue_utc_ns=row.at * MS,
            recv_utc_ns=utc_ns,
            recv_mono_ns=mono_ns,
        )

    def time_request(self) -> HttpRequest:
        """Return the request for the venue's clock."""
        return HttpRequest(method="GET", target="/api/time", label="acorn.time")

    def decode_time_ns(self, body: bytes) -> int:
        """Return the venue's UTC nanoseconds; raises ProtocolViolation."""
        try:
            return _TIME.decode(body).now * MS
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"acorn time: {error}", body) from None

    def decode_error(self, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
        """Decode an answer whose status is not 200."""
        return decode_error(status, body)


def url_text(symbol: str) -> str:
    """Return a symbol percent-encoded."""
    return quote(symbol, safe="")
