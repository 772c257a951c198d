"""What the conformance tests of ccxt share: a client under test, and what is asked of it at every venue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal as D
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from engine.sim.server import SimServer

DEADLINE_S = 30.0
SYMBOLS = {"spot": "BTC/USDT", "perp": "BTC/USDT:USDT"}
PRODUCTS = ["spot", "perp"]


def swapped(url: str, base: str) -> str:
    """Return ``url`` at another scheme and host, its path kept."""
    target = urlsplit(base)
    return urlsplit(url)._replace(scheme=target.scheme, netloc=target.netloc).geturl()


@contextlib.asynccontextmanager
async def under_test(made: Any, product: str, **about: Any) -> AsyncIterator[Any]:
    """Lend a ccxt exchange that knows its markets and the one under test; ``about`` is remembered with it."""
    made.product_under_test = product
    made.market_under_test = SYMBOLS[product]
    for name, value in about.items():
        setattr(made, f"{name}_under_test", value)
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


async def price_below(exchange: Any, share: float = 0.97) -> float:
    """Return a price on the tick grid, this share of the best bid; twenty levels are told everywhere."""
    book = await exchange.fetch_order_book(exchange.market_under_test, 20)
    return float(exchange.price_to_precision(exchange.market_under_test, book["bids"][0][0] * share))


async def assert_watched_book_is_true(
    exchange: Any, server: SimServer, venue: str, symbol: str, depth: int, unit: D
) -> None:
    """Compare ten watched books with the exchange's at the same sequence; ``unit`` is base units in one."""
    query = {"venue": venue, "product": exchange.product_under_test, "symbol": symbol}
    url, compared = f"{server.addresses['admin']}/truth/book", 0
    async with asyncio.timeout(DEADLINE_S), aiohttp.ClientSession() as session:
        while compared < 10:
            book = await exchange.watch_order_book(exchange.market_under_test)
            # the book goes on living while the truth is asked for
            ours = {side: exact(book[side][:depth], unit) for side in ("bids", "asks")}
            async with session.get(url, params=query | {"at": str(book["nonce"])}) as reply:
                truth = await reply.json() if reply.status == 200 else None
            if truth is not None:
                assert ours == {side: exact(truth[side][:depth]) for side in ("bids", "asks")}
                compared += 1


def exact(rows: Any, unit: D = D(1)) -> list[tuple[D, D]]:
    """Return levels as decimals, quantities in base units."""
    return [(D(str(row[0])), D(str(row[1])) * unit) for row in rows]


async def assert_trades_and_tickers_come(exchange: Any) -> None:
    symbol = exchange.market_under_test
    trades = await asyncio.wait_for(exchange.watch_trades(symbol), DEADLINE_S)
    assert trades[-1]["symbol"] == symbol
    tops = await asyncio.wait_for(exchange.watch_bids_asks([symbol]), DEADLINE_S)
    assert tops[symbol]["bid"] < tops[symbol]["ask"]
    ticker = await asyncio.wait_for(exchange.watch_ticker(symbol), DEADLINE_S)
    assert ticker["last"] > 0


async def assert_stories_are_whole(exchange: Any, place: Callable[[str], Awaitable[Any]]) -> None:
    """Place by client order id and cancel until a watched order was seen open and then canceled.

    A subscription may begin after an order's first news, hence further orders until one is told whole.
    """
    symbol = exchange.market_under_test
    stories: dict[str, list[str]] = {}

    async def listen() -> None:
        while True:
            for row in await exchange.watch_orders(symbol):
                stories.setdefault(row["clientOrderId"], []).append(row["status"])

    listener = asyncio.create_task(listen())
    number = 0

    async def attempt() -> bool:
        nonlocal number
        number += 1
        name = f"story{number}"
        order = await place(name)
        await exchange.cancel_order(order["id"], symbol)
        await asyncio.sleep(0.1)
        return "open" in stories.get(name, []) and "canceled" in stories.get(name, [])

    try:
        await until(attempt, bool)
    finally:
        listener.cancel()
