"""The simulator's messages have the keys, order and types of the recorded and documented ones."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.sim.bitmart.frames import raw_deflate
from tests.sim.bitmart_rig import BOOKS, Rig
from tests.sim.loopback_rig import Message

# Shapes written down by hand from the venue's documentation: they hold without any recording.
SPOT_ORDER = (
    '{"orderId":"1","clientOrderId":"a","symbol":"BTC_USDT","side":"buy","orderMode":"spot","type":"limit",'
    '"state":"filled","cancelSource":"","stpMode":"none","price":"48800.00","priceAvg":"39999.00",'
    '"size":"0.10000","filledSize":"0.10000","notional":"4880.00000","filledNotional":"3999.90000",'
    '"createTime":1681701557927,"updateTime":1681701559408}'
)
SPOT_FILL = (
    '{"tradeId":"1","orderId":"1","clientOrderId":"1","symbol":"BTC_USDT","side":"buy","orderMode":"spot",'
    '"type":"limit","price":"39999.00","size":"0.10000","notional":"3999.90000000","fee":"9.99975000",'
    '"feeCoinName":"USDT","tradeRole":"taker","createTime":1681701559210,"updateTime":1681701559210}'
)
FUTURES_FILL = (
    '{"order_id":"220921197409432","trade_id":"1141853921","symbol":"BTCUSDT","side":1,"price":"19313.3",'
    '"vol":"108","exec_type":"Maker","profit":false,"realised_profit":"-0.00832","paid_fees":"0",'
    '"create_time":1663663818589}'
)
SPOT_DETAILS = (
    '{"symbol":"BTC_USDT","symbol_id":53,"base_currency":"BTC","quote_currency":"USDT",'
    '"base_min_size":"0.000010000000000000000000000000",'
    '"base_max_size":"100000000.000000000000000000000000000000","price_min_precision":-1,'
    '"price_max_precision":2,"quote_increment":"0.00001","expiration":"NA",'
    '"min_buy_amount":"5.000000000000000000000000000000",'
    '"min_sell_amount":"5.000000000000000000000000000000","trade_status":"trading"}'
)
FUTURES_DETAILS = (
    '{"symbol":"BTCUSDT","product_type":1,"open_timestamp":1594080000000,"expire_timestamp":0,'
    '"settle_timestamp":0,"base_currency":"BTC","quote_currency":"USDT","last_price":"67123.4",'
    '"volume_24h":"123456789","turnover_24h":"8234567890.12","index_price":"67120.5","index_name":"BTCUSDT",'
    '"contract_size":"0.001","min_leverage":"1","max_leverage":"100","price_precision":"0.1",'
    '"vol_precision":"1","max_volume":"1000000","market_max_volume":"50000","min_volume":"1",'
    '"funding_rate":"0.0001","expected_funding_rate":"0.0001","open_interest":"12345678",'
    '"open_interest_value":"823456789.12","high_24h":"68000.0","low_24h":"66500.0","change_24h":"0.015",'
    '"funding_interval_hours":8,"funding_time":1773158400000,"status":"Trading","delist_time":0}'
)
FUTURES_TRADE = (
    '{"trade_id":3000000389425121,"symbol":"BTCUSDT","deal_price":"78727.3","deal_vol":"310","way":2,"m":true,'
    '"created_at":"2025-03-10T18:17:14.656686827Z"}'
)
FUTURES_POSITION = (
    '{"symbol":"BTCUSDT","hold_volume":"2000","position_type":1,"open_type":1,"frozen_volume":"0",'
    '"close_volume":"0","hold_avg_price":"19406.2092","close_avg_price":"0","open_avg_price":"19406.2092",'
    '"liquidate_price":"15621.998406","create_time":1662692862255,"update_time":1662692862255,'
    '"position_mode":"hedge_mode"}'
)
BOOK_TICKER = (
    '{"data":{"symbol":"BTCUSDT","best_bid_price":"86657.9","best_bid_vol":"17485","best_ask_price":"86658",'
    '"best_ask_vol":"10847","ms_t":1790134291018},"group":"futures/bookticker:BTCUSDT"}'
)
FUNDING = (
    '{"data":{"symbol":"BTCUSDT","fundingRate":"0.000011900082","fundingTime":1790134290000,'
    '"nextFundingRate":"0.0000386","nextFundingTime":1790150400000,"funding_upper_limit":"0.0375",'
    '"funding_lower_limit":"-0.0375","ts":1790134290542},"group":"futures/fundingRate:BTCUSDT"}'
)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def shape(value: Any) -> Any:
    """Reduce a JSON value to its keys in order and its types; arrays to their first element."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return ["array", *([shape(value[0])] if value else [])]
    if isinstance(value, str):
        return "decimal" if re.fullmatch(r"[+-]?\d+(\.\d+)?", value) else "text"
    return type(value).__name__


