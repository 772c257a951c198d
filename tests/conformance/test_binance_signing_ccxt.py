"""Our signed requests against ccxt's for the same wishes: path, parameters, signature, to the byte.

ccxt is never connected: what it is about to send is caught at ``fetch`` (REST) and ``watch`` (sockets).
Both sides send parameters in the same order, so REST is compared as whole text. The WebSocket API signs
sorted parameters; there ccxt adds two of its own (``returnRateLimits``, a second spelling of the client
order id), so its signing function is given our parameters instead, and its message is compared as a set.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import time_machine

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import AmendOrder, NewOrder, OrderType, TimeInForce
from engine.venues.base import Credentials, HttpRequest, Secret
from engine.venues.binance.adapter import BinanceTrading
from engine.venues.binance.endpoints import LIVE
from engine.venues.binance.instruments import decode_listing
from tests.conformance.caught import Request, Sent, caught, caught_request, order_on

pytestmark = [
    pytest.mark.conformance,
    # ccxt and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "binance"
NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC)
STAMP = int(NOW.timestamp() * 1000)
RECV_WINDOW_MS = 10_000
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRETS = {
    "hmac": "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    "ed25519": "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7\n"
    "-----END PRIVATE KEY-----\n",
}
UNIFIED = {Product.SPOT: "BTC/USDT", Product.PERP: "BTC/USDT:USDT"}


class Pair:
    """Our adapter and a ccxt client of the same account and product."""

    def __init__(self, product: Product, secret: str) -> None:
        # imported here: ccxt takes seconds, and is not always installed
        ccxt = pytest.importorskip("ccxt.pro", reason="the conformance extra brings ccxt")
        rows = {}
        known: dict[Product, dict[str, Instrument]] = {}
        for each in Product:
            body = (GOLDEN / f"http_exchange_info_{each.value}.json").read_bytes()
            known[each] = {one.symbol: one for one in decode_listing(each, body).instruments}
            rows[each] = msgspec.json.decode(body)["symbols"]
        options = {
            "crossMarginPairsData": [],
            "isolatedMarginPairsData": [],
            "recvWindow": RECV_WINDOW_MS,
            "warnOnFetchOpenOrdersWithoutSymbol": False,
        }
        self.ccxt: Any = ccxt.binance(
            {"apiKey": KEY, "secret": secret, "options": options, "enableRateLimit": False}
        )
        markets = [row for each in Product for row in rows[each] if row["symbol"] in ("BTCUSDT", "测试USDT")]
        self.ccxt.set_markets([self.ccxt.parse_market(row) for row in markets])
        self.product = product
        self.known = known[product]
        self.btc = known[product]["BTCUSDT"]
        self.symbol = UNIFIED[product]
        self.adapter = BinanceTrading(
            product, LIVE[product], Credentials(Secret(KEY), Secret(secret)), self.known, RECV_WINDOW_MS
        )

    def rest(self, method: str, *arguments: Any) -> Request:
        """Return the request that ccxt would send."""
        return caught_request(NOW, self.ccxt, method, *arguments)

    def socket(self, method: str, *arguments: Any) -> tuple[str, dict[str, Any]]:
        """Return (url, message) that ccxt would send on its order-entry connection."""

        async def watch(url: str, message_hash: str, message: Any = None, *rest: Any) -> None:
            raise Sent(url, message)

        self.ccxt.watch = watch
        url, message = caught(NOW, lambda: getattr(self.ccxt, method)(*arguments))
        return url, message


@pytest.fixture(params=list(Product), ids=lambda product: product.value, scope="module")
def product(request: pytest.FixtureRequest) -> Product:
    chosen: Product = request.param
    return chosen


@pytest.fixture(params=sorted(SECRETS), scope="module")
def pair(request: pytest.FixtureRequest, product: Product) -> Pair:
    return Pair(product, SECRETS[request.param])


def order(pair: Pair, **changes: Any) -> NewOrder:
    return order_on("binance", pair.btc, **{"client_order_id": "te1-1"} | changes)


def numbers(pair: Pair, wish: NewOrder) -> tuple[float, float | None]:
    price = float(pair.btc.price(wish.price)) if wish.price else None
    return float(pair.btc.qty(wish.qty)), price


def assert_same(ours: HttpRequest, theirs: Request) -> None:
    verb, target, body, headers = theirs
    assert (ours.method, ours.target, ours.body.decode()) == (verb, target, body)
    sent = dict(line.split(": ", 1) for line in ours.headers.decode().splitlines())
    if ours.method in ("POST", "PUT"):
        sent["Content-Type"] = ours.content_type
    assert sent == headers


WISHES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("limit", {}, {}),
    ("sell", {"side": Side.SELL}, {}),
    ("ioc", {"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC"}),
    ("fok", {"time_in_force": TimeInForce.FOK}, {"timeInForce": "FOK"}),
    ("post only", {"post_only": True}, {"postOnly": True}),
    ("market", {"order_type": OrderType.MARKET, "price": 0}, {}),
    ("reduce only", {"reduce_only": True}, {"reduceOnly": True}),
    (
        "reduce only market",
        {"order_type": OrderType.MARKET, "price": 0, "reduce_only": True},
        {"reduceOnly": True},
    ),
]


@pytest.mark.parametrize(("changes", "params"), [row[1:] for row in WISHES], ids=[row[0] for row in WISHES])
def test_place(pair: Pair, changes: dict[str, Any], params: dict[str, Any]) -> None:
    if pair.product is Product.SPOT and "reduceOnly" in params:
        pytest.skip("spot has no reduce-only orders")
    wish = order(pair, **changes)
    ours = pair.adapter.place_http(wish, pair.btc, STAMP)
    # The one thing that ccxt cannot know: how long an answer we are ready to wait for.
    response = "ACK" if b"newOrderRespType=ACK" in ours.body else "RESULT"
    qty, price = numbers(pair, wish)
    theirs = pair.rest(
        "create_order", pair.symbol, wish.order_type.value, wish.side.word, qty, price,
        {"clientOrderId": "te1-1", "newOrderRespType": response} | params,
    )  # fmt: skip
    assert_same(ours, theirs)


def test_amend(pair: Pair) -> None:
    """ccxt amends futures; on spot it would cancel and place anew, so there it signs our parameters."""
    qty, price = pair.btc.lot_size * 120, pair.btc.tick_size * 500_000
    is_spot = pair.product is Product.SPOT
    wish = AmendOrder(
        venue="binance", universal=pair.btc.universal, client_order_id="te1-1", venue_order_id="123",
        side=Side.BUY, qty=qty, price=price, known_qty=qty + pair.btc.lot_size, known_price=price,
    )  # fmt: skip
    ours = pair.adapter.amend_http(wish, pair.btc, STAMP)
    mine = dict(parse_qsl(ours.body.decode()))
    own = {name: mine[name] for name in mine if name not in ("timestamp", "recvWindow", "signature")}
    if is_spot:
        with time_machine.travel(NOW, tick=False):
            signed = pair.ccxt.sign("order/amend/keepPriority", ["private"], "PUT", own)
        target = urlsplit(signed["url"]).path
        assert_same(ours, (signed["method"], target, signed["body"], signed["headers"]))
    else:
        assert_same(ours, pair.rest("fapiPrivatePutOrder", own))
        numbers = (float(pair.btc.qty(qty)), float(pair.btc.price(price)))
        _, target, body, _ = pair.rest("edit_order", "123", pair.symbol, "limit", "buy", *numbers)
        theirs = dict(parse_qsl(body))
        assert target == ours.target
        assert own == {name: theirs[name] for name in theirs if name in own}
        assert set(theirs) - set(own) <= {"timestamp", "recvWindow", "signature", "newClientOrderId"}


def test_a_symbol_in_another_alphabet(pair: Pair) -> None:
    if pair.product is Product.PERP:
        pytest.skip("the sample listing has such a symbol on spot only")
    chinese = pair.known["测试USDT"]
    wish = order(pair, universal=chinese.universal, qty=3 * chinese.lot_size, price=25 * chinese.tick_size)
    ours = pair.adapter.place_http(wish, chinese, STAMP)
    params = {"clientOrderId": "te1-1", "newOrderRespType": "RESULT"}
    theirs = pair.rest("create_order", "测试/USDT", "limit", "buy", 3.0, 0.0025, params)
    assert_same(ours, theirs)
    assert "%E6%B5%8B%E8%AF%95USDT" in theirs[2]


def test_reads_and_cancels(pair: Pair) -> None:
    adapter, btc, symbol = pair.adapter, pair.btc, pair.symbol
    by_ours = {"clientOrderId": "te1-1"}
    assert_same(
        adapter.cancel_http(btc, "te1-1", None, STAMP), pair.rest("cancel_order", None, symbol, by_ours)
    )
    assert_same(adapter.cancel_http(btc, "", "123", STAMP), pair.rest("cancel_order", "123", symbol))
    assert_same(
        adapter.query_http(btc, "te1-1", None, STAMP), pair.rest("fetch_order", None, symbol, by_ours)
    )
    assert_same(adapter.query_http(btc, "", "123", STAMP), pair.rest("fetch_order", "123", symbol))
    assert_same(adapter.open_orders_http(btc, STAMP), pair.rest("fetch_open_orders", symbol))
    assert_same(adapter.cancel_all_http(btc, STAMP), pair.rest("cancel_all_orders", symbol))
    assert_same(
        adapter.fills_http(btc, "7", STAMP), pair.rest("fetch_my_trades", symbol, None, 1000, {"fromId": "7"})
    )
    if pair.product is Product.SPOT:
        wanted = {"omitZeroBalances": "true"}
        assert_same(adapter.balances_http(STAMP), pair.rest("private_get_account", wanted))
        return
    assert_same(adapter.balances_http(STAMP), pair.rest("fapiprivatev3_get_balance"))
    positions, settings = adapter.positions_http(STAMP), adapter.account_check_http(STAMP)
    listen_key = adapter.listen_key_request()
    assert positions is not None
    assert settings is not None
    assert listen_key is not None
    assert_same(positions, pair.rest("fapiprivatev3_get_positionrisk"))
    assert_same(settings, pair.rest("fapiprivate_get_accountconfig"))
    assert_same(listen_key, pair.rest("fapiprivate_post_listenkey"))


@pytest.mark.parametrize(("changes", "params"), [row[1:] for row in WISHES], ids=[row[0] for row in WISHES])
def test_place_over_the_websocket_api(pair: Pair, changes: dict[str, Any], params: dict[str, Any]) -> None:
    if pair.product is Product.SPOT and "reduceOnly" in params:
        pytest.skip("spot has no reduce-only orders")
    wish = order(pair, **changes)
    message = msgspec.json.decode(pair.adapter.place_ws(wish, pair.btc, "1", STAMP))
    assert_signed_alike(pair, message)
    qty, price = numbers(pair, wish)
    extra = {"clientOrderId": "te1-1", "newOrderRespType": message["params"]["newOrderRespType"]} | params
    _, theirs = pair.socket(
        "create_order_ws", pair.symbol, wish.order_type.value, wish.side.word, qty, price, extra
    )
    assert theirs["method"] == message["method"]
    assert told(theirs["params"], set(params) | {"clientOrderId", "returnRateLimits"}) == told(
        message["params"]
    )


def test_cancel_and_query_over_the_websocket_api(pair: Pair) -> None:
    for name, method, theirs in (
        ("cancel_ws", "order.cancel", "cancel_order_ws"),
        ("query_ws", "order.status", "fetch_order_ws"),
    ):
        for client_order_id, venue_order_id in (("te1-1", None), ("te1-1", "123")):
            raw = getattr(pair.adapter, name)(pair.btc, client_order_id, venue_order_id, "1", STAMP)
            message = msgspec.json.decode(raw)
            assert_signed_alike(pair, message)
            assert message["method"] == method
            params = {} if venue_order_id else {"clientOrderId": client_order_id}
            _, sent = pair.socket(theirs, venue_order_id or "", pair.symbol, params)
            assert sent["method"] == method
            mine, other = told(message["params"]), told(sent["params"], {"returnRateLimits", "clientOrderId"})
            # ccxt writes the venue's id as text where the documentation has a number
            assert {key: str(value) for key, value in mine.items()} == {
                key: str(value) for key, value in other.items()
            }


def test_login_and_subscription(pair: Pair) -> None:
    messages = list(pair.adapter.private_subscribe("1", STAMP))
    login = pair.adapter.trade_login("1", STAMP)
    if login is not None:
        messages.append(login)
    for raw in messages:
        assert_signed_alike(pair, msgspec.json.decode(raw))


def told(params: dict[str, Any], without: set[str] | frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return parameters without their signature, and without those that ccxt alone sends."""
    own = without - {"timeInForce", "reduceOnly"}
    return {
        name: ("true" if value is True else value)
        for name, value in params.items()
        if name != "signature" and name not in own
    }


def assert_signed_alike(pair: Pair, message: dict[str, Any]) -> None:
    """Have ccxt sign our parameters: the whole object must come out the same."""
    ours = message["params"]
    bare = {name: value for name, value in ours.items() if name not in ("apiKey", "timestamp", "signature")}
    pair.ccxt.options["recvWindow"] = ours.get("recvWindow")
    try:
        with time_machine.travel(NOW, tick=False):
            theirs = pair.ccxt.sign_params(dict(bare))
    finally:
        pair.ccxt.options["recvWindow"] = RECV_WINDOW_MS
    assert theirs == ours
