"""Instruments as BitMart names and counts them: spot in base coins, futures in contracts.

Source: BitMart spot docs, "Get Trading Pair Details"; futures v2 docs, "Get Contract Details", mirrored copy
of 2025-11; catalog of 2026-09-23.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.sim.market import Market
from engine.sim.tape import Candle, Tape
from engine.sim.texts import Scale

OPENED_MS = 1_594_080_000_000
LONG_ZEROS = 30
SPOT_ID = 200_000_000_000_000_000
FUTURES_ID = 30_000_000_000_000_000
"""Futures order ids lie above 2**53, where binary floats skip integers."""
MARKET_STEP = 1_000_000_000_000


def number_text(value: Decimal) -> str:
    """Return a number without exponent and trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def amount_text(value: Decimal) -> str:
    """Return an amount with eight decimals, or with as many as it really has."""
    return f"{value:.8f}" if value == round(value, 8) else number_text(value)


def places(step: Decimal) -> int:
    """Return how many decimals a step has."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def _padded(value: Decimal) -> str:
    return f"{value:.{LONG_ZEROS}f}"


class Instrument:
    """One market under its BitMart name.

    Attributes:
        size_step: what one unit of the wire's sizes is in base coins: 1 on spot, a contract's on futures.
        price, size: texts of ticks and lots; a size of zero is ``0`` whatever the width.
        tape: what has traded. number: ``symbol_id``.
    """

    def __init__(self, market: Market, number: int) -> None:
        spec = market.spec
        self.market = market
        self.symbol = spec.symbol
        self.is_futures = spec.product == "perp"
        self.product = spec.product
        self.number = number
        self.size_step = spec.contract_size if self.is_futures else Decimal(1)
        lot = spec.lot_size / self.size_step
        self.price = Scale(spec.tick_size, places(spec.tick_size))
        self.size = Scale(lot, places(lot))
        self.tape = Tape()

    # ------------------------------------------------------------------------------------------ ids

    def order_id(self, number: int) -> int:
        """Return the id of an order on the wire; spot sends it as text, futures mostly too."""
        return (FUTURES_ID if self.is_futures else SPOT_ID) + self.number * MARKET_STEP + number

    def order_number(self, wire_id: object) -> int:
        """Return the exchange's own number of an order id, 0 when it is none of this instrument's."""
        text = str(wire_id)
        if isinstance(wire_id, bool) or not text.isdecimal() or len(text) > 20:
            return 0
        number = int(text) - self.order_id(0)
        return number if 0 < number < MARKET_STEP else 0

    # -------------------------------------------------------------------------------------- numbers

    def size_text(self, lots: int) -> str:
        """Return a quantity in the wire's unit."""
        return self.size.text(lots) if lots else "0"

    def level(self, ticks: int, lots: int) -> tuple[str, str]:
        """Return a price level's texts."""
        return self.price.text(ticks), self.size_text(lots)

    def value(self, ticks: int, lots: int) -> Decimal:
        """Return price times quantity in quote coins."""
        return self.market.price(ticks) * self.market.qty(lots)

    @property
    def is_trading(self) -> bool:
        """Tell whether the market is open."""
        return self.market.status == "TRADING"

    def day(self, now_ms: int) -> Candle:
        """Return the last 24 hours as one candle; one flat point at the last price without a trade."""
        last = self.market.last_price_ticks
        return self.tape.day(now_ms) or Candle(now_ms, 0, last, last, last, last)

    def change(self, now_ms: int) -> Decimal:
        """Return the last 24 hours' relative change."""
        day = self.day(now_ms)
        return (Decimal(day.close - day.open) / day.open).quantize(Decimal("1e-8"))

    # ----------------------------------------------------------------------------------------- rows

    def spot_details(self) -> dict[str, Any]:
        """Return the row of ``/spot/v1/symbols/details``; sizes carry thirty decimals as the venue's do."""
        spec = self.market.spec
        return {
            "symbol": self.symbol, "symbol_id": self.number, "base_currency": spec.base,
            "quote_currency": spec.quote, "base_min_size": _padded(max(spec.min_qty, spec.lot_size)),
            "base_max_size": _padded(spec.max_qty), "price_min_precision": places(spec.tick_size) - 3,
            "price_max_precision": places(spec.tick_size), "quote_increment": number_text(spec.lot_size),
            "expiration": "NA", "min_buy_amount": _padded(spec.min_notional),
            "min_sell_amount": _padded(spec.min_notional),
            "trade_status": "trading" if self.is_trading else "pre-trade",
        }  # fmt: skip

    def futures_details(self, now_ms: int) -> dict[str, Any]:
        """Return the row of ``/contract/public/details``; sizes are contracts."""
        spec, market, day = self.market.spec, self.market, self.day(now_ms)
        most = self.size.text(int(spec.max_qty / spec.lot_size))
        settled = market.funding_history[-1][1] if market.funding_history else market.funding_rate
        interest = market.open_interest_lots
        return {
            "symbol": self.symbol, "product_type": 1, "open_timestamp": OPENED_MS, "expire_timestamp": 0,
            "settle_timestamp": 0, "base_currency": spec.base, "quote_currency": spec.quote,
            "last_price": self.price.text(market.last_price_ticks), "volume_24h": self.size_text(day.volume),
            "turnover_24h": number_text(day.turnover * spec.tick_size * spec.lot_size),
            "index_price": number_text(market.index_price), "index_name": self.symbol,
            "contract_size": number_text(spec.contract_size), "min_leverage": "1",
            "max_leverage": str(spec.max_leverage), "price_precision": number_text(spec.tick_size),
            "vol_precision": number_text(self.size.step), "max_volume": most, "market_max_volume": most,
            "min_volume": number_text(spec.min_qty / self.size_step),
            "funding_rate": number_text(round(settled, 7)),
            "expected_funding_rate": number_text(market.funding_rate),
            "open_interest": self.size_text(interest),
            "open_interest_value": number_text(interest * spec.lot_size * market.mark_price),
            "high_24h": self.price.text(day.high), "low_24h": self.price.text(day.low),
            "change_24h": number_text(self.change(now_ms)), "funding_interval_hours": spec.funding_interval_h,
            "funding_time": market.next_funding_ms, "status": "Trading",
            "delist_time": 0,
        }  # fmt: skip


