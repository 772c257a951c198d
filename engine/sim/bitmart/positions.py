"""Futures positions as BitMart shows them: one signed row per contract, or two legs in hedge mode.

The exchange itself nets. In hedge mode the legs are kept here from the fills of four-way sides: balances and
margin follow the net position, so an account that holds both legs is charged margin for the difference only
(the venue's own rule for that is not documented).

Source: BitMart futures v2 docs, "Position Mode", "Get Current Position", mirrored copy of 2025-11.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.sim.accounts import Account, Position, apply_fill
from engine.sim.bitmart.instruments import Instrument
from engine.sim.model import FillRecord

ONE_WAY, HEDGE = "one_way_mode", "hedge_mode"
LONG, SHORT = 1, 2
OPEN_LONG, CLOSE_SHORT, CLOSE_LONG, OPEN_SHORT = 1, 2, 3, 4
"""``side``. One-way accounts read them as buy, buy reduce-only, sell reduce-only, sell."""
Leg = Literal[1, 2]


@dataclass(slots=True)
class Setting:
    """What an account has set for one contract; ``open_type`` is ``cross`` or ``isolated``."""

    open_type: str = "cross"


@dataclass(slots=True)
class Held:
    """What an account holds of one contract.

    Attributes:
        legs: by position type, signed lots; used in hedge mode.
        opened_ms: when the position was last opened from flat. closed_lots: closed since.
        direction: the side the netted position is or was last on. turned: it has just turned through zero, so
            that the row of the side left behind is still to be told empty.
    """

    legs: dict[int, Position] = field(default_factory=lambda: {LONG: Position(), SHORT: Position()})
    opened_ms: int = 0
    closed_lots: int = 0
    direction: int = LONG
    turned: bool = False


class Positions:
    """The positions of all accounts."""

    def __init__(self) -> None:
        self._modes: dict[Account, str] = {}
        self._held: dict[tuple[Account, Instrument], Held] = {}
        self._settings: dict[tuple[Account, Instrument], Setting] = {}

    def mode(self, account: Account) -> str:
        """Return ``one_way_mode`` (which accounts begin in) or ``hedge_mode``."""
        return self._modes.get(account, ONE_WAY)

    def set_mode(self, account: Account, mode: str) -> None:
        """Change the mode; the caller has made sure that nothing is open."""
        self._modes[account] = mode

    def setting(self, account: Account, one: Instrument) -> Setting:
        """Return what is set for a contract."""
        return self._settings.setdefault((account, one), Setting())

    def held(self, account: Account, one: Instrument) -> Held:
        """Return what is known of a contract's position."""
        return self._held.setdefault((account, one), Held())

    def book(self, fill: FillRecord, one: Instrument) -> None:
        """Follow a fill."""
        order, account = fill.order, fill.order.account
        held = self.held(account, one)
        signed = fill.qty_lots if order.side == "BUY" else -fill.qty_lots
        if self.mode(account) == HEDGE:
            is_long = order.extra["side"] in (OPEN_LONG, CLOSE_LONG)
            leg = held.legs[LONG if is_long else SHORT]
            price, lot = one.market.price(fill.price_ticks), one.market.spec.lot_size
            apply_fill(leg, signed, price, lot, fill.time_ms)
            return
        after = account.position(one.symbol).lots
        before = after - signed
        if before == 0 or (before > 0) != (after > 0 if after else before > 0):
            held.opened_ms, held.closed_lots = fill.time_ms, 0
        elif (before > 0) != (signed > 0):
            held.closed_lots += min(abs(before), abs(signed))
        if after:
            direction = LONG if after > 0 else SHORT
            held.turned = held.turned or (direction != held.direction and before != 0)
            held.direction = direction

    def rows(self, account: Account, one: Instrument) -> list[tuple[int, Position]]:
        """Return (position type, position) of what is held; flat ones too where there was something once."""
        if self.mode(account) == HEDGE:
            return [row for row in self.held(account, one).legs.items() if row[1].updated_ms]
        position = account.positions.get(one.symbol)
        if position is None or not position.updated_ms:
            return []
        return [(self.held(account, one).direction, position)]

    def leg_lots(self, account: Account, one: Instrument, kind: int) -> int:
        """Return the unsigned size of one leg (hedge mode)."""
        return abs(self.held(account, one).legs[kind].lots)

    def is_flat(self, account: Account, one: Instrument) -> bool:
        """Tell whether nothing of a contract is held."""
        return not any(position.lots for _, position in self.rows(account, one))
