"""Settled rates of five venues, walked page by page: each once, newest first, no more than asked for."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec
import pytest

from engine.model.errors import ProtocolViolation
from engine.model.funding import HOUR_NS, FundingPage, SettledRate
from engine.model.orders import VenueError
from engine.session.funding_history import PAGES_MAX, HistoryWalk
from tests.property.funding_venues import VENUES, FundingVenue, Settlement

HOUR_MS = 3_600_000
MS = 1_000_000
NOW_MS = 1_795_449_600_000  # a settlement of every interval
each_venue = pytest.mark.parametrize("venue", VENUES, ids=str)


def walked(
    venue: FundingVenue, settlements: Sequence[Settlement], before_ms: int, limit: int
) -> tuple[list[SettledRate], int]:
    """Return what a walk finds, and in how many pages."""
    walk = HistoryWalk(venue.reader, venue.instrument, before_ms * MS, limit)
    pages = 0
    while (page := walk.next_page()) is not None:
        pages += 1
        rates = venue.reader.decode_page(venue.instrument, 200, venue.asked(page.request, settlements))
        assert not isinstance(rates, VenueError)
        walk.take(page, rates)
    return walk.rates(), pages


def steady(every_h: int, count: int, last_ms: int = NOW_MS) -> list[Settlement]:
    """Return settlements at one interval, ascending, each with a rate of its own."""
    return [(last_ms - number * every_h * HOUR_MS, f"0.{number + 1:08d}") for number in range(count)][::-1]


def expected(settlements: Sequence[Settlement], limit: int) -> list[tuple[int, D]]:
    return [(at, D(rate)) for at, rate in reversed(settlements)][:limit]


def told(rates: Sequence[SettledRate]) -> list[tuple[int, D]]:
    return [(each.settled_utc_ns // MS, each.rate) for each in rates]


@each_venue
@pytest.mark.parametrize("every_h", [1, 2, 4, 8])
@pytest.mark.parametrize("limit", [1, 2, 12, 95, 96, 97, 100, 199, 201, 402])
def test_as_many_as_asked_for_at_every_interval(venue: FundingVenue, every_h: int, limit: int) -> None:
    settlements = steady(every_h, 450)
    rates, _ = walked(venue, settlements, NOW_MS + 1, limit)
    reach = min(limit, venue.reach or limit)
    assert told(rates) == expected(settlements, reach)
    # Only where the venue has nothing older the oldest does not know its interval.
    unknown = [place for place, each in enumerate(rates) if each.interval_ns != every_h * HOUR_NS]
    assert unknown == ([reach - 1] if reach == venue.reach else [])


@each_venue
def test_a_settlement_at_the_very_time_is_not_before_it(venue: FundingVenue) -> None:
    settlements = steady(8, 6)
    rates, _ = walked(venue, settlements, NOW_MS, 3)
    assert told(rates) == expected(settlements[:-1], 3)
    rates, _ = walked(venue, settlements, NOW_MS + 1_000, 3)
    assert told(rates)[0][0] == NOW_MS


@each_venue
def test_a_settlement_on_the_border_of_two_pages_comes_once(venue: FundingVenue) -> None:
    """Borders of windows fall on settlements here: both ends of a window are included."""
    settlements = steady(1, 300)
    for before_ms in (NOW_MS, NOW_MS + 1, NOW_MS + HOUR_MS - 1, NOW_MS - HOUR_MS):
        rates, _ = walked(venue, settlements, before_ms, 98)
        earlier = [each for each in settlements if each[0] < before_ms]
        assert told(rates) == expected(earlier, 98)


@each_venue
def test_intervals_that_change(venue: FundingVenue) -> None:
    """Eight hours, then four, then one: 8 8 8 4 4 4 1 1 1 in order of time."""
    at = NOW_MS - 60 * HOUR_MS
    times = [at]
    for hours in (8, 8, 8, 4, 4, 4, 1, 1, 1):
        at += hours * HOUR_MS
        times.append(at)
    settlements = [(each, f"0.000{number}") for number, each in enumerate(times)]
    rates, _ = walked(venue, settlements, NOW_MS, 9)
    assert [each.interval_ns // HOUR_NS for each in rates if each.interval_ns] == [1, 1, 1, 4, 4, 4, 8, 8, 8]
    assert [each.rate for each in rates] == [D(f"0.000{number}") for number in range(9, 0, -1)]


@each_venue
def test_a_missing_settlement_is_a_gap_and_no_interval(venue: FundingVenue) -> None:
    settlements = steady(4, 40)
    lost = settlements.pop(30)
    rates, _ = walked(venue, settlements, NOW_MS + 1, 20)
    assert told(rates) == expected(settlements, 20)
    assert lost[0] not in [at for at, _ in told(rates)]
    assert {each.interval_ns for each in rates} == {4 * HOUR_NS}


@each_venue
def test_a_young_contract_has_what_it_has(venue: FundingVenue) -> None:
    settlements = steady(8, 3)
    rates, pages = walked(venue, settlements, NOW_MS + 1, 1_000)
    assert told(rates) == expected(settlements, 3)
    assert [each.interval_ns for each in rates] == [8 * HOUR_NS, 8 * HOUR_NS, None]
    assert pages <= 4, "the end of the history was asked for again and again"


@each_venue
def test_no_history_at_all(venue: FundingVenue) -> None:
    rates, pages = walked(venue, [], NOW_MS, 50)
    assert (rates, pages <= 2) == ([], True)


@each_venue
def test_a_long_pause_of_trading_does_not_end_the_history(venue: FundingVenue) -> None:
    """One window of time without a settlement is no beginning: here it rested for more than a week."""
    settlements = [*steady(8, 20, NOW_MS - 20 * 8 * HOUR_MS - 190 * HOUR_MS), *steady(8, 20)]
    rates, _ = walked(venue, settlements, NOW_MS + 1, 40)
    assert told(rates) == expected(settlements, 40)


@each_venue
def test_pages_are_few(venue: FundingVenue) -> None:
    """What is asked for is what is needed: thirty rates of an eight-hour contract."""
    _, pages = walked(venue, steady(8, 400), NOW_MS + 1, 30)
    assert pages <= {"kucoin": 4}.get(venue.name, 1)


@each_venue
def test_times_and_rates_are_those_of_the_venue(venue: FundingVenue) -> None:
    settlements = [(NOW_MS - 8 * HOUR_MS, "-0.00003112"), (NOW_MS, "0.0")]
    rates, _ = walked(venue, settlements, NOW_MS + 1, 2)
    assert [(each.universal, each.settled_utc_ns, each.rate) for each in rates] == [
        ("BTC/USDT:USDT", NOW_MS * MS, D(0)),
        ("BTC/USDT:USDT", (NOW_MS - 8 * HOUR_MS) * MS, D("-0.00003112")),
    ]


@each_venue
def test_rates_of_another_contract_are_not_ours(venue: FundingVenue) -> None:
    walk = HistoryWalk(venue.reader, venue.instrument, NOW_MS * MS, 3)
    page = walk.next_page()
    assert page is not None
    body = venue.asked(page.request, steady(8, 5))
    other = msgspec.structs.replace(venue.instrument, symbol="ETH-OTHER")
    with pytest.raises(ProtocolViolation, match="not of ETH-OTHER"):
        venue.reader.decode_page(other, 200, body)


class _Endless:
    """A venue whose every window holds one settlement: nothing ever ends."""

    def page(self, instrument: object, before_utc_ns: int, rows: int) -> FundingPage:
        request = VENUES[0].reader.page(VENUES[0].instrument, before_utc_ns, rows).request
        return FundingPage(request=request, rows_max=1, since_utc_ns=before_utc_ns - HOUR_NS)


def test_a_walk_ends_somewhere() -> None:
    walk = HistoryWalk(_Endless(), VENUES[0].instrument, NOW_MS * MS, 10_000)  # type: ignore[arg-type]
    count = 0
    while (page := walk.next_page()) is not None:
        assert page.since_utc_ns is not None
        walk.take(page, [SettledRate("BTC/USDT:USDT", page.since_utc_ns, D(0))])
        count += 1
    assert count == PAGES_MAX


def test_pages_that_contradict_each_other_are_refused() -> None:
    venue = VENUES[0]
    walk = HistoryWalk(venue.reader, venue.instrument, NOW_MS * MS, 500)
    page = walk.next_page()
    assert page is not None
    walk.take(page, [SettledRate("BTC/USDT:USDT", (NOW_MS - HOUR_MS) * MS, D("0.0001"))])
    with pytest.raises(ProtocolViolation, match="settled with"):
        walk.take(page, [SettledRate("BTC/USDT:USDT", (NOW_MS - HOUR_MS) * MS, D("0.0002"))])
