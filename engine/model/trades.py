"""Public prints beyond each one: how they are told apart and asked for, what is missing, candles."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Protocol, runtime_checkable

import msgspec

from engine.model.instrument import Instrument
from engine.model.market import Trade
from engine.model.wire import HttpRequest


class TradeIds(enum.Enum):
    """What the trade ids of a venue's list of latest prints are good for."""

    CONSECUTIVE = "consecutive"
    """Each print's id is the one before plus one: a hole in the ids is a missing print."""
    UNIQUE = "unique"
    """An id names one print and says nothing of its neighbours."""
    NONE = "none"
    """The list has no ids (or others than the stream): prints are told apart by what they say."""


class MissedTrades(msgspec.Struct, frozen=True, gc=False):
    """Prints that were never seen, and cannot be had any more.

    Attributes:
        from_id, to_id: the last print known before and the first one after the hole; 0 where unnumbered.
        from_utc_ns, to_utc_ns: their times by the venue's clock.
        count: how many are missing, ``None`` where the ids do not tell.
    """

    universal: str
    from_id: int
    to_id: int
    from_utc_ns: int
    to_utc_ns: int
    count: int | None


class Candle(msgspec.Struct, frozen=True, gc=False):
    """What traded in one interval of the venue's time, made from prints.

    Attributes:
        open_utc_ns: the interval's beginning; it ends ``interval_ns`` later.
        open, high, low, close: ``None`` where nothing is known to have traded.
        base_volume, quote_volume: exact sums of quantity, and of price times quantity.
        count: trades counted in.
        is_complete: every print of the interval is in it, as far as the venue's numbers and lists can prove.
        is_final: it will not change any more.
        far: trades counted in that lie ten times off what traded before: prices of it may be theirs alone.
    """

    universal: str
    open_utc_ns: int
    interval_ns: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    base_volume: Decimal
    quote_volume: Decimal
    count: int
    is_complete: bool
    is_final: bool
    far: int = 0


class TradeList(msgspec.Struct, frozen=True):
    """A venue's latest prints of one instrument, oldest first, each ``is_backfilled``.

    Attributes:
        is_capped: the list is as long as it can be: older prints may exist.
    """

    trades: list[Trade]
    is_capped: bool


class TradeListReader(Protocol):
    """How one venue product is asked for its latest prints.

    Attributes:
        ids: what the list's trade ids are good for; they are the stream's, or 0.
        resolution_ns: how fine the list's times are.
    """

    ids: TradeIds
    resolution_ns: int

    def request(self, instrument: Instrument) -> HttpRequest:
        """Return the request for as many prints as one answer holds."""
        ...

    def decode(self, instrument: Instrument, body: bytes, mono_ns: int, utc_ns: int) -> TradeList:
        """Return the list; raises ProtocolViolation, for refusals too."""
        ...


@runtime_checkable
class WithTradeList(Protocol):
    """Offered besides ``MarketDataAdapter`` where the latest prints can be asked for over REST."""

    trade_list: TradeListReader