def covers(ours: Any, real: Any, where: str) -> int:
    """Check that ours has every field of a documented message, with its type; return how many there were."""
    if isinstance(real, dict):
        assert isinstance(ours, dict), where
        missing = set(real) - set(ours)
        assert not missing, f"{where}: {sorted(missing)} missing"
        return sum(covers(ours[key], item, f"{where}.{key}") for key, item in real.items())
    if isinstance(real, list):
        assert isinstance(ours, list), where
        assert ours or not real, f"{where}: empty"
        return covers(ours[0], real[0], f"{where}[0]") if real else 1
    assert type(ours) is type(real), f"{where}: {real!r} here is {ours!r}"
    if isinstance(real, int) and real > 10**9 and not where.lower().endswith("id"):
        assert len(str(ours)) == len(str(real)) or not ours, f"{where}: {real} has another unit than {ours}"
    return 1


async def lives(rig: Rig) -> dict[str, str]:
    """Let alice trade on both products; return ids of an open and a filled order of each."""
    ids = {
        "spot_open": await rig.placed("spot", client_order_id="open1"),
        "spot_filled": await rig.placed("spot", price="60000.01"),
        "perp_open": await rig.placed("perp", client_order_id="open1"),
        "perp_filled": await rig.placed("perp", type="market", price=""),
    }
    return {name: str(number) for name, number in ids.items()}


async def test_rest_rows_are_the_documented_ones(rig: Rig) -> None:
    ids = await lives(rig)
    order = await rig.post("spot", "/spot/v4/query/order", {"orderId": ids["spot_open"]})
    assert shape(order["data"]) == shape(json.loads(SPOT_ORDER))
    fills = await rig.post("spot", "/spot/v4/query/trades", {})
    assert shape(fills["data"][0]) == shape(json.loads(SPOT_FILL))
    fills = await rig.get("perp", "/contract/private/trades", "alice", symbol="BTCUSDT")
    assert shape(fills["data"][0]) == shape(json.loads(FUTURES_FILL))
    details = await rig.get("spot", "/spot/v1/symbols/details")
    assert shape(details["data"]["symbols"][0]) == shape(json.loads(SPOT_DETAILS))
    details = await rig.get("perp", "/contract/public/details")
    assert shape(details["data"]["symbols"][0]) == shape(json.loads(FUTURES_DETAILS))
    assert {tuple(row) for row in details["data"]["symbols"]} <= {
        tuple(json.loads(FUTURES_DETAILS)), tuple(details["data"]["symbols"][-1]),
    }  # fmt: skip
    assert set(details["data"]["symbols"][-1]) == set(json.loads(FUTURES_DETAILS))


async def test_pushes_are_the_documented_ones(rig: Rig) -> None:
    private = await rig.private("perp", "futures/position")
    topics = {
        f"futures/{kind}:BTCUSDT": real
        for kind, real in (("bookticker", BOOK_TICKER), ("fundingRate", FUNDING))
    }
    for topic, real in topics.items():
        socket = await rig.listening("perp", topic)
        await socket.push(topic)
        assert shape(socket.seen[-1]) == shape(json.loads(real))
    trades = await rig.listening("perp", "futures/trade:BTCUSDT")
    await rig.placed("perp", type="market", price="")
    assert shape((await trades.push("futures/trade:BTCUSDT"))[0]) == shape(json.loads(FUTURES_TRADE))
    (row,) = await private.push("futures/position")
    assert shape(row) == shape(json.loads(FUTURES_POSITION))


async def test_futures_frames_look_like_the_recorded_ones(rig: Rig, shared_fixtures: Path) -> None:
    file = shared_fixtures / "bitmart" / "captured_2026-09-23" / "futures_ws.jsonl"
    socket = await rig.socket("perp")
    compared = 0
    for line in file.read_text().splitlines():
        real = json.loads(line)
        if "request" in real:
            topic = real["request"]["args"][0]
            assert shape(await socket.ask("subscribe", topic)) == shape(real)
        elif real.get("group") == "System":
            await socket.send({"action": "ping"})
            assert shape(await socket.until(lambda each: each.get("group") == "System")) == shape(real)
        elif real.get("group") == "futures/ticker":
            await socket.ask("subscribe", "futures/ticker")
            await socket.push("futures/ticker")
            assert shape(socket.seen[-1]) == shape(real)
        elif "group" in real:
            topic, kind = BOOKS["perp"], real["data"]["type"]
            books = await rig.listening("perp", topic)
            await books.push(topic, lambda data, kind=kind: data["type"] == kind)  # type: ignore[misc]
            assert shape(books.seen[-1]) == shape(real)
        else:
            continue  # what the client had sent
        compared += 1
    assert compared == 6


def documented(shared: Path) -> list[tuple[str, str, Message]]:
    text = (shared / "bitmart" / "official_doc_ws_samples" / "samples.tsv").read_text()
    rows = [line.split("\t") for line in text.splitlines()]
    return [(family, section, json.loads(sample)) for family, section, sample in rows]


