"""The error table: what each class of code means for an order, for a read, and for the account."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.venues.kucoin.errors import TABLE, classify, decode_error, error_in

R = RejectReason
SPOT, PERP = Product.SPOT, Product.PERP


def told(product: Product, code: str, message: str = "", status: int = 200) -> VenueError:
    body = f'{{"code":"{code}","msg":"{message}"}}'.encode()
    return decode_error(product, status, body)


@pytest.mark.parametrize("product", list(Product))
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("500000", ""),
        ("408000", "network timeout"),
        ("500", ""),
        ("300000", "can't cancel, system timeout"),
        ("400100", "Request timed out"),
        ("100001", "order service: timeout"),
        ("600100", "please try again later"),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 500, 503])
def test_the_venues_own_timeouts_prove_nothing(product: Product, code: str, text: str, status: int) -> None:
    error = told(product, code, text, status)
    assert error.outcome is Outcome.UNKNOWN
    assert error.retry is Retry.READ


@pytest.mark.parametrize(
    ("product", "code", "text", "reason", "retry"),
    [
        (SPOT, "429000", "Too many requests in a short period of time", R.RATE_LIMIT, Retry.AFTER_WAIT),
        (PERP, "200002", "Your requests are too frequent", R.RATE_LIMIT, Retry.AFTER_WAIT),
        (SPOT, "1015", "", R.BANNED, Retry.AFTER_WAIT),
        (SPOT, "400002", "Invalid KC-API-TIMESTAMP", R.CLOCK, Retry.RESIGN),
        (SPOT, "400100", "order_not_exist_or_not_allow_to_cancel", R.UNKNOWN_ORDER, Retry.READ),
        (SPOT, "400100", "The order does not exist.", R.UNKNOWN_ORDER, Retry.READ),
        (PERP, "100001", "error.getOrder.orderNotExist", R.UNKNOWN_ORDER, Retry.READ),
        (PERP, "100004", "Order is in not cancelable state", R.UNKNOWN_ORDER, Retry.READ),
        (SPOT, "200004", "Balance insufficient!", R.INSUFFICIENT_FUNDS, Retry.NEVER),
        (PERP, "300003", "Balance insufficient.", R.INSUFFICIENT_FUNDS, Retry.NEVER),
        (PERP, "330008", "", R.INSUFFICIENT_FUNDS, Retry.NEVER),
        (SPOT, "200003", "Too many open orders", R.TOO_MANY_ORDERS, Retry.NEVER),
        (PERP, "200003", "Invalid symbol.", R.NOT_TRADING, Retry.NEVER),
        (SPOT, "600100", "Order size below the minimum requirement.", R.QTY_FILTER, Retry.NEVER),
        (SPOT, "600101", "The order funds should more then 0.1 USDT.", R.NOTIONAL_FILTER, Retry.NEVER),
        (SPOT, "400100", "Order size increment invalid.", R.QTY_FILTER, Retry.NEVER),
        (SPOT, "400100", "Order price increment invalid.", R.PRICE_FILTER, Retry.NEVER),
        (SPOT, "400370", "Max. price: 70000", R.PRICE_BAND, Retry.NEVER),
        (SPOT, "400760", "", R.PRICE_BAND, Retry.NEVER),
        (PERP, "300011", "", R.PRICE_BAND, Retry.NEVER),
        (PERP, "300009", "No open positions to close.", R.REDUCE_ONLY, Retry.NEVER),
        (PERP, "300005", "", R.OTHER, Retry.NEVER),
        (PERP, "330005", "margin mode", R.OTHER, Retry.NEVER),
        (PERP, "330012", "position mode", R.OTHER, Retry.NEVER),
        (PERP, "300002", "", R.NOT_TRADING, Retry.AFTER_WAIT),
        (SPOT, "900001", "", R.NOT_TRADING, Retry.NEVER),
        (PERP, "404000", "", R.NOT_TRADING, Retry.NEVER),
        (SPOT, "400005", "Invalid KC-API-SIGN", R.AUTH, Retry.NEVER),
        (SPOT, "411100", "", R.AUTH, Retry.NEVER),
        (SPOT, "400500", "", R.AUTH, Retry.NEVER),
        (PERP, "112010", "Invalid Unified Account user.", R.AUTH, Retry.NEVER),
        (SPOT, "400100", "Parameter side error", R.MALFORMED, Retry.NEVER),
        (SPOT, "4001002", "", R.MALFORMED, Retry.NEVER),
        (SPOT, "400100", "post only order would take", R.WOULD_TAKE, Retry.NEVER),
        (PERP, "300099", "something new", R.OTHER, Retry.NEVER),
    ],
)
def test_refusals(product: Product, code: str, text: str, reason: RejectReason, retry: Retry) -> None:
    error = told(product, code, text)
    assert (error.code, error.outcome, error.reason, error.retry) == (code, Outcome.REFUSED, reason, retry)


@pytest.mark.parametrize("code", ["126033", "126044", "400100", "600203", "300000", "999"])
def test_a_duplicate_may_be_our_own_earlier_attempt(code: str) -> None:
    error = told(SPOT, code, "The clientOid is duplicate")
    assert error.outcome is Outcome.UNKNOWN
    assert (error.reason, error.retry) == (R.DUPLICATE_CLIENT_ORDER_ID, Retry.READ)


def test_waits() -> None:
    assert told(SPOT, "200002").retry_after_ms == 10_000
    assert told(SPOT, "1015").retry_after_ms == 30_000
    # A used-up pool is told by headers, which the budget reads; overload allows another attempt at once.
    assert told(SPOT, "429000", status=429).retry_after_ms == 1_000
    assert decode_error(SPOT, 429, b'{"code":"429000","msg":""}', "7").retry_after_ms == 7_000
    assert decode_error(SPOT, 429, b"<html> error 1015", None).retry_after_ms == 30_000


def test_unlisted_codes_and_gateways() -> None:
    assert classify(SPOT, 200, "777777", "").outcome is Outcome.UNKNOWN
    assert classify(SPOT, 200, "12", "").outcome is Outcome.UNKNOWN
    assert classify(SPOT, 502, "200004", "").outcome is Outcome.UNKNOWN  # refused, yet something broke
    assert classify(SPOT, 404, "404", "Not Found").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 500, 502, 503, 504])
@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"msg":1}', b"\xff", b'{"code":null}'])
def test_foreign_bodies_prove_nothing(status: int, text: bytes) -> None:
    assert decode_error(SPOT, status, text).outcome is Outcome.UNKNOWN


def test_success_and_what_only_looks_like_it() -> None:
    assert error_in(SPOT, 200, b'{"code":"200000","data":{}}') is None
    both = error_in(SPOT, 200, b'{"code":"200000","success":false,"msg":"a\\nb"}')
    assert both is not None
    assert (both.outcome, both.message) == (Outcome.UNKNOWN, "a b")


def test_nothing_in_the_table_claims_that_a_failure_was_done() -> None:
    assert len(TABLE) > 60
    assert all(outcome is not Outcome.DONE for outcome, _, _ in TABLE.values())
    unknown = {code for code, (outcome, _, _) in TABLE.items() if outcome is Outcome.UNKNOWN}
    assert unknown == {"500", "503", "500000", "408000", "503000", "126033", "126044", "404"}
