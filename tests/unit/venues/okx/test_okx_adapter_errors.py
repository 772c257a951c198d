"""The error table: what each class of code means for an order, for a read, and for the account."""

from __future__ import annotations

import pytest

from engine.model.orders import Outcome, RejectReason, Retry
from engine.venues.okx.errors import TABLE, classify, decode_error, error_in

R = RejectReason


def body(code: str, message: str = "text") -> bytes:
    return f'{{"code":"{code}","msg":"{message}","data":[]}}'.encode()


@pytest.mark.parametrize("code", ["50004", "51054", "51149", "51412", "50001", "50026", "64007"])
@pytest.mark.parametrize("status", [200, 400, 500, 503])
def test_the_venues_own_timeouts_prove_nothing(code: str, status: int) -> None:
    error = decode_error(status, body(code))
    assert error.outcome is Outcome.UNKNOWN
    assert error.retry is Retry.READ


@pytest.mark.parametrize(
    ("status", "code", "reason", "retry"),
    [
        (200, "50011", R.RATE_LIMIT, Retry.AFTER_WAIT),
        (429, "50011", R.RATE_LIMIT, Retry.AFTER_WAIT),
        (429, "50013", R.RATE_LIMIT, Retry.AFTER_WAIT),
        (200, "50061", R.RATE_LIMIT, Retry.AFTER_WAIT),
        (401, "50102", R.CLOCK, Retry.RESIGN),
        (200, "60006", R.CLOCK, Retry.RESIGN),
        (200, "50036", R.CLOCK, Retry.NEVER),
        (200, "51400", R.UNKNOWN_ORDER, Retry.READ),
        (200, "51603", R.UNKNOWN_ORDER, Retry.READ),
        (200, "51016", R.DUPLICATE_CLIENT_ORDER_ID, Retry.NEVER),
        (200, "51008", R.INSUFFICIENT_FUNDS, Retry.NEVER),
        (200, "51121", R.QTY_FILTER, Retry.NEVER),
        (200, "51006", R.PRICE_BAND, Retry.NEVER),
        (200, "51103", R.TOO_MANY_ORDERS, Retry.NEVER),
        (200, "51169", R.REDUCE_ONLY, Retry.NEVER),
        (200, "51001", R.NOT_TRADING, Retry.NEVER),
        (200, "51030", R.NOT_TRADING, Retry.AFTER_WAIT),
        (401, "50113", R.AUTH, Retry.NEVER),
        (200, "50119", R.AUTH, Retry.NEVER),
        (200, "50199", R.AUTH, Retry.NEVER),
        (200, "51024", R.AUTH, Retry.NEVER),
        (200, "51999", R.OTHER, Retry.NEVER),
    ],
)
def test_refusals(status: int, code: str, reason: RejectReason, retry: Retry) -> None:
    error = decode_error(status, body(code))
    assert (error.code, error.outcome, error.reason, error.retry) == (code, Outcome.REFUSED, reason, retry)


def test_what_51000_complains_about() -> None:
    assert classify(200, "51000", "Parameter px error", True).reason is R.PRICE_FILTER
    assert classify(200, "51000", "Parameter sz error", True).reason is R.QTY_FILTER
    assert classify(200, "51000", "Parameter posSide error", True).reason is R.MALFORMED


def test_unlisted_codes() -> None:
    assert classify(200, "59999", "", True).outcome is Outcome.REFUSED  # this very item failed
    assert classify(200, "59999", "", False).outcome is Outcome.UNKNOWN
    assert classify(500, "51008", "", False).outcome is Outcome.UNKNOWN  # refused, yet something broke
    assert classify(502, "59999", "", True).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [400, 403, 404, 408, 500, 502, 503, 504])
@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"code":1}', b"\xff"])
def test_foreign_bodies_prove_nothing(status: int, text: bytes) -> None:
    assert decode_error(status, text).outcome is Outcome.UNKNOWN


def test_the_limiter_decides_before_anything_is_done() -> None:
    error = decode_error(429, b"<html>", "7")
    assert (error.outcome, error.reason, error.retry_after_ms) == (Outcome.REFUSED, R.RATE_LIMIT, 7_000)


def test_items_decide() -> None:
    mixed = b'{"code":"2","msg":"","data":[{"sCode":"0"},{"sCode":"51008","sMsg":"a\\nb"}]}'
    error = error_in(200, mixed)
    assert error is not None
    assert (error.code, error.message) == ("51008", "a b")
    nameless = error_in(200, b'{"code":"1","msg":"All operations failed","data":[]}')
    assert nameless is not None
    assert nameless.outcome is Outcome.UNKNOWN
    assert error_in(200, b'{"code":"0","msg":"","data":[{"sCode":"0"}]}') is None


def test_nothing_in_the_table_claims_that_a_failure_was_done() -> None:
    assert len(TABLE) > 100
    assert all(outcome is not Outcome.DONE for outcome, _, _ in TABLE.values())
    unknown = {code for code, (outcome, _, _) in TABLE.items() if outcome is Outcome.UNKNOWN}
    assert unknown == {"50001", "50026", "50004", "51054", "51149", "51412", "63999", "64007"}
