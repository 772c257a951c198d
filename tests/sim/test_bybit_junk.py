"""Requests that make no sense are refused in Bybit's own words, never with a broken answer or connection."""

from __future__ import annotations

import json
import random
from typing import Any
from urllib.parse import quote

import pytest

from tests.sim.bybit_rig import Rig
from tests.sim.loopback_rig import Message

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, "", "0", "1", "-1", "x", "1e5", "9" * 25, "0.001", "59999.9",
    "NaN", "BTCUSDT", "Buy", "Market", "linear", "spot", "IOC", "PostOnly", "\ud800", "\u00e9", [], {}, [1],
    {"a": 1}, [[]],
)  # fmt: skip
GOOD: Message = {
    "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
    "price": "50000",
}  # fmt: skip
FIELDS = (
    *GOOD, "orderLinkId", "orderId", "timeInForce", "reduceOnly", "closeOnTrigger", "positionIdx",
    "marketUnit", "isLeverage", "smpType", "request", "settleCoin", "baseCoin", "triggerPrice", "orderFilter",
    "buyLeverage", "sellLeverage", "mode",
)  # fmt: skip
OPERATIONS = ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
POSTS = (*(f"/order/{name}" for name in (*OPERATIONS, "cancel-all")), "/position/set-leverage",
         "/position/switch-mode")  # fmt: skip
GETS = (
    "/order/realtime", "/order/history", "/execution/list", "/position/list", "/account/wallet-balance",
    "/account/fee-rate", "/market/instruments-info", "/market/tickers", "/market/orderbook",
    "/market/recent-trade", "/market/funding/history", "/market/open-interest", "/market/price-limit",
)  # fmt: skip
PARAMETERS = (
    "category", "symbol", "limit", "cursor", "startTime", "endTime", "settleCoin", "orderId", "openOnly",
    "accountType", "coin", "intervalTime", "status",
)  # fmt: skip


def spoiled_order(draw: random.Random) -> Message:
    """Return an order request with a few fields replaced."""
    body = dict(GOOD) | ({"category": "spot"} if draw.random() < 0.3 else {})
    for _ in range(draw.randint(1, 3)):
        body[draw.choice(FIELDS)] = draw.choice(JUNK)
    if draw.random() < 0.3:
        return {"category": body["category"], "request": [body, draw.choice(JUNK)]}
    return body


@pytest.mark.parametrize("seed", range(3))
async def test_order_requests(seed: int) -> None:
    draw = random.Random(seed)
    async with Rig() as rig:
        trade = await rig.trade()
        for _ in range(120):
            body = spoiled_order(draw)
            status, answer, _ = await rig.raw("POST", f"/v5{draw.choice(POSTS)}", body=json.dumps(body))
            assert status == 200, (body, answer)
            assert isinstance(answer["retCode"], int)
            answer = await trade.order(f"order.{draw.choice(OPERATIONS)}", body)
            assert isinstance(answer["retCode"], int), body


@pytest.mark.parametrize("seed", range(3))
async def test_questions(seed: int) -> None:
    draw = random.Random(seed)
    async with Rig() as rig:
        await rig.place()
        for _ in range(15):
            for path in GETS:
                query = "&".join(
                    f"{name}={quote(str(draw.choice(JUNK)), errors='replace')}"
                    for name in draw.sample(PARAMETERS, 4)
                )
                status, answer, _ = await rig.raw("GET", f"/v5{path}", query)
                assert status == 200, (path, query, answer)


@pytest.mark.parametrize("seed", range(3))
async def test_control_messages(seed: int) -> None:
    draw = random.Random(seed)
    async with Rig() as rig:
        public, private = await rig.socket("public"), await rig.private("order")
        for number in range(60):
            topics = draw.choice([draw.choice(JUNK), [draw.choice(JUNK)], ["order", draw.choice(JUNK)]])
            operation = draw.choice(["subscribe", "unsubscribe", "ping", draw.choice(JUNK)])
            for socket in (public, private):
                await socket.send(json.dumps({"op": operation, "args": topics, "req_id": draw.choice(JUNK)}))
                await socket.send({"op": "ping", "req_id": f"alive{number}"})
                await socket.until(lambda each, number=number: each.get("req_id") == f"alive{number}")  # type: ignore[misc]
