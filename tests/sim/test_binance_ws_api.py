"""The WebSocket API and private events of both products over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.ports import Settings
from tests.sim.binance_rig import KEYS, Rig, sign

LIMIT: dict[str, Any] = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
}  # fmt: skip


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


# -- requests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["alice", "carol"])
@pytest.mark.parametrize("product", ["spot", "perp"])
async def test_signed_requests_work_without_a_session(rig: Rig, product: str, who: str) -> None:
    async with rig.api(product) as api:
        placed = await api.call("order.place", who, **LIMIT, price="59000")
        assert placed["status"] == 200, placed
        status = await api.call("order.status", who, symbol="BTCUSDT", orderId=placed["result"]["orderId"])
        assert status["result"]["status"] == "NEW"
        gone = await api.call("order.cancel", who, symbol="BTCUSDT", orderId=placed["result"]["orderId"])
        assert gone["result"]["status"] == "CANCELED"
        again = await api.call("order.cancel", who, symbol="BTCUSDT", orderId=placed["result"]["orderId"])
        assert (again["status"], again["error"]["code"]) == (400, -2011)


async def test_answers_carry_the_rate_limits_of_the_product(rig: Rig) -> None:
    async with rig.api("spot") as api:
        placed = await api.call("order.place", "alice", **LIMIT, price="59000")
        names = ("rateLimitType", "interval", "intervalNum", "count")
        assert [tuple(row[name] for name in names) for row in placed["rateLimits"]] == [
            ("ORDERS", "SECOND", 10, 1), ("ORDERS", "DAY", 1, 1), ("REQUEST_WEIGHT", "MINUTE", 1, 2),
        ]  # fmt: skip
        quiet = await api.call("order.place", "alice", **LIMIT, price="59001", returnRateLimits=False)
        assert "rateLimits" not in quiet
        ping = await api.call("ping")
        assert [row["rateLimitType"] for row in ping["rateLimits"]] == ["REQUEST_WEIGHT"]


async def test_session_logon_replaces_key_and_signature(rig: Rig) -> None:
    for product in ("spot", "perp"):
        async with rig.api(product) as api:
            assert (await api.call("session.status"))["result"]["apiKey"] is None
            logon = await api.call("session.logon", "carol")
            assert logon["result"]["apiKey"] == KEYS["carol"]
            assert logon["result"]["authorizedSince"] is not None
            assert ("userDataStream" in logon["result"]) == (product == "spot")
            placed = await api.call("order.place", **LIMIT, price="59000", timestamp=rig.clock.now_ms())
            assert placed["status"] == 200, placed
            missing = await api.call("order.place", **LIMIT, price="59000")
            assert missing["error"]["code"] == -1102
            other = await api.call(
                "order.status", "alice", symbol="BTCUSDT", orderId=placed["result"]["orderId"]
            )
            assert other["error"]["code"] == -2013
            assert (await api.call("session.logout"))["result"]["apiKey"] is None
            after = await api.call("order.place", **LIMIT, price="59000", timestamp=rig.clock.now_ms())
            assert after["error"]["code"] == -1102


@pytest.mark.parametrize(("product", "code"), [("spot", -1022), ("perp", -4056)])
async def test_hmac_keys_may_not_log_on(rig: Rig, product: str, code: int) -> None:
    async with rig.api(product) as api:
        refused = await api.call("session.logon", "alice")
        assert refused["error"]["code"] == code


@pytest.mark.parametrize(
    ("sent", "code", "request_id"),
    [
        ("{", -1135, None), ("[]", -1135, None), ('{"id":3}', -1135, 3),
        ('{"id":"a","method":"nothing.such"}', -1000, "a"), ('{"id":1.5,"method":"ping"}', -1100, None),
        ('{"id":2,"method":"order.place","params":[]}', -1135, 2),
        ('{"id":4,"method":"order.place","params":{}}', -1102, 4),
    ],
)  # fmt: skip
async def test_bad_requests_are_answered(rig: Rig, sent: str, code: int, request_id: Any) -> None:
    async with rig.api("spot") as api:
        await api.connection.send(sent)
        frame = await api.next()
        assert (frame["error"]["code"], frame["status"]) == (code, 400)
        assert frame["id"] == request_id or code == -1100


async def test_signatures_cover_sorted_raw_text(rig: Rig) -> None:
    async with rig.api("spot") as api:
        symbol = LIMIT | {"symbol": "测试USDT", "quantity": "10"}
        assert (await api.call("order.place", "alice", **symbol, price="1.9"))["status"] == 200
        params = LIMIT | {"price": "59000", "apiKey": KEYS["alice"], "timestamp": rig.clock.now_ms()}
        unsorted = "&".join(f"{name}={value}" for name, value in params.items())
        refused = await api.call("order.place", **params, signature=sign("alice", unsorted))
        assert refused["error"]["code"] == -1022
        text = json.dumps(params | {"quantity": 0.01, "recvWindow": 5000})
        text = text.replace('"quantity": 0.01', '"quantity": 0.010')
        signed = "&".join(
            f"{name}={value}"
            for name, value in sorted((params | {"quantity": "0.010", "recvWindow": 5000}).items())
        )
        await api.connection.send(
            '{"id":9,"method":"v3/order.place","params":'
            + text[:-1]
            + f',"signature":"{sign("alice", signed)}"}}}}'
        )
        answer = await api.until(lambda frame: frame.get("id") == 9)
        assert answer["status"] == 200, answer


async def test_market_data_methods(rig: Rig) -> None:
    async with rig.api("spot") as api:
        depth = await api.call("depth", symbol="BTCUSDT", limit=5)
        assert list(depth["result"]) == ["lastUpdateId", "bids", "asks"]
        assert (await api.call("exchangeInfo", symbol="BTCUSDT"))["result"]["symbols"][0][
            "symbol"
        ] == "BTCUSDT"
    async with rig.api("perp") as api:
        assert (await api.call("ticker.book", symbol="BTCUSDT"))["result"]["bidPrice"] == "59999.90"
        assert (await api.call("account.balance", "alice"))["result"][0]["asset"] == "USDT"


# -- spot user data --------------------------------------------------------------------------------


async def test_spot_events_of_a_maker_and_a_taker(rig: Rig) -> None:
    async with rig.api("spot") as api:
        subscribed = await api.call("userDataStream.subscribe.signature", "alice")
        assert subscribed["result"] == {"subscriptionId": 0}
        again = await api.call("userDataStream.subscribe.signature", "alice")
        assert again["error"]["code"] == -2035
        placed = await api.call("order.place", "alice", **LIMIT, price="60000", newClientOrderId="mine")
        new = await api.event("executionReport")
        assert (new["x"], new["X"], new["c"], new["i"]) == ("NEW", "NEW", "mine", placed["result"]["orderId"])
        assert (new["n"], new["N"], new["t"], new["w"]) == ("0", None, -1, True)
        locked = await api.event("outboundAccountPosition")
        assert locked["B"] == [{"a": "USDT", "f": "999400.00000000", "l": "600.00000000"}]
        await rig.order("spot", "bob", side="SELL", quantity="0.004", price="60000")
        fill = await api.event("executionReport")
        assert (fill["x"], fill["X"], fill["l"], fill["z"], fill["m"]) == (
            "TRADE",
            "PARTIALLY_FILLED",
            "0.00400000",
            "0.00400000",
            True,
        )
        assert (fill["L"], fill["Y"], fill["Z"], fill["n"], fill["N"]) == (
            "60000.00000000", "240.00000000", "240.00000000", "0.00000400", "BTC",
        )  # fmt: skip
        assert fill["I"] > new["I"]
        await api.call(
            "order.cancel", "alice", symbol="BTCUSDT", origClientOrderId="mine", newClientOrderId="bye"
        )
        gone = await api.event("executionReport")
        assert (gone["x"], gone["c"], gone["C"], gone["z"]) == ("CANCELED", "bye", "mine", "0.00400000")


async def test_spot_amend_event_names_both_ids(rig: Rig) -> None:
    async with rig.api("spot") as api:
        await api.call("userDataStream.subscribe.signature", "alice")
        await api.call("order.place", "alice", **LIMIT, price="59000", newClientOrderId="old")
        await api.event("executionReport")
        answer = await api.call(
            "order.amend.keepPriority", "alice", symbol="BTCUSDT", origClientOrderId="old", newQty="0.005",
            newClientOrderId="new",
        )  # fmt: skip
        event = await api.event("executionReport")
        assert (event["x"], event["c"], event["C"], event["q"]) == ("REPLACED", "new", "old", "0.00500000")
        assert answer["result"]["executionId"] == event["I"]


async def test_spot_subscriptions_end_with_logout_or_unsubscribe(rig: Rig) -> None:
    async with rig.api("spot") as api:
        assert (await api.call("userDataStream.subscribe"))["error"]["code"] == -2015
        await api.call("session.logon", "carol")
        assert (await api.call("userDataStream.subscribe"))["result"] == {"subscriptionId": 0}
        assert (await api.call("userDataStream.subscribe.signature", "alice"))["result"] == {
            "subscriptionId": 1
        }
        assert (await api.call("session.status"))["result"]["userDataStream"]
        listed = await api.call("session.subscriptions")
        assert listed["result"] == [{"subscriptionId": 0}, {"subscriptionId": 1}]
        await api.call("session.logout")
        await api.event("eventStreamTerminated")
        assert (await api.call("session.subscriptions"))["result"] == [{"subscriptionId": 1}]
        assert (await api.call("userDataStream.unsubscribe", subscriptionId=0))["error"]["code"] == -2036
        assert (await api.call("userDataStream.unsubscribe"))["result"] == {}
        assert (await api.call("session.subscriptions"))["result"] == []


# -- futures user data -----------------------------------------------------------------------------


async def listen_key(rig: Rig, who: str = "alice") -> str:
    reply = await rig.raw("perp", "POST", "/fapi/v1/listenKey", key=KEYS[who])
    assert reply.status == 200
    return str(reply.body["listenKey"])


async def test_listen_keys(rig: Rig) -> None:
    first = await listen_key(rig)
    assert await listen_key(rig) == first
    assert await listen_key(rig, "bob") != first
    path = "/fapi/v1/listenKey"
    assert (await rig.raw("perp", "PUT", path, key=KEYS["alice"])).body == {"listenKey": first}
    assert (await rig.raw("perp", "DELETE", path, key=KEYS["alice"])).body == {}
    assert (await rig.raw("perp", "PUT", path, key=KEYS["alice"])).code == -1125
    assert (await rig.raw("perp", "POST", path)).status == 401
    async with rig.api("perp") as api:
        started = await api.call("userDataStream.start", apiKey=KEYS["alice"])
        assert started["result"]["listenKey"] == await listen_key(rig)


@pytest.mark.parametrize("form", ["ws", "stream", "subscribe"])
async def test_futures_events_of_a_taker_fill(rig: Rig, form: str) -> None:
    key = await listen_key(rig)
    path = {"ws": f"/private/ws?listenKey={key}", "stream": f"/private/stream?listenKey={key}"}.get(
        form, "/private/stream"
    )
    async with rig.stream("perp", path) as stream:
        if form == "subscribe":
            assert await stream.ask("SUBSCRIBE", key) == {"result": None, "id": 1}
        await rig.order("perp", type="MARKET", timeInForce=None, quantity="0.01", newClientOrderId="mine")
        frames = [await stream.next() for _ in range(4)]
        if form != "ws":
            assert {frame["stream"] for frame in frames} == {key}
            frames = [frame["data"] for frame in frames]
        lite, new, traded, account = frames
        assert [frame["e"] for frame in frames] == [
            "TRADE_LITE", "ORDER_TRADE_UPDATE", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE",
        ]  # fmt: skip
        assert (lite["q"], lite["p"], lite["L"], lite["l"]) == ("0.010", "0.00", "60000.10", "0.010")
        assert (new["o"]["x"], new["o"]["X"], new["o"]["q"], new["o"]["p"]) == ("NEW", "NEW", "0.01", "0")
        order = traded["o"]
        assert (order["x"], order["X"], order["L"], order["ap"], order["z"]) == (
            "TRADE", "FILLED", "60000.1", "60000.1", "0.01",
        )  # fmt: skip
        assert order["t"] == lite["t"]
        assert (D(order["n"]), order["N"]) == (D("60000.10") * D("0.01") * D("0.001"), "USDT")
        assert (order["rp"], order["m"]) == ("0", False)
        assert account["a"]["m"] == "ORDER"
        assert account["a"]["P"][0]["pa"] == "0.01"
        assert D(account["a"]["B"][0]["wb"]) == rig.account().balance("perp", "USDT").total
        await rig.order("perp", quantity="0.01", price="59000")
        opened = await stream.next()
        opened = opened if form == "ws" else opened["data"]
        assert (opened["o"]["x"], opened["o"]["b"]) == ("NEW", "590")
        assert await stream.silent(lambda _: True)


async def test_the_events_filter_of_the_private_path(rig: Rig) -> None:
    key = await listen_key(rig)
    async with rig.stream("perp", f"/private/ws?listenKey={key}&events=ACCOUNT_UPDATE/TRADE_LITE") as stream:
        await rig.order("perp", type="MARKET", timeInForce=None, quantity="0.01")
        assert [(await stream.next())["e"] for _ in range(2)] == ["TRADE_LITE", "ACCOUNT_UPDATE"]
        assert await stream.silent(lambda _: True)


async def test_funding_brings_an_account_update_without_positions(rig: Rig) -> None:
    key = await listen_key(rig)
    await rig.order("perp", type="MARKET", timeInForce=None, quantity="0.01")
    async with rig.stream("perp", f"/private/ws?listenKey={key}") as stream:
        assert await stream.ask("LIST_SUBSCRIPTIONS") is not None
        rig.exchange.settle_funding(rig.market("perp"), rig.clock.now_ms())
        update = await stream.until(
            lambda frame: frame.get("e") == "ACCOUNT_UPDATE" and frame["a"]["m"] == "FUNDING_FEE"
        )
        assert update["a"]["P"] == []
        assert update["a"]["S"] == "BTCUSDT"
        assert update["a"]["B"][0]["bc"] == "-0.06"


async def test_listen_keys_expire_and_the_connection_stays_open() -> None:
    async with Rig(settings=Settings(time_scale=3600 / 0.5)) as rig:
        key = await listen_key(rig)
        async with rig.stream("perp", f"/private/ws?listenKey={key}") as stream:
            event = await stream.next()
            assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
            assert isinstance(event["E"], str)
            assert (await stream.ask("LIST_SUBSCRIPTIONS"))["result"] == []
        assert await listen_key(rig) != key


async def test_an_amend_event_carries_the_modify_id(rig: Rig) -> None:
    key = await listen_key(rig)
    async with rig.stream("perp", f"/private/ws?listenKey={key}") as stream:
        order = (await rig.order("perp", quantity="0.01", price="59000")).body["orderId"]
        new: dict[str, Any] = {"quantity": "0.02", "price": "59000.10", "modifyId": 77}
        await rig.signed("perp", "PUT", "/fapi/v1/order", symbol="BTCUSDT", side="BUY", orderId=order, **new)
        event = await stream.until(lambda frame: frame["o"]["x"] == "AMENDMENT")
        assert (event["o"]["M"], event["o"]["q"], event["o"]["p"]) == (77, "0.02", "59000.1")
