"""Puts an exchange on BitMart's wire: a REST host and a socket host for spot, and the same for futures.

Source: BitMart spot and futures v2 docs, mirrored copy of 2025-11; each part says elsewhere which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.bitmart.feed import Feed, Paces
from engine.sim.bitmart.futures_orders import FuturesOrders
from engine.sim.bitmart.futures_rest import FuturesRest
from engine.sim.bitmart.futures_views import FuturesViews
from engine.sim.bitmart.gate import Gate
from engine.sim.bitmart.hub import Hub
from engine.sim.bitmart.instruments import Instrument, Listing
from engine.sim.bitmart.limits import FUTURES, SPOT_PRIVATE, SPOT_PUBLIC, RestLimits, SocketLimits
from engine.sim.bitmart.positions import Positions
from engine.sim.bitmart.private import FuturesPrivate, SpotPrivate
from engine.sim.bitmart.rest import RestApi, Route
from engine.sim.bitmart.sessions import FuturesSockets, SocketServer, SpotSockets
from engine.sim.bitmart.spot_orders import SpotOrders
from engine.sim.bitmart.spot_rest import SpotRest
from engine.sim.bitmart.spot_views import SpotViews
from engine.sim.clock import SimClock
from engine.sim.clockwork import Clockwork
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints, delay_s
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import Batch, Order, OrderEvent, TradePrint
from engine.sim.ports import Settings, WsServer
from engine.sim.sockets import Flushes
from engine.sim.strikes import LastingFaults, strike_connections

TICK_S = 0.01


@dataclass(frozen=True, slots=True)
class WireOptions:
    """What tests may want different from the venue.

    Attributes:
        paces: of public pushes. sockets: limits of (public, private) connections by product.
        rate_share: factor on every REST limit.
    """

    paces: Paces = field(default_factory=Paces)
    sockets: Mapping[str, tuple[SocketLimits, SocketLimits]] = field(
        default_factory=lambda: {"spot": (SPOT_PUBLIC, SPOT_PRIVATE), "perp": (FUTURES, FUTURES)}
    )
    rate_share: int = 1


class Side:
    """One product: its feed, private pushes, REST and sockets; also a `ProductWire`.

    Attributes:
        http, ws_servers: as the server wants them.
    """

    def __init__(
        self, venue: BitMartVenue, product: str, gate: Gate, limits: RestLimits, options: WireOptions,
        scale: float, board: FaultBoard,
    ) -> None:  # fmt: skip
        exchange, listing = venue.exchange, venue.listing
        now_ms, wake = exchange.clock.now_ms, venue.clockwork.wake
        is_spot = product == "spot"
        self.product = product
        self._venue = venue
        self.faults = FaultPoints(board, exchange.venue, product)
        self.flushes = Flushes()
        self.hub = Hub(is_spot)
        self.feed = Feed(product, exchange, listing, self.hub, self.flushes, self.faults, options.paces, wake)
        self.positions = Positions()
        self.private: SpotPrivate | FuturesPrivate
        routes: dict[tuple[str, str], Route]
        speaks: type[SocketServer]
        if is_spot:
            spot_views = SpotViews(listing)
            self.private = SpotPrivate(self.hub, self.faults, wake, spot_views, now_ms)
            spot_orders = SpotOrders(exchange, listing, spot_views, self.faults, self._race)
            routes, speaks = SpotRest(listing, spot_orders, now_ms).routes(), SpotSockets
            self._orders: SpotOrders | FuturesOrders = spot_orders
        else:
            views = FuturesViews(listing, exchange.clearing, self.positions)
            self.private = FuturesPrivate(self.hub, self.faults, wake, views, self.positions, listing, now_ms)
            orders = FuturesOrders(exchange, listing, views, self.positions, self.faults, self._race)
            routes = FuturesRest(listing, orders, views, self.positions, now_ms).routes()
            self._orders, speaks = orders, FuturesSockets
        self.http: web.Application = RestApi(
            routes, gate, limits, self.faults, venue.finish_round
        ).application()
        self.sockets = speaks(
            self.hub, self.flushes, listing, gate, self.feed, self.faults, options.sockets[product], scale
        )
        server = WsServer(self.sockets.handler, self.sockets.process_request, self.sockets.serve_kwargs())
        self.ws_servers: Mapping[str, WsServer] = {"ws": server}
        self._lasting = LastingFaults(exchange, self.hub.silent)

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses."""
        base = ws_bases["ws"]
        return {
            "rest": http_base, "ws_public": f"{base}/api?protocol=1.1",
            "ws_private": f"{base}/user?protocol=1.1",
        }  # fmt: skip

    async def start(self) -> None:
        """Start the venue's clockwork."""
        await self._venue.clockwork.start()

    async def stop(self) -> None:
        """Stop it."""
        if isinstance(self._orders, FuturesOrders):
            self._orders.stop()
        await self._venue.clockwork.stop()

    def _race(self, order: Order, one: Instrument) -> bool:
        """Fill an order just before its cancel, where that fault is armed."""
        if self.faults.take("cancel_race_fill", one.symbol) is None:
            return False
        self._venue.exchange.fill_resting(order, order.leaves_lots)
        return True

    # ------------------------------------------------------------------------------------- by clock

    def tick(self, now: int) -> None:
        """Do what is due: faults, depth streams, tickers, positions."""
        if self.faults.armed:
            self._strike()
        if self.faults.armed or self._lasting.in_force:
            for one in self._venue.listing.of(self.product):
                self._lasting.apply(one.market, one.symbol, one.symbol, self.faults)
        self.feed.tick(now)
        if isinstance(self.private, FuturesPrivate):
            self.private.repeat_positions(list(self._venue.exchange.accounts.values()))

    def _strike(self) -> None:
        take, sessions = self.faults.take, list(self.sockets.sessions)
        public = [session for session in sessions if not session.is_private]
        strike_connections(self.faults, public, sessions, "closed by fault")
        if take("revoke_session") is not None:
            for session in sessions:
                if session.account is not None:
                    session.outlet.close(1000, "")
        if (shutdown := take("server_shutdown")) is not None:
            # The venue announces nothing: connections simply end, all at once.
            loop = asyncio.get_running_loop()
            for session in sessions:
                loop.call_later(delay_s(shutdown, 3000), session.outlet.close, 1001, "")
        for one in self._venue.listing.of(self.product):
            if take("restart_depth", one.symbol) is not None:
                self.feed.restart(one)

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self.feed.deliver_trades()
        self.private.deliver()
        self.flushes.flush()


