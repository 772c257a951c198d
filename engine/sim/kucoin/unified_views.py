"""Orders, fills, positions and balances in the words of the unified API.

Capitals and nanoseconds in answers, names of one or two letters in pushes.

Source: KuCoin API docs, "UTA / Order", "UTA / Position", "UTA / WebSocket"; samples of clients, 2026-01 to
2026-03.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.clearing import Clearing
from engine.sim.kucoin.instruments import Instrument, Listing, cut, plain
from engine.sim.kucoin.views import NS, Views, client_oid, ended_early, fees
from engine.sim.model import EndReason, FillRecord, Order, OrderKind

_WORDS = ("triggerDirection", "triggerPrice", "triggerPriceType", "tpTriggerPrice", "tpTriggerPriceType",
          "slTriggerPrice", "slTriggerPriceType")  # fmt: skip


def status(order: Order) -> int:
    """Return an order's state: 2 live, 3 filled, 4 partly filled, 5 cancelled, 6 cancelled after a part."""
    if order.is_open:
        return 4 if order.filled_lots else 2
    if ended_early(order):
        return 6 if order.filled_lots else 5
    return 3


def average(order: Order) -> str:
    """Return an order's average price, "0" without a fill."""
    if not order.filled_lots:
        return "0"
    return cut(order.filled_quote / order.market.qty(order.filled_lots))


def reason(order: Order) -> str:
    """Return why an order was cancelled, "" where it was not."""
    if not ended_early(order):
        return ""
    words = {EndReason.NONE: "USER", EndReason.STP: "STP", EndReason.IOC_REST: "IOC"}
    return words.get(order.end_reason, "SYSTEM")


