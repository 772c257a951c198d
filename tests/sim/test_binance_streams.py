"""Market streams over real sockets: depth chains, snapshots that join, routes, control messages, life
cycle.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal as D
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine.sim.binance.control import answer
from engine.sim.binance.streams import parse_path
from engine.sim.binance.wire import WireOptions
from engine.sim.ports import Settings
from tests.sim.binance_rig import Rig
from tests.sim.loopback_rig import DEADLINE_S, eventually


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


@pytest.fixture
async def lively() -> AsyncIterator[Rig]:
    async with Rig(flow_rate=400) as running:
        yield running


def change(rig: Rig, product: str, ticks_from_middle: int, lots: int, symbol: str = "BTCUSDT") -> None:
    """Set anonymous quantity at a price and publish the batch."""
    market = rig.market(product, symbol)
    middle = round(market.spec.initial_price / market.spec.tick_size)
    side = market.bids if ticks_from_middle < 0 else market.asks
    market.set_background(side, middle + ticks_from_middle, lots)
    rig.exchange.publish(market)


class Replica:
    """A client's book, built by the venue's rules and by nothing else."""

    def __init__(self, product: str) -> None:
        self.product = product
        self.sides: dict[str, dict[D, D]] = {"b": {}, "a": {}}
        self.id = -1
        self.applied = 0

    def load(self, snapshot: dict[str, Any]) -> None:
        self.id = snapshot["lastUpdateId"]
        for key, rows in (("b", snapshot["bids"]), ("a", snapshot["asks"])):
            self.sides[key] = {D(price): D(qty) for price, qty in rows}

    def apply(self, event: dict[str, Any]) -> None:
        first, last = event["U"], event["u"]
        if self.applied == 0:
            if last < self.id + (1 if self.product == "spot" else 0):
                return
            joins = first <= self.id + 1 <= last if self.product == "spot" else first <= self.id <= last
            assert joins or event.get("pu") == self.id, (first, last, event.get("pu"), self.id)
        elif self.product == "spot":
            assert first == self.id + 1
        else:
            assert event["pu"] == self.id
        for key, side in self.sides.items():
            for price, qty in event[key]:
                if D(qty):
                    side[D(price)] = D(qty)
                else:
                    side.pop(D(price), None)
        self.id = last
        self.applied += 1

    def top(self) -> tuple[D, D, D, D]:
        bid, ask = max(self.sides["b"]), min(self.sides["a"])
        return bid, self.sides["b"][bid], ask, self.sides["a"][ask]


# -- books -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("product", ["spot", "perp"])
async def test_a_client_book_joins_chains_and_equals_the_published_one(lively: Rig, product: str) -> None:
    path = "/stream?streams=" if product == "spot" else "/public/stream?streams="
    rest = "/api/v3/depth" if product == "spot" else "/fapi/v1/depth"
    book = Replica(product)
    async with lively.stream(product, path + "btcusdt@depth@100ms/btcusdt@bookTicker") as stream:
        buffered = [await stream.next() for _ in range(5)]
        limit = 5000 if product == "spot" else 1000
        snapshot = (await lively.public(product, rest, symbol="BTCUSDT", limit=limit)).body
        book.load(snapshot)
        tickers: dict[int, tuple[D, D, D, D]] = {}
        checked = 0
        while book.applied < 60:
            frame = buffered.pop(0) if buffered else await stream.next()
            data = frame["data"]
            if frame["stream"].endswith("bookTicker"):
                tickers[data["u"]] = (D(data["b"]), D(data["B"]), D(data["a"]), D(data["A"]))
                continue
            book.apply(data)
            known = [number for number in tickers if number <= data["u"]]
            if known and book.applied:
                assert tickers[max(known)] == book.top()
                checked += 1
        assert checked > 20
    market = lively.market(product)
    truth = market.published_at(book.id)
    assert truth is not None
    tick, lot = market.spec.tick_size, market.spec.lot_size
    if product == "spot":
        assert book.sides["b"] == {price * tick: lots * lot for price, lots in truth.bids.items()}
        assert book.sides["a"] == {price * tick: lots * lot for price, lots in truth.asks.items()}
    best = sorted(truth.bids, reverse=True)[:500]
    assert sorted(book.sides["b"], reverse=True)[:500] == [price * tick for price in best]


async def test_futures_ids_are_shared_by_all_symbols_while_pu_chains(rig: Rig) -> None:
    async with rig.stream("perp", "/public/stream?streams=btcusdt@depth@100ms/ethusdt@depth@0ms") as stream:
        for _ in range(3):
            change(rig, "perp", 5, 7)
            change(rig, "perp", 5, 7, "ETHUSDT")
            change(rig, "perp", 5, 8)
            change(rig, "perp", 5, 8, "ETHUSDT")
        last: dict[str, int] = {}
        everything = []
        for _ in range(12):
            data = (await stream.next())["data"]
            assert data["pu"] == last.get(data["s"], data["pu"])
            last[data["s"]] = data["u"]
            everything += [data["U"], data["u"]]
        assert everything == sorted(everything)
        assert len(set(everything)) == 12


async def test_a_batch_keeps_the_last_of_several_changes_and_removals_are_zero(rig: Rig) -> None:
    async with rig.stream("spot", "/ws/btcusdt@depth@100ms") as stream:
        market = rig.market("spot")
        middle = round(market.spec.initial_price / market.spec.tick_size)
        before = market.last_id
        for lots in (5, 6, 0):
            market.set_background(market.asks, middle + 3, lots)
        market.set_background(market.bids, middle - 2, 9)
        rig.exchange.publish(market)
        data = await stream.next()
        assert (data["U"], data["u"]) == (before + 1, before + 4)
        assert data["a"] == [["60000.03000000", "0.00000000"]]
        assert data["b"] == [["59999.98000000", "0.00009000"]]
        assert not rig.exchange.publish(market)
        assert await stream.silent(lambda _: True)


async def test_an_order_shows_in_the_stream_without_any_flow(rig: Rig) -> None:
    async with rig.stream(
        "spot", "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"
    ) as stream:
        await rig.order("spot", quantity="0.5", price="60000")
        ticker = await stream.next()
        assert ticker["data"] == {
            "u": ticker["data"]["u"], "s": "BTCUSDT", "b": "60000.00000000", "B": "0.50000000",
            "a": "60000.01000000", "A": "0.01000000",
        }  # fmt: skip
        depth = (await stream.next())["data"]
        assert depth["b"] == [["60000.00000000", "0.50000000"]]
        assert depth["U"] <= ticker["data"]["u"] <= depth["u"]
        await rig.order("spot", quantity="0.015", price="60000.02")
        trades = [await stream.until(lambda frame: frame["stream"].endswith("trade")) for _ in range(2)]
        assert trades[1]["data"]["t"] == trades[0]["data"]["t"] + 1
        assert [trade["data"]["m"] for trade in trades] == [False, False]


async def test_slow_streams_collect_and_chain(rig: Rig) -> None:
    async with rig.stream("perp", "/public/stream?streams=btcusdt@depth@500ms/btcusdt@depth@100ms") as stream:
        fast: list[dict[str, Any]] = []
        slow: list[dict[str, Any]] = []
        lots = 100
        while len(slow) < 3:
            lots += 1
            change(rig, "perp", 4, lots)
            frame = await stream.next()
            (slow if frame["stream"].endswith("500ms") else fast).append(frame["data"])
            await asyncio.sleep(0.01)
        assert slow[1]["pu"] == slow[0]["u"]
        assert slow[2]["pu"] == slow[1]["u"]
        assert len(slow[1]["a"]) == 1
        assert len(fast) > 6


async def test_partial_books_look_like_diffs_on_futures_only(rig: Rig) -> None:
    async with (
        rig.stream("spot", "/ws/btcusdt@depth5@100ms") as spot,
        rig.stream("perp", "/public/ws/btcusdt@depth5@100ms") as perp,
    ):
        change(rig, "spot", 3, 1)
        change(rig, "perp", 3, 1)
        frame = await spot.next()
        assert list(frame) == ["lastUpdateId", "bids", "asks"]
        assert len(frame["asks"]) == 5
        frame = await perp.next()
        assert frame["e"] == "depthUpdate"
        assert [len(frame["b"]), len(frame["a"])] == [5, 5]
        assert await perp.silent(lambda _: True)


# -- routes and control ----------------------------------------------------------------------------


async def test_streams_flow_on_their_route_only(rig: Rig) -> None:
    names = ["btcusdt@depth@100ms", "btcusdt@markPrice@1s"]
    for route, expected in (("/public", names[0]), ("/market", names[1]), ("", names[0])):
        async with rig.stream("perp", route + "/stream") as stream:
            assert await stream.ask("SUBSCRIBE", *names) == {"result": None, "id": 1}
            for lots in range(10, 14):
                change(rig, "perp", 3, lots)
            seen = {(await stream.next())["stream"]}
            assert await stream.silent(lambda frame, wanted=expected: frame["stream"] != wanted, 1.2)  # type: ignore[misc]
            assert seen == {expected}


async def test_control_messages(rig: Rig) -> None:
    async with rig.stream("perp", "/public/stream") as stream:
        assert await stream.ask("SUBSCRIBE", "btcusdt@depth@100ms", "nosuch@stream") == {
            "result": None,
            "id": 1,
        }
        listed = await stream.ask("LIST_SUBSCRIPTIONS", request_id="a-uuid-4")
        assert listed == {"result": ["btcusdt@depth@100ms", "nosuch@stream"], "id": "a-uuid-4"}
        assert await stream.ask("GET_PROPERTY", "combined") == {"result": True, "id": 2}
        assert await stream.ask("SET_PROPERTY", "combined", False) == {"result": None, "id": 3}
        change(rig, "perp", 3, 5)
        assert (await stream.next())["e"] == "depthUpdate"
        assert await stream.ask("UNSUBSCRIBE", "btcusdt@depth@100ms", "nosuch@stream") == {
            "result": None,
            "id": 4,
        }
        assert await stream.ask("LIST_SUBSCRIPTIONS") == {"result": [], "id": 5}
        change(rig, "perp", 3, 6)
        assert await stream.silent(lambda _: True)


@pytest.mark.parametrize(
    ("sent", "code", "text", "request_id"),
    [
        ("{nonsense", 3, "Invalid JSON: expected value at line 1 column 2", ...),
        ('{"method":"SUBSCRIBE","params":["a"],"id":[1]}', 2,
         "Invalid request: request ID must be an unsigned integer", ...),
        ('{"method":"SUBSCRIBE","id":1}', 2, "Invalid request: missing field `params` at line 1 column 1", 1),
        ('{"id":7}', 2, "Invalid request: missing field `method` at line 1 column 8", 7),
        ('{"method":"GET_PROPERTY","params":["colour"],"id":1}', 0, "Unknown property", 1),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1,
         "Invalid value type: expected Boolean", 1),
        ('{"method":"SET_PROPERTY","params":["combined",true,1],"id":1}', 2,
         "Invalid request: too many parameters", 1),
        ('{"method":"SUBSCRIBE","params":["a","b","c","d"],"id":1}', 2,
         "Invalid request: too many parameters", 1),
    ],
)  # fmt: skip
async def test_control_errors(rig: Rig, sent: str, code: int, text: str, request_id: Any) -> None:
    from engine.sim.binance.topics import Hub, Subscriber

    subscriber = Subscriber(None, "public", False)  # type: ignore[arg-type]
    body = json.loads(answer(Hub(), subscriber, sent, 3, lambda *_: None))
    assert body["error"] == {"code": code, "msg": text}
    assert body.get("id", ...) == request_id


async def test_an_unknown_method_names_the_known_ones(rig: Rig) -> None:
    async with rig.stream("spot", "/ws") as stream:
        refused = await stream.ask("LISTEN", "x")
        assert refused["error"]["code"] == 2
        assert refused["error"]["msg"].startswith(
            "Invalid request: unknown variant `LISTEN`, expected one of `SUB"
        )


@pytest.mark.parametrize(
    ("product", "target", "expected"),
    [
        ("spot", "/stream-spot/ws/0", ("spot", False, ())),
        ("spot", "/ws/btcusdt@trade/ethusdt@trade", ("spot", False, ("btcusdt@trade", "ethusdt@trade"))),
        ("spot", "/stream?streams=%E6%B5%8Busdt@trade", ("spot", True, ("测usdt@trade",))),
        ("perp", "/public/ws/0", ("public", False, ())),
        ("perp", "/market/stream?streams=btcusdt@aggTrade", ("market", True, ("btcusdt@aggTrade",))),
        ("perp", "/stream", ("legacy", True, ())),
        ("perp", "/private/ws?listenKey=K&events=A/B", ("private", False, ())),
    ],
)
def test_paths(product: str, target: str, expected: tuple[str, bool, tuple[str, ...]]) -> None:
    path = parse_path(product, target)
    assert path is not None
    assert (path.route, path.combined, path.names) == expected
    if "listenKey" in target:
        assert (path.listen_keys, path.events) == (("K",), frozenset({"A", "B"}))


async def test_unknown_paths_get_no_connection(rig: Rig) -> None:
    for product, path in (("spot", "/nothing"), ("perp", "/public/other"), ("spot", "/public/ws")):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(rig.urls[product]["ws_public"] + path):
                pass
        assert refused.value.response.status_code == 404


# -- life ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("product", "path", "allowed"), [("spot", "/ws", 5), ("perp", "/public/ws", 10)])
async def test_too_many_messages_per_second_end_the_connection(
    rig: Rig, product: str, path: str, allowed: int
) -> None:
    async with rig.stream(product, path) as stream:
        for _ in range(4 * allowed):
            await stream.connection.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        with pytest.raises(ConnectionClosed) as closed:
            await stream.until(lambda _: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_pings_and_pongs_count_as_messages(rig: Rig) -> None:
    async with rig.stream("spot", "/ws") as stream:
        for _ in range(20):
            await stream.connection.pong()
        with pytest.raises(ConnectionClosed):
            await stream.next()


async def test_the_venue_pings_and_cuts_who_does_not_answer() -> None:
    options = WireOptions(ping_interval_s=0.05, pong_deadline_s=0.3, connection_attempts=None)
    async with Rig(options=options) as rig:
        async with rig.stream("perp", "/public/ws") as polite:
            await asyncio.sleep(0.5)
            assert await polite.ask("LIST_SUBSCRIPTIONS") == {"result": [], "id": 1}
        async with rig.stream("perp", "/public/ws") as silent:
            silent.connection.protocol.receive_data = lambda data: None  # type: ignore[method-assign]
            hub = rig.wire.products["perp"].hub
            await eventually(lambda: not hub.subscribers, "the silent client is cut")


async def test_connections_have_a_life_and_spot_says_goodbye() -> None:
    async with Rig(settings=Settings(time_scale=86_400 / 0.3)) as rig:
        for path, wrapped in (("/ws", False), ("/stream", True)):
            async with rig.stream("spot", path) as stream:
                notice = await stream.next()
                event = notice["data"] if wrapped else notice
                assert event["e"] == "serverShutdown"
                assert notice.get("stream") == ("!serverShutdown" if wrapped else None)
                with pytest.raises(ConnectionClosed):
                    await stream.next()
        async with rig.stream("perp", "/public/ws") as stream:
            with pytest.raises(ConnectionClosed):
                await stream.next()


async def test_connection_attempts_are_limited_on_spot() -> None:
    async with Rig(options=WireOptions(connection_attempts=3)) as rig:
        for _ in range(3):
            async with rig.stream("spot", "/ws"):
                pass
        with pytest.raises(InvalidStatus) as refused:
            async with rig.stream("spot", "/ws"):
                pass
        assert refused.value.response.status_code == 429


async def test_a_consumer_that_does_not_read_is_cut() -> None:
    async with Rig() as rig:
        product = rig.wire.products["spot"]
        async with rig.stream("spot", "/ws/btcusdt@depth@100ms", max_queue=1) as stream:
            [subscriber] = product.hub.subscribers
            subscriber.outlet.buffer_limit = 100_000
            stream.connection.transport.pause_reading()
            market = rig.market("spot")
            middle = round(market.spec.initial_price / market.spec.tick_size)
            for round_number in range(20_000):
                for distance in range(1, 31):
                    market.set_background(market.asks, middle + distance, 1000 + round_number % 7 + distance)
                rig.exchange.publish(market)
                if round_number % 50 == 0:
                    await asyncio.sleep(0)
                if not product.hub.subscribers:
                    break
            await eventually(lambda: not product.hub.subscribers, "the slow consumer is cut")
            stream.connection.transport.abort()


async def test_second_streams(lively: Rig) -> None:
    names = "btcusdt@markPrice@1s/!markPrice@arr@1s/btcusdt@ticker/!miniTicker@arr"
    names += "/btcusdt@kline_1m/btcusdt@aggTrade"
    wanted = set(names.split("/"))
    async with lively.stream("perp", "/market/stream?streams=" + names) as stream:
        kinds: dict[str, Any] = {}
        async with asyncio.timeout(DEADLINE_S):
            while set(kinds) != wanted:
                frame = await stream.next()
                kinds[frame["stream"]] = frame["data"]
    assert kinds["btcusdt@markPrice@1s"]["E"] % 1000 == 0
    assert [row["s"] for row in kinds["!markPrice@arr@1s"]] == ["BTCUSDT", "ETHUSDT"]
    assert kinds["btcusdt@kline_1m"]["k"]["i"] == "1m"
