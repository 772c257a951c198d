"""The simulator's messages have the keys, types and number formats of documented and of recorded ones."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.sim.config import load
from engine.sim.okx.options import Options
from tests.sim.okx_rig import SPOT, SWAP, Rig

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]
SPECS = load(ROOT / "config" / "sim.toml", ["okx"]).specs["okx"]
ORDERS = {"channel": "orders", "instType": "ANY"}

# Written down by hand from the venue's documentation: they hold without any recording.
BALANCE_AND_POSITION = {
    "balData": [{"cashBal": "200.51371", "ccy": "USDT", "uTime": "1724742632153"}], "eventType": "filled",
    "pTime": "1724742632160",
    "posData": [
        {
            "avgPx": "62961.4", "ccy": "USDT", "instId": SWAP, "instType": "SWAP", "mgnMode": "cross",
            "nonSettleAvgPx": "", "pos": "-1", "posCcy": "", "posId": "1752810569801498626", "posSide": "net",
            "settledPnl": "", "tradeId": "785524470", "uTime": "1724742632153",
        }
    ],
    "trades": [{"instId": SWAP, "tradeId": "785524470"}],
}  # fmt: skip
BILL = {
    "bal": "8694.21", "balChg": "0.02", "billId": "623950854533513219", "ccy": "USDT", "clOrdId": "",
    "execType": "T", "fee": "-0.00002", "fillFwdPx": "", "fillIdxPx": "27104.1", "fillMarkPx": "",
    "fillMarkVol": "", "fillPxUsd": "", "fillPxVol": "", "fillTime": "1695033476166", "from": "",
    "instId": SPOT, "instType": "SPOT", "interest": "0", "mgnMode": "isolated", "notes": "",
    "ordId": "623950854525124608", "pnl": "0", "posBal": "0", "posBalChg": "0", "px": "27105.9",
    "subType": "1", "sz": "0.021955779", "tag": "", "to": "", "tradeId": "586760148", "ts": "1695033476167",
    "type": "2",
}  # fmt: skip
FEE = {
    "category": "1", "delivery": "", "exercise": "",
    "feeGroup": [{"elpMaker": "", "rpiMaker": "", "groupId": "4", "maker": "-0.0002", "taker": "-0.0005"}],
    "fiat": [], "instType": "SWAP", "level": "Lv1", "maker": "", "makerU": "-0.0002", "makerUSDC": "",
    "ruleType": "normal", "taker": "", "takerU": "-0.0005", "takerUSDC": "", "ts": "1763979985847",
}  # fmt: skip
CANCEL_ALL_AFTER = {"triggerTime": "1587971460", "tag": "", "ts": "1587971400"}
HISTORY = {
    "formulaType": "withRate", "fundingRate": "0.0001", "fundingTime": "1765180800000", "instId": SWAP,
    "instType": "SWAP", "method": "current_period", "realizedRate": "0.0000697725497564",
}  # fmt: skip


def formats(text: str) -> set[str]:
    """Return which of the venue's formats a text has: digits without a tail of zeros, 16 decimals, words."""
    if re.fullmatch(r"-?\d*\.?\d+", text) is None:
        return {"words"}
    found = set()
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?", text):
        found.add("number")
    if re.fullmatch(r"-?\d+\.\d{16}", text):
        found.add("16 decimals")
    return found


def differences(ours: Any, real: Any, exact: bool = False, at: str = "") -> list[str]:
    """Return where a message of ours is not like a real one.

    Every key of the real one is there, values have the same type, and texts the same format unless one of
    them is empty. ``exact`` ones have no other keys, and the same order. ``connId`` is any text.
    """
    if type(ours) is not type(real):
        return [f"{at}: {type(ours).__name__}, not {type(real).__name__}"]
    if isinstance(real, dict):
        missing = [f"{at}.{key} is missing" for key in real if key not in ours]
        if exact and list(ours) != list(real):
            missing.append(f"{at}: keys {list(ours)}, not {list(real)}")
        for key in (key for key in real if key in ours):
            missing += differences(ours[key], real[key], exact, f"{at}.{key}")
        return missing
    if isinstance(real, list):
        return differences(ours[0], real[0], exact, f"{at}[0]") if ours and real else []
    if isinstance(real, str) and ours and real and not at.endswith(".connId"):
        return [] if formats(ours) & formats(real) else [f"{at}: {ours!r} is not like {real!r}"]
    return []


def own(name: str) -> Any:
    """Return one of this folder's samples."""
    return json.loads((FOLDER / name).read_text())


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(Options(connects_per_s=1_000), specs=SPECS) as running:
        yield running


