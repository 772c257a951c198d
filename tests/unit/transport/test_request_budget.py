"""The request budget: calendar windows, the venue's own counts, the reserve, bans and clock steps."""

from __future__ import annotations

import pytest

from engine.model.errors import NotSent
from engine.model.wire import Allowance, BudgetRule, HttpRequest
from engine.transport.request_budget import RequestBudget
from tests.unit.transport.test_reconnect import HandClock

MINUTE_MS = 60_000
WEIGHT = BudgetRule("weight_1m", "weight", MINUTE_MS, 100, "x-weight-1m")
ORDERS = BudgetRule("orders_10s", "orders", 10_000, 5, "x-orders-10s")


def request(weight: int = 10, orders: int = 0, is_reserved: bool = False) -> HttpRequest:
    return HttpRequest(
        method="GET",
        target="/x",
        label="test.read",
        weight=weight,
        order_count=orders,
        is_reserved=is_reserved,
    )


def made() -> tuple[RequestBudget, HandClock]:
    clock = HandClock()
    clock.now_ms -= clock.now_ms % MINUTE_MS
    return RequestBudget([WEIGHT, ORDERS], clock), clock


def test_a_tenth_is_kept_for_the_way_out() -> None:
    budget, _ = made()
    for _ in range(9):
        budget.take(request())
    with pytest.raises(NotSent, match=r"test\.read: weight_1m is used up \(90/90\); 60000 ms"):
        budget.take(request(weight=1))
    budget.take(request(is_reserved=True))
    with pytest.raises(NotSent, match=r"100/100"):
        budget.take(request(weight=1, is_reserved=True))
    assert budget.refused == 2
    assert budget.usage() == {"weight_1m": "100/100", "orders_10s": "0/5"}


def test_over_the_weight_nothing_leaves_whatever_it_weighs() -> None:
    budget, clock = made()
    budget.take(request(weight=0, orders=1))
    budget.learn({"x-weight-1m": "99"})
    budget.take(request(weight=0, orders=1))
    budget.learn({"x-weight-1m": "100"})
    for is_reserved in (False, True):
        with pytest.raises(NotSent, match=r"weight_1m is used up \(100/"):
            budget.take(request(weight=0, orders=1, is_reserved=is_reserved))
    clock.now_ms += MINUTE_MS
    budget.take(request(weight=0, orders=1))


def test_a_refused_request_costs_nothing() -> None:
    budget, _ = made()
    for _ in range(5):
        budget.take(request(weight=1, orders=1))
    with pytest.raises(NotSent, match="orders_10s"):
        budget.take(request(weight=1, orders=1))
    assert budget.usage() == {"weight_1m": "5/100", "orders_10s": "5/5"}
    assert budget.order_wait_ms(1) == 10_001
    assert budget.wait_ms(85) == 0
    assert budget.wait_ms(86) == MINUTE_MS + 1


def test_windows_end_with_the_calendar_and_the_venues_clock() -> None:
    budget, clock = made()
    clock.now_ms += MINUTE_MS - 1
    budget.take(request(weight=90))
    clock.now_ms += 1
    budget.take(request(weight=90))
    budget.offset_ns = MINUTE_MS * 1_000_000  # the venue is a minute ahead: its next window has begun
    budget.take(request(weight=90))


def test_a_small_step_back_does_not_forget_what_was_used() -> None:
    """At a window's edge a corrected offset would otherwise empty both windows."""
    budget, _ = made()
    budget.take(request(weight=90))
    budget.offset_ns = -5_000_000
    with pytest.raises(NotSent):
        budget.take(request(weight=90))
    budget.offset_ns = 0
    with pytest.raises(NotSent):
        budget.take(request(weight=90))


def test_a_clock_set_back_by_more_than_a_window_does_not_block_for_ever() -> None:
    budget, clock = made()
    budget.take(request(weight=90))
    clock.now_ms -= 3_600_000
    budget.take(request(weight=90))


def test_the_venues_count_raises_ours_and_never_lowers_it() -> None:
    budget, _ = made()
    budget.take(request(weight=50))
    budget.learn({"x-weight-1m": "20"})
    assert budget.usage()["weight_1m"] == "50/100"
    budget.learn({"x-weight-1m": "95", "x-orders-10s": "5"})
    with pytest.raises(NotSent):
        budget.take(request(weight=1))
    assert budget.usage() == {"weight_1m": "95/100", "orders_10s": "5/5"}


@pytest.mark.parametrize("text", ["", "-5", "5.5", "abc", "²", "9" * 5_000])
def test_counts_that_are_none_are_ignored(text: str) -> None:
    budget, _ = made()
    budget.learn({"x-weight-1m": text})
    assert budget.usage()["weight_1m"] == "0/100"


def test_nothing_leaves_inside_a_ban_and_a_shorter_one_does_not_shorten_it() -> None:
    budget, clock = made()
    assert budget.block(120_000, "banned (418)") == 120_000
    assert budget.block(None, "too fast (429)") == 5_000
    assert budget.is_blocked
    with pytest.raises(NotSent, match=r"banned \(418\); not before 120000 ms"):
        budget.take(request(is_reserved=True))
    assert budget.wait_ms(1) == 120_001
    clock.now_ms += 120_000
    budget.take(request())
    assert budget.usage()["weight_1m"] == "10/100"


POOL = BudgetRule("weight_30s", "weight", 30_000, 2_000, pool_headers=("limit", "remaining", "reset"))


