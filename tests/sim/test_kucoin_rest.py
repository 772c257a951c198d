"""KuCoin over REST: signatures, market data, orders, refusals, limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.kucoin.wire import WireOptions
from tests.sim.kucoin_rig import Rig

HF = "/api/v1/hf/orders"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


# -- signatures ------------------------------------------------------------------------------------


async def test_all_key_versions_and_both_forms_of_the_target_are_taken(rig: Rig) -> None:
    for version in ("2", "3", None):
        status, body, _ = await rig.raw("spot", "GET", "/api/v1/accounts", name="alice", version=version)
        assert (status, body["code"]) == (200, "200000")
    target = f"{HF}/active?symbol=BTC-USDT&remark=a%20b"
    signed = rig.headers("alice", "GET", f"{HF}/active?symbol=BTC-USDT&remark=a b")
    assert (await rig.raw("spot", "GET", target, changed=signed))[1]["code"] == "200000"


@pytest.mark.parametrize(
    ("changed", "shift_ms", "code", "status"),
    [
        ({"KC-API-KEY": ""}, 0, "400001", 400),
        ({}, 5_500, "400002", 400),
        ({}, -5_500, "400002", 400),
        ({"KC-API-TIMESTAMP": "soon"}, 0, "400002", 400),
        ({"KC-API-KEY": "nobody"}, 0, "400003", 401),
        ({"KC-API-PASSPHRASE": "alicePass"}, 0, "400004", 401),
        ({"KC-API-SIGN": "AAAA"}, 0, "400005", 401),
        ({"KC-API-KEY-VERSION": "9"}, 0, "400009", 401),
    ],
)
async def test_every_wrong_header_has_its_code(
    rig: Rig, changed: dict[str, str], shift_ms: int, code: str, status: int
) -> None:
    got = await rig.raw("spot", "GET", "/api/v1/accounts", name="alice", shift_ms=shift_ms, changed=changed)
    assert (got[0], got[1]["code"]) == (status, code)


async def test_a_stamp_almost_five_seconds_off_is_taken(rig: Rig) -> None:
    got = await rig.raw("perp", "GET", "/api/v1/positions", name="alice", shift_ms=-4_500)
    assert got[1] == {"code": "200000", "data": []}


async def test_a_changed_body_breaks_the_signature(rig: Rig) -> None:
    sent = rig.headers("alice", "POST", HF, '{"symbol":"BTC-USDT"}')
    assert (await rig.raw("spot", "POST", HF, '{"symbol":"ETH-USDT"}', changed=sent))[1]["code"] == "400005"


# -- market data -----------------------------------------------------------------------------------


async def test_all_rest_books_are_one_book(rig: Rig) -> None:
    part = await rig.get("/api/v1/market/orderbook/level2_20", symbol="BTC-USDT")
    hundred = await rig.get("/api/v1/market/orderbook/level2_100", symbol="BTC-USDT")
    full = await rig.get("/api/v3/market/orderbook/level2", name="alice", symbol="BTC-USDT")
    unified = await rig.get("/api/ua/v1/market/orderbook", symbol="BTC-USDT", tradeType="SPOT", limit="FULL")
    assert (len(part["bids"]), len(hundred["asks"]), len(full["bids"])) == (20, 100, 600)
    assert part["bids"] == full["bids"][:20]
    assert (unified["sequence"], unified["asks"]) == (full["sequence"], full["asks"])
    assert full["bids"][0] == ["59999.9", "1"]
    assert (await rig.raw("spot", "GET", "/api/v3/market/orderbook/level2?symbol=BTC-USDT"))[1][
        "code"
    ] == "400001"


async def test_futures_books_count_lots_in_numbers(rig: Rig) -> None:
    book = await rig.get("/api/v1/level2/snapshot", "perp", symbol="XBTUSDTM")
    assert (book["bids"][0], len(book["asks"])) == ([59999.9, 1000], 600)
    assert book["sequence"] == rig.market("XBTUSDTM").published_id < rig.clock.now_ms()
    assert len((await rig.get("/api/v1/level2/depth20", "perp", symbol="XBTUSDTM"))["bids"]) == 20
    missing = await rig.raw("perp", "GET", "/api/v1/level2/depth50?symbol=XBTUSDTM")
    assert missing[0] == 404
    assert missing[1]["code"] == "404"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/v1/level2/snapshot?symbol=NOPE", "200003"),
        ("/api/v1/ticker?symbol=NOPE", "200003"),
        ("/api/v1/contracts/NOPE", "404000"),
        ("/api/v1/mark-price/NOPE/current", "415000"),
        ("/api/v1/funding-rate/NOPE/current", "415000"),
    ],
)
async def test_unknown_contracts_are_refused_with_200(rig: Rig, path: str, code: str) -> None:
    status, body, _ = await rig.raw("perp", "GET", path)
    assert (status, body["code"]) == (200, code)


async def test_catalogs_agree_with_the_markets(rig: Rig) -> None:
    symbols = await rig.get("/api/v2/symbols")
    assert [row["symbol"] for row in symbols] == ["BTC-USDT", "ETH-USDT"]
    assert (symbols[0]["priceIncrement"], symbols[0]["baseIncrement"]) == ("0.1", "0.00000001")
    contract = (await rig.get("/api/v1/contracts/active", "perp"))[0]
    assert (contract["multiplier"], contract["lotSize"], contract["baseCurrency"]) == (0.001, 1, "XBT")
    assert contract["nextFundingRateTime"] >= 0
    assert isinstance(contract["openInterest"], str)
    listed = await rig.get("/api/ua/v1/market/instrument", tradeType="FUTURES", symbol="XBTUSDTM")
    assert listed["list"][0]["unitSize"] == 0.001
    names = {row["currency"] for row in await rig.get("/api/v3/currencies")}
    assert names == {"BTC", "ETH", "USDT"}


async def test_trades_candles_and_tickers(rig: Rig) -> None:
    assert (await rig.spot(type="market", size="0.5", price=""))["code"] == "200000"
    assert (await rig.future(type="market", side="sell", price=""))["code"] == "200000"
    [print_] = await rig.get("/api/v1/market/histories", symbol="BTC-USDT")
    assert (print_["price"], print_["size"], print_["side"]) == ("60000.1", "0.5", "buy")
    assert print_["time"] > 10**18
    [row] = (await rig.get("/api/v1/market/allTickers"))["ticker"][:1]
    assert (row["buy"], row["sell"], row["last"], row["vol"]) == ("59999.9", "60000.1", "60000.1", "0.5")
    [candle] = await rig.get("/api/v1/market/candles", symbol="BTC-USDT", type="1min")
    assert candle[1:] == ["60000.1", "60000.1", "60000.1", "60000.1", "0.5", "30000.05"]
    [trade] = await rig.get("/api/v1/trade/history", "perp", symbol="XBTUSDTM")
    assert (trade["price"], trade["size"], trade["side"]) == ("59999.9", 10, "sell")
    ticker = await rig.get("/api/v1/ticker", "perp", symbol="XBTUSDTM")
    assert (ticker["bestBidPrice"], ticker["bestBidSize"], ticker["price"]) == ("59999.9", 990, "59999.9")
    [kline] = await rig.get("/api/v1/kline/query", "perp", symbol="XBTUSDTM", granularity=1)
    assert kline[1:] == [59999.9, 59999.9, 59999.9, 59999.9, 10, 599.999]


# -- spot orders -----------------------------------------------------------------------------------


async def test_a_spot_order_from_birth_to_cancel(rig: Rig) -> None:
    answer = await rig.spot(clientOid="mine")
    assert answer["data"]["clientOid"] == "mine"
    order_id = answer["data"]["orderId"]
    assert len(order_id) == 24
    order = await rig.get(f"{HF}/{order_id}", name="alice", symbol="BTC-USDT")
    assert (order["active"], order["size"], order["price"], order["dealSize"]) == (True, "0.01", "58000", "0")
    assert (await rig.get(f"{HF}/client-order/mine", name="alice", symbol="BTC-USDT"))["id"] == order_id
    assert [row["id"] for row in await rig.get(f"{HF}/active", name="alice", symbol="BTC-USDT")] == [order_id]
    assert await rig.get(f"{HF}/active/symbols", name="alice") == {"symbols": ["BTC-USDT"]}
    held = {row["currency"]: row for row in await rig.get("/api/v1/accounts", name="alice", type="trade")}
    assert held["USDT"]["holds"] == "580.58", "the fee is held with the funds"
    assert (await rig.call("DELETE", f"{HF}/{order_id}", symbol="BTC-USDT"))["data"] == {"orderId": order_id}
    order = await rig.get(f"{HF}/{order_id}", name="alice", symbol="BTC-USDT")
    assert (order["active"], order["cancelExist"], order["cancelledSize"]) == (False, True, "0.01")
    again = await rig.call("DELETE", f"{HF}/{order_id}", symbol="BTC-USDT")
    assert again == {"code": "400100", "msg": "order_not_exist_or_not_allow_to_cancel"}
    [done] = (await rig.get(f"{HF}/done", name="alice", symbol="BTC-USDT"))["items"]
    assert done["id"] == order_id


async def test_sync_requests_tell_the_outcome(rig: Rig) -> None:
    row = (await rig.spot(path="/sync", price="60000.1", clientOid="s1"))["data"]
    assert (row["status"], row["dealSize"], row["remainSize"]) == ("done", "0.01", "0")
    row = (await rig.spot(path="/sync", clientOid="s2"))["data"]
    assert (row["status"], row["remainSize"]) == ("open", "0.01")
    row = (await rig.call("DELETE", f"{HF}/sync/client-order/s2", symbol="BTC-USDT"))["data"]
    assert row == {
        "clientOid": "s2", "originSize": "0.01", "dealSize": "0", "remainSize": "0", "canceledSize": "0.01",
        "status": "done",
    }  # fmt: skip


async def test_fees_of_spot_are_taken_in_quote(rig: Rig) -> None:
    before = rig.account().balance("spot", "USDT").total
    order_id = (await rig.spot(type="market", size="0.02", price=""))["data"]["orderId"]
    fills = (await rig.get("/api/v1/hf/fills", name="alice", symbol="BTC-USDT", orderId=order_id))["items"]
    [fill] = fills
    assert (fill["fee"], fill["feeCurrency"], fill["liquidity"]) == ("1.200002", "USDT", "taker")
    assert rig.account().balance("spot", "BTC").total == D("10.02")
    assert before - rig.account().balance("spot", "USDT").total == D("1201.202002")
    assert rig.account().balance("spot", "USDT").locked == 0
    order = await rig.get(f"{HF}/{order_id}", name="alice", symbol="BTC-USDT")
    assert (order["active"], order["cancelExist"], order["fee"]) == (False, False, "1.200002")


async def test_altering_changes_the_id_and_keeps_the_client_oid(rig: Rig) -> None:
    first = (await rig.spot(clientOid="a1"))["data"]["orderId"]
    body = {"symbol": "BTC-USDT", "clientOid": "a1", "newPrice": "57000", "newSize": "0.02"}
    answer = await rig.call("POST", f"{HF}/alter", body)
    second = answer["data"]["newOrderId"]
    assert second != first
    assert answer["data"]["clientOid"] == "a1"
    gone = await rig.call("GET", f"{HF}/{first}", symbol="BTC-USDT")
    assert gone["code"] == "100001"
    order = await rig.get(f"{HF}/{second}", name="alice", symbol="BTC-USDT")
    assert (order["price"], order["size"], order["clientOid"]) == ("57000", "0.02", "a1")
    assert (await rig.call("DELETE", f"{HF}/{first}", symbol="BTC-USDT"))["code"] == "400100"
    assert (await rig.call("DELETE", f"{HF}/{second}", symbol="BTC-USDT"))["code"] == "200000"


async def test_a_part_can_be_taken_back(rig: Rig) -> None:
    order_id = (await rig.spot())["data"]["orderId"]
    path = f"{HF}/cancel/{order_id}"
    answer = await rig.call("DELETE", path, symbol="BTC-USDT", cancelSize="0.004")
    assert answer["data"] == {"orderId": order_id, "cancelSize": "0.004"}
    order = await rig.get(f"{HF}/{order_id}", name="alice", symbol="BTC-USDT")
    assert (order["size"], order["active"]) == ("0.006", True)


async def test_cancelling_many(rig: Rig) -> None:
    for symbol, price in (("BTC-USDT", "58000"), ("BTC-USDT", "57000"), ("ETH-USDT", "2900")):
        await rig.spot(symbol=symbol, price=price)
    assert (await rig.call("DELETE", HF, symbol="BTC-USDT"))["data"] == "success"
    answer = await rig.call("DELETE", f"{HF}/cancelAll")
    assert answer["data"] == {"succeedSymbols": ["ETH-USDT"], "failedSymbols": []}
    assert rig.exchange.open_orders(rig.account(), "spot") == []


async def test_batches_tell_each_item(rig: Rig) -> None:
    good = {"clientOid": "b1", "symbol": "BTC-USDT", "side": "buy", "type": "limit", "size": "0.01",
            "price": "58000"}  # fmt: skip
    answer = await rig.call(
        "POST", f"{HF}/multi", {"orderList": [good, good | {"clientOid": "b2", "size": "0.000001"}]}
    )
    assert [row["success"] for row in answer["data"]] == [True, False]
    assert answer["data"][1]["failMsg"] == "The quantity is below the minimum requirement."


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": "NO-PE"}, "900001"),
        ({"side": "BUY"}, "400100"),
        ({"price": "58000.05"}, "400100"),
        ({"price": "66000.2"}, "400370"),
        ({"side": "sell", "price": "53999.9"}, "400760"),
        ({"size": "0.000001"}, "600100"),
        ({"size": "0.000000005"}, "400100"),
        ({"size": "0.00001", "price": "1"}, "600101"),
        ({"size": "0"}, "400100"),
        ({"size": "", "type": "market", "price": ""}, "400100"),
        ({"size": "100"}, "200004"),
        ({"timeInForce": "XYZ"}, "400100"),
        ({"timeInForce": "GTT"}, "400100"),
        ({"clientOid": "has space"}, "400100"),
        ({"clientOid": "x" * 41}, "400100"),
        ({"stp": "XX"}, "400100"),
        ({"clientTimestamp": 1, "allowMaxTimeWindow": 1000}, "400100"),
    ],
)
async def test_spot_refusals(rig: Rig, changed: dict[str, Any], code: str) -> None:
    answer = await rig.spot(**changed)
    assert answer["code"] == code, answer
    assert rig.exchange.open_orders(rig.account(), "spot") == []


async def test_a_client_oid_is_never_free_again(rig: Rig) -> None:
    order_id = (await rig.spot(clientOid="once"))["data"]["orderId"]
    await rig.call("DELETE", f"{HF}/{order_id}", symbol="BTC-USDT")
    answer = await rig.spot(clientOid="once")
    assert answer["code"] == "400100"
    assert "clientOid" in answer["msg"]


async def test_post_only_ioc_and_fok(rig: Rig) -> None:
    row = (await rig.spot(path="/sync", price="60000.1", postOnly=True))["data"]
    assert (row["status"], row["dealSize"], row["canceledSize"]) == ("done", "0", "0.01")
    row = (await rig.spot(path="/sync", price="60000.1", size="1.5", timeInForce="IOC"))["data"]
    assert (row["dealSize"], row["canceledSize"]) == ("1", "0.5")
    row = (await rig.spot(path="/sync", price="60000.2", size="1.5", timeInForce="FOK"))["data"]
    assert (row["dealSize"], row["canceledSize"]) == ("0", "1.5")


async def test_self_trades_are_prevented(rig: Rig) -> None:
    maker = (await rig.spot(side="sell", price="60000", clientOid="m"))["data"]["orderId"]
    row = (await rig.spot(path="/sync", price="60000", stp="CN"))["data"]
    assert (row["dealSize"], row["status"]) == ("0", "done")
    row = (await rig.spot(path="/sync", price="60000", stp="CO"))["data"]
    assert (row["dealSize"], row["status"]) == ("0", "open")
    order = await rig.get(f"{HF}/{maker}", name="alice", symbol="BTC-USDT")
    assert order["cancelExist"]


async def test_an_order_good_till_a_time_ends(rig: Rig) -> None:
    assert (await rig.spot(timeInForce="GTT", cancelAfter=0.05))["code"] == "200000"
    await rig.settled(lambda: rig.exchange.open_orders(rig.account(), "spot") == [])


async def test_a_dead_mans_switch_is_set_and_released(rig: Rig) -> None:
    body = {"timeout": 5, "symbols": "BTC-USDT"}
    answer = (await rig.call("POST", f"{HF}/dead-cancel-all", body))["data"]
    assert answer["triggerTime"] - answer["currentTime"] == 5
    shown = await rig.get(f"{HF}/dead-cancel-all/query", name="alice")
    assert (shown["timeout"], shown["symbols"]) == (5, "BTC-USDT")
    assert (await rig.call("POST", f"{HF}/dead-cancel-all", {"timeout": -1}))["data"]["triggerTime"] == 0
    assert await rig.get(f"{HF}/dead-cancel-all/query", name="alice") is None
    assert (await rig.call("POST", f"{HF}/dead-cancel-all", {"timeout": 4}))["code"] == "400100"


async def test_nobody_sees_another_accounts_order(rig: Rig) -> None:
    order_id = (await rig.spot(clientOid="hers"))["data"]["orderId"]
    assert (await rig.call("GET", f"{HF}/{order_id}", name="bob", symbol="BTC-USDT"))["code"] == "100001"
    assert (await rig.call("DELETE", f"{HF}/client-order/hers", name="bob", symbol="BTC-USDT"))[
        "code"
    ] == "400100"
    assert (await rig.spot(name="bob", clientOid="hers"))["code"] == "200000"


# -- futures ---------------------------------------------------------------------------------------


async def test_a_futures_order_from_birth_to_cancel(rig: Rig) -> None:
    answer = await rig.future(clientOid="f-one")
    order_id = answer["data"]["orderId"]
    assert order_id.isdecimal()
    order = await rig.get(f"/api/v1/orders/{order_id}", "perp", "alice")
    assert (order["size"], order["status"], order["leverage"], order["isActive"]) == (10, "open", "5", True)
    assert (await rig.get("/api/v1/orders/byClientOid", "perp", "alice", clientOid="f-one"))["id"] == order_id
    listed = await rig.get("/api/v1/orders", "perp", "alice", status="active")
    assert [row["id"] for row in listed["items"]] == [order_id]
    gone = await rig.call("DELETE", f"/api/v1/orders/{order_id}", None, "perp")
    assert gone["data"] == {"cancelledOrderIds": [order_id]}
    assert (await rig.call("DELETE", f"/api/v1/orders/{order_id}", None, "perp"))["code"] == "100004"
    order = await rig.get(f"/api/v1/orders/{order_id}", "perp", "alice")
    assert (order["status"], order["cancelExist"]) == ("done", True)
    assert (await rig.call("GET", "/api/v1/orders/400001000000000000", None, "perp"))["code"] == "100001"


async def test_lots_are_contracts_inside(rig: Rig) -> None:
    await rig.future(type="market", price="", size=250)
    assert rig.market("XBTUSDTM").qty(rig.account().position("XBTUSDTM").lots) == D("0.25")
    [position] = await rig.get("/api/v1/positions", "perp", "alice")
    assert (position["currentQty"], position["avgEntryPrice"], position["leverage"]) == (250, 60000.1, 5)
    [fill] = (await rig.get("/api/v1/fills", "perp", "alice"))["items"]
    assert (fill["size"], fill["value"], fill["fee"]) == (250, "15000.025", "9.000015")
    assert (await rig.future(type="market", price="", size="", qty="0.05"))["code"] == "200000"
    assert (await rig.future(type="market", price="", size="", valueQty="630"))["code"] == "200000"
    assert rig.account().position("XBTUSDTM").lots == 310
    assert (await rig.future(type="market", side="sell", price="", size="", closeOrder=True))[
        "code"
    ] == "200000"
    assert rig.account().position("XBTUSDTM").lots == 0
    overview = await rig.get("/api/v1/account-overview", "perp", "alice", currency="USDT")
    assert overview["positionMargin"] == 0
    assert D(str(overview["marginBalance"])) == rig.account().balance("perp", "USDT").total


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": "NOPE"}, "404000"),
        ({"clientOid": ""}, "400100"),
        ({"size": 1.5}, "400100"),
        ({"size": 10, "qty": "0.1"}, "400100"),
        ({"leverage": ""}, "400100"),
        ({"leverage": 126}, "400100"),
        ({"timeInForce": "FOK"}, "400100"),
        ({"price": "63100"}, "300011"),
        ({"side": "sell", "price": "56900"}, "300012"),
        ({"price": "58000.05"}, "400100"),
        ({"marginMode": "CROSS"}, "330005"),
        ({"positionSide": "LONG"}, "330012"),
        ({"reduceOnly": True}, "300009"),
        ({"size": 900_000}, "300003"),
        ({"size": 1_100_000}, "400100"),
        ({"stp": "DC"}, "400100"),
    ],
)
async def test_futures_refusals(rig: Rig, changed: dict[str, Any], code: str) -> None:
    answer = await rig.future(**changed)
    assert answer["code"] == code, answer
    assert rig.exchange.open_orders(rig.account(), "perp") == []


async def test_many_futures_orders(rig: Rig) -> None:
    orders = [
        {"clientOid": f"m{at}", "symbol": "XBTUSDTM", "side": "buy", "type": "limit", "size": 1,
         "price": price, "leverage": 3}
        for at, price in enumerate(("58000", "57500", "90000"))
    ]  # fmt: skip
    answer = (await rig.call("POST", "/api/v1/orders/multi", orders, "perp"))["data"]
    assert [row["code"] for row in answer] == ["200000", "200000", "300011"]
    body = {"orderIdsList": [answer[0]["orderId"], "400001000000000000"]}
    gone = (await rig.call("DELETE", "/api/v1/orders/multi-cancel", body, "perp"))["data"]
    assert [row["code"] for row in gone] == ["200", "100004"]
    rest = (await rig.call("DELETE", "/api/v3/orders", None, "perp", symbol="XBTUSDTM"))["data"]
    assert rest == {"cancelledOrderIds": [answer[1]["orderId"]]}


async def test_margin_mode_and_leverage_are_settings(rig: Rig) -> None:
    body = {"symbol": "XBTUSDTM", "marginMode": "CROSS"}
    assert (await rig.call("POST", "/api/v2/position/changeMarginMode", body, "perp"))["data"] == body
    answer = await rig.call(
        "POST", "/api/v2/changeCrossUserLeverage", {"symbol": "XBTUSDTM", "leverage": "7"}, "perp"
    )
    assert answer["data"] is True
    shown = await rig.get("/api/v2/getCrossUserLeverage", "perp", "alice", symbol="XBTUSDTM")
    assert shown == {"symbol": "XBTUSDTM", "leverage": "7"}
    assert (await rig.future())["code"] == "330005", "an order is ISOLATED unless it says otherwise"
    assert (await rig.future(marginMode="CROSS", leverage=""))["code"] == "200000"
    back = await rig.call(
        "POST", "/api/v2/position/changeMarginMode", body | {"marginMode": "ISOLATED"}, "perp"
    )
    assert back["code"] == "330002"


async def test_funding_is_paid_and_told(rig: Rig) -> None:
    await rig.future(type="market", price="", size=100)
    market = rig.market("XBTUSDTM")
    before = rig.account().balance("perp", "USDT").total
    rig.exchange.settle_funding(market, rig.clock.now_ms())
    paid = rig.account().balance("perp", "USDT").total - before
    assert paid < 0
    [row] = (await rig.get("/api/v1/funding-history", "perp", "alice", symbol="XBTUSDTM"))["dataList"]
    assert D(str(row["funding"])) == paid
    assert row["positionQty"] == 100
    [settled] = await rig.get("/api/v1/contract/funding-rates", "perp", symbol="XBTUSDTM")
    assert settled["fundingRate"] == row["fundingRate"]
    running = await rig.get("/api/v1/funding-rate/XBTUSDTM/current", "perp")
    assert running["symbol"] == ".XBTUSDTMFPI8H"
    assert running["lastTimeFundingRate"] == row["fundingRate"]


# -- limits ----------------------------------------------------------------------------------------


async def test_pools_are_counted_told_and_refilled() -> None:
    pools = {"spot": (5, 300), "futures": (100, 300), "management": (100, 300), "public": (9, 300),
             "unified": (100, 300)}  # fmt: skip
    async with Rig(options=WireOptions(pools=pools)) as rig:
        _, _, headers = await rig.raw("spot", "GET", f"{HF}/active?symbol=BTC-USDT", name="alice")
        assert (headers["gw-ratelimit-limit"], headers["gw-ratelimit-remaining"]) == ("5", "3")
        await rig.raw("spot", "GET", f"{HF}/active?symbol=BTC-USDT", name="alice")
        status, body, headers = await rig.raw("spot", "GET", f"{HF}/active?symbol=BTC-USDT", name="alice")
        assert (status, body["code"]) == (429, "429000")
        assert 0 < int(headers["gw-ratelimit-reset"]) <= 300
        status, _, _ = await rig.raw("spot", "GET", f"{HF}/active?symbol=BTC-USDT", name="bob")
        assert status == 200, "a pool is a user's own"
        assert "gw-ratelimit-limit" not in (await rig.raw("spot", "GET", "/api/v1/timestamp"))[2]
        async with asyncio.timeout(5):
            while (await rig.raw("spot", "GET", f"{HF}/active?symbol=BTC-USDT", name="alice"))[0] != 200:
                await asyncio.sleep(0.02)


async def test_bad_bodies_are_refused_not_fatal(rig: Rig) -> None:
    for body in ("{", "[]", '"x"', "7", '{"symbol":{}}'):
        status, answer, _ = await rig.raw("spot", "POST", HF, body, "alice")
        assert (status, answer["code"][:1]) in ((200, "4"), (200, "9")), body
    for body in ("{", '{"orderIdsList":7}'):
        assert (await rig.raw("perp", "DELETE", "/api/v1/orders/multi-cancel", body, "alice"))[0] == 200
