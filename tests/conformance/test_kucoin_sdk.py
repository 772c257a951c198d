"""The venue's own SDK, unmodified, against the simulated KuCoin.

REST, classic and unified sockets, and order entry over its unified socket.
The SDK blocks and has threads of its own, so every call runs beside the event loop that serves it.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import AsyncIterator, Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.sim.server import SimServer
from tests.conformance.running_sim import addresses_of, running_sim

pytestmark = [
    pytest.mark.conformance,
    # the SDK and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("ignore"),
]
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def sdk() -> Callable[[str], Any]:
    """Return an importer of the SDK's modules."""
    pytest.importorskip("kucoin_universal_sdk", reason="the SDK is not installed (the conformance extra)")
    return lambda name: importlib.import_module(f"kucoin_universal_sdk.{name}")


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    async with running_sim("kucoin") as running:
        yield running


def client(sdk: Callable[[str], Any], server: SimServer, name: str = "alice") -> Any:
    """Return the SDK's client with an account's keys."""
    account, model = server.exchanges["kucoin"].account_named(name), sdk("model")
    assert account is not None
    options = (
        model.ClientOptionBuilder()
        .set_key(account.api_key)
        .set_secret(account.secret)
        .set_passphrase(account.passphrase)
        .set_spot_endpoint(addresses_of(server, "kucoin", "spot")["rest"])
        .set_futures_endpoint(addresses_of(server, "kucoin", "perp")["rest"])
        .set_transport_option(model.TransportOptionBuilder().build())
        .set_websocket_client_option(model.WebSocketClientOptionBuilder().with_reconnect(False).build())
        .build()
    )
    return sdk("api").DefaultClient(options)


