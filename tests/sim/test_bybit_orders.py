"""Orders on Bybit over REST: what is accepted, what is refused and with which code, what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.ports import Settings
from tests.sim.bybit_rig import Rig

SPOT = {"category": "spot", "qty": "0.001", "price": "59000"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def one(rig: Rig, path: str, **params: Any) -> Any:
    """Return the only row of a signed list."""
    rows = (await rig.get(path, "alice", **{"category": "linear", "symbol": "BTCUSDT", **params}))["result"]
    [row] = rows["list"]
    return row


async def placed(rig: Rig, **changed: Any) -> str:
    answer = await rig.place(**changed)
    assert (answer["retCode"], answer["retMsg"]) == (0, "OK"), answer
    return str(answer["result"]["orderId"])


async def test_an_accepted_order_rests_until_it_is_cancelled(rig: Rig) -> None:
    answer = await rig.place(orderLinkId="mine-1", timeInForce="PostOnly")
    assert set(answer) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
    order_id = answer["result"]["orderId"]
    assert answer["result"]["orderLinkId"] == "mine-1"
    assert order_id.count("-") == 4
    row = await one(rig, "/order/realtime", orderLinkId="mine-1")
    assert (row["orderId"], row["orderStatus"], row["price"], row["qty"]) == (
        order_id, "New", "50000.0", "0.010",
    )  # fmt: skip
    assert (row["timeInForce"], row["leavesQty"], row["avgPrice"]) == ("PostOnly", "0.010", "")
    body = {"category": "linear", "symbol": "BTCUSDT", "orderId": order_id}
    assert (await rig.post("/order/cancel", body))["result"] == {"orderId": order_id, "orderLinkId": "mine-1"}
    again = await rig.post("/order/cancel", body)
    assert (again["retCode"], again["retMsg"]) == (110001, "order not exists or too late to cancel")
    row = await one(rig, "/order/history")
    assert (row["orderStatus"], row["cancelType"], row["rejectReason"]) == (
        "Cancelled", "CancelByUser", "EC_PerCancelRequest",
    )  # fmt: skip
    assert row["leavesQty"] == "0.000"


async def test_spot_order_ids_are_decimal_and_ended_orders_have_their_own_codes(rig: Rig) -> None:
    order_id = await placed(rig, **SPOT)
    assert order_id.isdecimal()
    body = {"category": "spot", "symbol": "BTCUSDT", "orderId": order_id}
    assert (await rig.post("/order/cancel", body))["retCode"] == 0
    assert (await rig.post("/order/cancel", body))["retCode"] == 170142
    filled = await placed(rig, **SPOT | {"price": "60100"})
    assert (await rig.post("/order/cancel", body | {"orderId": filled}))["retCode"] == 170139
    assert (await rig.post("/order/cancel", body | {"orderId": "1"}))["retCode"] == 170213


async def test_the_order_id_wins_over_the_link_id(rig: Rig) -> None:
    first = await placed(rig, orderLinkId="a")
    await placed(rig, orderLinkId="b")
    body = {"category": "linear", "symbol": "BTCUSDT", "orderId": first, "orderLinkId": "b"}
    assert (await rig.post("/order/cancel", body))["result"]["orderLinkId"] == "a"
    assert (await one(rig, "/order/realtime"))["orderLinkId"] == "b"


@pytest.mark.parametrize(
    ("changed", "code", "text"),
    [
        ({"category": "inverse"}, 10001, "Illegal category"),
        ({"symbol": "NOPE"}, 10001, "symbol invalid"),
        ({"side": "buy"}, 10001, "Side invalid"),
        ({"orderType": "Stop"}, 10001, "OrderType invalid"),
        ({"timeInForce": "DAY"}, 10001, "TimeInForce invalid"),
        ({"qty": "0"}, 10001, "Qty invalid"),
        ({"qty": "-1"}, 10001, "Qty invalid"),
        ({"qty": "1e-2"}, 10001, "Qty invalid"),
        ({"qty": 0.01}, 10001, "Qty invalid"),
        ({"qty": "9" * 60}, 10001, "Qty invalid"),
        ({"qty": "0.0101"}, 10001, "Qty invalid"),
        ({"qty": "1000.001"}, 10001, "maximum limit"),
        ({"qty": "500.001", "orderType": "Market"}, 10001, "maximum limit"),
        ({"symbol": "ETHUSDT", "price": "2900", "qty": "0.00"}, 10001, "Qty invalid"),
        ({"price": None}, 10001, "Price invalid"),
        ({"price": "50000.05"}, 110003, "price is invalid"),
        ({"price": "63100"}, 110003, "exceeds the allowable range"),
        ({"side": "Sell", "price": "50000"}, 110003, "exceeds the allowable range"),
        ({"side": "Sell", "price": "2000000"}, 110003, "price is invalid"),
        ({"symbol": "ETHUSDT", "qty": "0.01", "price": "300"}, 110094, "minimum order value 5USDT"),
        ({"positionIdx": 1}, 10001, "position idx not match position mode"),
        ({"positionIdx": "x"}, 10001, "position idx not match position mode"),
        ({"reduceOnly": True, "side": "Sell", "price": "61000"}, 110017, "reduce-only"),
        ({"reduceOnly": "true"}, 10001, "reduceOnly invalid"),
        ({"orderLinkId": "a" * 37}, 10001, "OrderLinkId invalid"),
        ({"orderLinkId": "a.b"}, 10001, "OrderLinkId invalid"),
        ({"smpType": "Maybe"}, 10001, "SmpType invalid"),
        ({"triggerPrice": "1"}, 10001, "not supported"),
        ({"qty": "900"}, 110007, "ab not enough"),
    ],
)  # fmt: skip
async def test_refused_linear_orders(rig: Rig, changed: dict[str, Any], code: int, text: str) -> None:
    account = rig.exchange.account_named("alice")
    assert account is not None
    account.balance("spot", "USDT").free = D(1_000_000)
    answer = await rig.place(**changed)
    assert answer["retCode"] == code, answer
    assert text in answer["retMsg"]
    assert answer["result"] == {}
    assert rig.market().orders == {}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": "NOPE"}, 170121), ({"price": "59000.05"}, 170134), ({"qty": "0.0000001"}, 170137),
        ({"symbol": "ETHUSDT", "price": "2900", "qty": "0.000001"}, 170137), ({"qty": "0.00001"}, 170140),
        ({"qty": "1001"}, 170124), ({"qty": "200"}, 170124), ({"price": "63100"}, 170193),
        ({"side": "Sell", "price": "56000"}, 170194), ({"side": "Sell", "price": "2100000"}, 170132),
        ({"qty": "20"}, 170131), ({"side": "Sell", "price": "61000", "qty": "11"}, 170131),
        ({"orderType": "Market", "qty": "4"}, 170140),
        ({"orderType": "Market", "qty": "10.00000001"}, 170148),
        ({"orderType": "Market", "qty": "9000000"}, 170124),
        ({"orderType": "Market", "side": "Sell", "marketUnit": "quoteCoin"}, 10001),
        ({"isLeverage": 2}, 10001), ({"orderFilter": "tpslOrder"}, 10001),
    ],
)  # fmt: skip
async def test_refused_spot_orders(rig: Rig, changed: dict[str, Any], code: int) -> None:
    answer = await rig.place(**SPOT | changed)
    assert answer["retCode"] == code, answer


async def test_a_link_id_serves_once_for_ever(rig: Rig) -> None:
    for category, price, code in (("linear", "50000", 110072), ("spot", "59000", 170141)):
        order_id = await placed(rig, category=category, price=price, orderLinkId="once")
        assert (await rig.place(category=category, price=price, orderLinkId="once"))["retCode"] == code
        body = {"category": category, "symbol": "BTCUSDT", "orderId": order_id}
        assert (await rig.post("/order/cancel", body))["retCode"] == 0
        assert (await rig.place(category=category, price=price, orderLinkId="once"))["retCode"] == code
        other = {"symbol": "ETHUSDT", "qty": "1", "price": "2900"}
        assert (await rig.place(category=category, orderLinkId="once", **other))["retCode"] == code
    assert (await rig.place("bob", orderLinkId="once"))["retCode"] == 0
    refused = await rig.place(orderLinkId="twice", qty="0.0001")
    assert refused["retCode"] == 10001
    assert (await rig.place(orderLinkId="twice"))["retCode"] == 0


@pytest.mark.parametrize(
    ("changed", "status", "reason", "filled"),
    [
        ({"timeInForce": "PostOnly", "price": "60100"}, "Cancelled", "EC_PostOnlyWillTakeLiquidity", "0.000"),
        ({"timeInForce": "IOC", "price": "59000"}, "Cancelled", "EC_NoImmediateQtyToFill", "0.000"),
        ({"timeInForce": "IOC", "price": "60000.1", "qty": "999"}, "Cancelled", "EC_NoImmediateQtyToFill",
         None),
        ({"timeInForce": "FOK", "price": "60000.1", "qty": "999"}, "Cancelled", "EC_CancelForNoFullFill",
         "0.000"),
        ({"timeInForce": "FOK", "price": "60100"}, "Filled", "EC_NoError", "0.010"),
        ({"orderType": "Market", "price": ""}, "Filled", "EC_NoError", "0.010"),
    ],
)  # fmt: skip
async def test_an_order_that_does_not_rest_says_why(
    rig: Rig, changed: dict[str, Any], status: str, reason: str, filled: str | None
) -> None:
    account = rig.exchange.account_named("alice")
    assert account is not None
    account.balance("spot", "USDT").free = D(100_000_000)
    order_id = await placed(rig, **changed)
    row = await one(rig, "/order/history", orderId=order_id)
    assert (row["orderStatus"], row["rejectReason"]) == (status, reason)
    if filled is None:
        assert 0 < D(row["cumExecQty"]) < 999
    else:
        assert row["cumExecQty"] == filled


async def test_a_spot_order_that_ends_partly_filled_has_its_own_status(rig: Rig) -> None:
    order_id = await placed(rig, **SPOT | {"price": "60000.1", "qty": "1", "timeInForce": "IOC"})
    row = await one(rig, "/order/history", category="spot", orderId=order_id)
    assert row["orderStatus"] == "PartiallyFilledCanceled"
    assert 0 < D(row["cumExecQty"]) < 1


async def test_a_spot_market_buy_is_by_value_unless_it_says_otherwise(rig: Rig) -> None:
    account = rig.exchange.account_named("alice")
    assert account is not None
    before = account.balance("spot", "BTC").total
    order_id = await placed(rig, category="spot", orderType="Market", qty="600", price="")
    row = await one(rig, "/order/history", category="spot", orderId=order_id)
    assert (row["marketUnit"], row["qty"], row["price"]) == ("quoteCoin", "600", "0")
    assert D(599) < D(row["cumExecValue"]) <= 600
    order_id = await placed(
        rig, category="spot", orderType="Market", qty="0.002", price="", marketUnit="baseCoin"
    )
    row = await one(rig, "/order/history", category="spot", orderId=order_id)
    assert (row["marketUnit"], row["cumExecQty"]) == ("baseCoin", "0.002000")
    bought = account.balance("spot", "BTC").total - before
    assert D("0.0119") < bought < D("0.012"), "fees are taken in what is received"
    assert set(row["cumFeeDetail"]) == {"BTC"}


async def test_amends_change_price_and_total_quantity(rig: Rig) -> None:
    order_id = await placed(rig, orderLinkId="a")
    body = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}
    answer = await rig.post("/order/amend", body | {"qty": "0.02", "price": "51000.1"})
    assert answer["result"] == {"orderId": order_id, "orderLinkId": "a"}
    row = await one(rig, "/order/realtime", orderId=order_id)
    assert (row["price"], row["qty"], row["leavesQty"]) == ("51000.1", "0.020", "0.020")
    same = await rig.post("/order/amend", body | {"qty": "0.02"})
    assert (same["retCode"], "unchanged" in same["retMsg"]) == (10001, True)
    assert (await rig.post("/order/amend", body | {"price": "51000.15"}))["retCode"] == 110003
    assert (await rig.post("/order/amend", body | {"qty": "0.0001"}))["retCode"] == 10001
    rich = await rig.post("/order/amend", body | {"qty": "999"})
    assert rich["retCode"] == 110007
    lost = await rig.post("/order/amend", body | {"orderLinkId": "b", "qty": "0.03"})
    assert (lost["retCode"], lost["retMsg"]) == (110001, "order not exists or too late to replace")


@pytest.mark.parametrize(("product", "code"), [("perp", 110064), ("spot", 170313)])
async def test_an_amend_to_what_is_filled_is_refused(rig: Rig, product: str, code: int) -> None:
    category = "linear" if product == "perp" else "spot"
    await placed(rig, category=category, price="59999.9", qty="0.02", orderLinkId="a")
    order = next(iter(rig.market(product).orders.values()))
    rig.exchange.fill_resting(order, order.qty_lots // 2)
    body = {"category": category, "symbol": "BTCUSDT", "orderLinkId": "a"}
    assert (await rig.post("/order/amend", body | {"qty": "0.01"}))["retCode"] == code
    assert (await rig.post("/order/amend", body | {"qty": "0.012"}))["retCode"] == 0
    row = await one(rig, "/order/realtime", category=category)
    assert row["orderStatus"] == "PartiallyFilled"
    assert (D(row["cumExecQty"]), D(row["leavesQty"])) == (D("0.01"), D("0.002"))


async def test_a_post_only_order_amended_into_the_market_is_cancelled_for_it(rig: Rig) -> None:
    order_id = await placed(rig, timeInForce="PostOnly")
    body = {"category": "linear", "symbol": "BTCUSDT", "orderId": order_id, "price": "60100"}
    assert (await rig.post("/order/amend", body))["retCode"] == 0
    row = await one(rig, "/order/history", orderId=order_id)
    assert (row["orderStatus"], row["rejectReason"]) == ("Cancelled", "EC_PostOnlyWillTakeLiquidity")


async def test_cancel_all_covers_what_it_names(rig: Rig) -> None:
    for name in ("a", "b"):
        await placed(rig, orderLinkId=name)
    await placed(rig, symbol="ETHUSDT", qty="1", price="2900")
    await placed(rig, **SPOT)
    assert (await rig.post("/order/cancel-all", {"category": "linear"}))["retCode"] == 10001
    body = {"category": "linear", "symbol": "BTCUSDT"}
    result = (await rig.post("/order/cancel-all", body))["result"]
    assert result["success"] == "1"
    assert sorted(row["orderLinkId"] for row in result["list"]) == ["a", "b"]
    body = {"category": "linear", "settleCoin": "USDC"}
    assert (await rig.post("/order/cancel-all", body))["result"]["list"] == []
    body = {"category": "linear", "settleCoin": "USDT"}
    assert len((await rig.post("/order/cancel-all", body))["result"]["list"]) == 1
    assert len((await rig.post("/order/cancel-all", {"category": "spot"}))["result"]["list"]) == 1


async def test_a_batch_is_judged_order_by_order(rig: Rig) -> None:
    good = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "50000"}
    rows = [good | {"orderLinkId": "b0"}, good | {"positionIdx": 1, "orderLinkId": "b1"},
            good | {"orderLinkId": "b0"}]  # fmt: skip
    answer = await rig.post("/order/create-batch", {"category": "linear", "request": rows})
    assert answer["retCode"] == 0
    listed, judged = answer["result"]["list"], answer["retExtInfo"]["list"]
    assert [each["code"] for each in judged] == [0, 10001, 110072]
    assert judged[0] == {"code": 0, "msg": "OK"}
    assert [each["orderLinkId"] for each in listed] == ["b0", "b1", "b0"]
    assert listed[0]["createAt"].isdecimal()
    assert (listed[1]["orderId"], listed[1]["createAt"]) == ("", "")
    change = {"symbol": "BTCUSDT", "orderLinkId": "b0", "qty": "0.03"}
    answer = await rig.post("/order/amend-batch", {"category": "linear", "request": [change]})
    assert answer["retExtInfo"]["list"] == [{"code": 0, "msg": "OK"}]
    gone = {"symbol": "BTCUSDT", "orderLinkId": "zz"}
    batch = {"category": "linear", "request": [change, gone]}
    answer = await rig.post("/order/cancel-batch", batch)
    assert [each["code"] for each in answer["retExtInfo"]["list"]] == [0, 110001]
    for category, most in (("linear", 20), ("spot", 10)):
        body = {"category": category, "request": [good] * (most + 1)}
        assert (await rig.post("/order/create-batch", body))["retCode"] == 10001


async def test_self_trades_are_prevented_as_the_taker_wants(rig: Rig) -> None:
    await placed(rig, side="Sell", price="60000.0", qty="0.01", orderLinkId="maker")
    taker = {"price": "60000.0", "timeInForce": "IOC"}
    order_id = await placed(rig, **taker, smpType="CancelTaker")
    row = await one(rig, "/order/history", orderId=order_id)
    assert (row["orderStatus"], row["cancelType"], row["smpType"]) == (
        "Cancelled", "CancelBySmp", "CancelTaker",
    )  # fmt: skip
    await placed(rig, **taker, smpType="CancelMaker")
    row = await one(rig, "/order/history", orderLinkId="maker")
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelBySmp")


async def test_too_many_open_orders_are_refused(rig: Rig) -> None:
    account = rig.exchange.account_named("alice")
    assert account is not None
    rig.market("perp").open_count[account.name] = 500
    assert (await rig.place())["retCode"] == 110020
    rig.market("spot", "ETHUSDT").open_count[account.name] = 500
    assert (await rig.place(**SPOT))["retCode"] == 170810
    assert (await rig.place("bob", **SPOT))["retCode"] == 0


async def test_money_is_not_there_twice(rig: Rig) -> None:
    account = rig.exchange.account_named("alice")
    assert account is not None
    account.balance("spot", "USDT").free = D(10_000)
    account.leverage["BTCUSDT"] = 1
    spot = {"category": "spot", "price": "60000.0", "qty": "0.1"}
    await placed(rig, **spot)
    assert (await rig.place(price="60000", qty="0.1"))["retCode"] == 110007
    await placed(rig, price="60000", qty="0.05")
    assert (await rig.place(**spot | {"qty": "0.05"}))["retCode"] == 170131
    await placed(rig, **spot | {"qty": "0.01"})


async def test_reduce_only_orders_and_closing_by_zero(rig: Rig) -> None:
    await placed(rig, orderType="Market", price="", qty="0.02")
    close: dict[str, Any] = {"side": "Sell", "orderType": "Market", "price": "", "reduceOnly": True}
    order_id = await placed(rig, **close, qty="0.5")
    assert (await one(rig, "/order/history", orderId=order_id))["qty"] == "0.020"
    position = await one(rig, "/position/list")
    assert (position["side"], position["size"], position["avgPrice"]) == ("", "0", "0")
    await placed(rig, orderType="Market", price="", qty="0.03")
    order_id = await placed(rig, **close, qty="0", closeOnTrigger=True)
    row = await one(rig, "/order/history", orderId=order_id)
    assert (row["cumExecQty"], row["reduceOnly"], row["closeOnTrigger"]) == ("0.030", True, True)
    assert (await rig.place(**close, qty="0", closeOnTrigger=True))["retCode"] == 110017


async def test_positions_leverage_and_fees(rig: Rig) -> None:
    await placed(rig, orderType="Market", price="", qty="0.1")
    row = await one(rig, "/position/list")
    assert (row["side"], row["size"], row["leverage"]) == ("Buy", "0.100", "10")
    fee = D(row["avgPrice"]) * D("0.1") * D("0.00055")
    assert D(row["curRealisedPnl"]) == -fee == D(row["cumRealisedPnl"])
    assert D(row["breakEvenPrice"]) == D(row["avgPrice"]) + fee / D("0.1")
    assert row["createdTime"] == str(row["openTime"])
    setting = {"category": "linear", "symbol": "BTCUSDT", "buyLeverage": "10", "sellLeverage": "10"}
    assert (await rig.post("/position/set-leverage", setting))["retCode"] == 110043
    five = setting | {"buyLeverage": "5", "sellLeverage": "5"}
    assert (await rig.post("/position/set-leverage", five))["retCode"] == 0
    assert (await one(rig, "/position/list"))["leverage"] == "5"
    many = setting | {"buyLeverage": "500", "sellLeverage": "500"}
    assert (await rig.post("/position/set-leverage", many))["retCode"] == 110013
    odd = setting | {"buyLeverage": "5", "sellLeverage": "6"}
    assert (await rig.post("/position/set-leverage", odd))["retCode"] == 10001
    rows = (await rig.get("/position/list", "alice", category="linear", settleCoin="USDT"))["result"]["list"]
    assert [each["symbol"] for each in rows] == ["BTCUSDT"]
    assert (await rig.get("/position/list", "alice", category="linear"))["retCode"] == 10001
    fees = (await rig.get("/account/fee-rate", "alice", category="linear", symbol="BTCUSDT"))["result"]
    assert fees["list"][0]["takerFeeRate"] == "0.00055"
    assert fees["list"][0]["makerFeeRate"] == "-0.0001"
    mode = {"category": "linear", "symbol": "BTCUSDT", "mode": 0}
    assert (await rig.post("/position/switch-mode", mode))["retCode"] == 110025
    assert (await rig.post("/position/switch-mode", mode | {"mode": 3}))["retCode"] == 10001


async def test_the_wallet_is_one(rig: Rig) -> None:
    await placed(rig, **SPOT)
    await placed(rig, orderType="Market", price="", qty="0.1")
    answer = await rig.get("/account/wallet-balance", "alice", accountType="UNIFIED")
    [account] = answer["result"]["list"]
    coins = {row["coin"]: row for row in account["coin"]}
    assert set(coins) == {"USDT", "BTC"}
    assert coins["USDT"]["locked"] == "59"
    assert D(coins["USDT"]["totalPositionIM"]) > 0
    assert coins["BTC"]["usdValue"] == "600000"
    total = D(coins["USDT"]["equity"]) + 600_000
    assert D(account["totalEquity"]) == total
    assert D(account["totalAvailableBalance"]) < total
    named = await rig.get("/account/wallet-balance", "alice", accountType="UNIFIED", coin="BTC")
    assert [row["coin"] for row in named["result"]["list"][0]["coin"]] == ["BTC"]
    assert (await rig.get("/account/wallet-balance", "alice", accountType="SPOT"))["retCode"] == 10001


async def test_a_strict_run_refuses_what_nothing_reads() -> None:
    async with Rig(Settings(strict=True)) as rig:
        refused = await rig.place(colour="blue")
        assert (refused["retCode"], refused["retMsg"]) == (10001, "params error: unknown field colour")
        await placed(rig, orderLinkId="a", reduceOnly=False, timeInForce="GTC", positionIdx=0)
        body = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}
        assert (await rig.post("/order/amend", body | {"qty": "0.02", "side": "Buy"}))["retCode"] == 10001
        assert (await rig.post("/order/cancel", body | {"qty": "0.02"}))["retCode"] == 10001
        assert (await rig.post("/order/cancel", body))["retCode"] == 0


async def test_the_dead_man_switch_is_not_for_everyone(rig: Rig) -> None:
    answer = await rig.post("/order/disconnected-cancel-all", {"product": "DERIVATIVES", "timeWindow": 40})
    assert answer["retCode"] == 10005
    assert (await rig.get("/account/query-dcp-info", "alice"))["result"] == {"dcpInfos": []}
