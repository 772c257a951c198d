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
from engine.sim.okx import quotes
from engine.sim.okx.errors import OkxError, empty_parameter, refusal, wrong_parameter
from engine.sim.okx.instruments import Instrument, Listing
from engine.sim.okx.views import Views, market_order_id, order_number

CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
TAG = re.compile(r"[A-Za-z0-9]{1,16}")
ROW = ("clOrdId", "ordId", "tag", "ts", "reqId", "sCode", "sMsg", "subCode")
"""Members of an item's answer, in the venue's order."""
PENDING_MAX = 4_000
SPOT_MARKET_MAX = Decimal(1_000_000)
ORDER_WORTH_MAX = Decimal(20_000_000)
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
    if not value.is_finite() or value <= 0 or abs(value.adjusted()) > 30:
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
        tell: pushes an order as it stands, for what no event of the exchange tells.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        views: Views,
        now_ms: Callable[[], int],
        tell: Callable[[Order], None],
    ) -> None:
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._now_ms = now_ms
        self._tell = tell

    # -------------------------------------------------------------------------------------- answers

    def answer(self, action: Callable[[Account, Item, Instrument], dict[str, Any]], account: Account,
               item: Item, one: Instrument | OkxError) -> dict[str, Any]:  # fmt: skip
        """Run one item and return its row of ``data``."""
        echo = {"clOrdId": str(given(item, "clOrdId") or ""), "ts": str(self._now_ms())}
        try:
            if isinstance(one, OkxError):
                raise one
            done = echo | action(account, item, one) | {"sCode": "0", "sMsg": "", "subCode": ""}
            return {name: done[name] for name in ROW if name in done}
        except Refused as error:
            told = refusal(error.reason)
        except OkxError as error:
            told = error
        failed = echo | {
            "ordId": "", "tag": str(given(item, "tag") or ""), "sCode": told.code, "sMsg": told.message,
            "subCode": "",
        }  # fmt: skip
        return {name: failed[name] for name in ROW if name in failed}

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
        is_number = isinstance(code, int) and not isinstance(code, bool)
        one = self._listing.by_code.get(code) if is_number else None
        return one or OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")

    # ---------------------------------------------------------------------------------------- place

    def place(self, account: Account, item: Item, one: Instrument) -> dict[str, Any]:
        """Place an order; post-only, fok and ioc that cannot be are accepted, then cancelled."""
        kind = text(item, "ordType")
        if kind not in ORDER_TYPES or (kind == "optimal_limit_ioc" and not one.is_swap):
            raise wrong_parameter("ordType")
        side = text(item, "side")
        if side not in ("buy", "sell"):
            raise wrong_parameter("side")
        self._check_mode(item, one)
        self._check_state(one)
        client_id = self._client_id(item, account)
        tag = str(given(item, "tag") or "")
        if tag and TAG.fullmatch(tag) is None:
            raise wrong_parameter("tag")
        is_market = kind in ("market", "optimal_limit_ioc")
        price = 0 if is_market else self._price(item, "px", one, side)
        amount, lots = self._size(item, one, side, price)
        stp = str(given(item, "stpMode") or "cancel_maker")
        if stp not in STP_MODES:
            raise wrong_parameter("stpMode")
        reduce_only = flag(item, "reduceOnly")
        if reduce_only:
            self._check_reduce(account, one, side, lots)
        else:
            self._check_funds(account, one, side, price, amount, lots)
        if sum(each.market.open_count.get(account.name, 0) for each in self._listing.all) >= PENDING_MAX:
            raise refusal(RefusalReason.TOO_MANY_ORDERS)
        extra: dict[str, object] = {
            name: str(given(item, name) or "") for name in ("clOrdId", "ordType", "tdMode", "tgtCcy")
        }
        order = self._exchange.submit(
            NewOrder(
                account=account, market=one.market, side="BUY" if side == "buy" else "SELL",
                kind=OrderKind.MARKET if is_market else OrderKind.LIMIT,
                price_ticks=price, qty_lots=lots, quote_amount=amount,
                time_in_force="FOK" if kind == "fok" else "IOC" if kind == "ioc" else "GTC",
                post_only=kind == "post_only", post_only_cancels=True, reduce_only=reduce_only,
                client_order_id=client_id, stp_mode=STP_MODES[stp],
                extra=extra | {"stpMode": stp, "tag": tag},
            )
        )  # fmt: skip
        return {"ordId": order_number(order, one), "tag": tag}

    def close_position(self, account: Account, item: Item) -> list[dict[str, Any]]:
        """Close a position at market, whole; raises OkxError."""
        one = self._listing.named(text(item, "instId"))
        if text(item, "mgnMode") != "cross" or given(item, "posSide") not in (None, "net"):
            raise wrong_parameter("mgnMode" if text(item, "mgnMode") != "cross" else "posSide")
        held = account.position(one.inst_id).lots if one.is_swap else 0
        if held == 0:
            raise OkxError("51023", "Position does not exist.")
        pending = self._exchange.open_orders(account, "perp", one.market)
        closing = [order for order in pending if (order.side == "SELL") == (held > 0)]
        if closing and not flag(item, "autoCxl"):
            raise OkxError("51113", "Market-price liquidation order already exists.")
        for each in closing:
            self._exchange.cancel(each)
        order = {
            "tdMode": "cross", "side": "sell" if held > 0 else "buy", "ordType": "market",
            "reduceOnly": True, "sz": one.size_text(abs(held)), "clOrdId": given(item, "clOrdId"),
            "tag": given(item, "tag"),
        }  # fmt: skip
        try:
            self.place(account, order, one)
        except Refused as error:
            raise refusal(error.reason) from None
        names = {name: str(given(item, name) or "") for name in ("clOrdId", "tag")}
        return [{"instId": one.inst_id, "posSide": "net"} | names]

    def _check_mode(self, item: Item, one: Instrument) -> None:
        """Check margin mode and position side for account mode 2 (futures), net positions.

        The matching core knows cross margin only, so isolated is refused as an account without it would.
        """
        mode, side = text(item, "tdMode"), given(item, "posSide")
        if mode not in ("cash", "cross", "isolated", "spot_isolated"):
            raise wrong_parameter("tdMode")
        if mode != ("cross" if one.is_swap else "cash"):
            raise OkxError("51010", "Request unsupported under current account mode")
        if side not in ((None, "net") if one.is_swap else (None,)):
            raise wrong_parameter("posSide")
        if flag(item, "reduceOnly") and not one.is_swap:
            raise OkxError("51139", "Reduce-only feature is unavailable for SPOT")

    def _check_state(self, one: Instrument) -> None:
        if one.market.status == "SETTLING":
            raise OkxError("51030", "The funding fee is being settled.")

    def _client_id(self, item: Item, account: Account) -> str:
        value = given(item, "clOrdId")
        if value is None:
            return ""
        if not isinstance(value, str) or CLIENT_ID.fullmatch(value) is None:
            raise wrong_parameter("clOrdId")
        if any((account.name, value) in each.market.orders_by_client_id for each in self._listing.all):
            raise refusal(RefusalReason.DUPLICATE_CLIENT_ID)
        return value

    def _size(self, item: Item, one: Instrument, side: str, price: int) -> tuple[Decimal | None, int]:
        """Return money to spend (spot market buys by amount) or None, and lots; ``price`` 0: at market."""
        size, spec = number(item, "sz"), one.market.spec
        at = one.market.price(price or one.market.last_price_ticks)
        if not price and not one.is_swap:
            unit = given(item, "tgtCcy") or ("quote_ccy" if side == "buy" else "base_ccy")
            if unit not in ("quote_ccy", "base_ccy"):
                raise wrong_parameter("tgtCcy")
            worth = size if unit == "quote_ccy" else size * at
            if worth * self._views.dollars(spec.quote) > SPOT_MARKET_MAX:
                raise OkxError("51201", "Value of per market order cannot exceed 1,000,000 USDT.")
            if unit == "quote_ccy":
                if size < spec.min_qty * at:
                    raise _too_small()
                if side == "buy":
                    return size, 0
                size = size / at // spec.lot_size * spec.lot_size
        return None, self._lots(size, one, at)

    def _lots(self, size: Decimal, one: Instrument, at: Decimal) -> int:
        """Return a size of the wire in lots; raises OkxError where it is too small, large or uneven."""
        spec = one.market.spec
        base = size * one.contract_size
        if base < spec.min_qty:
            raise _too_small()
        if base % spec.lot_size:
            raise OkxError("51121", "Order quantity must be a multiple of the lot size.")
        if base > spec.max_qty:
            if one.is_swap:
                raise OkxError(
                    "51101", "Entered amount exceeds the max pending order amount (Cont) per transaction."
                )
            raise OkxError("51005", "Your order amount exceeds the max order amount.")
        if base * at * self._views.dollars(spec.quote) > ORDER_WORTH_MAX:
            raise OkxError("51116", "Order price x quantity exceeds the max order value.")
        return int(base / spec.lot_size)

    def _price(self, item: Item, name: str, one: Instrument, side: str) -> int:
        price, tick = number(item, name), one.market.spec.tick_size
        if price % tick:
            # UNCONFIRMED: documented for options only, where prices are rounded.
            raise wrong_parameter(name)
        ticks = int(price / tick)
        high, low = quotes.price_band(one)
        if ticks <= high if side == "buy" else ticks >= low:
            return ticks
        if str(given(item, "pxAmendType") or "0") == "1":
            return high if side == "buy" else low
        raise OkxError(
            "51006",
            "Order price is not within the price limit "
            f"(max buy price: {one.price_text(high)}, min sell price: {one.price_text(low)})",
        )

    def _check_funds(
        self, account: Account, one: Instrument, side: str, price: int, amount: Decimal | None, lots: int
    ) -> None:
        """Refuse what the one wallet cannot pay, whichever product has taken the rest; raises OkxError."""
        market, spec = one.market, one.market.spec
        at = market.price(price or market.last_price_ticks)
        if not one.is_swap:
            cost = amount if amount is not None else market.qty(lots) * at
            if side == "buy" and cost > self._views.available(account, spec.quote):
                raise refusal(RefusalReason.INSUFFICIENT_BALANCE)
            return
        held = account.position(one.inst_id).lots
        opening = lots if (held > 0) == (side == "buy") else max(0, lots - abs(held))
        need = market.qty(opening) * at / self._exchange.clearing.leverage(account, market)
        if need > self._views.available(account, one.settle):
            raise refusal(RefusalReason.MARGIN)

    def _check_reduce(self, account: Account, one: Instrument, side: str, lots: int) -> None:
        held = account.position(one.inst_id).lots
        if held == 0 or (held > 0) == (side == "buy"):
            raise refusal(RefusalReason.REDUCE_ONLY)
        if lots > abs(held):
            raise OkxError("51112", "Close order size exceeds available size for this position")

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
        """Change price or total size; the outcome is pushed with ``amendResult`` and ``reqId``.

        Raises:
            OkxError: the request was refused; with ``cxlOnFail`` the order has been cancelled then.
        """
        try:
            order = self.find(account, item, one)
        except Refused:
            raise OkxError("51503", "Order modification failed as the order does not exist.") from None
        if not order.is_open:
            raise OkxError("51509", "Order modification failed as the order has been filled or canceled.")
        request_id = str(given(item, "reqId") or "")
        if request_id and CLIENT_ID.fullmatch(request_id) is None:
            raise wrong_parameter("reqId")
        try:
            price, lots = self._amended(order, item, one)
        except OkxError:
            if flag(item, "cxlOnFail"):
                self._mark(order, request_id, "1")
                self._exchange.cancel(order)
            raise
        self._change(order, price, lots, request_id, flag(item, "cxlOnFail"))
        answer = {"ordId": order_number(order, one), "reqId": request_id}
        return answer | {"clOrdId": str(order.extra.get("clOrdId", ""))}

    def _amended(self, order: Order, item: Item, one: Instrument) -> tuple[int, int]:
        """Return new price and total, ticks and lots; raises OkxError."""
        price, lots = order.price_ticks, order.qty_lots
        if given(item, "newPx") is not None:
            price = self._price(item, "newPx", one, order.side.lower())
        if given(item, "newSz") is not None:
            lots = self._lots(number(item, "newSz"), one, one.market.price(price))
        if price == order.price_ticks and lots == order.qty_lots:
            raise OkxError("51500", "You must enter a price, quantity, or TP/SL.")
        if order.post_only and price != order.price_ticks and self._would_take(order, price):
            raise OkxError(
                "51511", "Order modification failed as the price would immediately match and take liquidity."
            )
        return price, lots

    def _change(self, order: Order, price: int, lots: int, request_id: str, cancels: bool) -> None:
        """Carry out an accepted amend; one that fails now is told by the orders channel alone."""
        if lots <= order.filled_lots:
            order.extra["amendedAway"] = True
        self._mark(order, request_id, "0")
        try:
            if lots < order.qty_lots and price == order.price_ticks:
                self._exchange.reduce_in_place(order, lots)
            else:
                self._exchange.amend(order, price, lots)
        except Refused as error:
            if error.reason not in (RefusalReason.INSUFFICIENT_BALANCE, RefusalReason.MARGIN):
                raise
            told = refusal(error.reason)
            self._mark(order, request_id, "1" if cancels else "-1", told)
            if cancels:
                self._exchange.cancel(order)
            else:
                self._tell(order)
        finally:
            self._mark(order, "", "")

    def _mark(self, order: Order, request_id: str, result: str, error: OkxError | None = None) -> None:
        """Write on an order what the next messages of the orders channel say about an amend."""
        order.extra |= {
            "reqId": request_id, "amendResult": result, "amendSource": "1" if result else "",
            "code": error.code if error else "0", "msg": error.message if error else "",
        }  # fmt: skip

    def _would_take(self, order: Order, price: int) -> bool:
        best = order.market.opposite(order.side).best
        return best is not None and (price >= best if order.side == "BUY" else price <= best)


def _too_small() -> OkxError:
    return OkxError("51020", "Your order should meet or exceed the minimum order amount.")


def envelope(rows: list[dict[str, Any]], came_us: int, went_us: int) -> dict[str, Any]:
    """Return the two-level answer of an order request: ``code`` sums up the items."""
    failed = sum(row["sCode"] != "0" for row in rows)
    code = "0" if not failed else "1" if failed == len(rows) else "2"
    message = {"0": "", "1": "All operations failed", "2": "Bulk operation partially succeeded."}[code]
    return {"code": code, "msg": message, "data": rows, "inTime": str(came_us), "outTime": str(went_us)}
