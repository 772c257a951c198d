"""USDⓈ-M account operations: balances, positions, leverage, modes, income.

Source: USDⓈ-M docs, account endpoints.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.binance import errors, perp_messages
from engine.sim.binance.board import Board, MarketView
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call
from engine.sim.binance.params import Params
from engine.sim.binance.spot_trading import in_time
from engine.sim.exchange import Exchange
from engine.sim.model import FillRecord, OrderKind

ZERO = Decimal(0)
INCOME_KEPT = 100_000


class PerpAccounts:
    """Account operations of USDⓈ-M over one exchange."""

    def __init__(self, exchange: Exchange, board: Board) -> None:
        self._exchange = exchange
        self._clearing = exchange.clearing
        self._board = board
        self._income: deque[tuple[str, dict[str, Any]]] = deque(maxlen=INCOME_KEPT)
        self._next_transaction = 1

    # -- state ---------------------------------------------------------------------------------------------

    def balances(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v3/balance``."""
        account = call.account
        return [
            perp_messages.balance_row(
                account,
                asset,
                self._unrealised(account, asset),
                self._clearing.available_margin(account, asset),
            )
            for asset in self._assets()
        ]

    def account(self, call: Call) -> dict[str, Any]:
        """``GET /fapi/v3/account``; totals are of USDT, as in single-asset mode."""
        account = call.account
        assets = [self._asset_row(account, asset) for asset in self._assets()]
        main = next((row for row in assets if row["asset"] == "USDT"), assets[0])
        positions = [
            perp_messages.account_position(
                view, account.position(view.symbol), self._clearing.unrealised(account, view.market),
                self._clearing.position_margin(account, view.market),
            )
            for view in self._active(account)
        ]  # fmt: skip
        return {
            "totalInitialMargin": main["initialMargin"],
            "totalMaintMargin": main["maintMargin"],
            "totalWalletBalance": main["walletBalance"],
            "totalUnrealizedProfit": main["unrealizedProfit"],
            "totalMarginBalance": main["marginBalance"],
            "totalPositionInitialMargin": main["positionInitialMargin"],
            "totalOpenOrderInitialMargin": main["openOrderInitialMargin"],
            "totalCrossWalletBalance": main["crossWalletBalance"],
            "totalCrossUnPnl": main["crossUnPnl"],
            "availableBalance": main["availableBalance"],
            "maxWithdrawAmount": main["maxWithdrawAmount"],
            "assets": assets,
            "positions": positions,
        }

    def _asset_row(self, account: Account, asset: str) -> dict[str, Any]:
        views = [view for view in self._active(account) if _settle(view) == asset]
        position_margin = sum((self._clearing.position_margin(account, view.market) for view in views), ZERO)
        order_margin = sum((self._clearing.order_margin(account, view.market) for view in views), ZERO)
        notional = sum(
            (abs(account.position(view.symbol).lots) * view.market.spec.lot_size * view.market.mark_price
             for view in views), ZERO,
        )  # fmt: skip
        return perp_messages.asset_row(
            account, asset, self._unrealised(account, asset), position_margin, order_margin,
            notional * perp_messages.MAINTENANCE_RATE, self._clearing.available_margin(account, asset),
        )  # fmt: skip

    def position_risk(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v3/positionRisk``: symbols with a position or open orders; flat ones are absent."""
        account = call.account
        symbol = call.params.text("symbol")
        views = self._active(account)
        if symbol is not None:
            wanted = self._board.view(symbol)
            views = [view for view in views if view is wanted]
        return [self._risk(account, view) for view in views]

    def _risk(self, account: Account, view: MarketView) -> dict[str, Any]:
        clearing, market = self._clearing, view.market
        bids, asks = self.open_notional(account, view)
        return perp_messages.position_risk(
            view, account.position(view.symbol), clearing.unrealised(account, market),
            clearing.position_margin(account, market), clearing.order_margin(account, market), bids, asks,
        )  # fmt: skip

    def open_notional(self, account: Account, view: MarketView) -> tuple[Decimal, Decimal]:
        """Return the notional of the account's open bids and asks of a contract."""
        bids = asks = ZERO
        if not view.market.open_count.get(account.name):
            return bids, asks
        for order in self._exchange.open_orders(account, "perp", view.market):
            if order.kind is OrderKind.LIMIT:
                notional = view.notional(order.price_ticks, order.leaves_lots)
                if order.side == "BUY":
                    bids += notional
                else:
                    asks += notional
        return bids, asks

    def _active(self, account: Account) -> list[MarketView]:
        return [
            view
            for view in self._board
            if (view.symbol in account.positions and account.positions[view.symbol].lots)
            or view.market.open_count.get(account.name)
        ]

    def _assets(self) -> list[str]:
        return list(dict.fromkeys(_settle(view) for view in self._board))

    def _unrealised(self, account: Account, asset: str) -> Decimal:
        views = [view for view in self._active(account) if _settle(view) == asset]
        return sum((self._clearing.unrealised(account, view.market) for view in views), ZERO)

    # -- settings ------------------------------------------------------------------------------------------

    def set_leverage(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/leverage``."""
        view = self._board.view(call.params.need("symbol"))
        leverage = call.params.integer("leverage")
        if leverage is None:
            raise errors.missing("leverage")
        if not 1 <= leverage <= view.market.spec.max_leverage:
            raise ApiError(-4028, f"Leverage {leverage} is not valid")
        call.account.leverage[view.symbol] = leverage
        return {
            "leverage": leverage,
            "maxNotionalValue": f"{perp_messages.MAX_NOTIONAL}",
            "symbol": view.symbol,
        }

    def set_margin_type(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/marginType``: everything is cross margin here."""
        self._board.view(call.params.need("symbol"))
        kind = call.params.need("marginType")
        if kind == "CROSSED":
            raise ApiError(-4046, "No need to change margin type.")
        raise errors.invalid_value("marginType")

    def position_mode(self, _call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/positionSide/dual``: one-way mode."""
        return {"dualSidePosition": False}

    def set_position_mode(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/positionSide/dual``: one-way mode only."""
        call.params.need("dualSidePosition")
        if call.params.flag("dualSidePosition"):
            raise ApiError(-4067, "Position side cannot be changed if there exists open orders.")
        raise ApiError(-4059, "No need to change position side.")

    def multi_assets(self, _call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/multiAssetsMargin``: single-asset mode."""
        return {"multiAssetsMargin": False}

    def symbol_config(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/symbolConfig``."""
        return [
            {"symbol": view.symbol, "marginType": "CROSSED", "isAutoAddMargin": False,
             "leverage": self._clearing.leverage(call.account, view.market),
             "maxNotionalValue": f"{perp_messages.MAX_NOTIONAL}"}
            for view in self._wanted(call.params)
        ]  # fmt: skip

    def account_config(self, call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/accountConfig``."""
        return {
            "feeTier": 0, "canTrade": True, "canDeposit": True, "canWithdraw": True,
            "dualSidePosition": False,
            "updateTime": call.account.updated_ms, "multiAssetsMargin": False, "tradeGroupId": -1,
        }  # fmt: skip

    def leverage_brackets(self, call: Call) -> Any:
        """``GET /fapi/v1/leverageBracket``: one bracket each; numbers, not texts."""
        rows = [
            {"symbol": view.symbol, "brackets": [
                {"bracket": 1, "initialLeverage": view.market.spec.max_leverage,
                 "notionalCap": int(perp_messages.MAX_NOTIONAL), "notionalFloor": 0,
                 "maintMarginRatio": float(perp_messages.MAINTENANCE_RATE), "cum": 0.0}]}
            for view in self._wanted(call.params)
        ]  # fmt: skip
        return rows[0] if call.params.has("symbol") else rows

    def commission_rate(self, call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/commissionRate``."""
        view = self._board.view(call.params.need("symbol"))
        spec = view.market.spec
        return {
            "symbol": view.symbol,
            "makerCommissionRate": f"{spec.maker_fee}",
            "takerCommissionRate": f"{spec.taker_fee}",
            "rpiCommissionRate": "0.00005",
        }

    def _wanted(self, params: Params) -> list[MarketView]:
        symbol = params.text("symbol")
        return list(self._board) if symbol is None else [self._board.view(symbol)]

    # -- income --------------------------------------------------------------------------------------------

    def book_fill(self, fill: FillRecord) -> None:
        """Note a fill's commission and realised profit."""
        account, symbol = fill.order.account, fill.order.market.spec.symbol
        trade = str(fill.trade_id)
        self._book(account, symbol, "COMMISSION", -fill.fee, fill.fee_asset, fill.time_ms, trade)
        if fill.realised_pnl:
            self._book(
                account, symbol, "REALIZED_PNL", fill.realised_pnl, fill.fee_asset, fill.time_ms, trade
            )

    def book_funding(self, account: Account, symbol: str, amount: Decimal, asset: str, time_ms: int) -> None:
        """Note a funding payment (negative: paid)."""
        self._book(account, symbol, "FUNDING_FEE", amount, asset, time_ms, "")

    def _book(
        self, account: Account, symbol: str, kind: str, amount: Decimal, asset: str, time_ms: int, trade: str
    ) -> None:
        row = {
            "symbol": symbol, "incomeType": kind, "income": perp_messages.fixed_signed(amount),
            "asset": asset,
            "time": time_ms, "info": kind, "tranId": self._next_transaction, "tradeId": trade,
        }  # fmt: skip
        self._next_transaction += 1
        self._income.append((account.name, row))

    def income(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/income``, oldest first."""
        params = call.params
        symbol, kind = params.text("symbol"), params.text("incomeType")
        rows = [
            row
            for name, row in self._income
            if name == call.account.name
            and symbol in (None, row["symbol"])
            and kind in (None, row["incomeType"])
            and in_time(params, row["time"])
        ]
        limit = params.limit(100, 1000)
        return rows[:limit] if params.has("startTime") else rows[-limit:]


def _settle(view: MarketView) -> str:
    return view.market.spec.settle or view.market.spec.quote
