"""Accounts: keys, balances, positions. Amounts are exact Decimals."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(slots=True)
class Balance:
    """One asset; ``free + locked`` is the wallet."""

    free: Decimal = ZERO
    locked: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Return free and locked together."""
        return self.free + self.locked


@dataclass(slots=True)
class Position:
    """A perpetual position in one-way mode.

    Attributes:
        lots: signed quantity.
        entry_price: average price of what is open, quote units (0 when flat).
        realised: accumulated realised profit before fees.
    """

    lots: int = 0
    entry_price: Decimal = ZERO
    realised: Decimal = ZERO
    updated_ms: int = 0


@dataclass(slots=True, eq=False)
class Account:
    """One customer of the exchange.

    Attributes:
        name: as used in the truth queries.
        api_key, secret, key_type: credentials; for ``ed25519`` the secret is the base64 PKCS#8 private
            key, so that a test client can sign with what the configuration holds.
        balances: product to asset to balance (``perp`` holds margin wallets).
        leverage, positions: by perpetual symbol.
    """

    name: str
    api_key: str
    secret: str
    key_type: str = "hmac"
    passphrase: str = ""
    uid: int = 0
    balances: dict[str, dict[str, Balance]] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    leverage: dict[str, int] = field(default_factory=dict)
    updated_ms: int = 0

    def balance(self, product: str, asset: str) -> Balance:
        """Return the balance of an asset, creating an empty one."""
        return self.balances.setdefault(product, {}).setdefault(asset, Balance())

    def position(self, symbol: str) -> Position:
        """Return the position in a contract, flat if there is none."""
        return self.positions.setdefault(symbol, Position())

    def unify(self) -> None:
        """Make one wallet of two, where an account has one for everything."""
        wallet, perp = self.balances.setdefault("spot", {}), self.balances.get("perp", {})
        if perp is not wallet:
            for asset, balance in perp.items():
                self.balance("spot", asset).free += balance.free
            self.balances["perp"] = wallet

    def __repr__(self) -> str:
        return f"Account({self.name})"


def apply_fill(
    position: Position, signed_lots: int, price: Decimal, lot_size: Decimal, now_ms: int
) -> Decimal:
    """Book a fill into a position; return the realised profit before fees.

    Adding averages the entry price; reducing realises ``(exit - entry) * quantity``; turning through zero
    realises what was open and opens the rest at ``price``.
    """
    realised = ZERO
    before = position.lots
    after = before + signed_lots
    if before == 0 or (before > 0) == (signed_lots > 0):
        cost = position.entry_price * abs(before) + price * abs(signed_lots)
        position.entry_price = cost / abs(after)
    else:
        closed = min(abs(before), abs(signed_lots))
        sign = 1 if before > 0 else -1
        realised = (price - position.entry_price) * closed * sign * lot_size
        if after == 0:
            position.entry_price = ZERO
        elif (after > 0) != (before > 0):
            position.entry_price = price
    position.lots = after
    position.realised += realised
    position.updated_ms = now_ms
    return realised
