"""What Bybit offers, per product: rows of the capability matrix."""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import Capabilities
from engine.venues.bybit.endpoints import DEPTH_FASTEST, DEPTH_LEVELS

CAPABILITIES = {
    product: Capabilities(
        depth=f"orderbook.{DEPTH_LEVELS[DEPTH_FASTEST]} {DEPTH_FASTEST}",
        depth_rule="range",
        snapshots="streamed",
        funding=() if product is Product.SPOT else ("rate", "settlement", "mark", "index", "open interest"),
        reduce_only=product is Product.PERP,
        amend=True,
        notes="" if product is Product.SPOT else "USDT and USDC perpetuals, one-way mode",
    )
    for product in Product
}
