"""The life of one market-data connection: subscribe, feed the books, notice silence, start again."""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from engine.book.l2 import BookLike, DepthFeedLike, new_feed
from engine.book.sync import BookSync
from engine.model.instrument import Instrument
from engine.model.market import BookState, FundingUpdate, TopOfBook, Trade
from engine.model.ports import Clock
from engine.session.resubscriber import Resubscriber
from engine.session.snapshots import SnapshotDesk
from engine.telemetry import events
from engine.telemetry.log import EventLog, redact
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import SessionDown, SessionUp, WebSocketSession
from engine.venues.base import (
    AskingForSnapshots,
    ConnectionPlan,
    ControlReply,
    Handshake,
    MarketDataAdapter,
    PlannedShutdown,
    Welcome,
)

SUBSCRIBE_TIMEOUT_NS = 10_000_000_000
QUARANTINE_LOGGED_MAX = 20


class MarketTaps(msgspec.Struct):
    """Who hears what beside the books; calls must be quick."""

    on_trade: Callable[[Trade], None]
    on_top: Callable[[TopOfBook], None]
    on_funding: Callable[[FundingUpdate], None]


class MarketSession:
    """One connection of a venue product's market data.

    Args:
        books: universal symbol to book, for the plan's depth routes.
        desk: answers snapshot requests (not where snapshots come on the stream), and asks for addresses.
        stale_after_ms: a connection silent for this long makes its books STALE.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        adapter: MarketDataAdapter,
        instruments: Mapping[str, Instrument],
        books: Mapping[str, BookLike],
        desk: SnapshotDesk,
        taps: MarketTaps,
        *,
        clock: Clock,
        log: EventLog,
        tls: ssl.SSLContext | None,
        budget: ConnectionBudget,
        generator: random.Random,
        buffer_frames_max: int,
        stale_after_ms: int,
    ) -> None:
        self.plan = plan
        self._adapter = adapter
        self._taps = taps
        self._desk = desk
        self._clock = clock
        self._log = log
        self._stale_after_ns = stale_after_ms * 1_000_000
        self.feed: DepthFeedLike | None = None
        self._syncs: dict[int, BookSync] = {}
        self._announced: set[int] = set()
        self._instruments = {books[name].book_id: instruments[name] for _, name in plan.depth_routes}
        self.on_live: Callable[[BookLike], None] | None = None
        self._acks_wanted = 0
        self._acks_deadline_ns = 0
        self._is_dropping = False
        self._is_stopping = False
        if plan.depth_routes:
            self.feed = new_feed(adapter.schema)
            self.feed.on_attention = self._attend
        self.session = WebSocketSession(
            name=plan.name,
            url=self._address,
            rules=plan.rules,
            clock=clock,
            backoff=Backoff(200, 15_000, generator),
            budget=budget,
            on_message=self._on_message,
            on_up=self._on_up,
            on_down=self._on_down,
            on_quarantine=self._on_quarantine,
            sink=self.feed,
            tls=tls,
            greeting=lambda: plan.subscribe,
            greets_late=plan.awaits_welcome,
        )
        self._resubscriber: Resubscriber | None = None
        if self.feed is None:
            return
        is_in_band = adapter.schema.is_in_band
        request = desk.request
        if is_in_band:
            self._resubscriber = Resubscriber(
                adapter.depth_request, self.session.reserve_send, self.session.send, self.session.drop,
                self._instruments.__getitem__, clock, log,
                adapter.snapshot_message if isinstance(adapter, AskingForSnapshots) else None,
            )  # fmt: skip
            request = self._resubscriber.request
        for route, universal in plan.depth_routes:
            book = books[universal]
            self.feed.add(route, book)
            self._syncs[book.book_id] = BookSync(
                book, self.feed, request, self._changed, frames_max=buffer_frames_max, is_in_band=is_in_band
            )

    def _address(self) -> str | Awaitable[str | None]:
        return self.plan.url if self.plan.handshake is None else self._dial(self.plan.handshake)

    async def _dial(self, handshake: Handshake) -> str | None:
        """Ask the venue where to connect; its liveness rule holds for that connection."""
        dial = await self._desk.ask_address(handshake)
        self.session.heartbeat = dial.heartbeat or self.plan.rules.heartbeat
        return dial.url

    # ----------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Connect and keep connected."""
        self.session.start()

    async def stop(self) -> None:
        """Close."""
        self._is_stopping = True
        if self._resubscriber is not None:
            await self._resubscriber.stop()
        await self.session.stop()
        for sync in self._syncs.values():
            sync.lost("stopped")

    @property
    def syncs(self) -> list[BookSync]:
        """Return the synchronisers of this connection's books."""
        return list(self._syncs.values())

    def _on_up(self, event: SessionUp) -> None:
        self._acks_wanted = len(self.plan.subscribe)
        self._acks_deadline_ns = self._clock.mono_ns() + SUBSCRIBE_TIMEOUT_NS
        self._is_dropping = False
        self._log.emit(events.SESSION_CONNECTED, session=event.session, epoch=event.epoch)
        if not self._acks_wanted:
            self._begin()

    def _begin(self) -> None:
        """Every subscription is acknowledged: from here on a snapshot can be joined."""
        self._acks_deadline_ns = 0
        for sync in self._syncs.values():
            sync.begin("connected, waiting for a snapshot")

    def _on_down(self, event: SessionDown) -> None:
        self._acks_deadline_ns = 0
        if self._resubscriber is not None:
            self._resubscriber.lost()
        for sync in self._syncs.values():
            sync.lost(f"connection lost: {event.reason}")
        if event.was_up or event.retry_ms < 1_000:
            self._log.emit(
                events.SESSION_LOST,
                session=event.session,
                epoch=event.epoch,
                reason=redact(event.reason),
                retry_ms=event.retry_ms,
            )

    def tick(self, mono_ns: int) -> None:
        """Look after the slow things; call it several times a second."""
        for book_id, sync in self._syncs.items():
            sync.tick(mono_ns)
            if book_id not in self._announced and sync.book.is_live:
                self._changed(sync, "")
        if self._acks_deadline_ns and mono_ns > self._acks_deadline_ns and self.session.is_open:
            self._acks_deadline_ns = 0
            self.session.drop("a subscription was not answered")
        if self.session.is_open and mono_ns - self.session.last_mono_ns > self._stale_after_ns:
            for sync in self._syncs.values():
                if sync.book.state is BookState.LIVE:
                    sync.distrust("connection silent")

    # --------------------------------------------------------------------------------------- events

    def _attend(self, book: BookLike, code: int, payload: bytes) -> None:
        now = self._clock
        self._syncs[book.book_id].on_attention(code, payload, now.mono_ns(), now.utc_ns())

    def _changed(self, sync: BookSync, cause: str) -> None:
        book = sync.book
        instrument = self._instruments[book.book_id]
        if cause == "":
            if book.book_id not in self._announced:
                self._announced.add(book.book_id)
                if self.on_live is not None:
                    self.on_live(book)
                self._log.emit(
                    events.BOOK_SYNCED,
                    venue=instrument.venue,
                    instrument=instrument.universal,
                    sequence=book.sequence,
                    resyncs=sync.resyncs,
                )
            return
        self._announced.discard(book.book_id)
        if self._is_stopping:
            return
        self._log.emit(
            events.BOOK_LOST,
            venue=instrument.venue,
            instrument=instrument.universal,
            cause=cause,
            sequence=book.sequence,
        )

    def _on_message(self, payload: bytes, mono_ns: int, utc_ns: int) -> None:
        for event in self._adapter.decode_market(payload, mono_ns, utc_ns):
            if isinstance(event, TopOfBook):
                self._taps.on_top(event)
            elif isinstance(event, Trade):
                self._taps.on_trade(event)
            elif isinstance(event, FundingUpdate):
                self._taps.on_funding(event)
            elif isinstance(event, ControlReply):
                self._on_control(event)
            elif isinstance(event, Welcome):
                self.session.greet()
            elif isinstance(event, PlannedShutdown):
                self._on_shutdown()

    def _on_control(self, reply: ControlReply) -> None:
        if self._resubscriber is not None and self._resubscriber.heard(reply):
            return
        if reply.error is not None:
            self._log.emit(
                events.SUBSCRIPTION_REFUSED,
                session=self.plan.name,
                request_id=reply.request_id,
                error=redact(reply.error),
            )
            return  # the deadline of the acknowledgements decides what follows
        if self._acks_wanted:
            self._acks_wanted -= 1
            if self._acks_wanted == 0:
                self._begin()

    def _on_shutdown(self) -> None:
        if not self._is_dropping:
            self._is_dropping = True
            self._log.emit(events.SHUTDOWN_ANNOUNCED, session=self.plan.name)
            self.session.drop("the venue announced a shutdown")

    def _on_quarantine(self, payload: bytes, error: Exception) -> None:
        if self.session.quarantined <= QUARANTINE_LOGGED_MAX:
            self._log.emit(
                events.SESSION_QUARANTINED,
                session=self.plan.name,
                error=f"{type(error).__name__}: {error}"[:300],
                raw=redact(payload[:200].decode("utf-8", "backslashreplace")),
            )
