"""The error table: what each class of code means for an order, for a read, and for the account."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.model.orders import Outcome, RejectReason, Retry
from engine.venues.bybit.errors import TABLE, classify, decode_error, error_in, undecodable

R = RejectReason


def body(code: int, message: str = "text") -> bytes:
    return f'{{"retCode":{code},"retMsg":"{message}","result":{{}},"retExtInfo":{{}},"time":1}}'.encode()


@pytest.mark.parametrize("code", [10000, 10016, 10019, 170001, 170007, 170032, 170146, 170147, 170310])
@pytest.mark.parametrize("status", [200, 500, 503])
def test_the_venues_own_timeouts_prove_nothing(code: int, status: int) -> None:
    error = decode_error(status, body(code))
    assert (error.outcome, error.reason, error.retry) == (Outcome.UNKNOWN, R.OVERLOADED, Retry.READ)


@pytest.mark.parametrize("code", [40004, 110079, 170144, 170191, 170212])
def test_an_order_that_is_being_worked_on_is_asked_for(code: int) -> None:
    assert classify(200, code, "").outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("code", [10014, 20006, 110072, 170141])
def test_of_a_duplicate_the_first_may_live(code: int) -> None:
    error = classify(200, code, "")
    assert (error.outcome, error.reason) == (Outcome.UNKNOWN, R.DUPLICATE_CLIENT_ORDER_ID)


@pytest.mark.parametrize(
    ("codes", "reason", "retry"),
    [
        ("429 10006 10429 20003 170005 170222", R.RATE_LIMIT, Retry.AFTER_WAIT),
        ("10403", R.BANNED, Retry.AFTER_WAIT),
        ("10002", R.CLOCK, Retry.RESIGN),
        ("110001 110008 110010 170139 170142 170143 170190 170213", R.UNKNOWN_ORDER, Retry.READ),
        ("110003 30208 30209 110120 110121 170132 170133", R.PRICE_BAND, Retry.NEVER),
        ("170193 170194 170371 170372", R.PRICE_BAND, Retry.NEVER),
        ("170134", R.PRICE_FILTER, Retry.NEVER),
        ("170136 170137 170148 170381 170382 170341 110064 170313", R.QTY_FILTER, Retry.NEVER),
        ("110094 170124 170140", R.NOTIONAL_FILTER, Retry.NEVER),
        ("110004 110006 110007 110012 110044 110045 110051 110052", R.INSUFFICIENT_FUNDS, Retry.NEVER),
        ("110053 170033 170131", R.INSUFFICIENT_FUNDS, Retry.NEVER),
        ("110020 170810 110009", R.TOO_MANY_ORDERS, Retry.NEVER),
        ("110017 110021 110022 110023 110034", R.REDUCE_ONLY, Retry.NEVER),
        ("110066 110074 110103 170121 170151 170157", R.NOT_TRADING, Retry.NEVER),
        ("110063", R.NOT_TRADING, Retry.AFTER_WAIT),
        ("10003 10004 10005 10007 10008 10009 10010 10024 10027 10028 10029", R.AUTH, Retry.NEVER),
        ("33004 110018 110067 110123 110125", R.AUTH, Retry.NEVER),
        ("10001", R.MALFORMED, Retry.NEVER),
        ("110043 110025 34040 20001", R.NO_CHANGE, Retry.NEVER),
    ],
)
def test_refusals(codes: str, reason: RejectReason, retry: Retry) -> None:
    for code in codes.split():
        error = decode_error(200, body(int(code)))
        assert (error.code, error.outcome, error.reason, error.retry) == (
            code,
            Outcome.REFUSED,
            reason,
            retry,
        )


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (10001, "position idx not match position mode", R.OTHER),
        (10001, "The number of contracts exceeds maximum limit allowed: qty too large", R.QTY_FILTER),
        (10001, "Qty invalid", R.QTY_FILTER),
        (10001, "params error: price invalid", R.PRICE_FILTER),
        (10001, "params error: symbol invalid", R.MALFORMED),
        (110017, "reduce-only rule not satisfied", R.REDUCE_ONLY),
        (110017, "orderQty will be truncated to zero.", R.QTY_FILTER),
    ],
)
def test_codes_that_stand_for_several_things(code: int, text: str, reason: RejectReason) -> None:
    error = classify(200, code, text)
    assert (error.outcome, error.reason) == (Outcome.REFUSED, reason)


def test_how_long_to_wait() -> None:
    assert classify(200, 10006, "Too many visits!").retry_after_ms == 1_000
    assert classify(200, 10006, "Too many visits!", 333).retry_after_ms == 333
    assert classify(200, 10403, "").retry_after_ms == 600_000
    assert classify(200, 110007, "").retry_after_ms is None
    assert decode_error(429, body(10006), "7").retry_after_ms == 7_000
    assert decode_error(429, b"<html>", "Fri, 01 Jan").retry_after_ms == 1_000


def test_bans() -> None:
    banned = decode_error(403, b"access too frequent, please wait")
    assert (banned.outcome, banned.reason, banned.retry_after_ms) == (Outcome.REFUSED, R.BANNED, 600_000)
    anybody = decode_error(403, b"<html>Forbidden</html>", "900")
    assert (anybody.outcome, anybody.reason, anybody.retry_after_ms) == (Outcome.UNKNOWN, R.BANNED, 900_000)
    told = decode_error(403, body(10006, "Access too frequent"))
    assert (told.outcome, told.reason, told.retry_after_ms) == (Outcome.REFUSED, R.BANNED, 600_000)


def test_statuses_that_speak_for_themselves() -> None:
    assert classify(401, 99_999, "").reason is R.AUTH
    assert classify(404, 99_999, "").reason is R.MALFORMED
    assert classify(429, 99_999, "").reason is R.RATE_LIMIT
    for status in (200, 400, 408, 500, 502):
        assert classify(status, 99_999, "").outcome is Outcome.UNKNOWN
    assert classify(500, 110007, "").outcome is Outcome.UNKNOWN  # refused, yet something broke
    assert classify(500, 10006, "").outcome is Outcome.REFUSED


@pytest.mark.parametrize("status", [400, 401, 404, 408, 500, 502, 503, 504])
@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"retCode":"1"}', b"\xff"])
def test_foreign_bodies_prove_nothing(status: int, text: bytes) -> None:
    assert decode_error(status, text).outcome is Outcome.UNKNOWN


def test_the_limiter_decides_before_anything_is_done() -> None:
    error = decode_error(429, b"<html>", "7")
    assert (error.outcome, error.reason, error.retry_after_ms) == (Outcome.REFUSED, R.RATE_LIMIT, 7_000)


def test_texts_are_fit_for_a_log() -> None:
    error = error_in(200, body(110003, "a\\nb" + "x" * 400))
    assert error is not None
    assert error.message.startswith("a b")
    assert len(error.message) == 300
    assert error_in(200, body(0)) is None
    assert undecodable(200, "a\x1bb").message == "undecodable answer: a b"


def test_nothing_in_the_table_claims_that_a_failure_was_done() -> None:
    assert len(TABLE) > 90
    assert all(outcome is not Outcome.DONE for outcome, _, _ in TABLE.values())


def test_every_code_of_the_protocol_paper_is_in_the_table(shared_fixtures: Path) -> None:
    paper = (shared_fixtures.parent / "venues" / "bybit.md").read_text()
    section = paper[paper.index("### 6.3") : paper.index("### 6.4")]
    spans = {(int(low), int(high)) for low, high in re.findall(r"\b(\d{5,6}) to (\d{5,6})\b", section)}
    named = {int(code) for code in re.findall(r"\b\d{5,6}\b", section)}
    named |= {code for low, high in spans for code in range(low, high + 1)}
    assert len(named) > 80
    # 10008 to 10010 and the like are given as spans; nothing of them may be missing.
    assert named - set(TABLE) == set()
