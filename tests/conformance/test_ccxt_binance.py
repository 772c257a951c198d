"""ccxt, unmodified, against the simulated Binance: nothing but addresses differ from the live venue."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.server import SimServer
from tests.conformance.ccxt_rig import (
    PRODUCTS,
    assert_stories_are_whole,
    assert_trades_and_tickers_come,
    assert_watched_book_is_true,
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


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    async with running_sim("binance") as running:
        yield running


def client(ccxt: Any, server: SimServer, product: str, **options: Any) -> Any:
    """Return a ccxt exchange for the product, by address override alone."""
    account = account_of(server, "binance")
    kind = ccxt.binance if product == "spot" else ccxt.binanceusdm
    made = kind({"apiKey": account.api_key, "secret": account.secret, "options": options})
    spot, perp = addresses_of(server, "binance", "spot"), addresses_of(server, "binance", "perp")
    api = made.urls["api"]
    for name, url in api.items():
        if isinstance(url, str):
            api[name] = swapped(url, (perp if name.startswith(("fapi", "dapi")) else spot)["rest"])
    sockets = api["ws"]
    for name, url in sockets.items():
        if isinstance(url, str):
            sockets[name] = swapped(url, (perp if name == "linear" else spot)["ws_public"])
    for name in sockets["ws-api"]:
        sockets["ws-api"][name] = (perp if name == "linear" else spot)["ws_trade"]
    # ccxt tells a spot stream by "/stream" in its address, which a bare port lacks
    sockets["spot"] = sockets["margin"] = spot["ws_public"] + "/ws"
    return made


@pytest.fixture(params=PRODUCTS)
async def exchange(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    async with under_test(client(ccxt, server, request.param), request.param) as made:
        yield made


# -- REST ------------------------------------------------------------------------------------------


async def test_markets_are_understood(exchange: Any, server: SimServer) -> None:
    truth = server.exchanges["binance"].markets[exchange.product_under_test, "BTCUSDT"].spec
    market = exchange.market(exchange.market_under_test)
    assert (market["id"], market["base"], market["quote"]) == ("BTCUSDT", "BTC", "USDT")
    assert market["active"]
    assert market["swap" if exchange.product_under_test == "perp" else "spot"]
    assert D(str(market["precision"]["price"])) == truth.tick_size
    assert D(str(market["precision"]["amount"])) == truth.lot_size
    assert D(str(market["limits"]["cost"]["min"])) == truth.min_notional
    listed = {row["id"] for row in exchange.markets.values() if row["active"]}
    ours = {
        symbol
        for product, symbol in server.exchanges["binance"].markets
        if product == exchange.product_under_test
    }
    assert ours <= listed


async def test_book_trades_tickers_and_candles(exchange: Any) -> None:
    book = await exchange.fetch_order_book(exchange.market_under_test, 100)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) == len(book["asks"]) == 100
    trades = await until(lambda: exchange.fetch_trades(exchange.market_under_test), bool)
    assert trades[-1]["price"] > 0
    ticker = await exchange.fetch_ticker(exchange.market_under_test)
    assert ticker["last"] == pytest.approx(trades[-1]["price"], rel=0.01)
    candles = await exchange.fetch_ohlcv(exchange.market_under_test, "1m")
    assert len(candles[-1]) == 6
    assert abs(await exchange.fetch_time() - time.time() * 1000) < 5000


async def test_an_order_from_birth_to_cancel(exchange: Any) -> None:
    book = await exchange.fetch_order_book(exchange.market_under_test, 100)
    price = exchange.price_to_precision(exchange.market_under_test, book["bids"][0][0] * 0.97)
    order = await exchange.create_order(
        exchange.market_under_test, "limit", "buy", 0.01, float(price), {"postOnly": True}
    )
    assert order["status"] == "open"
    opened = await exchange.fetch_open_orders(exchange.market_under_test)
    assert [row["id"] for row in opened] == [order["id"]]
    found = await exchange.fetch_order(order["id"], exchange.market_under_test)
    assert (found["price"], found["amount"], found["filled"]) == (float(price), 0.01, 0)
    lower = exchange.price_to_precision(exchange.market_under_test, float(price) * 0.99)
    edited = await exchange.edit_order(
        order["id"], exchange.market_under_test, "limit", "buy", 0.02, float(lower)
    )
    opened = await exchange.fetch_open_orders(exchange.market_under_test)
    assert [(row["id"], row["amount"], row["price"]) for row in opened] == [
        (edited["id"], 0.02, float(lower))
    ]
    canceled = await exchange.cancel_order(edited["id"], exchange.market_under_test)
    assert canceled["status"] == "canceled"
    assert await exchange.fetch_open_orders(exchange.market_under_test) == []


async def test_a_market_order_moves_balance_and_position(exchange: Any, server: SimServer) -> None:
    before = await exchange.fetch_balance()
    order = await exchange.create_order(exchange.market_under_test, "market", "buy", 0.05)
    assert (order["status"], order["filled"]) == ("closed", 0.05)
    after = await exchange.fetch_balance()
    account = account_of(server, "binance")
    wallet = account.balance(exchange.product_under_test, "USDT").total
    assert after["total"]["USDT"] == pytest.approx(float(wallet), abs=1.0)
    assert after["total"]["USDT"] < before["total"]["USDT"]
    fills = await exchange.fetch_my_trades(exchange.market_under_test)
    assert sum(D(str(row["amount"])) for row in fills) == D("0.05")
    if exchange.product_under_test == "spot":
        assert D(str(after["total"]["BTC"])) == account.balance("spot", "BTC").total
        return
    [position] = await exchange.fetch_positions([exchange.market_under_test])
    assert (position["contracts"], position["side"]) == (0.05, "long")
    assert await exchange.set_leverage(7, exchange.market_under_test)
    funding = await exchange.fetch_funding_rate(exchange.market_under_test)
    assert funding["markPrice"] == pytest.approx(position["entryPrice"], rel=0.01)


async def test_refusals_are_recognised(exchange: Any, ccxt: Any, server: SimServer) -> None:
    book = await exchange.fetch_order_book(exchange.market_under_test, 5)
    best = book["bids"][0][0]
    account = account_of(server, "binance")
    account.balance(exchange.product_under_test, "USDT").free = D(10)
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.cancel_order("999999999", exchange.market_under_test)
    # ccxt looks futures codes up by the live host name, so elsewhere -2019 stays a plain ExchangeError
    spot = exchange.product_under_test == "spot"
    with pytest.raises(ccxt.InsufficientFunds if spot else ccxt.ExchangeError, match="insufficient"):
        await exchange.create_order(exchange.market_under_test, "limit", "buy", 1, best)
    with pytest.raises(ccxt.OrderImmediatelyFillable if spot else ccxt.InvalidOrder):
        await exchange.create_order(
            exchange.market_under_test, "limit", "buy", 0.01, best * 1.01, {"postOnly": True}
        )
    exchange.secret = "wrong"
    with pytest.raises(ccxt.BaseError):
        await exchange.fetch_balance()


# -- streams ---------------------------------------------------------------------------------------


async def test_the_watched_book_equals_the_truth_at_its_nonce(exchange: Any, server: SimServer) -> None:
    # as deep as a snapshot reaches
    await assert_watched_book_is_true(exchange, server, "binance", "BTCUSDT", 900, D(1))


async def test_watched_trades_and_tickers(exchange: Any) -> None:
    await assert_trades_and_tickers_come(exchange)


async def test_watched_orders_tell_the_whole_story(exchange: Any) -> None:
    price = await price_below(exchange)

    async def place(name: str) -> Any:
        return await exchange.create_order(
            exchange.market_under_test, "limit", "buy", 0.01, price, {"newClientOrderId": name}
        )

    await assert_stories_are_whole(exchange, place)


async def test_orders_over_the_websocket_api(exchange: Any) -> None:
    price = await price_below(exchange)
    order = await exchange.create_order_ws(exchange.market_under_test, "limit", "buy", 0.01, price)
    assert order["status"] == "open"
    found = await exchange.fetch_order_ws(order["id"], exchange.market_under_test)
    assert found["id"] == order["id"]
    canceled = await exchange.cancel_order_ws(order["id"], exchange.market_under_test)
    assert canceled["status"] == "canceled"
