"""What BitMart offered, per product: rows of the capability matrix."""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import Capabilities
from engine.venues.bitmart.endpoints import FUTURES_DEPTH, SPOT_DEPTH

CAPABILITIES = {
    Product.SPOT: Capabilities(
        depth=f"{SPOT_DEPTH} 100ms",
        depth_rule="range",
        snapshots="streamed",
        order_entry=("rest",),
        order_types=("limit",),
        time_in_force=("gtc", "ioc"),
        notes="closed since 2026-08-26, simulated only; market sells work, market buys are amounts of quote",
    ),
    Product.PERP: Capabilities(
        depth=f"{FUTURES_DEPTH} 100ms",
        depth_rule="range",
        snapshots="streamed",
        funding=("rate", "settlement", "mark", "index"),
        order_entry=("rest",),
        reduce_only=True,
        amend=True,
        notes="closed since 2026-08-26, simulated only; whole contracts, cross margin, one-way mode",
    ),
}
