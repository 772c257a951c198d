"""Puts an exchange on Binance's wire: builds REST, streams and WebSocket API of spot and USDⓈ-M.

This file is the wiring; each part says elsewhere what it does. One `BinanceProduct` owns a product's parts
and its
clockwork: rounds (everything that happened in one turn of the event loop is written at once) and ticks.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from engine.sim.accounts import Account
from engine.sim.binance import rest_perp, rest_spot
from engine.sim.binance.board import Board
from engine.sim.binance.connection_faults import ConnectionFaults
from engine.sim.binance.desk import Desk
from engine.sim.binance.gate import Credential, Gate
from engine.sim.binance.http_api import RestApi
from engine.sim.binance.limits import LimitRules, RateLimits, perp_rules, spot_rules
from engine.sim.binance.market_data import MarketData
from engine.sim.binance.order_counts import OrderCounts
from engine.sim.binance.perp_account import PerpAccounts
from engine.sim.binance.perp_trading import PerpTrading
from engine.sim.binance.private_events import PerpEvents, SpotEvents
from engine.sim.binance.publisher import Publisher
from engine.sim.binance.seconds import SecondStreams
from engine.sim.binance.signing import Ed25519Key, HmacKey, SignatureKey
from engine.sim.binance.spot_account import SpotAccounts
from engine.sim.binance.spot_trading import SpotTrading, client_id_source
from engine.sim.binance.streams import SPOT_PREFIX, Admission, StreamServer
from engine.sim.binance.topics import Hub
from engine.sim.binance.user_data import EventQueue, PerpUserData, SpotUserData
from engine.sim.binance.ws_api import PATHS, WsApi
from engine.sim.clock import SimClock
from engine.sim.clockwork import Clockwork
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import Batch, OrderEvent, TradePrint
from engine.sim.ports import ProductWire, Settings, WsServer
from engine.sim.sockets import Flushes, SocketRules

DAY_S = 86_400.0
TICK_S = 0.02
LONGEST_BATCH_MS = 100


@dataclass(frozen=True, slots=True)
class WireOptions:
    """What tests and other exchanges of the family may want different from the venue.

    Attributes:
        limits: rate limits by product; None: the venue's.
        snapshot_delay_s: pause between taking and answering a depth snapshot.
        queue_delay_s: pause between admission and the matching engine.
        slim_answers: futures order answers without ``avgPrice`` and ``cumQuote``.
        ping_interval_s, pong_deadline_s: ping rules of all sockets; None: the venue's.
        connection_attempts: per address in five minutes; None: unlimited.
        seed: of generated ids and listen keys.
    """

    limits: Mapping[str, LimitRules] = field(default_factory=dict)
    snapshot_delay_s: float = 0.03
    queue_delay_s: float = 0.0
    slim_answers: bool = False
    ping_interval_s: float | None = None
    pong_deadline_s: float | None = None
    connection_attempts: int | None = 300
    seed: int = 20_260_923


class BinanceProduct:
    """One product on the wire; a `ProductWire`, and the exchange's listener for the product.

    Attributes:
        http: the REST application.
        ws_servers: ``public`` (streams, futures' private ones included) and ``trade`` (WebSocket API).
    """

    def __init__(
        self,
        product: str,
        exchange: Exchange,
        fault_board: FaultBoard,
        clock: SimClock,
        settings: Settings,
        options: WireOptions,
    ) -> None:
        self.product = product
        self._exchange = exchange
        self._clock = clock
        self._clockwork = Clockwork(f"binance-{product}", TICK_S, self.tick, self.finish_round)
        self.faults = FaultPoints(fault_board, exchange.venue, product)
        self.flushes = Flushes()
        self.hub = Hub()
        self._markets = [market for (kind, _), market in exchange.markets.items() if kind == product]
        self.board = Board(self._markets)
        rules = options.limits.get(product) or (spot_rules() if product == "spot" else perp_rules())
        self.limits = RateLimits(rules)
        self.publisher = Publisher(self.board, self.hub, self.faults, clock.now_ms, self._clockwork.wake)
        self._seconds = SecondStreams(product, self.board, self.hub)
        for account in exchange.accounts.values():
            account.updated_ms = account.updated_ms or clock.now_ms()
        credentials = {key: credential(account) for key, account in exchange.accounts.items()}
        gate = Gate(product, credentials, self.limits, clock.now_ms)
        self.desk = Desk(
            gate,
            self.faults,
            options.queue_delay_s,
            options.snapshot_delay_s,
            settings.strict,
            self.finish_round,
        )
        new_id = client_id_source(options.seed + len(product))
        admission = Admission(clock.now_ms, self._refused_status, options.connection_attempts)
        data = MarketData(product, self.board, rules, self.faults)
        counts = OrderCounts(self.limits, with_counts=product == "spot")
        stream_rules, api_rules = socket_rules(product, settings.time_scale, options)
        self._run_schedules: Callable[[int], None] = _nothing
        self._expire_keys: Callable[[int], None] = _nothing
        if product == "spot":
            spot_data = SpotUserData(clock.now_ms)
            self._queue = EventQueue(self.faults, spot_data.send, self._clockwork.wake)
            self._events: SpotEvents | PerpEvents = SpotEvents(
                self.board, self._queue, self.limits, clock.now_ms
            )
            trading = SpotTrading(exchange, self.board, self.limits, self.faults, new_id)
            wallet = SpotAccounts(self.board)
            shared = rest_spot.operations(trading, data, wallet, counts)
            routes = rest_spot.routes(shared, wallet)
            self.api = WsApi(
                product,
                self.desk,
                rest_spot.methods(shared, spot_data),
                self.flushes,
                api_rules,
                admission,
                spot_data,
            )
            private = None
            expire_all = _nothing_at_all
        else:
            private = PerpUserData(clock.now_ms, options.seed, settings.time_scale)
            self._queue = EventQueue(self.faults, private.send, self._clockwork.wake)
            margin = PerpAccounts(exchange, self.board)
            self._events = PerpEvents(
                self.board, self._queue, margin, exchange.clearing.unrealised, clock.now_ms
            )
            perp_trading = PerpTrading(exchange, self.board, self.faults, new_id, options.slim_answers)
            routes = rest_perp.routes(perp_trading, data, margin, counts, private)
            self.api = WsApi(
                product, self.desk, rest_perp.methods(routes), self.flushes, api_rules, admission, None
            )
            self._run_schedules = perp_trading.run_schedules
            self._expire_keys = private.expire
            listen_keys = private

            def expire_all() -> None:
                listen_keys.expire(clock.now_ms(), all_keys=True)

        self.streams = StreamServer(product, self.hub, self.flushes, stream_rules, admission, private)
        self._connection_faults = ConnectionFaults(
            product, exchange, self.faults, self.hub, self.streams, self.api, expire_all, self._call_later
        )
        self._clock_fault = ClockFault(self.faults, clock)
        self.http: web.Application = RestApi(self.desk, routes).application()
        self.ws_servers: Mapping[str, WsServer] = {
            "public": WsServer(
                self.streams.handler, self.streams.process_request, self.streams.serve_kwargs()
            ),
            "trade": WsServer(self.api.handler, self.api.process_request, self.api.serve_kwargs()),
        }
        self._published_ms = dict.fromkeys(self._markets, 0)
        exchange.listeners.append(self)

    # -- the exchange's listener ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade."""
        if trade.market.spec.product == self.product:
            self.publisher.on_trade(trade)

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed."""
        if market.spec.product == self.product:
            self.publisher.on_top(market)

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed."""
        if market.spec.product == self.product:
            self._published_ms[market] = self._clock.now_ms()
            self.publisher.on_batch(market, batch)

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        if event.order.market.spec.product == self.product:
            self._events.on_order(event)

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        if product == self.product:
            self._events.on_balance(account, assets)

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        if market.spec.product == self.product:
            self._events.on_position(account, market)

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment."""
        if market.spec.product == self.product:
            self._events.on_funding(account, market, amount)

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self._clockwork.begin_round()
        self.publisher.finish_round()
        self._queue.deliver()
        self.flushes.flush()

    def tick(self) -> None:
        """Do what is due by the clock: faults, overdue batches, slow streams, schedules."""
        self._clock_fault.tick()
        self._connection_faults.tick()
        now = self._clock.now_ms()
        for market, published_ms in self._published_ms.items():
            if now - published_ms >= LONGEST_BATCH_MS or now < published_ms:
                self._exchange.publish(market)
        self._run_schedules(now)
        self._expire_keys(now)
        self.publisher.tick(now)
        self._seconds.tick(now)
        self.finish_round()

    # -- the server's side ---------------------------------------------------------------------------------

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses; ``/ws`` or ``/stream`` (futures: after a route) go behind public ones."""
        trade = ws_bases["trade"] + PATHS[self.product]
        if self.product == "spot":
            public = ws_bases["public"] + SPOT_PREFIX
            return {"rest": http_base, "ws_public": public, "ws_private": trade, "ws_trade": trade}
        return {
            "rest": http_base,
            "ws_public": ws_bases["public"],
            "ws_private": ws_bases["public"],
            "ws_trade": trade,
        }

    async def start(self) -> None:
        """Start the clockwork."""
        await self._clockwork.start()

    async def stop(self) -> None:
        """Stop the clockwork; connections are the server's to close."""
        await self._clockwork.stop()

    def _refused_status(self) -> int | None:
        refused = self.faults.take("refuse_connect")
        return None if refused is None else int(refused.get("status", 503))

    def _call_later(self, delay_s: float, callback: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_later(delay_s, callback)


@dataclass(frozen=True, slots=True)
class BinanceWire:
    """Binance on the wire; a `VenueWire`."""

    products: Mapping[str, BinanceProduct]


def build(
    exchange: Exchange,
    faults: FaultBoard,
    clock: SimClock,
    settings: Settings,
    options: WireOptions | None = None,
) -> BinanceWire:
    """Put ``exchange`` on Binance's wire, one product wire per product it has markets of.

    Raises:
        ValueError: an account's key is not what its type says.
    """
    chosen = options or WireOptions()
    products = dict.fromkeys(product for product, _ in exchange.markets)
    wires = {
        product: BinanceProduct(product, exchange, faults, clock, settings, chosen) for product in products
    }
    _check: Mapping[str, ProductWire] = wires
    return BinanceWire(wires)


def credential(account: Account) -> Credential:
    """Return an account's API key with what verifies its signatures.

    Raises:
        ValueError: unknown key type, or a secret that is no PKCS#8 Ed25519 key.
    """
    key: SignatureKey
    if account.key_type == "hmac":
        key = HmacKey(account.secret)
    elif account.key_type == "ed25519":
        private = load_der_private_key(base64.b64decode(account.secret), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"account {account.name}: the secret is no Ed25519 key; give base64 PKCS#8")
        key = Ed25519Key(private.public_key().public_bytes_raw())
    else:
        raise ValueError(f"account {account.name}: key_type {account.key_type!r}; use hmac or ed25519")
    return Credential(account.api_key, account, key)


def socket_rules(product: str, time_scale: float, options: WireOptions) -> tuple[SocketRules, SocketRules]:
    """Return the connection rules of a product's streams and of its WebSocket API."""
    ping, deadline, messages = (20.0, 60.0, 5) if product == "spot" else (180.0, 600.0, 10)
    ping = options.ping_interval_s or ping
    deadline = options.pong_deadline_s or deadline
    lifetime = DAY_S / time_scale
    return SocketRules(messages, ping, deadline, lifetime), SocketRules(None, ping, deadline, lifetime)


def _nothing(_now_ms: int) -> None:
    """Do nothing: spot has no schedules and no listen keys."""


def _nothing_at_all() -> None:
    """Do nothing: spot has no listen keys."""
