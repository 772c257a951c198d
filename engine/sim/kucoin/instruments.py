"""Instruments as KuCoin names and counts them: in coins on spot, in lots of several coins on futures.

Source: KuCoin API docs, "Get All Symbols", "Get All Contracts", unified "Get Symbol", seen 2025-11.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from engine.sim.market import Market
from engine.sim.tape import Tape

FIRST_FUTURES_ID = 1_700_000_000_001
FUTURES_ID_STEP = 3_000_000_000
PRICE_LIMIT = Decimal("0.1")
FUTURES_LIMIT = Decimal("0.05")
LISTED_MS = 1_585_555_200_000
_REMEMBERED = 8_192


def plain(value: Decimal) -> str:
    """Return a number without exponent and trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def cut(value: Decimal, places: int = 10) -> str:
    """Return a number cut to ``places`` decimals, without trailing zeros."""
    return plain(value.quantize(Decimal(1).scaleb(-places)))


def number(value: Decimal, places: int = 10) -> float | int:
    """Return a number for JSON, whole where it is whole."""
    rounded = round(value, places)
    return (
        int(rounded) if rounded == rounded.to_integral_value() and abs(rounded) < 1 << 50 else float(rounded)
    )


class Steps:
    """Turns whole steps into decimal text without trailing zeros, remembered once made."""

    __slots__ = ("_kept", "step")

    def __init__(self, step: Decimal) -> None:
        self.step = step
        self._kept: dict[int, str] = {}

    def text(self, steps: int) -> str:
        """Return ``steps`` whole steps as text."""
        text = self._kept.get(steps)
        if text is None:
            if len(self._kept) >= _REMEMBERED:
                self._kept.clear()
            text = self._kept[steps] = plain(self.step * steps)
        return text


