"""Binance's errors in venue-neutral words: one table, and the rules of HTTP statuses around it.

Whether a request happened is decided conservatively: what the documentation does not call a definite
refusal is UNKNOWN. Sources: spot errors.md (2026-07-21), USD-M error codes (2026-05-27), field reports
named in NOTES.md.
"""

from __future__ import annotations

import re

import msgspec

from engine.model.instrument import Product
from engine.model.orders import Outcome, RejectReason, Retry, VenueError

_Row = tuple[Outcome, RejectReason, Retry]
_NO, _MAYBE = Outcome.REFUSED, Outcome.UNKNOWN
_R = RejectReason

_COMMON: dict[int, _Row] = {
    -1000: (_MAYBE, _R.OTHER, Retry.READ),
    -1001: (_MAYBE, _R.OVERLOADED, Retry.READ),
    -1002: (_NO, _R.AUTH, Retry.NEVER),
    -1003: (_NO, _R.RATE_LIMIT, Retry.AFTER_WAIT),
    -1006: (_MAYBE, _R.OTHER, Retry.READ),
    -1007: (_MAYBE, _R.OTHER, Retry.READ),
    -1008: (_MAYBE, _R.OVERLOADED, Retry.READ),  # documented refused; one report found the order alive
    -1013: (_NO, _R.MALFORMED, Retry.NEVER),
    -1015: (_NO, _R.RATE_LIMIT, Retry.AFTER_WAIT),
    -1016: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -1020: (_NO, _R.OTHER, Retry.NEVER),
    -1021: (_NO, _R.CLOCK, Retry.RESIGN),
    -1022: (_NO, _R.AUTH, Retry.NEVER),
    -1034: (_NO, _R.RATE_LIMIT, Retry.AFTER_WAIT),
    -1111: (_NO, _R.PRICE_FILTER, Retry.NEVER),
    -1121: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -1125: (_NO, _R.AUTH, Retry.RESIGN),
    -1131: (_NO, _R.MALFORMED, Retry.NEVER),
    -2008: (_NO, _R.AUTH, Retry.NEVER),
    -2010: (_NO, _R.OTHER, Retry.NEVER),
    -2011: (_NO, _R.UNKNOWN_ORDER, Retry.NEVER),
    -2013: (_NO, _R.UNKNOWN_ORDER, Retry.READ),
    -2014: (_NO, _R.AUTH, Retry.NEVER),
    -2015: (_NO, _R.AUTH, Retry.NEVER),
    -2016: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -2017: (_NO, _R.AUTH, Retry.NEVER),
    -2018: (_NO, _R.INSUFFICIENT_FUNDS, Retry.NEVER),
    -2025: (_NO, _R.TOO_MANY_ORDERS, Retry.NEVER),
    -2026: (_NO, _R.UNKNOWN_ORDER, Retry.NEVER),
    -2035: (_NO, _R.NO_CHANGE, Retry.NEVER),
    -2038: (_NO, _R.OTHER, Retry.NEVER),
    -2039: (_NO, _R.UNKNOWN_ORDER, Retry.NEVER),
}

_SPOT: dict[int, _Row] = {
    -2021: (_MAYBE, _R.OTHER, Retry.NEVER),  # cancel-replace half done: the parts are in ``data``
    -2022: (_NO, _R.OTHER, Retry.NEVER),
}

_PERP: dict[int, _Row] = {
    -1001: (_NO, _R.OVERLOADED, Retry.AFTER_WAIT),  # with HTTP 503 and its text: documented as failed
    -2019: (_NO, _R.INSUFFICIENT_FUNDS, Retry.NEVER),
    -2020: (_NO, _R.OTHER, Retry.NEVER),
    -2021: (_NO, _R.PRICE_BAND, Retry.NEVER),
    -2022: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -2023: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -2024: (_NO, _R.INSUFFICIENT_FUNDS, Retry.NEVER),
    -2027: (_NO, _R.INSUFFICIENT_FUNDS, Retry.NEVER),
    -2028: (_NO, _R.INSUFFICIENT_FUNDS, Retry.NEVER),
    -4001: (_NO, _R.PRICE_FILTER, Retry.NEVER),
    -4002: (_NO, _R.PRICE_FILTER, Retry.NEVER),
    -4003: (_NO, _R.QTY_FILTER, Retry.NEVER),
    -4004: (_NO, _R.QTY_FILTER, Retry.NEVER),
    -4005: (_NO, _R.QTY_FILTER, Retry.NEVER),
    -4013: (_NO, _R.PRICE_FILTER, Retry.NEVER),
    -4014: (_NO, _R.PRICE_FILTER, Retry.NEVER),
    -4015: (_NO, _R.MALFORMED, Retry.NEVER),
    -4016: (_NO, _R.PRICE_BAND, Retry.NEVER),
    -4023: (_NO, _R.QTY_FILTER, Retry.NEVER),
    -4024: (_NO, _R.PRICE_BAND, Retry.NEVER),
    -4046: (_NO, _R.NO_CHANGE, Retry.NEVER),
    -4059: (_NO, _R.NO_CHANGE, Retry.NEVER),
    -4060: (_NO, _R.MALFORMED, Retry.NEVER),
    -4061: (_NO, _R.MALFORMED, Retry.NEVER),
    -4087: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -4088: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -4105: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -4106: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -4107: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -4109: (_NO, _R.AUTH, Retry.NEVER),
    -4116: (_NO, _R.DUPLICATE_CLIENT_ORDER_ID, Retry.NEVER),
    -4118: (_NO, _R.REDUCE_ONLY, Retry.NEVER),
    -4131: (_NO, _R.PRICE_BAND, Retry.NEVER),
    -4140: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -4141: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -4164: (_NO, _R.NOTIONAL_FILTER, Retry.NEVER),
    -4192: (_NO, _R.NOT_TRADING, Retry.NEVER),
    -5021: (_NO, _R.FOK_UNFILLABLE, Retry.NEVER),
    -5022: (_NO, _R.WOULD_TAKE, Retry.NEVER),
    -5027: (_NO, _R.NO_CHANGE, Retry.NEVER),
    -5028: (_NO, _R.CLOCK, Retry.RESIGN),
}

