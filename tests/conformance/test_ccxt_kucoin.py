"""ccxt, unmodified, against the simulated KuCoin: nothing but addresses differ from the live venue.

What ccxt 4.5.90 itself gets wrong is not judged here: its unified book moves the nonce without the levels.
"""

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
IDS = {"spot": "BTC-USDT", "perp": "XBTUSDTM"}
AMOUNTS = {"spot": 0.01, "perp": 10}


@pytest.fixture(scope="module")
def ccxt() -> Any:
    """Return ccxt with its socket half, imported once: it loads every exchange there is."""
    return pytest.importorskip("ccxt.pro", reason="ccxt is not installed (the conformance extra brings it)")


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    config = load(ROOT / "config" / "sim.toml", ["kucoin"])
    running = SimServer(config, seed=3, rate=200, settings=Settings())
    await running.start()
    yield running
    await running.stop()


def addresses(server: SimServer, product: str) -> dict[str, str]:
    venue = server.addresses["kucoin"]
    assert isinstance(venue, dict)
    return dict(venue[product])


def swapped(url: str, base: str) -> str:
    """Return ``url`` at another scheme and host, its path kept."""
    target = urlsplit(base)
    return urlsplit(url)._replace(scheme=target.scheme, netloc=target.netloc).geturl()


def client(ccxt: Any, server: SimServer, name: str = "alice") -> Any:
    """Return a ccxt exchange by address override alone."""
    account = server.exchanges["kucoin"].account_named(name)
    assert account is not None
    made = ccxt.kucoin({"apiKey": account.api_key, "secret": account.secret, "password": account.passphrase})
    spot, perp = addresses(server, "spot"), addresses(server, "perp")
    api = made.urls["api"]
    for key, url in api.items():
        if isinstance(url, str):
            api[key] = swapped(url, (perp if key.startswith("futures") else spot)["rest"])
    api["ws"] = {"spot": spot["ws_public"], "futures": perp["ws_public"], "private": spot["ws_private"]}
    return made


@pytest.fixture(params=["spot", "perp"])
async def exchange(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    made = client(ccxt, server)
    made.product_under_test = request.param
    made.market_under_test = SYMBOLS[request.param]
    made.amount_under_test = AMOUNTS[request.param]
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


async def low_price(exchange: Any) -> float:
    """Return a price three percent below the best bid."""
    book = await exchange.fetch_order_book(exchange.market_under_test, 20)
    return float(exchange.price_to_precision(exchange.market_under_test, book["bids"][0][0] * 0.97))


def params(exchange: Any, **more: Any) -> dict[str, Any]:
    """Return order parameters: contracts need a leverage."""
    return ({"leverage": 5} if exchange.product_under_test == "perp" else {}) | more


# -- REST ------------------------------------------------------------------------------------------


async def test_markets_are_understood(exchange: Any, server: SimServer) -> None:
    product = exchange.product_under_test
    truth = server.exchanges["kucoin"].markets[product, IDS[product]].spec
    market = exchange.market(exchange.market_under_test)
    assert (market["id"], market["base"], market["quote"]) == (IDS[product], "BTC", "USDT")
    assert market["active"]
    assert market["swap" if product == "perp" else "spot"]
    assert D(str(market["precision"]["price"])) == truth.tick_size
    if product == "perp":
        assert D(str(market["contractSize"])) == truth.contract_size
        assert D(str(market["precision"]["amount"])) == 1
    else:
        assert D(str(market["precision"]["amount"])) == truth.lot_size
    listed = {row["id"] for row in exchange.markets.values() if row["active"]}
    assert {symbol for _, symbol in server.exchanges["kucoin"].markets} <= listed


async def test_book_trades_tickers_and_candles(exchange: Any) -> None:
    book = await exchange.fetch_order_book(exchange.market_under_test, 100)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) == len(book["asks"]) == 100
    trades = await until(lambda: exchange.fetch_trades(exchange.market_under_test), bool)
    assert trades[-1]["price"] > 0
    ticker = await exchange.fetch_ticker(exchange.market_under_test)
    assert ticker["last"] == pytest.approx(trades[-1]["price"], rel=0.01)
    assert ticker["bid"] < ticker["ask"]
    candles = await exchange.fetch_ohlcv(exchange.market_under_test, "1m")
    assert len(candles[-1]) == 6
    assert abs(await exchange.fetch_time() - time.time() * 1000) < 5000