def near(rig: Rig, inst_id: str = SWAP, percent: int = 98) -> str:
    """Return a price below the best bid."""
    market = rig.market(inst_id)
    best = market.bids.best
    assert best is not None
    return f"{market.price(best * percent // 100):f}"


async def first(rig: Rig, channel: str, inst_id: str, action: str | None = None) -> Any:
    """Return a push of a public channel, provoking one where it starts with a change."""
    socket = await rig.listening(channel, inst_id)
    if channel == "trades":
        rig.exchange.background_trade(rig.market(inst_id), "SELL", 3)
    if action == "update":
        rig.shake(inst_id, 3)
    return await socket.until(
        lambda each: (
            each.get("arg", {}).get("channel") == channel
            and "data" in each
            and each.get("action") in (None, action or each.get("action"))
        )
    )


# -- this folder's samples -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "channel", "inst_id"),
    [
        ("ws_bbo_spot.json", "bbo-tbt", SPOT), ("ws_trades_perp.json", "trades", SWAP),
        ("ws_funding_rate.json", "funding-rate", SWAP), ("ws_mark_price.json", "mark-price", SWAP),
        ("ws_open_interest.json", "open-interest", SWAP),
    ],
)  # fmt: skip
async def test_public_channels(rig: Rig, name: str, channel: str, inst_id: str) -> None:
    assert differences(await first(rig, channel, inst_id), own(name), exact=True) == []


async def test_events(rig: Rig) -> None:
    socket = await rig.socket()
    refused = await socket.ask("subscribe", {"channel": "index-tickers", "instId": "NEAR-USDT-SWAP"})
    real = own("ws_error.json")
    assert (refused["msg"], set(refused)) == (real["msg"], set(real))
    private = await rig.socket("private")
    assert differences(await private.login(), own("ws_login.json")) == []
    stranger = await rig.socket("private")
    refused, real = await stranger.login(apiKey="nobody"), own("ws_login_refused.json")
    assert (refused["msg"], refused["code"], set(refused)) == (real["msg"], real["code"], set(real))
    rig.faults.arm("server_shutdown", venue="okx")
    notice, real = await socket.until(lambda each: each.get("event") == "notice"), own("ws_notice.json")
    assert (notice["msg"], notice["code"], set(notice)) == (real["msg"], real["code"], set(real))


async def test_rest_answers(rig: Rig) -> None:
    assert differences(await rig.get("/public/time"), own("http_time.json"), exact=True) == []
    book = await rig.get("/market/books", instId=SWAP, sz=5)
    assert differences(book, own("http_books_perp.json"), exact=True) == []
    for name, kind, inst_id in (
        ("http_instruments_perp.json", "SWAP", SWAP), ("http_instruments_spot.json", "SPOT", SPOT),
    ):  # fmt: skip
        ours = await rig.get("/public/instruments", instType=kind, instId=inst_id)
        real = own(name)
        for row in real["data"]:  # these three are written with a tail of zeros
            assert {row.pop(key)[-2:] for key in ("maxIcebergSz", "maxTriggerSz", "maxTwapSz")} <= {
                "00",
                "99",
            }
        assert differences(ours, {**real, "data": real["data"][:1]}) == []


async def test_order_answers_and_questions(rig: Rig) -> None:
    placed = await rig.post("/trade/order", rig.item(px=near(rig), sz="2", clOrdId="a1"))
    assert differences(placed, own("http_place.json"), exact=True) == []
    ours = await rig.get("/trade/order", "alice", instId=SWAP, clOrdId="a1")
    assert differences(ours, own("http_order_live.json")) == []
    assert differences(await rig.get("/trade/orders-pending", "alice"), own("http_orders_pending.json")) == []
    body = {"instId": SWAP, "clOrdId": "a1", "newSz": "3"}
    assert differences(await rig.post("/trade/amend-order", body), own("http_amend.json")) == []
    order = rig.exchange.orders[-1]
    rig.exchange.fill_resting(order, 5)
    ours = await rig.get("/trade/order", "alice", instId=SWAP, clOrdId="a1")
    assert differences(ours, own("http_order_part.json")) == []
    ours = await rig.post("/trade/cancel-order", {"instId": SWAP, "clOrdId": "a1"})
    assert differences(ours, own("http_cancel.json")) == []
    assert differences(await rig.get("/trade/fills", "alice"), own("http_fills_perp.json")) == []
    refused = await rig.post("/trade/order", rig.item(px=near(rig), sz="999999", clOrdId="a1"))
    assert differences(refused, own("http_place_refused.json")) == []
    unknown = await rig.get("/trade/order", "alice", instId=SWAP, clOrdId="nope")
    assert unknown == own("http_order_unknown.json")


