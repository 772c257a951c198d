"""Words of the simulated exchange, venue-neutral: market rules, orders, fills, refusals, events.

Inside, prices are whole ticks and quantities whole lots of their market; amounts of assets are Decimal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from engine.sim.accounts import Account
    from engine.sim.market import Market

ProductName = Literal["spot", "perp"]
SideName = Literal["BUY", "SELL"]


@dataclass(frozen=True, slots=True)
class MarketSpec:
    """The rules of one market.

    Attributes:
        price_decimals, qty_decimals: width of the venue's texts.
        min_notional: quote units; max_qty, min_qty: base units.
        multiplier: base-asset units in one base unit (1000 for ``1000SHIB``), already part of ``base``.
        activity: relative share of the order flow.
        funding_interval_h: perpetuals only.
        typical_notional: typical value of a resting level, quote units.
        contract_size: base units in one contract, for wires that count contracts; ``lot_size`` stays in base.
        fee_in_quote: spot fees are always taken in the quote asset, and set aside with a buy order's funds.
    """

    venue: str
    product: ProductName
    symbol: str
    base: str
    quote: str
    settle: str | None
    tick_size: Decimal
    lot_size: Decimal
    price_decimals: int
    qty_decimals: int
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    initial_price: Decimal
    max_num_orders: int = 200
    maker_fee: Decimal = Decimal("0.001")
    taker_fee: Decimal = Decimal("0.001")
    multiplier: int = 1
    activity: float = 1.0
    funding_interval_h: int = 8
    max_leverage: int = 125
    typical_notional: Decimal = Decimal(5_000)
    contract_size: Decimal = Decimal(1)
    fee_in_quote: bool = False


class OrderKind(enum.Enum):
    """LIMIT or MARKET."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


class OrderStatus(enum.Enum):
    """Where an order stands in the exchange's own books."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_open(self) -> bool:
        """Tell whether the order rests."""
        return self in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


class EndReason(enum.Enum):
    """Why an order ended without its owner's request."""

    NONE = "NONE"
    IOC_REST = "IOC_REST"
    FOK_UNFILLED = "FOK_UNFILLED"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    STP = "STP"
    AMENDED_AWAY = "AMENDED_AWAY"
    VENUE = "VENUE"
    WOULD_TAKE = "WOULD_TAKE"


class RefusalReason(enum.Enum):
    """Why the exchange refused a request; each wire maps these to its own codes."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    MARGIN = "margin"
    WOULD_TAKE = "would_take"
    FOK_UNFILLABLE = "fok_unfillable"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    UNKNOWN_ORDER = "unknown_order"
    REDUCE_ONLY = "reduce_only"
    MARKET_CLOSED = "market_closed"
    CANCEL_ONLY = "cancel_only"
    TOO_MANY_ORDERS = "too_many_orders"
    NO_LIQUIDITY = "no_liquidity"
    NO_CHANGE = "no_change"
    AMEND_UP = "amend_up"


class Refused(Exception):
    """The exchange did not do what was asked; nothing has changed."""

    def __init__(self, reason: RefusalReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class NewOrder:
    """What a client wants. ``qty_lots`` or (market buys by amount, spot) ``quote_amount`` is set."""

    account: Account
    market: Market
    side: SideName
    kind: OrderKind
    price_ticks: int = 0
    qty_lots: int = 0
    quote_amount: Decimal | None = None
    time_in_force: Literal["GTC", "IOC", "FOK"] = "GTC"
    post_only: bool = False
    post_only_cancels: bool = False
    """A post-only order that would take is accepted and cancelled (OKX, Bybit) instead of refused."""
    fok_is_refused: bool = False
    """An unfillable FOK is refused (USD-M) instead of accepted and expired (spot)."""
    reduce_only: bool = False
    client_order_id: str = ""
    stp_mode: str = "NONE"
    extra: dict[str, object] = field(default_factory=dict)
    """The wire's own words about the order (type text, response fields); kept on it untouched."""


@dataclass(slots=True)
class FillRecord:
    """One execution of an account's order."""

    order: Order
    trade_id: int
    price_ticks: int
    qty_lots: int
    fee: Decimal
    fee_asset: str
    is_maker: bool
    realised_pnl: Decimal
    time_ms: int
    execution_id: int


@dataclass(slots=True, eq=False)
class Order:
    """An order of an account."""

    order_id: int
    account: Account
    market: Market
    side: SideName
    kind: OrderKind
    price_ticks: int
    qty_lots: int
    client_order_id: str
    time_in_force: str
    post_only: bool
    reduce_only: bool
    stp_mode: str
    created_ms: int
    updated_ms: int
    extra: dict[str, object]
    quote_amount: Decimal | None = None
    filled_lots: int = 0
    filled_quote: Decimal = Decimal(0)
    status: OrderStatus = OrderStatus.NEW
    end_reason: EndReason = EndReason.NONE
    amends: int = 0
    locked: Decimal = Decimal(0)
    fills: list[FillRecord] = field(default_factory=list)

    @property
    def leaves_lots(self) -> int:
        """Return what is still open (or was when the order ended)."""
        return self.qty_lots - self.filled_lots

    @property
    def is_open(self) -> bool:
        """Tell whether the order rests on the book."""
        return self.status.is_open


@dataclass(frozen=True, slots=True)
class TradePrint:
    """One public trade. ``maker_order`` and ``taker_order`` are None for background flow."""

    market: Market
    trade_id: int
    price_ticks: int
    qty_lots: int
    taker_side: SideName
    taker_number: int
    time_ms: int
    maker_order: Order | None
    taker_order: Order | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The levels of one market that changed since its last batch, with absolute quantities.

    Attributes:
        first_id, last_id: ids of the first and last change contained.
        previous_last_id: ``last_id`` of the market's previous batch.
        bids, asks: price in ticks to quantity in lots, 0 = gone; several changes of a level are one.
    """

    first_id: int
    last_id: int
    previous_last_id: int
    bids: Mapping[int, int]
    asks: Mapping[int, int]


class ExecType(enum.Enum):
    """What happened to an order."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDED = "AMENDED"


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Any change of an order of an account; ``execution_id`` rises per exchange."""

    order: Order
    exec_type: ExecType
    status: OrderStatus
    filled_lots: int
    fill: FillRecord | None
    execution_id: int
    time_ms: int
    cancel_id: str = ""


class Listener(Protocol):
    """What a wire hears; calls come synchronously, in the order things happened."""

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade."""
        ...

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed; ids are on the market."""
        ...

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed."""
        ...

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        ...

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        ...

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        ...

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment (negative: the account paid)."""
        ...
