"""The simulator's frames have the keys, order, types and number formats of the real ones."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.sim.config import load
from tests.sim.binance_rig import KEYS, Frames, Rig

ROOT = Path(__file__).resolve().parents[3]
SPECS = load(ROOT / "config" / "sim.toml", ["binance"]).specs["binance"]

# Shapes written down by hand from the venue's documentation: they hold without any recording.
SPOT_FULL = (
    '{"symbol":"BTCUSDT","orderId":28,"orderListId":-1,"clientOrderId":"a","transactTime":1,"price":"0.10000000",'
    '"origQty":"1.00000000","executedQty":"1.00000000","origQuoteOrderQty":"0.00000000",'
    '"cummulativeQuoteQty":"1.00000000","status":"FILLED","timeInForce":"GTC","type":"LIMIT","side":"BUY",'
    '"workingTime":1,"fills":[{"price":"4000.00000000","qty":"1.00000000","commission":"4.00000000",'
    '"commissionAsset":"USDT","tradeId":56}],"selfTradePreventionMode":"NONE"}'
)
PERP_ORDER = (
    '{"orderId":22542179,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"t","price":"65000.10","avgPrice":"0.00",'
    '"origQty":"0.010","executedQty":"0.000","cumQty":"0.000","cumQuote":"0.00000","timeInForce":"GTC",'
    '"type":"LIMIT","reduceOnly":false,"closePosition":false,"side":"BUY","positionSide":"BOTH",'
    '"stopPrice":"0.00","workingType":"CONTRACT_PRICE","priceProtect":false,"origType":"LIMIT",'
    '"priceMatch":"NONE","selfTradePreventionMode":"EXPIRE_MAKER","goodTillDate":0,"updateTime":1702555534435}'
)
ACCOUNT_UPDATE = (
    '{"e":"ACCOUNT_UPDATE","T":1,"E":1,"a":{"B":[{"a":"USDT","wb":"1.73744723","cw":"1.73744723","bc":"0"}],'
    '"P":[{"s":"SOLUSDT","pa":"0.1","ep":"80.19","cr":"26.83159999","up":"0","mt":"cross","iw":"0","ps":"BOTH",'
    '"ma":"USDT","bep":"80.230095"}],"m":"ORDER"}}'
)


def number_format(text: str) -> str:
    """Describe a decimal text: fixed with its decimals, or trimmed of trailing zeros."""
    if "." not in text:
        return "integer"
    return f"{len(text.split('.')[1])} decimals"


def shape(value: Any, formats: bool = True) -> Any:
    """Reduce a JSON value to its keys in order, types and number formats; arrays to their first element."""
    if isinstance(value, dict):
        return [(key, shape(item, formats)) for key, item in value.items()]
    if isinstance(value, list):
        return ["array", shape(value[0], formats)] if value else ["array"]
    if isinstance(value, str):
        if re.fullmatch(r"-?\d+(\.\d+)?", value):
            return number_format(value) if formats else "decimal"
        return "text"
    return type(value).__name__


def pairs_filled(frame: dict[str, Any]) -> bool:
    data = frame.get("data", frame)
    return bool(data.get("b")) and bool(data.get("a")) if data.get("e") == "depthUpdate" else True


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(specs=SPECS, flow_rate=400) as running:
        yield running


def recorded(shared: Path, name: str) -> list[Any]:
    return [json.loads(line) for line in (shared / "binance" / name).read_text().splitlines() if line]


async def first(stream: Frames, name: str) -> Any:
    return await stream.until(lambda frame: frame.get("stream") == name and pairs_filled(frame))


async def test_market_streams_look_like_the_recorded_frames(rig: Rig, shared_fixtures: Path) -> None:
    """Testnet lots are finer than production's, so quantities of diffs are compared as decimals only."""
    routes = {"bookTicker": "public", "trade": "public", "aggTrade": "market", "markPrice@1s": "market"}
    compared = 0
    for real in recorded(shared_fixtures, "ws_frames_2026.jsonl"):
        name, data = real["stream"], real["data"]
        if not pairs_filled(real) and data["b"] != data["a"]:
            data["b"] = data["a"] = data["b"] or data["a"]
        is_perp = "st" in data
        kind = name.split("@", 1)[1]
        path = "/stream" if not is_perp else f"/{routes.get(kind, 'public')}/stream"
        async with rig.stream("perp" if is_perp else "spot", f"{path}?streams={name}") as stream:
            ours = (await first(stream, name))["data"]
        exact = not (is_perp and kind == "depth@100ms")
        assert shape(ours, exact) == shape(data, exact), name
        compared += 1
    assert compared == 14