def test_the_used_share_of_a_pool_counts_here_and_an_empty_one_is_waited_for() -> None:
    clock = HandClock()
    budget = RequestBudget([POOL], clock)
    budget.learn({"limit": "4000", "remaining": "3000", "reset": "20000"})
    assert budget.usage() == {"weight_30s": "500/2000"}  # a quarter
    budget.learn({"limit": "2000", "remaining": "1999", "reset": "20000"})  # of a pool that is hardly used
    assert budget.usage() == {"weight_30s": "500/2000"}
    budget.learn({"limit": "4000", "remaining": "0", "reset": "1500"})
    with pytest.raises(NotSent, match="the pool is used up; not before 1500 ms"):
        budget.take(request(weight=1, is_reserved=True))


@pytest.mark.parametrize("text", ["", "-1", "x", "4001", "9" * 13, "1.5"])
def test_pools_that_are_none_are_ignored(text: str) -> None:
    budget = RequestBudget([POOL], HandClock())
    budget.learn({"limit": "4000", "remaining": text, "reset": "1"})
    budget.learn({"limit": "0", "remaining": "0", "reset": "1"})
    budget.learn({"remaining": "0"})
    assert budget.usage() == {"weight_30s": "0/2000"}
    assert not budget.is_blocked


ENDPOINTS = (
    BudgetRule("v.place", "endpoint", 2_000, 2, "used"),
    BudgetRule("v.cancel_all", "endpoint", 3_000, 1, "used"),
)


def labelled(label: str) -> HttpRequest:
    return HttpRequest(method="POST", target="/", label=label, weight=50, order_count=3, is_reserved=True)


def test_endpoints_count_by_themselves_whatever_a_request_weighs() -> None:
    clock = HandClock()
    budget = RequestBudget(ENDPOINTS, clock)
    for label in ("v.place", "v.place", "v.cancel_all", "v.other", "v.other", "v.other"):
        budget.take(labelled(label))
    assert budget.usage() == {"v.place": "2/2", "v.cancel_all": "1/1"}
    for label in ("v.place", "v.cancel_all"):
        with pytest.raises(NotSent, match=rf"{label} is used up"):
            budget.take(labelled(label))
    assert budget.wait_ms(50) == budget.order_wait_ms(3) == 0
    clock.now_ms += 3_000
    budget.take(labelled("v.cancel_all"))


def test_an_endpoint_learns_from_its_own_answers_alone() -> None:
    budget = RequestBudget(ENDPOINTS, HandClock())
    budget.learn({"used": "2"}, labelled("v.place"))
    budget.learn({"used": "1"}, labelled("v.other"))
    budget.learn({"used": "1"})
    assert budget.usage() == {"v.place": "2/2", "v.cancel_all": "0/1"}


LIMITS = ("x-limit", "x-left", "x-reset")
ROLLING = BudgetRule("orders_1s", "orders", 1_000, 3, order_headers=LIMITS, is_rolling=True)


def stated(limit: str, left: str, reset_ms: int = 0) -> dict[str, str]:
    return dict(zip(LIMITS, (limit, left, str(reset_ms)), strict=True))


def test_a_rolling_window_has_no_border_to_burst_across() -> None:
    clock = HandClock()
    clock.now_ms += 900 - clock.now_ms % 1_000
    budget = RequestBudget([ROLLING], clock)
    for _ in range(3):
        budget.take(request(orders=1))
        clock.now_ms += 50
    assert budget.order_wait_ms(1) == 851  # the first was sent 150 ms ago
    with pytest.raises(NotSent, match=r"orders_1s is used up \(3/3\); 850 ms"):
        budget.take(request(orders=1))
    clock.now_ms += 850
    budget.take(request(orders=1))
    assert budget.usage() == {"orders_1s": "3/3"}
    clock.now_ms -= 5_000  # the clock is set back: what was sent in its future no longer counts
    assert budget.usage() == {"orders_1s": "0/3"}


def test_answers_to_orders_state_their_own_limit() -> None:
    clock = HandClock()
    budget = RequestBudget([ROLLING], clock)
    order, read = request(orders=1), request()
    budget.take(order)
    budget.learn(stated("50", "1"), read)  # another endpoint's limit
    budget.learn(stated("50", "1"))
    assert budget.usage() == {"orders_1s": "1/3"}
    budget.learn(stated("20", "17"), order)  # a higher tier; two orders of other processes
    assert budget.usage() == {"orders_1s": "3/20"}
    for wrong in (stated("x", "1"), stated("0", "0"), stated("5", "6"), stated("5", ""), {}):
        budget.learn(wrong, order)
    assert budget.usage() == {"orders_1s": "3/20"}
    budget.learn_allowance(Allowance("orders_1s", 0, 20))
    assert budget.order_wait_ms(1) > 0
    budget.learn_allowance(Allowance("another", 0, 1))
    clock.now_ms += 1_000
    assert budget.usage() == {"orders_1s": "0/20"}


def test_a_used_up_calendar_window_lasts_until_the_stated_reset() -> None:
    clock = HandClock()
    clock.now_ms += 900 - clock.now_ms % 1_000
    rule = BudgetRule("orders_1s", "orders", 1_000, 3, order_headers=LIMITS)
    budget = RequestBudget([rule], clock)
    budget.take(request(orders=1))
    budget.learn(stated("3", "0", clock.now_ms + 700), request(orders=1))
    clock.now_ms += 699
    with pytest.raises(NotSent, match=r"\(3/3\); 1 ms"):
        budget.take(request(orders=1))
    clock.now_ms += 1
    budget.take(request(orders=1))
    budget.learn(stated("3", "0", clock.now_ms + 10**9), request(orders=1))  # nobody waits for days
    clock.now_ms += 1_000
    budget.take(request(orders=1))
