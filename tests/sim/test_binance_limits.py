"""Fixed windows, 429 then 418, growing bans, order counts that fills give back."""

from __future__ import annotations

import pytest

from engine.sim.binance.errors import ApiError
from engine.sim.binance.limits import MINUTE_MS, RateLimits, interval_name, perp_rules, spot_rules
from engine.sim.windows import Window

NOON = 1_790_000_040_000 - 1_790_000_040_000 % MINUTE_MS
HERE = "127.0.0.1"


def test_a_window_is_a_calendar_window_and_does_not_slide() -> None:
    window = Window(10, MINUTE_MS)
    assert window.add(NOON + 59_999, 7) == 7
    assert window.count(NOON + 59_999) == 7
    assert window.count(NOON + 60_000) == 0
    assert window.add(NOON + 60_000, -3) == 0
    assert window.retry_after_s(NOON + 59_001) == 1
    assert window.retry_after_s(NOON) == 60


def test_weight_runs_out_then_429_then_418_and_bans_grow() -> None:
    limits = RateLimits(spot_rules(weight_1m=100))
    limits.admit(HERE, NOON)
    assert limits.charge(HERE, 100, NOON) == 100
    codes = []
    for _ in range(limits.rules.strikes + 1):
        with pytest.raises(ApiError) as refused:
            limits.admit(HERE, NOON + 5000)
        codes.append((refused.value.status, refused.value.code))
    assert codes == [(429, -1003)] * limits.rules.strikes + [(418, -1003)]
    assert "IP banned until" in refused.value.msg
    assert refused.value.retry_after_s == 120
    with pytest.raises(ApiError) as still:
        limits.admit(HERE, NOON + 5000 + 119_999)
    assert still.value.status == 418
    limits.admit(HERE, NOON + 5000 + 120_000)
    assert limits.ban(HERE, NOON) - NOON == 240_000
    for _ in range(30):
        limits.ban(HERE, NOON)
    assert limits.ban(HERE, NOON) - NOON == 3 * 86_400_000


def test_a_new_minute_forgives_and_names_the_wait() -> None:
    limits = RateLimits(spot_rules(weight_1m=10))
    limits.charge(HERE, 11, NOON + 15_000)
    with pytest.raises(ApiError) as refused:
        limits.admit(HERE, NOON + 15_000)
    assert refused.value.retry_after_s == 45
    assert refused.value.msg.startswith(
        "Too much request weight used; current limit is 10 request weight per 1 MINUTE."
    )
    limits.admit("127.0.0.2", NOON + 15_000)
    limits.admit(HERE, NOON + 60_000)


def test_order_counts_refuse_whole_batches_and_fills_give_back_on_spot_only() -> None:
    spot, perp = RateLimits(spot_rules(orders_10s=3)), RateLimits(perp_rules(orders_10s=3))
    for limits in (spot, perp):
        limits.take_orders("a", 3, NOON)
        with pytest.raises(ApiError) as refused:
            limits.take_orders("a", 1, NOON + 9_999)
        assert refused.value.code == -1015
        assert refused.value.msg == "Too many new orders; current limit is 3 orders per 10 SECOND."
        limits.take_orders("b", 1, NOON)
        limits.give_back("a", 1, NOON)
    spot.take_orders("a", 1, NOON)
    with pytest.raises(ApiError):
        perp.take_orders("a", 1, NOON)
    perp.take_orders("a", 1, NOON + 10_000)


def test_headers_name_the_windows_of_the_product() -> None:
    spot, perp = RateLimits(spot_rules()), RateLimits(perp_rules())
    for limits in (spot, perp):
        limits.charge(HERE, 7, NOON)
        limits.take_orders("a", 2, NOON)
    assert spot.headers(HERE, "a", NOON) == {
        "X-MBX-USED-WEIGHT": "7", "X-MBX-USED-WEIGHT-1M": "7",
        "X-MBX-ORDER-COUNT-10S": "2", "X-MBX-ORDER-COUNT-1D": "2",
    }  # fmt: skip
    assert perp.headers(HERE, None, NOON) == {"X-MBX-USED-WEIGHT": "7", "X-MBX-USED-WEIGHT-1M": "7"}
    assert perp.headers(HERE, "a", NOON)["X-MBX-ORDER-COUNT-1M"] == "2"
    assert spot.websocket_rows(HERE, "a", NOON)[1] == {
        "rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 160_000, "count": 2,
    }  # fmt: skip


def test_raw_requests_are_limited_on_spot() -> None:
    limits = RateLimits(spot_rules())
    for _ in range(300_000):
        limits.admit(HERE, NOON)
    with pytest.raises(ApiError) as refused:
        limits.admit(HERE, NOON)
    assert refused.value.status == 429


def test_a_window_without_a_name_is_an_error() -> None:
    assert interval_name(10_000) == ("SECOND", 10)
    with pytest.raises(ValueError, match="use whole seconds"):
        interval_name(1_500)
