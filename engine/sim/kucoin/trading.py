"""Order requests: what the venue checks, in its order and words, and what it then does.

Altering a spot order is a cancellation and a new order for the venue: the id changes, the queue place is
lost, the ``clientOid`` stays. UNCONFIRMED: whether the new order shows what the old one had filled; here it
does.

Source: KuCoin API docs, "Add Order" and "Modify Order" (spot HF), "Add Order" (futures), unified "Place
Order", seen 2025-11. UNCONFIRMED: the code of a repeated ``clientOid`` on spot; a clientOid is never free
again here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.kucoin.errors import KucoinError, no_order, refusal, wrong
from engine.sim.kucoin.instruments import Instrument, Listing, plain
from engine.sim.kucoin.views import generation
from engine.sim.model import NewOrder, Order, OrderKind, RefusalReason, Refused

CLIENT_OID = re.compile(r"[A-Za-z0-9_-]{1,40}")
TIMES_IN_FORCE = ("GTC", "GTT", "IOC", "FOK")
STP = {"DC": "DECREMENT", "CO": "EXPIRE_MAKER", "CN": "EXPIRE_TAKER", "CB": "EXPIRE_BOTH"}
MOST = Decimal(10) ** 18
"""No number of a request may be larger."""
Item = Mapping[str, Any]


def given(item: Item, name: str) -> Any:
    """Return a parameter, None where it is absent, empty or null."""
    value = item.get(name)
    return None if value in ("", None) else value


def is_true(item: Item, name: str) -> bool:
    """Tell whether a flag is set; texts are taken like booleans."""
    return item.get(name) in (True, "true")


def amount(item: Item, name: str) -> Decimal:
    """Return a positive decimal that must be there; raises KucoinError."""
    value = given(item, name)
    if value is None or isinstance(value, bool):
        raise wrong(f"{name} is invalid.")
    try:
        result = Decimal(str(value))
    except InvalidOperation:
        raise wrong(f"{name} is invalid.") from None
    if not result.is_finite() or not 0 < result <= MOST or len(result.as_tuple().digits) > 28:
        raise wrong(f"{name} is invalid.")
    return result


class MarginModes:
    """Margin mode and cross leverage of accounts by contract; ISOLATED until changed."""

    def __init__(self) -> None:
        self._modes: dict[tuple[str, str], str] = {}

    def mode(self, account: Account, symbol: str) -> str:
        """Return the margin mode of a contract."""
        return self._modes.get((account.name, symbol), "ISOLATED")

    def change(self, account: Account, symbol: str, mode: str) -> None:
        """Set the margin mode of a contract."""
        self._modes[account.name, symbol] = mode


class Trading:
    """Executes order requests.

    Args:
        race: called before a cancel; True when the order was just filled, so that the cancel comes too late.
        rested: called when an order has come to rest on the book.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, now_ms: Callable[[], int],
        race: Callable[[Order, Instrument], bool], rested: Callable[[Order], None],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._now_ms = now_ms
        self._race = race
        self._rested = rested
        self._client_oids: set[tuple[str, bool, str]] = set()
        self.modes = MarginModes()

    def spot(self, item: Item) -> Instrument:
        """Return the spot market of a request; raises KucoinError."""
        one = self._listing.find(str(item.get("symbol", "")), is_futures=False)
        if one is None:
            raise KucoinError("900001", "Symbol not exists")
        return one

    def contract(self, item: Item) -> Instrument:
        """Return the contract of a request; raises KucoinError."""
        one = self._listing.find(str(item.get("symbol", "")), is_futures=True)
        if one is None:
            raise KucoinError("404000", "The contract information you requested does not exist.")
        return one

    # ---------------------------------------------------------------------------------------- place

    def place(
        self, account: Account, item: Item, is_futures: bool, is_unified: bool = False, is_test: bool = False
    ) -> Order | None:
        """Place an order; return it, None after a mere test; raises KucoinError."""
        one = self.contract(item) if is_futures else self.spot(item)
        if item.get("side") not in ("buy", "sell"):
            raise wrong("side is invalid.")
        kind = item.get("type", "limit")
        if kind not in ("limit", "market"):
            raise wrong("type is invalid.")
        side: Literal["BUY", "SELL"] = "BUY" if item["side"] == "buy" else "SELL"
        is_market = kind == "market"
        if given(item, "stop") is not None or given(item, "stopPrice") is not None:
            raise wrong("Stop orders are not accepted here.")
        oid = self._client_oid(account, item, is_futures)
        tif = self._time_in_force(item, is_futures and not is_unified)
        stp = str(given(item, "stp") or "")
        if stp and (stp not in STP or (is_futures and stp == "DC")):
            raise wrong("stp is invalid.")
        self._check_window(item)
        price = 0 if is_market else self._price(item, one, side)
        reduces = is_futures and (is_true(item, "reduceOnly") or is_true(item, "closeOrder"))
        mode = self._futures_settings(account, item, one, reduces, is_unified) if is_futures else ""
        funds: Decimal | None = None
        if is_futures:
            lots = self._lots(account, item, one, price)
        else:
            funds, lots = self._size(item, one, price, is_market)
        extra: dict[str, object] = {
            "clientOid": oid, "stp": stp, "timeInForce": tif, "hidden": is_true(item, "hidden"),
            "iceberg": is_true(item, "iceberg"), "remark": given(item, "remark"), "tags": given(item, "tags"),
            "cancelAfter": given(item, "cancelAfter") or 0, "generation": 0, "marginMode": mode,
            "closeOrder": is_true(item, "closeOrder"),
        }  # fmt: skip
        new = NewOrder(
            account=account, market=one.market, side=side,
            kind=OrderKind.MARKET if is_market else OrderKind.LIMIT, price_ticks=price, qty_lots=lots,
            quote_amount=funds, time_in_force="GTC" if is_market or tif == "GTT" else tif,  # type: ignore[arg-type]
            post_only=is_true(item, "postOnly") and tif not in ("IOC", "FOK") and not is_market,
            post_only_cancels=True, reduce_only=reduces, client_order_id=oid, stp_mode=STP.get(stp, "NONE"),
            extra=extra,
        )  # fmt: skip
        if is_test:
            return None
        return self._submit(new, one, is_unified, tif, item)

    def _submit(self, new: NewOrder, one: Instrument, is_unified: bool, tif: str, item: Item) -> Order:
        try:
            order = self._exchange.submit(new)
        except Refused as error:
            money = (RefusalReason.MARGIN, RefusalReason.INSUFFICIENT_BALANCE)
            if is_unified and error.reason in money:
                raise KucoinError("230003", "Balance insufficient!") from None
            raise refusal(error.reason, one.is_futures) from None
        if new.client_order_id:
            self._client_oids.add((new.account.name, one.is_futures, new.client_order_id))
        if order.is_open:
            self._rested(order)
            if tif == "GTT":
                seconds = float(amount(item, "cancelAfter"))
                asyncio.get_running_loop().call_later(seconds, self._exchange.expire, order)
        return order

    def _client_oid(self, account: Account, item: Item, is_futures: bool) -> str:
        value = given(item, "clientOid")
        if value is None:
            if is_futures and "tradeType" not in item:
                raise wrong("clientOid is required.")
            return ""
        if not isinstance(value, str) or CLIENT_OID.fullmatch(value) is None:
            raise wrong("clientOid is invalid.")
        if (account.name, is_futures, value) in self._client_oids:
            raise refusal(RefusalReason.DUPLICATE_CLIENT_ID, is_futures)
        return value

    def _time_in_force(self, item: Item, is_classic_futures: bool) -> str:
        tif = str(given(item, "timeInForce") or "GTC")
        if tif not in TIMES_IN_FORCE or (is_classic_futures and tif not in ("GTC", "IOC")):
            raise wrong("timeInForce is invalid.")
        if tif == "GTT":
            amount(item, "cancelAfter")
        return tif

    def _check_window(self, item: Item) -> None:
        window, sent = given(item, "allowMaxTimeWindow"), given(item, "clientTimestamp")
        if window is None or sent is None:
            return
        if self._now_ms() > amount(item, "clientTimestamp") + amount(item, "allowMaxTimeWindow"):
            raise wrong("The order arrived later than clientTimestamp + allowMaxTimeWindow.")

    def _price(self, item: Item, one: Instrument, side: str) -> int:
        price, tick = amount(item, "price"), one.market.spec.tick_size
        if price % tick:
            raise wrong("Price increment invalid.")
        high, low = one.limits()
        if side == "BUY" and price > high:
            if one.is_futures:
                raise KucoinError("300011", f"Price must be lower than {plain(round(high, 8))}.")
            raise KucoinError("400370", f"Max price: {plain(round(high, 8))}")
        if side == "SELL" and price < low:
            if one.is_futures:
                raise KucoinError("300012", f"Price must be higher than {plain(round(low, 8))}.")
            raise KucoinError("400760", f"Min price: {plain(round(low, 8))}")
        return int(price / tick)

    def _size(self, item: Item, one: Instrument, price: int, is_market: bool) -> tuple[Decimal | None, int]:
        spec = one.market.spec
        has_funds, has_size = given(item, "funds") is not None, given(item, "size") is not None
        if has_funds and is_market and not has_size:
            funds = amount(item, "funds")
            if funds % Decimal("0.000001"):
                raise wrong("Funds increment invalid.")
            if funds < spec.min_notional:
                raise KucoinError("600101", _too_poor(one))
            return funds, 0
        if not has_size or has_funds:
            raise wrong("Exactly one of size and funds is required.")
        size = amount(item, "size")
        if size % spec.lot_size:
            raise wrong("Quantity increment invalid.")
        if size < spec.min_qty:
            raise KucoinError("600100", "The quantity is below the minimum requirement.")
        if size > spec.max_qty:
            raise KucoinError("600100", "The quantity is above the maximum allowed.")
        if size * one.market.price(price or one.market.last_price_ticks) < spec.min_notional:
            raise KucoinError("600101", _too_poor(one))
        return None, int(size / spec.lot_size)

    def _futures_settings(
        self, account: Account, item: Item, one: Instrument, reduces: bool, is_unified: bool
    ) -> str:
        """Check margin mode, position side and leverage; return the mode."""
        mode = self.modes.mode(account, one.symbol)
        if is_unified:
            return mode
        if str(given(item, "marginMode") or "ISOLATED") != mode:
            raise KucoinError("330005", "The order's margin mode does not match the selected one.")
        if str(given(item, "positionSide") or "BOTH") != "BOTH":
            raise KucoinError("330012", "The order's position side does not match the position mode.")
        leverage = given(item, "leverage")
        if leverage is None:
            if mode == "ISOLATED" and not reduces:
                raise wrong("Leverage parameter invalid.")
            return mode
        wanted = amount(item, "leverage")
        if not 1 <= wanted <= one.market.spec.max_leverage:
            raise wrong("Leverage parameter invalid.")
        if mode == "ISOLATED" and not reduces:
            account.leverage[one.symbol] = int(wanted)
        return mode

    def _lots(self, account: Account, item: Item, one: Instrument, price: int) -> int:
        market, spec = one.market, one.market.spec
        names = [name for name in ("size", "qty", "valueQty") if given(item, name) is not None]
        if is_true(item, "closeOrder") and not names:
            lots = abs(account.position(one.symbol).lots)
            if lots == 0:
                raise refusal(RefusalReason.REDUCE_ONLY, True)
            return lots
        if len(names) != 1:
            raise wrong("Exactly one of size, qty and valueQty is required.")
        value = amount(item, names[0])
        if names[0] == "size":
            if value % 1 or int(value) % one.unit:
                raise wrong("Size must be a whole number of lots.")
            lots = int(value) // one.unit
        else:
            base = value
            if names[0] == "valueQty":
                base = value / (market.price(price) if price else market.mark_price)
            lots = int(base / spec.lot_size)
        if lots == 0:
            raise wrong("Size is below one lot.")
        if lots * spec.lot_size > spec.max_qty:
            raise wrong("Size exceeds the maximum order quantity.")
        return lots

    # ------------------------------------------------------------------------- find, cancel, alter

    def by_id(self, account: Account, text: str, is_futures: bool, symbol: str | None = None) -> Order | None:
        """Return the account's order that bears this id now."""
        for one in self._listing.of(is_futures):
            found = one.order_number(text) if symbol in (None, one.symbol) else None
            if found is None:
                continue
            try:
                order = self._exchange.find(account, one.market, found[0])
            except Refused:
                return None
            return order if generation(order) == found[1] else None
        return None

    def by_client_oid(
        self, account: Account, oid: str, is_futures: bool, symbol: str | None = None
    ) -> Order | None:
        """Return the account's latest order with this ``clientOid``."""
        for one in self._listing.of(is_futures):
            if symbol not in (None, one.symbol) or not oid:
                continue
            try:
                order = self._exchange.find(account, one.market, client_order_id=oid)
            except Refused:
                continue
            if order.extra.get("clientOid") == oid:
                return order
        return None

    def cancel(self, order: Order | None, is_futures: bool) -> Order:
        """Cancel an order; raises KucoinError."""
        if order is None or not order.is_open:
            raise refusal(RefusalReason.UNKNOWN_ORDER, is_futures)
        one = self._listing.by_market[order.market]
        if self._race(order, one):
            return order
        try:
            self._exchange.cancel(order)
        except Refused as error:
            raise refusal(error.reason, is_futures) from None
        return order

    def cancel_all(self, account: Account, is_futures: bool, symbol: str | None = None) -> list[Order]:
        """Cancel an account's open orders, of one symbol or all; raises KucoinError."""
        market = None
        if symbol is not None:
            market = (self.contract if is_futures else self.spot)({"symbol": symbol}).market
        product = "perp" if is_futures else "spot"
        orders = self._exchange.open_orders(account, product, market)
        return [self.cancel(order, is_futures) for order in orders if order.is_open]

    def alter(self, account: Account, item: Item) -> Order:
        """Change price or total size of a spot order; raises KucoinError."""
        one = self.spot(item)
        order = self.named(account, item, is_futures=False)
        if order is None or not order.is_open:
            raise refusal(RefusalReason.UNKNOWN_ORDER, False)
        price, lots = order.price_ticks, order.qty_lots
        if given(item, "newPrice") is None and given(item, "newSize") is None:
            raise wrong("newPrice or newSize is required.")
        if given(item, "newPrice") is not None:
            price = self._price({"price": item["newPrice"]}, one, order.side)
        if given(item, "newSize") is not None:
            lots = self._size({"size": item["newSize"]}, one, price, is_market=False)[1]
        if (price, lots) == (order.price_ticks, order.qty_lots):
            raise wrong("The order is what it should become already.")
        order.extra["generation"] = generation(order) + 1
        try:
            self._exchange.amend(order, price, lots)
        except Refused as error:
            order.extra["generation"] = generation(order) - 1
            raise refusal(error.reason, False) from None
        if order.is_open:
            self._rested(order)
        return order

    def reduce(self, account: Account, order: Order | None, item: Item) -> str:
        """Take a part of a spot order back; return how much; raises KucoinError."""
        one = self.spot(item)
        if order is None or not order.is_open:
            raise refusal(RefusalReason.UNKNOWN_ORDER, False)
        size = amount(item, "cancelSize")
        if size % one.market.spec.lot_size:
            raise wrong("Quantity increment invalid.")
        lots = min(int(size / one.market.spec.lot_size), order.leaves_lots)
        try:
            if lots == order.leaves_lots:
                self._exchange.cancel(order)
            else:
                self._exchange.reduce_in_place(order, order.qty_lots - lots)
        except Refused as error:
            raise refusal(error.reason, False) from None
        return one.size.text(lots)

    def named(self, account: Account, item: Item, is_futures: bool) -> Order | None:
        """Return the order that ``orderId`` (which wins) or ``clientOid`` of a request names."""
        symbol = str(item["symbol"]) if given(item, "symbol") is not None else None
        if (order_id := given(item, "orderId")) is not None:
            return self.by_id(account, str(order_id), is_futures, symbol)
        if (oid := given(item, "clientOid")) is not None:
            return self.by_client_oid(account, str(oid), is_futures, symbol)
        raise wrong("orderId or clientOid is required.")


