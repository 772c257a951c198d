"""Whatever a contract settled, and whenever: a walk finds each settlement once; damaged pages are refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal as D

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.errors import ProtocolViolation
from engine.model.funding import FundingQuestion, with_intervals
from engine.model.orders import VenueError
from engine.session.funding_history import HistoryWalk
from tests.property.funding_venues import VENUES, FundingVenue, Settlement

HOUR_MS = 3_600_000
MS = 1_000_000
LAST_MS = 1_795_449_600_000
each_venue = pytest.mark.parametrize("venue", VENUES, ids=str)

ERAS = st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.integers(1, 130)), min_size=1, max_size=4)
RATES = st.integers(-50_000, 50_000).map(lambda number: f"{D(number).scaleb(-8):f}")


def outcome(decode: Callable[[], object]) -> object:
    """Return what a decoder returns, or the bytes that it refuses: all of them, for the log."""
    try:
        return decode()
    except ProtocolViolation as error:
        return error.raw


@st.composite
def histories(draw: st.DrawFn) -> list[Settlement]:
    """Return settlements of changing intervals, ascending; some are missing, never three in a row."""
    times = [LAST_MS]
    for hours, count in draw(ERAS):
        times += [times[-1] - (number + 1) * hours * HOUR_MS for number in range(count)]
    missing = draw(st.sets(st.integers(0, len(times) - 1), max_size=4))
    kept = [at for place, at in enumerate(times) if place not in missing]
    rates = draw(st.lists(RATES, min_size=5, max_size=5))
    return [(at, rates[at // HOUR_MS % 5]) for at in reversed(kept)]


@each_venue
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    settlements=histories(),
    limit=st.integers(1, 260),
    ago_ms=st.one_of(
        st.integers(-5_000, 400 * HOUR_MS), st.integers(0, 400).map(lambda each: each * HOUR_MS)
    ),
)
def test_each_settlement_is_found_once(
    venue: FundingVenue, settlements: list[Settlement], limit: int, ago_ms: int
) -> None:
    before_ms = LAST_MS - ago_ms
    reachable = settlements[-venue.reach :] if venue.reach else settlements
    wanted = [(at, D(rate)) for at, rate in reversed(reachable) if at < before_ms][:limit]
    walk = HistoryWalk(venue.reader, venue.instrument, before_ms * MS, limit)
    while (page := walk.next_page()) is not None:
        rates = venue.reader.decode_page(venue.instrument, 200, venue.asked(page.request, settlements))
        assert not isinstance(rates, VenueError)
        assert [each.settled_utc_ns for each in rates] == sorted(
            (each.settled_utc_ns for each in rates), reverse=True
        )
        walk.take(page, rates)
    assert [(each.settled_utc_ns // MS, each.rate) for each in walk.rates()] == wanted


@given(histories())
def test_an_interval_is_a_distance_or_a_part_of_one(settlements: list[Settlement]) -> None:
    venue = VENUES[1]
    page = venue.reader.page(venue.instrument, (LAST_MS + 1) * MS, 400)
    rates = venue.reader.decode_page(venue.instrument, 200, venue.asked(page.request, settlements))
    assert not isinstance(rates, VenueError)
    found = with_intervals(rates)
    assert [each.rate for each in found] == [each.rate for each in rates]
    for newer, older in itertools.pairwise(found):
        gap = newer.settled_utc_ns - older.settled_utc_ns
        assert newer.interval_ns is None or gap % newer.interval_ns == 0
        assert newer.interval_ns is None or newer.interval_ns in (gap, gap // 2, gap // 3, gap // 4, gap // 5)
    assert not found or found[-1].interval_ns is None


@each_venue
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_answers_never_get_through(venue: FundingVenue, data: st.DataObject) -> None:
    page = venue.reader.page(venue.instrument, (LAST_MS + 1) * MS, 5)
    body = venue.asked(page.request, [(LAST_MS - 8 * HOUR_MS, "0.0001"), (LAST_MS, "-0.00002")])
    place = data.draw(st.integers(0, len(body) - 1))
    change = data.draw(st.sampled_from(["cut", "byte", "insert", "drop"]))
    noise = bytes([data.draw(st.integers(0, 255))])
    damaged = {
        "cut": body[:place],
        "byte": body[:place] + noise + body[place + 1 :],
        "insert": body[:place] + noise + body[place:],
        "drop": body[:place] + body[place + 1 :],
    }[change]
    (question, *_) = venue.reader.questions([venue.instrument])
    for decode in (
        lambda: venue.reader.decode_page(venue.instrument, 200, damaged),
        lambda: venue.reader.decode_terms(question, 200, damaged),
    ):
        found = outcome(decode)
        assert found == damaged or isinstance(found, VenueError | list)


@each_venue
@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"<html>", b'{"data":5}', b"[[1]]", b"[1]"])
def test_what_is_no_answer_is_refused(venue: FundingVenue, body: bytes) -> None:
    question: FundingQuestion = venue.reader.questions([venue.instrument])[0]
    for decode in (
        lambda: venue.reader.decode_page(venue.instrument, 200, body),
        lambda: venue.reader.decode_terms(question, 200, body),
    ):
        if venue.name == "binance" and body == b"[]":
            assert isinstance(decode(), list)  # a list is what this venue answers with
            continue
        found = outcome(decode)
        assert found == body or isinstance(found, VenueError)
