"""Order entry over Bybit's /v5/trade: login, requests, what the answers carry, what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sim.bybit_rig import Rig, sign
from tests.sim.loopback_rig import Message

ORDER: Message = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "50000",
}  # fmt: skip


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def test_an_order_from_create_to_cancel(rig: Rig) -> None:
    trade = await rig.trade()
    answer = await trade.order("order.create", ORDER | {"orderLinkId": "a"}, "req-1")
    assert list(answer) == [
        "reqId", "retCode", "retMsg", "op", "data", "retExtInfo", "header", "connId",
    ]  # fmt: skip
    assert (answer["reqId"], answer["retCode"], answer["retMsg"]) == ("req-1", 0, "OK")
    assert (answer["op"], answer["data"]["orderLinkId"]) == ("order.create", "a")
    header = answer["header"]
    assert set(header) == {
        "X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp", "Traceid", "Timenow",
    }  # fmt: skip
    assert all(isinstance(value, str) for value in header.values())
    named = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}
    changed = await trade.order("order.amend", named | {"qty": "0.02"})
    assert (changed["retCode"], changed["data"]) == (0, answer["data"])
    assert rig.market().orders_by_client_id["alice", "a"].qty_lots == 20
    gone = await trade.order("order.cancel", named)
    assert (gone["retCode"], gone["data"]) == (0, answer["data"])
    late = await trade.order("order.cancel", named)
    assert (late["retCode"], late["retMsg"]) == (110001, "order not exists or too late to cancel")
    assert late["data"] == {}
    assert "X-Bapi-Limit-Status" in late["header"]


async def test_batches(rig: Rig) -> None:
    trade = await rig.trade()
    bare = {key: value for key, value in ORDER.items() if key != "category"}
    rows = [bare | {"orderLinkId": "a"}, bare | {"price": "50000.05"}]
    answer = await trade.order("order.create-batch", {"category": "linear", "request": rows})
    assert answer["retCode"] == 0
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0, 110003]
    assert [bool(row["orderId"]) for row in answer["data"]["list"]] == [True, False]
    named = {"symbol": "BTCUSDT", "orderLinkId": "a"}
    body = {"category": "linear", "request": [named | {"qty": "0.05"}]}
    assert (await trade.order("order.amend-batch", body))["retExtInfo"]["list"][0]["code"] == 0
    body = {"category": "linear", "request": [named]}
    assert (await trade.order("order.cancel-batch", body))["retExtInfo"]["list"][0]["code"] == 0
    assert rig.market().open_count["alice"] == 0


async def test_request_ids_are_optional_and_serve_once(rig: Rig) -> None:
    trade = await rig.trade()
    message = {"header": {"X-BAPI-TIMESTAMP": rig.clock.now_ms()}, "op": "order.create", "args": [ORDER]}
    answer = await trade.ask(message)
    assert answer["retCode"] == 0
    assert "reqId" not in answer
    assert (await trade.order("order.create", ORDER, "x"))["retCode"] == 0
    assert (await trade.order("order.create", ORDER, "x"))["retCode"] == 20006
    assert (await trade.order("order.create", ORDER, "y" * 37))["retCode"] == 10001
    assert rig.market().open_count["alice"] == 2


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"header": None}, 10001), ({"header": {}}, 10001), ({"header": {"X-BAPI-TIMESTAMP": "x"}}, 10001),
        ({"shift_ms": -6000}, 10002), ({"shift_ms": 2000}, 10002), ({"shift_ms": -6000, "window": "9000"}, 0),
        ({"shift_ms": -6000, "window": 9000}, 0),
        ({"args": []}, 10001), ({"args": [ORDER, ORDER]}, 10001), ({"args": ORDER}, 10001),
        ({"args": ["x"]}, 10001), ({"op": "order.dance"}, 10404), ({"op": "subscribe"}, 10404),
        ({"op": "order.cancel-all"}, 10404), ({"args": [ORDER | {"category": "option"}]}, 10404),
    ],
)  # fmt: skip
async def test_what_surrounds_an_order_is_checked(rig: Rig, changed: dict[str, Any], code: int) -> None:
    trade = await rig.trade()
    header: Message = {"X-BAPI-TIMESTAMP": str(rig.clock.now_ms() + changed.pop("shift_ms", 0))}
    if "window" in changed:
        header["X-BAPI-RECV-WINDOW"] = changed.pop("window")
    message = {"reqId": "r", "header": header, "op": "order.create", "args": [ORDER], **changed}
    answer = await trade.ask(message)
    assert answer["retCode"] == code, answer
    assert len(rig.market().orders) == (code == 0)


async def test_without_login_nothing_is_executed(rig: Rig) -> None:
    trade = await rig.socket("trade")
    assert (await trade.order("order.create", ORDER))["retCode"] == 10004
    assert rig.market().orders == {}
    assert (await trade.login("alice"))["retCode"] == 0
    again = await trade.login("alice")
    assert (again["retCode"], again["op"], again["reqId"]) == (20001, "auth", "login")
    assert (await trade.order("order.create", ORDER))["retCode"] == 0


@pytest.mark.parametrize(
    ("key", "shift_ms", "signer", "code"),
    [("aliceKey", 5000, "bob", 10004), ("nobody", 5000, "alice", 10003), ("aliceKey", -1, "alice", 10004)],
)
async def test_a_failed_login_is_told_and_closed(
    rig: Rig, key: str, shift_ms: int, signer: str, code: int
) -> None:
    trade, private = await rig.socket("trade"), await rig.socket("private")
    expires = rig.clock.now_ms() + shift_ms
    args = [key, str(expires), sign(signer, f"GET/realtime{expires}")]
    answer = await trade.ask({"op": "auth", "reqId": "a", "args": args})
    assert (answer["retCode"], answer["op"]) == (code, "auth")
    answer = await private.ask({"op": "auth", "req_id": "a", "args": args})
    assert (answer["success"], answer["op"], answer["req_id"]) == (False, "auth", "a")
    assert answer["ret_msg"]
    for socket in (trade, private):
        await asyncio.wait_for(socket.connection.wait_closed(), 10)


async def test_an_address_may_ask_three_thousand_times_a_second(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = await rig.trade()
    monkeypatch.setattr("engine.sim.bybit.sessions.ADDRESS_REQUESTS_PER_SECOND", 2)
    codes = [(await trade.order("order.create", ORDER))["retCode"] for _ in range(3)]
    assert codes == [0, 0, 10403]


async def test_rest_and_socket_share_the_limits(rig: Rig) -> None:
    trade = await rig.trade()
    rig.wire.venue.limits.take("create", "alice linear", 1000, 998)
    assert (await trade.order("order.create", ORDER))["header"]["X-Bapi-Limit-Status"] == "1"
    status, answer, headers = await rig.raw("POST", "/v5/order/create", body=json.dumps(ORDER))
    assert (status, answer["retCode"], headers["X-Bapi-Limit-Status"]) == (200, 0, "0")
    refused = await trade.order("order.create", ORDER)
    assert (refused["retCode"], refused["retMsg"]) == (10006, "Too many visits!")
    assert int(refused["header"]["X-Bapi-Limit-Reset-Timestamp"]) > rig.clock.now_ms() - 1000
    assert refused["header"]["X-Bapi-Limit-Status"] == "0"
