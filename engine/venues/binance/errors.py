"""Binance's errors in venue-neutral words: one table, and the rules of HTTP statuses around it.

Whether a request happened is judged conservatively: what the documentation does not call a definite
refusal is UNKNOWN, and so is everything that is not Binance's own JSON.

    {"code":-2010,"msg":"Account has insufficient balance for requested action."}

Sources: spot errors.md (2026-07-21); USD-M "Error Code" and "HTTP Return Codes" (2026-05-27); field
reports named in NOTES.md.
"""

from __future__ import annotations

import re

import msgspec

from engine.model.answers import clean as clean
from engine.model.answers import retry_after_ms as retry_after_ms
from engine.model.answers import undecodable as undecodable
from engine.model.instrument import Product
from engine.model.orders import Outcome, RejectReason, Retry, VenueError
from engine.venues.binance.numbers import DECODE_ERRORS

Row = tuple[Outcome, RejectReason, Retry]

_DONE, _NO, _MAYBE = Outcome.DONE, Outcome.REFUSED, Outcome.UNKNOWN
_R = RejectReason
_NEVER, _READ, _RESIGN, _WAIT = Retry.NEVER, Retry.READ, Retry.RESIGN, Retry.AFTER_WAIT

COMMON: dict[int, Row] = {
    -1000: (_MAYBE, _R.OTHER, _READ),
    -1001: (_MAYBE, _R.OVERLOADED, _READ),  # USD-M's text with HTTP 503 is a refusal: see _server_error
    -1002: (_NO, _R.AUTH, _NEVER),
    -1003: (_NO, _R.RATE_LIMIT, _WAIT),
    -1004: (_MAYBE, _R.OVERLOADED, _READ),  # "Server is busy": nothing says that it did not happen
    -1006: (_MAYBE, _R.OTHER, _READ),
    -1007: (_MAYBE, _R.OTHER, _READ),
    -1008: (_MAYBE, _R.OVERLOADED, _READ),  # documented as refused; one report found the order alive
    -1010: (_NO, _R.OTHER, _NEVER),  # by text, as -2010
    -1013: (_NO, _R.MALFORMED, _NEVER),  # by the filter's name
    -1014: (_NO, _R.MALFORMED, _NEVER),
    -1015: (_NO, _R.RATE_LIMIT, _WAIT),
    -1016: (_NO, _R.NOT_TRADING, _NEVER),
    -1020: (_NO, _R.OTHER, _NEVER),
    -1021: (_NO, _R.CLOCK, _RESIGN),
    -1022: (_NO, _R.AUTH, _NEVER),
    -1034: (_NO, _R.RATE_LIMIT, _WAIT),
    -1112: (_NO, _R.OTHER, _WAIT),  # no orders on the book
    -1121: (_NO, _R.NOT_TRADING, _NEVER),
    -1125: (_NO, _R.AUTH, _WAIT),  # the listen key is gone; asking for one again makes a new one
    -2008: (_NO, _R.AUTH, _NEVER),
    -2010: (_NO, _R.OTHER, _NEVER),  # by text
    -2011: (_NO, _R.UNKNOWN_ORDER, _NEVER),
    -2013: (_NO, _R.UNKNOWN_ORDER, _READ),  # straight after a place this proves nothing: replicas lag
    -2014: (_NO, _R.AUTH, _NEVER),
    -2015: (_NO, _R.AUTH, _NEVER),
    -2016: (_NO, _R.NOT_TRADING, _NEVER),
    -2017: (_NO, _R.AUTH, _NEVER),
}
"""Codes that mean the same on both products."""

SPOT: dict[int, Row] = {
    -2021: (_MAYBE, _R.OTHER, _NEVER),  # cancel-replace half done: what happened is in ``data``
    -2022: (_NO, _R.OTHER, _NEVER),  # cancel-replace: nothing was placed
    -2026: (_NO, _R.OTHER, _NEVER),  # it existed, ended without a fill over 90 days ago, is archived
    -2035: (_DONE, _R.NO_CHANGE, _NEVER),  # already subscribed
    -2036: (_DONE, _R.NO_CHANGE, _NEVER),  # no subscription to end
    -2038: (_NO, _R.OTHER, _NEVER),
    -2039: (_NO, _R.UNKNOWN_ORDER, _NEVER),  # the two ids name different orders
    -2042: (_NO, _R.TOO_MANY_ORDERS, _NEVER),  # subscriptions of one connection used up
    -2043: (_NO, _R.OTHER, _NEVER),
}

