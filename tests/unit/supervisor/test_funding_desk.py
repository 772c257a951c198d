"""What the funding desk believes, what it asks for and when; on a clock that the test moves."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from decimal import Decimal as D
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.model.errors import ProtocolViolation, Unanswered
from engine.model.funding import (
    HOUR_NS,
    FundingPage,
    FundingQuestion,
    FundingState,
    FundingTerms,
    PredictedRate,
    SettledRate,
)
from engine.model.instrument import Instrument
from engine.model.market import FundingUpdate
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.supervisor import funding as funding_module
from engine.supervisor.funding import FundingDesk, judge, utc_text
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.transport.request_budget import RequestBudget
from engine.venues.base import HttpRequest
from tests.property.funding_venues import VENUES

SECOND = 1_000_000_000
NOW = 1_795_442_400 * SECOND
NEXT = 1_795_449_600 * SECOND  # two hours later
BTC = "BTC/USDT:USDT"
INSTRUMENT = VENUES[1].instrument


class Clock(SystemClock):
    """Both times at once; they move when the test says so."""

    def __init__(self) -> None:
        self.now = 0
        self.reads = 0

    def mono_ns(self) -> int:
        self.reads += 1
        return SECOND + self.now

    def utc_ns(self) -> int:
        return NOW + self.now


class Reader:
    """A venue that answers with values instead of bytes."""

    predicted = PredictedRate.NOT_OFFERED

    def __init__(self) -> None:
        self.terms: list[FundingTerms] | VenueError = []
        self.settled: list[SettledRate] | VenueError = []

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        request = HttpRequest(method="GET", target="/terms", label="terms")
        hourly = FundingQuestion(request=request, instruments=tuple(instruments), every_ns=HOUR_NS)
        minutely = msgspec.structs.replace(
            hourly,
            request=msgspec.structs.replace(request, target="/interest"),
            every_ns=HOUR_NS // 60,
            is_of_settlements=False,
        )
        return [hourly, minutely]

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        if body == b"bad":
            raise ProtocolViolation("bad", body)
        return self.terms

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        request = HttpRequest(method="GET", target="/settled", label="settled")
        return FundingPage(request=request, rows_max=10, is_last=True)

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        return self.settled


class Pool:
    """Counts requests; fails where it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.body = b"{}"
        self.error: Exception | None = None

    async def request(self, request: HttpRequest, timeout_s: float) -> Any:
        self.asked.append(request.target)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(status=200, body=self.body, headers={})


class Bench:
    def __init__(self) -> None:
        self.clock, self.reader, self.pool = Clock(), Reader(), Pool()
        self.updates: dict[str, FundingUpdate] = {}
        self.instruments = {BTC: INSTRUMENT}
        self.text = io.StringIO()
        self.budget = RequestBudget((), self.clock)
        self.desk = FundingDesk(
            self.reader, ("okx", "perp"), self.instruments, self.updates, self.pool,  # type: ignore[arg-type]
            self.budget, self.clock, EventLog("info", "json", self.text), self.clock.utc_ns,
        )  # fmt: skip

    def tell(self, rate: str | None = "0.0001", due: int | None = NEXT, **more: Any) -> None:
        """Let the stream tell something now."""
        now = self.clock.utc_ns()
        told = None if rate is None else D(rate)
        self.updates[BTC] = FundingUpdate(BTC, D(90_000), None, told, due, now, now, **more)

    def row(self) -> dict[str, Any]:
        return self.desk.row(BTC)

    async def until(self, done: Callable[[], object], step_ns: int = 0) -> None:
        """Poll with a deadline; each poll may move the clock."""
        async with asyncio.timeout(10):
            while not done():
                self.clock.now += step_ns
                await asyncio.sleep(0.002)

    async def looked_around(self) -> None:
        """Wait until the desk has looked for what is due several times."""
        reads = self.clock.reads
        await self.until(lambda: self.clock.reads > reads + 50)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(funding_module, "WATCH_S", 0.002)
    return Bench()


# ------------------------------------------------------------------------------------------- states


@pytest.mark.parametrize(
    ("rate", "age_s", "due_in_s", "state"),
    [
        (None, None, 100, FundingState.EMPTY),
        ("0", 1, 100, FundingState.LIVE),  # a rate of zero is a rate
        ("0.0001", 180, 100, FundingState.LIVE),
        ("0.0001", 181, 100, FundingState.STALE),
        ("0.0001", 1, 0, FundingState.SETTLING),
        ("0.0001", 1, -120, FundingState.SETTLING),
        ("0.0001", 1, -121, FundingState.STALE),
        ("0.0001", 1, None, FundingState.LIVE),
        ("0.0001", None, 100, FundingState.LIVE),
    ],
)
def test_states(rate: str | None, age_s: int | None, due_in_s: int | None, state: FundingState) -> None:
    found, reason = judge(
        None if rate is None else D(rate),
        None if age_s is None else age_s * SECOND,
        None if due_in_s is None else NOW + due_in_s * SECOND,
        NOW,
    )
    assert found is state
    assert bool(reason) == (state is not FundingState.LIVE)