def existing(order: Order | None) -> Order:
    """Return the order; raises KucoinError where there is none."""
    if order is None:
        raise no_order()
    return order


def _too_poor(one: Instrument) -> str:
    spec = one.market.spec
    return f"The order funds should more then {plain(spec.min_notional)} {spec.quote}."


def from_unified(item: Item) -> dict[str, Any]:
    """Return a unified order request in the classic words; raises KucoinError."""
    trade_type, unit = item.get("tradeType"), item.get("sizeUnit")
    if trade_type not in ("SPOT", "FUTURES"):
        raise wrong("tradeType is invalid.")
    side, kind = str(item.get("side", "")), str(item.get("orderType", ""))
    if side not in ("BUY", "SELL"):
        raise wrong("side is invalid.")
    if kind not in ("LIMIT", "MARKET"):
        raise wrong("orderType is invalid.")
    words = {
        name: value for name, value in item.items() if name not in ("size", "sizeUnit", "orderType", "side")
    }
    words |= {"side": side.lower(), "type": kind.lower()}
    units = {"BASECCY": "qty", "QUOTECCY": "valueQty", "UNIT": "size"}
    default = "UNIT"
    if trade_type == "SPOT":
        units, default = {"BASECCY": "size", "QUOTECCY": "funds"}, "BASECCY"
    unit = str(unit or default)
    if unit not in units:
        raise wrong("sizeUnit is invalid.")
    words[units[unit]] = item.get("size")
    return words
