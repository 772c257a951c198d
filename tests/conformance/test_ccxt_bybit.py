"""ccxt, unmodified, against the simulated Bybit: nothing but addresses differ from the live venue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.bybit.wire import BybitWire
from engine.sim.server import SimServer
from tests.conformance.ccxt_rig import (
    DEADLINE_S,
    PRODUCTS,
    assert_trades_and_tickers_come,
    price_below,
    swapped,
    under_test,
    until,
)
from tests.conformance.running_sim import account_of, addresses_of, running_sim

pytestmark = [
    pytest.mark.conformance,
    # ccxt and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]
CATEGORIES = {"spot": "spot", "perp": "linear"}
DEPTH = 50


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    async with running_sim("bybit") as running:
        yield running


def moved(urls: Any, rest: str, sockets: str) -> Any:
    """Return ccxt's tree of addresses at another scheme and host, paths kept."""
    if isinstance(urls, dict):
        return {name: moved(url, rest, sockets) for name, url in urls.items()}
    return swapped(urls, sockets if urls.startswith("ws") else rest)


def client(ccxt: Any, server: SimServer, product: str) -> Any:
    """Return a ccxt exchange by address override alone."""
    account = account_of(server, "bybit")
    made = ccxt.bybit({"apiKey": account.api_key, "secret": account.secret})
    where = addresses_of(server, "bybit", product)
    made.urls["api"] = moved(made.urls["api"], where["rest"], where["ws_public"])
    return made


@pytest.fixture(params=PRODUCTS)
async def exchange(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    async with under_test(client(ccxt, server, request.param), request.param) as made:
        yield made


# -- REST ------------------------------------------------------------------------------------------


async def test_markets_are_understood(exchange: Any, server: SimServer) -> None:
    markets = server.exchanges["bybit"].markets
    truth = markets[exchange.product_under_test, "BTCUSDT"].spec
    market = exchange.market(exchange.market_under_test)
    assert (market["id"], market["base"], market["quote"]) == ("BTCUSDT", "BTC", "USDT")
    assert market["active"]
    assert market["swap" if exchange.product_under_test == "perp" else "spot"]
    assert D(str(market["precision"]["price"])) == truth.tick_size
    assert D(str(market["precision"]["amount"])) == truth.lot_size
    assert D(str(market["limits"]["amount"]["min"])) == truth.min_qty
    listed = {("perp" if row["swap"] else "spot", row["id"]) for row in exchange.markets.values()}
    assert set(markets) == listed


async def test_book_trades_tickers_and_funding(exchange: Any) -> None:
    symbol = exchange.market_under_test
    book = await exchange.fetch_order_book(symbol, 100)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) == len(book["asks"]) == 100
    trades = await until(lambda: exchange.fetch_trades(symbol), bool)
    assert trades[-1]["price"] > 0
    ticker = await exchange.fetch_ticker(symbol)
    assert ticker["last"] == pytest.approx(trades[-1]["price"], rel=0.01)
    assert ticker["bid"] < ticker["ask"]
    tickers = await exchange.fetch_tickers([symbol])
    assert tickers[symbol]["last"] > 0
    assert abs(await exchange.fetch_time() - time.time() * 1000) < 5000
    if exchange.product_under_test == "perp":
        funding = await exchange.fetch_funding_rate(symbol)
        assert funding["markPrice"] == pytest.approx(ticker["last"], rel=0.01)
        interest = await exchange.fetch_open_interest(symbol, {"interval": "5m"})
        assert interest["openInterestAmount"] > 0


