"""Answers that are only a part: asked for to their end, whole or not at all, within the budget."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from engine.model.errors import NotSent, Unanswered
from engine.model.instrument import Instrument, InstrumentStatus, Product
from engine.model.orders import OrderAck, OrderState, RejectReason, VenueError
from engine.model.ports import GatewayReply
from engine.model.wire import BudgetRule, HttpRequest
from engine.session.order_gateway import RestGateway
from engine.session.parts import PARTS_MAX, ask_parts
from engine.session.venue_clock import VenueClock
from engine.telemetry.clock import SystemClock
from engine.transport.http import HttpPool, HttpResponse
from engine.transport.request_budget import RequestBudget
from engine.venues.base import Credentials, Endpoints, Secret
from engine.venues.bybit.adapter import BybitTrading

BTC = Instrument(
    venue="bybit", product=Product.PERP, symbol="BTCUSDT", universal="BTC/USDT:USDT", base="BTC",
    quote="USDT", settle="USDT", status=InstrumentStatus.TRADING, price_scale=2, qty_scale=3, tick_size=10,
    lot_size=1, market_lot_size=1, price_min=0, price_max=0, qty_min=1, qty_max=0, market_qty_max=0,
    notional_min=Decimal(0), notional_max=Decimal(0),
)  # fmt: skip
FIRST = HttpRequest(method="GET", target="/list?page=1", label="test.list")


class Pages:
    """An adapter of a list with so many pages; what is no number has none behind it."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.stamps: list[int] = []

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        self.stamps.append(stamp_ms)
        number = int(request.target.rpartition("=")[2]) + 1
        if status != 200 or number > self.pages:
            return None
        return HttpRequest(method="GET", target=f"/list?page={number}", label=request.label)


class Pool(HttpPool):
    """Answers by a table of path prefixes, and remembers what was asked."""

    def __init__(self, answer: Callable[[HttpRequest], tuple[int, str] | Exception]) -> None:
        self._answer = answer
        self.asked: list[str] = []

    def _response(self, request: HttpRequest) -> HttpResponse | Exception:
        self.asked.append(request.target)
        made = self._answer(request)
        if isinstance(made, Exception):
            return made
        status, text = made
        return HttpResponse(status, b"HTTP/1.1 200 OK\r\nx-used: 5", text.encode(), 1, 2, 3)

    async def request(self, request: HttpRequest, timeout_s: float) -> HttpResponse:
        response = self._response(request)
        if isinstance(response, Exception):
            raise response
        return response

    def send_now(self, request: HttpRequest, timeout_s: float, done: Callable[[Any], None]) -> int:
        done(self._response(request))
        return 1


def budget(limit: int = 1_000) -> RequestBudget:
    return RequestBudget([BudgetRule("weight_1m", "weight", 60_000, limit, "x-used")], SystemClock())


async def ask(adapter: object, pool: Pool, within: RequestBudget) -> list[HttpResponse]:
    return await ask_parts(FIRST, adapter, pool, within, lambda: 7, 1.0)


async def test_every_page_in_order() -> None:
    adapter, pool = Pages(3), Pool(lambda request: (200, request.target))
    parts = await ask(adapter, pool, budget())
    assert [part.body.decode() for part in parts] == pool.asked
    assert pool.asked == ["/list?page=1", "/list?page=2", "/list?page=3"]
    assert adapter.stamps == [7, 7, 7]


async def test_an_adapter_without_parts_is_asked_once() -> None:
    pool, within = Pool(lambda request: (200, "")), budget()
    assert len(await ask(object(), pool, within)) == 1
    assert within.usage() == {"weight_1m": "5/1000"}  # what the answer says was used


async def test_a_failure_in_the_middle_is_the_whole_answers() -> None:
    pool = Pool(lambda request: Unanswered("gone") if request.target.endswith("2") else (200, ""))
    with pytest.raises(Unanswered, match="gone"):
        await ask(Pages(3), pool, budget())
    assert len(pool.asked) == 2


