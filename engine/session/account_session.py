"""The private stream's life: key, connect, subscribe, renew, and tell when nothing may have been missed."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable

from engine.model.account import Balance, Position
from engine.model.errors import NotSent, Unanswered
from engine.model.orders import ExecutionReport, VenueError
from engine.model.ports import Clock
from engine.model.wire import HttpRequest
from engine.session.venue_clock import VenueClock
from engine.telemetry import events
from engine.telemetry.log import EventLog, redact
from engine.transport.http import HttpPool
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.request_budget import RequestBudget
from engine.transport.websocket import SessionDown, SessionUp, WebSocketSession
from engine.venues.base import PlannedShutdown, SignedDialling, StreamDown, ToSend, TradingAdapter, WsReply

LISTEN_KEY_RENEW_S = 1_500.0
REQUEST_TIMEOUT_S = 5.0
SUBSCRIBE_ID = "private"


class AccountSession:
    """The private stream of one venue product.

    Args:
        connects: attempts that the host allows.
        on_report, on_balance, on_position: told each event.
        on_up: told when the stream is subscribed: what happened while it was down must be asked for.
    """

    def __init__(
        self,
        adapter: TradingAdapter,
        pool: HttpPool,
        budget: RequestBudget,
        venue_clock: VenueClock,
        clock: Clock,
        log: EventLog,
        *,
        tls: ssl.SSLContext | None,
        generator: random.Random,
        connects: ConnectionBudget,
        on_report: Callable[[ExecutionReport], None],
        on_balance: Callable[[Balance], None],
        on_position: Callable[[Position], None],
        on_up: Callable[[], None],
    ) -> None:
        self._adapter = adapter
        self._pool = pool
        self._budget = budget
        self._venue_clock = venue_clock
        self._log = log
        self._on_report = on_report
        self._on_balance = on_balance
        self._on_position = on_position
        self._on_up_callback = on_up
        self._needs_key = adapter.listen_key_request() is not None
        self._key: str | None = None
        self._task: asyncio.Task[None] | None = None
        self.is_subscribed = False
        self.down_reason = "never connected"
        rules = adapter.private_rules
        self.session = WebSocketSession(
            name=f"{adapter.venue}.{adapter.product.value}.private",
            url=self._url,
            rules=rules,
            clock=clock,
            backoff=Backoff(200, 15_000, generator),
            budget=connects,
            on_message=self._on_message,
            on_up=self._on_up,
            on_down=self._on_down,
            on_quarantine=self._on_quarantine,
            tls=tls,
            greeting=self._greeting,
        )

    def start(self) -> None:
        """Open the stream and keep it open."""
        if self._needs_key:
            self._task = asyncio.get_running_loop().create_task(self._keep_key(), name="listen key")
        self.session.start()

    async def stop(self) -> None:
        """Close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.session.stop()

    # -------------------------------------------------------------------------------------- the key

    async def _keep_key(self) -> None:
        """Fetch a listen key, renew it in time, fetch another when it is gone."""
        pause = 0.2
        while True:
            if await self._fetch_key():
                pause = 0.2
                await asyncio.sleep(LISTEN_KEY_RENEW_S if self._key else pause)
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 15.0)

    async def _fetch_key(self) -> bool:
        adapter = self._adapter
        if isinstance(adapter, SignedDialling):
            request: HttpRequest | None = adapter.signed_listen_key_request(self._venue_clock.stamp_ms())
        else:
            request = adapter.listen_key_request()
        assert request is not None
        try:
            self._budget.take(request)
            response = await self._pool.request(request, REQUEST_TIMEOUT_S)
        except (NotSent, Unanswered) as error:
            self.down_reason = f"listen key: {error}"
            return False
        key = self._adapter.decode_listen_key(response.status, response.body)
        if isinstance(key, VenueError):
            self.down_reason = f"listen key refused: {key.code} {key.message}"
            return False
        if key and key != self._key:
            self._key = key
        return True

    def _url(self) -> str | None:
        if self._needs_key and self._key is None:
            return None
        return self._adapter.private_url(self._key)

    # --------------------------------------------------------------------------------------- stream

    def _greeting(self) -> tuple[bytes, ...]:
        return self._adapter.private_subscribe(SUBSCRIBE_ID, self._venue_clock.stamp_ms())

    def _on_up(self, event: SessionUp) -> None:
        if not self._greeting():
            self._subscribed()

    def _subscribed(self) -> None:
        self.is_subscribed = True
        self.down_reason = ""
        self._log.emit(events.PRIVATE_UP, venue=self._adapter.venue, product=self._adapter.product.value)
        self._on_up_callback()

    def _on_down(self, event: SessionDown) -> None:
        self.is_subscribed = False
        self.down_reason = event.reason
        if event.was_up:
            self._log.emit(
                events.PRIVATE_LOST,
                venue=self._adapter.venue,
                product=self._adapter.product.value,
                reason=redact(event.reason),
            )

    def _on_message(self, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        for event in self._adapter.decode_private(payload, mono_ns, utc_ns):
            if isinstance(event, ExecutionReport):
                self._on_report(event)
            elif isinstance(event, Balance):
                self._on_balance(event)
            elif isinstance(event, Position):
                self._on_position(event)
            elif isinstance(event, WsReply):
                self._on_reply(event)
            elif isinstance(event, ToSend):
                self.session.send(event.payload)
            elif isinstance(event, StreamDown):
                self._lapsed(event.reason)
            elif isinstance(event, PlannedShutdown):
                self.session.drop("the venue announced a shutdown")

    def _on_reply(self, reply: WsReply) -> None:
        if reply.request_id != SUBSCRIBE_ID:
            return
        if isinstance(reply.result, VenueError):
            self.down_reason = f"subscription refused: {reply.result.code} {reply.result.message}"
            self._log.emit(
                events.SUBSCRIPTION_REFUSED,
                session=self.session.name,
                request_id=reply.request_id,
                error=self.down_reason,
            )
            self.session.drop("subscription refused")
        else:
            self._subscribed()

    def _lapsed(self, reason: str) -> None:
        """The stream says that it ended although the connection lives: take a new key, connect anew."""
        self._key = None
        if self._task is not None:
            self._task.cancel()
            self._task = asyncio.get_running_loop().create_task(self._keep_key(), name="listen key")
        self.session.drop(reason)

    def _on_quarantine(self, payload: bytes, error: Exception) -> None:
        self._log.emit(
            events.SESSION_QUARANTINED,
            session=self.session.name,
            error=f"{type(error).__name__}: {error}"[:300],
            raw=redact(payload[:200].decode("utf-8", "backslashreplace")),
        )
