"""Funding of one venue product: what its streams tell, completed by what its answers tell, and the history.

The streams come first. What they leave out (an interval here, the open interest there) is asked for at the
start, at each question's own pace, and once more after every settlement, because venues change intervals of
contracts that trade. All of it is asked for in the slack of the request budget.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.model.errors import NotSent, ProtocolViolation, Unanswered
from engine.model.funding import (
    FundingQuestion,
    FundingState,
    FundingTerms,
    PredictedRate,
    SettledRate,
    annualised,
    hours,
)
from engine.model.instrument import Instrument
from engine.model.market import FundingUpdate
from engine.model.orders import VenueError
from engine.model.ports import Clock, FundingReader
from engine.session.funding_history import settled_rates
from engine.session.order_gateway import punish
from engine.session.parts import ask_parts
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget

WATCH_S = 0.25
TIMEOUT_S = 10.0
SLACK = 0.5
"""Questions leave the other half of the request budget alone."""
RETRY_NS = 5_000_000_000
AFTER_SETTLEMENT_NS = 5_000_000_000
"""How long after a settlement its rate is asked for: venues need a moment to publish it."""
OVERDUE_NS = 20_000_000_000
"""A settlement that no stream has told counts as over after this time."""
RATE_STALE_NS = 180_000_000_000
"""The slowest stream tells its rate every 90 s: two in a row are missing."""
SETTLING_NS = 120_000_000_000
"""How long after a settlement a venue may leave its next one untold: KuCoin needs more than a minute."""


class _Asked:
    """A question and when it is due again."""

    __slots__ = ("due_ns", "is_answered", "question")

    def __init__(self, question: FundingQuestion, due_ns: int) -> None:
        self.question = question
        self.due_ns = due_ns
        self.is_answered = False


class FundingDesk:
    """Funding of the contracts of one venue product.

    Args:
        name: venue and product, for the log.
        instruments: universal symbol to instrument, of what is served.
        updates: what the streams told last, by universal symbol; read, never written.
        stamp_ns: returns the venue's time now.

    Attributes:
        terms: what answers told, by universal symbol. settled: the newest settled rate that was asked for.
    """

    def __init__(
        self,
        reader: FundingReader,
        name: tuple[str, str],
        instruments: Mapping[str, Instrument],
        updates: Mapping[str, FundingUpdate],
        pool: HttpPool,
        budget: RequestBudget,
        clock: Clock,
        log: EventLog,
        stamp_ns: Callable[[], int],
    ) -> None:
        self._reader = reader
        self.venue, self._product = name
        self._instruments = instruments
        self._updates = updates
        self._pool = pool
        self._budget = budget
        self._clock = clock
        self._log = log
        self._stamp_ns = stamp_ns
        self._asked_of: tuple[Instrument, ...] = ()
        self._asked: list[_Asked] = []
        self._next_ns: dict[str, int] = {}
        self._settled_due_ns: dict[str, int] = {}
        self._terms_mono_ns: dict[str, int] = {}
        self.terms: dict[str, FundingTerms] = {}
        self.settled: dict[str, SettledRate] = {}
        self.failed = 0
        self._is_asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # ----------------------------------------------------------------------------------------- life

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name=f"funding {self.venue}")
        self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Abandon what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.emit(events.TASK_FAILED, task=task.get_name(), error=repr(error)[:200], retry_s=None)

    async def known(self, universals: list[str], timeout_s: float = TIMEOUT_S) -> None:
        """Wait until everything was asked once and the streams told these rates, or for a while."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not (self._is_asked.is_set() and all(each in self._updates for each in universals)):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        while True:
            self._prepare_questions()
            self._notice_settlements()
            for asked in self._asked:
                if self._is_due(asked.due_ns):
                    asked.due_ns = await self._ask(asked)
            for universal in self._instruments:
                if self._is_due(self._settled_due_ns[universal]):
                    await self._ask_settled(universal)
            if all(asked.is_answered for asked in self._asked):
                self._is_asked.set()
            await asyncio.sleep(WATCH_S)

    def _prepare_questions(self) -> None:
        """Make the questions, and make them anew where an instrument was replaced by a newer listing."""
        served = tuple(self._instruments.values())
        if len(served) == len(self._asked_of) and all(map(operator.is_, served, self._asked_of)):
            return
        now = self._clock.mono_ns()
        self._asked_of = served
        self._asked = [_Asked(each, now) for each in self._reader.questions(served)]
        self._settled_due_ns = {each.universal: now for each in served} | {
            name: due for name, due in self._settled_due_ns.items() if name in self._instruments
        }

    def _is_due(self, due_ns: int) -> bool:
        return self._clock.mono_ns() >= due_ns and self._budget.used_share() < SLACK

    def _notice_settlements(self) -> None:
        """A next settlement that moved, or is overdue, means that one is over: ask for what it changed."""
        now, venue_now = self._clock.mono_ns(), self._stamp_ns()
        for universal in self._instruments:
            following = self._next_settlement(universal)
            if following is None:
                continue
            before = self._next_ns.get(universal)
            is_overdue = following <= venue_now - OVERDUE_NS
            self._next_ns[universal] = following
            if before is None or (following == before and not is_overdue):
                continue
            due = now + (RETRY_NS if is_overdue else AFTER_SETTLEMENT_NS)
            for asked in self._asked:
                if asked.question.is_of_settlements and universal in {
                    each.universal for each in asked.question.instruments
                }:
                    asked.due_ns = min(asked.due_ns, due)
            if following != before:
                self._settled_due_ns[universal] = due

    # ------------------------------------------------------------------------------------ questions

    async def _ask(self, asked: _Asked) -> int:
        """Ask one question; return when it is due again."""
        question = asked.question
        try:
            parts = await ask_parts(
                question.request, self._reader, self._pool, self._budget, self._stamp_ms, TIMEOUT_S
            )
            told: list[FundingTerms] = []
            for part in parts:
                answer = self._reader.decode_terms(
                    question, part.status, part.body, part.headers.get("retry-after")
                )
                if isinstance(answer, VenueError):
                    punish(self._budget, answer)
                    return self._fail(f"{answer.code}: {answer.message}")
                told += answer
        except (NotSent, Unanswered, ProtocolViolation) as error:
            return self._fail(str(error))
        now = self._clock.mono_ns()
        for each in told:
            self.terms[each.universal] = _merged(self.terms.get(each.universal), each)
            self._terms_mono_ns[each.universal] = now
        asked.is_answered = True
        return now + question.every_ns

    async def _ask_settled(self, universal: str) -> None:
        """Ask for the newest settled rate where neither stream nor answer tells it by itself."""
        update, terms = self._updates.get(universal), self.terms.get(universal)
        now = self._clock.mono_ns()
        if update is None:
            self._settled_due_ns[universal] = now + int(WATCH_S * 1e9)
            return
        self._settled_due_ns[universal] = now + 366 * 86_400 * 1_000_000_000
        if update.last_settled_rate is not None or (terms and terms.last_settled_rate is not None):
            return
        try:
            answer = await self._settled_rates(universal, 1)
        except (NotSent, Unanswered, ProtocolViolation) as error:
            self._settled_due_ns[universal] = self._fail(str(error))
            return
        if isinstance(answer, VenueError):
            self._settled_due_ns[universal] = self._fail(f"{answer.code}: {answer.message}")
        elif answer:
            self.settled[universal] = answer[0]

    def _fail(self, error: str) -> int:
        self.failed += 1
        self._log.emit(
            events.FUNDING_FAILED,
            venue=self.venue,
            product=self._product,
            error=error[:200],
            retry_s=RETRY_NS / 1e9,
        )
        return self._clock.mono_ns() + RETRY_NS

    def _stamp_ms(self) -> int:
        return self._stamp_ns() // 1_000_000

    async def _settled_rates(self, universal: str, limit: int) -> list[SettledRate] | VenueError:
        return await settled_rates(
            self._reader,
            self._instruments[universal],
            self._stamp_ns() + 1_000_000_000,
            limit,
            self._pool,
            self._budget,
            TIMEOUT_S,
        )

    # ---------------------------------------------------------------------------------------- views

    def _next_settlement(self, universal: str) -> int | None:
        """Return the settlement that is told to come: the stream's, unless that one is over."""
        update, terms = self._updates.get(universal), self.terms.get(universal)
        streamed = update.next_funding_utc_ns if update is not None else None
        answered = terms.next_funding_utc_ns if terms is not None else None
        if streamed is None or answered is None:
            return answered if streamed is None else streamed
        return answered if streamed <= self._stamp_ns() < answered else streamed

    def _rate(self, universal: str, now: int) -> tuple[Decimal | None, int | None]:
        """Return the rate and when it stood so: the stream's, the answer's before the stream has told one."""
        update, terms = self._updates.get(universal), self.terms.get(universal)
        if update is not None and update.funding_rate is not None:
            return update.funding_rate, update.rate_utc_ns or update.venue_utc_ns
        if terms is None or terms.funding_rate is None:
            return None, None
        return terms.funding_rate, now - (self._clock.mono_ns() - self._terms_mono_ns[universal])

    def state(self, universal: str) -> tuple[FundingState, str]:
        """Return what may be believed of a contract's rate, and why not more."""
        now = self._stamp_ns()
        rate, told_ns = self._rate(universal, now)
        age_ns = None if told_ns is None else now - told_ns
        return judge(rate, age_ns, self._next_settlement(universal), now)

    def row(self, universal: str) -> dict[str, Any]:
        """Return the funding of one contract with its age and state; decimals as text, absent as ``None``."""
        update, terms = self._updates.get(universal), self.terms.get(universal)
        now = self._stamp_ns()
        rate, told_ns = self._rate(universal, now)
        following, settled = self._next_settlement(universal), self.settled.get(universal)
        last: Decimal | None = _told("last_settled_rate", update, terms)
        interval: int | None = _told("interval_ns", update, terms)
        if interval is None and settled is not None and following is not None:
            interval = following - settled.settled_utc_ns if following > settled.settled_utc_ns else None
        state, reason = self.state(universal)
        predicted = update.predicted_rate if update is not None else None
        if predicted is None and self._reader.predicted is PredictedRate.SAME_AS_CURRENT:
            predicted = rate
        terms_ns = self._terms_mono_ns.get(universal)
        return {
            "venue": self.venue,
            "product": self._product,
            "pair": universal,
            "state": state.value,
            "reason": reason,
            "rate": _text(rate),
            "predicted_rate": _text(predicted),
            "predicted": self._reader.predicted.value,
            "interval_h": _hours(interval),
            "annualised": _yearly(rate, interval),
            "next_settlement_utc": utc_text(following),
            "next_settlement_in_s": None if following is None else round((following - now) / 1e9, 1),
            "last_settled_rate": _text(settled.rate if last is None and settled is not None else last),
            "mark": _text(update.mark_price if update is not None else None),
            "index": _text(_told("index_price", update, terms)),
            "open_interest": _text(_told("open_interest", update, terms)),
            "age_ms": None if told_ns is None else max(0.0, (now - told_ns) / 1e6),
            "terms_age_ms": None if terms_ns is None else (self._clock.mono_ns() - terms_ns) / 1e6,
        }

    def health(self) -> dict[str, Any]:
        """Return contracts by state, and how many questions failed, for ``status``."""
        states = [self.state(universal)[0] for universal in self._instruments]
        return {**{state.value: states.count(state) for state in FundingState}, "failed": self.failed}

    async def history(self, universal: str, limit: int) -> dict[str, Any]:
        """Return the newest settled rates of one contract, newest first; ``error`` says why not."""
        result: dict[str, Any] = {"venue": self.venue, "pair": universal, "rates": [], "error": ""}
        try:
            answer = await self._settled_rates(universal, limit)
        except (NotSent, Unanswered, ProtocolViolation) as error:
            return result | {"error": str(error)[:200]}
        if isinstance(answer, VenueError):
            return result | {"error": f"{answer.code}: {answer.message}"[:200]}
        return result | {"rates": [_settled_row(each) for each in answer]}


