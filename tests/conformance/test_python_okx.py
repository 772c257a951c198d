"""The venue's own Python client, unmodified, against the simulated OKX, over TLS as it insists."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.sim.ports import Settings
from engine.sim.server import SimServer
from tests.conformance.running_sim import account_of, addresses_of, running_sim

pytestmark = [
    pytest.mark.conformance,
    # the client and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0
SWAP = "BTC-USDT-SWAP"
_OPENED: list[Any] = []
"""REST halves that a test has made: each keeps a connection until it is closed."""


@pytest.fixture(scope="module")
def okx() -> Any:
    """Return the client's package with the parts used here."""
    package = pytest.importorskip(
        "okx", reason="python-okx is not installed (the conformance extra brings it)"
    )
    for part in ("Trade", "PublicData", "MarketData", "Account", "websocket"):
        pytest.importorskip(f"okx.{part}")
    pytest.importorskip("okx.websocket.WsPublicAsync")
    pytest.importorskip("okx.websocket.WsPrivateAsync")
    return package


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimServer]:
    authority = tmp_path / "ca.pem"
    async with running_sim("okx", 100, Settings(tls=True), authority) as running:
        # The client's sockets build their TLS context from this variable, and its HTTP library as well.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        yield running
        while _OPENED:
            _OPENED.pop().close()


def keys(server: SimServer) -> tuple[str, str, str]:
    own = account_of(server, "okx")
    return own.api_key, own.secret, own.passphrase


def address(server: SimServer, name: str) -> str:
    return addresses_of(server, "okx", "perp")[name]


def api(kind: Any, server: SimServer, flag: str = "0") -> Any:
    """Return one of the client's REST halves; ``flag`` 0 means production."""
    _OPENED.append(kind(*keys(server), None, flag, address(server, "rest")))
    return _OPENED[-1]


async def ask(call: Any, *args: Any, **more: Any) -> Any:
    """Run one of the client's blocking calls beside the server's event loop."""
    return await asyncio.wait_for(asyncio.to_thread(call, *args, **more), DEADLINE_S)


