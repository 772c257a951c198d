"""ccxt, unmodified, against the simulated KuCoin: nothing but addresses differ from the live venue.

What ccxt 4.5.90 itself gets wrong is not judged here: its unified book moves the nonce without the levels.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.server import SimServer
from tests.conformance.ccxt_rig import (
    DEADLINE_S,
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
IDS = {"spot": "BTC-USDT", "perp": "XBTUSDTM"}
AMOUNTS = {"spot": 0.01, "perp": 10}


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    async with running_sim("kucoin") as running:
        yield running


def client(ccxt: Any, server: SimServer, name: str = "alice") -> Any:
    """Return a ccxt exchange by address override alone."""
    account = account_of(server, "kucoin", name)
    made = ccxt.kucoin({"apiKey": account.api_key, "secret": account.secret, "password": account.passphrase})
    spot, perp = addresses_of(server, "kucoin", "spot"), addresses_of(server, "kucoin", "perp")
    api = made.urls["api"]
    for key, url in api.items():
        if isinstance(url, str):
            api[key] = swapped(url, (perp if key.startswith("futures") else spot)["rest"])
    api["ws"] = {"spot": spot["ws_public"], "futures": perp["ws_public"], "private": spot["ws_private"]}
    return made


@pytest.fixture(params=PRODUCTS)
async def exchange(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    async with under_test(client(ccxt, server), request.param, amount=AMOUNTS[request.param]) as made:
        yield made


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
    market, price, amount = (
        exchange.market_under_test,
        await price_below(exchange),
        exchange.amount_under_test,
    )
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
    market, price, amount = (
        exchange.market_under_test,
        await price_below(exchange),
        exchange.amount_under_test,
    )
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
    account = account_of(server, "kucoin")
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
    price, amount = await price_below(exchange), exchange.amount_under_test
    account = account_of(server, "kucoin")
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


async def test_the_watched_book_equals_the_truth_at_its_nonce(exchange: Any, server: SimServer) -> None:
    product = exchange.product_under_test
    unit = D("0.001") if product == "perp" else D(1)
    # as deep as a snapshot reaches
    await assert_watched_book_is_true(exchange, server, "kucoin", IDS[product], 900, unit)


async def test_watched_trades_and_tickers(exchange: Any) -> None:
    await assert_trades_and_tickers_come(exchange)


async def test_watched_orders_tell_the_whole_story(exchange: Any) -> None:
    price, amount = await price_below(exchange), exchange.amount_under_test

    async def place(name: str) -> Any:
        return await exchange.create_order(
            exchange.market_under_test, "limit", "buy", amount, price, params(exchange, clientOrderId=name)
        )

    await assert_stories_are_whole(exchange, place)


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


@pytest.fixture(params=PRODUCTS)
async def unified(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    """Return ccxt with the keys of a unified account, which it finds out by itself."""
    made = client(ccxt, server, "carol")
    async with under_test(made, request.param, amount=AMOUNTS[request.param]):
        yield made


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
    account = account_of(server, "kucoin", "carol")
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