def judge(
    rate: Decimal | None, age_ns: int | None, following: int | None, now: int
) -> tuple[FundingState, str]:
    """Return what may be believed of a rate, and why not more.

    Args:
        age_ns: since when the venue has not told it. following: the settlement it is for.
        now: the venue's time.
    """
    if rate is None:
        return FundingState.EMPTY, "the venue has told no rate"
    if age_ns is not None and age_ns > RATE_STALE_NS:
        return FundingState.STALE, f"not told for {age_ns // 1_000_000_000} s"
    over_ns = 0 if following is None else now - following
    if over_ns > SETTLING_NS:
        return FundingState.STALE, f"its settlement was {over_ns // 1_000_000_000} s ago"
    if following is not None and over_ns >= 0:
        return FundingState.SETTLING, "the settlement is due"
    return FundingState.LIVE, ""


def _merged(known: FundingTerms | None, told: FundingTerms) -> FundingTerms:
    """Return what is known now: several questions may each tell a part of a contract's terms."""
    if known is None:
        return told
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return msgspec.structs.replace(known, **{name: each for name, each in fields.items() if each is not None})


def _told(name: str, update: FundingUpdate | None, terms: FundingTerms | None) -> Any:
    """Return what the stream tells of something, what the answer tells where the stream says nothing."""
    streamed = getattr(update, name) if update is not None else None
    return getattr(terms, name) if streamed is None and terms is not None else streamed


