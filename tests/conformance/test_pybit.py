"""The venue's own Python client, unmodified, against the simulated Bybit: only addresses are overridden.

Source: pybit 5.17.0; its hosts are module constants and one attribute.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.sim.server import SimServer
from tests.conformance.running_sim import account_of, addresses_of, running_sim

pytestmark = [
    pytest.mark.conformance,
    # the client and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def pybit() -> Any:
    """Return the client's module."""
    reason = "pybit is not installed (the conformance extra brings it)"
    return pytest.importorskip("pybit.unified_trading", reason=reason)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SimServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with running_sim("bybit") as running:
        yield running


@pytest.fixture
def addresses(server: SimServer, pybit: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Point the client's sockets at the simulated exchange; return the addresses."""
    found = addresses_of(server, "bybit", "perp")
    public = found["ws_public"].removesuffix("/linear")
    monkeypatch.setattr(pybit, "PUBLIC_WSS", public + "/{CHANNEL_TYPE}")
    monkeypatch.setattr(pybit, "PRIVATE_WSS", found["ws_private"])
    monkeypatch.setattr("pybit._websocket_trading.TRADE_WSS", found["ws_trade"])
    return found


def keys(server: SimServer) -> dict[str, str]:
    own = account_of(server, "bybit")
    return {"api_key": own.api_key, "api_secret": own.secret}


@contextmanager
def http(pybit: Any, server: SimServer, addresses: dict[str, str], **changed: Any) -> Iterator[Any]:
    session = pybit.HTTP(testnet=False, **keys(server) | changed)
    session.endpoint = addresses["rest"]
    try:
        yield session
    finally:
        session.client.close()


@contextmanager
def socket(kind: Callable[..., Any], **options: Any) -> Iterator[Any]:
    """Open one of the client's sockets, and close it with its threads.

    It sends a request first and notes afterwards whom to call for it; its reading thread ends with an
    exception where the answer is faster. On loopback it can be, so here reading waits while it sends.
    """
    opened = kind(testnet=False, restart_on_error=False, retries=3, **options)
    turn = threading.RLock()

    def in_turn(method: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with turn:
                return method(*args, **kwargs)

        return run

    for name in ("callback", "subscribe", "_send_order_operation"):
        if hasattr(opened, name):
            setattr(opened, name, in_turn(getattr(opened, name)))
    try:
        yield opened
    finally:
        opened.exit()
        opened.wst.join(DEADLINE_S)
        assert not opened.wst.is_alive()


async def beside(work: Callable[[], None]) -> None:
    """Run blocking work while the exchange lives in this loop; none of its threads may be left behind."""
    before = set(threading.enumerate())
    await asyncio.wait_for(asyncio.to_thread(work), DEADLINE_S * 2)

    def left() -> list[threading.Thread]:
        return [
            thread
            for thread in threading.enumerate()
            if thread not in before and not thread.name.startswith("asyncio_")
        ]

    async with asyncio.timeout(DEADLINE_S):
        while left():
            await asyncio.sleep(0.01)


def limit_order(session: Any, category: str, share: float) -> dict[str, str]:
    """Return a buy at a share of the best bid."""
    book = session.get_orderbook(category=category, symbol="BTCUSDT", limit=1)["result"]
    price = f"{float(book['b'][0][0]) * share // 1:.1f}"
    return {"category": category, "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01",
            "price": price}  # fmt: skip


@pytest.mark.parametrize("category", ["spot", "linear"])
async def test_orders_over_http(
    pybit: Any, server: SimServer, addresses: dict[str, str], category: str
) -> None:
    named = {"category": category, "symbol": "BTCUSDT", "orderLinkId": "py-1"}

    def work() -> None:
        with http(pybit, server, addresses) as session:
            placed = session.place_order(**limit_order(session, category, 0.97), orderLinkId="py-1")
            order_id = placed["result"]["orderId"]
            [row] = session.get_open_orders(**named)["result"]["list"]
            assert (row["orderId"], row["orderStatus"]) == (order_id, "New")
            lower = limit_order(session, category, 0.96)["price"]
            session.amend_order(**named, qty="0.02", price=lower)
            [row] = session.get_open_orders(**named)["result"]["list"]
            assert (float(row["qty"]), row["price"]) == (0.02, lower)
            session.cancel_order(**named)
            assert session.get_open_orders(category=category, symbol="BTCUSDT")["result"]["list"] == []
            [row] = session.get_order_history(category=category, orderId=order_id)["result"]["list"]
            assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByUser")
            taken = session.place_order(**limit_order(session, category, 1.02), orderLinkId="py-2")
            [fill] = session.get_executions(category=category, orderLinkId="py-2", limit=1)["result"]["list"]
            assert fill["orderId"] == taken["result"]["orderId"]

    await beside(work)


async def test_account_and_market_over_http(pybit: Any, server: SimServer, addresses: dict[str, str]) -> None:
    linear = {"category": "linear", "symbol": "BTCUSDT"}

    def work() -> None:
        with http(pybit, server, addresses) as session:
            instruments = session.get_instruments_info(category="linear")["result"]["list"]
            assert "BTCUSDT" in {row["symbol"] for row in instruments}
            assert session.get_tickers(**linear)["result"]["list"][0]["markPrice"]
            assert session.get_public_trade_history(**linear)["retCode"] == 0
            session.place_order(
                category="linear", symbol="BTCUSDT", side="Buy", orderType="Market", qty="0.05"
            )
            [position] = session.get_positions(**linear)["result"]["list"]
            assert (position["side"], position["size"]) == ("Buy", "0.050")
            session.set_leverage(**linear, buyLeverage="7", sellLeverage="7")
            assert session.get_positions(**linear)["result"]["list"][0]["leverage"] == "7"
            wallet = session.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"][0]
            assert [row["coin"] for row in wallet["coin"]] == ["USDT"]
            assert session.get_account_info()["result"]["unifiedMarginStatus"] == 6
            assert session.get_api_key_information()["result"]["uta"] == 1
            assert session.get_fee_rates(**linear)["result"]["list"][0]["takerFeeRate"] == "0.00055"
            rows = [{key: value for key, value in limit_order(session, "linear", 0.97).items()
                     if key != "category"}] * 3  # fmt: skip
            batch = session.place_batch_order(category="linear", request=rows)
            assert [row["code"] for row in batch["retExtInfo"]["list"]] == [0, 0, 0]
            assert len(session.cancel_all_orders(**linear)["result"]["list"]) == 3

    await beside(work)


async def test_refusals_are_the_clients_exceptions(
    pybit: Any, server: SimServer, addresses: dict[str, str]
) -> None:
    exceptions = pytest.importorskip("pybit.exceptions")

    def work() -> None:
        with http(pybit, server, addresses) as session:
            order = limit_order(session, "linear", 0.97)
            session.place_order(**order, orderLinkId="py-3")
            for changed, code in (
                ({"qty": "0.0001"}, 10001),
                ({"price": "1"}, 110094),
                ({"orderLinkId": "py-3"}, 110072),
            ):
                with pytest.raises(exceptions.InvalidRequestError) as caught:
                    session.place_order(**order | changed)
                assert caught.value.status_code == code
        with (
            http(pybit, server, addresses, api_secret="wrong") as session,
            pytest.raises(exceptions.InvalidRequestError) as caught,
        ):
            session.get_account_info()
        assert caught.value.status_code == 10004
        with (
            http(pybit, server, addresses, api_key="nobody") as session,
            pytest.raises(exceptions.FailedRequestError),
        ):
            session.get_account_info()

    await beside(work)


@pytest.mark.parametrize("category", ["spot", "linear"])
async def test_a_public_book_stays_in_step(
    pybit: Any, server: SimServer, addresses: dict[str, str], category: str
) -> None:
    """The client stops with an exception on a delta that deletes an unknown level."""

    def work() -> None:
        heard: queue.Queue[Any] = queue.Queue()
        with socket(pybit.WebSocket, channel_type=category) as stream:
            stream.orderbook_stream(depth=50, symbol="BTCUSDT", callback=heard.put)
            for _ in range(40):
                book = heard.get(timeout=DEADLINE_S)["data"]
            bids = sorted((float(price) for price, _ in book["b"]), reverse=True)
            asks = sorted(float(price) for price, _ in book["a"])
            assert len(bids) == len(asks) == 50
            assert bids[0] < asks[0]
            trades: queue.Queue[Any] = queue.Queue()
            stream.trade_stream(symbol="BTCUSDT", callback=trades.put)
            assert trades.get(timeout=DEADLINE_S)["data"][0]["s"] == "BTCUSDT"

    await beside(work)


async def test_orders_over_the_socket_are_heard_privately(
    pybit: Any, server: SimServer, addresses: dict[str, str]
) -> None:
    def work() -> None:
        answers: queue.Queue[Any] = queue.Queue()
        refusals: queue.Queue[Any] = queue.Queue()
        orders: queue.Queue[Any] = queue.Queue()
        with (
            http(pybit, server, addresses) as session,
            socket(pybit.WebSocket, channel_type="private", **keys(server)) as private,
            socket(pybit.WebSocketTrading, recv_window=8000, **keys(server)) as trading,
        ):
            private.order_stream(callback=orders.put)
            order = limit_order(session, "linear", 0.97)
            trading.place_order(answers.put, **order, orderLinkId="ws-1")
            placed = answers.get(timeout=DEADLINE_S)
            assert (placed["retCode"], placed["data"]["orderLinkId"]) == (0, "ws-1")
            named = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "ws-1"}
            trading.amend_order(answers.put, **named, qty="0.02")
            assert answers.get(timeout=DEADLINE_S)["data"] == placed["data"]
            trading.cancel_order(answers.put, **named)
            assert answers.get(timeout=DEADLINE_S)["retCode"] == 0
            trading.cancel_order(answers.put, refusals.put, **named)
            assert refusals.get(timeout=DEADLINE_S)["retCode"] == 110001
            # The subscription may have come after the first of them.
            statuses: list[str] = []
            while not statuses or statuses[-1] != "Cancelled":
                statuses += [row["orderStatus"] for row in orders.get(timeout=DEADLINE_S)["data"]]
            assert set(statuses) <= {"New", "Cancelled"}

    await beside(work)
