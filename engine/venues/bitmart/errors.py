"""BitMart's errors in venue-neutral words: one table, and the rules of HTTP statuses around it.

    {"code":30005,"message":"Header X-BM-SIGN is wrong","trace":"...","data":{}}
    {"trace":"...","msg":"Not found","code":30000}                 (the gateway's: ``msg``)
    {"event":"subscribe","errorCode":"90004","errorMessage":"Invalid channel param"}

``code`` 1000 is success. Some errors come with HTTP 200 (30016, 30019, 30030, 42000, 70xxx), most with 4xx,
and whatever stands before the venue answers with HTML. A code that the table does not know proves nothing
where HTTP says 200, 400 or 5xx: 400 is also the status of a system error (40012). Source: BitMart API docs,
spot and futures v2, "Error Code", "WebSocket - Error code", seen 2026-11.
"""

from __future__ import annotations

import msgspec

from engine.model.answers import clean as clean
from engine.model.answers import retry_after_ms as retry_after_ms
from engine.model.answers import undecodable as undecodable
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.venues.bitmart.endpoints import BAN_PAUSE_MS, RATE_PAUSE_MS
from engine.venues.bitmart.numbers import DECODE_ERRORS

Row = tuple[Outcome, RejectReason, Retry]

OK = "1000"
_NO, _MAYBE = Outcome.REFUSED, Outcome.UNKNOWN
_R = RejectReason
_NEVER, _READ, _RESIGN, _WAIT = Retry.NEVER, Retry.READ, Retry.RESIGN, Retry.AFTER_WAIT


def _rows(codes: str, row: Row) -> dict[str, Row]:
    """Return the row for each code of ``"40016-40026 42000"``."""
    found: dict[str, Row] = {}
    for word in codes.split():
        first, _, last = word.partition("-")
        found.update(dict.fromkeys((str(code) for code in range(int(first), int(last or first) + 1)), row))
    return found


TABLE: dict[str, Row] = {
    # the key, its signature, its rights
    **_rows("30001-30006 30008 30010 30011 30012 30019 53000-53010", (_NO, _R.AUTH, _NEVER)),
    "30007": (_NO, _R.CLOCK, _RESIGN),
    # limits: nothing was done
    "30013": (_NO, _R.RATE_LIMIT, _WAIT),
    "30017": (_NO, _R.BANNED, _WAIT),
    # the venue is down or slow: a read may be repeated, an order may have happened
    **_rows("30014 50022 59002-59009 59011 70003", (_MAYBE, _R.OVERLOADED, _READ)),
    "40012": (_MAYBE, _R.OTHER, _READ),  # "system error", or a conflict of states
    "30016": (_NO, _R.NOT_TRADING, _WAIT),  # maintenance
    # what we sent was not understood
    **_rows("30000 30018 30030 30031", (_NO, _R.MALFORMED, _NEVER)),
    **_rows("50000-50004 50010-50018 50021 50028 50037-50039", (_NO, _R.MALFORMED, _NEVER)),
    **_rows("52000-52004 70000-70002 70004-71005", (_NO, _R.MALFORMED, _NEVER)),
    **_rows("40029 40030 40038 40040-40045 40048 40049", (_NO, _R.MALFORMED, _NEVER)),
    # sizes, prices, notionals: by text
    **_rows("50006-50009 50025-50027 51009 51010 51013-51015", (_NO, _R.QTY_FILTER, _NEVER)),
    **_rows("50029 51011 51012", (_NO, _R.NOTIONAL_FILTER, _NEVER)),
    # money
    **_rows("50020 51004 59010 40027 42000", (_NO, _R.INSUFFICIENT_FUNDS, _NEVER)),
    # nothing to take, or something to take for a maker
    **_rows("50034 50035", (_NO, _R.WOULD_TAKE, _NEVER)),
    # over already, or never there: cancel races, and queries of unknown orders
    **_rows("50005 50030-50032 50036 40035-40037", (_NO, _R.UNKNOWN_ORDER, _READ)),
    # an earlier attempt may live: only a query can tell
    **_rows("50042 40050", (_MAYBE, _R.DUPLICATE_CLIENT_ORDER_ID, _READ)),
    **_rows("50023 50040 51000 40014 40015 40034", (_NO, _R.NOT_TRADING, _NEVER)),
    # no position to close, one of the other side, one that is being liquidated
    **_rows("40016-40026", (_NO, _R.REDUCE_ONLY, _NEVER)),
    # the WebSocket's
    **_rows("90001-90004 90008 90009 92001", (_NO, _R.MALFORMED, _NEVER)),
    **_rows("90005-90007 94001 94002", (_NO, _R.RATE_LIMIT, _WAIT)),
    **_rows("91001-91003 91006 91010 91011 91021 91023", (_NO, _R.AUTH, _NEVER)),
    "91004": (_NO, _R.AUTH, _NEVER),  # the key has expired
    "91005": (_NO, _R.NO_CHANGE, _NEVER),  # logged in already
    "91022": (_NO, _R.CLOCK, _RESIGN),
    "95000": (_MAYBE, _R.OVERLOADED, _READ),
}

