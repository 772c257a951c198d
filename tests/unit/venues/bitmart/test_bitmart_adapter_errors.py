"""The error table: every documented code, and what HTTP statuses make of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.model.orders import Outcome, RejectReason, Retry
from engine.venues.bitmart.errors import TABLE, classify, decode_error, error_in, retry_after_ms

NOTES_OF_CODES = """
30000 30001 30002 30003 30004 30005 30006 30007 30008 30010 30011 30012 30013 30014 30016 30017 30018 30019
30030 30031 40012 40014 40015 40027 40029 40030 40034 40035 40036 40037 40048 40049 40050 42000 50020 50021
50022 50023 50028 50029 50030 50031 50032 50034 50035 50036 50037 50038 50039 50040 50042 51000 51004 59010
90001 90002 90003 90004 90005 90006 90007 90008 90009 91001 91002 91003 91004 91005 91006 91010 91011 91021
91022 91023 92001 94001 94002 95000
"""
RANGES = ((40016, 40026), (40040, 40045), (50000, 50018), (50025, 50027), (51009, 51015), (52000, 52004),
          (53000, 53010), (59002, 59011), (70000, 71005))  # fmt: skip


def test_every_documented_code_has_a_row() -> None:
    codes = set(NOTES_OF_CODES.split())
    for first, last in RANGES:
        codes |= {str(code) for code in range(first, last + 1)}
    assert codes <= set(TABLE)
    assert all(re.fullmatch(r"[0-9]{5}", code) for code in TABLE)


@pytest.mark.parametrize(
    ("status", "code", "text", "outcome", "reason", "retry"),
    [
        (401, "30005", "Header X-BM-SIGN is wrong", Outcome.REFUSED, RejectReason.AUTH, Retry.NEVER),
        (401, "30007", "timestamp", Outcome.REFUSED, RejectReason.CLOCK, Retry.RESIGN),
        (429, "30013", "too many", Outcome.REFUSED, RejectReason.RATE_LIMIT, Retry.AFTER_WAIT),
        (418, "30017", "blocked", Outcome.REFUSED, RejectReason.BANNED, Retry.AFTER_WAIT),
        (503, "30014", "unavailable", Outcome.UNKNOWN, RejectReason.OVERLOADED, Retry.READ),
        (200, "30016", "maintenance", Outcome.REFUSED, RejectReason.NOT_TRADING, Retry.AFTER_WAIT),
        (503, "30018", "not JSON", Outcome.REFUSED, RejectReason.MALFORMED, Retry.NEVER),
        (200, "42000", "balance", Outcome.REFUSED, RejectReason.INSUFFICIENT_FUNDS, Retry.NEVER),
        (400, "50020", "balance", Outcome.REFUSED, RejectReason.INSUFFICIENT_FUNDS, Retry.NEVER),
        (500, "50022", "service", Outcome.UNKNOWN, RejectReason.OVERLOADED, Retry.READ),
        (500, "59010", "balance", Outcome.UNKNOWN, RejectReason.INSUFFICIENT_FUNDS, Retry.READ),
        (400, "40012", "system error", Outcome.UNKNOWN, RejectReason.OTHER, Retry.READ),
        (400, "40035", "not exist", Outcome.REFUSED, RejectReason.UNKNOWN_ORDER, Retry.READ),
        (400, "50005", "not found", Outcome.REFUSED, RejectReason.UNKNOWN_ORDER, Retry.READ),
        (400, "50042", "duplicate", Outcome.UNKNOWN, RejectReason.DUPLICATE_CLIENT_ORDER_ID, Retry.READ),
        (403, "40050", "duplicate", Outcome.UNKNOWN, RejectReason.DUPLICATE_CLIENT_ORDER_ID, Retry.READ),
        (400, "50034", "no depth", Outcome.REFUSED, RejectReason.WOULD_TAKE, Retry.NEVER),
        (400, "40034", "Symbol Not Exist", Outcome.REFUSED, RejectReason.NOT_TRADING, Retry.NEVER),
        (400, "51011", "min", Outcome.REFUSED, RejectReason.NOTIONAL_FILTER, Retry.NEVER),
        (400, "50006", "Price has many decimals", Outcome.REFUSED, RejectReason.PRICE_FILTER, Retry.NEVER),
        (400, "50007", "Size is too small", Outcome.REFUSED, RejectReason.QTY_FILTER, Retry.NEVER),
        (400, "50008", "notional below min", Outcome.REFUSED, RejectReason.NOTIONAL_FILTER, Retry.NEVER),
        (400, "40040", "leverage", Outcome.REFUSED, RejectReason.MALFORMED, Retry.NEVER),
        (400, "40041", "invalid price", Outcome.REFUSED, RejectReason.PRICE_FILTER, Retry.NEVER),
        (400, "40020", "no position", Outcome.REFUSED, RejectReason.REDUCE_ONLY, Retry.NEVER),
        (500, "50020", "a known refusal with a broken status", Outcome.UNKNOWN,
         RejectReason.INSUFFICIENT_FUNDS, Retry.READ),
        (200, "12345", "never heard of", Outcome.UNKNOWN, RejectReason.OTHER, Retry.READ),
        (400, "12345", "never heard of", Outcome.UNKNOWN, RejectReason.OTHER, Retry.READ),
        (403, "12345", "never heard of", Outcome.REFUSED, RejectReason.AUTH, Retry.NEVER),
        (404, "12345", "never heard of", Outcome.REFUSED, RejectReason.MALFORMED, Retry.NEVER),
        (429, "12345", "never heard of", Outcome.REFUSED, RejectReason.RATE_LIMIT, Retry.AFTER_WAIT),
        (418, "12345", "never heard of", Outcome.REFUSED, RejectReason.BANNED, Retry.AFTER_WAIT),
        (502, "12345", "never heard of", Outcome.UNKNOWN, RejectReason.OVERLOADED, Retry.READ),
    ],
)  # fmt: skip
def test_rows(
    status: int, code: str, text: str, outcome: Outcome, reason: RejectReason, retry: Retry
) -> None:
    for key in ("message", "msg"):  # the venue's own, and its gateway's
        for value in (int(code), code):
            error = decode_error(status, json.dumps({"code": value, key: text, "trace": "t"}).encode())
            assert (error.code, error.message) == (code, text)
            assert (error.outcome, error.reason, error.retry) == (outcome, reason, retry)


def test_pauses() -> None:
    assert classify(429, "30013", "").retry_after_ms == 2_000
    assert classify(418, "30017", "").retry_after_ms == 120_000
    assert classify(400, "50005", "").retry_after_ms is None
    assert decode_error(429, b'{"code":30013}', "7").retry_after_ms == 7_000
    assert decode_error(429, b"slow down").retry_after_ms == 2_000
    assert (retry_after_ms("3"), retry_after_ms("Wed, 21"), retry_after_ms(None)) == (3_000, None, None)


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (403, Outcome.UNKNOWN, RejectReason.BANNED),
        (503, Outcome.UNKNOWN, RejectReason.OVERLOADED),
        (520, Outcome.UNKNOWN, RejectReason.OVERLOADED),
        (408, Outcome.UNKNOWN, RejectReason.OVERLOADED),
        (400, Outcome.UNKNOWN, RejectReason.OTHER),
        (200, Outcome.UNKNOWN, RejectReason.OTHER),
        (429, Outcome.REFUSED, RejectReason.RATE_LIMIT),
        (418, Outcome.REFUSED, RejectReason.BANNED),
    ],
)
def test_pages_of_whatever_stands_before_the_venue(
    status: int, outcome: Outcome, reason: RejectReason
) -> None:
    page = b"<html>\r\n<title>error code: 1010</title>\x00" + b"x" * 1_000
    error = decode_error(status, page)
    assert (error.code, error.outcome, error.reason) == (f"http:{status}", outcome, reason)
    assert error.message.isprintable()
    assert len(error.message) <= 300


def test_success_is_no_error() -> None:
    for body in (b'{"code":1000,"message":"Ok"}', b'{"code":"1000"}', b"<html>", b"[1]", b"{}"):
        assert error_in(200, body) is None


def test_no_table_row_stands_in_the_notes_only() -> None:
    """NOTES.md sends its reader to the table: the document must not name codes that the table lacks."""
    notes = Path(__file__).resolve().parents[4] / "engine" / "venues" / "bitmart" / "NOTES.md"
    for code in re.findall(r"\b[3-9][0-9]{4}\b", notes.read_text()):
        assert code in TABLE
