"""What OKX offers, per product: rows of the capability matrix."""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import Capabilities
from engine.venues.okx.endpoints import DEPTH_CHANNEL, DEPTH_SPEEDS

CAPABILITIES = {
    product: Capabilities(
        depth=f"{DEPTH_CHANNEL} {DEPTH_SPEEDS[0]}",
        depth_rule="chain",
        snapshots="streamed",
        funding=() if product is Product.SPOT else ("rate", "settlement", "mark", "open interest"),
        amend=True,
        reduce_only=product is Product.PERP,
        notes="" if product is Product.SPOT else "linear swaps, cross margin, net position mode",
    )
    for product in Product
}