async def test_order_entry_over_the_socket(rig: Rig) -> None:
    socket = await rig.private()
    item = rig.coded(px=near(rig), clOrdId="a2")
    assert differences(await socket.order("order", item), own("wsapi_place.json"), exact=True) == []
    assert differences(await socket.order("order", item), own("wsapi_refused.json")) == []
    invalid, real = await socket.order("order"), own("wsapi_invalid.json")
    assert (invalid["code"], invalid["msg"], invalid["data"]) == (real["code"], real["msg"], [])
    assert differences(invalid, real) == []


async def test_account_questions(rig: Rig) -> None:
    await rig.place(ordType="market", px=None, sz="2")
    for name, path in (
        ("http_account_config.json", "/account/config"), ("http_balance.json", "/account/balance"),
        ("http_positions.json", "/account/positions"),
    ):  # fmt: skip
        assert differences(await rig.get(path, "alice"), own(name)) == []
    [fee] = await rig.rows("/account/trade-fee", "alice", instType="SWAP", instFamily="BTC-USDT")
    assert differences(fee, FEE) == []
    assert set(fee) == set(FEE)
    bill = (await rig.rows("/account/bills", "alice"))[0]
    assert differences(bill, BILL) == []
    assert set(bill) == set(BILL)
    armed = await rig.post("/trade/cancel-all-after", {"timeOut": "60"})
    assert differences(armed["data"][0], CANCEL_ALL_AFTER, exact=True) == []
    assert {len(armed["data"][0][key]) for key in ("triggerTime", "ts")} == {10}, "seconds"
    rig.exchange.settle_funding(rig.market(), rig.clock.now_ms())
    [row] = await rig.rows("/public/funding-rate-history", instId=SWAP)
    assert differences(row, HISTORY, exact=True) == []


async def test_private_pushes(rig: Rig) -> None:
    socket = await rig.private(
        ORDERS, {"channel": "account"}, {"channel": "positions", "instType": "SWAP"},
        {"channel": "balance_and_position"},
    )  # fmt: skip
    assert differences(await socket.push("account"), own("user_account.json")) == []
    assert differences(await socket.push("positions"), own("user_positions_closed.json")) == []
    await rig.place(px=near(rig), sz="2", clOrdId="a1")
    assert differences(await socket.push("orders"), own("user_order_live.json")) == []
    body = {"instId": SWAP, "clOrdId": "a1", "newSz": "3", "reqId": "r1"}
    await rig.post("/trade/amend-order", body)
    assert differences(await socket.push("orders"), own("user_order_amended.json")) == []
    rig.exchange.fill_resting(rig.exchange.orders[-1], 5)
    assert differences(await socket.push("orders"), own("user_order_fill.json")) == []
    await rig.post("/trade/cancel-order", {"instId": SWAP, "clOrdId": "a1"})
    assert differences(await socket.push("orders"), own("user_order_cancelled.json")) == []
    await rig.place(px=near(rig, percent=104), ordType="post_only")
    ours, real = await socket.push("orders"), own("user_order_post_only.json")
    assert ours["data"][0]["cancelSource"] == real["data"][0]["cancelSource"]
    assert differences(ours, real) == []
    assert differences(await socket.push("positions"), own("user_positions.json")) == []
    push = await socket.push("balance_and_position", lambda row: row["eventType"] == "filled")
    assert differences(push["data"][0], BALANCE_AND_POSITION) == []


# -- recorded messages -----------------------------------------------------------------------------


def recorded(shared: Path, name: str) -> Any:
    return json.loads((shared / "okx" / name).read_text())


@pytest.mark.parametrize(
    ("name", "channel", "inst_id", "action", "exact"),
    [
        ("frames_roq/bbo_tbt.simple.json", "bbo-tbt", SPOT, None, True),
        ("frames_roq/books_l2_tbt.books_snapshot.json", "books", SPOT, "snapshot", True),
        ("frames_roq/books_l2_tbt.books_update.json", "books", SPOT, "update", True),
        ("frames_roq/funding_rate.simple.json", "funding-rate", SWAP, None, True),
        ("frames_roq/trades.json_trades_parser.json", "trades", SWAP, None, True),
        # of 2022: newer keys are absent, and volumes stood elsewhere
        ("frames_crypto_msg_parser/ticker.spot.json", "tickers", SPOT, None, False),
        ("frames_crypto_msg_parser/ticker.linear_swap.json", "tickers", SWAP, None, False),
        ("frames_crypto_msg_parser/l2_topk.spot.json", "books5", SPOT, None, False),
        ("frames_crypto_msg_parser/trade.linear_swap.json", "trades", SWAP, None, False),
    ],
)  # fmt: skip
async def test_recorded_public_frames(
    rig: Rig, shared_fixtures: Path, name: str, channel: str, inst_id: str, action: str | None, exact: bool
) -> None:
    real = recorded(shared_fixtures, name)
    assert differences(await first(rig, channel, inst_id, action), real, exact) == []


