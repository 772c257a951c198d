"""Instruments as Bybit names and counts them: base coin everywhere, never contracts.

Source: Bybit v5 docs, "Get Instruments Info", seen 2026-07.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.market import Market
from engine.sim.tape import MINUTE_MS, Candle, Print, Tape
from engine.sim.texts import Scale

CATEGORIES = ("spot", "linear")
EMPTY_CATEGORIES = ("inverse", "option")
PRINTS_KEPT = 1_000
DAY_MS = 86_400_000
LAUNCHED_MS = "1585526400000"
LIMIT_RATIO = Decimal("0.05")
"""How far through the market a limit order may be priced; shown as ``priceLimitRatioX``."""
MAX_PRICE_TICKS = 19_999_998
MAX_ORDER_AMOUNT = Decimal(8_000_000)
"""Largest value of a spot order, quote units."""


def number_text(value: Decimal) -> str:
    """Return a number without exponent and trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def places(step: Decimal) -> int:
    """Return how many decimals a step has."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


class Instrument:
    """One market under its Bybit name; the same ``symbol`` is another instrument per ``category``.

    Attributes:
        number: ``symbolId``. price, size: texts of ticks and lots. tape: what has traded.
        prints: the latest trades with their ``seq``.
    """

    def __init__(self, market: Market, number: int) -> None:
        spec = market.spec
        self.market = market
        self.symbol = spec.symbol
        self.is_linear = spec.product == "perp"
        self.category = "linear" if self.is_linear else "spot"
        self.number = number
        self.price = Scale(spec.tick_size, places(spec.tick_size))
        self.size = Scale(spec.lot_size, places(spec.lot_size))
        self.tape = Tape()
        self._day_at = (0, 0)
        self._past: Candle | None = None
        self.prints: deque[tuple[Print, int]] = deque(maxlen=PRINTS_KEPT)

    def order_id(self, number: int) -> str:
        """Return an order's ``orderId``: UUID on linear, decimal on spot."""
        if self.is_linear:
            return f"{self.number:08x}-0000-4000-8000-{number:012x}"
        return f"{1_000_000 + self.number}{number:012d}"

    def order_number(self, text: str) -> int:
        """Return the exchange's own number of an ``orderId``, 0 when it is none of this instrument's."""
        if self.is_linear:
            head, tail = f"{self.number:08x}-0000-4000-8000-", text[24:]
            if text.startswith(head) and len(tail) == 12:
                try:
                    return int(tail, 16)
                except ValueError:
                    return 0
            return 0
        head = str(1_000_000 + self.number)
        return int(text[7:]) if text.isdecimal() and text.startswith(head) and len(text) == 19 else 0

    def trade_id(self, number: int) -> str:
        """Return a trade's id: UUID on linear, decimal on spot."""
        if self.is_linear:
            return f"{self.number:08x}-0000-5000-8000-{number:012x}"
        return f"21{self.number:05d}{number:012d}"

    def day(self, now_ms: int) -> Candle | None:
        """Return what has traded within 24 hours as one candle, None without a trade.

        Minutes that are over are added up once a minute: a ticker asks many times a second.
        """
        minutes = self.tape.minutes
        if not minutes:
            return None
        latest, minute = minutes[-1], now_ms // MINUTE_MS
        if (minute, latest.open_ms) != self._day_at:
            self._day_at = (minute, latest.open_ms)
            first_ms = now_ms - DAY_MS
            past = [each for each in itertools.islice(minutes, len(minutes) - 1) if each.open_ms > first_ms]
            self._past = dataclasses.replace(past[0]) if past else None
            for each in past[1:]:
                assert self._past is not None
                self._past.add(each)
        if self._past is None:
            return latest
        day = dataclasses.replace(self._past)
        day.add(latest)
        return day

    @property
    def status(self) -> str:
        """Return the venue's word for the market's status."""
        return {"PRE_TRADING": "PreLaunch", "HALTED": "Closed", "SETTLING": "Delivering"}.get(
            self.market.status, "Trading"
        )

    def view(self) -> dict[str, Any]:
        """Return the object of ``instruments-info``."""
        return self._linear() if self.is_linear else self._spot()

    def _linear(self) -> dict[str, Any]:
        spec = self.market.spec
        most = number_text(spec.max_qty)
        return {
            "symbol": self.symbol, "symbolId": self.number, "contractType": "LinearPerpetual",
            "status": self.status, "baseCoin": spec.base, "quoteCoin": spec.quote, "launchTime": LAUNCHED_MS,
            "deliveryTime": "0", "deliveryFeeRate": "", "priceScale": str(places(spec.tick_size)),
            "leverageFilter": {
                "minLeverage": "1", "maxLeverage": f"{spec.max_leverage}.00", "leverageStep": "0.01",
            },
            "priceFilter": {
                "minPrice": number_text(spec.tick_size),
                "maxPrice": number_text(spec.tick_size * MAX_PRICE_TICKS),
                "tickSize": number_text(spec.tick_size),
            },
            "lotSizeFilter": {
                "maxOrderQty": most, "minOrderQty": number_text(spec.min_qty),
                "qtyStep": number_text(spec.lot_size), "postOnlyMaxOrderQty": most,
                "maxMktOrderQty": number_text(spec.max_qty / 2),
                "minNotionalValue": number_text(spec.min_notional),
            },
            "unifiedMarginTrade": True, "fundingInterval": spec.funding_interval_h * 60,
            "settleCoin": spec.settle, "copyTrading": "both", "upperFundingRate": "0.00375",
            "lowerFundingRate": "-0.00375", "isPreListing": False, "preListingInfo": None,
            "riskParameters": {"priceLimitRatioX": number_text(LIMIT_RATIO), "priceLimitRatioY": "0.1"},
            "symbolType": "",
        }  # fmt: skip

    def _spot(self) -> dict[str, Any]:
        spec = self.market.spec
        most = number_text(spec.max_qty)
        return {
            "symbol": self.symbol, "symbolId": self.number, "baseCoin": spec.base, "quoteCoin": spec.quote,
            "innovation": "0", "status": self.status, "marginTrading": "utaOnly", "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": number_text(spec.lot_size),
                "quotePrecision": number_text(spec.lot_size * spec.tick_size),
                "minOrderQty": number_text(spec.min_qty), "maxOrderQty": most,
                "minOrderAmt": number_text(spec.min_notional), "maxOrderAmt": number_text(MAX_ORDER_AMOUNT),
                "maxLimitOrderQty": most, "maxMarketOrderQty": number_text(spec.max_qty / 2),
                "postOnlyMaxLimitOrderSize": most,
            },
            "priceFilter": {"tickSize": number_text(spec.tick_size)},
            "riskParameters": {"priceLimitRatioX": number_text(LIMIT_RATIO), "priceLimitRatioY": "0.1"},
            "symbolType": "", "xstockMultiplier": "1",
        }  # fmt: skip


class Listing:
    """Every instrument, by market and by (category, symbol)."""

    def __init__(self, markets: Iterable[Market]) -> None:
        self.all = [Instrument(market, 5 + number) for number, market in enumerate(markets)]
        self.by_market = {one.market: one for one in self.all}
        self.by_name = {(one.category, one.symbol): one for one in self.all}
        self._by_category = {
            category: [one for one in self.all if one.category == category] for category in CATEGORIES
        }

    def of(self, category: str) -> list[Instrument]:
        """Return the instruments of one category."""
        return self._by_category.get(category, [])

    def one(self, category: str, symbol: str) -> Instrument:
        """Return an instrument; raises BybitError."""
        found = self.by_name.get((category, symbol))
        if found is None:
            if category == "spot":
                raise BybitError(170121, "Invalid symbol.")
            raise wrong("params error: symbol invalid " + symbol)
        return found