class Heard:
    """Collects what a callback is told, from whichever thread."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._came = threading.Condition()

    def __call__(self, *words: Any) -> None:
        with self._came:
            self.rows.append(words)
            self._came.notify_all()

    async def until(self, fits: Callable[[Any], bool]) -> Any:
        """Return the first row that fits."""

        def wait() -> Any:
            with self._came:
                found = self._came.wait_for(
                    lambda: [row for row in self.rows if fits(row)], timeout=DEADLINE_S
                )
            assert found, "not in time"
            return found[0]

        return await asyncio.to_thread(wait)


async def call(run: Callable[..., Any], *words: Any) -> Any:
    """Run one blocking call of the SDK beside the event loop."""
    return await asyncio.wait_for(asyncio.to_thread(run, *words), DEADLINE_S)


def best_bid(server: SimServer, product: str, symbol: str) -> D:
    market = server.exchanges["kucoin"].markets[product, symbol]
    best = market.bids.best
    assert best is not None
    return market.price(best)


def low_price(server: SimServer, product: str, symbol: str) -> str:
    """Return a price three percent below the best bid, in whole ticks."""
    tick = server.exchanges["kucoin"].markets[product, symbol].spec.tick_size
    price = best_bid(server, product, symbol) * D("0.97")
    return f"{price - price % tick:f}"


# -- REST ------------------------------------------------------------------------------------------


async def test_spot_orders_over_rest(sdk: Callable[[str], Any], server: SimServer) -> None:
    order, model = (
        client(sdk, server).rest_service().get_spot_service().get_order_api(),
        sdk("generate.spot.order"),
    )
    request = (
        model.AddOrderReqBuilder()
        .set_client_oid("sdk-1")
        .set_side(model.AddOrderReq.SideEnum.BUY)
        .set_symbol("BTC-USDT")
        .set_type(model.AddOrderReq.TypeEnum.LIMIT)
        .set_price(low_price(server, "spot", "BTC-USDT"))
        .set_size("0.01")
        .build()
    )
    placed = await call(order.add_order, request)
    assert placed.client_oid == "sdk-1"
    assert placed.common_response.rate_limit.limit == 4000
    query = model.GetOrderByOrderIdReqBuilder().set_symbol("BTC-USDT").set_order_id(placed.order_id).build()
    found = await call(order.get_order_by_order_id, query)
    assert (found.id, found.client_oid, found.active, found.size) == (placed.order_id, "sdk-1", True, "0.01")
    listed = await call(order.get_open_orders, model.GetOpenOrdersReqBuilder().set_symbol("BTC-USDT").build())
    assert [row.id for row in listed.data] == [placed.order_id]
    change = (
        model.ModifyOrderReqBuilder()
        .set_symbol("BTC-USDT")
        .set_client_oid("sdk-1")
        .set_new_size("0.02")
        .build()
    )
    changed = await call(order.modify_order, change)
    assert changed.new_order_id != placed.order_id
    cancel = model.CancelOrderByClientOidReqBuilder().set_symbol("BTC-USDT").set_client_oid("sdk-1").build()
    assert (await call(order.cancel_order_by_client_oid, cancel)).client_oid == "sdk-1"
    query = (
        model.GetOrderByOrderIdReqBuilder().set_symbol("BTC-USDT").set_order_id(changed.new_order_id).build()
    )
    ended = await call(order.get_order_by_order_id, query)
    assert (ended.active, ended.cancel_exist, ended.cancelled_size) == (False, True, "0.02")


async def test_futures_orders_over_rest(sdk: Callable[[str], Any], server: SimServer) -> None:
    futures = client(sdk, server).rest_service().get_futures_service()
    order, model = futures.get_order_api(), sdk("generate.futures.order")

    def request(oid: str, kind: Any, price: str | None) -> Any:
        made = (
            model.AddOrderReqBuilder()
            .set_client_oid(oid)
            .set_side(model.AddOrderReq.SideEnum.BUY)
            .set_symbol("XBTUSDTM")
            .set_leverage(3)
            .set_type(kind)
            .set_size(10)
        )
        return (made.set_price(price) if price else made).build()

    kinds = model.AddOrderReq.TypeEnum
    resting = request("sdk-f1", kinds.LIMIT, low_price(server, "perp", "XBTUSDTM"))
    placed = await call(order.add_order, resting)
    query = model.GetOrderByOrderIdReqBuilder().set_order_id(placed.order_id).build()
    found = await call(order.get_order_by_order_id, query)
    assert (found.client_oid, found.size, found.is_active, found.leverage) == ("sdk-f1", 10, True, "3")
    cancel = model.CancelOrderByIdReqBuilder().set_order_id(placed.order_id).build()
    assert (await call(order.cancel_order_by_id, cancel)).cancelled_order_ids == [placed.order_id]
    await call(order.add_order, request("sdk-f2", kinds.MARKET, None))
    positions = sdk("generate.futures.positions")
    held = await call(
        futures.get_positions_api().get_position_list, positions.GetPositionListReqBuilder().build()
    )
    assert [(row.symbol, row.current_qty) for row in held.data] == [("XBTUSDTM", 10)]


async def test_market_data_and_money_over_rest(sdk: Callable[[str], Any], server: SimServer) -> None:
    service = client(sdk, server).rest_service()
    market, model = service.get_spot_service().get_market_api(), sdk("generate.spot.market")
    symbols = await call(market.get_all_symbols, model.GetAllSymbolsReqBuilder().build())
    assert {row.symbol for row in symbols.data} >= {"BTC-USDT", "ETH-BTC"}
    book = await call(
        market.get_full_order_book, model.GetFullOrderBookReqBuilder().set_symbol("BTC-USDT").build()
    )
    assert D(book.bids[0][0]) < D(book.asks[0][0])
    futures, words = service.get_futures_service().get_market_api(), sdk("generate.futures.market")
    contracts = await call(futures.get_all_symbols)
    assert {row.symbol for row in contracts.data} >= {"XBTUSDTM", "1000BONKUSDTM"}
    book = await call(
        futures.get_full_order_book, words.GetFullOrderBookReqBuilder().set_symbol("XBTUSDTM").build()
    )
    assert book.bids[0][0] < book.asks[0][0]
    account, words = service.get_account_service().get_account_api(), sdk("generate.account.account")
    kind = words.GetSpotAccountListReq.TypeEnum.TRADE
    rows = await call(
        account.get_spot_account_list, words.GetSpotAccountListReqBuilder().set_type(kind).build()
    )
    wallet = {row.currency: D(row.balance) for row in rows.data}
    alice = server.exchanges["kucoin"].account_named("alice")
    assert alice is not None
    assert wallet["BTC"] == alice.balance("spot", "BTC").total


async def test_refusals_are_recognised(sdk: Callable[[str], Any], server: SimServer) -> None:
    order, model = (
        client(sdk, server).rest_service().get_spot_service().get_order_api(),
        sdk("generate.spot.order"),
    )
    cancel = model.CancelOrderByClientOidReqBuilder().set_symbol("BTC-USDT").set_client_oid("nothing").build()
    with pytest.raises(sdk("model").RestError) as refused:
        await call(order.cancel_order_by_client_oid, cancel)
    assert refused.value.get_common_response().code == "400100"


# -- classic sockets -------------------------------------------------------------------------------


async def test_classic_public_streams(sdk: Callable[[str], Any], server: SimServer) -> None:
    socket, heard = client(sdk, server).ws_service().new_spot_public_ws(), Heard()
    await call(socket.start)
    try:
        await call(socket.orderbook_increment, ["BTC-USDT", "ETH-USDT"], heard)
        for symbol in ("BTC-USDT", "ETH-USDT"):
            topic, subject, data = await heard.until(lambda row, symbol=symbol: row[2].symbol == symbol)  # type: ignore[misc]
            assert (topic, subject) == (f"/market/level2:{symbol}", "trade.l2update")
            assert data.sequence_start <= data.sequence_end
    finally:
        await call(socket.stop)


async def test_classic_private_streams(sdk: Callable[[str], Any], server: SimServer) -> None:
    made = client(sdk, server)
    socket, heard = made.ws_service().new_spot_private_ws(), Heard()
    order, model = made.rest_service().get_spot_service().get_order_api(), sdk("generate.spot.order")
    await call(socket.start)
    try:
        await call(socket.order_v2, heard)
        request = (
            model.AddOrderReqBuilder()
            .set_client_oid("sdk-ws")
            .set_side(model.AddOrderReq.SideEnum.BUY)
            .set_symbol("BTC-USDT")
            .set_type(model.AddOrderReq.TypeEnum.LIMIT)
            .set_price(low_price(server, "spot", "BTC-USDT"))
            .set_size("0.01")
            .build()
        )
        placed = await call(order.add_order, request)
        for kind in ("received", "open"):
            row = await heard.until(lambda row, kind=kind: row[2].type.value == kind)  # type: ignore[misc]
            assert (row[2].client_oid, row[2].order_id) == ("sdk-ws", placed.order_id)
    finally:
        await call(socket.stop)


# -- unified sockets -------------------------------------------------------------------------------


@pytest.fixture
def unified(sdk: Callable[[str], Any], server: SimServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of the unified account; the SDK's unified addresses are constants."""
    spot, perp = addresses_of(server, "kucoin", "spot"), addresses_of(server, "kucoin", "perp")
    push, kinds = sdk("internal.infra.uta_push_ws_service"), sdk("model").PushTradeType
    trade = sdk("internal.infra.uta_private_trade_ws_service")
    monkeypatch.setattr(push.UtaPushWsService, "PRIVATE_ENDPOINT", spot["ws_private"])
    monkeypatch.setattr(trade.UtaPrivateTradeWsService, "ENDPOINT", spot["ws_trade"])
    public = {kinds.SPOT: spot["ws_public"], kinds.FUTURES: perp["ws_public"]}
    monkeypatch.setattr(kinds, "endpoint", property(lambda kind: public[kind]))
    return client(sdk, server, "carol").ws_service()