async def test_an_order_from_birth_to_cancel(exchange: Any) -> None:
    market, price, amount = exchange.market_under_test, await low_price(exchange), exchange.amount_under_test
    order = await exchange.create_order(
        market, "limit", "buy", amount, price, params(exchange, clientOrderId="mine-1", postOnly=True)
    )
    opened = await exchange.fetch_open_orders(market)
    assert [row["id"] for row in opened] == [order["id"]]
    found = await exchange.fetch_order(order["id"], market)
    assert (found["price"], found["amount"], found["filled"]) == (price, amount, 0)
    assert (found["status"], found["clientOrderId"]) == ("open", "mine-1")
    order_id = order["id"]
    if exchange.product_under_test == "spot":
        lower = float(exchange.price_to_precision(market, price * 0.99))
        edited = await exchange.edit_order(order_id, market, "limit", "buy", amount * 2, lower)
        assert edited["id"] != order_id
        order_id = edited["id"]
        opened = await exchange.fetch_open_orders(market)
        assert [(row["id"], row["amount"], row["price"]) for row in opened] == [(order_id, amount * 2, lower)]
    await exchange.cancel_order(order_id, market)
    assert await exchange.fetch_open_orders(market) == []
    assert (await exchange.fetch_order(order_id, market))["status"] == "canceled"


async def test_cancelling_by_client_order_id_and_all(exchange: Any) -> None:
    market, price, amount = exchange.market_under_test, await low_price(exchange), exchange.amount_under_test
    for name in ("one", "two", "three"):
        await exchange.create_order(
            market, "limit", "buy", amount, price, params(exchange, clientOrderId=name)
        )
    await exchange.cancel_order("", market, {"clientOrderId": "two"})
    left = {row["clientOrderId"] for row in await exchange.fetch_open_orders(market)}
    assert left == {"one", "three"}
    await exchange.cancel_all_orders(market)
    assert await exchange.fetch_open_orders(market) == []


async def test_a_market_order_moves_balance_and_position(exchange: Any, server: SimServer) -> None:
    product, market, amount = (
        exchange.product_under_test,
        exchange.market_under_test,
        exchange.amount_under_test,
    )
    kind = {"type": "spot" if product == "spot" else "swap"}
    before = await exchange.fetch_balance(kind)
    order = await exchange.create_order(market, "market", "buy", amount, None, params(exchange))
    found = await exchange.fetch_order(order["id"], market)
    assert (found["status"], found["filled"]) == ("closed", amount)
    after = await exchange.fetch_balance(kind)
    account = server.exchanges["kucoin"].account_named("alice")
    assert account is not None
    wallet = account.balance(product, "USDT").total
    assert after["total"]["USDT"] == pytest.approx(float(wallet), abs=5.0)
    assert after["total"]["USDT"] < before["total"]["USDT"]
    fills = await exchange.fetch_my_trades(market)
    assert sum(D(str(row["amount"])) for row in fills) == D(str(amount))
    assert all(row["fee"]["currency"] == "USDT" for row in fills)
    if product == "spot":
        assert D(str(after["total"]["BTC"])) == account.balance("spot", "BTC").total
        return
    [position] = await exchange.fetch_positions([market])
    assert (position["contracts"], position["side"], position["contractSize"]) == (amount, "long", 0.001)
    funding = await exchange.fetch_funding_rate(market)
    assert funding["fundingRate"] is not None


async def test_refusals_are_recognised(exchange: Any, ccxt: Any, server: SimServer) -> None:
    product, market = exchange.product_under_test, exchange.market_under_test
    price, amount = await low_price(exchange), exchange.amount_under_test
    account = server.exchanges["kucoin"].account_named("alice")
    assert account is not None
    account.balance(product, "USDT").free = D(10)
    gone = "674300010000000000000000" if product == "spot" else "400001000000000000"
    with pytest.raises(ccxt.BaseError, match=r"order_not_exist|100004"):
        await exchange.cancel_order(gone, market)
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order(market, "limit", "buy", amount * 100, price, params(exchange))
    exchange.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError):
        await exchange.fetch_balance()


# -- streams ---------------------------------------------------------------------------------------


async def truth_at(server: SimServer, product: str, sequence: int) -> Any:
    url = f"{server.addresses['admin']}/truth/book"
    query = {"venue": "kucoin", "product": product, "symbol": IDS[product], "at": str(sequence)}
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as reply:
        return await reply.json() if reply.status == 200 else None