_TEXTS_2010: tuple[tuple[str, RejectReason], ...] = (
    ("insufficient balance", _R.INSUFFICIENT_FUNDS),
    ("immediately match and take", _R.WOULD_TAKE),
    ("Duplicate order", _R.DUPLICATE_CLIENT_ORDER_ID),
    ("Market is closed", _R.NOT_TRADING),
    ("not permitted for this account", _R.NOT_TRADING),
    ("action is disabled", _R.NOT_TRADING),
    ("less than LOT_SIZE", _R.QTY_FILTER),
    ("QTY is zero", _R.QTY_FILTER),
)
_FILTERS: tuple[tuple[str, RejectReason], ...] = (
    ("PERCENT_PRICE", _R.PRICE_BAND),
    ("PRICE_FILTER", _R.PRICE_FILTER),
    ("LOT_SIZE", _R.QTY_FILTER),
    ("NOTIONAL", _R.NOTIONAL_FILTER),
    ("MAX_NUM", _R.TOO_MANY_ORDERS),
    ("MAX_POSITION", _R.TOO_MANY_ORDERS),
)
_BANNED_UNTIL = re.compile(r"banned until (\d{13})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Body(msgspec.Struct, gc=False):
    code: int
    msg: str = ""


_DECODER = msgspec.json.Decoder(_Body)


def classify(
    product: Product, status: int, code: int, message: str, retry_after_ms: int | None = None
) -> VenueError:
    """Return what an error answer means.

    ``status`` is the HTTP status or that of a WebSocket API answer; ``retry_after_ms`` comes from the
    Retry-After header, or is ``retryAfter`` minus the server's time.
    """
    text = _CONTROL.sub(" ", message)[:300]
    outcome, reason, retry = _row(product, code)
    if code == -2010:
        reason = _by_text(_TEXTS_2010, text, reason)
    elif code == -1013:
        reason = _by_text(_FILTERS, text, reason)
    elif -1130 <= code <= -1100 and code not in _COMMON:
        outcome, reason, retry = _NO, _R.MALFORMED, Retry.NEVER
    if status >= 500 or status == 408:
        outcome, retry = _server_error(product, code, text)
    elif status == 418:
        outcome, reason, retry = _NO, _R.BANNED, Retry.AFTER_WAIT
    elif status == 429:
        outcome, reason, retry = _NO, _R.RATE_LIMIT, Retry.AFTER_WAIT
    return VenueError(str(code), text, outcome, reason, retry, retry_after_ms)


def _row(product: Product, code: int) -> _Row:
    own = _SPOT if product is Product.SPOT else _PERP
    # An unlisted code of a definite 4xx answer is a refusal; 5xx is judged by status below.
    return own.get(code) or _COMMON.get(code) or (_NO, _R.OTHER, Retry.NEVER)


def _by_text(table: tuple[tuple[str, RejectReason], ...], text: str, otherwise: RejectReason) -> RejectReason:
    return next((reason for part, reason in table if part.lower() in text.lower()), otherwise)


def _server_error(product: Product, code: int, text: str) -> tuple[Outcome, Retry]:
    """Judge a 5xx: unknown, but for two texts that USD-M documents as failed."""
    documented_as_failed = ("Service Unavailable", "Internal error; unable to process")
    if product is Product.PERP and code in (0, -1001) and text.startswith(documented_as_failed):
        return _NO, Retry.AFTER_WAIT
    return _MAYBE, Retry.READ


def decode_error(product: Product, status: int, body: bytes, retry_after_s: str | None = None) -> VenueError:
    """Decode the body of an HTTP answer that is not a success.

    A body that is not Binance's JSON (a proxy's HTML page, nothing at all) proves nothing about an order:
    UNKNOWN, except for statuses that are sent before anything reaches the venue's engine.
    """
    wait = int(retry_after_s) * 1000 if retry_after_s and retry_after_s.isdecimal() else None
    try:
        error = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        text = _CONTROL.sub(" ", body[:200].decode("utf-8", "replace")).strip()
        known = {429: _R.RATE_LIMIT, 418: _R.BANNED, 403: _R.BANNED}
        if status in known:
            return VenueError(f"http:{status}", text, _NO, known[status], Retry.AFTER_WAIT, wait)
        if status >= 500 and text.startswith("Service Unavailable") and product is Product.PERP:
            return VenueError(f"http:{status}", text, _NO, _R.OVERLOADED, Retry.AFTER_WAIT, wait)
        if status in (401, 404, 405, 451):
            return VenueError(f"http:{status}", text, _NO, _R.OTHER, Retry.NEVER, wait)
        return VenueError(f"http:{status}", text, _MAYBE, _R.OTHER, Retry.READ, wait)
    return classify(product, status, error.code, error.msg, wait)


def ban_ends_utc_ms(error: VenueError) -> int | None:
    """Return when a ban named in the text of an error ends, UTC milliseconds."""
    match = _BANNED_UNTIL.search(error.message)
    return int(match[1]) if match else None
