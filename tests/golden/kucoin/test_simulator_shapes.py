"""The simulator's messages have the fields, types and number formats of the real and documented ones."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from tests.sim.kucoin_rig import Rig, Socket

HF = "/api/v1/hf"
NUMBER = re.compile(r"-?\d+\.?\d*")

# Shapes written down by hand from the venue's documentation: they hold without any recording.
OBU_SNAPSHOT = (
    '{"T":"obu.FUTURES", "dp":"increment@10ms", "t":"snapshot", "P":1, "d":{"a":[["2","9"]],"b":[["1","2"]],'
    '"s":"XBTUSDTM","C":1,"M":1,"O":1}}'
)
OBU_DELTA = (
    '{"T":"obu.FUTURES", "dp":"increment@10ms", "t":"delta", "P":1, "d":{"a":[],"b":[["1","2"]],"C":1,'
    '"s":"XBTUSDTM","M":1,"O":1}}'
)
TRADE_WELCOME = '{"sessionId":"a", "data": "welcome", "pingInterval": 18000, "pingTimeout": 10000}'


def _typed(found: re.Match[str]) -> str:
    """Keep a key, reduce a text."""
    return found[0] if found[1] else '"s"'


def skeleton(text: str | bytes) -> str:
    """Reduce a message to its punctuation, spaces and keys; values to their type, pairs of a side to one."""
    plain = text.decode() if isinstance(text, bytes) else text
    plain = re.sub(r'"(?:[^"\\]|\\.)*"(\s*:)?', _typed, plain)
    plain = re.sub(r"(?<=[:,\[ ])-?\d+(\.\d+)?(E-?\d+)?", "0", plain)
    return re.sub(r'(\["s","s"\],?)+', '["s","s"]', plain)


class Mismatch(AssertionError):
    """What differs, and where."""


def covers(ours: Any, real: Any, where: str, absent: frozenset[str] = frozenset()) -> int:
    """Check that ours has every field of the real message, with its type; return how many were compared.

    ``null`` on either side says nothing about the type; lists are compared by their first elements; a whole
    number may stand where a fraction may.
    """
    if ours is None or real is None:
        return 1
    if isinstance(real, dict):
        if not isinstance(ours, dict):
            raise Mismatch(f"{where}: an object is {ours!r}")
        missing = {key for key in real if key not in ours} - absent
        if missing:
            raise Mismatch(f"{where}: {sorted(missing)} missing")
        return sum(
            covers(ours[key], item, f"{where}.{key}", absent) for key, item in real.items() if key in ours
        )
    if isinstance(real, list):
        if not isinstance(ours, list):
            raise Mismatch(f"{where}: a list is {ours!r}")
        return 1 + (covers(ours[0], real[0], f"{where}[0]", absent) if ours and real else 0)
    for kind in (bool, str):
        if isinstance(real, kind) != isinstance(ours, kind):
            raise Mismatch(f"{where}: {real!r} here is {ours!r}")
    stamps = isinstance(real, int) and isinstance(ours, int) and min(real, ours) > 10**11
    if stamps and len(str(real)) != len(str(ours)):
        raise Mismatch(f"{where}: {real} has another unit than {ours}")
    is_number = isinstance(real, str) and NUMBER.fullmatch(real) is not None
    if is_number and ours and not NUMBER.fullmatch(ours):
        raise Mismatch(f"{where}: the number {real!r} is {ours!r}")
    return 1


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def lines(folder: Path, name: str) -> Iterator[str]:
    for line in (folder / "kucoin" / name).read_text().splitlines():
        if line.strip():
            yield line


def test_the_shape_language_tells_differences() -> None:
    assert covers({"a": "1.5", "b": 2, "c": None, "more": 1}, {"a": "2", "b": 0.5, "c": "x"}, "") == 3
    for ours, real in (
        ({}, {"a": 1}), ({"a": 1}, {"a": "1"}), ({"a": True}, {"a": 1}), ({"a": [1]}, {"a": ["1"]}),
        ({"a": "x"}, {"a": "1"}), ({"a": 1_795_782_126_597}, {"a": 1_795_782_126_597_000_000}), ([], {}),
    ):  # fmt: skip
        with pytest.raises(Mismatch):
            covers(ours, real, "")
    assert skeleton('{"a":["1","2"], "b":3}') == skeleton('{"a":["x","y"], "b":-4.5E-3}')
    assert skeleton('{"a":1,"b":2}') != skeleton('{"b":1,"a":2}')


async def test_written_down_shapes(rig: Rig) -> None:
    socket = await rig.push()
    await socket.follow("obu", tradeType="FUTURES", symbol="XBTUSDTM", depth="increment@10ms")
    await socket.topic("obu.FUTURES", t="snapshot")
    assert skeleton(socket.raw[-1]) == skeleton(OBU_SNAPSHOT)
    await rig.future(price="59999.9")
    await socket.topic("obu.FUTURES", t="delta")
    assert skeleton(socket.raw[-1]) == skeleton(OBU_DELTA)
    trade = await rig.trade()
    assert skeleton(trade.raw[1]) == skeleton(TRADE_WELCOME)


# -- captured frames: the text itself --------------------------------------------------------------


async def captured(rig: Rig, real: dict[str, Any], push: Socket, classic: Socket) -> str | bytes:
    """Make the simulator say what was captured; return its text."""
    if real.get("message") == "welcome":
        return push.raw[0]
    if real.get("type") == "welcome":
        return classic.raw[0]
    if "ts" in real:
        await push.ask({"id": "p", "type": "ping"})
        return push.raw[-1]
    if real.get("type") == "pong":
        await classic.ask({"id": "p", "type": "ping"})
        return classic.raw[-1]
    if "result" in real:
        depth = "increment@10ms" if real["result"] else "7"
        await push.follow("obu", "r", tradeType="FUTURES", symbol="XBTUSDTM", depth=depth)
        return push.raw[-1]
    if real.get("type") == "error":
        await classic.subscribe("/nothing", "e")
        return classic.raw[-1]
    if real.get("T", "").startswith("obu"):
        await push.follow("obu", "o", tradeType="FUTURES", symbol="ETHUSDTM", depth="increment@10ms")
        if real["t"] == "delta":
            await rig.future(symbol="ETHUSDTM", price="2999.99")
        await push.until(lambda each: each.get("t") == real["t"] and each["d"]["s"] == "ETHUSDTM")
        return push.raw[-1]
    if real.get("T") == "mark-price":
        await push.follow("mark-price", "m", symbol="XBTUSDTM")
        await push.topic("mark-price")
        return push.raw[-1]
    await classic.subscribe(real["topic"], "t")
    if "level2" in real["topic"]:
        await rig.future()
    await classic.topic(real["topic"], **({"granularity": 1000} if "instrument" in real["topic"] else {}))
    return classic.raw[-1]


async def test_captured_frames_are_said_letter_by_letter(rig: Rig, shared_fixtures: Path) -> None:
    push, classic = await rig.push(), await rig.classic("perp")
    compared = 0
    for text in lines(shared_fixtures, "captured_2026-09-22/frames.jsonl"):
        real = json.loads(text)
        if "action" in real or (real.get("type") == "ping"):
            continue  # what the client said
        ours = await captured(rig, real, push, classic)
        loose = {"obu": '"a":[],"b":[["s","s"]]'}
        mine, theirs = skeleton(ours), skeleton(text)
        if real.get("t") == "delta":
            mine = re.sub(r'"a":\[.*?\],"b":\[.*?\](?=,"C")', loose["obu"], mine)
            theirs = re.sub(r'"a":\[.*?\],"b":\[.*?\](?=,"C")', loose["obu"], theirs)
        assert mine == theirs
        compared += 1
    assert compared == 12


# -- REST ------------------------------------------------------------------------------------------

ABSENT = {
    "GET /api/v1/market/candles": frozenset(),
    "GET /api/v1/kline/query": frozenset(),
    "GET /api/v1/funding-rate/{symbol}/current": frozenset({"predictedValue"}),
    "GET /api/v1/contracts/active": frozenset(),
}
"""Fields of old samples that the venue does not send any more."""


async def prepare(rig: Rig) -> dict[str, str]:
    """Give alice orders, fills, positions and funding on both products; return ids for paths and queries."""
    await rig.spot(type="market", size="0.5", price="")
    await rig.future(type="market", price="", size=20)
    rig.exchange.settle_funding(rig.market("XBTUSDTM"), rig.clock.now_ms())
    spot = (await rig.spot(clientOid="spot-open"))["data"]["orderId"]
    future = (await rig.future(clientOid="future-open"))["data"]["orderId"]
    return {"spot": spot, "future": future}


def requests(ids: dict[str, str]) -> dict[str, tuple[str, str, str, Any]]:
    """Return operation to (product, method, target, body); private ones are all signed as alice."""
    btc, xbt = "symbol=BTC-USDT", "symbol=XBTUSDTM"
    order = {"clientOid": "g1", "symbol": "BTC-USDT", "side": "buy", "type": "limit", "size": "0.01",
             "price": "58000"}  # fmt: skip
    lots = {"clientOid": "h1", "symbol": "XBTUSDTM", "side": "buy", "type": "limit", "size": 1,
            "price": "58000", "leverage": 3}  # fmt: skip
    return {
        "GET /api/v1/account-overview": ("perp", "GET", "/api/v1/account-overview?currency=USDT", None),
        "GET /api/v1/hf/accounts/opened": ("spot", "GET", f"{HF}/accounts/opened", None),
        "GET /api/v1/transaction-history": ("perp", "GET", "/api/v1/transaction-history", None),
        "GET /api/v1/base-fee": ("spot", "GET", "/api/v1/base-fee", None),
        "GET /api/v1/funding-rate/{symbol}/current": (
            "perp", "GET", "/api/v1/funding-rate/XBTUSDTM/current", None,
        ),
        "GET /api/v1/contracts/active": ("perp", "GET", "/api/v1/contracts/active", None),
        "GET /api/v1/index/query": ("perp", "GET", "/api/v1/index/query?symbol=.KXBTUSDT", None),
        "GET /api/v1/kline/query": ("perp", "GET", f"/api/v1/kline/query?{xbt}&granularity=1", None),
        "GET /api/v1/level2/snapshot": ("perp", "GET", f"/api/v1/level2/snapshot?{xbt}", None),
        "GET /api/v1/premium/query": ("perp", "GET", "/api/v1/premium/query?symbol=.XBTUSDTMPI", None),
        "GET /api/v1/ticker": ("perp", "GET", f"/api/v1/ticker?{xbt}", None),
        "GET /api/v1/trade-statistics": ("perp", "GET", "/api/v1/trade-statistics", None),
        "futures POST /api/v1/bullet-private": ("perp", "POST", "/api/v1/bullet-private", None),
        "POST /api/v1/bullet-private": ("spot", "POST", "/api/v1/bullet-private", None),
        "futures GET /api/v1/fills": ("perp", "GET", "/api/v1/fills", None),
        "GET /api/v1/recentFills": ("perp", "GET", "/api/v1/recentFills", None),
        "futures GET /api/v1/orders": ("perp", "GET", "/api/v1/orders?status=active", None),
        "GET /api/v1/orders/{order-id}": ("perp", "GET", f"/api/v1/orders/{ids['future']}", None),
        "futures POST /api/v1/orders": ("perp", "POST", "/api/v1/orders", lots),
        "futures POST /api/v1/orders/test": (
            "perp", "POST", "/api/v1/orders/test", lots | {"clientOid": "h2"},
        ),
        "GET /api/v1/contracts/risk-limit/{symbol}": (
            "perp", "GET", "/api/v1/contracts/risk-limit/XBTUSDTM", None,
        ),
        "GET /api/v1/positions": ("perp", "GET", "/api/v1/positions", None),
        "GET /api/v2/getCrossUserLeverage": ("perp", "GET", f"/api/v2/getCrossUserLeverage?{xbt}", None),
        "GET /api/v2/position/getMarginMode": ("perp", "GET", f"/api/v2/position/getMarginMode?{xbt}", None),
        "GET /api/v1/market/allTickers": ("spot", "GET", "/api/v1/market/allTickers", None),
        "GET /api/v1/market/candles": ("spot", "GET", f"/api/v1/market/candles?{btc}&type=1min", None),
        "GET /api/v1/market/orderbook/level2_{size}": (
            "spot", "GET", f"/api/v1/market/orderbook/level2_20?{btc}", None,
        ),
        "GET /api/v1/markets": ("spot", "GET", "/api/v1/markets", None),
        "GET /api/v1/timestamp": ("spot", "GET", "/api/v1/timestamp", None),
        "GET /api/v2/symbols/{symbol}": ("spot", "GET", "/api/v2/symbols/BTC-USDT", None),
        "GET /api/v3/currencies/{currency}": ("spot", "GET", "/api/v3/currencies/BTC", None),
        "GET /api/v1/hf/orders/active": ("spot", "GET", f"{HF}/orders/active?{btc}", None),
        "GET /api/v1/hf/orders/active/symbols": ("spot", "GET", f"{HF}/orders/active/symbols", None),
        "GET /api/v1/hf/orders/{orderId}": ("spot", "GET", f"{HF}/orders/{ids['spot']}?{btc}", None),
        "GET /api/v1/hf/orders/dead-cancel-all/query": (
            "spot", "GET", f"{HF}/orders/dead-cancel-all/query", None,
        ),
        "POST /api/v1/hf/orders/sync": ("spot", "POST", f"{HF}/orders/sync", order),
        "POST /api/v1/hf/orders/multi": (
            "spot", "POST", f"{HF}/orders/multi", {"orderList": [order | {"clientOid": "g2"}]},
        ),
        "DELETE /api/v1/hf/orders/sync/client-order/{clientOid}": (
            "spot", "DELETE", f"{HF}/orders/sync/client-order/g1?{btc}", None,
        ),
        "POST /api/v1/hf/orders/alter": (
            "spot", "POST", f"{HF}/orders/alter",
            {"symbol": "BTC-USDT", "clientOid": "spot-open", "newPrice": "57000"},
        ),
        "DELETE /api/v1/hf/orders": ("spot", "DELETE", f"{HF}/orders?symbol=ETH-USDT", None),
        "DELETE /api/v1/hf/orders/cancelAll": ("spot", "DELETE", f"{HF}/orders/cancelAll", None),
        "futures DELETE /api/v1/orders/multi-cancel": (
            "perp", "DELETE", "/api/v1/orders/multi-cancel", {"orderIdsList": [ids["future"]]},
        ),
        "futures DELETE /api/v1/orders": ("perp", "DELETE", f"/api/v1/orders?{xbt}", None),
    }  # fmt: skip


async def test_rest_answers_have_the_documented_fields(rig: Rig, shared_fixtures: Path) -> None:
    asked = requests(await prepare(rig))
    await rig.call("POST", f"{HF}/orders/dead-cancel-all", {"timeout": 60})
    samples: dict[str, Any] = {}
    for text in lines(shared_fixtures, "official_spec_samples/rest.jsonl"):
        row = json.loads(text)
        name = f"futures {row['op']}" if row["api"].startswith("futures") else row["op"]
        samples[name if name in asked else row["op"]] = row["response"]
    compared = fields = 0
    for name, (product, method, target, body) in asked.items():
        text = "" if body is None else json.dumps(body)
        status, ours, _ = await rig.raw(product, method, target, text, "alice")
        assert (status, ours["code"]) == (200, "200000"), (name, ours)
        fields += covers(ours["data"], samples[name]["data"], name, ABSENT.get(name, frozenset()))
        compared += 1
    assert compared == len(asked) == 43
    assert fields > 500


def transcripts(folder: Path, group: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (name, target, body) of the recorded REST transcripts of a group."""
    for path in sorted(
        (folder / "kucoin" / "client_samples_kucoin_net" / "Endpoints" / group).rglob("*.txt")
    ):
        method, target, _, *rest = path.read_text().splitlines()
        yield path.stem, f"{method} {target}", json.loads("\n".join(rest))