class Instrument:
    """One market under its KuCoin name.

    Attributes:
        number: tells markets apart inside ids. trade_type: ``SPOT`` or ``FUTURES``.
        price: texts of ticks. size: texts of the core's lots as the wire counts them. tape: what has traded.
        unit: wire lots in one of the core's lots (futures).
    """

    def __init__(self, market: Market, number: int) -> None:
        spec = market.spec
        self.market = market
        self.symbol = spec.symbol
        self.number = number
        self.is_futures = spec.product == "perp"
        self.trade_type = "FUTURES" if self.is_futures else "SPOT"
        self.price = Steps(spec.tick_size)
        step = spec.lot_size / spec.contract_size if self.is_futures else spec.lot_size
        self.size = Steps(step)
        self.unit = int(step) if self.is_futures else 0
        self.tape = Tape()

    def order_id(self, order_number: int, generation: int = 0) -> str:
        """Return an order's id: 24 hexadecimal digits on spot, decimal on futures.

        Args:
            generation: how often the order was altered; each time its id changes.
        """
        if self.is_futures:
            return f"4{self.number:05d}{order_number:012d}"
        return f"6743{self.number:04x}{generation:04x}{order_number:012x}"

    def order_number(self, text: str) -> tuple[int, int] | None:
        """Return (exchange's number, generation) of an id, None when it is none of this instrument's."""
        if self.is_futures:
            head = f"4{self.number:05d}"
            return (
                (int(text[6:]), 0) if len(text) == 18 and text.isdecimal() and text.startswith(head) else None
            )
        if len(text) != 24 or not text.startswith(f"6743{self.number:04x}"):
            return None
        try:
            return int(text[12:], 16), int(text[8:12], 16)
        except ValueError:
            return None

    def lots(self, size: int) -> int:
        """Return wire lots of a futures market from the core's."""
        return size * self.unit

    @property
    def status(self) -> str:
        """Return a contract's ``status``."""
        words = {
            "TRADING": "Open",
            "CANCEL_ONLY": "CancelOnly",
            "SETTLING": "BeingSettled",
            "PRE_TRADING": "Init",
        }
        return words.get(self.market.status, "Paused")

    def limits(self) -> tuple[Decimal, Decimal]:
        """Return the highest price of a buy and the lowest of a sell."""
        market = self.market
        middle = market.mark_price if self.is_futures else market.price(market.last_price_ticks)
        rate = FUTURES_LIMIT if self.is_futures else PRICE_LIMIT
        return middle * (1 + rate), middle * (1 - rate)

    def funding_granularity_ms(self) -> int:
        """Return the time between two settlements."""
        return self.market.spec.funding_interval_h * 3_600_000

    def last_rate(self) -> Decimal:
        """Return the funding rate settled last, the running one before any settlement."""
        history = self.market.funding_history
        return history[-1][1] if history else self.market.funding_rate

    def spot_view(self) -> dict[str, Any]:
        """Return the object of ``/api/v2/symbols``."""
        spec = self.market.spec
        shown: dict[str, Any] = {
            "symbol": self.symbol, "name": self.symbol, "baseCurrency": spec.base,
            "quoteCurrency": spec.quote, "feeCurrency": spec.quote,
            "market": "USDS" if spec.quote == "USDT" else spec.quote,
            "baseMinSize": plain(spec.min_qty), "quoteMinSize": plain(spec.min_notional),
            "baseMaxSize": plain(spec.max_qty), "quoteMaxSize": "99999999",
            "baseIncrement": plain(spec.lot_size), "quoteIncrement": "0.000001",
            "priceIncrement": plain(spec.tick_size), "priceLimitRate": plain(PRICE_LIMIT),
            "minFunds": plain(spec.min_notional), "isMarginEnabled": False,
            "enableTrading": self.market.status == "TRADING", "feeCategory": 1, "makerFeeCoefficient": "1.00",
            "takerFeeCoefficient": "1.00", "st": False, "callauctionIsEnabled": False,
        }  # fmt: skip
        later = (
            "callauctionPriceFloor", "callauctionPriceCeiling", "callauctionFirstStageStartTime",
            "callauctionSecondStageStartTime", "callauctionThirdStageStartTime", "tradingStartTime",
        )  # fmt: skip
        return shown | dict.fromkeys(later)

    def contract_view(self, now_ms: int) -> dict[str, Any]:
        """Return the object of ``/api/v1/contracts/active``: JSON numbers, open interest a text."""
        market, spec = self.market, self.market.spec
        granularity, leverage = self.funding_granularity_ms(), Decimal(spec.max_leverage)
        hours = f"{spec.funding_interval_h}H"
        high, low = self.limits()
        day = self.tape.day(now_ms)
        last = market.price(market.last_price_ticks)
        opened = market.price(day.open) if day else last
        volume = market.qty(day.volume) if day else Decimal(0)
        turnover = day.turnover * spec.tick_size * spec.lot_size if day else Decimal(0)
        lots = int(spec.max_qty / spec.contract_size)
        return {
            "symbol": self.symbol, "rootSymbol": spec.settle, "type": "FFWCSX", "firstOpenDate": LISTED_MS,
            "expireDate": None, "settleDate": None, "baseCurrency": spec.base, "quoteCurrency": spec.quote,
            "settleCurrency": spec.settle, "maxOrderQty": lots, "marketMaxOrderQty": lots,
            "maxPrice": 1_000_000.0, "lotSize": self.unit, "tickSize": float(spec.tick_size),
            "indexPriceTickSize": float(spec.tick_size), "multiplier": float(spec.contract_size),
            "initialMargin": float(round(1 / leverage, 6)),
            "maintainMargin": float(round(1 / leverage / 2, 6)),
            "maxRiskLimit": 100_000, "minRiskLimit": 100_000, "riskStep": 50_000,
            "makerFeeRate": float(spec.maker_fee), "takerFeeRate": float(spec.taker_fee), "takerFixFee": 0.0,
            "makerFixFee": 0.0, "settlementFee": None, "isDeleverage": True, "isQuanto": True,
            "isInverse": False, "markMethod": "FairPrice", "fairMethod": "FundingRate",
            "fundingBaseSymbol": f".{spec.base}INT8H", "fundingQuoteSymbol": f".{spec.quote}INT8H",
            "fundingRateSymbol": f".{self.symbol}FPI{hours}", "indexSymbol": f".K{spec.base}{spec.quote}",
            "settlementSymbol": "", "status": self.status, "fundingFeeRate": float(market.funding_rate),
            "predictedFundingFeeRate": None, "fundingRateGranularity": granularity,
            "fundingRateCap": 0.003, "fundingRateFloor": -0.003,
            "lastTimeFundingRate": float(self.last_rate()),
            "period": 1, "openInterest": str(market.open_interest_lots), "turnoverOf24h": float(turnover),
            "volumeOf24h": float(volume), "markPrice": float(market.mark_price),
            "indexPrice": float(market.index_price), "lastTradePrice": float(last),
            "nextFundingRateTime": max(0, market.next_funding_ms - now_ms),
            "nextFundingRateDateTime": market.next_funding_ms, "maxLeverage": spec.max_leverage,
            "sourceExchanges": ["okex", "binance", "kucoin", "bybit", "bitmart", "gateio"],
            "premiumsSymbol1M": f".{self.symbol}PI", "premiumsSymbol8H": f".{self.symbol}PI8H",
            "fundingBaseSymbol1M": f".{spec.base}INT", "fundingQuoteSymbol1M": f".{spec.quote}INT",
            "lowPrice": float(market.price(day.low) if day else last),
            "highPrice": float(market.price(day.high) if day else last),
            "priceChgPct": float(round((last - opened) / opened, 6)), "priceChg": float(last - opened),
            "k": 490.0, "m": 300.0, "f": 1.3, "mmrLimit": 0.3, "mmrLevConstant": 125.0, "supportCross": True,
            "buyLimit": float(round(high, 8)), "sellLimit": float(round(low, 8)), "marketStage": "NORMAL",
        }  # fmt: skip

    def unified_view(self) -> dict[str, Any]:
        """Return the object of the unified ``market/instrument``."""
        spec = self.market.spec
        trading = "1" if self.market.status == "TRADING" else "0"
        if not self.is_futures:
            return {
                "symbol": self.symbol, "name": self.symbol, "baseCurrency": spec.base,
                "quoteCurrency": spec.quote, "market": "USDS" if spec.quote == "USDT" else spec.quote,
                "minBaseOrderSize": plain(spec.min_qty), "minQuoteOrderSize": plain(spec.min_notional),
                "maxBaseOrderSize": plain(spec.max_qty), "maxQuoteOrderSize": "99999999",
                "baseOrderStep": plain(spec.lot_size), "quoteOrderStep": "0.000001",
                "tickSize": plain(spec.tick_size), "feeCurrency": spec.quote, "tradingStatus": trading,
                "marginMode": "2", "priceLimitRatio": plain(PRICE_LIMIT), "feeCategory": 1,
                "makerFeeCoefficient": "1.00", "takerFeeCoefficient": "1.00", "st": False,
            }  # fmt: skip
        return {
            "symbol": self.symbol, "baseCurrency": spec.base, "quoteCurrency": spec.quote,
            "maxBaseOrderSize": int(spec.max_qty / spec.contract_size), "tickSize": float(spec.tick_size),
            "tradingStatus": trading, "settlementCurrency": spec.settle, "contractType": "0",
            "isInverse": False, "launchTime": LISTED_MS, "expiryTime": None, "settlementTime": None,
            "maxPrice": 1_000_000.0, "lotSize": self.unit, "unitSize": float(spec.contract_size),
            "makerFeeRate": float(spec.maker_fee), "takerFeeRate": float(spec.taker_fee),
            "settlementFeeRate": None, "maxLeverage": spec.max_leverage,
            "indexSourceExchanges": ["okex", "binance", "kucoin", "bybit", "bitmart", "gateio"],
            "k": 490.0, "m": 300.0, "f": 1.3, "mmrLimit": 0.3, "mmrLevConstant": 125.0,
        }  # fmt: skip