DECOYS: tuple[tuple[str, str, str, str, str, int], ...] = (
    ("BTCUSD", "BTC", "USD", "100", "Trading", 0),
    ("OLDUSDT", "OLD", "USDT", "1", "Delisted", 1_745_000_000),
)
"""Rows of the catalog that nobody trades here: coin-margined (the contract is 100 USD) and long delisted."""


def decoy_rows() -> list[dict[str, Any]]:
    """Return the catalog's rows without a market: a client has to leave them out itself."""
    rows = []
    for symbol, base, quote, contract_size, status, delisted_s in DECOYS:
        numbers = dict.fromkeys(
            ("volume_24h", "turnover_24h", "open_interest", "open_interest_value", "change_24h"), "0"
        )
        rows.append(
            {
                "symbol": symbol, "product_type": 1, "open_timestamp": OPENED_MS, "expire_timestamp": 0,
                "settle_timestamp": 0, "base_currency": base, "quote_currency": quote,
                "last_price": "70000", "index_price": "70000", "index_name": symbol,
                "contract_size": contract_size, "min_leverage": "1", "max_leverage": "100",
                "price_precision": "0.1", "vol_precision": "1", "max_volume": "1000000",
                "market_max_volume": "50000", "min_volume": "1", "funding_rate": "0.0001",
                "expected_funding_rate": "0.0001", "high_24h": "70000", "low_24h": "70000",
                "funding_interval_hours": 8, "funding_time": 0, "status": status,
                "delist_time": delisted_s, **numbers,
            }
        )  # fmt: skip
    return rows


class Listing:
    """Every instrument, by market and by (product, symbol)."""

    def __init__(self, markets: Iterable[Market]) -> None:
        self.all = [Instrument(market, 50 + number) for number, market in enumerate(markets)]
        self.by_market = {one.market: one for one in self.all}
        self.by_name = {(one.product, one.symbol): one for one in self.all}

    def of(self, product: str) -> list[Instrument]:
        """Return the instruments of one product (``spot``, ``perp``)."""
        return [one for one in self.all if one.product == product]