async def test_unified_answers_have_the_fields_of_real_ones(rig: Rig, shared_fixtures: Path) -> None:
    body = {
        "tradeType": "FUTURES", "clientOid": "u1", "symbol": "XBTUSDTM", "side": "BUY",
        "orderType": "MARKET", "size": "20", "sizeUnit": "UNIT",
    }  # fmt: skip
    base = "/api/ua/v1"
    await rig.call("POST", f"{base}/unified/order/place", body, name="carol")
    resting = body | {"clientOid": "u2", "orderType": "LIMIT", "price": "58000"}
    asked = {
        "PlaceOrder": ("POST", f"{base}/unified/order/place", resting),
        "GetOpenOrders": ("GET", f"{base}/unified/order/open-list?tradeType=FUTURES", None),
        "GetPositions": ("GET", f"{base}/unified/position/open-list", None),
        "GetBalances": ("GET", f"{base}/unified/account/balance", None),
        "GetAccountMode": ("GET", f"{base}/account/mode", None),
        "GetOrderBook": ("GET", f"{base}/market/orderbook?tradeType=SPOT&symbol=BTC-USDT", None),
        "GetFuturesSymbols": ("GET", f"{base}/market/instrument?tradeType=FUTURES", None),
    }
    real = {name: sample for name, _, sample in transcripts(shared_fixtures, "Unified")}
    assert set(real) == set(asked)
    for name, (method, target, sent) in asked.items():
        text = "" if sent is None else json.dumps(sent)
        _, ours, _ = await rig.raw("spot", method, target, text, "carol")
        assert covers(ours["data"], real[name]["data"], name) > 1


