"""Acorn's errors in venue-neutral words: one table; whatever it does not name proves nothing.

{"error":{"code":"funds","text":"not enough USDT"}}
"""

from __future__ import annotations

import msgspec

from engine.model.decimals import DECODE_ERRORS
from engine.model.orders import Outcome, RejectReason, Retry, VenueError

TABLE = {
    "funds": (RejectReason.INSUFFICIENT_FUNDS, Retry.NEVER),
    "would_take": (RejectReason.WOULD_TAKE, Retry.NEVER),
    "twice": (RejectReason.DUPLICATE_CLIENT_ORDER_ID, Retry.NEVER),
    "no_order": (RejectReason.UNKNOWN_ORDER, Retry.READ),
    "too_many": (RejectReason.TOO_MANY_ORDERS, Retry.NEVER),
    "slow_down": (RejectReason.RATE_LIMIT, Retry.AFTER_WAIT),
    "clock": (RejectReason.CLOCK, Retry.RESIGN),
    "key": (RejectReason.AUTH, Retry.NEVER),
    "closed": (RejectReason.NOT_TRADING, Retry.NEVER),
    "malformed": (RejectReason.MALFORMED, Retry.NEVER),
}
"""Every code is a definite refusal: nothing was done."""

SLOW_DOWN_MS = 1_000


class _Error(msgspec.Struct):
    code: str
    text: str = ""


class _Body(msgspec.Struct):
    error: _Error


_BODY = msgspec.json.Decoder(_Body)


def decode_error(status: int, body: bytes) -> VenueError:
    """Return what an error answer means; one that is not Acorn's own proves nothing."""
    try:
        error = _BODY.decode(body).error
    except DECODE_ERRORS:
        return unknown(f"http:{status}", body[:200].decode("utf-8", "replace"))
    if error.code not in TABLE:
        return unknown(error.code[:40], error.text)
    reason, retry = TABLE[error.code]
    wait = SLOW_DOWN_MS if reason is RejectReason.RATE_LIMIT else None
    return VenueError(error.code, _clean(error.text), Outcome.REFUSED, reason, retry, wait)


def unknown(code: str, text: str) -> VenueError:
    """Return the value for an answer that proves nothing."""
    return VenueError(code, _clean(text), Outcome.UNKNOWN, RejectReason.OTHER, Retry.READ)


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:300])