async def test_the_watched_book_equals_the_truth_at_its_nonce(exchange: Any, server: SimServer) -> None:
    product, compared = exchange.product_under_test, 0
    unit = D("0.001") if product == "perp" else D(1)
    async with asyncio.timeout(DEADLINE_S):
        while compared < 10:
            book = await exchange.watch_order_book(exchange.market_under_test)
            # the book goes on living while the truth is asked for
            nonce, ours = book["nonce"], {side: _exact(book[side], unit) for side in ("bids", "asks")}
            truth = await truth_at(server, product, nonce)
            if truth is None:
                continue
            assert ours == {side: _exact(truth[side], D(1)) for side in ("bids", "asks")}
            compared += 1


def _exact(rows: Any, unit: D) -> list[tuple[D, D]]:
    """Return the best levels as decimals in base units, as deep as a snapshot reaches."""
    return [(D(str(row[0])), (D(str(row[1])) * unit).normalize()) for row in rows[:900]]


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
        price, number = await low_price(exchange), 0

        async def attempt() -> bool:
            nonlocal number
            number += 1
            name = f"story{number}"
            order = await exchange.create_order(
                exchange.market_under_test, "limit", "buy", exchange.amount_under_test, price,
                params(exchange, clientOrderId=name),
            )  # fmt: skip
            await exchange.cancel_order(order["id"], exchange.market_under_test)
            await asyncio.sleep(0.1)
            return "open" in stories.get(name, []) and "canceled" in stories.get(name, [])

        await until(attempt, bool)
    finally:
        listener.cancel()


async def test_watched_balances_follow_orders(exchange: Any) -> None:
    kind = {"type": "spot" if exchange.product_under_test == "spot" else "swap"}
    listener = asyncio.create_task(exchange.watch_balance(kind))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not listener.done():
                await exchange.create_order(
                    exchange.market_under_test,
                    "market",
                    "buy",
                    exchange.amount_under_test,
                    None,
                    params(exchange),
                )
                await asyncio.sleep(0.1)
        assert (await listener)["total"]["USDT"] > 0
    finally:
        listener.cancel()


# -- the unified account ---------------------------------------------------------------------------


@pytest.fixture(params=["spot", "perp"])
async def unified(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    """Return ccxt with the keys of a unified account, which it finds out by itself."""
    made = client(ccxt, server, "carol")
    made.product_under_test = request.param
    made.market_under_test = SYMBOLS[request.param]
    made.amount_under_test = AMOUNTS[request.param]
    try:
        await made.load_markets()
        yield made
    finally:
        await made.close()


async def test_a_unified_order_from_birth_to_cancel(unified: Any, server: SimServer) -> None:
    market, amount = unified.market_under_test, unified.amount_under_test
    book = await unified.fetch_order_book(market, 20)
    price = float(unified.price_to_precision(market, book["bids"][0][0] * 0.97))
    order = await unified.create_order(market, "limit", "buy", amount, price, {"clientOrderId": "u-1"})
    [opened] = await unified.fetch_open_orders(market)
    assert (opened["id"], opened["price"], opened["status"]) == (order["id"], price, "open")
    found = await unified.fetch_order(order["id"], market)
    assert (found["clientOrderId"], found["filled"]) == ("u-1", 0)
    await unified.cancel_order(order["id"], market)
    assert await unified.fetch_open_orders(market) == []
    await unified.create_order(market, "market", "buy", amount)
    [fill] = await unified.fetch_my_trades(market)
    assert (fill["amount"], fill["takerOrMaker"]) == (amount, "taker")
    account = server.exchanges["kucoin"].account_named("carol")
    assert account is not None
    balance = await unified.fetch_balance()
    assert balance["total"]["USDT"] == pytest.approx(float(account.balance("spot", "USDT").total), abs=5.0)
    if unified.product_under_test == "perp":
        [position] = await unified.fetch_positions([market])
        assert (position["contracts"], position["side"]) == (amount, "long")


async def test_unified_streams_are_understood(unified: Any) -> None:
    market = unified.market_under_test
    trades = await asyncio.wait_for(unified.watch_trades(market, None, None, {"uta": True}), DEADLINE_S)
    assert trades[-1]["symbol"] == market
    book = await asyncio.wait_for(unified.watch_order_book(market, None, {"uta": True}), DEADLINE_S)
    assert book["bids"][0][0] < book["asks"][0][0]
    listener = asyncio.create_task(unified.watch_orders(market))
    low = float(unified.price_to_precision(market, book["bids"][0][0] * 0.97))
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not listener.done():
                await unified.create_order(market, "limit", "buy", unified.amount_under_test, low)
                await asyncio.sleep(0.1)
        assert (await listener)[-1]["symbol"] == market
    finally:
        listener.cancel()
