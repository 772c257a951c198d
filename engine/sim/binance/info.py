"""``exchangeInfo`` of both products: what a market is, in the venue's own keys and key order.

Source: Binance spot API docs, "Exchange information"; USDⓈ-M docs, "Exchange Information"; bodies captured
in 2026.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.sim.binance.filters import MarketRules, perp_filter_rows, spot_filter_rows
from engine.sim.binance.limits import LimitRules, interval_name
from engine.sim.model import MarketSpec

NO_DELIVERY_MS = 4_133_404_800_000
ONBOARD_MS = 1_567_965_300_000
ASSET_DECIMALS = 8

SPOT_ORDER_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET")
PERP_ORDER_TYPES = (
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
)  # fmt: skip
PERP_TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
SPOT_STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT")

_PERP_STATUS = {"HALT": "TRADING_HALT", "CANCEL_ONLY": "TRADING_CANCEL_ONLY"}


def market_rules(spec: MarketSpec) -> MarketRules:
    """Return the numbers the filters of a market are made of."""
    return MarketRules(
        tick_size=spec.tick_size,
        lot_size=spec.lot_size,
        min_qty=spec.min_qty,
        max_qty=spec.max_qty,
        min_notional=spec.min_notional,
        max_num_orders=spec.max_num_orders,
        price_decimals=spec.price_decimals,
        qty_decimals=spec.qty_decimals,
        initial_price=Decimal(spec.initial_price),
    )


def rate_limit_rows(rules: LimitRules) -> list[dict[str, Any]]:
    """Return the ``rateLimits`` array of a product."""
    rows = [_limit_row("REQUEST_WEIGHT", 60_000, rules.weight_1m)]
    rows += [_limit_row("ORDERS", length, limit) for limit, length, _, _ in rules.orders]
    if rules.raw_5m is not None:
        rows.append(_limit_row("RAW_REQUESTS", 300_000, rules.raw_5m))
    return rows


def _limit_row(kind: str, length_ms: int, limit: int) -> dict[str, Any]:
    interval, number = interval_name(length_ms)
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def spot_info(now_ms: int, rules: LimitRules, symbols: Iterable[tuple[MarketSpec, str]]) -> dict[str, Any]:
    """Return the spot body; ``symbols`` are pairs of specification and present status."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": rate_limit_rows(rules),
        "exchangeFilters": [],
        "symbols": [spot_symbol(spec, status) for spec, status in symbols],
    }


def spot_symbol(spec: MarketSpec, status: str) -> dict[str, Any]:
    """Return one entry of the spot ``symbols`` array."""
    return {
        "symbol": spec.symbol,
        "status": status,
        "baseAsset": spec.base,
        "baseAssetPrecision": ASSET_DECIMALS,
        "quoteAsset": spec.quote,
        "quotePrecision": ASSET_DECIMALS,
        "quoteAssetPrecision": ASSET_DECIMALS,
        "baseCommissionPrecision": ASSET_DECIMALS,
        "quoteCommissionPrecision": ASSET_DECIMALS,
        "orderTypes": list(SPOT_ORDER_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": spot_filter_rows(market_rules(spec)),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": list(SPOT_STP_MODES),
    }


def perp_info(
    now_ms: int, rules: LimitRules, assets: Iterable[str], symbols: Iterable[tuple[MarketSpec, str]]
) -> dict[str, Any]:
    """Return the USDⓈ-M body; it always lists every contract."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": rate_limit_rows(rules),
        "exchangeFilters": [],
        "assets": [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "0"} for asset in assets],
        "symbols": [perp_symbol(spec, status) for spec, status in symbols],
    }


def perp_symbol(spec: MarketSpec, status: str) -> dict[str, Any]:
    """Return one entry of the USDⓈ-M ``symbols`` array."""
    return {
        "symbol": spec.symbol,
        "pair": spec.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": NO_DELIVERY_MS,
        "onboardDate": ONBOARD_MS,
        "status": _PERP_STATUS.get(status, status),
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": spec.base,
        "quoteAsset": spec.quote,
        "marginAsset": spec.settle or spec.quote,
        "pricePrecision": spec.price_decimals,
        "quantityPrecision": spec.qty_decimals,
        "baseAssetPrecision": ASSET_DECIMALS,
        "quotePrecision": ASSET_DECIMALS,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW", "Crypto"] if spec.base == "BTC" else ["Crypto"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": perp_filter_rows(market_rules(spec)),
        "orderTypes": list(PERP_ORDER_TYPES),
        "timeInForce": list(PERP_TIMES_IN_FORCE),
        "permissionSets": ["GRID", "COPY", "DCA", "PSB"],
    }
