"""Bybit's errors in venue-neutral words: one table, and the rules of HTTP statuses around it.

Failures come with HTTP 200 and a ``retCode`` that is not 0, over REST and on the order-entry connection:

    {"retCode":110007,"retMsg":"ab not enough for new order","result":{},"retExtInfo":{},"time":1672211918471}
    {"reqId":"p1","retCode":110003,"retMsg":"price is invalid","op":"order.create","data":{},"header":{..}}

HTTP statuses speak of requests that were not looked at: 403 is the address's ban (or a forbidden region), 429
the system's protection. Texts are no contract; only codes that stand for several things are told apart by
them.
A time-out of the venue's own proves nothing about an order, nor does a code that is not listed here, nor
anything that is not Bybit's JSON.
Source: Bybit v5 API docs, "Error Codes", "Rate Limit", "Websocket Trade Guideline", seen 2026-07.
"""

from __future__ import annotations

import msgspec

from engine.model.answers import clean as clean
from engine.model.answers import retry_after_ms as retry_after_ms
from engine.model.answers import undecodable as undecodable
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.venues.bybit.endpoints import IP_BAN_MS, RATE_WAIT_MS
from engine.venues.bybit.numbers import DECODE_ERRORS

Row = tuple[Outcome, RejectReason, Retry]

_NO, _MAYBE = Outcome.REFUSED, Outcome.UNKNOWN
_R = RejectReason
_NEVER, _READ, _RESIGN, _WAIT = Retry.NEVER, Retry.READ, Retry.RESIGN, Retry.AFTER_WAIT


def _rows(codes: str, row: Row) -> dict[int, Row]:
    return dict.fromkeys(map(int, codes.split()), row)


TABLE: dict[int, Row] = {
    # the limits: nothing was done
    **_rows("429 10006 10429 20003 170005 170222", (_NO, _R.RATE_LIMIT, _WAIT)),
    10403: (_NO, _R.BANNED, _WAIT),
    # the venue is down or slow: a read may be repeated, an order may have happened
    **_rows("10000 10016 10019 170001 170007 170032 170146 170147 170310", (_MAYBE, _R.OVERLOADED, _READ)),
    # the order is being worked on this moment: ask, and try again
    **_rows("40004 110079 170144 170191 170212", (_MAYBE, _R.OVERLOADED, _READ)),
    10002: (_NO, _R.CLOCK, _RESIGN),
    # an id was seen before: the first request of it may live
    **_rows("10014 20006 110072 170141", (_MAYBE, _R.DUPLICATE_CLIENT_ORDER_ID, _READ)),
    # over already, or never there: cancel races, and queries of unknown orders
    **_rows("110001 110008 110010 170139 170142 170143 170190 170213", (_NO, _R.UNKNOWN_ORDER, _READ)),
    **_rows("30208 30209 110003 110120 110121 170132 170133", (_NO, _R.PRICE_BAND, _NEVER)),
    **_rows("170193 170194 170371 170372", (_NO, _R.PRICE_BAND, _NEVER)),
    170134: (_NO, _R.PRICE_FILTER, _NEVER),  # more decimals than the tick has
    **_rows("110064 170136 170137 170148 170313 170341 170381 170382", (_NO, _R.QTY_FILTER, _NEVER)),
    **_rows("110094 170124 170140", (_NO, _R.NOTIONAL_FILTER, _NEVER)),
    **_rows("110004 110006 110007 110012 110044 110045 110051", (_NO, _R.INSUFFICIENT_FUNDS, _NEVER)),
    **_rows("110052 110053 170033 170131", (_NO, _R.INSUFFICIENT_FUNDS, _NEVER)),
    **_rows("110009 110020 170810", (_NO, _R.TOO_MANY_ORDERS, _NEVER)),
    **_rows("110017 110021 110022 110023 110034", (_NO, _R.REDUCE_ONLY, _NEVER)),
    **_rows("110066 110074 110103 170121 170151 170157", (_NO, _R.NOT_TRADING, _NEVER)),
    110063: (_NO, _R.NOT_TRADING, _WAIT),  # funding is being settled
    # the account, the key, its address or its site
    **_rows("10003 10004 10005 10007 10008 10009 10010 10024 10027 10028 10029", (_NO, _R.AUTH, _NEVER)),
    **_rows("33004 110018 110067 110123 110125", (_NO, _R.AUTH, _NEVER)),
    # what we sent was not understood; 10001 says what by its text
    10001: (_NO, _R.MALFORMED, _NEVER),
    # it is so already
    **_rows("20001 34040 110025 110043", (_NO, _R.NO_CHANGE, _NEVER)),
}