def test_nothing_is_known_at_first(bench: Bench) -> None:
    row = bench.row()
    assert (row["state"], row["rate"], row["annualised"], row["mark"]) == ("empty", None, None, None)
    assert (row["next_settlement_utc"], row["age_ms"], row["terms_age_ms"]) == (None, None, None)


def test_a_rate_grows_old(bench: Bench) -> None:
    bench.tell()
    assert (bench.row()["state"], bench.row()["age_ms"]) == ("live", 0.0)
    bench.clock.now = 200 * SECOND
    assert bench.row()["state"] == "stale"
    assert bench.row()["age_ms"] == 200_000.0
    bench.tell(rate_utc_ns=NOW + 190 * SECOND)
    assert (bench.row()["state"], bench.row()["age_ms"]) == ("live", 10_000.0)


# ------------------------------------------------------------------------------------------- values


async def test_streams_come_first_and_answers_fill_the_rest(bench: Bench) -> None:
    bench.reader.terms = [
        FundingTerms(
            universal=BTC,
            interval_ns=8 * HOUR_NS,
            funding_rate=D("0.5"),
            next_funding_utc_ns=NEXT,
            last_settled_rate=D("0.00007"),
            index_price=D(90_010),
            open_interest=D("12.50"),
        )
    ]
    bench.desk.start()
    await bench.until(lambda: bench.desk.terms)
    first = bench.row()
    assert (first["rate"], first["state"]) == ("0.5", "live")  # better than nothing
    bench.tell("0.00020", interval_ns=4 * HOUR_NS)
    row = bench.row()
    assert (row["rate"], row["interval_h"], row["index"]) == ("0.0002", "4", "90010")
    assert (row["open_interest"], row["last_settled_rate"]) == ("12.5", "0.00007")
    assert row["annualised"] == "0.438"
    assert (row["next_settlement_utc"], row["next_settlement_in_s"]) == ("2026-11-23T16:00:00Z", 7200.0)
    await bench.desk.stop()


async def test_an_interval_that_nobody_tells_is_between_two_settlements(bench: Bench) -> None:
    bench.reader.settled = [SettledRate(BTC, NEXT - 2 * HOUR_NS, D("-0.0003"))]
    bench.tell()
    bench.desk.start()
    await bench.until(lambda: bench.desk.settled)
    row = bench.row()
    assert (row["interval_h"], row["last_settled_rate"]) == ("2", "-0.0003")
    await bench.desk.stop()


def test_a_prediction_is_the_venues_own_or_none(bench: Bench) -> None:
    bench.tell()
    assert (bench.row()["predicted_rate"], bench.row()["predicted"]) == (None, "not offered")
    bench.reader.predicted = PredictedRate.SAME_AS_CURRENT
    assert bench.row()["predicted_rate"] == "0.0001"
    bench.reader.predicted = PredictedRate.FOLLOWING_INTERVAL
    assert bench.row()["predicted_rate"] is None
    bench.tell(predicted_rate=D("-0.0002"))
    assert bench.row()["predicted_rate"] == "-0.0002"


def test_the_answers_settlement_counts_when_the_streams_is_over(bench: Bench) -> None:
    bench.tell(due=NOW + SECOND)
    bench.desk.terms[BTC] = FundingTerms(universal=BTC, next_funding_utc_ns=NEXT)
    assert bench.row()["next_settlement_in_s"] == 1.0
    bench.clock.now = 2 * SECOND
    assert bench.row()["next_settlement_utc"] == "2026-11-23T16:00:00Z"
    bench.desk.terms[BTC] = FundingTerms(universal=BTC, next_funding_utc_ns=NOW - SECOND)
    assert bench.row()["state"] == "settling"


def test_odd_intervals_are_rounded_for_people(bench: Bench) -> None:
    """An accelerated simulation settles every twenty seconds: a year has 1576800 of them."""
    bench.tell("0.0001", interval_ns=20 * SECOND)
    assert (bench.row()["interval_h"], bench.row()["annualised"]) == ("0.005555556", "157.68")
    bench.tell("0.0001", interval_ns=7 * HOUR_NS)
    assert (bench.row()["interval_h"], bench.row()["annualised"]) == ("7", "0.125142857143")


@pytest.mark.parametrize(
    ("utc_ns", "text"),
    [
        (None, None),
        (NEXT, "2026-11-23T16:00:00Z"),
        (NEXT + 7_000_000, "2026-11-23T16:00:00.007Z"),
    ],
)
def test_times(utc_ns: int | None, text: str | None) -> None:
    assert utc_text(utc_ns) == text


# ---------------------------------------------------------------------------------------- questions


async def test_questions_keep_their_pace(bench: Bench) -> None:
    bench.tell(last_settled_rate=D(0))
    bench.desk.start()
    await bench.desk.known([BTC])
    assert sorted(bench.pool.asked) == ["/interest", "/terms"]
    bench.clock.now = HOUR_NS // 60 + SECOND
    await bench.until(lambda: bench.pool.asked.count("/interest") == 2)
    assert bench.pool.asked.count("/terms") == 1
    bench.clock.now = HOUR_NS + SECOND
    await bench.until(lambda: bench.pool.asked.count("/terms") == 2)
    await bench.desk.stop()


