"""Whatever a client sends, KuCoin's simulated hosts answer in the venue's words and go on."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.sim.kucoin_rig import Rig

VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    -1,
    0,
    1.5,
    10**30,
    "1e400",
    "NaN",
    True,
    [],
    [1],
    {},
    {"a": 1},
    "é" * 50,
)
FIELDS = (
    "clientOid", "symbol", "side", "type", "size", "funds", "price", "timeInForce", "stp", "cancelAfter",
    "clientTimestamp", "allowMaxTimeWindow", "leverage", "qty", "valueQty", "marginMode", "positionSide",
    "reduceOnly", "closeOrder", "orderId", "newPrice", "newSize", "cancelSize", "timeout", "symbols",
    "orderList", "orderIdsList", "clientOidsList", "tradeType", "orderType", "sizeUnit", "positionMode",
)  # fmt: skip
SPOT = {
    "clientOid": "n",
    "symbol": "BTC-USDT",
    "side": "buy",
    "type": "limit",
    "size": "0.01",
    "price": "58000",
}
FUTURES = {"clientOid": "n", "symbol": "XBTUSDTM", "side": "buy", "type": "limit", "size": 1,
           "price": "58000", "leverage": 2, "marginMode": "ISOLATED"}  # fmt: skip
UNIFIED = {"tradeType": "SPOT", "clientOid": "n", "symbol": "BTC-USDT", "side": "BUY", "orderType": "LIMIT",
           "size": "0.01", "sizeUnit": "BASECCY", "price": "58000"}  # fmt: skip


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def bodies(base: dict[str, Any]) -> list[Any]:
    """Return a good body with each field spoiled in turn, and bodies that are no objects."""
    spoiled = []
    for at, field in enumerate(FIELDS):
        for place, value in enumerate(VALUES):
            spoiled.append(base | {"clientOid": f"n{at}-{place}"} | {field: value})
    return [*spoiled, *VALUES]


def writes(rig: Rig, host: str) -> list[tuple[str, str]]:
    """Return method and path of every route that takes a body, path variables filled in."""
    found = [name.partition(" ") for name in rig.wire.venue.rest[host].names]
    return [(method, re.sub(r"{\w+}", "nothing", path)) for method, _, path in found if method != "GET"]


@pytest.mark.parametrize(("host", "product", "base"), [("spot", "spot", SPOT), ("futures", "perp", FUTURES)])
async def test_no_body_crashes_a_host(rig: Rig, host: str, product: str, base: dict[str, Any]) -> None:
    asked = 0
    for method, path in writes(rig, host):
        is_unified = "/ua/" in path
        many = bodies(UNIFIED if is_unified else base)
        few = (
            many
            if path.endswith(("/orders", "/place", "/alter", "/order/place"))
            else many[:: len(VALUES) // 2]
        )
        for body in few:
            text = "" if body is None else json.dumps(body)
            name = "carol" if "/unified/" in path else "alice"
            status, answer, _ = await rig.raw(product, method, path, text, name)
            assert status in (200, 404), (method, path, body, answer)
            assert isinstance(answer["code"], str)
            asked += 1
    assert asked > 1000


async def test_no_query_crashes_a_host(rig: Rig) -> None:
    queries = ["", "symbol=%00", "symbol=BTC-USDT&limit=x", "symbol=XBTUSDTM&pageSize=0&currentPage=0",
               "symbol=XBTUSDTM&granularity=-1", "symbol=BTC-USDT&type=1min&startAt=x", "tradeType=SPOT",
               "tradeType=FUTURES&symbol=XBTUSDTM&limit=7", "%zz=%zz",
               "status=active&startAt=99999999999999999999"]  # fmt: skip
    for host, product in (("spot", "spot"), ("futures", "perp")):
        for name in rig.wire.venue.rest[host].names:
            method, _, path = name.partition(" ")
            if method == "GET" and "{" not in path:
                for query in queries:
                    target = path + (f"?{query}" if query else "")
                    who = "carol" if "/unified/" in path else "alice"
                    status, answer, _ = await rig.raw(product, "GET", target, "", who)
                    assert status in (200, 401), (target, answer)


async def test_no_frame_crashes_a_socket(rig: Rig) -> None:
    trade = await rig.trade()
    names = ("spot.order", "spot.cancel", "spot.modify", "futures.order", "futures.multi_order",
             "futures.multi_cancel", "uta.order", "uta.cancel")  # fmt: skip
    number = 0
    for name in names:
        for args in bodies(FUTURES if name.startswith("futures") else SPOT)[:: len(VALUES) // 3]:
            number += 1
            answer = await trade.ask({"id": f"q{number}", "op": name, "args": args})
            assert isinstance(answer["code"], str)
    push, classic = await rig.push(), await rig.classic()
    for value in VALUES:
        for field in ("action", "channel", "tradeType", "symbol", "symbols", "depth"):
            frame = {"id": "s", "action": "subscribe", "channel": "obu", "tradeType": "FUTURES",
                     "symbol": "XBTUSDTM", "depth": "5"} | {field: value}  # fmt: skip
            await push.send(frame)
        await push.send(json.dumps(value))
    assert (await push.ask({"id": "alive", "type": "ping"}))["type"] == "pong"
    for value in VALUES[:12]:
        for field in ("type", "topic", "id"):
            await classic.send(
                {"id": "s", "type": "subscribe", "topic": "/market/match:BTC-USDT"} | {field: value}
            )
        await classic.send(json.dumps(value))
    assert (await classic.ask({"id": "alive", "type": "ping"}))["type"] == "pong"
