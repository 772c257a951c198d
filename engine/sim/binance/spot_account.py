"""Spot account operations: balances and commissions, and the wallet endpoints clients ask on the way.

Source: Binance spot API docs, account endpoints.
"""

from __future__ import annotations

from typing import Any

from engine.sim.binance import spot_messages
from engine.sim.binance.board import Board
from engine.sim.binance.gate import Call


class SpotAccounts:
    """Account operations of spot."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def account(self, call: Call) -> dict[str, Any]:
        """``GET /api/v3/account``."""
        spec = next(iter(self._board)).market.spec
        assets: dict[str, None] = {}
        for view in self._board:
            assets[view.market.spec.base] = None
            assets[view.market.spec.quote] = None
        omit_zero = call.params.flag("omitZeroBalances")
        return spot_messages.account_info(call.account, spec.maker_fee, spec.taker_fee, assets, omit_zero)

    def commission(self, call: Call) -> dict[str, Any]:
        """``GET /api/v3/account/commission``."""
        view = self._board.view(call.params.need("symbol"))
        spec, nothing = view.market.spec, spot_messages.NOTHING
        zero = {"maker": nothing, "taker": nothing, "buyer": nothing, "seller": nothing}
        rates = zero | {
            "maker": spot_messages.amount(spec.maker_fee),
            "taker": spot_messages.amount(spec.taker_fee),
        }
        return {
            "symbol": view.symbol,
            "standardCommission": rates,
            "specialCommission": zero,
            "taxCommission": zero,
            "discount": {
                "enabledForAccount": False,
                "enabledForSymbol": False,
                "discountAsset": "BNB",
                "discount": "0.75000000",
            },
        }

    def nothing(self, _call: Call) -> list[Any]:
        """Return an empty list: wallet and margin endpoints of services that are not simulated."""
        return []


def no_symbols(_call: Call) -> dict[str, Any]:
    """Return an exchangeInfo without symbols: products that are not simulated."""
    return {"symbols": []}