# -- pushes ----------------------------------------------------------------------------------------


async def documented_pushes(rig: Rig) -> dict[str, list[Any]]:
    """Subscribe to everything, let everything happen once, and return the messages by topic."""
    sockets = []
    for product, name, topics in (
        ("spot", None, ("/market/candles:BTC-USDT_1min", "/market/match:BTC-USDT",
                        "/market/snapshot:BTC-USDT", "/market/ticker:BTC-USDT",
                        "/spotMarket/level2Depth50:BTC-USDT", "/market/level2:BTC-USDT")),
        ("spot", "alice", ("/account/balance", "/spotMarket/tradeOrders", "/spotMarket/tradeOrdersV2")),
        ("perp", None, ("/contractMarket/execution:XBTUSDTM", "/contractMarket/level2Depth50:XBTUSDTM",
                        "/contractMarket/limitCandle:XBTUSDTM_1min", "/contractMarket/ticker:XBTUSDTM",
                        "/contract/announcement", "/contractMarket/tickerV2:XBTUSDTM",
                        "/contract/instrument:XBTUSDTM")),
        ("perp", "alice", ("/contract/position:XBTUSDTM", "/contractAccount/wallet", "/contract/positionAll",
                           "/contractMarket/tradeOrders")),
    ):  # fmt: skip
        socket = await rig.classic(product, name)
        for number, topic in enumerate(topics):
            await socket.subscribe(topic, f"n{number}")
        sockets.append((socket, topics))
    await prepare(rig)
    heard: dict[str, list[Any]] = {}
    for socket, topics in sockets:
        missing = set(topics)
        while missing:
            message = await socket.until(lambda each: "topic" in each)
            if "tradeOrders" not in message["topic"] or message["data"]["type"] == "open":
                missing.discard(message["topic"])
        for message in socket.seen:
            if "topic" in message:
                heard.setdefault(message["topic"], []).append(message)
    return heard