@pytest.mark.parametrize(("kind", "symbol"), [("SPOT", "BTC-USDT"), ("FUTURES", "XBTUSDTM")])
async def test_unified_public_streams(
    sdk: Callable[[str], Any], unified: Any, kind: str, symbol: str
) -> None:
    socket, heard = unified.new_uta_public_ws(sdk("model").PushTradeType(kind)), Heard()
    await call(socket.start)
    try:
        await call(socket.orderbook, symbol, "increment@10ms", heard)
        snapshot = (await heard.until(lambda row: row[0]["t"] == "snapshot"))[0]
        delta = (await heard.until(lambda row: row[0]["t"] == "delta"))[0]
        assert delta["d"]["O"] == snapshot["d"]["C"] + 1
        await call(socket.trade, symbol, heard)
        trade = (await heard.until(lambda row: row[0]["T"] == f"trade.{kind}"))[0]
        assert trade["d"]["s"] == symbol
    finally:
        await call(socket.stop)


async def test_unified_orders_over_the_socket_are_told_on_the_private_one(
    unified: Any, server: SimServer
) -> None:
    private, trade, heard = unified.new_uta_private_ws(), unified.new_uta_private_trade_ws(), Heard()
    await call(private.start)
    await call(trade.start)
    try:
        await call(private.order_all, heard)
        body = {
            "tradeType": "SPOT", "clientOid": "sdk-u", "symbol": "BTC-USDT", "side": "BUY",
            "orderType": "LIMIT", "size": "0.01", "sizeUnit": "BASECCY",
            "price": low_price(server, "spot", "BTC-USDT"),
        }  # fmt: skip
        placed = await call(trade.place_order, body)
        assert placed["code"] == "200000"
        new = (await heard.until(lambda row: row[0]["d"]["eT"] == "NEW"))[0]["d"]
        assert (new["oi"], new["ci"]) == (placed["data"]["orderId"], "sdk-u")
        words = {"tradeType": "SPOT", "symbol": "BTC-USDT", "clientOid": "sdk-u"}
        assert (await call(trade.cancel_order, words))["code"] == "200000"
        gone = (await heard.until(lambda row: row[0]["d"]["eT"] == "CANCEL"))[0]["d"]
        assert (gone["os"], gone["cS"]) == (5, "0.01")
        with pytest.raises(RuntimeError):
            await call(trade.cancel_order, words)
    finally:
        await call(trade.stop)
        await call(private.stop)