PERP: dict[int, Row] = {
    -2018: (_NO, _R.INSUFFICIENT_FUNDS, _NEVER),
    -2019: (_NO, _R.INSUFFICIENT_FUNDS, _NEVER),
    -2020: (_NO, _R.OTHER, _WAIT),  # unable to fill
    -2021: (_NO, _R.PRICE_BAND, _NEVER),  # would trigger immediately
    -2022: (_NO, _R.REDUCE_ONLY, _NEVER),
    -2023: (_NO, _R.NOT_TRADING, _NEVER),  # in liquidation
    -2024: (_NO, _R.INSUFFICIENT_FUNDS, _NEVER),
    -2025: (_NO, _R.TOO_MANY_ORDERS, _NEVER),
    -2026: (_NO, _R.REDUCE_ONLY, _NEVER),  # order type not allowed with reduceOnly
    -2027: (_NO, _R.INSUFFICIENT_FUNDS, _NEVER),
    -2028: (_NO, _R.INSUFFICIENT_FUNDS, _NEVER),
    -4001: (_NO, _R.PRICE_FILTER, _NEVER),
    -4002: (_NO, _R.PRICE_FILTER, _NEVER),
    -4003: (_NO, _R.QTY_FILTER, _NEVER),
    -4004: (_NO, _R.QTY_FILTER, _NEVER),
    -4005: (_NO, _R.QTY_FILTER, _NEVER),
    -4013: (_NO, _R.PRICE_FILTER, _NEVER),
    -4014: (_NO, _R.PRICE_FILTER, _NEVER),
    -4015: (_NO, _R.MALFORMED, _NEVER),
    -4016: (_NO, _R.PRICE_BAND, _NEVER),
    -4021: (_NO, _R.MALFORMED, _NEVER),
    -4023: (_NO, _R.QTY_FILTER, _NEVER),
    -4024: (_NO, _R.PRICE_BAND, _NEVER),
    -4028: (_NO, _R.MALFORMED, _NEVER),
    -4046: (_DONE, _R.NO_CHANGE, _NEVER),
    -4047: (_NO, _R.OTHER, _NEVER),
    -4048: (_NO, _R.OTHER, _NEVER),
    -4056: (_NO, _R.AUTH, _NEVER),
    -4059: (_DONE, _R.NO_CHANGE, _NEVER),
    -4060: (_NO, _R.MALFORMED, _NEVER),
    -4061: (_NO, _R.MALFORMED, _NEVER),
    -4062: (_NO, _R.MALFORMED, _NEVER),
    -4067: (_NO, _R.OTHER, _NEVER),
    -4068: (_NO, _R.OTHER, _NEVER),
    -4082: (_NO, _R.MALFORMED, _NEVER),
    -4087: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4088: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4105: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4106: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4107: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4109: (_NO, _R.AUTH, _NEVER),
    -4116: (_NO, _R.DUPLICATE_CLIENT_ORDER_ID, _NEVER),  # the first try arrived: reconcile
    -4117: (_NO, _R.OTHER, _WAIT),
    -4118: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4120: (_NO, _R.MALFORMED, _NEVER),
    -4131: (_NO, _R.PRICE_BAND, _WAIT),
    -4137: (_NO, _R.MALFORMED, _NEVER),
    -4138: (_NO, _R.MALFORMED, _NEVER),
    -4140: (_NO, _R.NOT_TRADING, _NEVER),
    -4141: (_NO, _R.NOT_TRADING, _NEVER),
    -4161: (_NO, _R.OTHER, _NEVER),
    -4164: (_NO, _R.NOTIONAL_FILTER, _NEVER),
    -4171: (_DONE, _R.NO_CHANGE, _NEVER),
    -4189: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4192: (_NO, _R.NOT_TRADING, _NEVER),
    -4400: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4401: (_NO, _R.REDUCE_ONLY, _NEVER),
    -4531: (_NO, _R.OTHER, _NEVER),
    -5021: (_NO, _R.FOK_UNFILLABLE, _NEVER),
    -5022: (_NO, _R.WOULD_TAKE, _NEVER),
    -5024: (_NO, _R.OTHER, _NEVER),
    -5025: (_NO, _R.OTHER, _NEVER),
    -5026: (_NO, _R.TOO_MANY_ORDERS, _NEVER),
    -5027: (_NO, _R.NO_CHANGE, _NEVER),
    -5028: (_NO, _R.CLOCK, _RESIGN),
    -5029: (_NO, _R.OTHER, _NEVER),
    -5037: (_NO, _R.MALFORMED, _NEVER),
    -5038: (_NO, _R.MALFORMED, _NEVER),
    -5039: (_NO, _R.MALFORMED, _NEVER),
    -5040: (_NO, _R.MALFORMED, _NEVER),
    -5041: (_NO, _R.OTHER, _WAIT),  # no depth for price match
    -5043: (_NO, _R.OTHER, _WAIT),
    -5047: (_NO, _R.REDUCE_ONLY, _NEVER),
}

