"""Spot order operations: place, cancel, cancel-replace, amend, query; the same for REST and WebSocket API.

Source: Binance spot API docs, trading endpoints; FAQs "order amend keep priority", "STP"; errors.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.sim.binance import errors, filters, spot_messages
from engine.sim.binance.board import Board, MarketView
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call
from engine.sim.binance.info import SPOT_STP_MODES
from engine.sim.binance.limits import RateLimits
from engine.sim.binance.params import Params
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import NewOrder, Order, OrderKind, OrderStatus, RefusalReason, Refused

CLIENT_ID = re.compile(r"[a-zA-Z0-9_-]{1,36}")
CLIENT_ID_LEGAL = "^[a-zA-Z0-9-_]{1,36}$"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_RESPONSES = ("ACK", "RESULT", "FULL")
_NEVER = ("stopPrice", "trailingDelta", "pegPriceType", "pegOffsetType", "pegOffsetValue")

_PLACE_TEXTS = {
    RefusalReason.INSUFFICIENT_BALANCE: errors.INSUFFICIENT_BALANCE,
    RefusalReason.WOULD_TAKE: errors.WOULD_TAKE,
    RefusalReason.DUPLICATE_CLIENT_ID: errors.DUPLICATE_ORDER,
    RefusalReason.MARKET_CLOSED: errors.MARKET_CLOSED,
    RefusalReason.CANCEL_ONLY: errors.MARKET_CLOSED,
    RefusalReason.NO_LIQUIDITY: "Order book liquidity is less than LOT_SIZE filter minimum quantity.",
}
_AMEND_TEXTS = {
    RefusalReason.AMEND_UP: "Order amend (quantity increase) is not supported.",
    RefusalReason.NO_CHANGE: "The requested action would change no state; rejecting",
}


def refused_placement(refused: Refused) -> ApiError:
    """Return spot's answer to a refused placement."""
    if refused.reason is RefusalReason.TOO_MANY_ORDERS:
        return errors.filter_failure("MAX_NUM_ORDERS")
    return errors.rejected(_PLACE_TEXTS.get(refused.reason, "Unsupported order combination"))