class Heard:
    """What a socket of the client has passed to its callback."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def __call__(self, text: str) -> None:
        self.messages.append(json.loads(text))
        self._news.set()

    async def first(self, **wanted: Any) -> dict[str, Any]:
        """Return the first message with these members; ``channel`` stands in its argument."""

        def fits(message: dict[str, Any]) -> bool:
            shown = message | {
                "channel": message.get("arg", {}).get("channel") if "data" in message else None
            }
            return all(shown.get(name) == value for name, value in wanted.items())

        async with asyncio.timeout(DEADLINE_S):
            while True:
                for message in self.messages:
                    if fits(message):
                        return message
                self._news.clear()
                await self._news.wait()


async def test_an_order_is_placed_amended_found_and_cancelled(okx: Any, server: SimServer) -> None:
    public, trade = api(okx.PublicData.PublicAPI, server), api(okx.Trade.TradeAPI, server)
    listed = await ask(public.get_instruments, "SWAP")
    assert SWAP in [row["instId"] for row in listed["data"]]
    market = api(okx.MarketData.MarketAPI, server)
    book = (await ask(market.get_orderbook, SWAP, "5"))["data"][0]
    price = str(int(float(book["bids"][0][0]) * 0.97))
    placed = await ask(trade.place_order, SWAP, "cross", "buy", "limit", "1.5", px=price, clOrdId="mine1")
    assert (placed["code"], placed["data"][0]["sCode"]) == ("0", "0")
    number = placed["data"][0]["ordId"]
    amended = await ask(trade.amend_order, SWAP, ordId=number, newSz="2")
    assert amended["data"][0]["sCode"] == "0"
    found = (await ask(trade.get_order, SWAP, clOrdId="mine1"))["data"][0]
    assert (found["ordId"], found["state"], found["sz"], found["px"]) == (number, "live", "2", price)
    pending = await ask(trade.get_order_list, "SWAP")
    assert [row["ordId"] for row in pending["data"]] == [number]
    canceled = await ask(trade.cancel_order, SWAP, ordId=number)
    assert canceled["data"][0]["sCode"] == "0"
    found = (await ask(trade.get_order, SWAP, ordId=number))["data"][0]
    assert found["state"] == "canceled"
    again = await ask(trade.cancel_order, SWAP, ordId=number)
    assert (again["code"], again["data"][0]["sCode"]) == ("1", "51400")


async def test_fills_balance_and_positions(okx: Any, server: SimServer) -> None:
    trade, account = api(okx.Trade.TradeAPI, server), api(okx.Account.AccountAPI, server)
    placed = await ask(trade.place_order, SWAP, "cross", "sell", "market", "3")
    fills = (await ask(trade.get_fills, "SWAP"))["data"]
    assert {row["ordId"] for row in fills} == {placed["data"][0]["ordId"]}
    [position] = (await ask(account.get_positions, "SWAP"))["data"]
    assert (position["pos"], position["mgnMode"]) == ("-3", "cross")
    [balance] = (await ask(account.get_account_balance, "USDT"))["data"]
    assert [row["ccy"] for row in balance["details"]] == ["USDT"]
    [config] = (await ask(account.get_account_config))["data"]
    assert config["posMode"] == "net_mode"


async def test_a_production_key_is_no_demo_key(okx: Any, server: SimServer) -> None:
    answer = await ask(api(okx.Account.AccountAPI, server, flag="1").get_account_balance)
    assert answer["code"] == "50101"


async def test_a_public_channel(okx: Any, server: SimServer) -> None:
    heard = Heard()
    client = okx.websocket.WsPublicAsync.WsPublicAsync(address(server, "ws_public"))
    consuming = await client.start()
    try:
        await client.subscribe([{"channel": "books", "instId": SWAP}], heard)
        assert (await heard.first(event="subscribe"))["arg"]["instId"] == SWAP
        snapshot = await heard.first(channel="books", action="snapshot")
        assert len(snapshot["data"][0]["bids"]) == 400
        update = await heard.first(channel="books", action="update")
        assert update["data"][0]["prevSeqId"] == snapshot["data"][0]["seqId"]
    finally:
        await client.stop()
        await asyncio.wait_for(consuming, DEADLINE_S)


async def test_orders_over_the_private_socket(okx: Any, server: SimServer) -> None:
    heard = Heard()
    public = api(okx.PublicData.PublicAPI, server)
    [listed] = (await ask(public.get_instruments, "SWAP", instId=SWAP))["data"]
    key, secret, passphrase = keys(server)
    client = okx.websocket.WsPrivateAsync.WsPrivateAsync(
        key, passphrase, secret, address(server, "ws_private")
    )
    consuming = await client.start()
    try:
        await client.subscribe([{"channel": "orders", "instType": "ANY"}], heard)
        assert (await heard.first(event="login"))["code"] == "0"
        await heard.first(event="subscribe")
        order = {
            "instIdCode": listed["instIdCode"], "tdMode": "cross", "side": "buy", "ordType": "limit",
            "px": "70000", "sz": "1", "clOrdId": "mine2",
        }  # fmt: skip
        await client.place_order([order], id="1")
        assert (await heard.first(op="order", id="1"))["code"] == "0"
        live = await heard.first(channel="orders")
        assert (live["data"][0]["clOrdId"], live["data"][0]["state"]) == ("mine2", "live")
        name = {"instIdCode": listed["instIdCode"], "clOrdId": "mine2"}
        await client.cancel_order([name], id="2")
        assert (await heard.first(op="cancel-order", id="2"))["data"][0]["sCode"] == "0"
    finally:
        await client.stop()
        await asyncio.wait_for(consuming, DEADLINE_S)
