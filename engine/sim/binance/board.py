"""The markets of one product as the wire sees them: symbols, texts, filters, what has traded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal

from engine.sim.binance import errors
from engine.sim.binance.filters import MarketRules, fixed
from engine.sim.binance.info import ASSET_DECIMALS, market_rules
from engine.sim.market import Market
from engine.sim.model import Order
from engine.sim.tape import Tape
from engine.sim.texts import Scale, level_texts

_STATUS = {
    "spot": {"TRADING": "TRADING", "CANCEL_ONLY": "CANCEL_ONLY", "HALTED": "HALT"},
    "perp": {
        "TRADING": "TRADING", "CANCEL_ONLY": "TRADING_CANCEL_ONLY", "HALTED": "TRADING_HALT",
        "PRE_TRADING": "PENDING_TRADING", "SETTLING": "SETTLING",
    },
}  # fmt: skip


RECENT_BATCHES = 1_000


class MarketView:
    """One market with its texts and its tape.

    Attributes:
        market: the exchange's own object.
        rules: numbers of the order filters.
        price, qty: fixed-width texts of ticks and lots (spot: eight decimals, futures: the contract's
        precision).
        tape: what has traded.
        recent_ids: last ids of the latest published batches.
    """

    __slots__ = ("market", "price", "product", "qty", "recent_ids", "rules", "symbol", "tape")

    def __init__(self, market: Market) -> None:
        spec = market.spec
        spot = spec.product == "spot"
        self.market = market
        self.product = spec.product
        self.symbol = spec.symbol
        self.rules: MarketRules = market_rules(spec)
        self.price = Scale(spec.tick_size, ASSET_DECIMALS if spot else spec.price_decimals)
        self.qty = Scale(spec.lot_size, ASSET_DECIMALS if spot else spec.qty_decimals)
        self.tape = Tape()
        self.recent_ids: deque[int] = deque(maxlen=RECENT_BATCHES)

    @property
    def status(self) -> str:
        """Return the venue's word for the market's state."""
        return _STATUS[self.product].get(self.market.status, "BREAK")

    def last_price(self) -> Decimal:
        """Return the price of the last trade (the initial price before the first)."""
        return self.price.value(self.market.last_price_ticks)

    def average_price(self, now_ms: int) -> Decimal:
        """Return the volume-weighted price of the last five minutes, else the last price."""
        turnover, volume = self.tape.average(now_ms)
        return self.market.spec.tick_size * turnover / volume if volume else self.last_price()

    def notional(self, price_ticks: int, lots: int) -> Decimal:
        """Return price × quantity in quote units, exactly."""
        return self.price.value(price_ticks) * self.qty.value(lots)

    def quote_text(self, amount: Decimal) -> str:
        """Return an amount of quote asset in eight decimals."""
        return fixed(amount, ASSET_DECIMALS)

    def old_snapshot(self, limit: int, batches: int) -> tuple[str, str, int]:
        """Return the book as it was published ``batches`` batches ago, and its id."""
        ids = self.recent_ids
        book = self.market.published_at(ids[max(0, len(ids) - 1 - batches)] if ids else None)
        if book is None:
            book = self.market.published_at()
        assert book is not None
        bids = sorted(book.bids.items(), reverse=True)[:limit]
        asks = sorted(book.asks.items())[:limit]
        return level_texts(self.price, self.qty, bids), level_texts(self.price, self.qty, asks), book.last_id

    def snapshot(self, limit: int) -> tuple[str, str]:
        """Return the insides of the bid and ask arrays of the book as it is now, best first."""
        sides = []
        for side in (self.market.bids, self.market.asks):
            levels = side.best_first()
            sides.append(level_texts(self.price, self.qty, _first(levels, limit)))
        return sides[0], sides[1]


def _first(levels: Iterator[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    return [level for level, _ in zip(levels, range(limit), strict=False)]


class Board:
    """All markets of one product, by symbol."""

    def __init__(self, markets: Iterable[Market]) -> None:
        self.views: dict[str, MarketView] = {market.spec.symbol: MarketView(market) for market in markets}

    def __iter__(self) -> Iterator[MarketView]:
        return iter(self.views.values())

    def view(self, symbol: str) -> MarketView:
        """Return the view of a symbol, else −1121."""
        view = self.views.get(symbol)
        if view is None:
            raise errors.invalid_symbol()
        return view

    def of(self, order: Order) -> MarketView:
        """Return the view of an order's market."""
        return self.views[order.market.spec.symbol]
