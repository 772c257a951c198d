"""One venue product at work: its listing, connections, books, and what is shown of them."""

from __future__ import annotations

import asyncio
import difflib
import functools
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from engine.book.l2 import FRAME_STAGES, BookLike, decimal_text, levels_text, new_book
from engine.config import Config
from engine.model.errors import InstrumentUnknown, NotSent, ProtocolViolation, Unanswered
from engine.model.instrument import Instrument, Product
from engine.model.market import BookState, FundingUpdate, TopOfBook, Trade
from engine.model.ports import Clock
from engine.model.trades import WithTradeList
from engine.recorder.recorder import Recorder
from engine.session.auditor import Auditor
from engine.session.clock_keeper import ClockKeeper
from engine.session.feed_latency import FeedLatency
from engine.session.market_link import MarketTaps
from engine.session.market_session import MarketSession
from engine.session.order_gateway import punish
from engine.session.parts import ask_parts
from engine.session.snapshots import SnapshotDesk
from engine.session.venue_clock import VenueClock
from engine.supervisor.funding import FundingDesk
from engine.supervisor.listing import ListingHooks, ListingWatch
from engine.supervisor.prints import Prints
from engine.supervisor.trust import BookTrust
from engine.telemetry import events
from engine.telemetry.histogram import Histogram, merge, summary
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.reconnect import Backoff, ConnectionBudgets
from engine.transport.request_budget import RequestBudget
from engine.venues.base import ConnectionPlan, Endpoints, MarketDataAdapter, Topic, WithFunding

LISTING_TIMEOUT_S = 10.0