async def test_private_events_look_like_the_recorded_ones(rig: Rig, shared_fixtures: Path) -> None:
    report, lite, update = recorded(shared_fixtures, "user_data_real.jsonl")
    async with rig.api("spot") as api:
        await api.call("userDataStream.subscribe.signature", "alice")
        best = rig.market("spot", "BNBUSDT").bids.best
        assert best is not None
        price = rig.market("spot", "BNBUSDT").price(best - 500)
        await rig.order("spot", symbol="BNBUSDT", quantity="0.1", price=f"{price:f}")
        ours = await api.event("executionReport")
        assert (ours["x"], ours["X"]) == ("NEW", "NEW")
        assert shape(ours) == shape(report)
    reply = await rig.raw("perp", "POST", "/fapi/v1/listenKey", key=KEYS["alice"])
    async with rig.stream("perp", f"/private/ws?listenKey={reply.body['listenKey']}") as stream:
        await rig.order("perp", symbol="SOLUSDT", type="MARKET", timeInForce=None, quantity="0.5")
        ours_lite = await stream.next()
        ours_update = await stream.next()
        while (account := await stream.next())["e"] != "ACCOUNT_UPDATE":
            pass
    spec = rig.market("perp", "SOLUSDT").spec
    assert shape(ours_lite, False) == shape(lite, False)
    assert number_format(ours_lite["L"]) == f"{spec.price_decimals} decimals"
    assert shape(ours_update) == shape(update)
    assert shape(account, False) == shape(json.loads(ACCOUNT_UPDATE), False)


async def test_rest_answers_look_like_the_recorded_ones(rig: Rig, shared_fixtures: Path) -> None:
    market = rig.market("perp", "BTCUSDT")
    for moment in (1, 2):
        rig.exchange.settle_funding(market, rig.clock.now_ms() + moment)
    async with rig.stream("perp", "/public/ws/btcusdt@trade") as stream:
        await stream.next()
        await stream.next()
    compared = 0
    for line in (shared_fixtures / "binance" / "rest_usdm_20260915.txt").read_text().splitlines():
        request, _, answer = line.partition(" -> ")
        status, _, body = answer.partition(" ")
        method, _, target = request.partition(" ")
        path, _, query = target.partition("?")
        ours = await rig.raw("perp", method, path, query)
        real = json.loads(body)
        assert ours.status == int(status), line
        if ours.status != 200:
            assert ours.body == real
        elif "fundingRate" in path:
            assert shape(ours.body) == shape(real)
        else:
            assert shape(ours.body, formats="aggTrades" not in path) == shape(
                real, formats="aggTrades" not in path
            ), path
        compared += 1
    assert compared == 13


async def test_exchange_info_looks_like_the_recorded_one(rig: Rig, shared_fixtures: Path) -> None:
    real = json.loads((shared_fixtures / "binance" / "exchangeinfo_spot_testnet_20260913.json").read_text())
    ours = (await rig.public("spot", "/api/v3/exchangeInfo", symbol="BTCUSDT")).body
    assert shape(ours) == shape(real)
    assert ours["rateLimits"] == real["rateLimits"]
    assert [filters_of(ours["symbols"][0])] == [filters_of(real["symbols"][0])]
    real = json.loads(
        (shared_fixtures / "binance" / "exchangeinfo_usdm_btcusdt_entry_20260915.json").read_text()
    )
    entry = (await rig.public("perp", "/fapi/v1/exchangeInfo")).body["symbols"][0]
    assert list(entry) == list(real)
    assert filters_of(entry) == filters_of(real)
    assert {key: type(value) for key, value in entry.items()} == {
        key: type(value) for key, value in real.items()
    }


def filters_of(entry: dict[str, Any]) -> list[Any]:
    return [
        (row["filterType"], list(row), [type(value) for value in row.values()]) for row in entry["filters"]
    ]


async def test_order_answers_have_the_documented_shape(rig: Rig) -> None:
    taken = await rig.order("spot", type="MARKET", timeInForce=None, quantity="0.01")
    assert shape(taken.body) == shape(json.loads(SPOT_FULL))
    best = rig.market("perp").bids.best
    assert best is not None
    price = rig.market("perp").price(best - 100)
    placed = await rig.order("perp", quantity="0.010", price=f"{price:f}")
    assert shape(placed.body) == shape(json.loads(PERP_ORDER))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": "1.50", "b": 1}, [("a", "2 decimals"), ("b", "int")]),
        ([["1", "x"]], ["array", ["array", "integer"]]),
        ([], ["array"]),
        ({"a": None, "b": True}, [("a", "NoneType"), ("b", "bool")]),
    ],
)
def test_the_shape_sees_keys_types_and_formats(value: Any, expected: Any) -> None:
    assert shape(value) == expected
    assert shape({"a": "1.5"}) != shape({"a": "1.50"})
    assert shape({"a": "1.5"}) != shape({"a": 1.5})