_TEXTS: tuple[tuple[str, RejectReason], ...] = (
    ("notional", _R.NOTIONAL_FILTER),
    ("min_buy_amount", _R.NOTIONAL_FILTER),
    ("min_sell_amount", _R.NOTIONAL_FILTER),
    ("price", _R.PRICE_FILTER),
    ("size", _R.QTY_FILTER),
    ("amount", _R.QTY_FILTER),
    ("quantity", _R.QTY_FILTER),
    ("volume", _R.QTY_FILTER),
)
_BY_TEXT = frozenset(
    _rows("50006-50009 50025-50027 51009 51010 51013-51015 40040-40045", (_NO, _R.OTHER, _NEVER))
)
"""Codes whose sentence, and only that, tells which of the order's numbers is wrong."""

_KEPT_AT_5XX = frozenset(("30013", "30017", "30018"))
"""Refusals even with a status of 5xx: 30018 (the body is no JSON) is documented with 503."""

_PAUSES_MS = {"30013": RATE_PAUSE_MS, "30017": BAN_PAUSE_MS, "30016": BAN_PAUSE_MS}


class _Body(msgspec.Struct, gc=False):
    code: int | str
    message: str | None = None
    msg: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def classify(status: int, code: str, message: str, retry_after_ms: int | None = None) -> VenueError:
    """Return what an error code means; ``status`` is the HTTP status, 200 for WebSocket messages."""
    text = clean(message)
    outcome, reason, retry = _row(status, code, text)
    if retry_after_ms is None:
        retry_after_ms = _PAUSES_MS.get(code)
    return VenueError(code[:40], text, outcome, reason, retry, retry_after_ms)


def _row(status: int, code: str, text: str) -> Row:
    row = TABLE.get(code)
    if row is not None:
        if code in _BY_TEXT:
            lower = text.lower()
            row = row[0], next((reason for word, reason in _TEXTS if word in lower), row[1]), row[2]
        if status >= 500 and row[0] is _NO and code not in _KEPT_AT_5XX:
            return _MAYBE, row[1], _READ  # the code says refused, the status that something broke
        return row
    if status == 429:
        return _NO, _R.RATE_LIMIT, _WAIT
    if status == 418:
        return _NO, _R.BANNED, _WAIT
    if status >= 500 or status == 408:
        return _MAYBE, _R.OVERLOADED, _READ
    if status in (401, 403):
        return _NO, _R.AUTH, _NEVER
    if status in (404, 405, 410):
        return _NO, _R.MALFORMED, _NEVER
    return _MAYBE, _R.OTHER, _READ


def decode_error(status: int, body: bytes, retry_after: str | None = None) -> VenueError:
    """Decode an answer that is not a success, whatever its status; never raises.

    A body that is not BitMart's JSON proves nothing about an order: UNKNOWN, except for HTTP 429 and 418,
    which are decided before anything is processed.
    """
    return error_in(status, body, retry_after) or _foreign(status, body, retry_after)


def _foreign(status: int, body: bytes, retry_after: str | None) -> VenueError:
    text = clean(body[:300].decode("utf-8", "replace"))
    outcome, reason, retry = _MAYBE, _R.OTHER, _READ
    wait_ms = retry_after_ms(retry_after)
    if status == 429:
        outcome, reason, retry, wait_ms = _NO, _R.RATE_LIMIT, _WAIT, wait_ms or RATE_PAUSE_MS
    elif status == 418:
        outcome, reason, retry, wait_ms = _NO, _R.BANNED, _WAIT, wait_ms or BAN_PAUSE_MS
    elif status == 403:  # a firewall (error 1010 and the like): perhaps a ban, but its page may be anybody's
        reason, retry = _R.BANNED, _WAIT
    elif status >= 500 or status == 408:
        reason = _R.OVERLOADED
    return VenueError(f"http:{status}", text, outcome, reason, retry, wait_ms)


def error_in(status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return the error that a body states, or ``None`` when it states none."""
    try:
        answer = _BODY.decode(body)
    except DECODE_ERRORS:
        return None
    code = str(answer.code)
    if code == OK:
        return None
    return classify(status, code, answer.message or answer.msg or "", retry_after_ms(retry_after))


def refusal_in(status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return what an answer refuses with, by its status or in its body; ``None`` where it does not."""
    if status != 200:
        return decode_error(status, body, retry_after)
    return error_in(status, body, retry_after)
