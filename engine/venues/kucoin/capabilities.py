"""What KuCoin offers, per product: rows of the capability matrix.

The rows are those of a classic account and the unified streams; ``NOTES.md`` says what a unified account and
the classic streams do otherwise.
"""

from __future__ import annotations

import msgspec

from engine.model.instrument import Product
from engine.venues.base import Capabilities
from engine.venues.kucoin.endpoints import CLASSIC_DEPTH, UNIFIED_DEPTH

CAPABILITIES = {
    Product.SPOT: Capabilities(
        depth=f"obu {UNIFIED_DEPTH}",
        depth_rule="range",
        snapshots="streamed",
        amend=True,
        private="token",
        notes="an amended order has a new venue id and a new place in the queue",
    ),
    Product.PERP: Capabilities(
        depth=f"obu {UNIFIED_DEPTH}",
        depth_rule="range",
        snapshots="streamed",
        funding=("rate", "settlement", "mark", "index", "open interest"),
        time_in_force=("gtc", "ioc"),
        reduce_only=True,
        private="token",
        notes="sizes are whole lots; one-way position mode",
    ),
}

CLASSIC_STREAMS = {
    product: msgspec.structs.replace(
        offers,
        depth=CLASSIC_DEPTH[product],
        snapshots="joined",
        funding=() if product is Product.SPOT else ("rate", "mark", "index"),
    )
    for product, offers in CAPABILITIES.items()
}
"""What market data is with ``streams = "classic"``; everything else is as above."""
