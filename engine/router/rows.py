"""An order as people and machines are shown it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.model.instrument import Instrument
from engine.router.order import AmendState, Order


def order_row(order: Order, instrument: Instrument) -> dict[str, Any]:
    """Return one order with exact decimals; ``amend`` names the terms that an open amend asked for."""
    row: dict[str, Any] = {
        "venue": order.venue,
        "pair": order.universal,
        "client_order_id": order.client_order_id,
        "venue_order_id": order.venue_order_id,
        "side": order.side.word,
        "qty": f"{instrument.qty(order.qty).normalize():f}",
        "cum_qty": f"{instrument.qty(order.cum_qty).normalize():f}",
        "average_price": _average_price(order, instrument),
        "price": f"{instrument.price(order.price).normalize():f}" if order.price else None,
        "state": order.state.value,
        "reason": order.reason or None,
        "fees": {asset: str(amount) for asset, amount in order.fees.items()},
        "is_external": order.is_external,
        "amend": None,
    }
    if order.amend_number or order.amend_reason:
        row["amend"] = {"state": order.amend_state.value, "reason": order.amend_reason or None}
    if order.amend_state is not AmendState.NONE:
        row["amend"]["qty"] = f"{instrument.qty(order.amend_qty).normalize():f}"
        row["amend"]["price"] = f"{instrument.price(order.amend_price).normalize():f}"
    return row


def _average_price(order: Order, instrument: Instrument) -> str | None:
    """Return what was paid on average; ``None`` while fills are missing that the venue has counted."""
    booked = order.booked_qty
    if not booked or booked < order.cum_qty:
        return None
    price = Decimal(order.cum_quote_scaled) / booked
    return f"{price.scaleb(-instrument.price_scale).normalize():f}"