async def test_pushes_look_like_the_venues_samples(rig: Rig, shared_fixtures: Path) -> None:
    """Samples of pushes, compared by the channel that they name; ours may say more."""
    spot = await rig.private("spot", "spot/user/order:BTC_USDT")
    perp = await rig.private("perp", "futures/order", "futures/asset:USDT")
    await lives(rig)
    compared = 0
    for family, section, real in documented(shared_fixtures):
        channel = real.get("table") or real.get("group") or ""
        if not real.get("data") or "action" in real:
            continue
        if section == "Order Progress":
            await spot.push("spot/user/order:BTC_USDT", lambda row: row["last_fill_count"] != "0")
            ours = spot.seen[-1]
        elif channel.startswith("futures/order"):
            await perp.push("futures/order", lambda rows: rows[0]["order"]["last_trade"])
            ours = perp.seen[-1]
        elif channel.startswith("futures/asset"):
            await perp.push("futures/asset:USDT")
            ours = perp.seen[-1]
        else:
            product = family.replace("futures", "perp")
            suffix = ":BTC_USDT" if product == "spot" and ":" not in channel else ""
            socket = await rig.listening(product, channel + suffix)
            kind = (real["data"][0] if product == "spot" else real["data"]).get("type")
            if kind == "update":
                market = rig.market(product)
                market.set_background(market.asks, (market.asks.best or 0) + 5, 7)
            await socket.push(channel, lambda data, kind=kind: data.get("type") == kind)  # type: ignore[misc]
            ours = socket.seen[-1]
        if channel.endswith("BTC"):
            real["group"] = ours["group"]
        rows = (
            (ours["data"], real["data"])
            if isinstance(real["data"], dict)
            else (ours["data"][0], real["data"][0])
        )
        if rows[1].get("type") == "update":
            for side in ("asks", "bids"):
                rows[1][side] = rows[0][side] and rows[1][side]
        assert list(ours) == list(real) or set(ours) == set(real), section
        assert covers(rows[0], rows[1], f"{family} {section}") > 3
        compared += 1
    assert compared >= 8


async def test_replies_look_like_the_clients_samples(rig: Rig, shared_fixtures: Path) -> None:
    """Replies that another client library's tests hold, as documented; ours may say more."""
    ids = await lives(rig)
    folder = shared_fixtures / "bitmart" / "client_samples_bitmart_net" / "Endpoints"
    symbol: dict[str, Any] = {"symbol": "BTCUSDT"}
    spot, order = {"symbol": "BTC_USDT"}, {"symbol": "BTCUSDT", "order_id": ids["perp_open"]}
    params: dict[str, dict[str, Any]] = {
        "/spot/v4/query/order": {"orderId": ids["spot_filled"], "queryState": "history"},
        "/spot/v2/submit_order": {**spot, "side": "buy", "type": "limit", "size": "0.01", "price": "50000"},
        "/spot/v4/batch_orders": {
            **spot, "orderParams": [{"side": "buy", "type": "limit", "size": "0.01", "price": "50000"}],
        },
        "/spot/v3/cancel_order": {**spot, "order_id": ids["spot_open"]},
        "/contract/private/submit-order": {
            **symbol, "side": 1, "type": "market", "size": 10, "open_type": "cross",
        },
        "/contract/private/modify-limit-order": {**order, "price": "50001"},
        "/contract/private/cancel-all-after": {**symbol, "timeout": 60},
        "/contract/private/submit-leverage": {**symbol, "leverage": "5", "open_type": "cross"},
        "/contract/private/order": order, "/contract/private/cancel-order": order,
    }  # fmt: skip
    late = ("CancelOrder.txt", "SetLeverage.txt")
    compared = fields = 0
    files = sorted(folder.rglob("*.txt"), key=lambda file: file.name in late)
    for file in files:
        method, path, _, body = file.read_text().split("\n", 3)
        real = json.loads(body)
        product = "perp" if "UsdFutures" in str(file) else "spot"
        sent = params.get(path, symbol if product == "perp" else spot)
        if method == "GET":
            ours = await rig.get(product, path, "alice", **sent)
        else:
            ours = await rig.post(product, path, sent)
        assert ours["code"] == 1000, (file.name, ours)
        for optional in ("preset_take_profit_price_type", "preset_stop_loss_price_type",
                         "preset_take_profit_price", "preset_stop_loss_price"):  # fmt: skip
            if isinstance(real["data"], list) and real["data"]:
                real["data"][0].pop(optional, None)  # of orders that were placed with them
        if file.name == "GetContracts.txt":
            real["data"]["symbols"][0]["open_timestamp"] *= 1000  # seconds in old samples
        fields += covers(ours, real, file.name)
        compared += 1
    assert compared == 23
    assert fields > 200


def test_deflate_streams_say_what_the_vectors_say(shared_fixtures: Path) -> None:
    lines = (shared_fixtures / "bitmart" / "deflate_vectors.jsonl").read_text().splitlines()
    for line in lines:
        vector = json.loads(line)
        ours, theirs = raw_deflate(vector["text"].encode()), bytes.fromhex(vector["raw_deflate_hex"])
        for stream in (ours, theirs):
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            assert inflate.decompress(stream).decode() == vector["text"]
            assert inflate.eof
    assert len(lines) == 3
