"""What the exchange's core does not keep and Bybit shows: each fill's ``seq``, each position's history.

Source: Bybit v5 docs, "Position" and "Execution" (WebSocket), seen 2026-07: ``seq`` and symbol link a
position's push to its fills; realised profit counts fees and funding.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.bybit.instruments import Instrument
from engine.sim.model import FillRecord

FILLS_KEPT = 200_000
FUNDINGS_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Moment:
    """The exchange as it was when a fill happened: ``closed_lots`` of it reduced a position."""

    seq: int
    mark_price: Decimal
    closed_lots: int = 0


@dataclass(slots=True)
class History:
    """One position's past.

    Attributes:
        created_ms: the first fill ever. opened_ms: when the running position was opened.
        running, total: realised profit after fees and funding, of the running position and of all time.
        seq: of the latest fill, -1 before the first.
    """

    created_ms: int = 0
    opened_ms: int = 0
    running: Decimal = ZERO
    total: Decimal = ZERO
    seq: int = -1


class Ledger:
    """The memory of one exchange's fills, fundings and positions.

    Attributes:
        fundings: account, instrument and execution row of each payment, oldest first.
    """

    def __init__(self) -> None:
        self._moments: dict[int, Moment] = {}
        self._histories: dict[tuple[str, str], History] = {}
        self.fundings: list[tuple[Account, Instrument, dict[str, Any]]] = []

    def history(self, account: Account, one: Instrument) -> History:
        """Return a position's past."""
        return self._histories.setdefault((account.name, one.symbol), History())

    def moment(self, fill: FillRecord) -> Moment:
        """Return when a fill happened."""
        return self._moments[fill.execution_id]

    def book_fill(self, fill: FillRecord, one: Instrument) -> None:
        """Remember a fill; to be called while the account's position is what the fill has made it."""
        market, order = one.market, fill.order
        if len(self._moments) >= FILLS_KEPT:
            del self._moments[next(iter(self._moments))]
        closed = self._book_position(fill, one) if one.is_linear else 0
        moment = Moment(market.last_id, market.mark_price, closed)
        self._moments[fill.execution_id] = moment
        if one.is_linear:
            self.history(order.account, one).seq = moment.seq

    def _book_position(self, fill: FillRecord, one: Instrument) -> int:
        """Book a linear fill; return how much of it closed."""
        account = fill.order.account
        past, after = self.history(account, one), account.position(one.symbol).lots
        before = after - (fill.qty_lots if fill.order.side == "BUY" else -fill.qty_lots)
        gain = fill.realised_pnl - fill.fee
        past.created_ms = past.created_ms or fill.time_ms
        past.total += gain
        past.running += gain
        if before * after <= 0:
            # A fill that closes or turns the position ends its account.
            past.running = ZERO if before else gain
            past.opened_ms = fill.time_ms if after else 0
        return min(abs(before), fill.qty_lots) if before and (before > 0) != (fill.order.side == "BUY") else 0

    def book_funding(self, account: Account, one: Instrument, amount: Decimal, row: dict[str, Any]) -> None:
        """Remember a funding payment."""
        past = self.history(account, one)
        past.total += amount
        past.running += amount
        self.fundings.append((account, one, row))
        del self.fundings[:-FUNDINGS_KEPT]

    def earned(self, account: Account, coin: str, instruments: list[Instrument]) -> Decimal:
        """Return the realised profit of all time of the contracts that settle in a coin."""
        return sum(
            (self.history(account, one).total for one in instruments if one.market.spec.settle == coin), ZERO
        )
