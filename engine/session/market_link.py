"""One market-data connection: subscribes, counts acknowledgements, decodes what the depth kernel passes on.

What its frames mean for books is decided by the session that owns it (``market_session``), of which it may be
the only connection, one of two twins, or the replacement of another.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from engine.book.l2 import BookLike, DepthFeedLike, new_feed
from engine.book.sync import BookSync
from engine.model.instrument import Instrument, InstrumentsTold
from engine.model.market import FundingUpdate, TopOfBook, Trade
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
    VenueTime,
    Welcome,
)

SUBSCRIBE_TIMEOUT_NS = 10_000_000_000
QUARANTINE_LOGGED_MAX = 20


class MarketTaps(msgspec.Struct):
    """Who hears what beside the books; calls must be quick."""

    on_trade: Callable[[Trade], None]
    on_top: Callable[[TopOfBook], None]
    on_funding: Callable[[FundingUpdate], None]
    on_instruments: Callable[[Sequence[Instrument]], None] = lambda _: None
    on_time: Callable[[int, int, int, int], object] = lambda *_: None
    """Told (ping sent, answer received, the venue's time, its tick): a round trip over the stream."""


class LinkOwner(msgspec.Struct):
    """What a connection tells its session, synchronously.

    Attributes:
        up: the connection is open, its subscriptions are on their way.
        ready: every subscription is acknowledged: from here on a snapshot can be joined.
        down: it is lost, for the reason given in the event.
        attention: a frame that the feed did not apply: (link, book, ``Feed`` code, payload).
        leaving: the venue says that it will close the connection.
    """

    up: Callable[[MarketLink], None]
    ready: Callable[[MarketLink], None]
    down: Callable[[MarketLink, SessionDown], None]
    attention: Callable[[MarketLink, BookLike, int, bytes], None]
    leaving: Callable[[MarketLink], None]


class MarketLink:
    """One connection of a plan, with a depth feed of its own onto the session's books.

    Args:
        name: of this connection; twins and replacements have names of their own.
        instruments: by book id.

    Attributes:
        feed: ``None`` where the plan has no depth.
        is_up: the connection is open. is_ready: and all subscriptions are acknowledged.
        opened_ns, ready_ns: since when (mono_ns).
    """

    def __init__(
        self,
        name: str,
        plan: ConnectionPlan,
        adapter: MarketDataAdapter,
        instruments: Mapping[int, Instrument],
        books: Mapping[str, BookLike],
        desk: SnapshotDesk,
        taps: MarketTaps,
        owner: LinkOwner,
        *,
        clock: Clock,
        log: EventLog,
        tls: ssl.SSLContext | None,
        budget: ConnectionBudget,
        generator: random.Random,
    ) -> None:
        self.name = name
        self.plan = plan
        self._adapter = adapter
        self._desk = desk
        self._taps = taps
        self._owner = owner
        self._clock = clock
        self._log = log
        self.is_up = self.is_ready = False
        self.opened_ns = self.ready_ns = 0
        self._acks_wanted = 0
        self._acks_deadline_ns = 0
        self._is_leaving = False
        self.feed: DepthFeedLike | None = None
        if plan.depth_routes:
            self.feed = new_feed(adapter.schema)
            self.feed.on_attention = self._attend
            for route, universal in plan.depth_routes:
                self.feed.add(route, books[universal])
        self.session = WebSocketSession(
            name=name,
            url=self._address,
            # Replacing a connection in time is the session's business: it knows when no reader sees a gap.
            rules=msgspec.structs.replace(plan.rules, lifetime_s=0),
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
        self.resubscriber: Resubscriber | None = None
        self._is_in_band = adapter.schema.is_in_band
        if self.feed is not None:
            self.resubscriber = Resubscriber(
                adapter.depth_request, self.session.reserve_send, self.session.send, self.session.drop,
                instruments.__getitem__, clock, log,
                adapter.snapshot_message if isinstance(adapter, AskingForSnapshots) else None,
            )  # fmt: skip

    def request(self, sync: BookSync, delay_ms: int) -> None:
        """Ask for what a book needs to be synchronised: a snapshot, or its subscription made anew."""
        if self.resubscriber is not None and self._is_in_band:
            self.resubscriber.request(sync, delay_ms)
        else:
            self._desk.request(sync, delay_ms)

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
        """Close; the session hears nothing more of it."""
        self.is_up = self.is_ready = False
        if self.resubscriber is not None:
            await self.resubscriber.stop()
        await self.session.stop()

    def tick(self, mono_ns: int) -> None:
        """Notice subscriptions that are not acknowledged in time."""
        if self._acks_deadline_ns and mono_ns > self._acks_deadline_ns and self.session.is_open:
            self._acks_deadline_ns = 0
            self.session.drop("a subscription was not answered")

    def _on_up(self, event: SessionUp) -> None:
        now = self._clock.mono_ns()
        self._acks_wanted = len(self.plan.subscribe)
        self._acks_deadline_ns = now + SUBSCRIBE_TIMEOUT_NS
        self._is_leaving = False
        self.is_up, self.opened_ns = True, now
        self._log.emit(events.SESSION_CONNECTED, session=event.session, epoch=event.epoch)
        self._owner.up(self)
        if not self._acks_wanted:
            self._begin()

    def _begin(self) -> None:
        self._acks_deadline_ns = 0
        self.is_ready, self.ready_ns = True, self._clock.mono_ns()
        self._owner.ready(self)

    def _on_down(self, event: SessionDown) -> None:
        self._acks_deadline_ns = 0
        self.is_up = self.is_ready = False
        if self.resubscriber is not None:
            self.resubscriber.lost()
        self._owner.down(self, event)
        if event.was_up or event.retry_ms < 1_000:
            self._log.emit(
                events.SESSION_LOST,
                session=event.session,
                epoch=event.epoch,
                reason=redact(event.reason),
                retry_ms=event.retry_ms,
            )

    # --------------------------------------------------------------------------------------- events

    def _attend(self, book: BookLike, code: int, payload: bytes) -> None:
        self._owner.attention(self, book, code, payload)

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
            elif isinstance(event, InstrumentsTold):
                self._taps.on_instruments(event.instruments)
            elif isinstance(event, Welcome):
                self.session.greet()
            elif isinstance(event, VenueTime):
                sent_ns = self.session.take_ping()
                if sent_ns:
                    self._taps.on_time(sent_ns, mono_ns, event.venue_utc_ns, event.resolution_ns)
            elif isinstance(event, PlannedShutdown) and not self._is_leaving:
                self._is_leaving = True
                self._log.emit(events.SHUTDOWN_ANNOUNCED, session=self.name)
                self._owner.leaving(self)

    def _on_control(self, reply: ControlReply) -> None:
        if self.resubscriber is not None and self.resubscriber.heard(reply):
            return
        if reply.error is not None:
            self._log.emit(
                events.SUBSCRIPTION_REFUSED,
                session=self.name,
                request_id=reply.request_id,
                error=redact(reply.error),
            )
            return  # the deadline of the acknowledgements decides what follows
        if self._acks_wanted:
            self._acks_wanted -= 1
            if self._acks_wanted == 0:
                self._begin()

    def _on_quarantine(self, payload: bytes, error: Exception) -> None:
        if self.session.quarantined <= QUARANTINE_LOGGED_MAX:
            self._log.emit(
                events.SESSION_QUARANTINED,
                session=self.name,
                error=f"{type(error).__name__}: {error}"[:300],
                raw=redact(payload[:200].decode("utf-8", "backslashreplace")),
            )