async def test_an_order_from_birth_to_cancel(exchange: Any) -> None:
    symbol, price = exchange.market_under_test, await price_below(exchange)
    params = {"postOnly": True, "clientOrderId": "birth-1"}
    order = await exchange.create_order(symbol, "limit", "buy", 0.01, price, params)
    opened = await exchange.fetch_open_orders(symbol)
    assert [(row["id"], row["status"], row["clientOrderId"]) for row in opened] == [
        (order["id"], "open", "birth-1")
    ]
    found = await exchange.fetch_open_order(order["id"], symbol)
    assert (found["price"], found["amount"], found["filled"]) == (price, 0.01, 0)
    lower = float(exchange.price_to_precision(symbol, price * 0.99))
    edited = await exchange.edit_order(order["id"], symbol, "limit", "buy", 0.02, lower)
    assert edited["id"] == order["id"]
    opened = await exchange.fetch_open_orders(symbol)
    assert [(row["id"], row["amount"], row["price"]) for row in opened] == [(order["id"], 0.02, lower)]
    await exchange.cancel_order(order["id"], symbol)
    assert await exchange.fetch_open_orders(symbol) == []
    [closed] = await exchange.fetch_canceled_orders(symbol)
    assert (closed["id"], closed["status"]) == (order["id"], "canceled")


async def test_cancel_all(exchange: Any) -> None:
    symbol, price = exchange.market_under_test, await price_below(exchange)
    placed = {(await exchange.create_order(symbol, "limit", "buy", 0.01, price))["id"] for _ in range(3)}
    gone = await exchange.cancel_all_orders(symbol)
    assert {row["id"] for row in gone} == placed
    assert await exchange.fetch_open_orders(symbol) == []


async def test_a_market_order_moves_balance_and_position(exchange: Any, server: SimServer) -> None:
    symbol = exchange.market_under_test
    before = await exchange.fetch_balance()
    amount = 0.05
    if exchange.product_under_test == "spot":
        order = await exchange.create_market_buy_order_with_cost(symbol, 5000)
    else:
        order = await exchange.create_order(symbol, "market", "buy", amount)
    closed = await exchange.fetch_closed_order(order["id"], symbol)
    assert closed["status"] == "closed"
    after = await exchange.fetch_balance()
    account = account_of(server, "bybit")
    wallet = account.balance("spot", "USDT").total
    assert after["total"]["USDT"] == pytest.approx(float(wallet), abs=50.0)
    assert after["total"]["USDT"] < before["total"]["USDT"]
    fills = await exchange.fetch_my_trades(symbol)
    assert {row["order"] for row in fills} == {order["id"]}
    assert sum(D(str(row["amount"])) for row in fills) == D(str(closed["filled"]))
    if exchange.product_under_test == "spot":
        assert D(str(after["total"]["BTC"])) == account.balance("spot", "BTC").total
        assert {row["fee"]["currency"] for row in fills} == {"BTC"}
        return
    [position] = await exchange.fetch_positions([symbol])
    assert (position["contracts"], position["side"]) == (amount, "long")
    assert position["entryPrice"] == pytest.approx(closed["average"])
    await exchange.set_leverage(7, symbol)
    assert account.leverage["BTCUSDT"] == 7
    fee = await exchange.fetch_trading_fee(symbol)
    assert (fee["taker"], fee["maker"]) == (0.00055, 0.0002)


async def test_refusals_are_recognised(exchange: Any, ccxt: Any, server: SimServer) -> None:
    symbol, best = exchange.market_under_test, await price_below(exchange, 1.0)
    account = account_of(server, "bybit")
    for balance in account.balances["spot"].values():
        balance.free = D(10)
    with pytest.raises((ccxt.OrderNotFound, ccxt.InvalidOrder)):
        await exchange.cancel_order("999999999", symbol)
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order(symbol, "limit", "buy", 1, best)
    with pytest.raises(ccxt.BadRequest, match="OrderLinkId"):
        await exchange.create_order(symbol, "limit", "buy", 0.01, best, {"clientOrderId": "no dots."})
    exchange.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError, match="10004"):
        await exchange.fetch_balance()


# -- streams ---------------------------------------------------------------------------------------


