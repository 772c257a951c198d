"""What accounts have paid and received as funding."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.kucoin.instruments import Instrument, number

KEPT = 1_000


class FundingLedger:
    """Funding payments by account, oldest first."""

    def __init__(self) -> None:
        self._rows: dict[str, list[dict[str, Any]]] = {}

    def add(self, account: Account, one: Instrument, amount: Decimal, rate: Decimal) -> None:
        """Book a payment (negative: the account paid)."""
        rows = self._rows.setdefault(account.name, [])
        market, lots = one.market, account.position(one.symbol).lots
        rows.append({
            "id": 50_000_000_000 + len(rows), "symbol": one.symbol,
            "timePoint": market.funding_history[-1][0], "fundingRate": number(rate),
            "markPrice": number(market.mark_price), "positionQty": one.lots(lots),
            "positionCost": number(market.qty(lots) * market.mark_price), "funding": number(amount),
            "settleCurrency": market.spec.settle, "context": "", "marginMode": "ISOLATED",
        })  # fmt: skip
        del rows[:-KEPT]

    def paid(self, account: Account) -> list[dict[str, Any]]:
        """Return an account's payments."""
        return self._rows.get(account.name, [])