def _text(value: Decimal | None) -> str | None:
    """Return a Decimal as plain text without trailing zeros."""
    if value is None:
        return None
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _hours(interval_ns: int | None) -> str | None:
    """Return an interval in hours; one that is no decimal fraction of an hour to 9 decimals."""
    return None if interval_ns is None else _text(round(hours(interval_ns), 9))


def _yearly(rate: Decimal | None, interval_ns: int | None) -> str | None:
    """Return the yearly rate, exact: where an interval is no divisor of a year, to 12 decimals."""
    if rate is None or interval_ns is None:
        return None
    yearly = annualised(rate, interval_ns)
    return _text(round(yearly, 12) if len(yearly.as_tuple().digits) > 20 else yearly)


def utc_text(utc_ns: int | None) -> str | None:
    """Return a time in ISO 8601, ``2026-11-27T16:00:00Z``; milliseconds only where there are some."""
    if utc_ns is None:
        return None
    moment = datetime.fromtimestamp(utc_ns // 1_000_000_000, UTC)
    rest = utc_ns // 1_000_000 % 1000
    return f"{moment:%Y-%m-%dT%H:%M:%S}" + (f".{rest:03d}Z" if rest else "Z")


def _settled_row(each: SettledRate) -> dict[str, Any]:
    interval = each.interval_ns
    return {
        "settled_utc": utc_text(each.settled_utc_ns),
        "rate": _text(each.rate),
        "interval_h": _hours(interval),
        "annualised": _yearly(each.rate, interval),
    }
