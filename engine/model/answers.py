"""Answers to requests, as far as venues are alike: texts fit for a log, waits, bytes that prove nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from engine.model.decimals import DECODE_ERRORS
from engine.model.errors import ProtocolViolation
from engine.model.orders import Outcome, RejectReason, Retry, VenueError

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SECONDS = re.compile(r"[0-9]{1,7}", re.ASCII)
_Value = TypeVar("_Value")


def clean(text: str) -> str:
    """Return a venue's text fit for a log: control characters replaced, cut to 300 characters."""
    return _UNPRINTABLE.sub(" ", text[:300]).strip()


def retry_after_ms(text: str | None) -> int | None:
    """Return a Retry-After header (whole seconds) in milliseconds; ``None`` for any other form."""
    return int(text) * 1000 if text is not None and _SECONDS.fullmatch(text.strip()) else None


def undecodable(status: int, why: object) -> VenueError:
    """Return the value for an answer that cannot be understood: nothing is proven."""
    text = clean(f"undecodable answer: {why}")
    return VenueError(f"http:{status}", text, Outcome.UNKNOWN, RejectReason.OTHER, Retry.READ)


def decoded(
    status: int, body: bytes, refusal: VenueError | None, decode: Callable[[bytes], _Value]
) -> _Value | VenueError:
    """Return what ``decode`` makes of an answer, or why there is none; never raises.

    Args:
        status: the HTTP status.
        body: the whole answer.
        refusal: what the venue refused with; ``None`` where it did not.
        decode: may raise ProtocolViolation, and what msgspec raises for bytes that it cannot use.
    """
    if refusal is not None:
        return refusal
    try:
        return decode(body)
    except (*DECODE_ERRORS, ProtocolViolation) as why:
        return undecodable(status, why)
