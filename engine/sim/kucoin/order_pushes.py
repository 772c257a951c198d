"""Rows of the classic order topics.

Source: KuCoin API docs, spot "Order Change V2", futures "All Order change pushes", seen 2025-11. Spot
``orderTime`` is in milliseconds, futures' in nanoseconds, and there a text in matches (recorded 2026-02)
and a number elsewhere (documented).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.sim.kucoin.instruments import Instrument, plain
from engine.sim.kucoin.views import NS, client_oid, ended_early
from engine.sim.model import FillRecord, Order, OrderKind

_STATUS = {"received": "new", "open": "open", "update": "open", "filled": "done", "canceled": "done",
           "altered": "done"}  # fmt: skip


def spot_order(
    one: Instrument, order: Order, order_id: str, kind: str, fill: FillRecord | None,
    changed: Mapping[str, Any], now_ms: int,
) -> dict[str, Any]:  # fmt: skip
    """Return a row of ``/spotMarket/tradeOrders(V2)``.

    Args:
        kind: ``received``, ``open``, ``match``, ``update``, ``filled``, ``canceled``, or ``altered``: the end
            of an order whose change gave it another id.
        changed: ``oldSize`` in lots; ``orderId`` where it is not the order's present one.
    """
    size = one.size.text(order.qty_lots)
    row: dict[str, Any] = {
        "clientOid": client_oid(order), "orderId": changed.get("orderId", order_id),
        "orderTime": order.created_ms, "orderType": order.kind.value.lower(), "originSize": size,
        "side": order.side.lower(), "status": _status(kind, fill), "symbol": one.symbol,
        "type": "canceled" if kind == "altered" else kind,
        "price": "0" if order.kind is OrderKind.MARKET else one.price.text(order.price_ticks),
        "ts": now_ms * NS,
    }  # fmt: skip
    if order.quote_amount is not None:
        row["originFunds"] = plain(order.quote_amount)
    if kind == "received":
        return row
    row |= {
        "canceledFunds": "0", "canceledSize": _canceled(one, order, kind, changed),
        "filledSize": one.size.text(order.filled_lots), "remainFunds": "",
        "remainSize": "0" if kind == "altered" else one.size.text(order.leaves_lots if order.is_open else 0),
        "size": size,
    }  # fmt: skip
    return row | _more(one, kind, fill, changed)


def futures_order(
    one: Instrument, order: Order, order_id: str, kind: str, fill: FillRecord | None,
    changed: Mapping[str, Any], now_ms: int,
) -> dict[str, Any]:  # fmt: skip
    """Return a row of ``/contractMarket/tradeOrders``; arguments as for spot."""
    time_ns = order.created_ms * NS
    row: dict[str, Any] = {
        "symbol": one.symbol, "orderType": order.kind.value.lower(), "side": order.side.lower(),
        "canceledSize": _canceled(one, order, kind, changed), "orderId": order_id, "positionSide": "BOTH",
        "liquidity": "maker", "marginMode": order.extra.get("marginMode", "ISOLATED"), "type": kind,
        "orderTime": str(time_ns) if kind == "match" else time_ns, "size": one.size.text(order.qty_lots),
        "filledSize": one.size.text(order.filled_lots),
        "price": "0" if order.kind is OrderKind.MARKET else one.price.text(order.price_ticks),
        "remainSize": one.size.text(order.leaves_lots if order.is_open else 0),
        "clientOid": client_oid(order), "tradeType": "trade", "status": _status(kind, fill),
        "ts": now_ms * NS,
    }  # fmt: skip
    return row | _more(one, kind, fill, changed)


def _status(kind: str, fill: FillRecord | None) -> str:
    """Return the ``status`` of a row: a match is ``open`` for the maker, ``match`` for the taker."""
    if kind == "match":
        return "open" if fill is not None and fill.is_maker else "match"
    return _STATUS[kind]


def _canceled(one: Instrument, order: Order, kind: str, changed: Mapping[str, Any]) -> str:
    if kind == "altered":
        return one.size.text(max(0, int(changed["oldSize"]) - order.filled_lots))
    return one.size.text(order.leaves_lots) if ended_early(order) else "0"


def _more(one: Instrument, kind: str, fill: FillRecord | None, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that only matches and updates have."""
    if fill is not None:
        word = "maker" if fill.is_maker else "taker"
        return {
            "liquidity": word, "feeType": f"{word}Fee", "matchPrice": one.price.text(fill.price_ticks),
            "matchSize": one.size.text(fill.qty_lots), "tradeId": str(fill.trade_id),
        }  # fmt: skip
    if kind == "update":
        return {"oldSize": one.size.text(int(changed["oldSize"]))}
    return {}
