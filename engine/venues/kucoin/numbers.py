"""Numbers as KuCoin writes them: text or JSON numbers by endpoint, lots on futures, ms, us or ns by message.

Inside the engine a quantity is base units. One lot of a future is ``multiplier`` base units
(``Instrument.contract_size``); the conversion is exact in both directions or refused. JSON numbers are
read as the digits that stand on the wire, never as floats.

Source: KuCoin API docs, "Get All Symbols", "Get All Contracts", "Get Full OrderBook", seen 2026-08.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal

import msgspec

from engine.model.decimals import DECODE_ERRORS as DECODE_ERRORS
from engine.model.decimals import MS as MS
from engine.model.decimals import Id as Id
from engine.model.decimals import Millis as Millis
from engine.model.decimals import plain as plain
from engine.model.decimals import scaled
from engine.model.errors import ProtocolViolation, UsageError
from engine.model.instrument import Instrument, decimals_of, to_scaled

_INT64_MAX = 2**63 - 1
_DIGITS = re.compile(r"[0-9]{1,19}", re.ASCII)
_EXPONENT_MAX = 30
_DIGITS_MAX = 40

Number = Decimal
"""A wire field that is text in one message and a JSON number in another; check it with :func:`exact`."""

_NUMBER = msgspec.json.Decoder(Decimal)

_MS_FROM, _US_FROM, _NS_FROM = 10**11, 10**14, 10**17
"""From here on an integer is a time of this century in ms, us, ns: spot order times changed their unit."""


@functools.lru_cache(maxsize=4096)
def contract_parts(contract_size: Decimal, qty_scale: int) -> tuple[int, int]:
    """Return ``(factor, scale)``: lots at ``scale`` decimals, times factor, are scaled base units.

    Raises:
        UsageError: the quantity scale is too coarse for the contract: the instrument was built wrongly.
    """
    places = decimals_of(contract_size)
    scale = qty_scale - places
    if contract_size <= 0 or scale < 0:
        raise UsageError(f"a contract of {contract_size} does not fit a scale of {qty_scale} decimals")
    return int(contract_size.scaleb(places)), scale


def exact(value: Decimal) -> Decimal:
    """Return a decimal of the wire, refusing what is no plain number; raises ProtocolViolation."""
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int) or abs(exponent) > _EXPONENT_MAX or len(digits) > _DIGITS_MAX:
        raise ProtocolViolation(f"not a usable number: {str(value)[:40]}")
    return value


def qty_in(text: str, instrument: Instrument) -> int:
    """Return a wire size (lots, or base units on spot) as scaled base units; "" is 0.

    Raises:
        ProtocolViolation: not a plain decimal, or it does not fit the instrument's scale exactly.
    """
    if not text:
        return 0
    factor, scale = contract_parts(instrument.contract_size, instrument.qty_scale)
    value = scaled(text, scale) * factor
    if value > _INT64_MAX:
        raise ProtocolViolation(f"a size of {text[:40]} of {instrument.symbol} does not fit 64 bits")
    return value


def price_in(text: str, instrument: Instrument) -> int:
    """Return a wire price scaled; "" (market orders) is 0; raises ProtocolViolation."""
    return scaled(text, instrument.price_scale) if text else 0


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


def qty_out(qty: int, instrument: Instrument) -> str:
    """Return scaled base units as the text of a wire size: whole lots on futures.

    Raises:
        UsageError: the quantity is not a whole number of lots (futures).
    """
    factor, scale = contract_parts(instrument.contract_size, instrument.qty_scale)
    lots, rest = divmod(qty, factor)
    text = plain(lots, scale)
    if rest or (instrument.settle is not None and "." in text):
        raise UsageError(
            f"kucoin {instrument.universal}: {instrument.qty(qty).normalize():f} {instrument.base} is no "
            f"exact number of lots of {instrument.contract_size.normalize():f}; use multiples of the lot size"
        )
    return text


def scaled_units(value: Decimal, scale: int, what: str) -> int:
    """Return a Decimal in scaled units, exactly; raises ProtocolViolation."""
    try:
        return to_scaled(value, scale, what)
    except UsageError as error:
        raise ProtocolViolation(str(error)) from None


def number(value: int | str) -> int:
    """Return an integer that is bare in one message and quoted in another; raises ProtocolViolation."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value) is None:
            raise ProtocolViolation(f"not an integer: {value[:40]!r}")
        value = int(value)
    if not 0 <= value <= _INT64_MAX:
        raise ProtocolViolation(f"an integer out of range: {str(value)[:40]}")
    return value


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