_TEXTS_2010: tuple[tuple[str, RejectReason], ...] = (
    ("insufficient balance", _R.INSUFFICIENT_FUNDS),
    ("immediately match and take", _R.WOULD_TAKE),
    ("duplicate order", _R.DUPLICATE_CLIENT_ORDER_ID),
    ("market is closed", _R.NOT_TRADING),
    ("not permitted for this account", _R.NOT_TRADING),
    ("action is disabled", _R.NOT_TRADING),
    ("trading is not enabled", _R.NOT_TRADING),
    ("less than lot_size", _R.QTY_FILTER),
    ("qty is zero", _R.QTY_FILTER),
    ("trigger immediately", _R.PRICE_BAND),
    ("order combination", _R.MALFORMED),
)
_FILTERS: tuple[tuple[str, RejectReason], ...] = (
    ("percent_price", _R.PRICE_BAND),
    ("price_filter", _R.PRICE_FILTER),
    ("lot_size", _R.QTY_FILTER),
    ("notional", _R.NOTIONAL_FILTER),
    ("max_num", _R.TOO_MANY_ORDERS),
    ("max_position", _R.TOO_MANY_ORDERS),
)
_PERP_503_REFUSED = ("Service Unavailable", "Internal error; unable to process your request")
_BANNED_UNTIL = re.compile(r"banned until ([0-9]{13})(?![0-9])", re.ASCII)


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
    text = clean(message)
    outcome, reason, retry = _row(product, status, code, text)
    if status >= 500 or status == 408:
        outcome, reason, retry = _server_error(product, status, text, reason)
    elif status == 418:
        outcome, reason, retry = _NO, _R.BANNED, _WAIT
    elif status == 429:
        outcome, reason, retry = _NO, _R.RATE_LIMIT, _WAIT
    match = _BANNED_UNTIL.search(text)
    return VenueError(
        str(code), text, outcome, reason, retry, retry_after_ms, int(match[1]) if match else None
    )


def _row(product: Product, status: int, code: int, text: str) -> Row:
    row = (SPOT if product is Product.SPOT else PERP).get(code) or COMMON.get(code)
    if row is not None and code in (-1010, -2010):
        return row[0], _by_text(_TEXTS_2010, text, row[1]), row[2]
    if row is not None and code == -1013:
        return row[0], _by_text(_FILTERS, text, row[1]), row[2]
    if row is not None:
        return row
    if -1199 <= code <= -1100:
        return _NO, _R.MALFORMED, _NEVER  # both documentations: 11xx, "request issues"
    if 400 <= status < 500 and status != 409:
        return _NO, _R.OTHER, _NEVER  # both: "HTTP 4XX: malformed requests; the sender's side"
    return _MAYBE, _R.OTHER, _READ


def _by_text(table: tuple[tuple[str, RejectReason], ...], text: str, otherwise: RejectReason) -> RejectReason:
    lower = text.lower()
    return next((reason for part, reason in table if part in lower), otherwise)


def _server_error(product: Product, status: int, text: str, reason: RejectReason) -> Row:
    """Judge a 5xx or 408: unknown, but for two texts of HTTP 503 that USD-M documents as failed.

    The third text, "Unknown error, please check your request or try again later.", is unknown.
    """
    if product is Product.PERP and status == 503 and text.startswith(_PERP_503_REFUSED):
        return _NO, _R.OVERLOADED, _WAIT
    return _MAYBE, reason, _READ


def decode_error(product: Product, status: int, body: bytes, retry_after: str | None = None) -> VenueError:
    """Decode the body of an HTTP answer that is not a success.

    A body that is not Binance's JSON (a proxy's page, nothing at all) proves nothing about an order:
    UNKNOWN, except for the rate limiter's statuses, which are decided before anything is processed.
    """
    wait_ms = retry_after_ms(retry_after)
    try:
        error = _DECODER.decode(body)
    except DECODE_ERRORS:
        text = clean(body[:300].decode("utf-8", "replace"))
        outcome, reason, retry = _MAYBE, _R.OTHER, _READ
        if status == 429:
            outcome, reason, retry = _NO, _R.RATE_LIMIT, _WAIT
        elif status == 418:
            outcome, reason, retry = _NO, _R.BANNED, _WAIT
        elif status == 403:  # the firewall: documented as a limit, but its page may be anybody's
            reason, retry = _R.BANNED, _WAIT
        elif status >= 500 or status == 408:
            outcome, reason, retry = _server_error(product, status, text, reason)
        return VenueError(f"http:{status}", text, outcome, reason, retry, wait_ms)
    return classify(product, status, error.code, error.msg, wait_ms)


def error_in(product: Product, status: int, body: bytes, retry_after: str | None) -> VenueError | None:
    """Return the error object that a body is, or ``None`` when it is something else."""
    try:
        error = _DECODER.decode(body)
    except DECODE_ERRORS:
        return None
    return classify(product, status, error.code, error.msg, retry_after_ms(retry_after))