async def test_the_watched_book_equals_the_truth(exchange: Any, server: SimServer) -> None:
    """The client keeps no number of its book: it is compared while the stream's latest frame is in it."""
    product = exchange.product_under_test
    wire = server._wires["bybit"]
    assert isinstance(wire, BybitWire)
    market = server.exchanges["bybit"].markets[product, "BTCUSDT"]
    stream = wire.venue.books[CATEGORIES[product], f"orderbook.{DEPTH}.BTCUSDT"]
    compared = 0
    async with asyncio.timeout(DEADLINE_S):
        while compared < 10:
            book = await exchange.watch_order_book(exchange.market_under_test, DEPTH)
            if book["timestamp"] != stream.sent_ms:
                continue
            truth = market.published_at(stream.update_id)
            assert truth is not None
            for ours, theirs, is_bid in (("bids", truth.bids, True), ("asks", truth.asks, False)):
                best = sorted(theirs.items(), reverse=is_bid)[:DEPTH]
                assert [(D(str(row[0])), D(str(row[1]))) for row in book[ours]] == [
                    (market.price(price), market.qty(lots)) for price, lots in best
                ]
            compared += 1


async def test_watched_trades_and_tickers(exchange: Any) -> None:
    await assert_trades_and_tickers_come(exchange)


async def test_watched_orders_and_fills_tell_the_whole_story(exchange: Any) -> None:
    symbol, price = exchange.market_under_test, await price_below(exchange)
    stories: dict[str, list[str]] = {}
    filled: list[str] = []

    async def orders() -> None:
        while True:
            for row in await exchange.watch_orders(symbol):
                stories.setdefault(row["clientOrderId"], []).append(row["status"])

    async def fills() -> None:
        while True:
            filled.extend(row["order"] for row in await exchange.watch_my_trades(symbol))

    listeners = [asyncio.create_task(listen()) for listen in (orders, fills)]
    try:
        number = 0

        async def attempt() -> bool:
            nonlocal number
            number += 1
            name = f"story{number}"
            order = await exchange.create_order(symbol, "limit", "buy", 0.01, price, {"clientOrderId": name})
            await exchange.cancel_order(order["id"], symbol)
            taken = await exchange.create_order(symbol, "limit", "buy", 0.01, price * 1.06 // 1)
            await asyncio.sleep(0.1)
            told = stories.get(name, [])
            return "open" in told and "canceled" in told and taken["id"] in filled

        await until(attempt, bool)
    finally:
        for listener in listeners:
            listener.cancel()
        await asyncio.gather(*listeners, return_exceptions=True)


async def test_watched_balance_and_positions(exchange: Any) -> None:
    symbol = exchange.market_under_test
    watched = asyncio.create_task(exchange.watch_balance())
    price = (await price_below(exchange)) * 1.06 // 1

    async def attempt() -> bool:
        await exchange.create_order(symbol, "limit", "buy", 0.01, price)
        await asyncio.sleep(0.1)
        return watched.done()

    await until(attempt, bool)
    assert (await watched)["USDT"]["total"] > 0
    if exchange.product_under_test == "perp":
        [position] = await asyncio.wait_for(exchange.watch_positions([symbol]), DEADLINE_S)
        assert (position["symbol"], position["side"]) == (symbol, "long")


async def test_orders_over_the_websocket(exchange: Any, ccxt: Any) -> None:
    symbol, price = exchange.market_under_test, await price_below(exchange)
    order = await exchange.create_order_ws(symbol, "limit", "buy", 0.01, price, {"clientOrderId": "socket-1"})
    assert order["clientOrderId"] == "socket-1"
    lower = float(exchange.price_to_precision(symbol, price * 0.99))
    edited = await exchange.edit_order_ws(order["id"], symbol, "limit", "buy", 0.02, lower)
    assert edited["id"] == order["id"]
    [found] = await exchange.fetch_open_orders(symbol)
    assert (found["id"], found["amount"], found["price"]) == (order["id"], 0.02, lower)
    with pytest.raises(ccxt.ExchangeError):
        await exchange.create_order_ws(symbol, "limit", "buy", 0.01, price, {"clientOrderId": "socket-1"})
    gone = await exchange.cancel_order_ws(order["id"], symbol)
    assert gone["id"] == order["id"]
    assert await exchange.fetch_open_orders(symbol) == []
