"""What Binance offers, per product: rows of the capability matrix."""

from __future__ import annotations

from engine.model.instrument import Product
from engine.venues.base import Capabilities

CAPABILITIES = {
    Product.SPOT: Capabilities(
        depth="@depth@100ms",
        depth_rule="range",
        snapshots="joined",
        complete_tops=True,
        amend=True,
        amend_only=("smaller",),
        private="subscription",
    ),
    Product.PERP: Capabilities(
        depth="@depth@100ms",
        depth_rule="previous",
        snapshots="joined",
        complete_tops=True,
        funding=("rate", "settlement", "mark", "index"),
        reduce_only=True,
        amend=True,
        private="listen key",
    ),
}