def client_id_source(seed: int) -> Callable[[], str]:
    """Return a generator of 22-character ids such as the venue gives to orders without one."""
    draw = random.Random(seed)
    return lambda: "".join(draw.choices(_ALPHABET, k=22))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A placement whose words and filters are in order."""

    view: MarketView
    order: NewOrder
    response: str


class SpotTrading:
    """Order operations of spot.

    Args:
        exchange: the matching core.
        board: its spot markets.
        limits: asked by cancel-replace, which counts orders in its own way.
        faults: the product's fault hooks.
        new_id: makes client order ids.
    """

    def __init__(
        self,
        exchange: Exchange,
        board: Board,
        limits: RateLimits,
        faults: FaultPoints,
        new_id: Callable[[], str],
    ) -> None:
        self._exchange = exchange
        self._board = board
        self._limits = limits
        self._faults = faults
        self._new_id = new_id

    # -- place ---------------------------------------------------------------------------------------------

    def place(self, call: Call) -> dict[str, Any]:
        """``POST /api/v3/order``."""
        return self._submit(self._wanted(call))

    def test(self, call: Call) -> dict[str, Any]:
        """``POST /api/v3/order/test``: every check, no order."""
        self._wanted(call)
        return {}

    def _submit(self, wanted: _Wanted) -> dict[str, Any]:
        try:
            order = self._exchange.submit(wanted.order)
        except Refused as refused:
            raise refused_placement(refused) from None
        if wanted.response == "FULL":
            return spot_messages.full(wanted.view, order)
        if wanted.response == "RESULT":
            return spot_messages.result(wanted.view, order)
        return spot_messages.ack(wanted.view, order)

    def _wanted(self, call: Call) -> _Wanted:
        params = call.params
        view = self._board.view(params.need("symbol"))
        side = params.need("side")
        if side not in ("BUY", "SELL"):
            raise errors.invalid_side()
        kind = params.need("type")
        if kind not in ("LIMIT", "LIMIT_MAKER", "MARKET"):
            raise errors.invalid_type()
        for name in _NEVER:
            if params.has(name):
                raise errors.not_required(name)
        if params.has("icebergQty"):
            raise errors.rejected("Iceberg orders are not supported for this symbol.")
        client_id = self._client_id(params, "newClientOrderId")
        stp_mode = params.choice("selfTradePreventionMode", SPOT_STP_MODES) or "EXPIRE_MAKER"
        default = "ACK" if kind == "LIMIT_MAKER" else "FULL"
        response = params.choice("newOrderRespType", _RESPONSES) or default
        order = NewOrder(
            call.account, view.market, "BUY" if side == "BUY" else "SELL",
            OrderKind.MARKET if kind == "MARKET" else OrderKind.LIMIT,
            client_order_id=client_id, stp_mode=stp_mode, post_only=kind == "LIMIT_MAKER",
        )  # fmt: skip
        if kind == "MARKET":
            self._read_market(params, view, order, call.now_ms)
        else:
            self._read_limit(params, view, order, call.now_ms)
        return _Wanted(view, order, response)

    def _read_limit(self, params: Params, view: MarketView, order: NewOrder, now_ms: int) -> None:
        if order.post_only:
            if params.has("timeInForce"):
                raise ApiError(-1114, "TimeInForce parameter sent when not required.")
        else:
            time_in_force = params.need("timeInForce")
            if time_in_force not in ("GTC", "IOC", "FOK"):
                raise errors.invalid_time_in_force()
            order.time_in_force = time_in_force  # type: ignore[assignment]
        if params.has("quoteOrderQty"):
            raise errors.not_required("quoteOrderQty")
        quantity = params.need_decimal("quantity")
        price = params.need_decimal("price")
        filters.check_spot_price(view.rules, order.side, price, view.average_price(now_ms))
        filters.check_spot_quantity(view.rules, quantity, is_market=False)
        filters.check_spot_notional(view.rules, price * quantity, is_market=False)
        order.price_ticks = view.price.steps(price)
        order.qty_lots = view.qty.steps(quantity)

    def _read_market(self, params: Params, view: MarketView, order: NewOrder, now_ms: int) -> None:
        for name in ("timeInForce", "price"):
            if params.has(name):
                raise errors.not_required(name)
        quantity, quote_amount = params.decimal("quantity"), params.decimal("quoteOrderQty")
        if quantity is None and quote_amount is None:
            raise errors.either_missing("quantity", "quoteOrderQty")
        if quantity is not None and quote_amount is not None:
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        if quantity is not None:
            filters.check_spot_quantity(view.rules, quantity, is_market=True)
            average = view.average_price(now_ms)
            filters.check_spot_notional(view.rules, average * quantity, is_market=True)
            order.qty_lots = view.qty.steps(quantity)
            return
        assert quote_amount is not None
        if filters.decimals(quote_amount) > filters.SPOT_ASSET_DECIMALS:
            raise errors.too_precise("quoteOrderQty")
        filters.check_spot_notional(view.rules, quote_amount, is_market=True)
        order.quote_amount = quote_amount

    def _client_id(self, params: Params, name: str) -> str:
        sent = params.text(name)
        if sent is None:
            return self._new_id()
        if not CLIENT_ID.fullmatch(sent):
            raise errors.illegal_characters(name, CLIENT_ID_LEGAL)
        return sent

    # -- cancel --------------------------------------------------------------------------------------------

    def cancel(self, call: Call) -> dict[str, Any]:
        """``DELETE /api/v3/order``."""
        params = call.params
        view = self._board.view(params.need("symbol"))
        cancel_id = self._client_id(params, "newClientOrderId")
        return self._cancel(call, view, "orderId", "origClientOrderId", cancel_id)

    def _cancel(
        self, call: Call, view: MarketView, id_name: str, client_name: str, cancel_id: str
    ) -> dict[str, Any]:
        order = self._find(call, view, id_name, client_name, errors.unknown_order)
        restriction = call.params.choice("cancelRestrictions", ("ONLY_NEW", "ONLY_PARTIALLY_FILLED"))
        if restriction is not None and order.is_open:
            wanted = OrderStatus.NEW if restriction == "ONLY_NEW" else OrderStatus.PARTIALLY_FILLED
            if order.status is not wanted:
                raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
        if order.is_open and self._faults.take("cancel_race_fill", view.symbol) is not None:
            self._exchange.fill_resting(order, order.leaves_lots)
        try:
            self._exchange.cancel(order, cancel_id)
        except Refused as refused:
            if refused.reason is RefusalReason.MARKET_CLOSED:
                raise ApiError(-2011, errors.MARKET_CLOSED) from None
            raise errors.unknown_order() from None
        return spot_messages.canceled(view, order, cancel_id)

    def cancel_all(self, call: Call) -> list[dict[str, Any]]:
        """``DELETE /api/v3/openOrders``."""
        view = self._board.view(call.params.need("symbol"))
        orders = self._exchange.open_orders(call.account, "spot", view.market)
        if not orders:
            raise errors.unknown_order()
        answers = []
        for order in orders:
            cancel_id = self._new_id()
            self._exchange.cancel(order, cancel_id)
            answers.append(spot_messages.canceled(view, order, cancel_id))
        return answers

    def _find(
        self, call: Call, view: MarketView, id_name: str, client_name: str, unknown: Callable[[], ApiError]
    ) -> Order:
        order_id, client_id = call.params.integer(id_name), call.params.text(client_name)
        if order_id is None and client_id is None:
            raise errors.either_missing(client_name, id_name)
        try:
            return self._exchange.find(call.account, view.market, order_id, client_id)
        except Refused:
            raise unknown() from None

    # -- cancel-replace ------------------------------------------------------------------------------------

    def cancel_replace(self, call: Call) -> dict[str, Any]:
        """``POST /api/v3/order/cancelReplace``."""
        params = call.params
        mode = params.need("cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise errors.invalid_value("cancelReplaceMode")
        wanted = self._wanted(call)
        rate_mode = params.choice("orderRateLimitExceededMode", ("DO_NOTHING", "CANCEL_ONLY"))
        over_limit: ApiError | None = None
        try:
            self._limits.take_orders(call.account.name, 1, call.now_ms)
        except ApiError as refusal:
            if rate_mode != "CANCEL_ONLY":
                raise
            over_limit = refusal
        cancel_answer, cancel_refusal = self._attempt(lambda: self._cancel_for_replace(call, wanted.view))
        if cancel_refusal is not None and mode == "STOP_ON_FAILURE":
            raise _replace_failure(cancel_answer, cancel_refusal, None, None)
        if over_limit is not None:
            raise _replace_failure(cancel_answer, cancel_refusal, None, over_limit)
        new_answer, new_refusal = self._attempt(lambda: self._submit(wanted))
        if cancel_refusal is not None or new_refusal is not None:
            raise _replace_failure(cancel_answer, cancel_refusal, new_answer, new_refusal)
        return {
            "cancelResult": "SUCCESS",
            "newOrderResult": "SUCCESS",
            "cancelResponse": cancel_answer,
            "newOrderResponse": new_answer,
        }

    def _cancel_for_replace(self, call: Call, view: MarketView) -> dict[str, Any]:
        cancel_id = self._client_id(call.params, "cancelNewClientOrderId")
        return self._cancel(call, view, "cancelOrderId", "cancelOrigClientOrderId", cancel_id)

    def _attempt(self, action: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any] | None, ApiError | None]:
        try:
            return action(), None
        except ApiError as refusal:
            return None, refusal

    # -- amend ---------------------------------------------------------------------------------------------

    def amend(self, call: Call) -> dict[str, Any]:
        """``PUT /api/v3/order/amend/keepPriority``."""
        params = call.params
        view = self._board.view(params.need("symbol"))
        quantity = params.need_decimal("newQty")
        filters.check_spot_quantity(view.rules, quantity, is_market=False)
        order = self._find(call, view, "orderId", "origClientOrderId", errors.no_such_order)
        if order.is_open and order.amends >= filters.SPOT_MAX_AMENDS:
            raise errors.amend_rejected("The order has been amended the maximum number of times.")
        previous_id = order.client_order_id
        order.extra["previous_client_id"] = previous_id
        try:
            self._exchange.reduce_in_place(
                order, view.qty.steps(quantity), self._client_id(params, "newClientOrderId")
            )
        except Refused as refused:
            if refused.reason is RefusalReason.UNKNOWN_ORDER:
                raise errors.no_such_order() from None
            if refused.reason is RefusalReason.DUPLICATE_CLIENT_ID:
                raise errors.rejected(errors.DUPLICATE_ORDER) from None
            raise errors.amend_rejected(_AMEND_TEXTS.get(refused.reason, refused.detail)) from None
        execution_id = order.extra.get("execution_id", 0)
        assert isinstance(execution_id, int)
        amendments = order.extra.setdefault("amendments", [])
        assert isinstance(amendments, list)
        amendments.append(
            (execution_id, previous_id, order.client_order_id, order.qty_lots, order.updated_ms)
        )
        return spot_messages.amended(view, order, previous_id, execution_id)

    def amendments(self, call: Call) -> list[dict[str, Any]]:
        """``GET /api/v3/order/amendments``."""
        view = self._board.view(call.params.need("symbol"))
        call.params.need("orderId")
        order = self._find(call, view, "orderId", "origClientOrderId", errors.no_such_order)
        amendments = order.extra.get("amendments", [])
        assert isinstance(amendments, list)
        return [
            {"symbol": view.symbol, "orderId": order.order_id, "executionId": execution_id,
             "origClientOrderId": previous, "newClientOrderId": client_id,
             "newQty": view.qty.text(lots), "time": time_ms}
            for execution_id, previous, client_id, lots, time_ms in amendments
        ]  # fmt: skip

    # -- query ---------------------------------------------------------------------------------------------

    def status(self, call: Call) -> dict[str, Any]:
        """``GET /api/v3/order``."""
        view = self._board.view(call.params.need("symbol"))
        order = self._find(call, view, "orderId", "origClientOrderId", errors.no_such_order)
        if is_hidden(self._faults, view.symbol, order, call.now_ms):
            raise errors.no_such_order()
        return spot_messages.queried(view, order)

    def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """``GET /api/v3/openOrders``."""
        symbol = call.params.text("symbol")
        market = None if symbol is None else self._board.view(symbol).market
        orders = self._exchange.open_orders(call.account, "spot", market)
        return [spot_messages.queried(self._board.of(order), order) for order in orders]

    def all_orders(self, call: Call) -> list[dict[str, Any]]:
        """``GET /api/v3/allOrders``."""
        view = self._board.view(call.params.need("symbol"))
        rows = self._exchange.history(call.account, view.market)
        first = call.params.integer("orderId")
        if first is not None:
            rows = [order for order in rows if order.order_id >= first]
        rows = [order for order in rows if in_time(call.params, order.created_ms)]
        limit = call.params.limit(500, 1000)
        rows = rows[:limit] if first is not None else rows[-limit:]
        return [spot_messages.queried(view, order) for order in rows]

    def my_trades(self, call: Call) -> list[dict[str, Any]]:
        """``GET /api/v3/myTrades``."""
        view = self._board.view(call.params.need("symbol"))
        fills = self._exchange.fills(call.account, view.market)
        order_id, first = call.params.integer("orderId"), call.params.integer("fromId")
        if order_id is not None:
            fills = [fill for fill in fills if fill.order.order_id == order_id]
        if first is not None:
            fills = [fill for fill in fills if fill.trade_id >= first]
        fills = [fill for fill in fills if in_time(call.params, fill.time_ms)]
        limit = call.params.limit(500, 1000)
        fills = fills[:limit] if first is not None else fills[-limit:]
        return [spot_messages.my_trade(view, fill) for fill in fills]


def is_hidden(faults: FaultPoints, symbol: str, order: Order, now_ms: int) -> bool:
    """Tell whether the not-found-for-a-moment fault still hides a young order from queries."""
    if not faults.lasts("not_found_for_a_moment", symbol):
        return False
    age_ms = float(faults.params("not_found_for_a_moment", symbol).get("age_ms", 1000))
    return now_ms - order.created_ms < age_ms and faults.take("not_found_for_a_moment", symbol) is not None


def in_time(params: Params, moment_ms: int) -> bool:
    """Tell whether a moment lies within the request's ``startTime`` and ``endTime``."""
    start, end = params.integer("startTime"), params.integer("endTime")
    return (start is None or moment_ms >= start) and (end is None or moment_ms <= end)


def _replace_failure(
    cancel_answer: dict[str, Any] | None,
    cancel_refusal: ApiError | None,
    new_answer: dict[str, Any] | None,
    new_refusal: ApiError | None,
) -> ApiError:
    attempted = new_answer is not None or new_refusal is not None
    new_result = "NOT_ATTEMPTED" if not attempted else "FAILURE" if new_refusal is not None else "SUCCESS"
    data = {
        "cancelResult": "SUCCESS" if cancel_refusal is None else "FAILURE",
        "newOrderResult": new_result,
        "cancelResponse": cancel_answer if cancel_refusal is None else cancel_refusal.body(),
        "newOrderResponse": new_answer if new_refusal is None else new_refusal.body(),
    }
    if cancel_refusal is None or new_result == "SUCCESS":
        return ApiError(-2021, "Order cancel-replace partially failed.", 409, data=data)
    return ApiError(-2022, "Order cancel-replace failed.", 400, data=data)
