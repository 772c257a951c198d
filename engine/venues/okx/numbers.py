"""Numbers as OKX writes them: everything is text, absent is ``""``, sizes of swaps are contracts.

Inside the engine a quantity is base units. One contract is ``ctVal * ctMult`` base units
(``Instrument.contract_size``); the conversion is exact in both directions or refused.

Source: OKX v5 API docs, "Get instruments" and "Overview", seen 2026-08.
"""

from __future__ import annotations

from decimal import Decimal

from engine.model.amounts import contract_parts as contract_parts
from engine.model.amounts import contracts_in, contracts_out, millis_ns
from engine.model.amounts import number as number
from engine.model.amounts import price_in as price_in
from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import decimal as decimal
from engine.model.decimals import plain as plain
from engine.model.errors import ProtocolViolation

qty_in = contracts_in
"""A wire size, contracts or base units on spot, as scaled base units; "" is 0."""
qty_out = contracts_out
"""Scaled base units as the text of a wire size; UsageError unless exact."""
time_ns = millis_ns
"""A wire time, text of UTC milliseconds, in nanoseconds."""


def optional_decimal(text: str) -> Decimal | None:
    """Return a decimal, ``None`` where the venue says nothing (``""``); raises ProtocolViolation."""
    return decimal(text) if text else None


def interval_ns(funding_time: str, next_funding_time: str) -> int | None:
    """Return the running interval: from the next settlement to the one after; raises ProtocolViolation."""
    if not funding_time or not next_funding_time:
        return None
    between = time_ns(next_funding_time) - time_ns(funding_time)
    if between <= 0:
        raise ProtocolViolation(f"settlements at {funding_time} and then {next_funding_time}")
    return between
