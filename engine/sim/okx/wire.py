"""Puts an exchange on OKX's wire: one REST application and one set of sockets for spot and swaps.

Source: OKX v5 docs, seen 2026-08; each part says elsewhere which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.clock import SimClock
from engine.sim.clockwork import Clockwork
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import Batch, OrderEvent, TradePrint
from engine.sim.okx.calls import Route
from engine.sim.okx.channels import Channels
from engine.sim.okx.dead_man import DeadMan
from engine.sim.okx.desk import Desk
from engine.sim.okx.hub import Hub
from engine.sim.okx.instruments import Listing
from engine.sim.okx.ledger import Ledger
from engine.sim.okx.limits import Limit, RateLimits
from engine.sim.okx.options import Options
from engine.sim.okx.order_ops import OrderOps
from engine.sim.okx.private import PrivateFeed
from engine.sim.okx.public import PublicData
from engine.sim.okx.queries import Queries
from engine.sim.okx.rest import RestApi
from engine.sim.okx.sessions import SocketServer
from engine.sim.okx.signing import Gate
from engine.sim.okx.strikes import Strikes
from engine.sim.okx.trading import Trading
from engine.sim.okx.views import Views
from engine.sim.ports import Settings, WsServer
from engine.sim.sockets import Flushes

TICK_S = 0.02


class OkxVenue:
    """Everything of the venue; the exchange's listener.

    Attributes:
        listing: the instruments. channels: the public side, private: the accounts' side of the sockets.
        hub: who listens to what. limits: what was asked how often. sockets: the WebSocket server.
    """

    def __init__(self, exchange: Exchange, board: FaultBoard, clock: SimClock, options: Options) -> None:
        self._clock = clock
        self.clockwork = Clockwork("okx", TICK_S, self.tick, self.finish_round)
        faults = {name: FaultPoints(board, exchange.venue, name) for name in ("spot", "perp")}
        for account in exchange.accounts.values():
            account.unify()
        self.listing = Listing(list(exchange.markets.values()))
        self.hub = hub = Hub()
        ledger, now_ms, wake = Ledger(), clock.now_ms, self.clockwork.wake
        views = Views(self.listing, exchange.clearing, ledger)
        self._flushes = Flushes()
        gate = Gate(exchange.accounts, now_ms)
        self.limits = RateLimits(now_ms)
        self.private = PrivateFeed(hub, views, ledger, faults, now_ms, wake)
        self.channels = Channels(exchange, self.listing, hub, faults, now_ms, wake, options.heartbeat_ms)
        trading = Trading(exchange, self.listing, views, now_ms, self.private.tell)
        desk = Desk(exchange, trading, self.limits, faults, self.finish_round)
        self._dead_man = DeadMan(exchange, self.limits, now_ms)
        public = PublicData(exchange, self.listing, self.channels.books, faults, now_ms)
        queries = Queries(exchange, self.listing, views, ledger, trading, faults, now_ms)
        routes = public.routes() | queries.routes(public.instruments)
        routes["POST", "/trade/cancel-all-after"] = Route(self._dead_man.arm, Limit(1_000), is_signed=True)
        routes["POST", "/trade/close-position"] = Route(
            lambda call: trading.close_position(call.owner, call.members), is_signed=True
        )
        self._rest = RestApi(routes, desk, gate, faults, self.limits)
        self.sockets = SocketServer(
            hub,
            self._flushes,
            self.listing,
            gate,
            self.channels,
            self.private,
            OrderOps(desk),
            faults,
            options,
        )
        self._strikes = Strikes(
            exchange, self.listing, hub, faults, FaultPoints(board, exchange.venue, None), clock,
            self.sockets.sessions,
        )  # fmt: skip
        exchange.listeners.append(self)

    def application(self) -> web.Application:
        """Return a REST application; every one serves both products."""
        return self._rest.application()

    # -- the exchange's listener ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade."""
        self.channels.on_trade(trade)

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed."""
        self.channels.on_top(market)

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed."""
        self.channels.on_batch(market, batch)

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        self.private.on_order(event)

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        account.updated_ms = self._clock.now_ms()
        self.private.on_balance(account, assets)

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        self.private.on_position(account, self.listing.by_market[market])

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment."""
        account.updated_ms = self._clock.now_ms()
        self.private.on_funding(account, self.listing.by_market[market], amount)

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self.clockwork.begin_round()
        self.channels.finish_round()
        self.private.deliver()
        self._flushes.flush()

    def tick(self) -> None:
        """Do what is due by the clock."""
        self._strikes.tick()
        self._dead_man.tick()
        self.channels.tick(self._clock.now_ms())
        self.private.tick()
        self.finish_round()


class OkxProduct:
    """One product's addresses; a `ProductWire`. Both products are served at each."""

    def __init__(self, venue: OkxVenue) -> None:
        self._venue = venue
        self.http: web.Application = venue.application()
        sockets = venue.sockets
        self.ws_servers: Mapping[str, WsServer] = {
            "ws": WsServer(sockets.handler, sockets.process_request, sockets.serve_kwargs())
        }

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses; private channels and order entry share one."""
        base = ws_bases["ws"]
        private = f"{base}/ws/v5/private"
        return {
            "rest": http_base, "ws_public": f"{base}/ws/v5/public", "ws_private": private, "ws_trade": private
        }  # fmt: skip

    async def start(self) -> None:
        """Start the venue's clockwork."""
        await self._venue.clockwork.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._venue.clockwork.stop()


@dataclass(frozen=True, slots=True)
class OkxWire:
    """OKX on the wire; a `VenueWire`."""

    venue: OkxVenue
    products: Mapping[str, OkxProduct]


def build(
    exchange: Exchange,
    faults: FaultBoard,
    clock: SimClock,
    settings: Settings,
    options: Options | None = None,
) -> OkxWire:
    """Put ``exchange`` on OKX's wire."""
    venue = OkxVenue(exchange, faults, clock, options or Options())
    products = dict.fromkeys(product for product, _ in exchange.markets)
    return OkxWire(venue, {product: OkxProduct(venue) for product in products})