def hidden(start: int) -> Iterator[int]:
    """Yield numbers and leave every third out: events that change nothing visible use up numbers too."""
    for at in itertools.count(start):
        if at % 3:
            yield at


class Listing:
    """Every instrument, by market and by symbol (no symbol is both spot and futures).

    The core numbers all perpetuals together; here each contract counts its own changes by one, below the
    running millisecond as the venue's do, and spot numbers have gaps for what nobody sees.
    """

    def __init__(self, markets: Iterable[Market]) -> None:
        self.all = [Instrument(market, 1 + number) for number, market in enumerate(markets)]
        self.by_market = {one.market: one for one in self.all}
        self.by_symbol = {one.symbol: one for one in self.all}
        for one in self.all:
            market = one.market
            if one.is_futures:
                market.ids = itertools.count(FIRST_FUTURES_ID + one.number * FUTURES_ID_STEP)
            else:
                market.ids = hidden(market.last_id + 1)
            market.last_id = next(market.ids)
            market.start_publishing()

    def of(self, is_futures: bool) -> list[Instrument]:
        """Return the instruments of one product."""
        return [one for one in self.all if one.is_futures == is_futures]

    def find(self, symbol: str, is_futures: bool) -> Instrument | None:
        """Return an instrument of a product by its symbol."""
        one = self.by_symbol.get(symbol)
        return one if one is not None and one.is_futures == is_futures else None
