"""Universal names: one unit of trading has one name, whatever each venue calls it.

Cheap coins trade by the thousand. Venues spell that in front of the coin (``1000SHIB``, ``1MBABYDOGE``) or
behind it (``SHIB1000``): here the factor always stands in front, in digits, so that equal names are equal
units, and ``Instrument.multiplier`` says how many coins one unit is. The venue's own words stay in ``symbol``
and ``base``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.model.instrument import Instrument, InstrumentStatus

_LEADING = re.compile(r"(10{3,9})([^0-9].*)", re.ASCII | re.DOTALL)
_TRAILING = re.compile(r"(.*[^0-9])(10{3,9})", re.ASCII | re.DOTALL)
_MILLION = re.compile(r"1M([A-Z].{2,})", re.ASCII | re.DOTALL)
"""``1MBABYDOGE``; with fewer letters behind it (``1MIL``) it is a coin of that name."""


def canonical_coin(name: str, *, has_trailing: bool = False) -> tuple[str, int]:
    """Return a coin's canonical name and how many coins one unit of it is.

    ``1INCH``, ``100X`` and ``1CAT`` are coins of those names: a factor is a thousand or a longer power of
    ten.

    Args:
        has_trailing: the venue also writes factors behind the coin.
    """
    leading = _LEADING.fullmatch(name)
    if leading is not None:
        return name, int(leading[1])
    million = _MILLION.fullmatch(name)
    if million is not None:
        return f"1000000{million[1]}", 1_000_000
    trailing = _TRAILING.fullmatch(name) if has_trailing else None
    if trailing is not None:
        return f"{trailing[2]}{trailing[1]}", int(trailing[2])
    return name, 1


def universal_name(base: str, quote: str, settle: str | None = None) -> str:
    """Return ``BASE/QUOTE``, or ``BASE/QUOTE:SETTLE`` of a linear perpetual; ``base`` is canonical."""
    return f"{base}/{quote}" if settle is None else f"{base}/{quote}:{settle}"


def one_each(entries: Iterable[Instrument]) -> tuple[list[Instrument], list[tuple[str, str]]]:
    """Leave out entries whose name is that of another one that trades, and say why.

    Venues keep old entries beside the new one of the same name. Two that both trade are both returned: which
    of them the name means is not known (see :func:`collisions`).

    Returns:
        The entries that stay, and (symbol, reason) of those that do not.
    """
    kept: dict[str, Instrument] = {}
    rivals: list[Instrument] = []
    left_out: list[tuple[str, str]] = []
    for each in entries:
        other = kept.get(each.universal)
        if other is None:
            kept[each.universal] = each
        elif other.status is not InstrumentStatus.TRADING:
            left_out.append((other.symbol, f"{each.universal} is {each.symbol}"))
            kept[each.universal] = each
        elif each.status is InstrumentStatus.TRADING:
            rivals.append(each)
        else:
            left_out.append((each.symbol, f"{each.universal} is {other.symbol}"))
    return [*kept.values(), *rivals], left_out


def collisions(entries: Iterable[Instrument]) -> dict[str, list[Instrument]]:
    """Return every universal name that more than one entry has, with these entries."""
    by_name: dict[str, list[Instrument]] = {}
    for each in entries:
        by_name.setdefault(each.universal, []).append(each)
    return {name: some for name, some in by_name.items() if len(some) > 1}