async def test_classic_pushes_have_the_documented_fields(rig: Rig, shared_fixtures: Path) -> None:
    heard = await documented_pushes(rig)
    compared = 0
    old = frozenset({"Time", "marketChange1h", "marketChange4h", "marketChange24h", "siteTypes"})
    for text in lines(shared_fixtures, "official_spec_samples/ws.jsonl"):
        row = json.loads(text)
        name = re.sub(r"\{symbol\},\{symbol\}|\{symbol\}", "*", row["op"]).replace("_{type}", "_1min")
        symbol = "XBTUSDTM" if row["api"].startswith("futures") else "BTC-USDT"
        topic = name.replace("*", symbol)
        if row["op"].startswith(("/callauction", "/contract/crossLeverage")):
            continue  # topics of things that do not happen here
        if topic == "/contract/announcement:XBTUSDTM":
            topic = "/contract/announcement"
        real = row["response"]
        fitting = [each for each in heard[topic] if each["subject"] == real["subject"]
                   and real["data"].get("type") in (None, each["data"].get("type"))]  # fmt: skip
        assert fitting, topic
        covers(fitting[0], real, topic, old)
        compared += 1
    assert compared == 15


async def test_frames_of_real_accounts_are_covered(rig: Rig, shared_fixtures: Path) -> None:
    heard = await documented_pushes(rig)
    wallet, order, balance = (
        json.loads(text) for text in lines(shared_fixtures, "ccxt_comment_frames/frames.jsonl")
    )
    covers(heard["/contractAccount/wallet"][0], wallet, "wallet")
    matches = [
        each["data"] for each in heard["/contractMarket/tradeOrders"] if each["data"]["type"] == "match"
    ]
    covers(matches[0], order, "order")
    carol = await rig.private("carol")
    await carol.follow("balance", accountType="UNIFIED")
    rig.account("carol").balance("spot", "USDT").free += D(1)
    rig.wire.venue.on_balance(rig.account("carol"), "perp", ("USDT",))
    covers(await carol.topic("balance.UNIFIED"), balance, "balance")