async def test_a_refusal_ends_the_asking_and_is_handed_over() -> None:
    pool = Pool(lambda request: (500, "") if request.target.endswith("2") else (200, ""))
    assert [part.status for part in await ask(Pages(3), pool, budget())] == [200, 500]


async def test_pages_cost_what_requests_cost() -> None:
    with pytest.raises(NotSent, match="weight_1m"):
        await ask(Pages(50), Pool(lambda request: (200, "")), budget(20))


async def test_a_list_without_an_end_is_given_up() -> None:
    pool = Pool(lambda request: (200, ""))
    with pytest.raises(Unanswered, match=f"more than {PARTS_MAX} parts"):
        await ask(Pages(10**9), pool, budget(10**9))
    assert len(pool.asked) == PARTS_MAX


# ------------------------------------------------------------------------------- queries of one order


def order(**changes: str) -> dict[str, str]:
    row = {
        "symbol": "BTCUSDT", "orderId": "f1", "orderLinkId": "a1", "orderStatus": "Filled", "side": "Buy",
        "qty": "0.005", "price": "100.00", "cumExecQty": "0.005", "updatedTime": "1795442400102",
    }  # fmt: skip
    return row | changes


def listed(*rows: dict[str, str]) -> tuple[int, str]:
    result = {"list": rows, "nextPageCursor": "", "category": "linear"}
    return 200, json.dumps({"retCode": 0, "retMsg": "OK", "result": result})


def query(pool: Pool, within: RequestBudget) -> list[GatewayReply]:
    """Ask for one order and return every reply."""
    keys = Credentials(Secret("k"), Secret("s"))
    adapter = BybitTrading(Product.PERP, Endpoints("", ""), keys, {"BTCUSDT": BTC})
    clock = SystemClock()
    gateway = RestGateway(adapter, pool, within, VenueClock(clock), clock, 1.0)
    replies: list[GatewayReply] = []
    gateway.query(BTC, "a1", "", replies.append)
    return replies


def test_a_recent_order_is_one_question() -> None:
    pool = Pool(lambda request: listed(order(orderStatus="New", cumExecQty="0")))
    (reply,) = query(pool, budget())
    assert isinstance(reply.result, OrderAck)
    assert reply.result.state is OrderState.WORKING
    assert len(pool.asked) == 1


def test_an_order_of_before_a_restart_is_found_in_the_history() -> None:
    pool = Pool(lambda request: listed(order()) if "/history?" in request.target else listed())
    (reply,) = query(pool, budget())
    assert isinstance(reply.result, OrderAck)
    assert reply.result.state is OrderState.FILLED
    assert [target.partition("?")[0] for target in pool.asked] == ["/v5/order/realtime", "/v5/order/history"]


def test_only_both_together_say_that_there_is_no_such_order() -> None:
    pool = Pool(lambda request: listed())
    (reply,) = query(pool, budget())
    assert isinstance(reply.result, VenueError)
    assert reply.result.reason is RejectReason.UNKNOWN_ORDER
    assert len(pool.asked) == 2


def test_a_history_that_does_not_answer_leaves_the_order_in_doubt() -> None:
    gone = Pool(lambda request: Unanswered("gone", "reset") if "/history?" in request.target else listed())
    (reply,) = query(gone, budget())
    assert (reply.result, reply.unanswered) == (None, "reset")
    broken = Pool(lambda request: (502, "<html>") if "/history?" in request.target else listed())
    (reply,) = query(broken, budget())
    assert isinstance(reply.result, VenueError)
    assert reply.result.reason is not RejectReason.UNKNOWN_ORDER


def test_a_history_that_may_not_be_asked_leaves_the_order_in_doubt() -> None:
    within = RequestBudget([BudgetRule("weight_1m", "weight", 60_000, 1)], SystemClock())
    (reply,) = query(Pool(lambda request: listed()), within)
    assert reply.result is None
    assert "weight_1m is used up" in reply.unanswered
