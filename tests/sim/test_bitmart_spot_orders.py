"""BitMart's spot orders: rules, cancels, queries, private pushes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from tests.sim.bitmart_rig import Rig
from tests.sim.loopback_rig import Message

QUERY = "/spot/v4/query"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def query(rig: Rig, call: str, **body: Any) -> Any:
    return await rig.post("spot", f"{QUERY}/{call}", body)


async def test_an_order_rests_is_found_and_cancelled(rig: Rig) -> None:
    order_id = await rig.placed("spot", client_order_id="ct0001")
    assert isinstance(order_id, str)
    found = (await query(rig, "order", orderId=order_id))["data"]
    assert found == (await query(rig, "client-order", clientOrderId="ct0001"))["data"]
    assert found == {
        "orderId": order_id, "clientOrderId": "ct0001", "symbol": "BTC_USDT", "side": "buy",
        "orderMode": "spot", "type": "limit", "state": "new", "cancelSource": "", "stpMode": "none",
        "price": "50000.00", "priceAvg": "0.00", "size": "0.01000", "filledSize": "0.00000",
        "notional": "500.00000000", "filledNotional": "0.00000000", "createTime": found["createTime"],
        "updateTime": found["updateTime"],
    }  # fmt: skip
    assert (await query(rig, "open-orders", symbol="BTC_USDT"))["data"] == [found]
    wallet = {row["id"]: row for row in (await rig.get("spot", "/spot/v1/wallet", "alice"))["data"]["wallet"]}
    assert (wallet["USDT"]["available"], wallet["USDT"]["frozen"]) == ("999500.00000000", "500.00000000")
    answer = await rig.post("spot", "/spot/v3/cancel_order", {"symbol": "BTC_USDT", "order_id": order_id})
    assert (answer["code"], answer["message"], answer["data"]) == (1000, "OK", {"result": True})
    assert rig.account().balance("spot", "USDT").free == 1_000_000


async def test_a_finished_order_is_found_in_the_history_only(rig: Rig) -> None:
    order_id = await rig.placed("spot", client_order_id="h1")
    body = {"symbol": "BTC_USDT", "client_order_id": "h1"}
    assert (await query(rig, "order", orderId=order_id, queryState="history"))["code"] == 50005
    await rig.post("spot", "/spot/v3/cancel_order", body)
    assert (await query(rig, "order", orderId=order_id))["code"] == 50005
    assert (await query(rig, "client-order", clientOrderId="h1", queryState="open"))["code"] == 50005
    found = (await query(rig, "order", orderId=order_id, queryState="history"))["data"]
    assert (found["state"], found["cancelSource"]) == ("canceled", "user")
    assert (await query(rig, "history-orders", symbol="BTC_USDT"))["data"] == [found]
    assert (await query(rig, "order", orderId=order_id, queryState="never"))["code"] == 50021
    codes = [(await rig.post("spot", "/spot/v3/cancel_order", body))["code"]]
    await rig.placed("spot", client_order_id="h2", price="61000")
    for changed in ({"client_order_id": "h2"}, {"client_order_id": "nobody"}, {"order_id": "77"}):
        request = {"symbol": "BTC_USDT", **changed}
        codes.append((await rig.post("spot", "/spot/v3/cancel_order", request))["code"])
    codes.append((await rig.post("spot", "/spot/v3/cancel_order", {"symbol": "BTC_USDT"}))["code"])
    assert codes == [50030, 50031, 50032, 50032, 50039]


async def test_an_order_without_a_client_id_bears_its_own(rig: Rig) -> None:
    order_id = await rig.placed("spot")
    assert (await query(rig, "order", orderId=order_id))["data"]["clientOrderId"] == order_id


async def test_decimals_beyond_the_tick_are_cut_off(rig: Rig) -> None:
    order_id = await rig.placed("spot", price="50000.129")
    assert (await query(rig, "order", orderId=order_id))["data"]["price"] == "50000.12"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [({"symbol": "NOPE_USDT"}, 400, 50001), ({"side": "BUY"}, 400, 50021), ({"type": "fok"}, 400, 50021),
     ({"size": ""}, 400, 50010), ({"price": ""}, 400, 50011), ({"price": "-1"}, 400, 50011),
     ({"size": "0.000001"}, 400, 50006), ({"size": "1001"}, 400, 50007), ({"price": "0.001"}, 400, 50008),
     ({"size": "0.010001"}, 400, 50021), ({"size": "0.00001", "price": "1"}, 400, 51011),
     ({"side": "sell", "size": "0.00001", "price": "1"}, 400, 51012),
     ({"type": "market"}, 400, 50021), ({"type": "market", "size": ""}, 400, 50012),
     ({"type": "market", "size": "", "notional": "4.99"}, 400, 51011),
     ({"size": "100"}, 400, 50020), ({"side": "sell", "size": "11"}, 400, 50020),
     ({"client_order_id": "x" * 33}, 400, 50037), ({"client_order_id": "my-order"}, 400, 50038),
     ({"client_order_id": "my_order_001"}, 400, 50038), ({"stpMode": "both"}, 400, 50021)],
)  # fmt: skip
async def test_refusals(rig: Rig, changed: Message, status: int, code: int) -> None:
    body = {"symbol": "BTC_USDT", "side": "buy", "type": "limit", "size": "0.01", "price": "50000", **changed}
    body = {name: value for name, value in body.items() if value != ""}
    got, answer, _ = await rig.post_raw("spot", "/spot/v2/submit_order", body)
    assert (got, answer["code"]) == (status, code)
    assert answer["message"]
    assert answer["data"] == {}
    assert rig.exchange.history(rig.account(), rig.market()) == []


async def test_a_client_id_is_used_once(rig: Rig) -> None:
    await rig.placed("spot", client_order_id="once")
    assert (await rig.place("spot", client_order_id="once"))["code"] == 50042
    await rig.post("spot", "/spot/v3/cancel_order", {"symbol": "BTC_USDT", "client_order_id": "once"})
    assert (await rig.place("spot", client_order_id="once"))["code"] == 50042
    assert (await rig.place("spot", name="bob", client_order_id="once"))["code"] == 1000


async def test_a_wrongly_cased_name_is_ignored(rig: Rig) -> None:
    """v1 to v3 are snake_case, v4 is camelCase; the other case is as good as absent."""
    order_id = await rig.placed("spot", clientOrderId="lost")
    assert (await query(rig, "order", orderId=order_id))["data"]["clientOrderId"] == order_id
    assert (await query(rig, "order", order_id=order_id))["code"] == 50039


async def test_market_orders(rig: Rig) -> None:
    bought = await rig.placed("spot", type="market", size="", price="", notional="600")
    row = (await query(rig, "order", orderId=bought, queryState="history"))["data"]
    assert (row["state"], row["filledSize"], row["priceAvg"]) == ("filled", "0.00999", "60000.01")
    sold = await rig.placed("spot", side="sell", type="market", size="0.005", price="")
    (trade,) = (await query(rig, "order-trades", orderId=sold))["data"]
    assert trade == {
        "tradeId": trade["tradeId"], "orderId": sold, "clientOrderId": sold, "symbol": "BTC_USDT",
        "side": "sell", "orderMode": "spot", "type": "market", "price": "59999.99", "size": "0.00500",
        "notional": "299.99995000", "fee": "0.29999995", "feeCoinName": "USDT", "tradeRole": "taker",
        "createTime": trade["createTime"], "updateTime": trade["updateTime"],
    }  # fmt: skip
    trades = (await query(rig, "trades", symbol="BTC_USDT", limit=5))["data"]
    assert [each["orderId"] for each in trades] == [sold, bought]


async def test_a_crossing_limit_maker_is_accepted_and_cancelled(rig: Rig) -> None:
    private = await rig.private("spot", "spot/user/orders:ALL_SYMBOLS")
    order_id = await rig.placed("spot", type="limit_maker", price="61000")
    row = await private.push("spot/user/orders:ALL_SYMBOLS")
    assert (row["order_id"], row["order_state"], row["state"]) == (order_id, "canceled", "8")
    assert (row["entrust_type"], row["order_type"]) == ("LIMIT_MAKER", "1")
    resting = await rig.placed("spot", type="limit_maker")
    assert (await query(rig, "order", orderId=resting))["data"]["state"] == "new"


async def test_an_ioc_order_never_rests(rig: Rig) -> None:
    part = await rig.placed("spot", type="ioc", size="0.03", price="60000.02")
    row = (await query(rig, "order", orderId=part, queryState="history"))["data"]
    assert (row["state"], row["filledSize"]) == ("partially_canceled", "0.02000")
    nothing = await rig.placed("spot", type="ioc")
    row = (await query(rig, "order", orderId=nothing, queryState="history"))["data"]
    assert (row["state"], row["cancelSource"]) == ("canceled", "system")


async def test_self_trades_are_prevented_as_asked(rig: Rig) -> None:
    market = rig.market()
    market.set_background(market.asks, market.asks.best or 0, 0)
    maker = await rig.placed("spot", side="sell", price="60000.01")
    await rig.placed("spot", price="60000.01", stpMode="cancel_maker")
    row = (await query(rig, "order", orderId=maker, queryState="history"))["data"]
    assert (row["state"], row["cancelSource"]) == ("canceled", "stp")


async def test_cancel_all_is_answered_before_it_happens(rig: Rig) -> None:
    buys = [await rig.placed("spot", price=price) for price in ("50000", "49000")]
    sell = await rig.placed("spot", side="sell", price="70000")
    answer = await rig.post("spot", "/spot/v4/cancel_all", {"symbol": "BTC_USDT", "side": "buy"})
    assert (answer["code"], answer["data"]) == (1000, {})
    market = rig.market()
    await rig.settled(lambda: market.open_count["alice"] == 1)
    rows = (await query(rig, "open-orders", symbol="BTC_USDT"))["data"]
    assert [row["orderId"] for row in rows] == [sell]
    await rig.post("spot", "/spot/v4/cancel_all", {})
    await rig.settled(lambda: market.open_count["alice"] == 0)
    states = {
        (await query(rig, "order", orderId=each, queryState="history"))["data"]["state"] for each in buys
    }
    assert states == {"canceled"}


async def test_several_cancels_tell_good_from_bad(rig: Rig) -> None:
    good = [await rig.placed("spot", client_order_id=f"b{number}") for number in range(2)]
    request: Message = {"symbol": "BTC_USDT", "orderIds": [good[0], "1"]}
    answer = await rig.post("spot", "/spot/v4/cancel_orders", request)
    assert answer["data"] == {
        "successIds": [good[0]], "failIds": ["1"], "totalCount": 2, "successCount": 1, "failedCount": 1,
    }  # fmt: skip
    request = {"symbol": "BTC_USDT", "clientOrderIds": ["b1"]}
    assert (await rig.post("spot", "/spot/v4/cancel_orders", request))["data"]["successIds"] == ["b1"]
    request = {"symbol": "BTC_USDT", "orderIds": good * 6}
    assert (await rig.post("spot", "/spot/v4/cancel_orders", request))["code"] == 50021


async def test_a_batch_is_placed_whole_or_not_at_all(rig: Rig) -> None:
    one = {"side": "buy", "type": "limit", "size": "0.01", "price": "50000"}
    request: Message = {"symbol": "BTC_USDT", "orderParams": [one, {**one, "clientOrderId": "second"}]}
    inner = (await rig.post("spot", "/spot/v4/batch_orders", request))["data"]
    assert (inner["code"], len(inner["data"]["orderIds"])) == (0, 2)
    assert (await query(rig, "client-order", clientOrderId="second"))["data"]["state"] == "new"
    request = {"symbol": "BTC_USDT", "orderParams": [one, {**one, "size": "5000"}]}
    inner = (await rig.post("spot", "/spot/v4/batch_orders", request))["data"]
    assert (inner["code"], inner["data"]["orderIds"]) == (50007, [])
    assert rig.market().open_count["alice"] == 2


async def test_private_pushes_tell_an_orders_life(rig: Rig) -> None:
    topics = ("spot/user/order:BTC_USDT", "spot/user/orders:ALL_SYMBOLS", "spot/user/balance:BALANCE_UPDATE")
    private = await rig.private("spot", *topics)
    other = await rig.private("spot", topics[1], name="bob")
    order_id = await rig.placed("spot", client_order_id="life", size="0.03", price="60000.01")
    rows = [await private.push(topics[0]) for _ in range(2)]
    new, fill = rows
    assert (new["state"], new["order_state"], new["last_fill_count"], new["detail_id"]) == (
        "4",
        "new",
        "0",
        "",
    )
    assert (fill["state"], fill["order_state"], fill["exec_type"]) == ("5", "partially_filled", "T")
    assert (fill["last_fill_price"], fill["last_fill_count"]) == ("60000.01", "0.01000")
    assert (fill["filled_size"], fill["filled_notional"]) == ("0.0100000000", "600.0001000000")
    assert (fill["dealFee"], fill["deal_fee_coin_name"]) == ("0.00001000", "BTC")
    assert all(isinstance(value, str) for row in rows for value in row.values())
    rig.exchange.fill_resting(rig.market().orders_by_client_id["alice", "life"], 500)
    maker = await private.push(topics[0])
    assert (maker["exec_type"], maker["filled_size"], maker["order_id"]) == ("M", "0.0150000000", order_id)
    await rig.post("spot", "/spot/v3/cancel_order", {"symbol": "BTC_USDT", "order_id": order_id})
    ended = await private.push(topics[0])
    assert (ended["state"], ended["order_state"]) == ("12", "partially_canceled")
    assert (ended["last_fill_count"], ended["client_order_id"]) == ("0", "life")
    tables = [each["table"] for each in private.seen if "table" in each]
    assert tables.count("spot/user/orders") >= 3, "the same rows under the other channel's own name"
    balances = [each for each in private.seen if each.get("table") == "spot/user/balance"]
    assert all(len(each["data"]) == len(each["data"][0]["balance_details"]) == 1 for each in balances)
    assert balances[0]["data"][0]["event_type"] == "TRANSACTION_COMPLETED"
    await rig.placed("spot", name="bob")
    assert (await other.push(topics[1]))["order_id"] != order_id
    assert [each["data"][0]["client_order_id"] for each in other.seen if "table" in each].count("life") == 0


async def test_public_calls(rig: Rig) -> None:
    await rig.placed("spot", price="60000.01")
    details = (await rig.get("spot", "/spot/v1/symbols/details"))["data"]["symbols"]
    assert (details[0]["symbol"], details[0]["price_max_precision"]) == ("BTC_USDT", 2)
    assert D(details[0]["base_min_size"]) == D("0.00001")
    assert len(details[0]["base_min_size"].partition(".")[2]) == 30
    book = (await rig.get("spot", "/spot/quotation/v3/books", symbol="BTC_USDT"))["data"]
    assert (len(book["bids"]), len(book["asks"]), "version" in book) == (35, 35, False)
    book = (await rig.get("spot", "/spot/quotation/v3/books", symbol="BTC_USDT", limit=500))["data"]
    assert len(book["bids"]) == 50
    ticker = (await rig.get("spot", "/spot/quotation/v3/ticker", symbol="BTC_USDT"))["data"]
    rows = (await rig.get("spot", "/spot/quotation/v3/tickers"))["data"]
    assert [row[0] for row in rows] == ["BTC_USDT", "ETH_USDT"]
    assert rows[0][:-1] == list(ticker.values())[:-1]
    assert ticker["fluctuation"][0] in "+-"
    (trade,) = (await rig.get("spot", "/spot/quotation/v3/trades", symbol="BTC_USDT"))["data"]
    assert [trade[0], *trade[2:]] == ["BTC_USDT", "60000.01", "0.01000", "buy"]
    (candle,) = (await rig.get("spot", "/spot/quotation/v3/klines", symbol="BTC_USDT"))["data"]
    assert candle[1:] == ["60000.01"] * 4 + ["0.01000", "600.00"]
    status, answer, _ = await rig.raw("spot", "GET", "/spot/quotation/v3/books", "symbol=NOPE")
    assert (status, answer["code"]) == (200, 71001)
    assert (await rig.get("spot", "/spot/quotation/v3/klines", symbol="BTC_USDT", step=7))["code"] == 70002
    now = (await rig.get("spot", "/system/time"))["data"]["server_time"]
    assert abs(now - rig.clock.now_ms()) < 5_000
    services = (await rig.get("spot", "/system/service"))["data"]["service"]
    assert {row["status"] for row in services} == {"2"}
    assert len((await rig.get("spot", "/spot/v1/symbols"))["data"]["symbols"]) == 2
    coins = (await rig.get("spot", "/spot/v1/currencies"))["data"]["currencies"]
    assert [row["id"] for row in coins] == ["BTC", "USDT", "ETH"]
    assert (await rig.get("spot", "/account/v1/currencies"))["data"]["currencies"][0]["currency"] == "BTC"


async def test_account_calls(rig: Rig) -> None:
    wallet = (await rig.get("spot", "/account/v1/wallet", "alice", currency="BTC"))["data"]["wallet"]
    assert [(row["currency"], row["available"]) for row in wallet] == [("BTC", "10.00000000")]
    fees = (await rig.get("spot", "/spot/v1/trade_fee", "alice", symbol="BTC_USDT"))["data"]
    assert fees["buy_taker_fee_rate"] == "0.001"
    assert (await rig.get("spot", "/spot/v1/user_fee", "alice"))["data"]["maker_fee_rate_D"] == "0.001"


async def test_trades_and_tickers_are_pushed(rig: Rig) -> None:
    topics = [f"spot/{kind}:BTC_USDT" for kind in ("trade", "ticker", "bookTicker", "kline1m")]
    sockets = {topic: await rig.listening("spot", topic) for topic in topics}
    await rig.placed("spot", price="60000.01")
    trade = await sockets[topics[0]].push(topics[0])
    assert trade == {
        "symbol": "BTC_USDT", "price": "60000.01", "side": "buy", "size": "0.01000",
        "s_t": trade["ms_t"] // 1000, "ms_t": trade["ms_t"],
    }  # fmt: skip
    top = await sockets[topics[2]].push(topics[2], lambda row: row["ask_px"] == "60000.02")
    assert top["bid_px"] == "59999.99"
    ticker = await sockets[topics[1]].push(topics[1], lambda row: row["last_price"] == "60000.01")
    assert ticker["base_volume_24h"] == "0.01000"
    candle = await sockets[topics[3]].push(topics[3])
    assert candle["candle"][1:] == ["60000.01"] * 4 + ["0.01000"]
    late = await rig.listening("spot", topics[0])
    assert await late.push(topics[0]) == trade, "the last trade is repeated to who comes late"
