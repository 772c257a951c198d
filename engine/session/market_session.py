"""One subscription plan kept alive: its books, and the one, two or changing connections that feed them.

One connection leads: its snapshots are asked for, its gaps count. Beside it there may be a twin (a second
connection with the same subscriptions, of which the first copy of each delta wins) or, for a moment, a
replacement that is opened before the old connection is given up. When the leader goes, a follower that is
ready leads on, and books that are LIVE stay LIVE; only the loss of the last connection makes them STALE.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from engine.book.l2 import FRAME_STAGES, BookLike, DepthFeedLike
from engine.book.sync import BookSync
from engine.book.twins import TwinBuffer
from engine.model.instrument import Instrument
from engine.model.market import BookState, Feed
from engine.model.ports import Clock
from engine.session.market_link import LinkOwner, MarketLink, MarketTaps
from engine.session.resubscriber import Resubscriber
from engine.session.snapshots import SnapshotDesk
from engine.telemetry import events
from engine.telemetry.histogram import Histogram, merge
from engine.telemetry.log import EventLog, redact
from engine.transport.reconnect import ConnectionBudget
from engine.transport.websocket import SessionDown
from engine.venues.base import ConnectionPlan, MarketDataAdapter

HANDOVER_NS = 1_000_000_000
"""A replacement serves beside the old connection for this long, so that nothing is between the two."""
ROTATION_TIMEOUT_S = 30.0
ROTATION_PAUSE_NS = 60_000_000_000
ROTATION_POLL_S = 0.05


class MarketSession:
    """The connections of one plan of a venue product's market data, and the synchronisers of its books.

    Args:
        books: universal symbol to book, for the plan's depth routes.
        desk: answers snapshot requests (not where snapshots come on the stream), and asks for addresses.
        stale_after_ms: a connection silent for this long makes its books STALE.
        has_stages: every frame's stages are stamped (``frame_stages``).
        has_twins: keep two connections.

    Attributes:
        on_live: told of a book that became LIVE.
        on_cut, on_back: told when the last connection is lost, and when one serves again (the first too).
        promotions: how often a follower took the lead.
        trouble: why no connection serves; empty while one does.
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
        has_twins: bool = False,
        has_stages: bool = False,
    ) -> None:
        self.plan = plan
        self._adapter = adapter
        self._books = books
        self._desk = desk
        self._taps = taps
        self._clock = clock
        self._log = log
        self._tls = tls
        self._budget = budget
        self._random = generator
        self._stale_after_ns = stale_after_ms * 1_000_000
        self._instruments = {books[name].book_id: instruments[name] for _, name in plan.depth_routes}
        self._announced: set[int] = set()
        self._is_stopping = False
        self._rows: Any = None
        self._made = 0
        self._counted = {"messages": 0, "reconnects": 0, "quarantined": 0}
        self._retired_ns = Histogram()
        self._has_stages = has_stages
        self._retired_stages_ns = [Histogram() for _ in FRAME_STAGES]
        self._renewals: set[asyncio.Task[None]] = set()
        self._rotation: asyncio.Task[None] | None = None
        self._rotate_not_before_ns = 0
        self.on_live: Callable[[BookLike], None] | None = None
        self.on_cut: Callable[[], None] | None = None
        self.on_back: Callable[[], None] | None = None
        self.promotions = 0
        self._owner = LinkOwner(self._up, self._ready, self._down, self._attend, self._leaving)
        self.leader: MarketLink | None = None
        self.trouble = ""
        self.links = [self._new_link()]
        if has_twins:
            self.links.append(self._new_link())
        self._syncs: dict[int, BookSync] = {}
        self._twins: dict[int, TwinBuffer] = {}
        feed = self.links[0].feed
        if feed is None:
            return
        for _, universal in plan.depth_routes:
            book = books[universal]
            self._twins[book.book_id] = TwinBuffer(book)
            self._syncs[book.book_id] = BookSync(
                book, feed, self._request, self._changed, frames_max=buffer_frames_max,
                is_in_band=adapter.schema.is_in_band,
            )  # fmt: skip

    def _new_link(self) -> MarketLink:
        name = self.plan.name if self._made == 0 else f"{self.plan.name}.{self._made}"
        self._made += 1
        link = MarketLink(
            name, self.plan, self._adapter, self._instruments, self._books, self._desk, self._taps,
            self._owner, clock=self._clock, log=self._log, tls=self._tls, budget=self._budget,
            generator=self._random,
        )  # fmt: skip
        if link.feed is not None:
            link.feed.rows = self._rows
            if self._has_stages:
                link.feed.stages = 2
        return link

    # ----------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Connect and keep connected."""
        for link in self.links:
            link.start()

    async def stop(self) -> None:
        """Close."""
        self._is_stopping = True
        if self._rotation is not None:
            self._rotation.cancel()
            await asyncio.gather(self._rotation, return_exceptions=True)
        for task in list(self._renewals):
            task.cancel()
        await asyncio.gather(*self._renewals, return_exceptions=True)
        await asyncio.gather(*[link.stop() for link in self.links])
        for sync in self._syncs.values():
            sync.lost("stopped")

    def tick(self, mono_ns: int) -> None:
        """Look after the slow things; call it several times a second."""
        for book_id, sync in self._syncs.items():
            sync.tick(mono_ns)
            if book_id not in self._announced and sync.book.is_live:
                self._changed(sync, "")
        for link in self.links:
            link.tick(mono_ns)
        for twins in self._twins.values():
            if twins.has_waited_too_long(mono_ns):
                twins.force()
                twins.clear()
        leader = self.leader
        if leader is None:
            return
        if mono_ns - leader.session.last_mono_ns > self._stale_after_ns:
            self._on_silence(leader, mono_ns)
        elif self._is_due(leader, mono_ns):
            self.rotate("near its lifetime")

    def _on_silence(self, leader: MarketLink, mono_ns: int) -> None:
        for link in self.links:
            is_fresh = mono_ns - link.session.last_mono_ns <= self._stale_after_ns
            if link is not leader and link.is_ready and is_fresh:
                leader.session.drop("silent, and its twin is not")
                return
        for sync in self._syncs.values():
            if sync.book.state is BookState.LIVE:
                sync.distrust("connection silent")

    # -------------------------------------------------------------------------------------- leading

    def _up(self, link: MarketLink) -> None:
        self._count_feeds()

    def _ready(self, link: MarketLink) -> None:
        if self.leader is not None and self.leader is not link and self.leader.is_ready:
            return  # it follows
        self.leader, self.trouble = link, ""
        for sync in self._syncs.values():
            assert link.feed is not None
            sync.use(link.feed)
            sync.begin("connected, waiting for a snapshot")
        if self.on_back is not None:
            self.on_back()

    def _down(self, link: MarketLink, event: SessionDown) -> None:
        if link is self.leader:
            follower = next((each for each in self.links if each.is_ready), None)
            if follower is None:
                self.leader = None
                if self.on_cut is not None:
                    self.on_cut()
            else:
                self._promote(follower, f"connection lost: {event.reason}")
        if self.leader is None:
            self.trouble = redact(event.reason)
            for sync in self._syncs.values():
                sync.lost(f"connection lost: {event.reason}")
        self._gone(link)

    def _promote(self, follower: MarketLink, cause: str) -> None:
        """Let a follower lead: books that are LIVE stay so, the others are synchronised on it."""
        self.leader = follower
        self.promotions += 1
        self._log.emit(events.SESSION_PROMOTED, session=follower.name, cause=cause)
        now = self._clock.mono_ns()
        for sync in self._syncs.values():
            assert follower.feed is not None
            sync.follow(follower.feed, now)

    def _gone(self, link: MarketLink) -> None:
        """A connection brings nothing more: what it brought early is brought by the others, or missing."""
        self._count_feeds()
        if link.feed is not None:
            for twins in self._twins.values():
                twins.forget(link.feed)

    def _count_feeds(self) -> None:
        feeds = max(1, sum(link.is_up for link in self.links))
        for sync in self._syncs.values():
            sync.book.feeds = feeds

    # ------------------------------------------------------------------------------------- rotation

    def _leaving(self, link: MarketLink) -> None:
        if link is self.leader:
            self.rotate("the venue announced a shutdown")
        else:
            link.session.drop("the venue announced a shutdown")

    def _is_due(self, leader: MarketLink, mono_ns: int) -> bool:
        """Tell whether a connection is old enough to be replaced, spread by name: not all go at once."""
        lifetime_s = self.plan.rules.lifetime_s
        if not lifetime_s or mono_ns < self._rotate_not_before_ns:
            return False
        share = 0.85 + 0.1 * (zlib.crc32(leader.name.encode()) % 1000) / 1000
        return mono_ns - leader.opened_ns > lifetime_s * share * 1e9

    def rotate(self, reason: str) -> None:
        """Replace the leading connection: another one is opened and serves beside it, then it is closed."""
        if self._rotation is None and self.leader is not None and not self._is_stopping:
            task = asyncio.get_running_loop().create_task(
                self._rotate(self.leader, reason), name=f"rotation {self.plan.name}"
            )
            task.add_done_callback(self._rotated)
            self._rotation = task

    def _rotated(self, task: asyncio.Task[None]) -> None:
        self._rotation = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(
                events.TASK_FAILED, task=task.get_name(), error=f"{type(error).__name__}: {error}"[:300],
                retry_s=ROTATION_PAUSE_NS / 1e9,
            )  # fmt: skip

    async def _rotate(self, old: MarketLink, reason: str) -> None:
        self._rotate_not_before_ns = self._clock.mono_ns() + ROTATION_PAUSE_NS
        self._log.emit(events.ROTATION_STARTED, session=old.name, cause=reason)
        twin = next((link for link in self.links if link is not old and link.is_ready), None)
        if twin is not None:  # the twin leads; the old connection is made anew and follows
            self._promote(twin, reason)
            old.session.drop(reason)
            self._log.emit(events.ROTATION_COMPLETED, session=twin.name, old=old.name)
            return
        new = self._new_link()
        self.links.append(new)
        new.start()
        deadline_ns = self._clock.mono_ns() + int(ROTATION_TIMEOUT_S * 1e9)
        while self._clock.mono_ns() < deadline_ns and self.leader is old and not self._may_hand_over(new):
            await asyncio.sleep(ROTATION_POLL_S)
        if self.leader is old and self._may_hand_over(new):
            self._promote(new, reason)
        done = self.leader is new
        await self._retire(old if done else new)
        if done:
            self._log.emit(events.ROTATION_COMPLETED, session=new.name, old=old.name)
        else:
            self._log.emit(events.ROTATION_FAILED, session=old.name, cause="the replacement was not ready")

    def _may_hand_over(self, new: MarketLink) -> bool:
        has_served = new.is_ready and self._clock.mono_ns() - new.ready_ns >= HANDOVER_NS
        return has_served and not any(len(twins) for twins in self._twins.values())

    async def _retire(self, link: MarketLink) -> None:
        """Close a connection that does not lead; its counters stay in the sums."""
        await link.stop()
        self.links.remove(link)
        self._gone(link)
        for name in self._counted:
            self._counted[name] += getattr(link.session, name)
        if link.feed is not None:
            merge(self._retired_ns, link.feed.wire_to_book_ns)
            for total, one in zip(self._retired_stages_ns, link.feed.stage_ns, strict=True):
                merge(total, one)

    # ---------------------------------------------------------------------------------------- books

    def _request(self, sync: BookSync, delay_ms: int) -> None:
        if self.leader is not None:
            self.leader.request(sync, delay_ms)

    def _attend(self, link: MarketLink, book: BookLike, code: int, payload: bytes) -> None:
        now = self._clock
        if code == Feed.AHEAD:
            assert link.feed is not None
            self._twins[book.book_id].hold(link.feed, payload, now.mono_ns(), now.utc_ns())
            self._listen(self._moved)
        elif code != Feed.BUFFER or self.leader in (None, link):
            self._syncs[book.book_id].on_attention(code, payload, now.mono_ns(), now.utc_ns())

    def _listen(self, moved: Callable[[BookLike], None] | None) -> None:
        """Hear of every applied delta while something waits for it, and of none otherwise."""
        for link in self.links:
            if link.feed is not None:
                link.feed.on_update = moved

    def _moved(self, book: BookLike) -> None:
        self._twins[book.book_id].drain()
        if not any(len(twins) for twins in self._twins.values()):
            self._listen(None)

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
        self._twins[book.book_id].clear()
        if self._is_stopping:
            return
        self._log.emit(
            events.BOOK_LOST,
            venue=instrument.venue,
            instrument=instrument.universal,
            cause=cause,
            sequence=book.sequence,
        )

    def serves(self, book: BookLike) -> bool:
        """Tell whether this session feeds a book."""
        return book.book_id in self._syncs

    def distrust(self, book: BookLike, cause: str) -> None:
        """Synchronise a book anew, whatever it says of itself."""
        self._syncs[book.book_id].distrust(cause)

    def halt(self, book: BookLike, cause: str) -> None:
        """Say that the venue does not trade a book's instrument, until :meth:`resume`."""
        self._syncs[book.book_id].halt(cause)

    def resume(self, book: BookLike, cause: str) -> None:
        """Synchronise a halted book anew: the venue trades its instrument again."""
        self._syncs[book.book_id].resume(cause)

    def renew(self, book: BookLike, cause: str) -> None:
        """Subscribe a book's topic anew, and synchronise the book on it."""
        self.distrust(book, cause)
        leader = self.leader
        if self._adapter.schema.is_in_band or leader is None or leader.resubscriber is None:
            return  # in-band, the new subscription is what synchronises

        async def renew_topic(link: MarketLink, resubscriber: Resubscriber) -> None:
            if not await resubscriber.renew_topic(book.book_id):
                link.session.drop(f"{cause}, and its subscription could not be made anew")
            else:
                self.distrust(book, cause)

        task = asyncio.get_running_loop().create_task(
            renew_topic(leader, leader.resubscriber), name="renew topic"
        )
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)

    def drop(self, cause: str) -> None:
        """Make the leading connection anew."""
        if self.leader is not None:
            self.leader.session.drop(cause)

    # ---------------------------------------------------------------------------------------- views

    @property
    def syncs(self) -> list[BookSync]:
        """Return the synchronisers of the plan's books."""
        return list(self._syncs.values())

    @property
    def feeds(self) -> list[DepthFeedLike]:
        """Return the depth feeds of all connections."""
        return [link.feed for link in self.links if link.feed is not None]

    def wire_to_book(self) -> Histogram:
        """Return one histogram of bytes received to book readable, of all connections that were."""
        total = Histogram()
        merge(total, self._retired_ns)
        for feed in self.feeds:
            merge(total, feed.wire_to_book_ns)
        return total

    def frame_stages(self) -> list[Histogram]:
        """Return one histogram for each of ``FRAME_STAGES``, of all connections that were."""
        totals = [Histogram() for _ in FRAME_STAGES]
        for stages in (self._retired_stages_ns, *(feed.stage_ns for feed in self.feeds)):
            for total, one in zip(totals, stages, strict=True):
                merge(total, one)
        return totals

    def record_to(self, rows: Any) -> None:
        """Append applied levels to ``rows``, whichever connection brings them."""
        self._rows = rows
        for feed in self.feeds:
            feed.rows = rows

    @property
    def messages(self) -> int:
        """Return how many messages all connections have received."""
        return self._sum("messages")

    @property
    def reconnects(self) -> int:
        """Return how often a connection was made again."""
        return self._sum("reconnects")

    @property
    def quarantined(self) -> int:
        """Return how many messages were set aside."""
        return self._sum("quarantined")

    def _sum(self, name: str) -> int:
        return self._counted[name] + sum(int(getattr(link.session, name)) for link in self.links)
