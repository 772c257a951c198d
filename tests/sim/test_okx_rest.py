"""OKX over REST: orders and their two-level answers, questions, pages, account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from tests.sim.okx_rig import SPOT, SWAP, Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


async def order(rig: Rig, row: Any, inst_id: str = SWAP) -> Any:
    return (await rig.rows("/trade/order", "alice", instId=inst_id, ordId=row["ordId"]))[0]


# -- placing


async def test_one_order_from_birth_to_cancel(rig: Rig) -> None:
    answer = await rig.post("/trade/order", rig.item(clOrdId="a1", tag="t1"))
    assert (answer["code"], answer["msg"]) == ("0", "")
    assert int(answer["inTime"]) <= int(answer["outTime"])
    assert len(answer["inTime"]) == 16
    [row] = answer["data"]
    assert (row["clOrdId"], row["tag"], row["sCode"], row["sMsg"], row["subCode"]) == (
        "a1",
        "t1",
        "0",
        "",
        "",
    )
    shown = await order(rig, row)
    assert (shown["state"], shown["sz"], shown["accFillSz"], shown["avgPx"]) == ("live", "1", "0", "")
    assert (shown["posSide"], shown["tdMode"], shown["lever"]) == ("net", "cross", "20")
    pending = await rig.rows("/trade/orders-pending", "alice", instType="SWAP")
    assert [each["clOrdId"] for each in pending] == ["a1"]
    [row] = (await rig.post("/trade/cancel-order", {"instId": SWAP, "clOrdId": "a1"}))["data"]
    assert row["sCode"] == "0"
    shown = await order(rig, row)
    assert (shown["state"], shown["cancelSource"]) == ("canceled", "1")
    [row] = (await rig.post("/trade/cancel-order", {"instId": SWAP, "clOrdId": "a1"}))["data"]
    assert row["sCode"] == "51400"


@pytest.mark.parametrize(
    ("inst_id", "changed", "code"),
    [
        (SWAP, {"instId": None}, "50014"), (SWAP, {"side": None}, "50014"), (SWAP, {"px": None}, "50014"),
        (SWAP, {"sz": ""}, "50014"), (SWAP, {"side": "BUY"}, "51000"), (SWAP, {"ordType": "stop"}, "51000"),
        (SWAP, {"px": "58000.05"}, "51000"), (SWAP, {"px": "-1"}, "51000"), (SWAP, {"px": "NaN"}, "51000"),
        (SWAP, {"sz": "0"}, "51000"), (SWAP, {"sz": "1e999999999"}, "51000"), (SWAP, {"sz": True}, "51000"),
        (SWAP, {"sz": "0.001"}, "51020"), (SWAP, {"sz": "1.005"}, "51121"), (SWAP, {"sz": "10001"}, "51101"),
        (SWAP, {"px": "63000.2"}, "51006"), (SWAP, {"side": "sell", "px": "56999.8"}, "51006"),
        (SWAP, {"tdMode": "cash"}, "51010"), (SWAP, {"tdMode": "isolated"}, "51010"),
        (SWAP, {"tdMode": "x"}, "51000"), (SWAP, {"tdMode": None}, "50014"),
        (SWAP, {"posSide": "long"}, "51000"), (SWAP, {"reduceOnly": True}, "51169"),
        (SWAP, {"reduceOnly": "perhaps"}, "51000"), (SWAP, {"clOrdId": "a-1"}, "51000"),
        (SWAP, {"clOrdId": "a" * 33}, "51000"), (SWAP, {"tag": "t_1"}, "51000"),
        (SWAP, {"tag": "t" * 17}, "51000"), (SWAP, {"stpMode": "none"}, "51000"),
        (SPOT, {"tdMode": "cross"}, "51010"), (SPOT, {"posSide": "net"}, "51000"),
        (SPOT, {"reduceOnly": True}, "51139"), (SPOT, {"sz": "0.0000001"}, "51020"),
        (SPOT, {"sz": "1001"}, "51005"), (SPOT, {"sz": "400"}, "51116"), (SPOT, {"sz": "20"}, "51008"),
        (SPOT, {"ordType": "optimal_limit_ioc", "px": None}, "51000"),
        (SPOT, {"ordType": "market", "px": None, "sz": "1000001"}, "51201"),
        (SPOT, {"ordType": "market", "px": None, "sz": "0.01"}, "51020"),
        (SPOT, {"ordType": "market", "px": None, "tgtCcy": "coins"}, "51000"),
    ],
)  # fmt: skip
async def test_what_an_order_may_not_be(rig: Rig, inst_id: str, changed: Any, code: str) -> None:
    answer = await rig.post("/trade/order", rig.item(inst_id, **changed))
    assert (answer["code"], answer["msg"]) == ("1", "All operations failed")
    [row] = answer["data"]
    assert (row["sCode"], row["ordId"]) == (code, "")
    assert row["sMsg"]
    assert not rig.exchange.orders


async def test_absent_empty_and_null_are_the_same(rig: Rig) -> None:
    body = rig.item() | {
        "clOrdId": "",
        "tag": "",
        "posSide": "",
        "attachAlgoOrds": None,
        "tgtCcy": "",
        "stpMode": "",
    }
    assert (await rig.post("/trade/order", body))["code"] == "0"


async def test_a_price_beyond_the_band_may_be_pulled_in(rig: Rig) -> None:
    row = await rig.place(px="70000", pxAmendType="1", sz="0.01", ordType="post_only", side="sell")
    assert row["sCode"] == "0"
    row = await rig.place(px="50000", pxAmendType="1", sz="0.01", ordType="post_only", side="sell")
    assert (await order(rig, row))["px"] == "57000"


async def test_client_ids_are_unique_among_pending_orders_alone(rig: Rig) -> None:
    assert (await rig.place(clOrdId="Same"))["sCode"] == "0"
    assert (await rig.place(SPOT, clOrdId="Same"))["sCode"] == "51016"
    assert (await rig.place(clOrdId="same"))["sCode"] == "0"
    assert (await rig.place(name="bob", clOrdId="Same"))["sCode"] == "0"
    await rig.post("/trade/cancel-order", {"instId": SWAP, "clOrdId": "Same"})
    assert (await rig.place(SPOT, clOrdId="Same"))["sCode"] == "0"


@pytest.mark.parametrize(
    ("changed", "state", "source"),
    [
        ({"ordType": "post_only", "px": "60000.1"}, "canceled", "31"),
        ({"ordType": "fok", "px": "60000.1", "sz": "11"}, "canceled", "13"),
        ({"ordType": "ioc", "px": "60000.1", "sz": "11"}, "canceled", "14"),
        ({"ordType": "fok", "px": "60000.1", "sz": "10"}, "filled", ""),
        ({"ordType": "market", "px": None, "sz": "0.5"}, "filled", ""),
        ({"ordType": "optimal_limit_ioc", "px": None, "sz": "0.5"}, "filled", ""),
    ],
)
async def test_orders_that_do_not_rest(rig: Rig, changed: Any, state: str, source: str) -> None:
    row = await rig.place(**changed)
    assert row["sCode"] == "0", "the acknowledgement promises nothing"
    shown = await order(rig, row)
    assert (shown["state"], shown["cancelSource"]) == (state, source)


async def test_own_orders_do_not_meet(rig: Rig) -> None:
    resting = await rig.place(px="60000", sz="1")
    taking = await rig.place(side="sell", px="60000", sz="1", stpMode="cancel_taker", ordType="ioc")
    assert (await order(rig, resting))["state"] == "live"
    shown = await order(rig, taking)
    assert (shown["state"], shown["cancelSource"]) == ("canceled", "32")
    await rig.place(side="sell", px="60000", sz="1")
    shown = await order(rig, resting)
    assert (shown["state"], shown["cancelSource"]) == ("canceled", "32")


async def test_money_to_spend_is_the_default_of_spot_market_buys(rig: Rig) -> None:
    spent = await order(rig, await rig.place(SPOT, ordType="market", px=None, sz="30.01"), SPOT)
    assert (spent["sz"], spent["state"]) == ("30.01", "filled")
    assert spent["accFillSz"] == "0.0005"
    base = await order(
        rig, await rig.place(SPOT, ordType="market", px=None, sz="0.0005", tgtCcy="base_ccy"), SPOT
    )
    assert (base["accFillSz"], base["tgtCcy"]) == ("0.0005", "base_ccy")
    assert base["feeCcy"] == "BTC"
    assert D(base["fee"]) == D("-0.0000005")


async def test_reduce_only_is_refused_rather_than_trimmed(rig: Rig) -> None:
    await rig.place(ordType="market", px=None, sz="2")
    closing: dict[str, Any] = {"side": "sell", "px": "60100", "reduceOnly": True}
    assert (await rig.place(**closing, sz="3"))["sCode"] == "51112"
    assert (await rig.place(reduceOnly=True, sz="1"))["sCode"] == "51169"
    assert (await rig.place(**closing, sz="2"))["sCode"] == "0"


async def test_a_batch_tells_each_fate(rig: Rig) -> None:
    items = [rig.item(clOrdId="b1"), rig.item(SPOT, clOrdId="b2", sz="20"), rig.item(clOrdId="b3")]
    answer = await rig.post("/trade/batch-orders", items)
    assert answer["code"] == "2"
    assert [row["sCode"] for row in answer["data"]] == ["0", "51008", "0"]
    assert [row["clOrdId"] for row in answer["data"]] == ["b1", "b2", "b3"]
    names = [{"instId": SWAP, "clOrdId": name} for name in ("b1", "b3")]
    answer = await rig.post("/trade/cancel-batch-orders", names)
    assert (answer["code"], [row["sCode"] for row in answer["data"]]) == ("0", ["0", "0"])
    answer = await rig.post("/trade/batch-orders", [rig.item(clOrdId="b1")])
    assert (answer["code"], len(answer["data"])) == ("0", 1)


@pytest.mark.parametrize("body", ["", "{", "[]", "7", '["x"]'])
async def test_bodies_that_are_none(rig: Rig, body: str) -> None:
    status, answer, _ = await rig.raw("POST", "/trade/batch-orders", body=body)
    assert (status, answer["code"]) == (400, "50000" if not body else "50002")


async def test_a_batch_holds_twenty(rig: Rig) -> None:
    answer = await rig.post("/trade/batch-orders", [rig.item()] * 21)
    assert (answer["code"], answer["data"]) == ("51000", [])
    assert not rig.exchange.orders


async def test_bodies_are_json_by_name(rig: Rig) -> None:
    headers = {"Content-Type": "text/plain"}
    status, answer, _ = await rig.raw("POST", "/trade/order", body="{}", headers=headers)
    assert (status, answer["code"]) == (400, "50006")


async def test_a_late_request_is_not_executed(rig: Rig) -> None:
    now = rig.clock.now_ms()
    assert (await rig.post("/trade/order", rig.item(), expTime=str(now - 1)))["code"] == "50036"
    assert (await rig.post("/trade/order", rig.item(), expTime="soon"))["code"] == "50036"
    assert not rig.exchange.orders
    assert (await rig.post("/trade/order", rig.item(), expTime=str(now + 5_000)))["code"] == "0"


async def test_a_halted_market(rig: Rig) -> None:
    row = await rig.place()
    rig.exchange.set_status(rig.market(), "HALTED")
    assert (await rig.place())["sCode"] == "51022"
    rig.exchange.set_status(rig.market(), "SETTLING")
    assert (await rig.place())["sCode"] == "51030"
    rig.exchange.set_status(rig.market(), "CANCEL_ONLY")
    answer = await rig.post("/trade/cancel-order", {"instId": SWAP, "ordId": row["ordId"]})
    assert answer["code"] == "0"


# -- amending


async def test_amending_keeps_the_ids(rig: Rig) -> None:
    row = await rig.place(clOrdId="c1", sz="2")
    body = {"instId": SWAP, "clOrdId": "c1", "reqId": "r1", "newPx": "58000.5", "newSz": "3"}
    [answer] = (await rig.post("/trade/amend-order", body))["data"]
    assert (answer["ordId"], answer["clOrdId"], answer["reqId"]) == (row["ordId"], "c1", "r1")
    shown = await order(rig, row)
    assert (shown["px"], shown["sz"], shown["state"]) == ("58000.5", "3", "live")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, "51500"), ({"newSz": "2"}, "51500"), ({"newSz": "2.005"}, "51121"), ({"newPx": "1.05"}, "51000"),
        ({"newPx": "64000"}, "51006"), ({"newPx": "60000.1"}, "51511"),
        ({"newPx": "58100", "reqId": "a-b"}, "51000"),
        ({"clOrdId": "nope", "newSz": "3"}, "51503"), ({"clOrdId": None, "newSz": "3"}, "50014"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cancels", [False, True])
async def test_what_an_amend_may_not_be(rig: Rig, changed: Any, code: str, cancels: bool) -> None:
    row = await rig.place(clOrdId="c1", sz="2", ordType="post_only")
    body = {"instId": SWAP, "clOrdId": "c1", "cxlOnFail": cancels} | changed
    [answer] = (await rig.post("/trade/amend-order", body))["data"]
    assert answer["sCode"] == code
    found = code not in ("51503", "50014") and "reqId" not in changed
    assert (await order(rig, row))["state"] == ("canceled" if cancels and found else "live")


async def test_a_total_below_what_is_filled_ends_the_order_as_filled(rig: Rig) -> None:
    row = await rig.place(px="60000", sz="3")
    rig.exchange.background_trade(rig.market(), "SELL", 200)
    assert (await order(rig, row))["state"] == "partially_filled"
    body = {"instId": SWAP, "ordId": row["ordId"], "newSz": "2"}
    assert (await rig.post("/trade/amend-order", body))["code"] == "0"
    shown = await order(rig, row)
    assert (shown["state"], shown["accFillSz"], shown["cancelSource"]) == ("filled", "2", "")
    assert (await rig.post("/trade/amend-order", body))["data"][0]["sCode"] == "51509"


# -- questions


async def test_instruments(rig: Rig) -> None:
    swap, spot = [
        (await rig.rows("/public/instruments", instType=kind, instId=name))[0]
        for kind, name in (("SWAP", SWAP), ("SPOT", SPOT))
    ]
    assert (swap["ctVal"], swap["ctMult"], swap["ctType"], swap["ctValCcy"]) == ("0.01", "1", "linear", "BTC")
    assert (swap["lotSz"], swap["minSz"], swap["maxLmtSz"], swap["tickSz"]) == (
        "0.01",
        "0.01",
        "10000",
        "0.1",
    )
    assert (swap["baseCcy"], swap["uly"], swap["settleCcy"]) == ("", "BTC-USDT", "USDT")
    assert isinstance(swap["instIdCode"], int)
    assert swap["instIdCode"] != spot["instIdCode"]
    assert (spot["lotSz"], spot["baseCcy"], spot["quoteCcy"], spot["ctVal"]) == (
        "0.000001",
        "BTC",
        "USDT",
        "",
    )
    assert swap["ruleType"] == spot["ruleType"] == "normal"
    assert await rig.rows("/public/instruments", instType="FUTURES") == []
    assert len(await rig.rows("/public/instruments", instType="SWAP", instFamily="ETH-USDT")) == 1
    assert await rig.rows("/account/instruments", "alice", instType="SWAP", instId=SWAP) == [swap]


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("/public/instruments", {}, "50014"), ("/public/instruments", {"instType": "spot"}, "51000"),
        ("/public/instruments", {"instType": "SPOT", "instId": "NOPE"}, "51001"),
        ("/market/ticker", {}, "50014"), ("/market/ticker", {"instId": "NOPE"}, "51001"),
        ("/market/books", {"instId": SWAP, "sz": "401"}, "51000"),
        ("/market/books", {"instId": SWAP, "sz": "x"}, "51000"),
        ("/market/trades", {"instId": SWAP, "limit": "501"}, "51000"),
        ("/public/funding-rate", {"instId": SPOT}, "51000"), ("/market/index-tickers", {}, "50014"),
        ("/public/open-interest", {}, "50014"), ("/public/position-tiers", {"instType": "SWAP"}, "50014"),
    ],
)  # fmt: skip
async def test_questions_that_make_no_sense(rig: Rig, path: str, params: Any, code: str) -> None:
    answer = await rig.get(path, **params)
    assert (answer["code"], answer["data"]) == (code, [])


async def test_unknown_paths_and_methods(rig: Rig) -> None:
    assert (await rig.raw("GET", "/public/nope", name=None))[0] == 404
    status, body, _ = await rig.raw("POST", "/public/time", body="{}", name=None)
    assert (status, body["code"]) == (405, "50115")


async def test_the_book_over_rest(rig: Rig) -> None:
    market = rig.market()
    market.set_background(market.bids, 600_000, 50)
    [book] = await rig.rows("/market/books", instId=SWAP, sz=2)
    assert book["bids"] == [["60000", "0.5", "0", "2"], ["59999.9", "10", "0", "7"]]
    assert book["seqId"] == market.published_id, "the book is closed before it is shown"
    assert "checksum" not in book
    assert len((await rig.rows("/market/books", instId=SWAP))[0]["asks"]) == 1
    [book] = await rig.rows("/market/books-full", instId=SWAP, sz=1)
    assert (book["bids"], "seqId" in book) == ([["60000", "0.5", "2"]], False)


async def test_prices_and_rates(rig: Rig) -> None:
    assert abs(int((await rig.rows("/public/time"))[0]["ts"]) - rig.clock.now_ms()) < 5_000
    for number in range(3):
        rig.exchange.settle_funding(rig.market(), 1_790_000_000_000 + number * 28_800_000)
    history = await rig.rows("/public/funding-rate-history", instId=SWAP, limit=2)
    assert [row["fundingTime"] for row in history] == ["1790057600000", "1790028800000"]
    [older] = await rig.rows("/public/funding-rate-history", instId=SWAP, after="1790028800000")
    assert (older["fundingTime"], older["realizedRate"]) == ("1790000000000", "0.0001")
    assert len(await rig.rows("/public/funding-rate", instId="ANY")) == 2
    [mark] = await rig.rows("/public/mark-price", instType="SWAP", instId=SWAP)
    assert mark["markPx"] == "60000"
    assert len(await rig.rows("/public/mark-price", instType="SWAP")) == 2
    assert len(await rig.rows("/public/open-interest", instType="SWAP")) == 2
    assert (await rig.rows("/public/price-limit", instId=SPOT))[0]["buyLmt"] == "63000"
    assert (await rig.rows("/market/index-tickers", instId="BTC-USDT"))[0]["idxPx"] == "60000"
    assert len(await rig.rows("/market/index-tickers", quoteCcy="USDT")) == 2
    assert len(await rig.rows("/market/tickers", instType="SPOT")) == 2
    assert (await rig.rows("/public/underlying", instType="SWAP")) == [["BTC-USDT", "ETH-USDT"]]
    [tier] = await rig.rows("/public/position-tiers", instType="SWAP", tdMode="cross", instFamily="BTC-USDT")
    assert tier["maxLever"] == "125"


async def test_pending_orders_in_pages(rig: Rig) -> None:
    placed = [await rig.place(px=f"5800{number}", ordType="post_only") for number in range(5)]
    await rig.place(SPOT)
    numbers = [row["ordId"] for row in placed][::-1]
    assert [row["ordId"] for row in await rig.rows("/trade/orders-pending", "alice", instId=SWAP)] == numbers
    pages, after = [], ""
    while rows := await rig.rows("/trade/orders-pending", "alice", instType="SWAP", limit=2, after=after):
        pages.append([row["ordId"] for row in rows])
        after = rows[-1]["ordId"]
    assert [len(part) for part in pages] == [2, 2, 1]
    assert [number for part in pages for number in part] == numbers
    newer = await rig.rows("/trade/orders-pending", "alice", instType="SWAP", before=numbers[2])
    assert [row["ordId"] for row in newer] == numbers[:2]
    assert len(await rig.rows("/trade/orders-pending", "alice", ordType="limit")) == 1
    assert await rig.rows("/trade/orders-pending", "alice", state="partially_filled") == []
    assert (await rig.get("/trade/orders-pending", "alice", limit="101"))["code"] == "51000"
    assert await rig.rows("/trade/orders-pending", "bob") == []


async def test_ended_orders_are_history_and_are_forgotten_without_a_fill(rig: Rig) -> None:
    filled = await rig.place(ordType="market", px=None)
    gone = await rig.place()
    await rig.post("/trade/cancel-order", {"instId": SWAP, "ordId": gone["ordId"]})
    rows = await rig.rows("/trade/orders-history", "alice", instType="SWAP")
    assert [row["ordId"] for row in rows] == [gone["ordId"], filled["ordId"]]
    assert (await rig.get("/trade/orders-history", "alice"))["code"] == "50014"
    for kept in rig.exchange.orders:
        kept.updated_ms -= 7_200_001
    rows = await rig.rows("/trade/orders-history-archive", "alice", instType="SWAP")
    assert [row["ordId"] for row in rows] == [filled["ordId"]]
    assert (await rig.get("/trade/order", "alice", instId=SWAP, ordId=gone["ordId"]))["code"] == "51603"


async def test_fills_in_pages(rig: Rig) -> None:
    row = await rig.place(ordType="market", px=None, sz="25")
    await rig.place(SPOT, ordType="market", px=None, sz="30")
    fills = await rig.rows("/trade/fills", "alice", instType="SWAP")
    assert [(fill["fillSz"], fill["fillPx"]) for fill in fills] == [
        ("5", "60000.3"), ("10", "60000.2"), ("10", "60000.1"),
    ]  # fmt: skip
    assert {fill["ordId"] for fill in fills} == {row["ordId"]}
    assert (fills[2]["execType"], fills[2]["feeCcy"], fills[2]["feeRate"]) == ("T", "USDT", "-0.0005")
    assert D(fills[2]["fee"]) == D("-0.1") * D("60000.1") * D("0.0005")
    newest = await rig.rows("/trade/fills", "alice", instType="SWAP", limit=1)
    rest = await rig.rows("/trade/fills-history", "alice", instType="SWAP", after=newest[0]["billId"])
    assert newest + rest == fills
    assert await rig.rows("/trade/fills", "alice", before=fills[0]["billId"], instId=SWAP) == []
    assert len(await rig.rows("/trade/fills", "alice", ordId=row["ordId"])) == 3
    assert await rig.rows("/trade/fills", "alice", end=int(fills[2]["ts"]) - 1) == []
    assert len(await rig.rows("/trade/fills", "alice", begin=fills[2]["ts"], instType="SPOT")) == 1
    assert (await rig.get("/trade/fills-history", "alice"))["code"] == "50014"


# -- account


async def test_account_configuration_and_modes(rig: Rig) -> None:
    [config] = await rig.rows("/account/config", "alice")
    assert (config["acctLv"], config["posMode"], config["uid"]) == ("2", "net_mode", "354937000")
    assert (await rig.post("/account/set-position-mode", {"posMode": "net_mode"}))["data"] == [
        {"posMode": "net_mode"}
    ]
    answer = await rig.post("/account/set-position-mode", {"posMode": "long_short_mode"})
    assert answer["code"] == "51010"
    [fee] = await rig.rows("/account/trade-fee", "alice", instType="SWAP", instFamily="BTC-USDT")
    assert (fee["feeGroup"][0]["maker"], fee["feeGroup"][0]["taker"]) == ("-0.0002", "-0.0005")


async def test_leverage(rig: Rig) -> None:
    body = {"instId": SWAP, "lever": "5", "mgnMode": "cross"}
    assert (await rig.post("/account/set-leverage", body))["code"] == "0"
    [row] = await rig.rows("/account/leverage-info", "alice", instId=SWAP, mgnMode="cross")
    assert row["lever"] == "5"
    assert (await rig.post("/account/set-leverage", body | {"lever": "126"}))["code"] == "59102"
    assert (await rig.post("/account/set-leverage", body | {"mgnMode": "isolated"}))["code"] == "51010"
    body |= {"lever": "1"}
    assert (await rig.post("/account/set-leverage", body))["data"][0]["lever"] == "1"
    row = await rig.place(sz="2000")
    assert (row["sCode"], row["sMsg"]) == ("51008", "Order failed. Insufficient USDT margin in account")
    [size] = await rig.rows("/account/max-size", "alice", instId=SWAP, tdMode="cross")
    assert D(size["maxBuy"]) == D(1_000_000) / 60_000 / D("0.01") // D("0.01") * D("0.01")


async def test_one_wallet_for_both_products(rig: Rig) -> None:
    await rig.place(SPOT, sz="1")
    await rig.place(sz="100")
    [account] = await rig.rows("/account/balance", "alice")
    details = {row["ccy"]: row for row in account["details"]}
    assert list(details) == ["USDT", "BTC"]
    usdt = details["USDT"]
    assert (usdt["cashBal"], usdt["ordFrozen"]) == ("1000000", "58000")
    # 100 contracts of 0.01 BTC at 58000, twenty times levered, are another 2900.
    assert D(usdt["availBal"]) == D(1_000_000) - 58_000 - 2_900
    assert D(account["totalEq"]) == 1_000_000 + 10 * 60_000
    [account] = await rig.rows("/account/balance", "alice", ccy="BTC,ETH")
    assert [row["ccy"] for row in account["details"]] == ["BTC"]


async def test_positions_know_their_fees_and_funding(rig: Rig) -> None:
    assert await rig.rows("/account/positions", "alice") == []
    await rig.place(ordType="market", px=None, sz="10", side="sell")
    [position] = await rig.rows("/account/positions", "alice", instType="SWAP")
    assert (position["pos"], position["avgPx"], position["posSide"]) == ("-10", "59999.9", "net")
    fee = -D("0.1") * D("59999.9") * D("0.0005")
    assert D(position["fee"]) == fee
    rig.exchange.settle_funding(rig.market(), rig.clock.now_ms())
    [position] = await rig.rows("/account/positions", "alice", instId=SWAP)
    paid = D("0.1") * 60_000 * D("0.0001")
    assert D(position["fundingFee"]) == paid
    assert D(position["realizedPnl"]) == fee + paid
    bills = await rig.rows("/account/bills", "alice", type="8")
    assert [(row["subType"], D(row["balChg"]), row["instId"]) for row in bills] == [("174", paid, SWAP)]
    assert len(await rig.rows("/account/bills", "alice")) == 2


async def test_closing_a_position(rig: Rig) -> None:
    body = {"instId": SWAP, "mgnMode": "cross"}
    assert (await rig.post("/trade/close-position", body))["code"] == "51023"
    await rig.place(ordType="market", px=None, sz="3")
    await rig.place(side="sell", px="61000")
    assert (await rig.post("/trade/close-position", body))["code"] == "51113"
    answer = await rig.post("/trade/close-position", body | {"autoCxl": True})
    assert answer["data"] == [{"instId": SWAP, "posSide": "net", "clOrdId": "", "tag": ""}]
    assert await rig.rows("/account/positions", "alice") == []
    assert await rig.rows("/trade/orders-pending", "alice") == []


async def test_cancel_all_after(rig: Rig) -> None:
    for wrong in ("9", "121", "x", "-1"):
        answer = await rig.post("/trade/cancel-all-after", {"timeOut": wrong})
        assert answer["code"] == "51000"
    tagged, other = await rig.place(tag="T1"), await rig.place(SPOT)
    [row] = (await rig.post("/trade/cancel-all-after", {"timeOut": "10", "tag": "T1"}))["data"]
    assert int(row["triggerTime"]) - int(row["ts"]) == 10
    assert (await rig.post("/trade/cancel-all-after", {"timeOut": 60}))["code"] == "0"
    rig.clock.offset_ms += 11_000
    await rig.settled(lambda: not rig.exchange.open_orders(rig.account(), "perp"))
    assert (await order(rig, tagged))["cancelSource"] == "20"
    assert (await order(rig, other, SPOT))["state"] == "live"
    [row] = (await rig.post("/trade/cancel-all-after", {"timeOut": "0"}))["data"]
    assert row["triggerTime"] == "0"
    rig.clock.offset_ms += 60_000
    await rig.place()
    assert (await order(rig, other, SPOT))["state"] == "live"
