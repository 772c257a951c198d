"""Whether the books of one venue product deserve their LIVE: audits, silences, the venue's own best prices.

The chain of ids proves that no delta is missing between two that came. It says nothing of a topic that went
dead on a living connection, nor of a venue whose stream and answers disagree: these are watched for here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.book.l2 import BookLike
from engine.book.silence import SilenceBudget
from engine.book.top_check import TopCheck
from engine.config import MarketDataSection
from engine.model.instrument import Instrument
from engine.model.market import TopOfBook
from engine.model.ports import Clock
from engine.session.auditor import Auditor, Verdict
from engine.telemetry import events
from engine.telemetry.log import EventLog

RENEWED_LATELY_NS = 120_000_000_000
"""A topic that is found dead again within this time costs its connection."""


class BookTrust:
    """Watches over the books of one venue product.

    Args:
        books, instruments: by universal symbol.
        distrust: (book, cause): synchronise this book anew.
        renew: (book, cause): subscribe this book's topic anew, too.
        drop: (book, cause): make this book's connection anew.
        has_complete_tops: the top-of-book stream tells every change on the depth's count.
    """

    def __init__(
        self,
        auditor: Auditor,
        books: Mapping[str, BookLike],
        instruments: Mapping[str, Instrument],
        section: MarketDataSection,
        clock: Clock,
        log: EventLog,
        *,
        distrust: Callable[[BookLike, str], None],
        renew: Callable[[BookLike, str], None],
        drop: Callable[[BookLike, str], None],
        has_complete_tops: bool,
    ) -> None:
        self.auditor = auditor
        self._books = books
        self._instruments = instruments
        self._clock = clock
        self._log = log
        self._distrust, self._renew, self._drop = distrust, renew, drop
        self._audit_interval_s = section.audit_interval_ms / 1000
        now = clock.mono_ns()
        floor, ceiling = section.silence_floor_ms * 1_000_000, section.silence_ceiling_ms * 1_000_000
        self._silences = {name: SilenceBudget(floor, ceiling, now) for name in books}
        self._tops = {name: TopCheck(book) for name, book in books.items()} if has_complete_tops else {}
        self._epochs = {name: book.epoch for name, book in books.items()}
        self._renewed_ns: dict[str, int] = {}
        self.quiet = 0
        self.silent = 0

    def start(self) -> None:
        """Begin to audit."""
        if self._audit_interval_s:
            self.auditor.start(self._audit_interval_s)

    async def stop(self) -> None:
        """End what is under way."""
        await self.auditor.stop()

    def on_top(self, top: TopOfBook) -> None:
        """Take the venue's own best prices."""
        check = self._tops.get(top.universal)
        if check is not None:
            check.hear(top)

    def tick(self, mono_ns: int) -> None:
        """Look at every book; call it several times a second."""
        for name, book in self._books.items():
            silence = self._silences[name]
            silence.hear(book.updates, mono_ns)
            if book.epoch != self._epochs[name]:
                self._epochs[name] = book.epoch
                silence.restart(mono_ns)
                if name in self._tops:
                    self._tops[name].restart()
            elif book.is_live and silence.is_exceeded(mono_ns):
                self._on_silence(name, silence)
        for name, check in self._tops.items():
            if not check.check():
                self._on_disagreement(name, check)

    def _on_silence(self, name: str, silence: SilenceBudget) -> None:
        """A silent topic is dead or has nothing to say: the venue's REST answer tells which."""

        def told(verdict: Verdict) -> None:
            now = self._clock.mono_ns()
            if verdict is Verdict.EQUAL:
                self.quiet += 1
                silence.was_quiet(now)
            elif verdict is Verdict.DIFFERENT:
                self._on_dead_topic(name, now)
            silence.restart(now)

        self.auditor.ask(name, told)

    def _on_dead_topic(self, name: str, now: int) -> None:
        book, instrument = self._books[name], self._instruments[name]
        self.silent += 1
        is_again = now - self._renewed_ns.get(name, -RENEWED_LATELY_NS) < RENEWED_LATELY_NS
        self._renewed_ns[name] = now
        self._log.emit(
            events.TOPIC_SILENT,
            venue=instrument.venue,
            instrument=name,
            budget_ms=self._silences[name].budget_ns // 1_000_000,
            action="connection made anew" if is_again else "topic subscribed anew",
        )
        (self._drop if is_again else self._renew)(book, "the topic is silent, the venue is not")

    def _on_disagreement(self, name: str, check: TopCheck) -> None:
        instrument = self._instruments[name]
        self._log.emit(
            events.TOP_DISAGREED, venue=instrument.venue, instrument=name, difference=check.last_difference
        )
        check.restart()
        self._distrust(self._books[name], "the venue's own best prices are others")

    def health(self) -> dict[str, Any]:
        """Return counters for ``status``."""
        return {
            "audits": {verdict.value: count for verdict, count in self.auditor.counts.items()},
            "audited_prices": self.auditor.compared,
            "levels_added": self.auditor.extended,
            "tops_agreed": sum(check.agreed for check in self._tops.values()),
            "tops_disagreed": sum(check.disagreed for check in self._tops.values()),
            "quiet_topics": self.quiet,
            "silent_topics": self.silent,
        }