async def test_recorded_rows_of_a_book(rig: Rig, shared_fixtures: Path) -> None:
    lines = (shared_fixtures / "okx" / "recordings" / "2022-05-13_BTC-USDT.ws.txt").read_text().splitlines()
    frames = [json.loads(line.partition(": ")[2]) for line in lines if '"action":' in line]
    rows = [row for frame in frames for row in frame["data"][0]["bids"]]
    ours = (await first(rig, "books", SPOT, "snapshot"))["data"][0]["bids"]
    for found in (rows, ours):
        assert {len(row) for row in found} == {4}
        assert {row[2] for row in found} == {"0"}
        assert all("number" in formats(text) for row in found for text in row)
    assert {(row[1] == "0") == (row[3] == "0") for row in rows} == {True}


async def test_recorded_instruments(rig: Rig, shared_fixtures: Path) -> None:
    real = recorded(shared_fixtures, "frames_roq/instruments_ack.simple.json")["data"][0]
    [ours] = await rig.rows("/public/instruments", instType="SPOT", instId=SPOT)
    known = [key for key in ours if key in real]
    assert known == list(real), "the venue writes them in the order of the alphabet"
    for key in ("maxIcebergSz", "maxTriggerSz", "maxTwapSz"):
        assert real.pop(key).endswith(".0000000000000000")
    assert differences(ours, real) == []


async def test_recorded_private_messages(rig: Rig, shared_fixtures: Path) -> None:
    socket = await rig.private(ORDERS, {"channel": "account"})
    told = await socket.until(lambda each: each.get("event") == "channel-conn-count")
    real = recorded(shared_fixtures, "frames_roq/channel_conn_count.simple.json")
    assert list(told) == list(real)
    await rig.place(SPOT, px=near(rig, SPOT), sz="0.0001", clOrdId="X1")
    ours = (await socket.push("orders"))["data"][0]
    real = recorded(shared_fixtures, "frames_roq/orders.simple_2.json")["data"][0]
    assert differences(ours, real) == []
    assert [key for key in ours if key in real] == list(real)
    account = (await socket.push("account"))["data"][0]
    for name in ("frames_roq/account.simple.json", "frames_nautilus/ws_account.json"):
        real = recorded(shared_fixtures, name)["data"][0]
        assert differences(account, real) == []
        assert [key for key in account["details"][0] if key in real["details"][0]] == list(real["details"][0])
    await rig.place(SPOT, px=near(rig, SPOT), sz="0.0001", clOrdId="abcABC125")
    refused = await rig.post("/trade/order", rig.item(px=near(rig), clOrdId="abcABC125"))
    real = recorded(shared_fixtures, "frames_roq/order.failure.json")["data"][0]
    assert {key: refused["data"][0][key] for key in real} == real


async def test_recorded_events(rig: Rig, shared_fixtures: Path) -> None:
    socket = await rig.socket()
    real = recorded(shared_fixtures, "frames_roq/subscribe.books.json")
    ours = await socket.ask("subscribe", {"channel": "books", "instId": SPOT})
    assert differences(ours, real, exact=True) == []
    refused = await socket.ask("subscribe", {"channel": "index-tickers", "instId": "NEAR-USDT-SWAP"})
    real = recorded(shared_fixtures, "frames_roq/error.subscription.json")
    assert {**refused, "connId": ""} == {**real, "connId": ""}
    await socket.ask("subscribe", {"channel": "status"})
    real = recorded(shared_fixtures, "frames_roq/status.simple.json")
    assert differences(await socket.push("status"), real, exact=True) == []


@pytest.mark.parametrize(
    ("ours", "real", "count"),
    [
        ({"a": "1.5"}, {"a": "2"}, 0), ({"a": ""}, {"a": "2"}, 0), ({"a": "1.50"}, {"a": "2.5"}, 1),
        ({"a": 1}, {"a": "1"}, 1), ({}, {"a": "1"}, 1), ({"a": "x"}, {"a": "1"}, 1),
        ({"a": [{"b": 1}]}, {"a": [{"b": "1"}]}, 1), ({"a": True}, {"a": 1}, 1),
        ({"a": "1", "b": "2"}, {"a": "1"}, 0), ({"a": "0.1000000000000000"}, {"a": "0.1"}, 1),
    ],
)  # fmt: skip
def test_differences_are_seen(ours: Any, real: Any, count: int) -> None:
    assert len(differences(ours, real)) == count
    assert bool(differences({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, exact=True))