class BitMartVenue:
    """Everything of the venue; the exchange's listener.

    Attributes:
        sides: ``spot`` and ``perp``. listing: instruments.
    """

    def __init__(
        self, exchange: Exchange, board: FaultBoard, clock: SimClock, settings: Settings, options: WireOptions
    ) -> None:
        self.exchange = exchange
        self.listing = Listing(exchange.markets.values())
        self.clockwork = Clockwork("bitmart", TICK_S, self.tick, self.finish_round)
        gate = Gate(exchange.accounts, clock.now_ms)
        limits = RestLimits(clock.now_ms, settings.time_scale, options.rate_share)
        self.sides: dict[str, Side] = {
            product: Side(self, product, gate, limits, options, settings.time_scale, board)
            for product in dict.fromkeys(str(one.product) for one in self.listing.all)
        }
        self._clock_fault = ClockFault(next(iter(self.sides.values())).faults, clock)
        exchange.listeners.append(self)

    # -- the exchange's listener ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade."""
        one = self.listing.by_market[trade.market]
        self.sides[one.product].feed.on_trade(one, trade)

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed: best prices follow by the clock."""

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed."""
        self.sides[market.spec.product].feed.on_batch(market, batch)

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        self.sides[event.order.market.spec.product].private.on_order(event)

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        self.sides[product].private.on_balance(account, assets)

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        private = self.sides["perp"].private
        if isinstance(private, FuturesPrivate):
            private.on_position(account, self.listing.by_market[market])

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment: the wallet tells it, no channel does."""
        self.sides["perp"].private.on_balance(account, (market.spec.settle or market.spec.quote,))

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self.clockwork.begin_round()
        for side in self.sides.values():
            side.finish_round()

    def tick(self) -> None:
        """Do what is due by the clock."""
        self._clock_fault.tick()
        now = self.exchange.clock.now_ms()
        for side in self.sides.values():
            side.tick(now)
        self.finish_round()


@dataclass(frozen=True, slots=True)
class BitMartWire:
    """BitMart on the wire; a `VenueWire`."""

    venue: BitMartVenue

    @property
    def products(self) -> Mapping[str, Side]:
        """Return the products by name."""
        return self.venue.sides


def build(
    exchange: Exchange, faults: FaultBoard, clock: SimClock, settings: Settings,
    options: WireOptions | None = None,
) -> BitMartWire:  # fmt: skip
    """Put ``exchange`` on BitMart's wire."""
    if options is None:
        options = WireOptions() if settings.book_ms is None else WireOptions(Paces(settings.book_ms))
    return BitMartWire(BitMartVenue(exchange, faults, clock, settings, options))
