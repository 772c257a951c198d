"""The private side of one venue product: clock, gateways, router, account stream, put together."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

from engine.config import Config
from engine.model.account import Balance, Position
from engine.model.errors import NotSent, Unanswered, UsageError
from engine.model.market import Side
from engine.model.orders import OrderAck, TimeInForce, VenueError
from engine.model.ports import Clock
from engine.model.wire import HttpRequest
from engine.router.checks import amended_terms, new_order
from engine.router.client_ids import ClientIds
from engine.router.order import AmendState, Change, Order
from engine.router.router import OrderRouter
from engine.session.account_session import AccountSession
from engine.session.order_gateway import RestGateway, WsGateway
from engine.session.parts import ask_parts
from engine.supervisor.account_check import AccountCheck
from engine.supervisor.missing_fees import MissingFees
from engine.supervisor.reach import AccountReach
from engine.supervisor.venue import VenueProduct
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool, HttpResponse
from engine.venues.base import Renaming, TradingAdapter

ORDER_CONNECTIONS = 4
ASK_S = 5.0
CLOCK_ERROR_MS = 500
FILLS_TIMEOUT_S = 1.0
DONE_STATES_TIMEOUT_S = 20.0


class TradingDesk:
    """Orders and account of one venue product.

    Args:
        market: the public side; it must be listed before :meth:`start`.
        refusal: why orders may not leave, "" when they may.
    """

    def __init__(
        self,
        adapter: TradingAdapter,
        market: VenueProduct,
        ids: ClientIds,
        config: Config,
        *,
        clock: Clock,
        log: EventLog,
        tls: ssl.SSLContext | None,
        generator: random.Random,
        refusal: str,
    ) -> None:
        self.adapter = adapter
        self.market = market
        self._ids = ids
        self._config = config
        self._clock = clock
        self._log = log
        self.refusal = refusal
        self.venue_clock = market.venue_clock
        self.venue_clock.use_window(adapter.validity_ms)
        self._clock_refusals = 0
        self.balances: dict[str, Balance] = {}
        self.positions: dict[str, Position] = {}
        timeout_s = config.trading.request_timeout_ms / 1000
        # Connections of their own: a snapshot under way must never make an order wait.
        rest_trade = market.endpoints.rest_trade
        self.pool = HttpPool(
            rest_trade or market.endpoints.rest, clock, tls=tls, warm=ORDER_CONNECTIONS, limit=32
        )
        self._account_pool = self.pool if rest_trade else market.pool
        rest = RestGateway(adapter, self.pool, market.budget, self.venue_clock, clock, timeout_s)
        self.ws: WsGateway | None = None
        gateways: dict[str, Any] = {"rest": rest}
        if market.endpoints.ws_trade:
            self.ws = WsGateway(
                adapter, market.endpoints.ws_trade, self.venue_clock, clock, timeout_s,
                budget=market.budget, tls=tls, generator=generator, on_state=self._ws_state,
                connects=market.connects.of(adapter.venue, market.endpoints.ws_trade, adapter.trade_rules),
            )  # fmt: skip
            gateways["ws"] = self.ws
        self.router = OrderRouter(
            adapter.venue,
            gateways,
            market.instruments,
            clock,
            log,
            proof_after_ms=adapter.validity_ms + adapter.give_up_ms + CLOCK_ERROR_MS,
            allowed=lambda: self.refusal or self.check.problem,
            open_orders_max=config.trading.open_orders_max,
            venue_offset_ns=lambda: self.venue_clock.offset_ns,
            on_venue_time=self.venue_clock.round_trip,
            renames=isinstance(adapter, Renaming),
        )
        self.account = AccountSession(
            adapter, self._account_pool, market.budget, self.venue_clock, clock, log,
            tls=tls, generator=generator, on_report=self.router.on_report, on_balance=self._on_balance,
            on_position=self._on_position, on_up=self._on_private_up,
            connects=market.connects.of(
                adapter.venue, market.endpoints.ws_private or "", adapter.private_rules
            ),
        )  # fmt: skip
        self.reach = AccountReach(
            (adapter.venue, adapter.product.value), clock, log,
            stranded_after_ms=config.trading.stranded_after_ms, ask=self.refresh,
            is_up=lambda: self.account.is_subscribed, down_reason=lambda: self.account.down_reason,
        )  # fmt: skip
        self._tasks: set[asyncio.Task[Any]] = set()
        self.fees = MissingFees(
            adapter, market.instruments, self._ask, self.venue_clock.stamp_ms, self.router.on_report,
            self._spawn,
        )  # fmt: skip
        self.router.listeners += [self.fees.heard, self._clock_heard]
        self.check = AccountCheck(adapter, log, self._ask, self.venue_clock.stamp_ms)

    async def start(self) -> None:
        """Measure the clock, read the account, open the private connections."""
        await self.pool.start()
        await self.market.is_listed.wait()
        if not self.venue_clock.is_measured:
            await self.market.clock_keeper.measure(1)
        if not await self.check.once():  # the first order must not find out
            self._spawn(self.check.watch())
        self.router.start()
        self.account.start()
        if self.ws is not None:
            self.ws.session.start()
        self._spawn(self.reach.watch())

    async def stop(self) -> None:
        """Close; orders stay on the venue's book."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.router.stop()
        await self.account.stop()
        if self.ws is not None:
            await self.ws.session.stop()
        await self.pool.stop()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---------------------------------------------------------------------------------------- clock

    def _clock_heard(self, order: Order, change: Change) -> None:
        """A stamp that was refused says that the clock is not what it was thought to be."""
        refusals = self.router.stats.counts.get("clock_refusals", 0)
        if refusals != self._clock_refusals:
            self._clock_refusals = refusals
            self.market.clock_keeper.doubt()

    # --------------------------------------------------------------------------------------- events

    def _on_balance(self, balance: Balance) -> None:
        self.balances[balance.asset] = balance
        self.reach.told("balance", (balance.asset,))

    def _on_position(self, position: Position) -> None:
        self.positions[position.universal] = position
        self.reach.told("position", (position.universal,))

    def _ws_state(self, ready: bool, reason: str) -> None:
        if not ready:
            self.router.reconcile()

    def _on_private_up(self) -> None:
        """What happened while the stream was down is asked for: orders, then balances and positions."""
        self.router.reconcile()
        self._spawn(self.refresh())

    async def refresh(self) -> None:
        """Read balances and positions from the venue."""
        stamp = self.venue_clock.stamp_ms()
        requests = [
            (self.adapter.balances_http(stamp), self._take_balances),
            (self.adapter.positions_http(stamp), self._take_positions),
        ]
        for request, take in requests:
            if request is None:
                continue
            try:
                parts = await self._ask(request)
            except (NotSent, Unanswered):
                continue
            take(parts)

    async def _ask(self, request: HttpRequest) -> list[HttpResponse]:
        return await ask_parts(
            request, self.adapter, self._account_pool, self.market.budget, self.venue_clock.stamp_ms, ASK_S
        )

    def _take_balances(self, parts: list[HttpResponse]) -> None:
        balances: dict[str, Balance] = {}
        for response in parts:
            rows = self.adapter.decode_balances(response.status, response.body)
            if isinstance(rows, VenueError):
                return
            balances |= {row.asset: row for row in rows}
        self.balances = balances
        self.reach.told("balance", balances)

    def _take_positions(self, parts: list[HttpResponse]) -> None:
        positions: dict[str, Position] = {}
        for response in parts:
            rows = self.adapter.decode_positions(response.status, response.body)
            if isinstance(rows, VenueError):
                return
            positions |= {row.universal: row for row in rows}
        self.positions = positions
        self.reach.told("position", positions)

    # --------------------------------------------------------------------------------------- orders

    def place(
        self,
        universal: str,
        side: Side,
        qty: str,
        price: str | None,
        *,
        time_in_force: TimeInForce = TimeInForce.GTC,
        post_only: bool = False,
        reduce_only: bool = False,
        transport: str = "",
    ) -> Order:
        """Check and send one order; raises UsageError, InstrumentUnknown."""
        instrument = self.market.instrument(universal)
        reference = 0
        book = self.market.books.get(universal)
        if price is None and book is not None and book.is_live:
            reference = book.touch()[2 if side is Side.BUY else 0]
        new = new_order(
            instrument, self._ids.next(), side, qty, price, time_in_force=time_in_force,
            post_only=post_only, reduce_only=reduce_only, reference_price=reference,
        )  # fmt: skip
        return self.router.place(new, transport or self._config.trading.transport)

    def amend(
        self,
        universal: str,
        client_order_id: str,
        qty: str | None = None,
        price: str | None = None,
        *,
        transport: str = "",
    ) -> Order:
        """Check and send a change of a working limit order; ``qty`` is its whole quantity.

        Raises:
            UsageError: off tick or lot, nothing to change, or the order cannot be amended (now).
            InstrumentUnknown: no such instrument here.
        """
        instrument = self.market.instrument(universal)
        order = self.router.orders.get(client_order_id)
        if order is None or order.universal != universal:
            raise UsageError(f"{self.adapter.venue} has no order {client_order_id} in {universal}")
        new_qty, new_price = amended_terms(
            instrument, order.side, qty, price, known_qty=order.qty, known_price=order.price,
            reduce_only=order.reduce_only,
        )  # fmt: skip
        return self.router.amend(
            client_order_id, new_qty, new_price, transport or self._config.trading.transport
        )

    async def order(self, universal: str, client_order_id: str) -> Order:
        """Return an order by our id, asking the venue for one that this process does not know.

        Raises:
            UsageError: neither knows it.
        """
        known = self.router.orders.get(client_order_id)
        if known is None:
            await self.open_orders(universal)
            known = self.router.orders.get(client_order_id)
        if known is None:
            raise UsageError(f"{self.adapter.venue} has no open order {client_order_id} in {universal}")
        return known

    async def open_orders(self, universal: str) -> list[Order]:
        """Return the venue's open orders of an instrument; those of other processes are adopted.

        Raises:
            UsageError: the venue did not answer.
        """
        instrument = self.market.instrument(universal)
        request = self.adapter.open_orders_http(instrument, self.venue_clock.stamp_ms())
        try:
            parts = await self._ask(request)
        except (NotSent, Unanswered) as error:
            raise UsageError(f"{self.adapter.venue}: open orders: {error}") from None
        acks: list[OrderAck] = []
        for response in parts:
            rows = self.adapter.decode_orders(response.status, response.body)
            if isinstance(rows, VenueError):
                raise UsageError(f"{self.adapter.venue}: open orders: {rows.code} {rows.message}")
            acks += rows
        return [self.router.adopt_ack(universal, row) for row in acks]

    async def settled(self, order: Order, timeout_s: float = DONE_STATES_TIMEOUT_S) -> None:
        """Wait until the order's place, amend or cancel has been answered or proven, and a little for fills.

        The answer to a place counts what was filled; the fills themselves, with their fees, come privately.
        """
        pending = ("pending_new", "pending_cancel", "in_doubt")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while order.state.value in pending or order.amend_state is not AmendState.NONE:
            if loop.time() >= deadline:
                return
            await asyncio.sleep(0.002)
        deadline = min(deadline, loop.time() + FILLS_TIMEOUT_S)
        while order.booked_qty < order.cum_qty and loop.time() < deadline:
            await asyncio.sleep(0.002)

    def view(self) -> dict[str, Any]:
        """Return the private side's state for people."""
        return {
            "venue": self.adapter.venue,
            "product": self.adapter.product.value,
            "orders_refused": self.refusal or self.check.problem,
            "private_stream": "up" if self.account.is_subscribed else self.account.down_reason,
            "order_socket": None if self.ws is None else ("up" if self.ws.is_ready else "down"),
            "clock_offset_ms": round(self.venue_clock.offset_ns / 1e6, 3),
            "clock_error_ms": round(self.venue_clock.error_ns / 1e6, 3),
            "circuit_open": self.router.breaker.is_open,
            "account_silent_s": self.reach.silent_s,
            "stranded": self.reach.view(
                self.balances, self.positions, self.router.orders.values(), self.market.instruments
            ),
            "paused": self.router.paused,
            "balances": {
                asset: {"free": f"{row.free:f}", "locked": f"{row.locked:f}"}
                for asset, row in self.balances.items()
            },
            "positions": {
                universal: {"qty": f"{row.position_qty:f}", "entry_price": f"{row.entry_price:f}"}
                for universal, row in self.positions.items()
                if row.position_qty
            },
            "router": self.router.stats.view(),
        }
