"""Puts an exchange on KuCoin's wire: classic and unified API, spot and futures hosts, all of their sockets.

Source: KuCoin API docs, seen 2025-11, and frames recorded 2026-09-22; each part says elsewhere which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.clock import SimClock
from engine.sim.clockwork import Clockwork
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints, delay_s
from engine.sim.faults import FaultBoard
from engine.sim.kucoin.classic_sockets import ClassicSockets
from engine.sim.kucoin.classic_streams import ClassicStreams
from engine.sim.kucoin.desk import Desk
from engine.sim.kucoin.futures_orders import FuturesOrders
from engine.sim.kucoin.gate import POOLS, Gate, Pools, Tokens
from engine.sim.kucoin.hub import Hub, Session
from engine.sim.kucoin.instruments import Instrument, Listing
from engine.sim.kucoin.ledger import FundingLedger
from engine.sim.kucoin.market_queries import Books, MarketQueries
from engine.sim.kucoin.private import PrivateFeed, is_unified
from engine.sim.kucoin.push_sockets import SERVE_KWARGS, PushSockets
from engine.sim.kucoin.rest import RestApi
from engine.sim.kucoin.spot_orders import SpotOrders
from engine.sim.kucoin.trade_sockets import TradeSockets
from engine.sim.kucoin.trading import Trading
from engine.sim.kucoin.unified_market import UnifiedMarket
from engine.sim.kucoin.unified_orders import UnifiedOrders
from engine.sim.kucoin.unified_streams import UnifiedStreams
from engine.sim.kucoin.unified_views import UnifiedViews
from engine.sim.kucoin.views import NS, Views
from engine.sim.market import Market
from engine.sim.model import Batch, Order, OrderEvent, TradePrint
from engine.sim.ports import Settings, WsServer
from engine.sim.sockets import Flushes
from engine.sim.strikes import LastingFaults, strike_connections
from engine.sim.tape import Print

TICK_S = 0.01
HOSTS = {"spot": "spot", "perp": "futures"}


@dataclass(frozen=True, slots=True)
class WireOptions:
    """What tests may want different from the venue.

    Attributes:
        pools: quota and length in milliseconds of the rate-limit pools.
        snapshot_delay_s: from a subscription to the snapshot of a book (0.5 to 6 s on the venue).
    """

    pools: Mapping[str, tuple[int, int]] = field(default_factory=lambda: POOLS)
    snapshot_delay_s: float = 0.5


class KucoinVenue:
    """Everything of the venue; the exchange's listener.

    Attributes:
        rest: REST servers by host. classic, push: sockets by host. push_private, trade: the shared ones.
        addresses: of the sockets that a bullet token leads to, by host; known once the servers run.
    """

    def __init__(
        self, exchange: Exchange, board: FaultBoard, clock: SimClock, settings: Settings, options: WireOptions
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self.clockwork = Clockwork("kucoin", TICK_S, self.tick, self.finish_round)
        self.addresses: dict[str, str] = {}
        self.faults = {product: FaultPoints(board, exchange.venue, product) for product in HOSTS}
        self._clock_fault = ClockFault(self.faults["spot"], clock)
        now_ms, scale = clock.now_ms, settings.time_scale
        self.listing = Listing(exchange.markets.values())
        self.hub = Hub()
        self._lasting = LastingFaults(exchange, self.hub.silent)
        self._flushes = Flushes()
        self._views = Views(self.listing, exchange.clearing)
        unified = UnifiedViews(self.listing, self._views, exchange.clearing)
        self._trading = Trading(exchange, self.listing, now_ms, self._race, self._rested)
        self.private = PrivateFeed(
            self.hub,
            self._views,
            unified,
            self.listing,
            self._trading.modes,
            self.faults,
            now_ms,
            self.clockwork.wake,
        )
        for account in exchange.accounts.values():
            if is_unified(account):
                account.unify()
            self.private.remember(account)
        self._books = Books(exchange, self.faults)
        self._ledger = FundingLedger()
        self._unified_streams = UnifiedStreams(
            self.listing, self.hub, self._flushes, self.faults, exchange.publish, now_ms,
            options.snapshot_delay_s / scale,
        )  # fmt: skip
        markets = MarketQueries(self.listing, self._books, now_ms)
        self._classic_streams = ClassicStreams(self.listing, self.hub, self.faults, markets, now_ms)
        gate, self._tokens = Gate(exchange.accounts, now_ms), Tokens(now_ms)
        pools, desk = Pools(now_ms, options.pools), Desk(self.faults, self.finish_round)
        spot = SpotOrders(exchange, self.listing, self._views, self._trading, self.faults["spot"], now_ms)
        futures = FuturesOrders(
            exchange, self.listing, self._views, self._trading, self._ledger, self.faults["perp"], now_ms
        )
        orders = UnifiedOrders(
            exchange, self.listing, self._views, unified, self._trading, self.faults, now_ms
        )
        shared = UnifiedMarket(self.listing, self._books, markets, now_ms).routes() | orders.routes()
        hosts = {
            "spot": markets.spot_routes() | spot.routes(),
            "futures": markets.futures_routes() | futures.routes(),
        }
        self.rest = {
            host: RestApi(
                host, routes | shared, gate, pools, self._tokens, desk, self.faults,
                self.addresses.__getitem__, settings.tls,
            )
            for host, routes in hosts.items()
        }  # fmt: skip

        def now_ns() -> int:
            return clock.now_ms() * NS

        def push(is_futures: bool | None) -> PushSockets:
            return PushSockets(
                is_futures, self.hub, self._flushes, self.listing, gate, self._tokens, self.faults,
                self._unified_streams.begin, self._unified_streams.end, now_ns, scale,
            )  # fmt: skip

        self.push = {"spot": push(False), "futures": push(True)}
        self.push_private = push(None)
        self.classic = {
            host: ClassicSockets(
                host, self.hub, self._flushes, self.listing, self._tokens, self.faults, now_ms, scale
            )
            for host in hosts
        }
        self.trade = TradeSockets(
            gate, pools, desk, spot, futures, orders, self._flushes, self.faults, now_ms, scale
        )
        exchange.listeners.append(self)

    # -- the exchange's listener ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade."""
        one = self.listing.by_market[trade.market]
        row = Print(
            trade.trade_id, trade.price_ticks, trade.qty_lots, trade.time_ms, trade.taker_side == "SELL"
        )
        one.tape.add(row, trade.taker_number)
        self._unified_streams.on_trade(one, row)
        self._classic_streams.on_trade(one, row)
        self.clockwork.wake()

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed."""
        one = self.listing.by_market[market]
        self._unified_streams.on_top(one)
        self._classic_streams.on_top(one)
        self.clockwork.wake()

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed."""
        one = self.listing.by_market[market]
        self._books.note(one, batch.last_id)
        self._unified_streams.on_batch(one, batch)
        self._classic_streams.on_batch(one, batch)
        self.clockwork.wake()

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        self.private.on_order(event)

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        self.private.on_balance(account, product, assets)

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        self.private.on_position(account, self.listing.by_market[market])

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment."""
        one = self.listing.by_market[market]
        self._ledger.add(account, one, amount, rate)
        self.private.on_funding(account, one, amount, rate)

    def _race(self, order: Order, one: Instrument) -> bool:
        """Fill an order just before its cancel, where that fault is armed; the cancel then comes too late."""
        if self.faults[one.market.spec.product].take("cancel_race_fill", one.symbol) is None:
            return False
        self._exchange.fill_resting(order, order.leaves_lots)
        return True

    def _rested(self, order: Order) -> None:
        self.private.rested(order)

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self.clockwork.begin_round()
        self.private.deliver()
        self._flushes.flush()

    def tick(self) -> None:
        """Do what is due by the clock: faults, books, tickers, marks."""
        self._clock_fault.tick()
        for product, faults in self.faults.items():
            if faults.armed:
                self._strike(product, faults)
            if faults.armed or self._lasting.in_force:
                for one in self.listing.of(product == "perp"):
                    self._lasting.apply(one.market, one.symbol, one.symbol, faults)
        if self.hub.listeners:
            for one in self.listing.all:
                self._exchange.publish(one.market)
            self._unified_streams.tick()
            if self._classic_streams.tick():
                for account in self._exchange.accounts.values():
                    self.private.mark_positions(account)
        self.finish_round()

    def _public(self, product: str) -> list[Session]:
        host = HOSTS[product]
        return [
            *self.push[host].sessions,
            *(each for each in self.classic[host].sessions if each.account is None),
        ]

    def _strike(self, product: str, faults: FaultPoints) -> None:
        take, public = faults.take, self._public(product)
        private = [*self.push_private.sessions, *self.trade.sessions]
        private += [each for each in self.classic[HOSTS[product]].sessions if each.account is not None]
        strike_connections(faults, public, [*public, *private], "Bye")
        if take("revoke_session") is not None:
            for session in private:
                session.outlet.close(1000, "Bye")
        if take("listenkey_expire") is not None:
            self._tokens.expire()
        if (shutdown := take("server_shutdown")) is not None:
            loop = asyncio.get_running_loop()
            for session in [*public, *private]:
                loop.call_later(delay_s(shutdown, 3000), session.outlet.close, 1001, "Bye")


class KucoinProduct:
    """One product's addresses; a `ProductWire`. Private push and order entry are the same at both."""

    def __init__(self, venue: KucoinVenue, host: str) -> None:
        self._venue = venue
        self._host = host
        self.http: web.Application = venue.rest[host].application()
        kwargs = dict(SERVE_KWARGS)
        self.ws_servers: Mapping[str, WsServer] = {
            name: WsServer(sockets.handler, sockets.process_request, kwargs)
            for name, sockets in (
                ("push", venue.push[host]), ("private", venue.push_private), ("trade", venue.trade),
                ("classic", venue.classic[host]),
            )
        }  # fmt: skip

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses; those of the classic sockets are told by the bullet answers."""
        self._venue.addresses[self._host] = f"{ws_bases['classic']}/"
        self._venue.addresses["unified"] = ws_bases["private"]
        return {
            "rest": http_base, "ws_public": ws_bases["push"], "ws_private": ws_bases["private"],
            "ws_trade": f"{ws_bases['trade']}/v1/private",
        }  # fmt: skip

    async def start(self) -> None:
        """Start the venue's clockwork."""
        await self._venue.clockwork.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._venue.clockwork.stop()


@dataclass(frozen=True, slots=True)
class KucoinWire:
    """KuCoin on the wire; a `VenueWire`."""

    venue: KucoinVenue
    products: Mapping[str, KucoinProduct]


def build(
    exchange: Exchange, faults: FaultBoard, clock: SimClock, settings: Settings,
    options: WireOptions | None = None,
) -> KucoinWire:  # fmt: skip
    """Put ``exchange`` on KuCoin's wire."""
    venue = KucoinVenue(exchange, faults, clock, settings, options or WireOptions())
    products = dict.fromkeys(product for product, _ in exchange.markets)
    return KucoinWire(venue, {product: KucoinProduct(venue, HOSTS[product]) for product in products})