async def test_the_recorded_spot_session_is_covered(rig: Rig, shared_fixtures: Path) -> None:
    heard = await documented_pushes(rig)
    compared: dict[str, int] = {}
    for line in lines(shared_fixtures, "recorded_2021-04-25/ws_frames.txt"):
        text = line.partition(": ")[2]
        if "<-" in line.partition(": ")[0] or '"topic"' not in text:
            continue
        real = json.loads(text)
        kind = real["topic"].partition(":")[0]
        if compared.get(kind, 0) < 50:
            topic = {"/market/candles": "/market/candles:BTC-USDT_1min"}.get(kind, f"{kind}:BTC-USDT")
            covers(heard[topic][0], real, kind)
            compared[kind] = compared.get(kind, 0) + 1
    assert set(compared) == {"/market/level2", "/market/ticker", "/market/match", "/market/candles"}


async def test_unified_pushes_have_the_fields_of_real_ones(rig: Rig, shared_fixtures: Path) -> None:
    folder = shared_fixtures / "kucoin" / "client_samples_kucoin_net" / "Subscriptions" / "Unified"
    real = {path.stem: json.loads(path.read_text().partition("\n= \n")[2]) for path in folder.glob("*.txt")}
    spot, alice = await rig.push("spot"), await rig.private()
    await spot.follow("obu", "1", tradeType="SPOT", symbol="BTC-USDT", depth="increment@10ms")
    await spot.follow("trade", "2", tradeType="SPOT", symbol="BTC-USDT")
    await alice.follow("orderAll", "3", tradeType="SPOT")
    await alice.follow("balance", "4", accountType="FUTURES")
    await prepare(rig)
    ours = {
        "Trade": await spot.topic("trade.SPOT"),
        "Order": await alice.topic("orderAll.SPOT", eT="FILL"),
        "Balance": next(
            (each for each in alice.seen if each.get("T") == "balance.FUTURES"), None
        ) or await alice.topic("balance.FUTURES"),
    }  # fmt: skip
    snapshots = [each for each in spot.seen if each.get("t") == "snapshot"]
    ours["OrderBook"] = snapshots[0] if snapshots else await spot.topic("obu.SPOT", t="snapshot")
    assert set(real) == set(ours)
    for name, message in ours.items():
        covers(message, real[name], name)
