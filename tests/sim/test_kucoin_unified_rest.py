"""Orders over KuCoin's unified API, of classic and unified accounts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from tests.sim.kucoin_rig import Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


UNIFIED = "/api/ua/v1/unified/order"


def unified_order(rig: Rig, **changed: Any) -> dict[str, Any]:
    return {
        "tradeType": "SPOT", "clientOid": f"u{next(rig.numbers)}", "symbol": "BTC-USDT", "side": "BUY",
        "orderType": "LIMIT", "size": "0.01", "sizeUnit": "BASECCY", "price": "58000", **changed,
    }  # fmt: skip


async def test_accounts_are_classic_or_unified(rig: Rig) -> None:
    for name, word in (("alice", "CLASSIC"), ("carol", "UNIFIED")):
        assert (await rig.get("/api/ua/v1/account/mode", name=name))["selfAccountMode"] == word
    assert (await rig.call("POST", f"{UNIFIED}/place", unified_order(rig)))["code"] == "112010"
    assert (await rig.spot(name="carol"))["code"] == "400200"
    path = "/api/ua/v1/classic/order/place"
    assert (await rig.call("POST", path, unified_order(rig), name="carol"))["code"] == "400200"
    assert (await rig.call("POST", path, unified_order(rig)))["code"] == "200000"


@pytest.mark.parametrize("product", ["SPOT", "FUTURES"])
async def test_a_unified_order_from_birth_to_cancel(rig: Rig, product: str) -> None:
    changed = {"tradeType": product}
    if product == "FUTURES":
        changed |= {"symbol": "XBTUSDTM", "size": "10", "sizeUnit": "UNIT"}
    body = unified_order(rig, **changed)
    placed = (await rig.call("POST", f"{UNIFIED}/place", body, name="carol"))["data"]
    assert (placed["tradeType"], placed["clientOid"]) == (product, body["clientOid"])
    query = {"tradeType": product, "symbol": body["symbol"]}
    order = await rig.get(f"{UNIFIED}/detail", name="carol", orderId=placed["orderId"], **query)
    assert (order["status"], order["size"], order["sizeUnit"]) == (2, body["size"], body["sizeUnit"])
    listed = (await rig.get(f"{UNIFIED}/open-list", name="carol", **query))["items"]
    assert [row["orderId"] for row in listed] == [placed["orderId"]]
    cancel = {"tradeType": product, "symbol": body["symbol"], "clientOid": body["clientOid"]}
    gone = (await rig.call("POST", f"{UNIFIED}/cancel", cancel, name="carol"))["data"]
    assert gone["orderId"] == placed["orderId"]
    [ended] = (await rig.get(f"{UNIFIED}/history", name="carol", **query))["items"]
    assert (ended["status"], ended["cancelSize"], ended["cancelReason"]) == (5, body["size"], "USER")


async def test_unified_fills_positions_and_money(rig: Rig) -> None:
    body = unified_order(
        rig, tradeType="FUTURES", symbol="XBTUSDTM", size="20", sizeUnit="UNIT", orderType="MARKET"
    )
    del body["price"]
    placed = (await rig.call("POST", f"{UNIFIED}/place", body, name="carol"))["data"]
    query = {"tradeType": "FUTURES", "symbol": "XBTUSDTM"}
    [fill] = (await rig.get(f"{UNIFIED}/execution", name="carol", **query))["items"]
    assert (fill["orderId"], fill["size"], fill["liquidityRole"]) == (placed["orderId"], "20", "TAKER")
    [position] = await rig.get("/api/ua/v1/unified/position/open-list", name="carol")
    assert (position["symbol"], position["size"], position["entryPrice"]) == ("XBTUSDTM", "20", "60000.1")
    balance = await rig.get("/api/ua/v1/unified/account/balance", name="carol")
    rows = {row["currency"]: row for row in balance["accounts"][0]["currencies"]}
    assert D(rows["USDT"]["balance"]) == D(1_100_000) - D(fill["fee"])
    poor = unified_order(rig, size="100")
    assert (await rig.call("POST", f"{UNIFIED}/place", poor, name="carol"))["code"] == "230003"
    await rig.call("POST", f"{UNIFIED}/place", unified_order(rig), name="carol")
    gone = (await rig.call("POST", f"{UNIFIED}/cancel-all", {"tradeType": "SPOT"}, name="carol"))["data"]
    assert len(gone["items"]) == 1
