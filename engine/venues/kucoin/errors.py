"""KuCoin's errors in venue-neutral words: one table, what differs by host, and the rules around them.

    {"code":"400100","msg":"order_not_exist_or_not_allow_to_cancel"}
    {"code":"300003","msg":"Balance insufficient."}
    {"code":"429000","msg":"Too many requests in a short period of time, please retry later"}

The code decides, whatever the HTTP status: business refusals mostly come with 200. Codes mean different
things on the two hosts (``200003``). A time-out of the venue's own proves nothing about an order, nor does
anything that is not KuCoin's JSON, nor a code that nobody documents.

Source: KuCoin API docs, "Error Code" (spot, futures), seen 2026-08; error bodies captured 2026-09; codes of
neighbouring endpoints as ccxt 4.5.90 lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from engine.model.answers import clean as clean
from engine.model.answers import decoded
from engine.model.answers import retry_after_ms as retry_after_ms
from engine.model.answers import undecodable as undecodable
from engine.model.instrument import Product
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.venues.kucoin.numbers import DECODE_ERRORS

Row = tuple[Outcome, RejectReason, Retry]

OK = "200000"
_NO, _MAYBE = Outcome.REFUSED, Outcome.UNKNOWN
_R = RejectReason
_NEVER, _READ, _RESIGN, _WAIT = Retry.NEVER, Retry.READ, Retry.RESIGN, Retry.AFTER_WAIT


def _rows(codes: str, row: Row) -> dict[str, Row]:
    return dict.fromkeys(codes.split(), row)


TABLE: dict[str, Row] = {
    # the limits: nothing was done
    **_rows("429 429000 200002", (_NO, _R.RATE_LIMIT, _WAIT)),
    "1015": (_NO, _R.BANNED, _WAIT),  # the firewall's own
    # the venue is down or slow: a read may be repeated, an order may have happened
    **_rows("500 503 500000 408000 503000", (_MAYBE, _R.OVERLOADED, _READ)),
    # the clock: certainly not accepted
    "400002": (_NO, _R.CLOCK, _RESIGN),
    # over already, or never there
    **_rows("100001 100004 126043 130103 130108", (_NO, _R.UNKNOWN_ORDER, _READ)),
    # a client id that was used: perhaps by an earlier attempt of ours, so ask
    **_rows("126033 126044", (_MAYBE, _R.DUPLICATE_CLIENT_ORDER_ID, _READ)),
    **_rows(
        "200004 210021 230003 260100 300003 330008 126013 130105 130203 130301",
        (_NO, _R.INSUFFICIENT_FUNDS, _NEVER),
    ),
    **_rows("600100 600101 600203", (_NO, _R.QTY_FILTER, _NEVER)),
    **_rows("400330 400370 400760 300011 300012", (_NO, _R.PRICE_BAND, _NEVER)),
    "300009": (_NO, _R.REDUCE_ONLY, _NEVER),
    **_rows("300005 330005 330012 400350", (_NO, _R.OTHER, _NEVER)),  # risk limit, margin and position mode
    "300002": (_NO, _R.NOT_TRADING, _WAIT),
    **_rows("400200 400600 900001 404000", (_NO, _R.NOT_TRADING, _NEVER)),
    # the account or the key
    **_rows(
        "401 403 400001 400003 400004 400005 400006 400007 400008 400009 400011 400012 400303 400401 400500"
        " 411100 112010 101030",
        (_NO, _R.AUTH, _NEVER),
    ),
    # what we sent was not understood
    **_rows(
        "400 405 406 415 103000 210014 300000 400000 400100 400400 401000 415000 900014 4001002",
        (_NO, _R.MALFORMED, _NEVER),
    ),
    # a wrong path, or an order that is not there: neither may pass for the other
    "404": (_MAYBE, _R.OTHER, _READ),
}

_BY_PRODUCT: dict[Product, dict[str, Row]] = {
    Product.SPOT: {"200003": (_NO, _R.TOO_MANY_ORDERS, _NEVER)},
    Product.PERP: {"200003": (_NO, _R.NOT_TRADING, _NEVER)},
}

_UNKNOWN_ORDER: Row = (_NO, _R.UNKNOWN_ORDER, _READ)
_DUPLICATE: Row = (_MAYBE, _R.DUPLICATE_CLIENT_ORDER_ID, _READ)
_TEXTS: tuple[tuple[re.Pattern[str], Row], ...] = (
    (
        re.compile(r"order[ _]?(?:does[ _])?(?:is[ _])?not[ _]?(?:exist|found)|not_allow_to_cancel"),
        _UNKNOWN_ORDER,
    ),
    (re.compile(r"clientoid|duplicate"), _DUPLICATE),
    (re.compile(r"post[ _]?only"), (_NO, _R.WOULD_TAKE, _NEVER)),
    (re.compile(r"balance|insufficient"), (_NO, _R.INSUFFICIENT_FUNDS, _NEVER)),
    (re.compile(r"funds"), (_NO, _R.NOTIONAL_FILTER, _NEVER)),
    (re.compile(r"size|quantity"), (_NO, _R.QTY_FILTER, _NEVER)),
    (re.compile(r"price"), (_NO, _R.PRICE_FILTER, _NEVER)),
)
"""What the codes of several meanings say, tried in this order on lower-case text."""
_BY_TEXT = frozenset({"400100", "600100", "600101", "600203", "300000", "210014", "103000"})

_SLOW = re.compile(r"time[ -]?out|timed out|try again later")
"""Told with codes that mean something else ("can't cancel, system timeout"): nothing is proven then."""
_DECIDED_BEFORE = frozenset({_R.RATE_LIMIT, _R.BANNED, _R.CLOCK, _R.AUTH})
"""What the gateway says without having looked at the order."""

_WAITS_MS = {"429": 1_000, "429000": 1_000, "200002": 10_000, "1015": 30_000}
"""How long to wait: the documents' word for 200002 and 1015. A used-up pool (429000) says itself when it is
refilled, in a header that the request budget reads; 429000 without it is overload, not our own doing, and may
be followed by another attempt at once."""

_ORDER_CHECKS = re.compile(r"[346][0-9]{5}", re.ASCII)
"""Codes that a gateway or a risk check gives before an order exists, listed above or not."""


class _Body(msgspec.Struct, gc=False):
    code: str | int
    msg: str | None = ""
    success: bool | None = None


_BODY = msgspec.json.Decoder(_Body)


def classify(
    product: Product, status: int, code: str, message: str, wait_ms: int | None = None
) -> VenueError:
    """Return what an error means; ``status`` is the HTTP status, 200 for WebSocket answers."""
    text = clean(message)
    outcome, reason, retry = _row(product, status, code, text)
    if wait_ms is None and reason in (_R.RATE_LIMIT, _R.BANNED):
        wait_ms = _WAITS_MS.get(code)
    return VenueError(code[:40], text, outcome, reason, retry, wait_ms)


def _row(product: Product, status: int, code: str, text: str) -> Row:
    row = _BY_PRODUCT[product].get(code) or TABLE.get(code)
    lower = text.lower()
    if _SLOW.search(lower) and (row is None or row[1] not in _DECIDED_BEFORE):
        return _MAYBE, _R.OVERLOADED, _READ
    if code in _BY_TEXT or row is None:
        told = next((each for pattern, each in _TEXTS if pattern.search(lower)), None)
        if row is not None:
            row = told or row
        elif told in (_UNKNOWN_ORDER, _DUPLICATE) and told is not None:
            row = told
        elif _ORDER_CHECKS.fullmatch(code):
            row = told or (_NO, _R.OTHER, _NEVER)
        else:
            row = (_MAYBE, _R.OTHER, _READ)
    if status >= 500 and row[0] is _NO and row[1] is not _R.RATE_LIMIT:
        return _MAYBE, _R.OVERLOADED, _READ  # a gateway's word about an order that may be behind it
    return row


def decode_error(product: Product, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
    """Decode an answer that is not a success, whatever its status; never raises.

    A body that is not KuCoin's JSON proves nothing about an order: UNKNOWN, except for HTTP 429, which is
    decided before anything is processed.
    """
    return error_in(product, status, body, retry_after) or _foreign(status, body, retry_after)


def _foreign(status: int, body: bytes, retry_after: str | None) -> VenueError:
    text = clean(body[:300].decode("utf-8", "replace"))
    wait_ms = retry_after_ms(retry_after)
    outcome, reason, retry = _MAYBE, _R.OTHER, _READ
    if status == 429:
        outcome, reason, retry = _NO, _R.RATE_LIMIT, _WAIT
        if "1015" in text and wait_ms is None:
            wait_ms = _WAITS_MS["1015"]
    elif status == 403:  # a firewall: perhaps a ban, but its page may be anybody's
        reason, retry = _R.BANNED, _WAIT
    elif status >= 500 or status == 408:
        reason = _R.OVERLOADED
    return VenueError(f"http:{status}", text, outcome, reason, retry, wait_ms)


def error_in(product: Product, status: int, body: bytes, retry_after: str | None = None) -> VenueError | None:
    """Return the error that a body states, or ``None`` when it states none."""
    try:
        answer = _BODY.decode(body)
    except DECODE_ERRORS:
        return None
    code, text = str(answer.code), answer.msg or ""
    if code == OK and answer.success is not False:
        return None
    if code == OK:  # says both
        return VenueError(code, clean(text), _MAYBE, _R.OTHER, _READ)
    return classify(product, status, code, text, retry_after_ms(retry_after))


def refusal_in(
    product: Product, status: int, body: bytes, retry_after: str | None = None
) -> VenueError | None:
    """Return what an answer refuses with, by its status or in its body; ``None`` where it does not."""
    if status != 200:
        return decode_error(product, status, body, retry_after)
    return error_in(product, status, body, retry_after)


class _Data(msgspec.Struct, gc=False):
    data: msgspec.Raw = msgspec.Raw(b"null")


_DATA = msgspec.json.Decoder(_Data)
_Value = TypeVar("_Value")


def decoded_data(
    product: Product,
    status: int,
    body: bytes,
    retry_after: str | None,
    decode: Callable[[msgspec.Raw], _Value],
) -> _Value | VenueError:
    """Return what ``decode`` makes of an answer's data, or why there is none; never raises."""
    refusal = refusal_in(product, status, body, retry_after)
    return decoded(status, body, refusal, lambda whole: decode(_DATA.decode(whole).data))
