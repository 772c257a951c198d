"""Numbers as KuCoin writes them: text or JSON numbers by endpoint, lots on futures, ms, us or ns by message.

Inside the engine a quantity is base units. One lot of a future is ``multiplier`` base units
(``Instrument.contract_size``); the conversion is exact in both directions or refused. JSON numbers are
read as the digits that stand on the wire, never as floats.

Source: KuCoin API docs, "Get All Symbols", "Get All Contracts", "Get Full OrderBook", seen 2026-08.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from engine.model.amounts import contract_parts as contract_parts
from engine.model.amounts import contracts_in, whole_contracts_out
from engine.model.amounts import number as number
from engine.model.amounts import price_in as price_in
from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import Millis as Millis
from engine.model.decimals import plain as plain
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, to_scaled

qty_in = contracts_in
"""A wire size, lots or base units on spot, as scaled base units; "" is 0."""
qty_out = whole_contracts_out
"""Scaled base units as the text of a wire size: whole lots on futures, or UsageError."""

_EXPONENT_MAX = 30
_DIGITS_MAX = 40

Number = Decimal
"""A wire field that is text in one message and a JSON number in another; check it with :func:`exact`."""

_NUMBER = msgspec.json.Decoder(Decimal)

_MS_FROM, _US_FROM, _NS_FROM = 10**11, 10**14, 10**17
"""From here on an integer is a time of this century in ms, us, ns: spot order times changed their unit."""


def exact(value: Decimal) -> Decimal:
    """Return a decimal of the wire, refusing what is no plain number; raises ProtocolViolation."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _EXPONENT_MAX or len(digits) > _DIGITS_MAX:
        raise ProtocolViolation(f"not a usable number: {str(value)[:40]}")
    return value


def number_qty_in(value: Number | None, instrument: Instrument) -> int:
    """Return :func:`qty_in` of a field that may be a JSON number; absent is 0."""
    return 0 if value is None else qty_in(text_of(value), instrument)


def number_price_in(value: Number | None, instrument: Instrument) -> int:
    """Return :func:`price_in` of a field that may be a JSON number; absent is 0."""
    return 0 if value is None else price_in(text_of(value), instrument)


def text_of(value: Number) -> str:
    """Return plain decimal text (no exponent) of a number; raises ProtocolViolation."""
    return format(exact(value), "f")


def loose_number(raw: msgspec.Raw) -> Number | None:
    """Return a field that is text, a JSON number, ``""`` or null: the last two are ``None``.

    Raises:
        ProtocolViolation: anything else.
    """
    text = bytes(raw)
    if text in (b"null", b'""'):
        return None
    try:
        return exact(_NUMBER.decode(text))
    except DECODE_ERRORS as error:
        raise ProtocolViolation(f"not a number: {error}") from None


def optional_text(value: Number | str | None) -> str:
    """Return the text of a field that may be a JSON number, text, ``""`` or null."""
    return text_of(value) if isinstance(value, Decimal) else value or ""


def scaled_units(value: Decimal, scale: int, what: str) -> int:
    """Return a Decimal in scaled units, exactly; raises ProtocolViolation."""
    try:
        return to_scaled(value, scale, what)
    except UsageError as error:
        raise ProtocolViolation(str(error)) from None


def time_ns(value: int | str) -> int:
    """Return a wire time in nanoseconds, its unit told by its size; raises ProtocolViolation.

    The same field is ms in one message and ns in another (``orderTime``), and us in pongs.
    """
    stamp = number(value)
    if stamp >= _NS_FROM:
        return stamp
    if stamp >= _US_FROM:
        return stamp * 1_000
    if stamp >= _MS_FROM:
        return stamp * MS
    raise ProtocolViolation(f"not a time: {stamp}")


def optional_time_ns(value: int | str | None) -> int | None:
    """Return :func:`time_ns`, ``None`` where the venue says nothing (null, "" or 0)."""
    return None if value in (None, "", 0, "0") else time_ns(value or 0)


def granularity_ns(value: int | None) -> int | None:
    """Return an interval told in milliseconds, ``None`` where none is; raises ProtocolViolation."""
    if value is None:
        return None
    if not 0 < value <= 366 * 24 * 3_600_000:
        raise ProtocolViolation(f"an interval of {value} ms")
    return value * MS
