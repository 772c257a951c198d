"""The error table, code by code as documented, and the statuses around it."""

from __future__ import annotations

import pytest

from engine.model.instrument import Product
from engine.model.orders import Outcome, RejectReason, Retry
from engine.venues.binance.errors import COMMON, PERP, SPOT, classify, decode_error, error_in, retry_after_ms

R = RejectReason
BOTH, S, P = (Product.SPOT, Product.PERP), (Product.SPOT,), (Product.PERP,)
BAD_REQUEST, NEVER, READ, RESIGN, WAIT = 400, Retry.NEVER, Retry.READ, Retry.RESIGN, Retry.AFTER_WAIT

# (products, code, text, reason, retry): everything here is documented as a definite refusal.
REFUSED: list[tuple[tuple[Product, ...], int, str, RejectReason, Retry]] = [
    (BOTH, -1002, "You are not authorized to execute this request.", R.AUTH, NEVER),
    (BOTH, -1003, "Too many requests queued.", R.RATE_LIMIT, WAIT),
    (S, -1010, "Account has insufficient balance for requested action.", R.INSUFFICIENT_FUNDS, NEVER),
    (S, -1013, "Filter failure: LOT_SIZE", R.QTY_FILTER, NEVER),
    (S, -1013, "Filter failure: MARKET_LOT_SIZE", R.QTY_FILTER, NEVER),
    (S, -1013, "Filter failure: PRICE_FILTER", R.PRICE_FILTER, NEVER),
    (S, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE", R.PRICE_BAND, NEVER),
    (S, -1013, "Filter failure: NOTIONAL", R.NOTIONAL_FILTER, NEVER),
    (S, -1013, "Filter failure: MIN_NOTIONAL", R.NOTIONAL_FILTER, NEVER),
    (S, -1013, "Filter failure: MAX_NUM_ORDERS", R.TOO_MANY_ORDERS, NEVER),
    (S, -1013, "Filter failure: MAX_POSITION", R.TOO_MANY_ORDERS, NEVER),
    (S, -1013, "Filter failure: SOMETHING_NEW", R.MALFORMED, NEVER),
    (BOTH, -1014, "Unsupported order combination.", R.MALFORMED, NEVER),
    (BOTH, -1015, "Too many new orders; current limit is 50 orders per 10 SECOND.", R.RATE_LIMIT, WAIT),
    (BOTH, -1016, "This service is no longer available.", R.NOT_TRADING, NEVER),
    (BOTH, -1020, "This operation is not supported.", R.OTHER, NEVER),
    (BOTH, -1021, "Timestamp for this request is outside of the recvWindow.", R.CLOCK, RESIGN),
    (BOTH, -1022, "Signature for this request is not valid.", R.AUTH, NEVER),
    (BOTH, -1100, "Illegal characters found in parameter 'x'.", R.MALFORMED, NEVER),
    (BOTH, -1101, "Duplicate values for a parameter detected.", R.MALFORMED, NEVER),
    (BOTH, -1102, "Mandatory parameter 'symbol' was not sent.", R.MALFORMED, NEVER),
    (BOTH, -1104, "Not all sent parameters were read.", R.MALFORMED, NEVER),
    (BOTH, -1105, "Parameter 'price' was empty.", R.MALFORMED, NEVER),
    (BOTH, -1106, "Parameter 'timeInForce' sent when not required.", R.MALFORMED, NEVER),
    (BOTH, -1111, "Precision is over the maximum defined for this asset.", R.MALFORMED, NEVER),
    (BOTH, -1112, "No orders on book for symbol.", R.OTHER, WAIT),
    (BOTH, -1114, "TimeInForce parameter sent when not required.", R.MALFORMED, NEVER),
    (BOTH, -1115, "Invalid timeInForce.", R.MALFORMED, NEVER),
    (BOTH, -1116, "Invalid orderType.", R.MALFORMED, NEVER),
    (BOTH, -1117, "Invalid side.", R.MALFORMED, NEVER),
    (BOTH, -1121, "Invalid symbol.", R.NOT_TRADING, NEVER),
    (P, -1125, "This listenKey does not exist.", R.AUTH, WAIT),
    (BOTH, -1128, "Combination of optional parameters invalid.", R.MALFORMED, NEVER),
    (BOTH, -1130, "Data sent for parameter 'limit' is not valid.", R.MALFORMED, NEVER),
    (S, -1131, "recvWindow must be less than 60000.", R.MALFORMED, NEVER),
    (S, -1194, "Invalid value for time unit.", R.MALFORMED, NEVER),
    (BOTH, -2008, "Invalid Api-Key ID.", R.AUTH, NEVER),
    (S, -2010, "Account has insufficient balance for requested action.", R.INSUFFICIENT_FUNDS, NEVER),
    (S, -2010, "Order would immediately match and take.", R.WOULD_TAKE, NEVER),
    (S, -2010, "Duplicate order sent.", R.DUPLICATE_CLIENT_ORDER_ID, NEVER),
    (S, -2010, "Market is closed.", R.NOT_TRADING, NEVER),
    (S, -2010, "Order would trigger immediately.", R.PRICE_BAND, NEVER),
    (S, -2010, "Price * QTY is zero or less.", R.QTY_FILTER, NEVER),
    (S, -2010, "This symbol is not permitted for this account.", R.NOT_TRADING, NEVER),
    (S, -2010, "This action is disabled on this account.", R.NOT_TRADING, NEVER),
    (S, -2010, "Unsupported order combination", R.MALFORMED, NEVER),
    (S, -2010, "Order book liquidity is less than LOT_SIZE filter minimum quantity.", R.QTY_FILTER, NEVER),
    (S, -2010, "Rest API trading is not enabled.", R.NOT_TRADING, NEVER),
    (S, -2010, "A text of tomorrow.", R.OTHER, NEVER),
    (BOTH, -2011, "Unknown order sent.", R.UNKNOWN_ORDER, NEVER),
    (BOTH, -2013, "Order does not exist.", R.UNKNOWN_ORDER, READ),
    (BOTH, -2014, "API-key format invalid.", R.AUTH, NEVER),
    (BOTH, -2015, "Invalid API-key, IP, or permissions for action.", R.AUTH, NEVER),
    (BOTH, -2016, "No trading window could be found for the symbol.", R.NOT_TRADING, NEVER),
    (BOTH, -2017, "API Keys are locked on this account.", R.AUTH, NEVER),
    (P, -2018, "Balance is insufficient.", R.INSUFFICIENT_FUNDS, NEVER),
    (P, -2019, "Margin is insufficient.", R.INSUFFICIENT_FUNDS, NEVER),
    (P, -2020, "Unable to fill.", R.OTHER, WAIT),
    (P, -2021, "Order would immediately trigger.", R.PRICE_BAND, NEVER),
    (S, -2022, "Order cancel-replace failed.", R.OTHER, NEVER),
    (P, -2022, "ReduceOnly Order is rejected.", R.REDUCE_ONLY, NEVER),
    (P, -2023, "User in liquidation mode now.", R.NOT_TRADING, NEVER),
    (P, -2024, "Position is not sufficient.", R.INSUFFICIENT_FUNDS, NEVER),
    (P, -2025, "Reach max open order limit.", R.TOO_MANY_ORDERS, NEVER),
    (S, -2026, "Order was canceled or expired over 90 days ago and has been archived.", R.OTHER, NEVER),
    (P, -2026, "This OrderType is not supported when reduceOnly.", R.REDUCE_ONLY, NEVER),
    (P, -2027, "Exceeded the maximum allowable position at current leverage.", R.INSUFFICIENT_FUNDS, NEVER),
    (P, -2028, "Leverage is smaller than permitted.", R.INSUFFICIENT_FUNDS, NEVER),
    (S, -2038, "Order amend (quantity increase) is not supported.", R.OTHER, NEVER),
    (S, -2039, "Client order ID is not correct for this order ID.", R.UNKNOWN_ORDER, NEVER),
    (P, -4001, "Price less than 0.", R.PRICE_FILTER, NEVER),
    (P, -4002, "Price greater than max price.", R.PRICE_FILTER, NEVER),
    (P, -4003, "Quantity less than zero.", R.QTY_FILTER, NEVER),
    (P, -4004, "Quantity less than min quantity.", R.QTY_FILTER, NEVER),
    (P, -4005, "Quantity greater than max quantity.", R.QTY_FILTER, NEVER),
    (P, -4013, "Price less than min price.", R.PRICE_FILTER, NEVER),
    (P, -4014, "Price not increased by tick size.", R.PRICE_FILTER, NEVER),
    (P, -4015, "Client order id is not valid.", R.MALFORMED, NEVER),
    (P, -4016, "Price is higher than mark price multiplier cap.", R.PRICE_BAND, NEVER),
    (P, -4021, "3 is not valid depth limit", R.MALFORMED, NEVER),
    (P, -4023, "Qty not increased by step size.", R.QTY_FILTER, NEVER),
    (P, -4024, "Price is lower than mark price multiplier floor.", R.PRICE_BAND, NEVER),
    (P, -4060, "Invalid position side.", R.MALFORMED, NEVER),
    (P, -4061, "Order's position side does not match user's setting.", R.MALFORMED, NEVER),
    (P, -4062, "Invalid or improper reduceOnly value.", R.MALFORMED, NEVER),
    (P, -4087, "User can only place reduce only order", R.REDUCE_ONLY, NEVER),
    (P, -4088, "User can not place order currently", R.REDUCE_ONLY, NEVER),
    (P, -4109, "This account is inactive.", R.AUTH, NEVER),
    (P, -4116, "ClientOrderId is duplicated.", R.DUPLICATE_CLIENT_ORDER_ID, NEVER),
    (P, -4117, "stop order in triggering", R.OTHER, WAIT),
    (P, -4118, "ReduceOnly Order Failed. Please check your existing position", R.REDUCE_ONLY, NEVER),
    (P, -4120, "Order type not supported for this endpoint.", R.MALFORMED, NEVER),
    (P, -4131, "The best price does not meet the PERCENT_PRICE filter limit", R.PRICE_BAND, WAIT),
    (P, -4140, "Invalid symbol status for opening position", R.NOT_TRADING, NEVER),
    (P, -4141, "Symbol is closed", R.NOT_TRADING, NEVER),
    (P, -4164, "Order's notional must be no smaller than 50", R.NOTIONAL_FILTER, NEVER),
    (P, -4192, "Trade forbidden due to Cooling-off Period.", R.NOT_TRADING, NEVER),
    (P, -4400, "Futures Trading Quantitative Rules violated, only reduceOnly allowed", R.REDUCE_ONLY, NEVER),
    (P, -5021, "Due to the order could not be filled immediately, the FOK order has been rejected.",
     R.FOK_UNFILLABLE, NEVER),
    (P, -5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.",
     R.WOULD_TAKE, NEVER),
    (P, -5027, "No need to modify the order.", R.NO_CHANGE, NEVER),
    (P, -5028, "Timestamp for this request is outside of the ME recvWindow.", R.CLOCK, RESIGN),
    (BOTH, -9999, "A code of tomorrow.", R.OTHER, NEVER),
]  # fmt: skip


@pytest.mark.parametrize(("products", "code", "text", "reason", "retry"), REFUSED)
def test_definite_refusals(
    products: tuple[Product, ...], code: int, text: str, reason: RejectReason, retry: Retry
) -> None:
    for product in products:
        error = classify(product, BAD_REQUEST, code, text)
        assert (error.outcome, error.reason, error.retry) == (Outcome.REFUSED, reason, retry)
        assert (error.code, error.message) == (str(code), text)


@pytest.mark.parametrize("product", BOTH)
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("code", [-1000, -1001, -1004, -1006, -1007, -1008])
def test_codes_that_say_nothing_about_the_order(product: Product, status: int, code: int) -> None:
    error = classify(product, status, code, "Timeout waiting for response from backend server.")
    assert (error.outcome, error.retry) == (Outcome.UNKNOWN, Retry.READ)


def test_spot_cancel_replace_half_done_is_not_a_refusal() -> None:
    for status in (400, 409):
        assert classify(Product.SPOT, status, -2021, "partially failed.").outcome is Outcome.UNKNOWN
    assert classify(Product.PERP, 400, -2021, "would trigger").outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("product", "code"), [(Product.SPOT, -2035), (Product.PERP, -4046), (Product.PERP, -4059)]
)
def test_already_so_is_done(product: Product, code: int) -> None:
    error = classify(product, 400, code, "No need to change.")
    assert (error.outcome, error.reason) == (Outcome.DONE, R.NO_CHANGE)


