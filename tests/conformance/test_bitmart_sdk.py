"""The venue's own SDK, unmodified, against the simulated BitMart: nothing but the addresses is different."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.running_sim import account_of, addresses_of, running_sim

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(
        importlib.util.find_spec("bitmart") is None,
        reason="the SDK is not installed (the conformance extra brings it)",
    ),
]
ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).with_name("bitmart_sdk_client.py")
DEADLINE_S = 60.0


async def outcome(product: str) -> Any:
    """Return what the SDK's program printed, and the exchange's own orders of the account."""
    async with running_sim("bitmart") as server:
        where = [
            addresses_of(server, "bitmart", product)[name] for name in ("rest", "ws_public", "ws_private")
        ]
        own = account_of(server, "bitmart")
        keys = [own.api_key, own.secret, own.passphrase]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "ignore", str(CLIENT), product, *where, *keys,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            printed, complaints = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0, complaints.decode()
        (order,) = server.exchanges["bitmart"].orders
        return json.loads(printed), order


async def test_spot() -> None:
    said, order = await outcome("spot")
    assert order.client_order_id == "sdk0001"
    assert order.status.value == "CANCELED"
    assert said["snapshot"]["table"] == "spot/depth/increase100"
    assert said["snapshot"]["data"][0]["type"] == "snapshot"
    first, then = said["snapshot"]["data"][0]["version"], said["update"]["data"][0]["version"]
    assert then == first + 1
    assert said["limits"] == {"Remaining": "1", "Limit": "12", "Reset": "2", "Mode": "IP"}
    assert len(said["book"]["data"]["bids"]) == 5
    assert "USDT" in [row["id"] for row in said["wallet"]["data"]["wallet"]]
    assert said["placed"]["message"] == "OK"
    assert said["open"]["data"]["state"] == "new"
    assert said["by_client_id"]["data"] == said["open"]["data"]
    assert said["listed"]["data"] == [said["open"]["data"]]
    assert said["cancelled"]["data"] == {"result": True}
    assert said["history"]["data"]["state"] == "canceled"
    assert said["trades"]["data"] == []
    assert said["pushed"]["table"] == "spot/user/orders"
    assert said["pushed"]["data"][0]["order_id"] == said["placed"]["data"]["order_id"]


async def test_futures() -> None:
    said, order = await outcome("perp")
    assert order.client_order_id == "sdk0001"
    assert order.status.value == "CANCELED"
    assert order.market.qty(order.qty_lots) * 100 == 1, "ten contracts are a hundredth of a coin"
    assert said["snapshot"]["data"]["type"] == "snapshot"
    assert said["update"]["data"]["version"] == said["snapshot"]["data"]["version"] + 1
    assert said["pong"]["data"].startswith("pong+")
    assert said["limits"]["Limit"] == "12"
    assert len(said["book"]["data"]["asks"]) == 50
    assert {row["currency"] for row in said["wallet"]["data"]} >= {"USDT", "BTC", "ETH"}
    assert isinstance(said["placed"]["data"]["order_id"], int)
    assert said["open"]["data"]["state"] == 2
    assert said["listed"]["data"] == [said["open"]["data"]]
    assert said["cancelled"]["message"] == "Ok"
    assert [row["state"] for row in said["history"]["data"]] == [4]
    assert said["trades"]["data"] == []
    assert said["pushed"]["data"][0]["action"] == 3
    assert said["pushed"]["data"][0]["order"]["client_order_id"] == "sdk0001"
