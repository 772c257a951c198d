"""REST of both products over real sockets: envelope, signatures, time window, order operations, codes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any
from urllib.parse import quote

import pytest

from engine.sim.ports import Settings
from tests.sim.binance_rig import KEYS, Rig, sign
from tests.sim.loopback_rig import eventually

SPOT, PERP = "/api/v3/order", "/fapi/v1/order"
MARKET = {"type": "MARKET", "timeInForce": None, "price": None}


def missing(name: str) -> str:
    return f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def illegal(name: str, legal: str) -> str:
    return f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."


NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


# -- envelope --------------------------------------------------------------------------------------


async def test_public_answers_carry_weight_and_json_type(rig: Rig) -> None:
    reply = await rig.public("spot", "/api/v3/depth", symbol="BTCUSDT", limit=5)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "5"
    assert list(reply.body) == ["lastUpdateId", "bids", "asks"]
    assert reply.body["bids"][0] == ["59999.99000000", "0.01000000"]
    assert len(reply.body["asks"]) == 5
    reply = await rig.public("perp", "/fapi/v1/depth", symbol="BTCUSDT", limit=10)
    assert list(reply.body) == ["lastUpdateId", "E", "T", "bids", "asks"]
    assert reply.body["asks"][0] == ["60000.10", "1.000"]


@pytest.mark.parametrize(
    ("product", "path", "query", "status", "body"),
    [
        ("perp", "/fapi/v1/depth", "symbol=BTCUSDT&limit=3", 400, (-4021, "3 is not valid depth limit")),
        ("perp", "/fapi/v1/depth", "symbol=BTCUSDT&limit=1500", 400,
         (-1130, "Data sent for parameter 'limit' is not valid.")),
        ("perp", "/fapi/v1/depth", "symbol=NOPEUSDT", 400, (-1121, "Invalid symbol.")),
        ("spot", "/api/v3/depth", "", 400, (-1102, missing("symbol"))),
        ("perp", "/fapi/v1/historicalTrades", "symbol=BTCUSDT", 401, (-2014, "API-key format invalid.")),
        ("perp", "/fapi/v1/klines", "symbol=BTCUSDT&interval=1s", 400, (-1120, "Invalid interval.")),
        ("spot", "/api/v3/depth", "symbol=BTCUSDT&symbol=BTCUSDT", 400,
         (-1101, "Duplicate values for parameter 'symbol' detected.")),
        ("spot", "/api/v3/depth", "symbol=BTCUSDT&limit=x", 400, (-1100, illegal("limit", "^[0-9]{1,20}$"))),
    ],
)  # fmt: skip
async def test_public_errors(
    rig: Rig, product: str, path: str, query: str, status: int, body: tuple[int, str]
) -> None:
    reply = await rig.raw(product, "GET", path, query)
    assert (reply.status, reply.code, reply.body["msg"]) == (status, *body)


async def test_retired_paths_are_gone(rig: Rig) -> None:
    for product, path in (
        ("perp", "/fapi/v1/balance"),
        ("perp", "/fapi/v1/positionRisk"),
        ("spot", "/api/v1/ping"),
    ):
        assert (await rig.raw(product, "GET", path)).status == 404
    assert (await rig.raw("spot", "POST", "/api/v3/userDataStream")).status == 404


async def test_spot_clips_large_depth_limits_and_futures_exchange_info_ignores_symbol(rig: Rig) -> None:
    assert (await rig.public("spot", "/api/v3/depth", symbol="BTCUSDT", limit=99999)).status == 200
    reply = await rig.public("perp", "/fapi/v1/exchangeInfo", symbol="BTCUSDT")
    assert [row["symbol"] for row in reply.body["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    reply = await rig.public("spot", "/api/v3/exchangeInfo", symbols='["ETHUSDT"]')
    assert [row["symbol"] for row in reply.body["symbols"]] == ["ETHUSDT"]
    assert (await rig.public("spot", "/api/v3/exchangeInfo", symbols='["ETHUSDT","NO"]')).code == -1121


# -- security --------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["alice", "carol"])
@pytest.mark.parametrize("in_body", [False, True])
async def test_both_key_types_sign_query_or_body(rig: Rig, who: str, in_body: bool) -> None:
    for product, path in (("spot", SPOT), ("perp", PERP)):
        reply = await rig.signed(
            product, "POST", path, who, in_body, symbol="BTCUSDT", side="BUY", type="LIMIT",
            timeInForce="GTC", quantity="0.01", price="59000",
        )  # fmt: skip
        assert (reply.status, reply.body["status"]) == (200, "NEW"), reply.body


async def test_signed_query_and_body_are_joined_without_a_separator(rig: Rig) -> None:
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
    body = f"quantity=0.01&price=59000&timestamp={rig.clock.now_ms()}"
    good = body + "&signature=" + sign("alice", query + body)
    assert (await rig.raw("spot", "POST", SPOT, query, good, KEYS["alice"])).status == 200
    wrong = body + "&signature=" + sign("alice", query + "&" + body)
    assert (await rig.raw("spot", "POST", SPOT, query, wrong, KEYS["alice"])).code == -1022


async def test_the_query_wins_over_the_body(rig: Rig) -> None:
    query = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&price=59000"
    body = f"quantity=0.01&price=58000&timestamp={rig.clock.now_ms()}"
    body += "&signature=" + sign("alice", query + body)
    reply = await rig.raw("spot", "POST", SPOT, query, body, KEYS["alice"])
    assert reply.body["price"] == "59000.00000000"


async def test_what_must_not_pass(rig: Rig) -> None:
    now = rig.clock.now_ms()
    path = "/api/v3/openOrders"

    async def ask(query: str, key: str | None = KEYS["alice"]) -> tuple[int, int]:
        reply = await rig.raw("spot", "GET", path, query, key=key)
        return reply.status, reply.code

    def done(payload: str, who: str = "alice") -> str:
        return payload + "&signature=" + sign(who, payload)

    assert await ask(done(f"timestamp={now}"), None) == (401, -2014)
    assert await ask(done(f"timestamp={now}"), "short") == (401, -2014)
    assert await ask(done(f"timestamp={now}"), "x" * 64) == (401, -2015)
    assert await ask(done(f"timestamp={now}", "bob")) == (400, -1022)
    assert await ask(f"timestamp={now}") == (400, -1102)
    assert await ask("signature=" + sign("alice", f"timestamp={now}") + f"&timestamp={now}") == (400, -1022)
    assert await ask(done("recvWindow=5000")) == (400, -1102)
    assert await ask(done("timestamp=x")) == (400, -1100)
    assert await ask(done(f"timestamp={now}&recvWindow=60001")) == (400, -1131)
    assert await ask(done(f"timestamp={now - 5100}")) == (400, -1021)
    assert await ask(done(f"timestamp={now + 3000}")) == (400, -1021)


async def test_time_window_edges_and_microseconds(rig: Rig) -> None:
    late = await rig.signed("spot", "GET", "/api/v3/openOrders", timestamp=rig.clock.now_ms() - 6000)
    assert late.body["msg"] == "Timestamp for this request is outside of the recvWindow."
    early = await rig.signed("spot", "GET", "/api/v3/openOrders", timestamp=rig.clock.now_ms() + 5000)
    assert early.body["msg"] == "Timestamp for this request was 1000ms ahead of the server's time."
    micro = await rig.signed("spot", "GET", "/api/v3/openOrders", timestamp=rig.clock.now_ms() * 1000)
    assert micro.status == 200
    wide = await rig.signed(
        "spot", "GET", "/api/v3/openOrders", timestamp=rig.clock.now_ms() - 8000, recvWindow="59999.5"
    )
    assert wide.status == 200
    fraction = await rig.signed("perp", "GET", "/fapi/v1/openOrders", recvWindow="5000.5")
    assert fraction.code == -1100


async def test_non_ascii_symbols_are_signed_percent_encoded(rig: Rig) -> None:
    reply = await rig.order("spot", symbol="测试USDT", quantity="10", price="1.9")
    assert reply.status == 200, reply.body
    assert reply.body["symbol"] == "测试USDT"
    payload = f"symbol=测试USDT&timestamp={rig.clock.now_ms()}"
    encoded = f"symbol={quote('测试USDT')}&timestamp={payload.rsplit('=')[-1]}"
    unencoded_signature = await rig.raw(
        "spot",
        "GET",
        "/api/v3/openOrders",
        encoded + "&signature=" + sign("alice", payload),
        key=KEYS["alice"],
    )
    assert unencoded_signature.code == -1022


# -- spot orders -----------------------------------------------------------------------------------


async def test_spot_answers_ack_result_full(rig: Rig) -> None:
    ack = await rig.order(
        "spot", quantity="0.01", price="59000", newOrderRespType="ACK", newClientOrderId="a1"
    )
    assert list(ack.body) == ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]
    full = await rig.order("spot", quantity="0.015", price="60000.02")
    assert full.body["status"] == "FILLED"
    assert [(row["price"], row["qty"], row["commissionAsset"]) for row in full.body["fills"]] == [
        ("60000.01000000", "0.01000000", "BTC"), ("60000.02000000", "0.00500000", "BTC"),
    ]  # fmt: skip
    assert full.body["cummulativeQuoteQty"] == "900.00020000"
    assert len(full.body["clientOrderId"]) == 22
    result = await rig.order("spot", quantity="0.01", price="59000", newOrderRespType="RESULT")
    assert "fills" not in result.body
    assert result.body["selfTradePreventionMode"] == "EXPIRE_MAKER"
    maker = await rig.order("spot", quantity="0.01", price="59000", type="LIMIT_MAKER", timeInForce=None)
    assert "status" not in maker.body


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        ({"side": "LONG"}, -1117, "Invalid side."),
        ({"type": "STOP_LOSS"}, -1116, "Invalid orderType."),
        ({"timeInForce": "GTX"}, -1115, "Invalid timeInForce."),
        ({"timeInForce": None}, -1102, missing("timeInForce")),
        ({"quantity": None}, -1102, missing("quantity")),
        ({"price": "-1"}, -1100, illegal("price", NUMBER)),
        ({"price": "1e5"}, -1100, illegal("price", NUMBER)),
        ({"price": ""}, -1102, missing("price")),
        ({"price": "59000.001"}, -1013, "Filter failure: PRICE_FILTER"),
        ({"price": "100000"}, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "0.000001"}, -1013, "Filter failure: LOT_SIZE"),
        ({"quantity": "0.0000000001"}, -1111, "Parameter 'quantity' has too much precision."),
        ({"quantity": "0.00001"}, -1013, "Filter failure: NOTIONAL"),
        ({"quantity": "100"}, -2010, "Account has insufficient balance for requested action."),
        ({"type": "LIMIT_MAKER"}, -1114, "TimeInForce parameter sent when not required."),
        ({"type": "LIMIT_MAKER", "timeInForce": None, "price": "60001"}, -2010,
         "Order would immediately match and take."),
        ({"type": "MARKET"}, -1106, "Parameter 'timeInForce' sent when not required."),
        (MARKET | {"quantity": None}, -1102,
         "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
        (MARKET | {"quoteOrderQty": "10"}, -1128, "Combination of optional parameters invalid."),
        ({"newClientOrderId": "has space"}, -1100, illegal("newClientOrderId", CLIENT_ID)),
        ({"newClientOrderId": "x" * 37}, -1100, illegal("newClientOrderId", CLIENT_ID)),
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"selfTradePreventionMode": "SOMETIMES"}, -1130,
         "Data sent for parameter 'selfTradePreventionMode' is not valid."),
    ],
)  # fmt: skip
async def test_spot_refusals(rig: Rig, params: dict[str, Any], code: int, text: str) -> None:
    reply = await rig.order("spot", **({"quantity": "0.01", "price": "59000"} | params))
    assert (reply.status, reply.code, reply.body["msg"]) == (400, code, text)
    assert not rig.exchange.open_orders(rig.account(), "spot")


async def test_spot_client_ids_are_unique_while_open(rig: Rig) -> None:
    place = {"quantity": "0.01", "price": "59000", "newClientOrderId": "mine"}
    first = await rig.order("spot", **place)
    again = await rig.order("spot", **place)
    assert (again.code, again.body["msg"]) == (-2010, "Duplicate order sent.")
    assert (await rig.order("spot", "bob", **place)).status == 200
    await rig.signed("spot", "DELETE", SPOT, symbol="BTCUSDT", origClientOrderId="mine")
    second = await rig.order("spot", **place)
    assert second.body["orderId"] > first.body["orderId"]
    found = await rig.signed("spot", "GET", SPOT, symbol="BTCUSDT", origClientOrderId="mine")
    assert found.body["orderId"] == second.body["orderId"]


async def test_spot_orders_that_end_at_once_are_successes(rig: Rig) -> None:
    ioc = await rig.order("spot", quantity="1", price="60000.02", timeInForce="IOC")
    assert (ioc.body["status"], ioc.body["executedQty"]) == ("EXPIRED", "0.02000000")
    assert ioc.body["expiryReason"] == "UNFILLED_IOC_QUANTITY_EXPIRED"
    fok = await rig.order("spot", quantity="1", price="60000.02", timeInForce="FOK")
    assert (fok.status, fok.body["status"]) == (200, "EXPIRED")
    assert fok.body["expiryReason"] == "UNFILLED_FOK_ORDER_EXPIRED"
    market = await rig.order("spot", type="MARKET", timeInForce=None, side="SELL", quoteOrderQty="599.9999")
    assert (market.body["status"], market.body["executedQty"]) == ("FILLED", "0.01000000")
    assert market.body["origQuoteOrderQty"] == "599.99990000"


async def test_spot_self_trade_prevention(rig: Rig) -> None:
    resting = await rig.order("spot", side="SELL", quantity="0.01", price="60000")
    taker = await rig.order("spot", quantity="0.01", price="60000", selfTradePreventionMode="EXPIRE_TAKER")
    assert taker.body["status"] == "EXPIRED_IN_MATCH"
    both = await rig.order("spot", quantity="0.01", price="60000")
    assert both.body["status"] == "NEW"
    state = await rig.signed("spot", "GET", SPOT, symbol="BTCUSDT", orderId=resting.body["orderId"])
    assert state.body["status"] == "EXPIRED_IN_MATCH"


async def test_spot_cancel_and_query(rig: Rig) -> None:
    order = (await rig.order("spot", quantity="0.01", price="59000", newClientOrderId="mine")).body
    wrong = await rig.signed(
        "spot", "DELETE", SPOT, symbol="BTCUSDT", orderId=order["orderId"], origClientOrderId="no"
    )
    assert (wrong.code, wrong.body["msg"]) == (-2011, "Unknown order sent.")
    assert (await rig.signed("spot", "DELETE", SPOT, symbol="BTCUSDT")).code == -1102
    assert (
        await rig.signed("spot", "DELETE", SPOT, "bob", symbol="BTCUSDT", orderId=order["orderId"])
    ).code == -2011
    partly = await rig.signed(
        "spot",
        "DELETE",
        SPOT,
        symbol="BTCUSDT",
        orderId=order["orderId"],
        cancelRestrictions="ONLY_PARTIALLY_FILLED",
    )
    assert partly.code == -2011
    gone = await rig.signed(
        "spot", "DELETE", SPOT, symbol="BTCUSDT", orderId=order["orderId"], newClientOrderId="bye"
    )
    assert (gone.body["clientOrderId"], gone.body["origClientOrderId"], gone.body["status"]) == (
        "bye",
        "mine",
        "CANCELED",
    )
    again = await rig.signed("spot", "DELETE", SPOT, symbol="BTCUSDT", orderId=order["orderId"])
    assert again.code == -2011
    query = await rig.signed("spot", "GET", SPOT, symbol="BTCUSDT", orderId=order["orderId"])
    assert query.body["clientOrderId"] == "mine"
    assert (await rig.signed("spot", "GET", SPOT, symbol="BTCUSDT", orderId=99)).code == -2013
    assert (await rig.signed("spot", "DELETE", "/api/v3/openOrders", symbol="BTCUSDT")).code == -2011
    for price in ("59000", "59001"):
        await rig.order("spot", quantity="0.01", price=price)
    every = await rig.signed("spot", "DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    assert [row["status"] for row in every.body] == ["CANCELED", "CANCELED"]
    balance = rig.account().balance("spot", "USDT")
    assert (balance.free, balance.locked) == (D(1_000_000), D(0))


async def test_spot_cancel_replace_table(rig: Rig) -> None:
    path = "/api/v3/order/cancelReplace"

    async def replace(cancel_id: Any, mode: str, **new: Any) -> Any:
        params = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.01",
                  "price": "59000", "cancelReplaceMode": mode, "cancelOrderId": cancel_id}  # fmt: skip
        return await rig.signed("spot", "POST", path, **(params | new))

    order = (await rig.order("spot", quantity="0.01", price="58000")).body["orderId"]
    both = await replace(order, "STOP_ON_FAILURE")
    assert (both.status, both.body["cancelResult"], both.body["newOrderResult"]) == (
        200,
        "SUCCESS",
        "SUCCESS",
    )
    newest = both.body["newOrderResponse"]["orderId"]
    stopped = await replace(order, "STOP_ON_FAILURE")
    assert (stopped.status, stopped.code) == (400, -2022)
    assert stopped.body["data"] == {
        "cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": {"code": -2011, "msg": "Unknown order sent."}, "newOrderResponse": None,
    }  # fmt: skip
    only_new = await replace(order, "ALLOW_FAILURE")
    assert (only_new.status, only_new.code, only_new.body["data"]["newOrderResult"]) == (
        409,
        -2021,
        "SUCCESS",
    )
    neither = await replace(order, "ALLOW_FAILURE", price="60001")
    assert (neither.status, neither.code) == (400, -2022)
    only_cancel = await replace(newest, "STOP_ON_FAILURE", price="60001")
    assert (only_cancel.status, only_cancel.code) == (409, -2021)
    assert only_cancel.body["data"]["newOrderResponse"] == {
        "code": -2010, "msg": "Order would immediately match and take.",
    }  # fmt: skip
    untouched = (await rig.order("spot", quantity="0.01", price="58000")).body["orderId"]
    assert (await replace(untouched, "STOP_ON_FAILURE", price="59000.001")).code == -1013
    state = await rig.signed("spot", "GET", SPOT, symbol="BTCUSDT", orderId=untouched)
    assert state.body["status"] == "NEW"


async def test_spot_amend_keeps_the_place(rig: Rig) -> None:
    path = "/api/v3/order/amend/keepPriority"
    order = (await rig.order("spot", quantity="0.05", price="60000", newClientOrderId="mine")).body
    rival = (await rig.order("spot", "bob", quantity="0.05", price="60000")).body
    reply = await rig.signed("spot", "PUT", path, symbol="BTCUSDT", orderId=order["orderId"], newQty="0.02")
    amended = reply.body["amendedOrder"]
    assert (amended["qty"], amended["origClientOrderId"]) == ("0.02000000", "mine")
    assert amended["clientOrderId"] not in ("", "mine")
    rig.exchange.background_trade(rig.market("spot"), "SELL", 2000)
    state = await rig.signed("spot", "GET", SPOT, symbol="BTCUSDT", orderId=order["orderId"])
    assert state.body["status"] == "FILLED"
    other = await rig.signed("spot", "GET", SPOT, "bob", symbol="BTCUSDT", orderId=rival["orderId"])
    assert other.body["executedQty"] == "0.00000000"
    for quantity, text in (
        ("0.06", "Order amend (quantity increase) is not supported."),
        ("0.05", "The requested action would change no state; rejecting"),
    ):
        refused = await rig.signed(
            "spot", "PUT", path, "bob", symbol="BTCUSDT", orderId=rival["orderId"], newQty=quantity
        )
        assert (refused.code, refused.body["msg"]) == (-2038, text)
    listed = await rig.signed(
        "spot", "GET", "/api/v3/order/amendments", symbol="BTCUSDT", orderId=order["orderId"]
    )
    assert [row["newQty"] for row in listed.body] == ["0.02000000"]


async def test_spot_histories_and_account(rig: Rig) -> None:
    for price in ("60000.01", "60000.02"):
        await rig.order("spot", quantity="0.01", price=price)
    trades = (await rig.signed("spot", "GET", "/api/v3/myTrades", symbol="BTCUSDT")).body
    assert [row["price"] for row in trades] == ["60000.01000000", "60000.02000000"]
    assert trades[0]["isBuyer"]
    assert not trades[0]["isMaker"]
    one = await rig.signed("spot", "GET", "/api/v3/myTrades", symbol="BTCUSDT", orderId=trades[1]["orderId"])
    assert [row["id"] for row in one.body] == [trades[1]["id"]]
    orders = await rig.signed("spot", "GET", "/api/v3/allOrders", symbol="BTCUSDT", limit=1)
    assert [row["orderId"] for row in orders.body] == [trades[1]["orderId"]]
    account = (await rig.signed("spot", "GET", "/api/v3/account", omitZeroBalances="true")).body
    held = {row["asset"]: D(row["free"]) + D(row["locked"]) for row in account["balances"]}
    assert held["BTC"] == D(10) + D("0.02") * (1 - D("0.001"))
    assert held["USDT"] == D(1_000_000) - D("600.0001") - D("600.0002")
    public = (await rig.public("spot", "/api/v3/trades", symbol="BTCUSDT")).body
    assert [row["id"] for row in public] == [row["id"] for row in trades]


# -- futures orders --------------------------------------------------------------------------------


async def test_perp_ack_does_not_wait_and_result_does(rig: Rig) -> None:
    ack = await rig.order("perp", quantity="0.01", price="60000.10")
    assert (ack.body["status"], ack.body["executedQty"], ack.body["avgPrice"]) == ("NEW", "0.000", "0.00")
    state = await rig.signed("perp", "GET", PERP, symbol="BTCUSDT", orderId=ack.body["orderId"])
    assert (state.body["status"], state.body["avgPrice"], state.body["cumQuote"]) == (
        "FILLED",
        "60000.10",
        "600.00100",
    )
    result = await rig.order("perp", quantity="0.01", price="60000.10", newOrderRespType="RESULT")
    assert (result.body["status"], result.body["executedQty"]) == ("FILLED", "0.010")
    assert list(result.body) == list(ack.body)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"type": "STOP_MARKET"}, -4120), ({"type": "TRAILING_STOP_MARKET"}, -4120), ({"type": "FOO"}, -1116),
        ({"positionSide": "LONG"}, -4061), ({"positionSide": "UP"}, -4060), ({"timeInForce": "DAY"}, -1115),
        ({"timeInForce": "GTX", "price": "60000.10"}, -5022),
        ({"timeInForce": "FOK", "quantity": "5", "price": "60000.10"}, -5021),
        ({"timeInForce": "GTD"}, -1102), ({"timeInForce": "GTD", "goodTillDate": "1000"}, -5040),
        ({"reduceOnly": "true"}, -2022), ({"reduceOnly": "yes"}, -1130),
        ({"quantity": "0.0001"}, -1111), ({"price": "59000.05"}, -4014), ({"price": "59000.001"}, -1111),
        ({"quantity": "0"}, -4003), ({"quantity": "9001"}, -4005), ({"price": "70000"}, -4016),
        ({"side": "SELL", "price": "50000"}, -4024), ({"quantity": "60", "price": "59000"}, -2019),
        ({"price": "4000", "quantity": "0.001"}, -4164), ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "no spaces"}, -4015), ({"priceMatch": "QUEUE"}, -5038),
        ({"priceMatch": "BEST", "price": None}, -5037), ({"selfTradePreventionMode": "MAYBE"}, -1130),
        ({"type": "MARKET"}, -1106), ({"price": None}, -1102),
    ],
)  # fmt: skip
async def test_perp_refusals(rig: Rig, params: dict[str, Any], code: int) -> None:
    reply = await rig.order("perp", **({"quantity": "0.01", "price": "59000"} | params))
    assert (reply.status, reply.code) == (400, code), reply.body
    assert not rig.exchange.open_orders(rig.account(), "perp")


async def test_perp_duplicate_client_id(rig: Rig) -> None:
    place = {"quantity": "0.01", "price": "59000", "newClientOrderId": "web:1/a.b"}
    assert (await rig.order("perp", **place)).status == 200
    assert (await rig.order("perp", **place)).code == -4116


async def test_perp_price_match_takes_the_price_of_the_queue(rig: Rig) -> None:
    best = await rig.order("perp", quantity="0.01", priceMatch="QUEUE", price=None)
    assert (best.body["price"], best.body["priceMatch"]) == ("59999.90", "QUEUE")
    fifth = await rig.order("perp", quantity="0.01", priceMatch="QUEUE_5", price=None)
    assert fifth.body["price"] == "59999.50"
    taker = await rig.order(
        "perp", quantity="0.01", priceMatch="OPPONENT", price=None, newOrderRespType="RESULT"
    )
    assert (taker.body["status"], taker.body["price"]) == ("FILLED", "60000.10")


async def test_perp_amend(rig: Rig) -> None:
    order = (await rig.order("perp", quantity="0.05", price="60000")).body
    number = order["orderId"]
    base = {"symbol": "BTCUSDT", "side": "BUY", "orderId": number}
    same = await rig.signed("perp", "PUT", PERP, **base, quantity="0.05", price="60000")
    assert (same.code, same.body["msg"]) == (-5027, "No need to modify the order.")
    moved = await rig.signed("perp", "PUT", PERP, **base, quantity="0.06", price="59999.80", modifyId=7)
    assert (moved.body["price"], moved.body["origQty"], moved.body["modifyId"]) == ("59999.80", "0.060", 7)
    assert (moved.body["orderId"], moved.body["pair"]) == (number, "BTCUSDT")
    assert (await rig.signed("perp", "PUT", PERP, **base, quantity="0.06")).code == -1102
    bad = await rig.signed("perp", "PUT", PERP, **base, quantity="0.06", price="59999.85")
    assert bad.code == -4014
    assert (
        await rig.signed("perp", "PUT", PERP, **(base | {"orderId": 5}), quantity="1", price="59000")
    ).code == -2013
    maker = (await rig.order("perp", quantity="0.05", price="59000", timeInForce="GTX")).body["orderId"]
    crossed = await rig.signed(
        "perp", "PUT", PERP, symbol="BTCUSDT", side="BUY", orderId=maker, quantity="0.05", price="60001"
    )
    assert crossed.body["status"] == "CANCELED"
    history = await rig.signed("perp", "GET", "/fapi/v1/orderAmendment", symbol="BTCUSDT", orderId=number)
    assert history.body[0]["amendment"]["price"] == {"before": "60000.00", "after": "59999.80"}


async def test_perp_batches_answer_in_order(rig: Rig) -> None:
    base = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    rows = [
        base | {"price": "59000"}, base | {"price": 59000.1},
        base | {"price": "59000", "reduceOnly": "true"},
    ]  # fmt: skip
    reply = await rig.signed("perp", "POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(rows))
    assert reply.status == 200
    assert reply.body[1]["price"] == "59000.10"
    assert reply.body[2] == {"code": -2022, "msg": "ReduceOnly Order is rejected."}
    numbers = [row["orderId"] for row in reply.body[:2]]
    gone = await rig.signed(
        "perp", "DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=json.dumps([*numbers, 5])
    )
    assert [row.get("status", row.get("code")) for row in gone.body] == ["CANCELED", "CANCELED", -2011]
    assert (
        await rig.signed("perp", "POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(rows * 2))
    ).code == -4082
    assert (await rig.signed("perp", "POST", "/fapi/v1/batchOrders", batchOrders="{")).code == -1130


async def test_perp_position_life(rig: Rig) -> None:
    assert (await rig.signed("perp", "GET", "/fapi/v3/positionRisk")).body == []
    await rig.order("perp", type="MARKET", timeInForce=None, quantity="0.5")
    [risk] = (await rig.signed("perp", "GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")).body
    assert (risk["positionAmt"], risk["entryPrice"], risk["positionSide"]) == ("0.500", "60000.1", "BOTH")
    assert D(risk["unRealizedProfit"]) == (rig.market("perp").mark_price - D("60000.1")) * D("0.5")
    over = await rig.order(
        "perp",
        side="SELL",
        type="MARKET",
        timeInForce=None,
        quantity="2",
        reduceOnly="true",
        newOrderRespType="RESULT",
    )
    assert over.body["executedQty"] == "0.500"
    assert (await rig.signed("perp", "GET", "/fapi/v3/positionRisk")).body == []
    trades = (await rig.signed("perp", "GET", "/fapi/v1/userTrades", symbol="BTCUSDT")).body
    assert [row["side"] for row in trades] == ["BUY", "SELL"]
    assert D(trades[1]["realizedPnl"]) == D("-0.1")
    income = (await rig.signed("perp", "GET", "/fapi/v1/income")).body
    assert [row["incomeType"] for row in income] == ["COMMISSION", "COMMISSION", "REALIZED_PNL"]
    fees = sum(D(row["income"]) for row in income)
    [balance, *_] = (await rig.signed("perp", "GET", "/fapi/v3/balance")).body
    assert D(balance["balance"]) == 100_000 + fees


async def test_perp_settings(rig: Rig) -> None:
    set_to = await rig.signed("perp", "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=5)
    assert set_to.body == {"leverage": 5, "maxNotionalValue": "1000000", "symbol": "BTCUSDT"}
    assert (
        await rig.signed("perp", "POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=126)
    ).code == -4028
    [config] = (await rig.signed("perp", "GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")).body
    assert config["leverage"] == 5
    crossed = await rig.signed("perp", "POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED")
    assert crossed.code == -4046
    dual = await rig.signed("perp", "GET", "/fapi/v1/positionSide/dual")
    assert dual.body == {"dualSidePosition": False}
    bracket = await rig.signed("perp", "GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT")
    assert bracket.body["brackets"][0]["initialLeverage"] == 125


async def test_perp_cancel_all_and_countdown(rig: Rig) -> None:
    for price in ("59000", "59001"):
        await rig.order("perp", quantity="0.01", price=price)
    done = await rig.signed("perp", "DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert done.body == {"code": 200, "msg": "The operation of cancel all open order is done."}
    assert not rig.exchange.open_orders(rig.account(), "perp")
    await rig.order("perp", quantity="0.01", price="59000")
    path = "/fapi/v1/countdownCancelAll"
    armed = await rig.signed("perp", "POST", path, symbol="BTCUSDT", countdownTime=120_000)
    assert armed.body == {"symbol": "BTCUSDT", "countdownTime": "120000"}
    assert rig.exchange.open_orders(rig.account(), "perp")
    await rig.signed("perp", "POST", path, symbol="BTCUSDT", countdownTime=30)
    await eventually(lambda: not rig.exchange.open_orders(rig.account(), "perp"), "countdown cancels")


async def test_premium_index_and_paid_funding_agree(rig: Rig) -> None:
    market = rig.market("perp", "ETHUSDT")
    await rig.order("perp", symbol="ETHUSDT", type="MARKET", timeInForce=None, quantity="1")
    index = (await rig.public("perp", "/fapi/v1/premiumIndex", symbol="ETHUSDT")).body
    assert D(index["markPrice"]) == market.mark_price
    before = rig.account().balance("perp", "USDT").total
    rig.exchange.settle_funding(market, 1_790_000_000_000)
    paid = (await rig.public("perp", "/fapi/v1/fundingRate", symbol="ETHUSDT")).body
    assert paid[-1]["fundingRate"] == index["lastFundingRate"]
    assert rig.account().balance("perp", "USDT").total - before == -(
        market.mark_price * D(index["lastFundingRate"])
    )
    [info] = (await rig.public("perp", "/fapi/v1/fundingInfo")).body
    assert (info["symbol"], info["fundingIntervalHours"]) == ("ETHUSDT", 4)
    income = (await rig.signed("perp", "GET", "/fapi/v1/income", incomeType="FUNDING_FEE")).body
    assert D(income[0]["income"]) == rig.account().balance("perp", "USDT").total - before


# -- strict mode and loading -----------------------------------------------------------------------


async def test_unknown_parameters_are_tolerated_or_refused() -> None:
    async with Rig(settings=Settings(strict=True)) as strict, Rig() as lax:
        for rig, status in ((strict, 400), (lax, 200)):
            reply = await rig.order("spot", quantity="0.01", price="59000", clientOrderId="extra")
            assert reply.status == status, reply.body
        refused = await strict.order("spot", quantity="0.01", price="59000", clientOrderId="extra")
        told = "Not all sent parameters were read; read '6' parameter(s) but was sent '7'."
        assert refused.body["msg"] == told
        assert not strict.exchange.open_orders(strict.account(), "spot")


async def test_services_that_are_not_simulated_answer_emptily(rig: Rig) -> None:
    for path in ("capital/config/getall", "margin/allPairs", "margin/isolated/allPairs"):
        assert (await rig.raw("spot", "GET", f"/sapi/v1/{path}", key=KEYS["alice"])).body == []
    assert (await rig.raw("spot", "GET", "/dapi/v1/exchangeInfo")).body == {"symbols": []}