class UnifiedViews:
    """Renders the exchange's objects for the unified API."""

    def __init__(self, listing: Listing, views: Views, clearing: Clearing) -> None:
        self._listing = listing
        self._views = views
        self._clearing = clearing

    def order(self, order: Order) -> dict[str, Any]:
        """Return an order of the queries."""
        one, given = self._listing.by_market[order.market], order.extra
        return {
            "orderId": self._views.order_id(order), "symbol": one.symbol, "orderType": order.kind.value,
            "side": order.side, "size": one.size.text(order.qty_lots), "price": _price(order, one),
            "timeInForce": given.get("timeInForce", "GTC"), "tags": given.get("tags") or "",
            "orderTime": order.created_ms * NS, "stp": given.get("stp") or "", "cancelAfter": None,
            "postOnly": order.post_only, "reduceOnly": order.reduce_only, **dict.fromkeys(_WORDS, ""),
            "filledSize": one.size.text(order.filled_lots), "avgPrice": average(order),
            "fee": plain(fees(order)), "feeCurrency": order.market.spec.settle or order.market.spec.quote,
            "tax": "0", "updatedTime": order.updated_ms * NS, "triggerOrderId": "",
            "cancelReason": reason(order),
            "cancelSize": one.size.text(order.leaves_lots) if ended_early(order) else "0",
            "clientOid": client_oid(order), "sizeUnit": _unit(one), "status": status(order),
        }  # fmt: skip

    def execution(self, fill: FillRecord) -> dict[str, Any]:
        """Return a fill of the queries."""
        order = fill.order
        one, market = self._listing.by_market[order.market], order.market
        return {
            "orderId": self._views.order_id(order), "symbol": one.symbol, "orderType": order.kind.value,
            "side": order.side, "tradeId": str(fill.trade_id), "size": one.size.text(fill.qty_lots),
            "price": one.price.text(fill.price_ticks),
            "value": plain(market.price(fill.price_ticks) * market.qty(fill.qty_lots)),
            "executionTime": fill.time_ms * NS, "fee": plain(fill.fee), "feeCurrency": fill.fee_asset,
            "tax": "", "liquidityRole": "MAKER" if fill.is_maker else "TAKER", "fillType": "NORMAL",
        }  # fmt: skip

    def position(self, account: Account, one: Instrument, margin_mode: str) -> dict[str, Any]:
        """Return a position of the queries."""
        market, held = one.market, account.position(one.symbol)
        value = abs(market.qty(held.lots)) * market.mark_price
        leverage = self._clearing.leverage(account, market)
        return {
            "symbol": one.symbol, "id": f"1000000{account.uid:09d}{one.number:03d}",
            "marginMode": margin_mode, "size": plain(one.size.step * held.lots),
            "entryPrice": plain(held.entry_price), "positionValue": cut(value),
            "markPrice": plain(market.mark_price), "leverage": str(leverage),
            "unrealizedPnL": cut(self._clearing.unrealised(account, market)),
            "realizedPnL": cut(held.realised), "initialMargin": cut(value / leverage),
            "mmr": cut(Decimal(1) / market.spec.max_leverage / 2, 6),
            "maintenanceMargin": cut(value / market.spec.max_leverage / 2),
            "creationTime": held.updated_ms * NS, "updateTime": held.updated_ms * NS,
        }  # fmt: skip

    def currency(self, account: Account, product: str, currency: str) -> dict[str, str]:
        """Return one currency of an account as the queries tell it."""
        balance = account.balance(product, currency)
        free, equity = balance.free, balance.total
        if product == "perp":
            sums = self._views.margins(account, currency)
            free, equity = sums["available"], sums["balance"] + sums["profit"]
        return {
            "currency": currency, "equity": f"{equity:.10f}", "hold": f"{balance.total - free:.10f}",
            "balance": f"{balance.total:.10f}", "available": f"{free:.10f}", "liability": f"{ZERO:.10f}",
        }  # fmt: skip

    # ------------------------------------------------------------------------------------ pushes

    def order_push(self, order: Order, event: str, fill: FillRecord | None) -> dict[str, Any]:
        """Return an order's change; ``event`` is ``NEW``, ``FILL``, ``CANCEL`` or ``UPDATE``."""
        one, given, ended = self._listing.by_market[order.market], order.extra, ended_early(order)
        liquidity = "" if fill is None else "MAKER" if fill.is_maker else "TAKER"
        left = order.leaves_lots
        return {
            "tT": one.trade_type, "oi": self._views.order_id(order), "ci": client_oid(order),
            "os": status(order), "eT": event, "s": one.symbol, "S": order.side, "oT": order.kind.value,
            "lR": liquidity, "oS": "USER", "p": _price(order, one),
            "ti": "" if fill is None else str(fill.trade_id), "q": one.size.text(order.qty_lots),
            "qU": _unit(one), "fS": one.size.text(order.filled_lots),
            "lS": "0" if fill is None else one.size.text(fill.qty_lots),
            "lP": "0" if fill is None else one.price.text(fill.price_ticks), "aP": average(order),
            "f": plain(fees(order)), "fC": order.market.spec.settle or order.market.spec.quote, "t": "0",
            "cR": reason(order), "cS": one.size.text(left if ended else 0),
            "rS": one.size.text(left if order.is_open else 0), "stp": given.get("stp") or "",
            "rO": order.reduce_only, "tIF": given.get("timeInForce", "GTC"), "pO": order.post_only,
            "O": str(order.created_ms * NS), "U": order.updated_ms * NS,
        }  # fmt: skip

    def execution_push(self, fill: FillRecord, is_lite: bool) -> dict[str, Any]:
        """Return an own fill; the lite one bears no fee."""
        order = fill.order
        one = self._listing.by_market[order.market]
        lite: dict[str, Any] = {
            "E": str(fill.time_ms * NS), "S": order.side, "p": one.price.text(fill.price_ticks),
            "q": one.size.text(fill.qty_lots), "s": one.symbol,
            "lR": "MAKER" if fill.is_maker else "TAKER", "oT": order.kind.value,
            "oi": self._views.order_id(order), "ti": fill.trade_id,
        }  # fmt: skip
        if is_lite:
            return lite
        return lite | {
            "ci": client_oid(order), "f": plain(fill.fee), "fC": fill.fee_asset, "tT": one.trade_type,
            "qU": _unit(one), "fT": "NORMAL",
        }  # fmt: skip

    def position_push(self, account: Account, one: Instrument, margin_mode: str) -> dict[str, Any]:
        """Return a position's change."""
        row = self.position(account, one, margin_mode)
        held = account.position(one.symbol)
        return {
            "pi": row["id"], "s": one.symbol, "mM": margin_mode, "q": row["size"], "eP": row["entryPrice"],
            "pV": row["positionValue"], "mP": row["markPrice"], "lP": "0", "bP": "0", "l": row["leverage"],
            "uPL": row["unrealizedPnL"], "rPL": row["realizedPnL"], "iM": row["initialMargin"],
            "mmr": row["mmr"], "mtM": row["maintenanceMargin"], "U": str(held.updated_ms * NS),
            "O": held.updated_ms * NS,
        }  # fmt: skip

    def balance_push(
        self, account: Account, product: str, currency: str, now_ms: int, version: int
    ) -> dict[str, Any]:
        """Return a currency's change; the futures wallet of a classic account tells its margins."""
        row = self.currency(account, product, currency)
        shown: dict[str, Any] = {
            "c": currency, "e": row["equity"], "b": row["balance"], "a": row["available"], "h": row["hold"],
            "U": str(now_ms * NS), "l": row["liability"],
        }  # fmt: skip
        if product != "perp":
            return shown
        sums = self._views.margins(account, currency)
        return shown | {
            "E": version, "h": "0", "cOM": "0", "cPM": "0", "cUP": "0", "iFF": "0",
            "iOM": cut(sums["orders"]), "iPM": cut(sums["positions"]), "iUP": cut(sums["profit"]),
            "tCM": cut(sums["available"]),
        }  # fmt: skip


def _price(order: Order, one: Instrument) -> str:
    return "0" if order.kind is OrderKind.MARKET else one.price.text(order.price_ticks)


def _unit(one: Instrument) -> str:
    return "UNIT" if one.is_futures else "BASECCY"