async def test_after_a_settlement_its_terms_are_asked_for(bench: Bench) -> None:
    bench.tell()
    bench.desk.start()
    await bench.until(lambda: len(bench.pool.asked) == 3)
    assert bench.pool.asked[2] == "/settled"
    bench.tell(due=NEXT + HOUR_NS)  # the stream tells the next one: this one is over
    await bench.until(lambda: bench.desk._next_ns[BTC] == NEXT + HOUR_NS)
    bench.clock.now = 6 * SECOND
    await bench.until(
        lambda: bench.pool.asked.count("/terms") == 2 and bench.pool.asked.count("/settled") == 2
    )
    assert bench.pool.asked.count("/interest") == 1
    await bench.desk.stop()


async def test_an_overdue_settlement_is_asked_for_until_the_next_is_known(bench: Bench) -> None:
    """Some streams tell no settlement at all: the answers are all there is."""
    bench.tell(due=None, last_settled_rate=D(0))
    bench.reader.terms = [FundingTerms(universal=BTC, next_funding_utc_ns=NOW + SECOND)]
    bench.desk.start()
    await bench.desk.known([BTC])
    assert bench.pool.asked.count("/terms") == 1
    bench.clock.now = 20 * SECOND
    await bench.looked_around()
    assert bench.pool.asked.count("/terms") == 1  # not overdue yet
    await bench.until(lambda: bench.pool.asked.count("/terms") == 4, SECOND // 2)
    assert bench.clock.now >= 35 * SECOND, "asked more often than every five seconds"
    bench.reader.terms = [FundingTerms(universal=BTC, next_funding_utc_ns=NEXT)]
    await bench.until(lambda: bench.row()["next_settlement_utc"] == "2026-11-23T16:00:00Z", SECOND // 2)
    await bench.desk.stop()


async def test_a_failed_question_is_asked_again_and_told(bench: Bench) -> None:
    bench.pool.error = Unanswered("cut", "closed")
    bench.desk.start()
    await bench.until(lambda: bench.desk.failed == 2)
    bench.pool.error, bench.pool.body = None, b"bad"
    bench.clock.now = 6 * SECOND
    await bench.until(lambda: bench.desk.failed == 4)
    bench.pool.body = b"{}"
    bench.clock.now = 12 * SECOND
    await bench.until(lambda: bench.desk._is_asked.is_set())
    assert bench.text.getvalue().count("funding.failed") == 4
    await bench.desk.stop()


async def test_a_limit_is_respected(bench: Bench) -> None:
    bench.reader.terms = VenueError(
        "429", "slow down", Outcome.REFUSED, RejectReason.RATE_LIMIT, Retry.AFTER_WAIT, 60_000
    )
    bench.desk.start()
    await bench.until(lambda: bench.desk.failed)
    assert bench.budget.is_blocked
    bench.clock.now = 30 * SECOND
    await bench.looked_around()
    assert len(bench.pool.asked) == 1, "asked inside a wait"
    await bench.desk.stop()


async def test_a_replaced_instrument_is_asked_about_anew(bench: Bench) -> None:
    bench.tell(last_settled_rate=D(0))
    bench.desk.start()
    await bench.desk.known([BTC])
    other = msgspec.structs.replace(INSTRUMENT, contract_size=D("0.1"))
    bench.instruments[BTC] = other
    await bench.until(lambda: bench.pool.asked.count("/terms") == 2)
    assert all(asked.question.instruments == (other,) for asked in bench.desk._asked)
    await bench.desk.stop()


def test_health_counts_states(bench: Bench) -> None:
    assert bench.desk.health() == {"empty": 1, "live": 0, "settling": 0, "stale": 0, "failed": 0}
    bench.tell()
    assert bench.desk.health() == {"empty": 0, "live": 1, "settling": 0, "stale": 0, "failed": 0}


async def test_history_says_why_there_is_none(bench: Bench) -> None:
    bench.reader.settled = [SettledRate(BTC, NOW - each * 8 * HOUR_NS, D(each)) for each in range(3)]
    found = await bench.desk.history(BTC, 2)
    assert found["rates"] == [
        {"settled_utc": "2026-11-23T14:00:00Z", "rate": "0", "interval_h": "8", "annualised": "0"},
        {"settled_utc": "2026-11-23T06:00:00Z", "rate": "1", "interval_h": "8", "annualised": "1095"},
    ]
    bench.reader.settled = VenueError("51001", "no such", Outcome.REFUSED, RejectReason.OTHER, Retry.NEVER)
    assert (await bench.desk.history(BTC, 2))["error"] == "51001: no such"
    bench.pool.error = Unanswered("no answer in 10 s", "deadline")
    assert (await bench.desk.history(BTC, 2))["error"] == "no answer in 10 s"
