"""ccxt, unmodified, against the simulated OKX: nothing but addresses differ from the live venue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest

from engine.sim.okx.instruments import Instrument
from engine.sim.okx.wire import OkxWire
from engine.sim.server import SimServer
from tests.conformance.ccxt_rig import (
    DEADLINE_S,
    PRODUCTS,
    assert_stories_are_whole,
    assert_trades_and_tickers_come,
    assert_watched_book_is_true,
    price_below,
    under_test,
    until,
)
from tests.conformance.running_sim import account_of, running_sim

pytestmark = [
    pytest.mark.conformance,
    # ccxt and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]
IDS = {"spot": "BTC-USDT", "perp": "BTC-USDT-SWAP"}
AMOUNTS = {"spot": 0.01, "perp": 1.5}


@pytest.fixture
async def server() -> AsyncIterator[SimServer]:
    async with running_sim("okx") as running:
        yield running


def client(ccxt: Any, server: SimServer, name: str = "alice") -> Any:
    """Return a ccxt exchange by address override alone."""
    account = account_of(server, "okx", name)
    made = ccxt.okx({"apiKey": account.api_key, "secret": account.secret, "password": account.passphrase})
    venue = server.addresses["okx"]
    assert isinstance(venue, dict)
    made.urls["api"]["rest"] = venue["spot"]["rest"]
    made.urls["api"]["ws"] = venue["spot"]["ws_public"].removesuffix("/public")
    return made


@pytest.fixture(params=PRODUCTS)
async def exchange(request: pytest.FixtureRequest, ccxt: Any, server: SimServer) -> AsyncIterator[Any]:
    async with under_test(
        client(ccxt, server), request.param, id=IDS[request.param], amount=AMOUNTS[request.param]
    ) as made:
        yield made


def truth(exchange: Any, server: SimServer) -> Any:
    return server.exchanges["okx"].markets[exchange.product_under_test, exchange.id_under_test]


# -- REST ------------------------------------------------------------------------------------------


async def test_markets_are_understood(exchange: Any, server: SimServer) -> None:
    spec = truth(exchange, server).spec
    market = exchange.market(exchange.market_under_test)
    assert (market["id"], market["base"], market["quote"]) == (exchange.id_under_test, "BTC", "USDT")
    assert market["active"]
    assert market["swap" if exchange.product_under_test == "perp" else "spot"]
    assert D(str(market["precision"]["price"])) == spec.tick_size
    assert D(str(market["precision"]["amount"])) == spec.lot_size / spec.contract_size
    if exchange.product_under_test == "perp":
        assert D(str(market["contractSize"])) == spec.contract_size
        assert (market["linear"], market["settle"]) == (True, "USDT")
    listed = {row["id"] for row in exchange.markets.values() if row["active"]}
    assert {symbol for _, symbol in server.exchanges["okx"].markets} <= listed


async def test_book_trades_tickers_and_time(exchange: Any) -> None:
    book = await exchange.fetch_order_book(exchange.market_under_test, 400)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) == len(book["asks"]) == 400
    trades = await until(lambda: exchange.fetch_trades(exchange.market_under_test), bool)
    assert trades[-1]["price"] > 0
    assert trades[-1]["side"] in ("buy", "sell")
    ticker = await exchange.fetch_ticker(exchange.market_under_test)
    assert ticker["last"] == pytest.approx(trades[-1]["price"], rel=0.01)
    tickers = await exchange.fetch_tickers([exchange.market_under_test])
    assert tickers[exchange.market_under_test]["bid"] > 0
    assert abs(await exchange.fetch_time() - time.time() * 1000) < 5000


async def test_an_order_from_birth_to_cancel(exchange: Any) -> None:
    price, amount = await price_below(exchange), exchange.amount_under_test
    order = await exchange.create_order(
        exchange.market_under_test, "limit", "buy", amount, price, {"postOnly": True}
    )
    opened = await exchange.fetch_open_orders(exchange.market_under_test)
    assert [(row["id"], row["status"], row["postOnly"]) for row in opened] == [(order["id"], "open", True)]
    found = await exchange.fetch_order(order["id"], exchange.market_under_test)
    assert (found["price"], found["amount"], found["filled"]) == (price, amount, 0)
    lower = float(exchange.price_to_precision(exchange.market_under_test, price * 0.99))
    edited = await exchange.edit_order(
        order["id"], exchange.market_under_test, "limit", "buy", amount * 2, lower
    )
    assert edited["id"] == order["id"]
    opened = await exchange.fetch_open_orders(exchange.market_under_test)
    assert [(row["id"], row["amount"], row["price"]) for row in opened] == [(order["id"], amount * 2, lower)]
    await exchange.cancel_order(order["id"], exchange.market_under_test)
    assert await exchange.fetch_open_orders(exchange.market_under_test) == []
    found = await exchange.fetch_order(order["id"], exchange.market_under_test)
    assert found["status"] == "canceled"
    ended = await exchange.fetch_canceled_orders(exchange.market_under_test)
    assert [row["id"] for row in ended] == [order["id"]]


async def test_batches_and_client_ids(exchange: Any) -> None:
    price, amount = await price_below(exchange), exchange.amount_under_test
    symbol = exchange.market_under_test
    wanted = [
        {"symbol": symbol, "type": "limit", "side": "buy", "amount": amount, "price": price,
         "params": {"clOrdId": f"batch{number}"}}
        for number in range(3)
    ]  # fmt: skip
    placed = await exchange.create_orders(wanted)
    assert [row["clientOrderId"] for row in placed] == ["batch0", "batch1", "batch2"]
    await exchange.cancel_orders([row["id"] for row in placed[:2]], symbol)
    assert [row["id"] for row in await exchange.fetch_open_orders(symbol)] == [placed[2]["id"]]
    await exchange.cancel_order(None, symbol, {"clOrdId": "batch2"})
    assert await exchange.fetch_open_orders(symbol) == []


async def test_a_market_order_moves_balance_and_position(exchange: Any, server: SimServer) -> None:
    before = await exchange.fetch_balance()
    amount = 1.5 if exchange.product_under_test == "perp" else 0.05
    params = {} if exchange.product_under_test == "perp" else {"tgtCcy": "base_ccy"}
    order = await exchange.create_order(exchange.market_under_test, "market", "buy", amount, None, params)
    found = await exchange.fetch_order(order["id"], exchange.market_under_test)
    assert (found["status"], found["filled"]) == ("closed", amount)
    after = await exchange.fetch_balance()
    account = account_of(server, "okx")
    assert after["total"]["BTC"] == pytest.approx(float(account.balance("spot", "BTC").total))
    assert after["total"]["USDT"] < before["total"]["USDT"]
    fills = await exchange.fetch_my_trades(exchange.market_under_test)
    assert sum(D(str(row["amount"])) for row in fills) == D(str(amount))
    assert {row["takerOrMaker"] for row in fills} == {"taker"}
    fees = sum(fill.fee for fill in server.exchanges["okx"].fills(account))
    assert sum(D(str(row["fee"]["cost"])) for row in fills) == pytest.approx(fees)
    if exchange.product_under_test == "spot":
        return
    [position] = await exchange.fetch_positions([exchange.market_under_test])
    assert (position["contracts"], position["side"], position["contractSize"]) == (1.5, "long", 0.01)
    await exchange.set_leverage(7, exchange.market_under_test, {"mgnMode": "cross"})
    [position] = await exchange.fetch_positions([exchange.market_under_test])
    assert position["leverage"] == 7
    funding = await exchange.fetch_funding_rate(exchange.market_under_test)
    assert funding["fundingRate"] is not None
    interest = await exchange.fetch_open_interest(exchange.market_under_test)
    assert interest["openInterestAmount"] > 0


async def test_refusals_are_recognised(exchange: Any, ccxt: Any, server: SimServer) -> None:
    symbol, price = exchange.market_under_test, await price_below(exchange)
    account = account_of(server, "okx")
    account.balance("spot", "USDT").free = D(10)
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.cancel_order("999999999", symbol)
    with pytest.raises(ccxt.InsufficientFunds):
        await exchange.create_order(symbol, "limit", "buy", 100 * exchange.amount_under_test, price)
    with pytest.raises(ccxt.InvalidOrder):
        await exchange.create_order(symbol, "limit", "buy", exchange.amount_under_test, price * 2)
    exchange.secret = "wrong"
    with pytest.raises(ccxt.AuthenticationError):
        await exchange.fetch_balance()


# -- streams ---------------------------------------------------------------------------------------


async def test_the_watched_book_equals_the_truth_at_its_nonce(exchange: Any, server: SimServer) -> None:
    size = truth(exchange, server).spec.contract_size
    await assert_watched_book_is_true(exchange, server, "okx", exchange.id_under_test, 400, size)


async def test_a_gap_is_seen_and_repaired(exchange: Any, server: SimServer, ccxt: Any) -> None:
    """What ccxt does with prevSeqId tells whether the chain is the venue's."""
    await asyncio.wait_for(exchange.watch_order_book(exchange.market_under_test), DEADLINE_S)
    server.faults.arm("reset_sequence", venue="okx", symbol=exchange.id_under_test)
    low = truth(exchange, server)
    async with asyncio.timeout(DEADLINE_S):
        while (await exchange.watch_order_book(exchange.market_under_test))["nonce"] > 1_000_000:
            pass
    assert low.published_id < 1_000_000
    server.faults.arm("drop_depth", venue="okx", symbol=exchange.id_under_test)

    async def watch_for_ever() -> None:
        while True:
            await exchange.watch_order_book(exchange.market_under_test)

    with pytest.raises(ccxt.InvalidNonce):
        await asyncio.wait_for(watch_for_ever(), DEADLINE_S)
    book = await asyncio.wait_for(exchange.watch_order_book(exchange.market_under_test), DEADLINE_S)
    assert len(book["bids"]) == 400


