"""Orders on OKX: place, amend, cancel, and their two-level answers; the same for REST and WebSocket.

Source: OKX v5 docs, "Order Book Trading / Trade", seen 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.model import NewOrder, Order, OrderKind, RefusalReason, Refused
from engine.sim.okx.errors import OkxError, empty_parameter, refusal, wrong_parameter
from engine.sim.okx.instruments import Instrument, Listing
from engine.sim.okx.views import Views, market_order_id, order_number

CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
ORDER_TYPES = ("market", "limit", "post_only", "fok", "ioc", "optimal_limit_ioc")
STP_MODES = {"cancel_maker": "EXPIRE_MAKER", "cancel_taker": "EXPIRE_TAKER", "cancel_both": "EXPIRE_BOTH"}
Item = Mapping[str, Any]


def given(item: Item, name: str) -> Any:
    """Return a parameter, None where it is absent, empty or null."""
    value = item.get(name)
    return None if value in ("", None) else value


def text(item: Item, name: str) -> str:
    """Return a parameter that must be there, as text."""
    value = given(item, name)
    if value is None:
        raise empty_parameter(name)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise wrong_parameter(name)
    return str(value)


def number(item: Item, name: str) -> Decimal:
    """Return a positive decimal parameter that must be there."""
    try:
        value = Decimal(text(item, name))
    except InvalidOperation:
        raise wrong_parameter(name) from None
    if not value.is_finite() or value <= 0 or len(value.as_tuple().digits) > 40:
        raise wrong_parameter(name)
    return value


def flag(item: Item, name: str) -> bool:
    """Return a boolean parameter, false where it is absent."""
    value = given(item, name)
    if value in (None, False, "false"):
        return False
    if value in (True, "true"):
        return True
    raise wrong_parameter(name)


class Trading:
    """Executes order requests.

    Args:
        exchange, listing, views: what is traded and how it is shown.
        now_ms: the venue's clock.
    """

    def __init__(self, exchange: Exchange, listing: Listing, views: Views, now_ms: Callable[[], int]) -> None:
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._now_ms = now_ms
        self.amend_queue: list[tuple[Order, str]] = []

    # -------------------------------------------------------------------------------------- answers

    def answer(self, action: Callable[[Account, Item, Instrument], dict[str, Any]], account: Account,
               item: Item, one: Instrument | OkxError) -> dict[str, Any]:  # fmt: skip
        """Run one item and return its row of ``data``."""
        echo = {"clOrdId": str(given(item, "clOrdId") or ""), "ts": str(self._now_ms())}
        try:
            if isinstance(one, OkxError):
                raise one
            return echo | action(account, item, one) | {"sCode": "0", "sMsg": "", "subCode": ""}
        except Refused as error:
            told = refusal(error.reason)
        except OkxError as error:
            told = error
        row = {"ordId": "", "tag": str(given(item, "tag") or ""), "sCode": told.code, "sMsg": told.message}
        return echo | row | {"subCode": ""}

    def by_id(self, item: Item) -> Instrument | OkxError:
        """Return the instrument that ``instId`` names, or the refusal."""
        name = given(item, "instId")
        if name is None:
            return empty_parameter("instId")
        one = self._listing.by_id.get(str(name))
        return one or OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")

    def by_code(self, item: Item) -> Instrument | OkxError:
        """Return the instrument that ``instIdCode`` names, or the refusal: sockets take no ``instId``."""
        code = given(item, "instIdCode")
        if code is None:
            return empty_parameter("instIdCode")
        one = self._listing.by_code.get(code) if isinstance(code, int) else None
        return one or OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")

    # ---------------------------------------------------------------------------------------- place

    def place(self, account: Account, item: Item, one: Instrument) -> dict[str, Any]:
        """Place an order; post-only, fok and ioc that cannot be are accepted, then cancelled."""
        kind = text(item, "ordType")
        if kind not in ORDER_TYPES:
            raise wrong_parameter("ordType")
        side = text(item, "side")
        if side not in ("buy", "sell"):
            raise wrong_parameter("side")
        self._check_mode(item, one)
        client_id = self._client_id(item, account, one)
        is_market = kind in ("market", "optimal_limit_ioc")
        amount, lots = self._size(item, one, side, is_market)
        stp = str(given(item, "stpMode") or "cancel_maker")
        if stp not in STP_MODES:
            raise wrong_parameter("stpMode")
        reduce_only = flag(item, "reduceOnly")
        if reduce_only:
            self._check_reduce(account, one, side, lots)
        extra: dict[str, object] = {
            name: str(given(item, name) or "") for name in ("clOrdId", "ordType", "tag", "tdMode", "tgtCcy")
        }
        order = self._exchange.submit(
            NewOrder(
                account=account, market=one.market, side="BUY" if side == "buy" else "SELL",
                kind=OrderKind.MARKET if is_market else OrderKind.LIMIT,
                price_ticks=0 if is_market else self._price(item, "px", one, side), qty_lots=lots,
                quote_amount=amount,
                time_in_force="FOK" if kind == "fok" else "IOC" if kind == "ioc" else "GTC",
                post_only=kind == "post_only", post_only_cancels=True, reduce_only=reduce_only,
                client_order_id=client_id, stp_mode=STP_MODES[stp], extra=extra | {"stpMode": stp},
            )
        )  # fmt: skip
        return {"ordId": order_number(order, one), "tag": extra["tag"]}

    def _check_mode(self, item: Item, one: Instrument) -> None:
        mode, side = text(item, "tdMode"), given(item, "posSide")
        if one.is_swap:
            if mode not in ("cross", "isolated"):
                raise OkxError("51010", "Request unsupported under current account mode")
            if side not in (None, "net"):
                raise wrong_parameter("posSide")
            return
        if mode != "cash":
            raise OkxError("51010", "Request unsupported under current account mode")
        if side is not None:
            raise wrong_parameter("posSide")
        if flag(item, "reduceOnly"):
            raise OkxError("51139", "Reduce-only feature is unavailable for SPOT")

    def _client_id(self, item: Item, account: Account, one: Instrument) -> str:
        value = given(item, "clOrdId")
        if value is None:
            return ""
        if not isinstance(value, str) or CLIENT_ID.fullmatch(value) is None:
            raise wrong_parameter("clOrdId")
        if any((account.name, value) in each.market.orders_by_client_id for each in self._listing.all):
            raise refusal(RefusalReason.DUPLICATE_CLIENT_ID)
        return value

    def _size(self, item: Item, one: Instrument, side: str, is_market: bool) -> tuple[Decimal | None, int]:
        size, spec = number(item, "sz"), one.market.spec
        if is_market and not one.is_swap:
            unit = given(item, "tgtCcy") or ("quote_ccy" if side == "buy" else "base_ccy")
            if unit not in ("quote_ccy", "base_ccy"):
                raise wrong_parameter("tgtCcy")
            if unit == "quote_ccy" and side == "buy":
                return size, 0
        base = size * one.contract_size
        if size < spec.min_qty / one.contract_size:
            raise OkxError("51020", "Your order should meet or exceed the minimum order amount.")
        if base % spec.lot_size:
            raise OkxError("51121", "Order quantity must be a multiple of the lot size.")
        if base > spec.max_qty:
            raise OkxError("51101", "Entered amount exceeds the max pending order amount per transaction.")
        return None, int(base / spec.lot_size)

    def _price(self, item: Item, name: str, one: Instrument, side: str) -> int:
        price, tick = number(item, name), one.market.spec.tick_size
        if price % tick:
            raise wrong_parameter(name)
        ticks = int(price / tick)
        high, low = self._views.limits(one)
        if ticks > high if side == "buy" else ticks < low:
            raise OkxError("51006", "Order price is not within the price limit")
        return ticks

    def _check_reduce(self, account: Account, one: Instrument, side: str, lots: int) -> None:
        held = account.position(one.inst_id).lots
        if held == 0 or (held > 0) == (side == "buy"):
            raise refusal(RefusalReason.REDUCE_ONLY)
        if lots > abs(held):
            raise OkxError("51112", "Close order size exceeds your available position size")

    # -------------------------------------------------------------------------------- amend, cancel

    def find(self, account: Account, item: Item, one: Instrument) -> Order:
        """Return the order that ``ordId`` (which wins) or ``clOrdId`` names; raises Refused, OkxError."""
        venue_id, client_id = given(item, "ordId"), given(item, "clOrdId")
        if venue_id is not None:
            number_there = market_order_id(str(venue_id), one)
            return self._exchange.find(account, one.market, number_there)
        if client_id is None:
            raise empty_parameter("ordId or clOrdId")
        return self._exchange.find(account, one.market, client_order_id=str(client_id))

    def cancel(self, account: Account, item: Item, one: Instrument) -> dict[str, Any]:
        """Cancel an order."""
        try:
            order = self.find(account, item, one)
            self._exchange.cancel(order)
        except Refused as error:
            if error.reason is RefusalReason.UNKNOWN_ORDER:
                raise OkxError(
                    "51400",
                    "Order cancellation failed as the order has been filled, canceled or does not exist.",
                ) from None
            raise
        return {"ordId": order_number(order, one), "clOrdId": str(order.extra.get("clOrdId", ""))}

    def amend(self, account: Account, item: Item, one: Instrument) -> dict[str, Any]:
        """Change price or total size; the outcome is pushed with ``amendResult`` and ``reqId``."""
        try:
            order = self.find(account, item, one)
        except Refused:
            raise OkxError("51503", "Order modification failed as the order does not exist.") from None
        if not order.is_open:
            raise OkxError("51509", "Order modification failed as the order has been filled or canceled.")
        price, lots = order.price_ticks, order.qty_lots
        if given(item, "newSz") is not None:
            base = number(item, "newSz") * one.contract_size
            if base % one.market.spec.lot_size:
                raise OkxError("51121", "Order quantity must be a multiple of the lot size.")
            lots = int(base / one.market.spec.lot_size)
        if given(item, "newPx") is not None:
            price = self._price(item, "newPx", one, order.side.lower())
        if price == order.price_ticks and lots == order.qty_lots:
            raise OkxError("51500", "You must enter a price, quantity, or TP/SL.")
        if order.post_only and price != order.price_ticks and self._would_take(order, price):
            raise OkxError("51511", "Order modification failed as the price would immediately match.")
        request_id = str(given(item, "reqId") or "")
        order.extra |= {"reqId": request_id, "amendResult": "0"}
        if lots < order.qty_lots and price == order.price_ticks:
            self._exchange.reduce_in_place(order, lots)
        else:
            self._exchange.amend(order, price, lots)
        order.extra |= {"reqId": "", "amendResult": ""}
        answer = {"ordId": order_number(order, one), "reqId": request_id}
        return answer | {"clOrdId": str(order.extra.get("clOrdId", ""))}

    def _would_take(self, order: Order, price: int) -> bool:
        best = order.market.opposite(order.side).best
        return best is not None and (price >= best if order.side == "BUY" else price <= best)


def envelope(rows: list[dict[str, Any]], came_us: int, went_us: int) -> dict[str, Any]:
    """Return the two-level answer of an order request: ``code`` sums up the items."""
    failed = sum(row["sCode"] != "0" for row in rows)
    code = "0" if not failed else "1" if failed == len(rows) else "2"
    message = {"0": "", "1": "All operations failed", "2": "Bulk operation partially succeeded."}[code]
    return {"code": code, "msg": message, "data": rows, "inTime": str(came_us), "outTime": str(went_us)}
