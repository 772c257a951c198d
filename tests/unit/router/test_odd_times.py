"""What is told with an impossible time counts; the time does not."""

from __future__ import annotations

import pytest

from engine.router.order import AmendState
from tests.unit.router.test_amends import Bench, ack, fill, report


@pytest.mark.parametrize("kind", ["report", "ack"])
def test_a_time_from_the_far_future_does_not_make_what_follows_old(kind: str) -> None:
    bench = Bench()
    in_a_day = 10**12 + 86_400_000  # milliseconds
    if kind == "report":
        bench.router.on_report(report(50, 100, in_a_day, cum_qty=5, fill=fill("t1", 5)))
        assert bench.order.cum_qty == 5, "what it tells of the order counts"
    else:
        bench.router.adopt_ack("BTC/USDT", ack(50, 100, in_a_day))
    assert bench.order.venue_utc_ns == 10_000_000
    assert bench.router.stats.counts["odd_times"] == 1
    bench.router.amend("c1", qty=150)
    bench.answer(ack(50, 150, 20))
    assert (bench.order.qty, bench.order.amend_state) == (150, AmendState.NONE)
    bench.router.on_report(report(50, 150, 10**12 + 1_800_000))
    assert bench.router.stats.counts["odd_times"] == 1, "half an hour is what clocks may be apart"
