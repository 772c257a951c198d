"""Puts an exchange on Bybit's wire: one REST application and one set of sockets for spot and linear.

Source: Bybit v5 docs, seen 2026-07; each part says elsewhere which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.bybit.books import PACE_MS, REPEAT_MS, DepthStream, spoiled
from engine.sim.bybit.desk import PER_SECOND, Desk
from engine.sim.bybit.gate import Gate, Limits
from engine.sim.bybit.hub import Hub, Session, public_topic
from engine.sim.bybit.instruments import Instrument, Listing
from engine.sim.bybit.ledger import Ledger
from engine.sim.bybit.order_queries import OrderQueries
from engine.sim.bybit.private import PrivateFeed
from engine.sim.bybit.queries import Queries
from engine.sim.bybit.rest import RestApi
from engine.sim.bybit.sessions import SocketServer
from engine.sim.bybit.strikes import Strikes
from engine.sim.bybit.tickers import Tickers
from engine.sim.bybit.trading import Trading
from engine.sim.bybit.views import Views
from engine.sim.clock import SimClock
from engine.sim.clockwork import Clockwork
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import Batch, Order, OrderEvent, TradePrint
from engine.sim.ports import Settings, WsServer
from engine.sim.sockets import Flushes, text_frame
from engine.sim.tape import Print

TICK_S = 0.01
LEVERAGE = 10
"""Of a customer who has set none."""
TRADES_MOST = 1024
PRODUCTS = {"spot": "spot", "perp": "linear"}


@dataclass(frozen=True, slots=True)
class WireOptions:
    """What tests may want different from the venue: order requests per second by action and category."""

    per_second: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: PER_SECOND)


class BybitVenue:
    """Everything of the venue; the exchange's listener.

    Attributes:
        sockets: the WebSocket server. books: depth streams by (category, topic).
        hub: who listens to what.
        limits: what accounts and addresses have used. private: the private topics.
    """

    def __init__(
        self, exchange: Exchange, board: FaultBoard, clock: SimClock, settings: Settings, options: WireOptions
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self.clockwork = Clockwork("bybit", TICK_S, self.tick, self.finish_round)
        self.faults = {
            category: FaultPoints(board, exchange.venue, product) for product, category in PRODUCTS.items()
        }
        self.listing = Listing(exchange.markets.values())
        for account in exchange.accounts.values():
            account.unify()
            for one in self.listing.of("linear"):
                account.leverage.setdefault(one.symbol, LEVERAGE)
        ledger = Ledger()
        self._views = Views(self.listing, exchange.clearing, ledger)
        self.hub = Hub()
        self._flushes = Flushes()
        now_ms = clock.now_ms
        self.books = {
            (one.category, stream.topic): stream
            for one in self.listing.all
            for stream in (DepthStream(one, depth) for depth in PACE_MS)
        }
        self._followers = {
            one.market: [
                self.books[one.category, f"orderbook.{depth}.{one.symbol}"] for depth in PACE_MS if depth > 1
            ]
            for one in self.listing.all
        }
        gate, limits = Gate(exchange.accounts, now_ms), Limits(now_ms, settings.time_scale)
        self.limits = limits
        trading = Trading(exchange, self.listing, now_ms, self._race, settings.strict)
        self.private = PrivateFeed(
            self.hub, self._views, ledger, self.listing, self.faults, now_ms, self.clockwork.wake
        )
        desk = Desk(trading, limits, self.faults, options.per_second, self.finish_round)
        orders = OrderQueries(exchange, self.listing, self._views, ledger, trading, self.faults, now_ms)
        queries = Queries(
            exchange, self.listing, self._views, orders, now_ms, self.private.on_position, self._rest_book
        )
        self._rest = RestApi(queries, desk, gate, limits, self.faults)
        self.sockets = SocketServer(
            self.hub, self._flushes, self.listing, gate, desk, limits, self.faults, self._first_words,
            settings.time_scale,
        )  # fmt: skip
        self._traded: dict[Instrument, list[str]] = {}
        self._last_ticks: dict[Instrument, int] = {}
        self._tickers = Tickers(self.hub, self.listing, self._views)
        self._strikes = Strikes(
            exchange, clock, self.listing, self.hub, self.faults, self.sockets.sessions, self.restart_books,
            orders.forget_closed,
        )  # fmt: skip
        exchange.listeners.append(self)

    def application(self) -> web.Application:
        """Return a REST application; every one serves both categories."""
        return self._rest.application()

    # -- the exchange's listener ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade; those of one round are one message."""
        one = self.listing.by_market[trade.market]
        row = Print(
            trade.trade_id, trade.price_ticks, trade.qty_lots, trade.time_ms, trade.taker_side == "SELL"
        )
        one.tape.add(row, trade.taker_number)
        one.prints.append((row, trade.market.last_id))
        before = self._last_ticks.get(one, trade.price_ticks)
        self._last_ticks[one] = trade.price_ticks
        if self.hub.has((one.category, f"publicTrade.{one.symbol}")):
            direction = "ZeroPlusTick"
            if trade.price_ticks != before:
                direction = "PlusTick" if trade.price_ticks > before else "MinusTick"
            self._traded.setdefault(one, []).append(self._views.trade_push(one, row, direction))
            self.clockwork.wake()

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed: level 1 follows by the clock."""

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed: depth streams note it and follow by the clock."""
        for stream in self._followers[market]:
            stream.note(batch)

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        self.private.on_order(event)

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        self.private.on_balance(account, assets)

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        self.private.on_position(account, self.listing.by_market[market])

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment."""
        self.private.on_funding(account, self.listing.by_market[market], amount, rate)
        self.private.on_balance(account, (market.spec.settle or market.spec.quote,))

    def _race(self, order: Order, one: Instrument) -> bool:
        """Fill an order just before its cancel, where that fault is armed; the cancel then says so."""
        if self.faults[one.category].take("cancel_race_fill", one.symbol) is None:
            return False
        self._exchange.fill_resting(order, order.leaves_lots)
        late = {"cancelType": "CancelByUser", "rejectReason": "EC_OrigClOrdIDDoesNotExist"}
        self.private.tell_order(order, late)
        return True

    # -- books ---------------------------------------------------------------------------------------------

    def _advance(self, key: tuple[str, str], stream: DepthStream, now: int) -> None:
        """Publish what changed on one depth stream."""
        if stream.depth > 1:
            self._exchange.publish(stream.one.market)
        text = stream.advance(now)
        if text is None:
            if stream.depth == 1 and now - stream.sent_ms >= REPEAT_MS:
                self.hub.push(key, stream.repeat(now).encode())
            return
        faults = self.faults[stream.one.category]
        if faults.armed or stream.held is not None:
            self.hub.push_frames(key, spoiled(faults, stream, text.encode(), now))
        else:
            self.hub.push(key, text.encode())

    def _rest_book(
        self, one: Instrument, limit: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]], int]:
        key = (one.category, f"orderbook.1000.{one.symbol}")
        stream = self.books[key]
        if self.faults[one.category].take("stale_snapshot", one.symbol) is None:
            self._advance(key, stream, self._clock.now_ms())
            self.clockwork.wake()
        bids, asks = stream.levels(limit)
        return bids, asks, stream.update_id

    def restart_books(self, one: Instrument, keeps_count: bool) -> None:
        """Begin all depth streams of an instrument again, unasked: at ``u`` 1 unless they keep counting."""
        now = self._clock.now_ms()
        self._exchange.publish(one.market)
        for depth in PACE_MS:
            key = (one.category, f"orderbook.{depth}.{one.symbol}")
            self.hub.push(key, self.books[key].restart(now, keeps_count).encode())
        self.clockwork.wake()

    def _first_words(self, session: Session, topic: str) -> None:
        """Send what a topic begins with."""
        found = public_topic(self.listing, session.path, topic)
        if found is None:
            return
        kind, _, one = found
        now, key = self._clock.now_ms(), (one.category, topic)
        if kind == "orderbook":
            stream = self.books[key]
            self._advance(key, stream, now)
            # What others are told of this step must leave before this session joins them.
            self._flushes.flush()
            session.outlet.send(text_frame(stream.snapshot(now).encode()))
        elif kind == "tickers":
            session.outlet.send(text_frame(self._tickers.first(one, now)))
        elif kind == "priceLimit":
            session.outlet.send(text_frame(self._tickers.limit(one, now)))

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self.clockwork.begin_round()
        traded, self._traded = self._traded, {}
        now = self._clock.now_ms()
        for one, rows in traded.items():
            topic = f"publicTrade.{one.symbol}"
            for start in range(0, len(rows), TRADES_MOST):
                part = rows[start : start + TRADES_MOST]
                text = f'{{"topic":"{topic}","type":"snapshot","ts":{now},"data":[{",".join(part)}]}}'
                self.hub.push((one.category, topic), text.encode())
        self.private.deliver()
        self._flushes.flush()

    def tick(self) -> None:
        """Do what is due by the clock: faults, depth streams, tickers."""
        self._strikes.tick()
        now = self._clock.now_ms()
        for key in [key for key, listeners in self.hub.listeners.items() if listeners]:
            stream = self.books.get(key)
            if stream is not None and stream.is_due(now):
                self._advance(key, stream, now)
        self._tickers.tick(now)
        self.finish_round()


class BybitProduct:
    """One product's addresses; a `ProductWire`. Both categories are served at each."""

    def __init__(self, venue: BybitVenue, category: str) -> None:
        self._venue = venue
        self._category = category
        self.http: web.Application = venue.application()
        sockets = venue.sockets
        self.ws_servers: Mapping[str, WsServer] = {
            "ws": WsServer(sockets.handler, sockets.process_request, sockets.serve_kwargs())
        }

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses; the public one names the category."""
        base = ws_bases["ws"]
        return {
            "rest": http_base, "ws_public": f"{base}/v5/public/{self._category}",
            "ws_private": f"{base}/v5/private", "ws_trade": f"{base}/v5/trade",
        }  # fmt: skip

    async def start(self) -> None:
        """Start the venue's clockwork."""
        await self._venue.clockwork.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._venue.clockwork.stop()


@dataclass(frozen=True, slots=True)
class BybitWire:
    """Bybit on the wire; a `VenueWire`."""

    venue: BybitVenue
    products: Mapping[str, BybitProduct]


def build(
    exchange: Exchange, faults: FaultBoard, clock: SimClock, settings: Settings,
    options: WireOptions | None = None,
) -> BybitWire:  # fmt: skip
    """Put ``exchange`` on Bybit's wire."""
    venue = BybitVenue(exchange, faults, clock, settings, options or WireOptions())
    products = dict.fromkeys(product for product, _ in exchange.markets)
    return BybitWire(venue, {product: BybitProduct(venue, PRODUCTS[product]) for product in products})