async def test_watched_trades_and_tickers(exchange: Any) -> None:
    symbol = exchange.market_under_test
    await assert_trades_and_tickers_come(exchange)
    if exchange.product_under_test == "perp":
        funding = await asyncio.wait_for(exchange.watch_funding_rate(symbol), DEADLINE_S)
        assert funding["symbol"] == symbol
        mark = await asyncio.wait_for(exchange.watch_mark_price(symbol), DEADLINE_S)
        assert mark["markPrice"] > 0


async def test_watched_orders_tell_the_whole_story(exchange: Any) -> None:
    price, amount = await price_below(exchange), exchange.amount_under_test

    async def place(name: str) -> Any:
        return await exchange.create_order(
            exchange.market_under_test, "limit", "buy", amount, price, {"clOrdId": name}
        )

    await assert_stories_are_whole(exchange, place)


async def test_watched_balance_and_positions(exchange: Any, server: SimServer) -> None:
    account = account_of(server, "okx")
    balance = await asyncio.wait_for(exchange.watch_balance(), DEADLINE_S)
    held = {name for name, each in account.balances["spot"].items() if each.total}
    async with asyncio.timeout(DEADLINE_S):
        while not held <= set(balance["total"]):
            balance = await exchange.watch_balance()
    assert balance["total"]["BTC"] == 500
    if exchange.product_under_test == "spot":
        return
    await exchange.create_order(exchange.market_under_test, "market", "sell", 2)
    async with asyncio.timeout(DEADLINE_S):
        while not (positions := await exchange.watch_positions([exchange.market_under_test])):
            pass
    [position] = positions
    assert (position["contracts"], position["side"]) == (2, "short")


async def test_orders_over_the_websocket(exchange: Any, server: SimServer) -> None:
    price, amount = await price_below(exchange), exchange.amount_under_test
    symbol = exchange.market_under_test
    order = await exchange.create_order_ws(symbol, "limit", "buy", amount, price)
    found = await exchange.fetch_order(order["id"], symbol)
    assert (found["status"], found["amount"]) == ("open", amount)
    edited = await exchange.edit_order_ws(order["id"], symbol, "limit", "buy", amount * 2, price)
    assert edited["id"] == order["id"]
    canceled = await exchange.cancel_order_ws(order["id"], symbol)
    assert canceled["id"] == order["id"]
    found = await exchange.fetch_order(order["id"], symbol)
    assert (found["status"], found["amount"]) == ("canceled", amount * 2)


def test_the_markets_have_numbers_for_order_entry(server: SimServer) -> None:
    wire = server._wires["okx"]
    assert isinstance(wire, OkxWire)
    listed: list[Instrument] = wire.venue.listing.all
    assert len({one.code for one in listed}) == len(listed) >= 20
