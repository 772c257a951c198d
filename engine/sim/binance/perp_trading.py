"""USDⓈ-M order operations: place, amend, cancel, batch, dead man's switch, query.

Source: USDⓈ-M docs, trade endpoints, error codes; Binance change log 2025-12 (conditional orders moved away).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.binance import errors, filters, perp_messages
from engine.sim.binance.board import Board, MarketView
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call
from engine.sim.binance.params import Params
from engine.sim.binance.signing import json_text
from engine.sim.binance.spot_trading import in_time, is_hidden
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import NewOrder, Order, OrderKind, RefusalReason, Refused

CLIENT_ID = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}")
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
_STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_TIMES = ("GTC", "IOC", "FOK", "GTX", "GTD")
_PRICE_MATCHES = {
    "OPPONENT": (False, 1), "OPPONENT_5": (False, 5), "QUEUE": (True, 1), "QUEUE_5": (True, 5),
    "QUEUE_10": (True, 10), "QUEUE_20": (True, 20),
}  # fmt: skip
GOOD_TILL_MIN_MS = 600_000
GOOD_TILL_MAX_MS = 253_402_300_799_000
WEEK_MS = 7 * 86_400_000
MAX_BATCH_PLACE, MAX_BATCH_CANCEL = 5, 10

_REFUSALS = {
    RefusalReason.MARGIN: (-2019, "Margin is insufficient."),
    RefusalReason.INSUFFICIENT_BALANCE: (-2018, "Balance is insufficient."),
    RefusalReason.WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history",
    ),
    RefusalReason.FOK_UNFILLABLE: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history",
    ),
    RefusalReason.DUPLICATE_CLIENT_ID: (-4116, "ClientOrderId is duplicated."),
    RefusalReason.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    RefusalReason.MARKET_CLOSED: (-4141, "Symbol is closed."),
    RefusalReason.CANCEL_ONLY: (-4140, "Invalid symbol status for opening position."),
    RefusalReason.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    RefusalReason.NO_LIQUIDITY: (-2020, "Unable to fill."),
    RefusalReason.NO_CHANGE: (-5027, "No need to modify the order."),
}


def refused_by_engine(refused: Refused) -> ApiError:
    """Return the futures answer to a refused placement or amend."""
    code, text = _REFUSALS.get(refused.reason, (-2010, "Order is rejected."))
    return ApiError(code, text)


class PerpTrading:
    """Order operations of USDⓈ-M.

    Args:
        exchange: the matching core.
        board: its contracts.
        faults: the product's fault hooks.
        new_id: makes client order ids.
        slim: answers without ``avgPrice`` and ``cumQuote``.
    """

    def __init__(
        self, exchange: Exchange, board: Board, faults: FaultPoints, new_id: Callable[[], str], slim: bool
    ) -> None:
        self._exchange = exchange
        self._board = board
        self._faults = faults
        self._new_id = new_id
        self._slim = slim
        self._countdowns: dict[tuple[str, str], tuple[Account, int]] = {}
        self._good_till: list[Order] = []

    # -- place ---------------------------------------------------------------------------------------------

    def place(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/order``."""
        return self._place(call.account, call.params, call.now_ms)

    def test(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/order/test``: every check, no order; answers like an order that never was."""
        self._wanted(call.account, call.params, call.now_ms)
        return {}

    def _place(self, account: Account, params: Params, now_ms: int) -> dict[str, Any]:
        view, new = self._wanted(account, params, now_ms)
        response = params.choice("newOrderRespType", ("ACK", "RESULT")) or "ACK"
        try:
            order = self._exchange.submit(new)
        except Refused as refused:
            raise refused_by_engine(refused) from None
        if "goodTillDate" in order.extra and order.is_open:
            self._good_till.append(order)
        body = perp_messages.order_answer(view, order, self._slim)
        return body if response == "RESULT" else _as_accepted(view, body)

    def _wanted(self, account: Account, params: Params, now_ms: int) -> tuple[MarketView, NewOrder]:
        view = self._board.view(params.need("symbol"))
        side, kind = params.need("side"), params.need("type")
        if side not in ("BUY", "SELL"):
            raise errors.invalid_side()
        if kind in _CONDITIONAL:
            text = (
                "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
            )
            raise ApiError(-4120, text)
        if kind not in ("LIMIT", "MARKET"):
            raise errors.invalid_type()
        self._check_position_side(params)
        client_id = self._client_id(params)
        order = NewOrder(
            account, view.market, "BUY" if side == "BUY" else "SELL",
            OrderKind.MARKET if kind == "MARKET" else OrderKind.LIMIT,
            client_order_id=client_id, fok_is_refused=True, reduce_only=params.flag("reduceOnly"),
            stp_mode=params.choice("selfTradePreventionMode", _STP_MODES) or "EXPIRE_MAKER",
        )  # fmt: skip
        if kind == "LIMIT":
            self._read_limit(params, view, order, now_ms)
        else:
            self._read_market(params, view, order)
        return view, order

    def _check_position_side(self, params: Params) -> None:
        position_side = params.text("positionSide")
        if position_side not in (None, "BOTH", "LONG", "SHORT"):
            raise ApiError(-4060, "Invalid position side.")
        if position_side in ("LONG", "SHORT"):
            raise ApiError(-4061, "Order's position side does not match user's setting.")

    def _client_id(self, params: Params) -> str:
        sent = params.text("newClientOrderId")
        if sent is None:
            return self._new_id()
        if not CLIENT_ID.fullmatch(sent):
            if len(sent) > 36:
                raise ApiError(-4015, "Client order id length should be less than 36 chars")
            raise ApiError(-4015, "Client order id is not valid.")
        return sent

    def _read_limit(self, params: Params, view: MarketView, order: NewOrder, now_ms: int) -> None:
        time_in_force = params.need("timeInForce")
        if time_in_force not in _TIMES:
            raise errors.invalid_time_in_force()
        order.post_only = time_in_force == "GTX"
        order.time_in_force = time_in_force if time_in_force in ("IOC", "FOK") else "GTC"  # type: ignore[assignment]
        if time_in_force == "GTD":
            order.extra["timeInForce"] = "GTD"
            order.extra["goodTillDate"] = _good_till(params, now_ms)
        quantity = params.need_decimal("quantity")
        order.price_ticks = self._price(params, view, order)
        price = view.price.value(order.price_ticks)
        filters.check_perp_quantity(view.rules, quantity, is_market=False)
        if not order.reduce_only:
            filters.check_perp_notional(view.rules, price * quantity)
        order.qty_lots = view.qty.steps(quantity)

    def _price(self, params: Params, view: MarketView, order: NewOrder) -> int:
        match = params.text("priceMatch")
        if match is None or match == "NONE":
            price = params.need_decimal("price")
            filters.check_perp_price(view.rules, order.side, price, view.market.mark_price)
            return view.price.steps(price)
        if match not in _PRICE_MATCHES:
            raise ApiError(-5037, "Invalid price match")
        if params.has("price"):
            raise ApiError(-5038, "Price match only supports order type: LIMIT, without price.")
        own, depth = _PRICE_MATCHES[match]
        side = view.market.side(order.side) if own else view.market.opposite(order.side)
        for count, (price_ticks, _) in enumerate(side.best_first(), 1):
            if count == depth:
                order.extra["priceMatch"] = match
                return price_ticks
        raise ApiError(-5041, "No depth matches this BBO")

    def _read_market(self, params: Params, view: MarketView, order: NewOrder) -> None:
        for name in ("price", "timeInForce"):
            if params.has(name):
                raise errors.not_required(name)
        quantity = params.need_decimal("quantity")
        filters.check_perp_quantity(view.rules, quantity, is_market=True)
        if not order.reduce_only:
            filters.check_perp_notional(view.rules, view.market.mark_price * quantity)
        best = view.market.opposite(order.side).best
        if best is not None:
            self._check_market_band(view, order.side, best)
        order.qty_lots = view.qty.steps(quantity)

    def _check_market_band(self, view: MarketView, side: str, best: int) -> None:
        price, mark = view.price.value(best), view.market.mark_price
        beyond = (
            price > mark * (1 + filters.PERP_BAND)
            if side == "BUY"
            else price < mark * (1 - filters.PERP_BAND)
        )
        if beyond:
            raise ApiError(
                -4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
            )

    # -- cancel --------------------------------------------------------------------------------------------

    def cancel(self, call: Call) -> dict[str, Any]:
        """``DELETE /fapi/v1/order``."""
        params = call.params
        view = self._board.view(params.need("symbol"))
        order_id, client_id = params.integer("orderId"), params.text("origClientOrderId")
        return self._cancel(call.account, view, order_id, client_id)

    def _cancel(
        self, account: Account, view: MarketView, order_id: int | None, client_id: str | None
    ) -> dict[str, Any]:
        order = self._find(account, view, order_id, client_id, errors.unknown_order)
        if order.is_open and self._faults.take("cancel_race_fill", view.symbol) is not None:
            self._exchange.fill_resting(order, order.leaves_lots)
        try:
            self._exchange.cancel(order)
        except Refused:
            raise errors.unknown_order() from None
        return perp_messages.order_answer(view, order, self._slim)

    def cancel_all(self, call: Call) -> dict[str, Any]:
        """``DELETE /fapi/v1/allOpenOrders``."""
        view = self._board.view(call.params.need("symbol"))
        self._cancel_every(call.account, view)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _cancel_every(self, account: Account, view: MarketView) -> None:
        for order in self._exchange.open_orders(account, "perp", view.market):
            self._exchange.cancel(order)

    def _find(
        self,
        account: Account,
        view: MarketView,
        order_id: int | None,
        client_id: str | None,
        unknown: Callable[[], ApiError],
    ) -> Order:
        if order_id is None and client_id is None:
            raise errors.either_missing("origClientOrderId", "orderId")
        try:
            return self._exchange.find(
                account, view.market, order_id, None if order_id is not None else client_id
            )
        except Refused:
            raise unknown() from None

    # -- amend ---------------------------------------------------------------------------------------------

    def amend(self, call: Call) -> dict[str, Any]:
        """``PUT /fapi/v1/order``."""
        return self._amend(call.account, call.params)

    def _amend(self, account: Account, params: Params) -> dict[str, Any]:
        view = self._board.view(params.need("symbol"))
        side = params.need("side")
        order = self._find(
            account, view, params.integer("orderId"), params.text("origClientOrderId"), errors.no_such_order
        )
        if not order.is_open:
            raise errors.no_such_order()
        if order.kind is not OrderKind.LIMIT:
            raise ApiError(-5024, "The order type is not supported for modification.")
        if side != order.side:
            raise ApiError(-5025, "Only limit order with the same side is supported.")
        if order.amends >= filters.MAX_PERP_AMENDS:
            raise ApiError(-5026, "Exceed maximum modify order limit.")
        quantity = params.need_decimal("quantity")
        probe = NewOrder(account, view.market, order.side, OrderKind.LIMIT)
        price_ticks = self._price(params, view, probe)
        filters.check_perp_quantity(view.rules, quantity, is_market=False)
        if not order.reduce_only:
            filters.check_perp_notional(view.rules, view.price.value(price_ticks) * quantity)
        modify_id = params.integer("modifyId")
        if modify_id is not None:
            order.extra["modifyId"] = modify_id
        record = (order.price_ticks, order.qty_lots)
        try:
            self._exchange.amend(order, price_ticks, view.qty.steps(quantity))
        except Refused as refused:
            raise refused_by_engine(refused) from None
        amendments = order.extra.setdefault("amendments", [])
        assert isinstance(amendments, list)
        amendments.append(
            (len(amendments) + 1, record, (price_ticks, view.qty.steps(quantity)), order.updated_ms)
        )
        body = perp_messages.order_answer(view, order, self._slim) | {"pair": view.symbol}
        if modify_id is not None:
            body["modifyId"] = modify_id
        return body

    def amendments(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/orderAmendment``."""
        params = call.params
        view = self._board.view(params.need("symbol"))
        order = self._find(
            call.account,
            view,
            params.integer("orderId"),
            params.text("origClientOrderId"),
            errors.no_such_order,
        )
        amendments = order.extra.get("amendments", [])
        assert isinstance(amendments, list)
        return [
            {"amendmentId": number, "symbol": view.symbol, "pair": view.symbol, "orderId": order.order_id,
             "clientOrderId": order.client_order_id, "time": time_ms,
             "amendment": {
                 "price": {"before": view.price.text(before[0]), "after": view.price.text(after[0])},
                 "origQty": {"before": view.qty.text(before[1]), "after": view.qty.text(after[1])},
                 "count": number},
             "priceMatch": "NONE"}
            for number, before, after, time_ms in amendments
        ]  # fmt: skip

    # -- batches -------------------------------------------------------------------------------------------

    def place_batch(self, call: Call) -> list[dict[str, Any]]:
        """``POST /fapi/v1/batchOrders``."""
        return self._each(call, lambda params: self._place(call.account, params, call.now_ms))

    def amend_batch(self, call: Call) -> list[dict[str, Any]]:
        """``PUT /fapi/v1/batchOrders``."""
        return self._each(call, lambda params: self._amend(call.account, params))

    def _each(self, call: Call, action: Callable[[Params], dict[str, Any]]) -> list[dict[str, Any]]:
        answers = []
        for row in batch_rows(call.params):
            try:
                answers.append(action(row))
            except ApiError as refusal:
                answers.append(refusal.body())
        return answers

    def cancel_batch(self, call: Call) -> list[dict[str, Any]]:
        """``DELETE /fapi/v1/batchOrders``."""
        params = call.params
        view = self._board.view(params.need("symbol"))
        by_id, by_client = params.text("orderIdList"), params.text("origClientOrderIdList")
        if by_id is None and by_client is None:
            raise errors.either_missing("orderIdList", "origClientOrderIdList")
        name = "orderIdList" if by_id is not None else "origClientOrderIdList"
        rows = _json_list(name, by_id if by_id is not None else by_client or "")
        if not 0 < len(rows) <= MAX_BATCH_CANCEL:
            raise ApiError(-4082, "Invalid number of batch orders.")
        answers = []
        for row in rows:
            try:
                order_id = int(str(row)) if by_id is not None else None
                answers.append(self._cancel(call.account, view, order_id, str(row)))
            except ValueError:
                raise errors.illegal_characters(name, "^[0-9]{1,20}$") from None
            except ApiError as refusal:
                answers.append(refusal.body())
        return answers

    # -- schedules -----------------------------------------------------------------------------------------

    def countdown_cancel_all(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/countdownCancelAll``: a heartbeat; silence cancels the symbol's orders."""
        view = self._board.view(call.params.need("symbol"))
        countdown = call.params.integer("countdownTime")
        if countdown is None:
            raise errors.missing("countdownTime")
        if countdown < 0:
            raise errors.invalid_value("countdownTime")
        key = (call.account.name, view.symbol)
        if countdown == 0:
            self._countdowns.pop(key, None)
        else:
            self._countdowns[key] = (call.account, call.now_ms + countdown)
        return {"symbol": view.symbol, "countdownTime": str(countdown)}

    def run_schedules(self, now_ms: int) -> None:
        """Cancel where a countdown ran out and expire orders past their good-till date."""
        if self._countdowns:
            for key, (account, deadline_ms) in list(self._countdowns.items()):
                if now_ms >= deadline_ms:
                    del self._countdowns[key]
                    self._cancel_every(account, self._board.view(key[1]))
        if self._good_till:
            due = [order for order in self._good_till if now_ms >= _int(order.extra["goodTillDate"])]
            for order in due:
                self._exchange.expire(order)
            self._good_till = [order for order in self._good_till if order.is_open]

    # -- query ---------------------------------------------------------------------------------------------

    def status(self, call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/order``."""
        view = self._board.view(call.params.need("symbol"))
        order = self._find(
            call.account, view, call.params.integer("orderId"), call.params.text("origClientOrderId"),
            errors.no_such_order,
        )  # fmt: skip
        if is_hidden(self._faults, view.symbol, order, call.now_ms):
            raise errors.no_such_order()
        return perp_messages.queried(view, order)

    def open_order(self, call: Call) -> dict[str, Any]:
        """``GET /fapi/v1/openOrder``."""
        answer = self.status(call)
        if answer["status"] not in ("NEW", "PARTIALLY_FILLED"):
            raise errors.no_such_order()
        return answer

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/openOrders``."""
        symbol = call.params.text("symbol")
        market = None if symbol is None else self._board.view(symbol).market
        orders = self._exchange.open_orders(call.account, "perp", market)
        return [perp_messages.queried(self._board.of(order), order) for order in orders]

    def all_orders(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/allOrders``; the symbol is optional since 2026-08."""
        symbol = call.params.text("symbol")
        _check_week(call.params)
        views = list(self._board) if symbol is None else [self._board.view(symbol)]
        rows = [order for view in views for order in self._exchange.history(call.account, view.market)]
        rows = [order for order in rows if in_time(call.params, order.created_ms)]
        first = call.params.integer("orderId")
        if first is not None:
            rows = [order for order in rows if order.order_id >= first]
        rows.sort(key=lambda order: order.created_ms)
        limit = call.params.limit(500, 1000)
        rows = rows[:limit] if first is not None else rows[-limit:]
        return [perp_messages.queried(self._board.of(order), order) for order in rows]

    def user_trades(self, call: Call) -> list[dict[str, Any]]:
        """``GET /fapi/v1/userTrades``."""
        view = self._board.view(call.params.need("symbol"))
        _check_week(call.params)
        fills = self._exchange.fills(call.account, view.market)
        order_id, first = call.params.integer("orderId"), call.params.integer("fromId")
        if order_id is not None:
            fills = [fill for fill in fills if fill.order.order_id == order_id]
        if first is not None:
            fills = [fill for fill in fills if fill.trade_id >= first]
        fills = [fill for fill in fills if in_time(call.params, fill.time_ms)]
        limit = call.params.limit(500, 1000)
        fills = fills[:limit] if first is not None else fills[-limit:]
        return [perp_messages.user_trade(view, fill) for fill in fills]


def batch_rows(params: Params) -> list[Params]:
    """Return the elements of ``batchOrders`` as parameter sets of their own."""
    rows = _json_list("batchOrders", params.need("batchOrders"))
    if not 0 < len(rows) <= MAX_BATCH_PLACE:
        raise ApiError(-4082, "Invalid number of batch orders.")
    if not all(isinstance(row, dict) for row in rows):
        raise errors.invalid_value("batchOrders")
    return [Params({name: json_text(value) for name, value in row.items()}) for row in rows]


def batch_size(params: Params) -> int:
    """Return how many orders a batch asks for; malformed ones count as one."""
    try:
        return max(1, len(_json_list("batchOrders", params.raw("batchOrders") or "[]")))
    except ApiError:
        return 1


def _json_list(name: str, text: str) -> list[Any]:
    try:
        rows = json.loads(text, parse_float=str)
    except ValueError:
        raise errors.invalid_value(name) from None
    if not isinstance(rows, list):
        raise errors.invalid_value(name)
    return rows


def _as_accepted(view: MarketView, body: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that did not wait for the match: NEW and nothing filled."""
    nothing = view.qty.text(0)
    accepted = body | {"status": "NEW", "executedQty": nothing, "cumQty": nothing}
    if "avgPrice" in body:
        accepted["avgPrice"] = view.price.text(0)
        accepted["cumQuote"] = filters.fixed(Decimal(0), view.rules.price_decimals + view.rules.qty_decimals)
    return accepted


def _good_till(params: Params, now_ms: int) -> int:
    until = params.integer("goodTillDate")
    if until is None:
        raise errors.missing("goodTillDate")
    if not now_ms + GOOD_TILL_MIN_MS < until < GOOD_TILL_MAX_MS:
        raise ApiError(-5040, "Invalid goodTillDate.")
    return until // 1000 * 1000


def _check_week(params: Params) -> None:
    start, end = params.integer("startTime"), params.integer("endTime")
    if start is not None and end is not None and end - start > WEEK_MS:
        raise ApiError(-4166, "Search window is restricted to recent 7 days only.")


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value
