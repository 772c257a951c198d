"""What the exchange does not keep: fees and funding of each position since it was opened, and bills.

Source: OKX v5 docs, "Positions channel" (fee, fundingFee, realizedPnl) and "Get bills details", seen 2026-08.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.model import FillRecord
from engine.sim.okx.instruments import Instrument, number_text

BILLS_KEPT = 10_000
FIRST_BILL = 700_000_000_000_000_000
_EMPTY_BILL = (
    "clOrdId", "execType", "fillFwdPx", "fillIdxPx", "fillMarkPx", "fillMarkVol", "fillPxUsd", "fillPxVol",
    "fillTime", "from", "notes", "ordId", "px", "tag", "to", "tradeId",
)  # fmt: skip


@dataclass(slots=True)
class Holding:
    """One position from its opening to the next.

    Attributes:
        realised_before: the account's realised profit in this contract when the position was opened.
        trade_id: its latest fill.
    """

    opened_ms: int = 0
    fee: Decimal = ZERO
    funding: Decimal = ZERO
    realised_before: Decimal = ZERO
    trade_id: int = 0


@dataclass(slots=True)
class Ledger:
    """Holdings by account name and instrument, bills by account name, newest last."""

    holdings: dict[tuple[str, str], Holding] = field(default_factory=dict)
    bills: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    _number: int = FIRST_BILL

    def holding(self, account: Account, one: Instrument) -> Holding:
        """Return what is known of a position."""
        return self.holdings.setdefault((account.name, one.inst_id), Holding())

    def note_fill(self, one: Instrument, fill: FillRecord, ord_id: str) -> None:
        """Book a fill; the exchange's position already contains it."""
        order = fill.order
        account = order.account
        change = -fill.fee if one.is_swap else ZERO
        if one.is_swap:
            position = account.position(one.inst_id)
            signed = fill.qty_lots if order.side == "BUY" else -fill.qty_lots
            holding = self.holding(account, one)
            if position.lots == signed:
                before = position.realised - fill.realised_pnl
                holding = Holding(fill.time_ms, realised_before=before)
                self.holdings[account.name, one.inst_id] = holding
            holding.fee -= fill.fee
            holding.trade_id = fill.trade_id
            change += fill.realised_pnl
        else:
            change = one.market.qty(fill.qty_lots) - fill.fee if order.side == "BUY" else (
                one.market.qty(fill.qty_lots) * one.market.price(fill.price_ticks) - fill.fee
            )  # fmt: skip
        self._bill(account, one, fill.fee_asset, change, fill.time_ms, {
            "type": "2", "subType": "1" if order.side == "BUY" else "2", "fee": number_text(-fill.fee),
            "pnl": number_text(fill.realised_pnl), "px": one.price_text(fill.price_ticks),
            "sz": one.size_text(fill.qty_lots), "ordId": ord_id, "tradeId": str(fill.trade_id),
            "clOrdId": str(order.extra.get("clOrdId", "")), "execType": "M" if fill.is_maker else "T",
            "fillTime": str(fill.time_ms), "tag": str(order.extra.get("tag", "")),
        })  # fmt: skip

    def note_funding(self, account: Account, one: Instrument, amount: Decimal, now_ms: int) -> None:
        """Book a funding payment; negative: the account paid."""
        self.holding(account, one).funding += amount
        lots = account.position(one.inst_id).lots
        self._bill(account, one, one.settle, amount, now_ms, {
            "type": "8", "subType": "173" if amount < 0 else "174", "fee": "0", "pnl": number_text(amount),
            "px": number_text(one.market.mark_price), "sz": one.size_text(abs(lots)),
        })  # fmt: skip

    def _bill(
        self, account: Account, one: Instrument, currency: str, change: Decimal, now_ms: int,
        more: dict[str, str],
    ) -> None:  # fmt: skip
        self._number += 1
        row: dict[str, Any] = dict.fromkeys(_EMPTY_BILL, "")
        row |= {
            "bal": number_text(account.balance("spot", currency).total), "balChg": number_text(change),
            "billId": str(self._number), "ccy": currency, "instId": one.inst_id, "instType": one.inst_type,
            "interest": "0", "mgnMode": "cross" if one.is_swap else "cash", "posBal": "0",
            "posBalChg": "0", "ts": str(now_ms),
        }  # fmt: skip
        self.bills.setdefault(account.name, deque(maxlen=BILLS_KEPT)).append(row | more)
