"""Account values: balances and positions as the venue states them."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Balance(msgspec.Struct, frozen=True, gc=False):
    """One asset of one account; ``free + locked`` is the wallet. Decimal asset units."""

    venue: str
    product: str
    asset: str
    free: Decimal
    locked: Decimal
    venue_utc_ns: int | None


class Position(msgspec.Struct, frozen=True, gc=False):
    """A perpetual position; ``position_qty`` is signed base units (short is negative)."""

    venue: str
    universal: str
    position_qty: Decimal
    entry_price: Decimal
    mark_price: Decimal | None
    unrealised_pnl: Decimal | None
    leverage: Decimal | None
    liquidation_price: Decimal | None
    venue_utc_ns: int | None