def test_an_unlisted_code_without_a_client_error_status_proves_nothing() -> None:
    for status in (200, 302, 409, 500, 502, 599):
        assert classify(Product.SPOT, status, -9999, "?").outcome is Outcome.UNKNOWN


UNKNOWN_503 = "Unknown error, please check your request or try again later."
INTERNAL_503 = "Internal error; unable to process your request. Please try again."


@pytest.mark.parametrize(
    ("product", "status", "text", "outcome"),
    [
        (Product.PERP, 503, UNKNOWN_503, Outcome.UNKNOWN),
        (Product.PERP, 503, "Service Unavailable.", Outcome.REFUSED),
        (Product.PERP, 503, INTERNAL_503, Outcome.REFUSED),
        (Product.PERP, 500, INTERNAL_503, Outcome.UNKNOWN),
        (Product.PERP, 504, "Service Unavailable.", Outcome.UNKNOWN),
        (Product.PERP, 408, "Timeout", Outcome.UNKNOWN),
        (Product.SPOT, 503, UNKNOWN_503, Outcome.UNKNOWN),
        (Product.SPOT, 503, "Service Unavailable.", Outcome.UNKNOWN),
        (Product.SPOT, 503, INTERNAL_503, Outcome.UNKNOWN),
        (Product.SPOT, 502, "Bad gateway", Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("is_json", [True, False])
def test_the_three_texts_of_503(
    product: Product, status: int, text: str, outcome: Outcome, is_json: bool
) -> None:
    body = f'{{"code":-1001,"msg":"{text}"}}' if is_json else text
    error = decode_error(product, status, body.encode())
    assert error.outcome is outcome
    assert error.message == text
    assert error.retry is (Retry.AFTER_WAIT if outcome is Outcome.REFUSED else Retry.READ)


def test_a_5xx_outweighs_a_code_that_would_be_a_refusal() -> None:
    error = decode_error(Product.SPOT, 500, b'{"code":-2010,"msg":"Duplicate order sent."}')
    assert (error.outcome, error.reason) == (Outcome.UNKNOWN, R.DUPLICATE_CLIENT_ORDER_ID)


HTML = b"<!DOCTYPE html><html><head><title>ERROR: The request could not be satisfied</title></head></html>"


@pytest.mark.parametrize("product", BOTH)
@pytest.mark.parametrize("body", [b"", HTML, b"\xff\xfe", b"{", b"[]", b"null", b'{"msg":"no code"}'])
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 451, 500, 502, 503, 504])
def test_a_body_that_is_not_the_venues_proves_nothing(product: Product, body: bytes, status: int) -> None:
    error = decode_error(product, status, body)
    assert (error.outcome, error.code) == (Outcome.UNKNOWN, f"http:{status}")
    assert error.retry is not Retry.NEVER


def test_the_firewall_is_a_ban() -> None:
    error = decode_error(Product.SPOT, 403, HTML)
    assert (error.reason, error.retry) == (R.BANNED, Retry.AFTER_WAIT)


@pytest.mark.parametrize(("status", "reason"), [(429, R.RATE_LIMIT), (418, R.BANNED)])
@pytest.mark.parametrize("body", [b'{"code":-1003,"msg":"Too much request weight used."}', HTML, b""])
def test_rate_limits_happen_before_anything_else(status: int, reason: RejectReason, body: bytes) -> None:
    error = decode_error(Product.SPOT, status, body, "17")
    assert (error.outcome, error.reason, error.retry) == (Outcome.REFUSED, reason, Retry.AFTER_WAIT)
    assert error.retry_after_ms == 17_000


def test_the_end_of_a_ban_is_read_from_its_text() -> None:
    text = "Way too much request weight used; IP banned until 1659146400000. Please use WebSocket Streams."
    error = classify(Product.PERP, 418, -1003, text)
    assert (error.banned_until_utc_ms, error.retry_after_ms) == (1659146400000, None)
    assert classify(Product.PERP, 418, -1003, "banned until 16591464000001").banned_until_utc_ms is None


@pytest.mark.parametrize(
    ("text", "wait_ms"),
    [(None, None), ("0", 0), ("5", 5_000), (" 5 ", 5_000), ("", None), ("-1", None), ("1.5", None),
     ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("99999999999", None), ("٣", None)],
)  # fmt: skip
def test_retry_after_is_whole_seconds_or_nothing(text: str | None, wait_ms: int | None) -> None:
    assert retry_after_ms(text) == wait_ms


def test_texts_are_fit_for_a_log() -> None:
    error = decode_error(Product.SPOT, 400, b'{"code":-1100,"msg":"a\\u0000\\nb\\u001b[31m\\u2028"}')
    assert error.message == "a  b [31m"
    long = decode_error(Product.SPOT, 400, b'{"code":-1100,"msg":"' + b"x" * 5_000 + b'"}')
    assert len(long.message) == 300


def test_an_error_object_is_recognised_whatever_its_status() -> None:
    error = error_in(Product.PERP, 200, b'{"code":-2011,"msg":"Unknown order sent."}', None)
    assert error is not None
    assert (error.outcome, error.reason) == (Outcome.REFUSED, R.UNKNOWN_ORDER)
    assert error_in(Product.PERP, 200, b'{"orderId":1}', None) is None


def test_product_tables_only_hold_what_differs() -> None:
    assert not set(COMMON) & (set(SPOT) | set(PERP))