_TEXTS: dict[int, tuple[tuple[str, RejectReason], ...]] = {
    10001: (
        ("position idx", _R.OTHER),  # hedge mode: the account check says what to do
        ("notional", _R.NOTIONAL_FILTER),
        ("qty", _R.QTY_FILTER),
        ("quantity", _R.QTY_FILTER),
        ("price", _R.PRICE_FILTER),
    ),
    110017: (("truncated", _R.QTY_FILTER), ("qty", _R.QTY_FILTER)),
}
"""Codes that stand for several refusals, told apart by a word of the venue's text; the first that fits."""

_BAN_TEXT = "access too frequent"


class _Body(msgspec.Struct, gc=False):
    retCode: int  # noqa: N815 - the wire's names
    retMsg: str = ""  # noqa: N815


_BODY = msgspec.json.Decoder(_Body)


def classify(status: int, code: int, message: str, retry_after_ms: int | None = None) -> VenueError:
    """Return what an error means.

    Args:
        status: the HTTP status, 200 for WebSocket answers.
        code: ``retCode``, not 0.
        retry_after_ms: how long the answer itself says to wait, if it does.
    """
    text = clean(message)
    outcome, reason, retry = _row(status, code, text)
    if retry_after_ms is None and reason is _R.RATE_LIMIT:
        retry_after_ms = RATE_WAIT_MS
    elif retry_after_ms is None and reason is _R.BANNED:
        retry_after_ms = IP_BAN_MS
    return VenueError(str(code)[:40], text, outcome, reason, retry, retry_after_ms)


def _row(status: int, code: int, text: str) -> Row:
    if status == 403:
        return _banned(text)
    row = TABLE.get(code)
    if row is not None:
        outcome, reason, retry = row
        words = text.lower()
        reason = next((each for word, each in _TEXTS.get(code, ()) if word in words), reason)
        if status >= 500 and outcome is _NO and reason is not _R.RATE_LIMIT:
            return _MAYBE, reason, _READ  # the code says refused, the status that something broke
        return outcome, reason, retry
    return _STATUS_ROWS.get(status) or (_MAYBE, _R.OVERLOADED if status >= 500 else _R.OTHER, _READ)


_STATUS_ROWS: dict[int, Row] = {
    401: (_NO, _R.AUTH, _NEVER),
    404: (_NO, _R.MALFORMED, _NEVER),
    408: (_MAYBE, _R.OVERLOADED, _READ),
    429: (_NO, _R.RATE_LIMIT, _WAIT),
}
"""What a status says where the code says nothing. 400 is not here: it proves nothing about an order."""


def _banned(text: str) -> Row:
    """Return what 403 says: the address is banned for a while. Its page may be anybody's firewall's."""
    return (_NO if _BAN_TEXT in text.lower() else _MAYBE), _R.BANNED, _WAIT


def decode_error(status: int, body: bytes, retry_after: str | None = None) -> VenueError:
    """Decode an answer that is not a success, whatever its status; never raises.

    A body that is not Bybit's JSON proves nothing about an order: UNKNOWN, except for HTTP 429, which is
    decided before anything is processed.
    """
    return error_in(status, body, retry_after) or _foreign(status, body, retry_after)


def _foreign(status: int, body: bytes, retry_after: str | None) -> VenueError:
    text = clean(body[:300].decode("utf-8", "replace"))
    wait_ms = retry_after_ms(retry_after)
    outcome, reason, retry = _MAYBE, _R.OTHER, _READ
    if status == 429:
        outcome, reason, retry = _NO, _R.RATE_LIMIT, _WAIT
        wait_ms = wait_ms or RATE_WAIT_MS
    elif status == 403:
        outcome, reason, retry = _banned(text)
        wait_ms = wait_ms or IP_BAN_MS
    elif status >= 500 or status == 408:
        reason = _R.OVERLOADED
    return VenueError(f"http:{status}", text, outcome, reason, retry, wait_ms)


def error_in(status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return the error that a body states, or ``None`` when it states none."""
    try:
        answer = _BODY.decode(body)
    except DECODE_ERRORS:
        return None
    if answer.retCode == 0:
        return None
    return classify(status, answer.retCode, answer.retMsg, retry_after_ms(retry_after))


def not_found() -> VenueError:
    """Return what an empty list says to a query: the venue knows no such order."""
    return VenueError("empty", "no such order", _NO, _R.UNKNOWN_ORDER, _READ)


def refusal_in(status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return what an answer refuses with, by its status or in its body; ``None`` where it does not."""
    if status != 200:
        return decode_error(status, body, retry_after)
    return error_in(status, body, retry_after)