class VenueProduct:
    """Everything of one venue product but its orders.

    Args:
        universals: configured symbols; those that the venue does not list are reported and left out.
        connects: budgets of connection attempts, shared by the whole process.
        first_book_id: books get consecutive ids from here, unique in the process.

    Attributes:
        instruments: universal symbol to instrument, of what is served. known: venue symbol to
            instrument, of the whole listing (shared with the trading adapter).
        books: universal symbol to book.
    """

    def __init__(
        self,
        adapter: MarketDataAdapter,
        endpoints: Endpoints,
        universals: tuple[str, ...],
        config: Config,
        *,
        clock: Clock,
        log: EventLog,
        tls: ssl.SSLContext | None,
        generator: random.Random,
        first_book_id: int,
        connects: ConnectionBudgets,
        recorder: Recorder | None = None,
        has_complete_tops: bool = False,
    ) -> None:
        self.venue = adapter.venue
        self.product: Product = adapter.product
        self.adapter = adapter
        self.endpoints = endpoints
        self._universals = universals
        self._config = config
        self._clock = clock
        self._log = log
        self._tls = tls
        self._random = generator
        self._next_book_id = first_book_id
        self.pool = HttpPool(endpoints.rest, clock, tls=tls)
        self.budget = RequestBudget(adapter.rest_budgets, clock)
        market_data = config.market_data
        self.venue_clock = VenueClock(clock, drift_ppm=market_data.clock_drift_ppm)
        self.feed_latency = FeedLatency(
            self.venue_clock, has_event_times=adapter.schema.event_time_key is not None
        )
        self.clock_keeper = ClockKeeper(
            self.venue_clock, adapter, self.pool, self.budget, clock, log, market_data.clock_interval_ms,
            self.feed_latency.forget,
        )  # fmt: skip
        self.instruments: dict[str, Instrument] = {}
        self.known: dict[str, Instrument] = {}
        self.books: dict[str, BookLike] = {}
        self.listing = ListingWatch(
            (self.venue, self.product.value), lambda: self._listing(), self.budget.used_share,
            self.instruments, self.known, ListingHooks(self._replaced, self._halt, self._resume), log,
        )  # fmt: skip
        self._by_book_id: dict[int, Instrument] = {}
        self.sessions: list[MarketSession] = []
        self.taps = MarketTaps(
            self._hear_trade,
            self._on_top,
            self._on_funding,
            self._on_instruments,
            on_time=self.venue_clock.round_trip,
        )
        self.tops: dict[str, TopOfBook] = {}
        self.prints = Prints(
            (self.venue, self.product.value),
            adapter.trade_list if isinstance(adapter, WithTradeList) else None, self.pool, self.budget,
            self.instruments, clock, log, timeout_s=config.market_data.snapshot_timeout_ms / 1000,
            heard=self._on_print, offset_ns=lambda: self.budget.offset_ns,
        )  # fmt: skip
        self.funding: dict[str, FundingUpdate] = {}
        self.funding_desk: FundingDesk | None = None
        self.connects = connects
        self._recorder = recorder
        self._has_complete_tops = has_complete_tops
        self.trust: BookTrust | None = None
        self._state, self._error = "starting", ""
        self.is_listed = asyncio.Event()
        self.on_listed: Callable[[VenueProduct], None] | None = None
        self.on_replaced: Callable[[VenueProduct, Instrument], None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._desk: SnapshotDesk | None = None
        self._task: asyncio.Task[None] | None = None
        self._updates_before: dict[str, tuple[int, int]] = {}
        self._rates: dict[str, float] = {}

    def stamp_ms(self) -> int:
        """Return the venue's time now, UTC milliseconds, as far as it was measured."""
        return (self._clock.utc_ns() + self.budget.offset_ns) // 1_000_000

    # ----------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Bring the product up in the background; a dead venue is tried again and disturbs no other."""
        self._task = asyncio.get_running_loop().create_task(
            self._bring_up(), name=f"start {self.venue}.{self.product.value}"
        )
        self._task.add_done_callback(self._brought_up)

    def _brought_up(self, task: asyncio.Task[None]) -> None:
        """Nothing may end silently: an error that nobody expected is shown and the venue stays down."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._state, self._error = "failed", f"{type(error).__name__}: {error}"[:300]
            self._log.emit(events.TASK_FAILED, task=task.get_name(), error=self._error, retry_s=None)

    async def _bring_up(self) -> None:
        await self.pool.start()
        self.clock_keeper.start()
        backoff = Backoff(500, 15_000, self._random)
        while True:
            try:
                listing = await self._listing()
                break
            except (NotSent, Unanswered, ProtocolViolation) as error:
                self._state, self._error = "down", str(error)[:200]
                pause = max(backoff.next_ms(), 200)
                self._log.emit(
                    events.VENUE_FAILED,
                    venue=self.venue,
                    product=self.product.value,
                    error=self._error,
                    retry_s=pause / 1000,
                )
                await asyncio.sleep(pause / 1000)
        self._take_listing(listing)
        if self.on_listed is not None:
            self.on_listed(self)
        self._state, self._error = "up", ""
        self.is_listed.set()
        self._open_sessions()
        self.listing.rest()
        interval_ms = self._config.market_data.listing_interval_ms
        if interval_ms:
            self._watch = asyncio.get_running_loop().create_task(
                self.listing.watch(interval_ms / 1000), name=f"listing {self.venue}.{self.product.value}"
            )
            self._watch.add_done_callback(self._watch_ended)

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(events.TASK_FAILED, task=task.get_name(), error=repr(error)[:300], retry_s=None)

    async def _listing(self) -> list[Instrument]:
        request = self.adapter.instruments_request()
        parts = await ask_parts(
            request, self.adapter, self.pool, self.budget, self.stamp_ms, LISTING_TIMEOUT_S
        )
        listing: list[Instrument] = []
        for response in parts:
            if response.status != 200:
                retry_after = response.headers.get("retry-after")
                punish(self.budget, self.adapter.decode_error(response.status, response.body, retry_after))
                raise ProtocolViolation(f"HTTP {response.status} for the listing", response.body)
            listing += self.adapter.decode_instruments(response.body)
        return listing

    def _take_listing(self, listing: list[Instrument]) -> None:
        by_universal = {each.universal: each for each in self.listing.begin(listing)}
        for universal in self._universals:
            instrument = by_universal.get(universal)
            if instrument is None:
                nearest = difflib.get_close_matches(universal, by_universal, n=3, cutoff=0.5)
                self._log.emit(
                    events.INSTRUMENT_MISSING,
                    venue=self.venue,
                    product=self.product.value,
                    symbol=universal,
                    nearest=", ".join(nearest) or "nothing similar",
                )
                continue
            self.instruments[universal] = instrument
            book = new_book(
                f"{self.venue} {universal}",
                instrument.price_scale,
                instrument.qty_scale,
                self._next_book_id,
                instrument.contract_size,
            )
            self._next_book_id += 1
            self.books[universal] = book
            self._by_book_id[book.book_id] = instrument
            self.prints.add(universal)
            if self._recorder is not None:
                self._recorder.describe(book.book_id, instrument)
        self._log.emit(
            events.INSTRUMENTS_LOADED,
            venue=self.venue,
            product=self.product.value,
            listed=len(listing),
            used=len(self.instruments),
        )

    def _open_sessions(self) -> None:
        market_data = self._config.market_data
        self._desk = SnapshotDesk(
            self.adapter,
            self.pool,
            self.budget,
            self._clock,
            self._log,
            concurrency=market_data.snapshot_concurrency,
            timeout_s=market_data.snapshot_timeout_ms / 1000,
            instrument_of=self._by_book_id.__getitem__,
        )
        topics = frozenset(Topic(topic) for topic in market_data.topics) | {Topic.INSTRUMENTS}
        plans = self.adapter.market_plans(list(self.instruments.values()), topics)
        self.sessions = [self._session(plan) for plan in plans]
        self.trust = BookTrust(
            Auditor(
                self.adapter, self.pool, self.budget, self._clock, self._log,
                timeout_s=market_data.snapshot_timeout_ms / 1000, books=self.books,
                instruments=self.instruments, distrust=self._distrust,
            ),
            self.books, self.instruments, market_data, self._clock, self._log,
            distrust=self._distrust,
            renew=lambda book, cause: self._session_of(book).renew(book, cause),
            drop=lambda book, cause: self._session_of(book).drop(cause),
            has_complete_tops=self._has_complete_tops,
        )  # fmt: skip
        for session in self.sessions:
            session.start()
        self.trust.start()
        reader = self.adapter.funding if isinstance(self.adapter, WithFunding) else None
        if reader is not None and Topic.FUNDING in topics:
            self.funding_desk = FundingDesk(
                reader, (self.venue, self.product.value), self.instruments, self.funding, self.pool,
                self.budget, self._clock, self._log, lambda: self.stamp_ms() * 1_000_000,
            )  # fmt: skip
            self.funding_desk.start()

    def _session_of(self, book: BookLike) -> MarketSession:
        return next(session for session in self.sessions if session.serves(book))

    def _replaced(self, instrument: Instrument) -> None:
        self._by_book_id[self.books[instrument.universal].book_id] = instrument
        if self.on_replaced is not None:
            self.on_replaced(self, instrument)

    def _halt(self, universal: str, reason: str) -> None:
        book = self.books[universal]
        self._session_of(book).halt(book, reason)

    def _resume(self, universal: str, reason: str) -> None:
        book = self.books[universal]
        self._session_of(book).resume(book, reason)

    def _distrust(self, book: BookLike, cause: str) -> None:
        self._session_of(book).distrust(book, cause)

    def _session(self, plan: ConnectionPlan) -> MarketSession:
        assert self._desk is not None
        market_data = self._config.market_data
        session = MarketSession(
            plan,
            self.adapter,
            self.instruments,
            self.books,
            self._desk,
            self.taps,
            clock=self._clock,
            log=self._log,
            tls=self._tls,
            budget=self.connects.of(self.venue, plan.url, plan.rules),
            generator=self._random,
            buffer_frames_max=market_data.buffer_frames_max,
            stale_after_ms=market_data.stale_after_ms,
            has_stages=market_data.frame_stages,
            has_twins=self._config.venues[self.venue].twin_connections,
        )
        if plan.has_trades and "trades" in market_data.topics:
            session.on_cut = functools.partial(self.prints.cut, plan.universals)
            session.on_back = functools.partial(self.prints.back, plan.universals)
        if self._recorder is not None and session.feeds:
            session.record_to(self._recorder.deltas)
            session.on_live = self._record_whole
        return session

    def _record_whole(self, book: BookLike) -> None:
        """Record every level of a book that just became LIVE: the base that recorded deltas apply to."""
        assert self._recorder is not None
        self._recorder.record_snapshot(book, -1)

    def record_tops(self, depth: int) -> None:
        """Record the best levels of every LIVE book."""
        if self._recorder is not None:
            for book in self.books.values():
                if book.is_live:
                    self._recorder.record_snapshot(book, depth)

    async def stop(self) -> None:
        """Close every connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.clock_keeper.stop()
        if self.trust is not None:
            await self.trust.stop()
        if self.funding_desk is not None:
            await self.funding_desk.stop()
        if self._desk is not None:
            await self._desk.stop()
        await self.prints.stop()
        await asyncio.gather(*[session.stop() for session in self.sessions])
        await self.pool.stop()

    def tick(self, mono_ns: int) -> None:
        """Look after sessions and rates; called several times a second."""
        for session in self.sessions:
            session.tick(mono_ns)
        if self.trust is not None:
            self.trust.tick(mono_ns)
        if self.feed_latency.look(self.books, mono_ns):
            self.clock_keeper.doubt()
        self.clock_keeper.tick()

    def suspect(self, cause: str) -> None:
        """Resynchronise every book: the process did not run for a while."""
        for session in self.sessions:
            for sync in session.syncs:
                sync.distrust(cause)

    # ----------------------------------------------------------------------------------------- data

    def _hear_trade(self, trade: Trade) -> None:
        self.prints.on_trade(trade)

    def _on_instruments(self, told: Sequence[Instrument]) -> None:
        self.listing.take(told, is_whole=False)

    def _on_print(self, trade: Trade) -> None:
        """Hear of every print once, those that were asked for afterwards among them."""
        if self._recorder is not None:
            self._recorder.record_trade(self.venue, trade)

    def _on_top(self, top: TopOfBook) -> None:
        if self.trust is not None:
            self.trust.on_top(top)
        known = self.tops.get(top.universal)
        if known is None or not self._is_older(top.venue_utc_ns, known.venue_utc_ns):
            self.tops[top.universal] = top

    def _is_older(self, new_ns: int | None, known_ns: int | None) -> bool:
        """Tell whether something is old news by the venue's times; times not believed order nothing."""
        if new_ns is None or known_ns is None or new_ns >= known_ns:
            return False
        return self.venue_clock.believes(new_ns) and self.venue_clock.believes(known_ns)

    def _on_funding(self, funding: FundingUpdate) -> None:
        known = self.funding.get(funding.universal)
        if known is None or not self._is_older(funding.venue_utc_ns, known.venue_utc_ns):
            self.funding[funding.universal] = funding

    def instrument(self, universal: str) -> Instrument:
        """Return a served instrument; raises InstrumentUnknown with the nearest names."""
        found = self.instruments.get(universal)
        if found is None:
            near = difflib.get_close_matches(universal, self.instruments, n=3, cutoff=0.4)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise InstrumentUnknown(f"{self.venue} {self.product.value} does not serve {universal}{hint}")
        return found

    @property
    def state(self) -> str:
        """Return ``starting``, ``up``, ``partly up``, ``down`` or ``failed``: as its connections are."""
        cut = sum(bool(session.trouble) for session in self.sessions)
        if self._state != "up" or not cut:
            return self._state
        return "down" if cut == len(self.sessions) else "partly up"

    @property
    def error(self) -> str:
        """Return what keeps it from being up; empty when it is."""
        cut = (f"{each.plan.name}: {each.trouble}" for each in self.sessions if each.trouble)
        return self._error or next(cut, "")[:200]

    @property
    def messages(self) -> int:
        """Return how many messages all connections have received."""
        return sum(session.messages for session in self.sessions)

    @property
    def is_whole(self) -> bool:
        """Tell whether the listing was read and every book is LIVE, but for those that the venue halted."""
        resting = sum(book.state is BookState.HALTED for book in self.books.values())
        return self.is_listed.is_set() and bool(self.books) and self.live_books + resting == len(self.books)

    @property
    def live_books(self) -> int:
        """Return how many books are LIVE."""
        return sum(book.is_live for book in self.books.values())

    # ---------------------------------------------------------------------------------------- views

    def _age_ms(self, book: BookLike) -> float | None:
        if not book.recv_mono_ns:
            return None
        return max(0.0, (self._clock.mono_ns() - book.recv_mono_ns) / 1e6)

    def wire_to_book(self) -> Any:
        """Return one histogram of wire-to-book latency over all connections."""
        total = Histogram()
        for session in self.sessions:
            merge(total, session.wire_to_book())
        return total

    def frame_stages(self) -> dict[str, dict[str, int]] | None:
        """Return the percentiles of each of ``FRAME_STAGES``; ``None``: nothing was stamped."""
        totals = [Histogram() for _ in FRAME_STAGES]
        for session in self.sessions:
            for total, one in zip(totals, session.frame_stages(), strict=True):
                merge(total, one)
        if not totals[-1].count:
            return None
        return {name: summary(total) for name, total in zip(FRAME_STAGES, totals, strict=True)}

    def quote_rows(self, universals: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Return one row per instrument: best bid and ask, spread, state, age, rates and latency.

        Prices of a book that is not LIVE are ``None``: a state and a reason stand in their place.
        """
        latency = self.wire_to_book()
        now = self._clock.mono_ns()
        rows = []
        for universal, book in self.books.items():
            if universals and universal not in universals:
                continue
            bid, bid_qty, ask, ask_qty = book.touch() if book.is_live else (0, 0, 0, 0)
            scale, qty_scale = book.price_scale, book.qty_scale
            rows.append(
                {
                    "venue": self.venue,
                    "product": self.product.value,
                    "pair": universal,
                    "state": book.state_name,
                    "reason": book.reason,
                    "bid": decimal_text(bid, scale) if bid else None,
                    "bid_qty": decimal_text(bid_qty, qty_scale) if bid else None,
                    "ask": decimal_text(ask, scale) if ask else None,
                    "ask_qty": decimal_text(ask_qty, qty_scale) if ask else None,
                    "spread": decimal_text(ask - bid, scale) if bid and ask else None,
                    "sequence": book.sequence,
                    "age_ms": self._age_ms(book),
                    "messages_per_s": self._rate(universal, book, now),
                    "wire_to_book_p50_ns": latency.quantile(0.5) if latency.count else None,
                    "wire_to_book_p99_ns": latency.quantile(0.99) if latency.count else None,
                }
            )
        return rows

    def _rate(self, universal: str, book: BookLike, now: int) -> float:
        """Return deltas per second, measured over at least half a second."""
        before = self._updates_before.get(universal)
        if before is None:
            self._updates_before[universal] = (now, book.updates)
            return 0.0
        if now - before[0] >= 500_000_000:
            self._rates[universal] = (book.updates - before[1]) * 1e9 / (now - before[0])
            self._updates_before[universal] = (now, book.updates)
        return self._rates.get(universal, 0.0)

    def book_view(self, universal: str, depth: int) -> dict[str, Any]:
        """Return one book's levels with its state; levels are shown whatever the state.

        ``known_to`` is the worst bid and ask down to which every level is known; deeper ones may be missing.
        """
        self.instrument(universal)
        book = self.books[universal]
        return {
            "venue": self.venue,
            "product": self.product.value,
            "pair": universal,
            "state": book.state_name,
            "reason": book.reason,
            "sequence": book.sequence,
            "age_ms": self._age_ms(book),
            "bids": levels_text(book, 0, depth),
            "asks": levels_text(book, 1, depth),
            "known_to": [
                decimal_text(book.horizon(side), book.price_scale) if book.horizon(side) else None
                for side in (0, 1)
            ],
        }

    def health(self) -> dict[str, Any]:
        """Return counters and states for ``status``."""
        syncs = [sync for session in self.sessions for sync in session.syncs]
        return {
            "venue": self.venue,
            "product": self.product.value,
            "state": self.state,
            "error": self.error,
            "books": len(self.books),
            "live": self.live_books,
            "messages": self.messages,
            "reconnects": sum(session.reconnects for session in self.sessions),
            "quarantined": sum(session.quarantined for session in self.sessions),
            "gaps": sum(sync.gaps for sync in syncs),
            "resyncs": sum(sync.resyncs for sync in syncs),
            "rejected": sum(sync.rejected for sync in syncs),
            "crossed": sum(sync.crossed for sync in syncs),
            "snapshots": self._desk.fetched if self._desk else 0,
            "snapshots_failed": self._desk.failed if self._desk else 0,
            "budget": self.budget.usage(),
            "trust": self.trust.health() if self.trust else None,
            "funding": self.funding_desk.health() if self.funding_desk else None,
            "listing": self.listing.health(),
            "trades": self.prints.health(),
            "clock": self.venue_clock.view()
            | {
                "unanswered": self.clock_keeper.failed,
                "odd_times": sum(feed.odd_times for session in self.sessions for feed in session.feeds),
            },
            "feed_latency_ns": self.feed_latency.view(),
            "wire_to_book_ns": summary(self.wire_to_book()),
            "frame_stages_ns": self.frame_stages(),
            "not_live": [
                {"pair": universal, "state": book.state_name, "reason": book.reason}
                for universal, book in self.books.items()
                if book.state is not BookState.LIVE
            ],
        }
