"""Numbers as BitMart writes them: text or JSON integers by message, contracts on futures, ms, s or ISO times.

Inside the engine a quantity is base units. One contract is ``contract_size`` base units; the conversion is
exact in both directions or refused. Identifiers are integers beyond 2**53 in some answers and text in others:
both are read to text, none through a float.

Source: BitMart API docs, spot and futures v2, seen 2026-11; recorded futures frames of 2025 and 2026.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

from engine.model.amounts import contract_parts as contract_parts
from engine.model.amounts import contracts_in, millis_ns, whole_contracts_out
from engine.model.amounts import number as number
from engine.model.amounts import price_in as price_in
from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import Millis as Millis
from engine.model.decimals import decimal as decimal
from engine.model.decimals import plain as plain
from engine.model.errors import ProtocolViolation

qty_in = contracts_in
"""A wire size, contracts or base units on spot, as scaled base units; "" is 0."""
qty_out = whole_contracts_out
"""Scaled base units as the text of a wire size: whole contracts on futures, or UsageError."""
time_ns = millis_ns
"""A wire time, UTC milliseconds, bare or quoted, in nanoseconds."""

_INT64_MAX = 2**63 - 1
_ID = re.compile(r"[0-9]{1,24}", re.ASCII)
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|\+00:00)", re.ASCII
)


def identifier(value: int | str) -> str:
    """Return an order's or a trade's id as text; raises ProtocolViolation."""
    text = str(value)
    if _ID.fullmatch(text) is None:
        raise ProtocolViolation(f"{text[:40]!r} is no id")
    return text


def optional_time_ns(value: int | str | None) -> int | None:
    """Return :func:`time_ns`, ``None`` where the venue says nothing (null, "" or 0)."""
    return None if value in (None, "", 0, "0") else time_ns(value or 0)


def iso_ns(text: str) -> int:
    """Return ``2025-03-10T18:17:14.656686827Z`` in nanoseconds; raises ProtocolViolation."""
    match = _ISO.fullmatch(text)
    if match is None:
        raise ProtocolViolation(f"not a time: {text[:40]!r}")
    try:
        second = int(datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ProtocolViolation(f"not a time: {text[:40]!r}") from None
    stamp = second * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))
    if not 0 <= stamp <= _INT64_MAX:
        raise ProtocolViolation(f"a time out of range: {text[:40]!r}")
    return stamp


def optional_decimal(text: str | None) -> Decimal | None:
    """Return a decimal, ``None`` where the venue says nothing (null, "" or "-"); raises ProtocolViolation."""
    return decimal(text) if text and text != "-" else None
