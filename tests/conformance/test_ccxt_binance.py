"""ccxt, unmodified, against the simulated Binance: nothing but addresses differ from the live venue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from engine.sim.config import load
from engine.sim.ports import Settings
from engine.sim.server import SimServer

pytestmark = [
    pytest.mark.conformance,
    # ccxt and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0
SYMBOLS = {"spot": "BTC/USDT", "perp": "BTC/USDT:USDT"}


@pytest.fixture(scope="module")
def ccxt() -> Any:
    """Return ccxt with its socket half, imported once: it loads every exchange there is."""
    return pytest.importorskip("ccxt.pro", reason="ccxt is not installed (the conformance extra brings it)")


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    config = load(ROOT / "config" / "sim.toml", ["binance"])
    running = SimServer(config, seed=3, rate=200, settings=Settings())
    await running.start()
    yield running
    await running.stop()


def addresses(server: SimServer, product: str) -> dict[str, str]:
    venue = server.addresses["binance"]
    assert isinstance(venue, dict)
    return dict(venue[product])


def swapped(url: str, base: str) -> str:
    """Return ``url`` at another scheme and host, its path kept."""
    target = urlsplit(base)
    return urlsplit(url)._replace(scheme=target.scheme, netloc=target.netloc).geturl()


def client(ccxt: Any, server: SimServer, product: str, **options: Any) -> Any:
    """Return a ccxt exchange for the product, by address override alone."""
    account = server.exchanges["binance"].account_named("alice")
    assert account is not None
    kind = ccxt.binance if product == "spot" else ccxt.binanceusdm
    made = kind({"apiKey": account.api_key, "secret": account.secret, "options": options})
    spot, perp = addresses(server, "spot"), addresses(server, "perp")
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


@pytest.fixture(params=["spot", "perp"])
async def exchange(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    made = client(ccxt, server, request.param)
    made.product_under_test = request.param
    made.market_under_test = SYMBOLS[request.param]
    try:
        await made.load_markets()
        yield made
    finally:
        await made.close()


async def until(ask: Callable[[], Awaitable[Any]], fits: Callable[[Any], bool]) -> Any:
    """Ask until the answer fits."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await ask()
            if fits(answer):
                return answer
            await asyncio.sleep(0)


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
    account = server.exchanges["binance"].account_named("alice")
    assert account is not None
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
    account = server.exchanges["binance"].account_named("alice")
    assert account is not None
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


async def truth_at(server: SimServer, product: str, sequence: int) -> Any:
    url = f"{server.addresses['admin']}/truth/book"
    query = {"venue": "binance", "product": product, "symbol": "BTCUSDT", "at": str(sequence)}
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as reply:
        return await reply.json() if reply.status == 200 else None


async def test_the_watched_book_equals_the_truth_at_its_nonce(exchange: Any, server: SimServer) -> None:
    compared = 0
    async with asyncio.timeout(DEADLINE_S):
        while compared < 10:
            book = await exchange.watch_order_book(exchange.market_under_test)
            # the book goes on living while the truth is asked for
            nonce, ours = book["nonce"], {side: _exact(book[side]) for side in ("bids", "asks")}
            truth = await truth_at(server, exchange.product_under_test, nonce)
            if truth is None:
                continue
            assert ours == {side: _exact(truth[side]) for side in ("bids", "asks")}
            compared += 1


def _exact(rows: Any) -> list[tuple[D, D]]:
    """Return the best levels as decimals, as deep as a snapshot reaches."""
    return [(D(str(row[0])), D(str(row[1]))) for row in rows[:900]]


async def test_watched_trades_and_tickers(exchange: Any) -> None:
    trades = await asyncio.wait_for(exchange.watch_trades(exchange.market_under_test), DEADLINE_S)
    assert trades[-1]["symbol"] == exchange.market_under_test
    tops = await asyncio.wait_for(exchange.watch_bids_asks([exchange.market_under_test]), DEADLINE_S)
    assert tops[exchange.market_under_test]["bid"] < tops[exchange.market_under_test]["ask"]
    ticker = await asyncio.wait_for(exchange.watch_ticker(exchange.market_under_test), DEADLINE_S)
    assert ticker["last"] > 0


async def test_watched_orders_tell_the_whole_story(exchange: Any) -> None:
    stories: dict[str, list[str]] = {}

    async def listen() -> None:
        while True:
            for row in await exchange.watch_orders(exchange.market_under_test):
                stories.setdefault(row["clientOrderId"], []).append(row["status"])

    listener = asyncio.create_task(listen())
    try:
        book = await exchange.fetch_order_book(exchange.market_under_test, 5)
        price = float(exchange.price_to_precision(exchange.market_under_test, book["bids"][0][0] * 0.97))
        number = 0

        async def attempt() -> bool:
            nonlocal number
            number += 1
            name = f"story{number}"
            order = await exchange.create_order(
                exchange.market_under_test, "limit", "buy", 0.01, price, {"newClientOrderId": name}
            )
            await exchange.cancel_order(order["id"], exchange.market_under_test)
            await asyncio.sleep(0.1)
            return "open" in stories.get(name, []) and "canceled" in stories.get(name, [])

        await until(attempt, bool)
    finally:
        listener.cancel()


async def test_orders_over_the_websocket_api(exchange: Any) -> None:
    book = await exchange.fetch_order_book(exchange.market_under_test, 5)
    price = float(exchange.price_to_precision(exchange.market_under_test, book["bids"][0][0] * 0.97))
    order = await exchange.create_order_ws(exchange.market_under_test, "limit", "buy", 0.01, price)
    assert order["status"] == "open"
    found = await exchange.fetch_order_ws(order["id"], exchange.market_under_test)
    assert found["id"] == order["id"]
    canceled = await exchange.cancel_order_ws(order["id"], exchange.market_under_test)
    assert canceled["status"] == "canceled"
