"""BitMart's futures orders: four-way sides, contracts, modes, cancels, queries, private pushes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.clock import ManualSimClock
from tests.sim.bitmart_rig import Rig, Socket
from tests.sim.loopback_rig import Message

BUY, BUY_REDUCE, SELL_REDUCE, SELL = OPEN_LONG, CLOSE_SHORT, CLOSE_LONG, OPEN_SHORT = 1, 2, 3, 4
PRIVATE = "/contract/private"
SYMBOL = "BTCUSDT"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def get(rig: Rig, call: str, name: str | None = "alice", **params: Any) -> Any:
    return await rig.get("perp", f"{PRIVATE}/{call}", name, **params)


async def post(rig: Rig, call: str, body: Message) -> Any:
    return await rig.post("perp", f"{PRIVATE}/{call}", body)


async def market(rig: Rig, side: int, size: int = 10, name: str = "alice") -> Any:
    return await rig.placed("perp", name, side=side, type="market", price="", size=size)


async def test_an_order_rests_is_found_and_cancelled(rig: Rig) -> None:
    order_id = await rig.placed("perp", client_order_id="BM1", leverage="10", price="50000.5")
    assert isinstance(order_id, int)
    assert order_id > 2**53, "a reader that takes it for a binary float would not find it again"
    found = (await get(rig, "order", symbol=SYMBOL, order_id=order_id))["data"]
    assert found == {
        "order_id": str(order_id), "client_order_id": "BM1", "price": "50000.5", "size": "10",
        "symbol": SYMBOL, "state": 2, "side": 1, "type": "limit", "leverage": "10", "open_type": "cross",
        "deal_avg_price": "0", "deal_size": "0", "create_time": found["create_time"],
        "update_time": found["update_time"],
    }  # fmt: skip
    assert (await get(rig, "get-open-orders", symbol=SYMBOL))["data"] == [found]
    assert (await get(rig, "get-open-orders", order_state="partially_filled"))["data"] == []
    assert (await get(rig, "get-open-orders", type="market"))["data"] == []
    (usdt,) = [row for row in (await get(rig, "assets-detail"))["data"] if row["currency"] == "USDT"]
    assert (usdt["frozen_balance"], usdt["available_balance"]) == ("50.0005", "999949.9995")
    answer = await post(rig, "cancel-order", {"symbol": SYMBOL, "order_id": str(order_id)})
    assert (answer["code"], answer["message"], answer["data"]) == (1000, "Ok", {})
    codes = [
        (await post(rig, "cancel-order", {"symbol": SYMBOL, **body}))["code"]
        for body in ({"order_id": order_id}, {"order_id": 5}, {"client_order_id": "nobody"})
    ]
    assert codes == [40036, 40037, 40037]
    ended = (await get(rig, "order-history", symbol=SYMBOL, client_order_id="BM1"))["data"]
    assert [(row["state"], row["deal_size"]) for row in ended] == [(4, "0")]
    assert (await get(rig, "order-history", symbol=SYMBOL, client_order_id="BM2"))["data"] == []


async def test_state_four_is_filled_and_cancelled_alike(rig: Rig) -> None:
    filled = await market(rig, BUY)
    part = await rig.placed("perp", size=1500, price="60000.1", mode=3)
    rows = {
        each["order_id"]: each for each in (await get(rig, "order-history", symbol=SYMBOL))["data"]
    }  # fmt: skip
    assert {row["state"] for row in rows.values()} == {4}
    assert (rows[str(filled)]["deal_size"], rows[str(filled)]["size"]) == ("10", "10")
    assert (rows[str(part)]["deal_size"], rows[str(part)]["size"]) == ("990", "1500")


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [({"symbol": "NOPEUSDT"}, 400, 40034), ({"symbol": "BTCUSD"}, 400, 40034), ({"side": 5}, 400, 40030),
     ({"side": "1"}, 400, 40030), ({"side": True}, 400, 40030), ({"type": "stop"}, 400, 40041),
     ({"mode": 5}, 400, 40041), ({"stp_mode": 4}, 400, 40041), ({"size": "10"}, 400, 40044),
     ({"size": 0}, 400, 40044), ({"size": 1_000_001}, 400, 40044), ({"price": ""}, 400, 40042),
     ({"price": "50000.55"}, 400, 40043), ({"open_type": ""}, 400, 40045),
     ({"leverage": "126"}, 400, 40029), ({"leverage": "0"}, 400, 40029), ({"size": 500_000}, 400, 40027),
     ({"client_order_id": "x" * 33}, 403, 40049), ({"client_order_id": "a-b"}, 403, 40048),
     ({"side": 3}, 400, 40018), ({"type": "market", "price": "", "size": 600_000}, 200, 42000)],
)  # fmt: skip
async def test_refusals(rig: Rig, changed: Message, status: int, code: int) -> None:
    body = {"symbol": SYMBOL, "side": 1, "size": 10, "price": "50000", "open_type": "cross", **changed}
    body = {name: value for name, value in body.items() if value != ""}
    got, answer, _ = await rig.post_raw("perp", f"{PRIVATE}/submit-order", body)
    assert (got, answer["code"]) == (status, code)
    assert answer["message"]
    assert rig.exchange.history(rig.account(), rig.market("perp")) == []


async def test_contracts_that_come_in_steps(rig: Rig) -> None:
    """A contract of 0.01 and lots of 0.02: only even numbers of contracts."""
    body = {"symbol": "ETHUSDT", "price": "2000"}
    assert (await rig.place("perp", **body, size=3))["code"] == 40043
    await rig.placed("perp", **body, size=4)
    (order,) = rig.exchange.open_orders(rig.account(), "perp")
    assert order.market.qty(order.qty_lots) == D("0.04")


async def test_a_client_id_is_used_once(rig: Rig) -> None:
    await rig.placed("perp", client_order_id="once")
    status, answer, _ = await rig.post_raw(
        "perp", f"{PRIVATE}/submit-order",
        {"symbol": SYMBOL, "side": 1, "size": 10, "price": "50000", "open_type": "cross",
         "client_order_id": "once"},
    )  # fmt: skip
    assert (status, answer["code"]) == (403, 40050)


async def test_sides_in_one_way_mode(rig: Rig) -> None:
    await market(rig, BUY)
    assert (await rig.place("perp", side=BUY_REDUCE, type="market", price=""))["code"] == 40018
    (row,) = (await get(rig, "position", symbol=SYMBOL))["data"]
    assert (row["position_type"], row["current_amount"], row["entry_price"]) == (1, "10", "60000.1")
    await market(rig, SELL_REDUCE, 25)
    assert rig.account().position(SYMBOL).lots == 0, "closing never turns a position"
    assert (await get(rig, "position"))["data"] == []
    await market(rig, SELL, 7)
    (row,) = (await get(rig, "position-v2"))["data"]
    assert (row["position_side"], row["position_amount"], row["position_mode"]) == (
        "both",
        "-7",
        "one_way_mode",
    )
    await market(rig, BUY_REDUCE, 7)
    (row,) = (await get(rig, "position-v2", symbol=SYMBOL))["data"]
    assert row["position_amount"] == "0", "asked for by name it is there, flat"


async def test_sides_in_hedge_mode(rig: Rig) -> None:
    assert (await get(rig, "get-position-mode"))["data"] == {"position_mode": "one_way_mode"}
    answer = await post(rig, "set-position-mode", {"position_mode": "hedge_mode"})
    assert answer["data"] == {"position_mode": "hedge_mode"}
    await market(rig, OPEN_LONG, 10)
    await market(rig, OPEN_SHORT, 4)
    rows = (await get(rig, "position-v2", symbol=SYMBOL))["data"]
    assert [(row["position_side"], row["position_amount"]) for row in rows] == [
        ("long", "10"),
        ("short", "4"),
    ]
    await rig.placed("perp", side=CLOSE_LONG, price="70000", size=8)
    assert (await rig.place("perp", side=CLOSE_LONG, price="70000", size=3))["code"] == 40020
    await market(rig, CLOSE_SHORT, 4)
    assert (await rig.place("perp", side=CLOSE_SHORT, type="market", price=""))["code"] == 40018
    rows = (await get(rig, "position", symbol=SYMBOL))["data"]
    assert [(row["position_type"], row["current_amount"]) for row in rows] == [(1, "10")]
    assert (await post(rig, "set-position-mode", {"position_mode": "one_way_mode"}))["code"] == 40021


async def test_leverage_and_open_type_must_agree_with_what_is_open(rig: Rig) -> None:
    await rig.placed("perp", leverage="10")
    assert (await rig.place("perp", leverage="11"))["code"] == 40040
    assert (await rig.place("perp", leverage="10", open_type="isolated"))["code"] == 40045
    body = {"symbol": SYMBOL, "leverage": "15", "open_type": "cross"}
    assert (await post(rig, "submit-leverage", body))["data"] == {**body, "max_value": "125"}
    await rig.placed("perp", leverage="15")
    isolated = await post(rig, "submit-leverage", {**body, "open_type": "isolated"})
    assert isolated["code"] == 40045
    assert (await post(rig, "submit-leverage", {**body, "leverage": "500"}))["code"] == 40029


@pytest.mark.parametrize(("mode", "filled"), [(2, "0"), (3, "990"), (4, "0")])
async def test_modes_that_do_not_rest(rig: Rig, mode: int, filled: str) -> None:
    order_id = await rig.placed("perp", price="60000.1", size=1500, mode=mode)
    row = (await get(rig, "order", symbol=SYMBOL, order_id=order_id))["data"]
    if mode == 3:
        filled = "1000"
    assert (row["state"], row["deal_size"]) == (4, filled)


async def test_a_body_that_names_no_order_cancels_everything(rig: Rig) -> None:
    for price in ("50000", "49000"):
        await rig.placed("perp", price=price)
    await rig.placed("perp", symbol="ETHUSDT", price="2000")
    assert (await post(rig, "cancel-order", {"symbol": SYMBOL}))["data"] == {}
    assert [row["symbol"] for row in (await get(rig, "get-open-orders"))["data"]] == ["ETHUSDT"]
    assert (await post(rig, "cancel-orders", {"symbol": "ETHUSDT"}))["data"] == {}
    assert (await get(rig, "get-open-orders"))["data"] == []


async def test_an_amended_order_keeps_its_id(rig: Rig) -> None:
    order_id = await rig.placed("perp", client_order_id="am1")
    body: Message = {"symbol": SYMBOL, "order_id": order_id, "price": "50001", "size": 12}
    answer = (await post(rig, "modify-limit-order", body))["data"]
    assert answer == {"order_id": order_id, "client_order_id": "am1"}
    row = (await get(rig, "order", symbol=SYMBOL, order_id=order_id))["data"]
    assert (row["price"], row["size"]) == ("50001", "12")
    body = {"symbol": SYMBOL, "client_order_id": "am1", "size": "9"}
    assert (await post(rig, "modify-limit-order", body))["code"] == 1000
    assert (await post(rig, "modify-limit-order", body))["code"] == 40011, "nothing to change"
    assert (await post(rig, "modify-limit-order", {"symbol": SYMBOL, "size": 5}))["code"] == 40011
    assert (await post(rig, "modify-limit-order", {**body, "price": "50000.01"}))["code"] == 40043
    await post(rig, "cancel-order", {"symbol": SYMBOL, "order_id": order_id})
    assert (await post(rig, "modify-limit-order", body))["code"] == 40036


async def test_a_dead_mans_switch(rig: Rig) -> None:
    await rig.placed("perp")
    body = {"symbol": SYMBOL, "timeout": 5}
    answer = (await post(rig, "cancel-all-after", body))["data"]
    assert (answer["result"], answer["cancel_time"] - answer["set_time"]) == (True, 5)
    assert (await post(rig, "cancel-all-after", {"symbol": SYMBOL, "timeout": 3}))["code"] == 40011
    assert (await post(rig, "cancel-all-after", {"symbol": SYMBOL, "timeout": 0}))["data"]["cancel_time"] == 0
    await post(rig, "cancel-all-after", body)
    open_count = rig.market("perp").open_count
    await rig.settled(lambda: open_count["alice"] == 0)


async def test_fills_tell_what_was_paid(rig: Rig) -> None:
    order_id = await market(rig, BUY)
    closing = await market(rig, SELL_REDUCE)
    rows = (await get(rig, "trades", symbol=SYMBOL))["data"]
    assert [row["order_id"] for row in rows] == [str(closing), str(order_id)]
    assert rows[1] == {
        "order_id": str(order_id), "trade_id": rows[1]["trade_id"], "symbol": SYMBOL, "side": 1,
        "price": "60000.1", "vol": "10", "exec_type": "Taker", "profit": False, "realised_profit": "0",
        "paid_fees": "0.3600006", "create_time": rows[1]["create_time"],
    }  # fmt: skip
    assert rows[0]["realised_profit"] == "-0.002"
    assert (await get(rig, "trades", symbol=SYMBOL, order_id=str(closing)))["data"] == rows[:1]
    later = rows[1]["create_time"] // 1000 + 100
    assert (await get(rig, "trades", symbol=SYMBOL, start_time=later, end_time=later + 1))["data"] == []
    assert (await get(rig, "trades", start_time=0, end_time=90 * 86_400 + 1))["code"] == 40039


async def orders(socket: Socket) -> tuple[int, Message]:
    """Return action and order of the next order push."""
    message = await socket.until(lambda each: each.get("group") == "futures/order" and "data" in each)
    (row,) = message["data"]
    return row["action"], row["order"]


async def test_private_pushes_tell_an_orders_life(rig: Rig) -> None:
    socket = await rig.private("perp", "futures/order")
    order_id = await rig.placed("perp", client_order_id="life", size=1500, price="60000.1")
    action, order = await orders(socket)
    assert (action, order["state"], order["deal_size"], order["last_trade"]) == (2, 2, "0", None)
    assert (order["order_id"], order["position_mode"]) == (str(order_id), "one_way_mode")
    action, order = await orders(socket)
    assert (action, order["state"], order["deal_size"], order["deal_avg_price"]) == (1, 2, "1000", "60000.1")
    trade = order["last_trade"]
    assert (trade["fillQty"], trade["fillPrice"], trade["fee"], trade["feeCcy"]) == (
        "1000", "60000.1", "-36.00006", "USDT",
    )  # fmt: skip
    await post(rig, "cancel-order", {"symbol": SYMBOL, "client_order_id": "life"})
    action, order = await orders(socket)
    assert (action, order["state"], order["deal_size"]) == (3, 4, "1000")
    assert order["last_trade"] == trade, "a cancel repeats the fill before it: count it once"


async def test_positions_and_wallets_are_pushed(rig: Rig) -> None:
    socket = await rig.private("perp", "futures/position", "futures/asset:USDT")
    await market(rig, BUY)
    asset = await socket.push("futures/asset:USDT", lambda data: data["position_deposit"] != "0")
    assert asset["currency"] == "USDT"
    (row,) = await socket.push("futures/position")
    assert (row["position_type"], row["hold_volume"], row["open_type"]) == (1, "10", 2)
    assert row["hold_avg_price"] == "60000.1"
    await market(rig, SELL, 16)
    rows = await socket.push("futures/position")
    assert [(row["position_type"], row["hold_volume"]) for row in rows] == [(1, "0"), (2, "6")], (
        "turned through zero: the side left behind is told empty"
    )
    await market(rig, BUY_REDUCE, 6)
    (row,) = await socket.push("futures/position")
    assert (row["position_type"], row["hold_volume"]) == (2, "0")


async def test_both_legs_of_a_hedge_are_pushed(rig: Rig) -> None:
    await post(rig, "set-position-mode", {"position_mode": "hedge_mode"})
    socket = await rig.private("perp", "futures/position", "futures/order")
    await market(rig, OPEN_LONG, 10)
    await market(rig, OPEN_SHORT, 4)
    rows = await socket.push("futures/position", lambda rows: len(rows) == 2)
    assert [(row["position_type"], row["hold_volume"]) for row in rows] == [(1, "10"), (2, "4")]
    assert {row["position_mode"] for row in rows} == {"hedge_mode"}
    held = [each for each in socket.seen if each.get("group") == "futures/order" and "data" in each]
    assert {each["data"][0]["order"]["position_mode"] for each in held} == {"hedge_mode"}


async def test_held_positions_are_repeated_every_ten_seconds() -> None:
    clock = ManualSimClock()
    async with Rig(clock=clock) as rig:
        await market(rig, BUY)
        socket = await rig.private("perp", "futures/position")
        for _ in range(2):
            clock.advance(10_000)
            (row,) = await socket.push("futures/position")
            assert (row["hold_volume"], row["update_time"]) == ("10", clock.now_ms())


async def test_public_calls(rig: Rig) -> None:
    await market(rig, BUY)
    rows = {
        row["symbol"]: row for row in (await rig.get("perp", "/contract/public/details"))["data"]["symbols"]
    }  # fmt: skip
    assert rows["BTCUSDT"]["contract_size"] == "0.001"
    assert (rows["ETHUSDT"]["vol_precision"], rows["ETHUSDT"]["min_volume"]) == ("2", "2")
    assert (rows["BTCUSD"]["quote_currency"], rows["OLDUSDT"]["status"]) == ("USD", "Delisted")
    one = (await rig.get("perp", "/contract/public/details", symbol=SYMBOL))["data"]["symbols"]
    assert [row["symbol"] for row in one] == [SYMBOL]
    assert (await rig.get("perp", "/contract/public/details", symbol="NOPE"))["code"] == 40012
    depth = (await rig.get("perp", "/contract/public/depth", symbol=SYMBOL))["data"]
    assert depth["asks"][:2] == [["60000.1", "990", "990"], ["60000.2", "1000", "1990"]]
    assert len(depth["bids"]) == 50
    (trade,) = (await rig.get("perp", "/contract/public/market-trade", symbol=SYMBOL))["data"]
    assert (trade["qty"], trade["quote_qty"], trade["is_buyer_maker"]) == ("0.01", "600.001", False)
    for call in ("funding-rate", "open-interest", "depth", "market-trade", "funding-rate-history"):
        status, answer, _ = await rig.raw("perp", "GET", f"/contract/public/{call}", "symbol=NOPE")
        assert (status, answer["code"], answer["message"]) == (400, 40034, "Symbol Not Exist")
    now = rig.clock.now_ms() // 1000
    candles: Message = {"symbol": SYMBOL, "step": 1, "start_time": now - 600, "end_time": now + 60}
    (candle,) = (await rig.get("perp", "/contract/public/kline", **candles))["data"]
    assert (candle["close_price"], candle["volume"]) == ("60000.1", "10")
    assert (await rig.get("perp", "/contract/public/kline", **{**candles, "step": 7}))["code"] == 40038
    rules = (await rig.get("perp", "/contract/public/leverage-bracket", symbol=SYMBOL))["data"]["rules"]
    assert rules[0]["brackets"][0]["initial_leverage"] == "125"
    fees = (await get(rig, "trade-fee-rate", symbol=SYMBOL))["data"]
    assert (fees["taker_fee_rate"], fees["maker_fee_rate"]) == ("0.0006", "0.0002")


async def test_funding_is_the_last_settled_rate_and_the_next_estimate(rig: Rig) -> None:
    perp = rig.market("perp")
    perp.next_funding_ms, perp.funding_rate = 1_900_000_000_000, D("0.0003")
    topic = f"futures/fundingRate:{SYMBOL}"
    socket = await rig.private("perp", "futures/asset:USDT")
    await market(rig, BUY, 1000)
    rig.exchange.settle_funding(perp, 1_800_000_000_000)
    asset = await socket.push("futures/asset:USDT", lambda data: D(data["available_balance"]) < 996_950)
    assert asset["currency"] == "USDT", "longs pay while the rate is positive"
    perp.funding_rate = D("-0.0001")
    row = (await rig.get("perp", "/contract/public/funding-rate", symbol=SYMBOL))["data"]
    assert (row["rate_value"], row["expected_rate"], row["funding_time"]) == (
        "0.0003",
        "-0.0001",
        1_900_000_000_000,
    )
    assert (await rig.get("perp", "/contract/public/funding-rate-v2"))["data"][0]["rate_value"] == "0.0003"
    history = await rig.get("perp", "/contract/public/funding-rate-history", symbol=SYMBOL)
    assert [entry["funding_rate"] for entry in history["data"]["list"]] == ["0.0003"]
    public = await rig.listening("perp", topic)
    data = await public.push(topic)
    assert (data["fundingRate"], data["nextFundingRate"]) == ("0.0003", "-0.0001")
    assert data["nextFundingTime"] == 1_900_000_000_000
    assert abs(data["fundingTime"] - rig.clock.now_ms()) < 5_000, "now, not the settlement"
    await public.send({"action": "request", "args": [topic]})
    assert (await public.push(topic))["symbol"] == SYMBOL


async def test_trades_and_tickers_are_pushed(rig: Rig) -> None:
    topics = [f"futures/{kind}:{SYMBOL}" for kind in ("trade", "ticker", "bookticker", "klineBin1m")]
    sockets = {topic: await rig.listening("perp", topic) for topic in topics}
    everything = await rig.listening("perp", "futures/ticker")
    await rig.placed("perp", price="60000.2", size=1500)
    rows = await sockets[topics[0]].push(topics[0])
    assert [(row["deal_price"], row["deal_vol"], row["m"]) for row in rows] == [
        ("60000.2", "500", False), ("60000.1", "1000", False),
    ], "newest first"  # fmt: skip
    assert rows[0]["created_at"].endswith("Z")
    assert len(rows[0]["created_at"]) == len("2025-03-10T18:17:14.656686827Z")
    top = await sockets[topics[2]].push(topics[2], lambda row: row["best_ask_price"] == "60000.2")
    assert top["best_ask_vol"] == "500"
    ticker = await sockets[topics[1]].push(topics[1], lambda row: row["last_price"] == "60000.2")
    assert (ticker["volume_24"], ticker["mark_price"]) == ("1500", "60000")
    candle = await sockets[topics[3]].push(topics[3])
    assert candle["items"][0]["c"] == "60000.2"
    data = await everything.push("futures/ticker", lambda row: row["symbol"] == "ETHUSDT")
    assert json.dumps(data).count("ETHUSDT") == 1
