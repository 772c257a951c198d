"""Our signed requests against those of ccxt and pybit, and against published vectors.

Neither client is ever connected: what it is about to send is caught. ccxt lays bodies and queries out as we
do, so its ``sign`` is given our parameters and must give our bytes; pybit writes spaces and sorts, so our
signer is given its bytes and must give its signature, and the contents are compared.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.model.errors import ConfigError
from engine.model.instrument import Product
from engine.model.market import Side
from engine.model.orders import AmendOrder, NewOrder, OrderType, TimeInForce
from engine.venues.base import Credentials, HttpRequest, Secret
from engine.venues.bybit.adapter import BybitTrading
from engine.venues.bybit.endpoints import LIVE, LOGIN_VALID_MS
from engine.venues.bybit.instruments import decode_listing
from engine.venues.bybit.signing import BybitSigner
from tests.conformance.caught import headers_of, order_on, target_of

pytestmark = [
    pytest.mark.conformance,
    # ccxt, pybit and the libraries they bring are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bybit"
NOW = datetime.datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=datetime.UTC)
STAMP = round(NOW.timestamp() * 1000)
KEYS = Credentials(Secret("key-1"), Secret("secret-1"))
UNIFIED = {Product.SPOT: "BTC/USDT", Product.PERP: "BTC/USDT:USDT"}
SIGNED = ("X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-RECV-WINDOW", "X-BAPI-SIGN")


class Pair:
    """Our adapter and clients of others for the same account and product."""

    def __init__(self, product: Product) -> None:
        # imported here: ccxt takes seconds, and is not always installed
        ccxt = pytest.importorskip("ccxt.pro", reason="the conformance extra brings ccxt")
        body = (GOLDEN / f"http_instruments_{product.value}.json").read_bytes()
        self.known = {each.symbol: each for each in decode_listing(product, body).instruments}
        self.product = product
        self.btc = self.known["BTCUSDT"]
        self.symbol = UNIFIED[product]
        self.adapter = BybitTrading(product, LIVE[product], KEYS, self.known)
        self.ccxt: Any = ccxt.bybit({"apiKey": "key-1", "secret": "secret-1", "enableRateLimit": False})
        self.ccxt.options["recvWindow"] = self.adapter.validity_ms
        self.ccxt.options["enableUnifiedAccount"] = True
        self.ccxt.set_markets([self._market()])

    def _market(self) -> dict[str, Any]:
        is_perp = self.product is Product.PERP
        return {
            "id": "BTCUSDT", "symbol": self.symbol, "base": "BTC", "quote": "USDT",
            "settle": "USDT" if is_perp else None, "type": "swap" if is_perp else "spot",
            "spot": not is_perp, "swap": is_perp, "future": False, "option": False, "contract": is_perp,
            "linear": is_perp or None, "inverse": False if is_perp else None, "active": True,
            "precision": {
                "price": float(self.btc.price(self.btc.tick_size)),
                "amount": float(self.btc.qty(self.btc.lot_size)),
            },
            "limits": {}, "info": {},
        }  # fmt: skip

    def assert_ccxt_signs_alike(self, ours: HttpRequest) -> None:
        """Compare target, body and headers with those that ccxt makes of our very parameters."""
        path, _, query = ours.target.removeprefix("/").partition("?")
        # not decoded: a cursor is handed over as the venue wrote it
        pairs = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        params = msgspec.json.decode(ours.body) if ours.body else pairs
        with time_machine.travel(NOW, tick=False):
            theirs = self.ccxt.sign(path, ["private"], ours.method, params)
        assert target_of(theirs["url"]) == ours.target
        assert (theirs["body"] or "") == ours.body.decode()
        sent = headers_of(ours)
        assert set(sent) == set(SIGNED) | ({"Content-Type"} if ours.body else set())
        assert {name: theirs["headers"][name] for name in sent} == sent


@pytest.fixture(params=list(Product), ids=lambda product: product.value, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def wish(pair: Pair, **changes: Any) -> NewOrder:
    return order_on("bybit", pair.btc, **changes)


def change(pair: Pair, venue_order_id: str = "") -> AmendOrder:
    return AmendOrder(
        venue="bybit",
        universal=pair.btc.universal,
        client_order_id="te11",
        venue_order_id=venue_order_id,
        side=Side.BUY,
        qty=pair.btc.lot_size * 250,
        price=pair.btc.tick_size * 490_000,
    )


WISHES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("limit", {}, {"timeInForce": "GTC"}),
    ("sell", {"side": Side.SELL}, {"timeInForce": "GTC"}),
    ("ioc", {"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC"}),
    ("fok", {"time_in_force": TimeInForce.FOK}, {"timeInForce": "FOK"}),
    ("post only", {"post_only": True}, {"postOnly": True}),
    ("market", {"order_type": OrderType.MARKET, "price": 0}, {}),
    ("reduce only", {"reduce_only": True}, {"reduceOnly": True, "timeInForce": "GTC"}),
]


@pytest.mark.parametrize(("changes", "params"), [row[1:] for row in WISHES], ids=[row[0] for row in WISHES])
def test_place_says_what_ccxt_says(pair: Pair, changes: dict[str, Any], params: dict[str, Any]) -> None:
    if pair.product is Product.SPOT and "reduceOnly" in params:
        pytest.skip("spot has no reduce-only orders")
    order = wish(pair, **changes)
    ours = pair.adapter.place_http(order, pair.btc, STAMP)
    pair.assert_ccxt_signs_alike(ours)
    theirs = pair.ccxt.create_order_request(
        pair.symbol,
        order.order_type.value,
        order.side.word,
        float(pair.btc.qty(order.qty)),
        float(pair.btc.price(order.price)) if order.price else None,
        {"clientOrderId": "te11"} | params,
    )
    mine = msgspec.json.decode(ours.body)
    if pair.product is Product.PERP:
        assert mine.pop("positionIdx") == 0  # ccxt leaves the venue's default unsaid
    assert mine == theirs
    socket = msgspec.json.decode(pair.adapter.place_ws(order, pair.btc, "p1", STAMP))
    (argument,) = socket["args"]
    assert argument | {} == msgspec.json.decode(ours.body)


def test_amends_and_cancels_say_what_ccxt_says(pair: Pair) -> None:
    by_ours = {"clientOrderId": "te11"}
    for venue_order_id, theirs in (
        ("", pair.ccxt.edit_order_request(None, pair.symbol, "limit", "buy", *_terms(pair), by_ours)),
        ("77", pair.ccxt.edit_order_request("77", pair.symbol, "limit", "buy", *_terms(pair))),
    ):
        ours = pair.adapter.amend_http(change(pair, venue_order_id), pair.btc, STAMP)
        pair.assert_ccxt_signs_alike(ours)
        assert msgspec.json.decode(ours.body) == theirs
    cancel = pair.adapter.cancel_http(pair.btc, "te11", "77", STAMP)
    pair.assert_ccxt_signs_alike(cancel)
    theirs = pair.ccxt.cancel_order_request("77", pair.symbol)
    theirs.pop("orderFilter", None)  # spot: "Order", which is the default
    assert msgspec.json.decode(cancel.body) == theirs
    pair.assert_ccxt_signs_alike(pair.adapter.cancel_http(pair.btc, "te11", None, STAMP))
    pair.assert_ccxt_signs_alike(pair.adapter.cancel_all_http(pair.btc, STAMP))


def _terms(pair: Pair) -> tuple[float, float]:
    amend = change(pair)
    return float(pair.btc.qty(amend.qty)), float(pair.btc.price(amend.price))


def _reads(pair: Pair) -> list[HttpRequest]:
    adapter, btc = pair.adapter, pair.btc
    page = (GOLDEN / "http_fills_perp.json").read_bytes()
    first = adapter.fills_http(btc, None, STAMP)
    requests = [
        adapter.query_http(btc, "te11", None, STAMP),
        adapter.query_http(btc, "te11", "77", STAMP),
        adapter.open_orders_http(btc, STAMP),
        adapter.open_orders_http(None, STAMP),
        first,
        adapter.continuation(first, 200, page, STAMP),
        adapter.balances_http(STAMP),
        adapter.positions_http(STAMP),
    ]
    return [request for request in requests if request is not None]


def test_reads_are_signed_as_ccxt_signs_them(pair: Pair) -> None:
    reads = _reads(pair)
    assert any("cursor=132766%3A2%2C132766%3A2" in each.target for each in reads)
    for request in reads:
        pair.assert_ccxt_signs_alike(request)


def test_login_is_signed_as_ccxt_signs_it(pair: Pair) -> None:
    sent: list[Any] = []

    async def run() -> None:
        url = "wss://stream.bybit.com/v5/private"
        client = pair.ccxt.client(url)

        def watch(url: str, message_hash: str, message: Any = None, *rest: Any) -> Any:
            sent.append(message)
            client.futures[message_hash].resolve(True)

        pair.ccxt.watch = watch
        await pair.ccxt.authenticate(url)
        await pair.ccxt.close()

    with time_machine.travel(NOW, tick=False):
        asyncio.run(run())
    login = pair.adapter.trade_login("login-1", STAMP)
    assert login is not None
    mine = msgspec.json.decode(login)
    key, expires, signature = sent[0]["args"]  # ccxt writes the moment as text
    assert (sent[0]["op"], [key, int(expires), signature]) == (mine["op"], mine["args"])
    (private,) = pair.adapter.private_subscribe("private", STAMP)
    assert msgspec.json.decode(private)["args"] == mine["args"]


# -------------------------------------------------------------------------------------------- pybit


class Caught(Exception):
    """Carries what pybit was about to send out of its call."""

    def __init__(self, request: Any) -> None:
        super().__init__("caught before it was sent")
        self.request = request


def pybit_request(pair: Pair, method: str, **fields: Any) -> Any:
    """Return the prepared request with which pybit would call ``method``."""
    trading = pytest.importorskip("pybit.unified_trading", reason="the conformance extra brings pybit")
    session = trading.HTTP(
        testnet=False, api_key="key-1", api_secret="secret-1", recv_window=pair.adapter.validity_ms
    )

    def send(request: Any, **options: Any) -> Any:
        raise Caught(request)

    session.client.send = send
    try:
        with time_machine.travel(NOW, tick=False), pytest.raises(Caught) as caught:
            getattr(session, method)(**fields)
        return caught.value.request
    finally:
        session.client.close()


def assert_pybit_signs_alike(pair: Pair, ours: HttpRequest, theirs: Any) -> None:
    """Compare contents, and the signature that our signer gives to pybit's own bytes."""
    parts = urlsplit(theirs.url)
    path, _, query = ours.target.partition("?")
    assert (theirs.method, parts.path) == (ours.method, path)
    assert dict(parse_qsl(parts.query)) == dict(parse_qsl(query))
    body = theirs.body or b""
    body = body.encode() if isinstance(body, str) else body
    assert (json.loads(body) if body else None) == (json.loads(ours.body) if ours.body else None)
    payload = body or parts.query.encode()
    signed = dict(
        line.split(": ", 1) for line in pair.adapter._signer.headers(payload, STAMP).decode().splitlines()
    )
    assert {name: theirs.headers[name] for name in SIGNED} == signed


@pytest.mark.parametrize("row", WISHES, ids=[row[0] for row in WISHES])
def test_place_is_signed_as_pybit_signs_it(pair: Pair, row: tuple[str, dict[str, Any], Any]) -> None:
    if pair.product is Product.SPOT and "reduce_only" in row[1]:
        pytest.skip("spot has no reduce-only orders")
    ours = pair.adapter.place_http(wish(pair, **row[1]), pair.btc, STAMP)
    theirs = pybit_request(pair, "place_order", **json.loads(ours.body))
    assert_pybit_signs_alike(pair, ours, theirs)


def test_other_requests_are_signed_as_pybit_signs_them(pair: Pair) -> None:
    adapter, btc = pair.adapter, pair.btc
    writes = [
        ("amend_order", adapter.amend_http(change(pair), btc, STAMP)),
        ("cancel_order", adapter.cancel_http(btc, "te11", None, STAMP)),
        ("cancel_all_orders", adapter.cancel_all_http(btc, STAMP)),
    ]
    for method, ours in writes:
        assert_pybit_signs_alike(pair, ours, pybit_request(pair, method, **json.loads(ours.body)))
    methods = {
        "/v5/order/realtime": "get_open_orders",
        "/v5/execution/list": "get_executions",
        "/v5/account/wallet-balance": "get_wallet_balance",
        "/v5/position/list": "get_positions",
    }
    for ours in _reads(pair):
        path, _, query = ours.target.partition("?")
        if "cursor" in query:
            continue  # pybit signs a cursor as it came, requests may encode it anew: see ccxt's
        theirs = pybit_request(pair, methods[path], **dict(parse_qsl(query)))
        assert_pybit_signs_alike(pair, ours, theirs)


class _Wire:
    """Stands where pybit expects its connection."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))


def test_sockets_say_what_pybit_says(pair: Pair) -> None:
    sockets = pytest.importorskip("pybit._websocket_trading", reason="the conformance extra brings pybit")
    manager = object.__new__(sockets._V5TradeWebSocketManager)  # its constructor would connect
    manager.ws = wire = _Wire()
    manager.private_auth_expire = LOGIN_VALID_MS // 1_000
    manager.rsa_authentication, manager.api_key, manager.api_secret = False, "key-1", "secret-1"
    manager.recv_window, manager.referral_id = pair.adapter.validity_ms, None
    manager.callback_directory = {}
    ours = msgspec.json.decode(pair.adapter.place_ws(wish(pair), pair.btc, "p1", STAMP))
    with time_machine.travel(NOW, tick=False):
        manager._auth()
        manager._send_order_operation("order.create", print, ours["args"][0])
    login, place = wire.sent
    mine = pair.adapter.trade_login("login-1", STAMP)
    assert mine is not None
    assert login == {key: value for key, value in msgspec.json.decode(mine).items() if key != "req_id"}
    assert (place["op"], place["args"]) == (ours["op"], ours["args"])
    assert {name: str(value) for name, value in place["header"].items()} == ours["header"]


# ------------------------------------------------------------------------------------------ vectors


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (
            '1795442552335k5000{"symbol":"BTCUSDT","orderId":"1","category":"linear"}',
            "37eb15db7e921483a4703cf46dd7a23ffc181b9b7a869a1a123504cdc581e6f9",
        ),
        (
            "1795442552337k5000symbol=BTCUSDT&category=linear",
            "26063ee0b7fea83562d0ed689d023983e267a9874a1d4aedb80c827600b6acbe",
        ),
        ("GET/realtime1795442570649", "0b00d24f28ca2af201028ddf932e38f867c1d8e45551eeed8756eb0b0b2433c7"),
    ],
)
def test_vectors(text: str, signature: str) -> None:
    signer = BybitSigner(Credentials(Secret("k"), Secret("s")), 5_000)
    assert signer.sign(text.encode()) == signature
    assert signer.sign(text.encode()) == signature  # the prepared state was copied, not used up
    if text.startswith("1795442552337"):
        headers = signer.headers(b"symbol=BTCUSDT&category=linear", 1795442552337)
        assert f"X-BAPI-SIGN: {signature}\r\n".encode() in headers
    if text.startswith("GET"):
        assert signature.encode() in signer.login("1", 1795442570649 - LOGIN_VALID_MS)


def test_rsa_keys_sign_as_pybit_signs_with_them() -> None:
    manager = pytest.importorskip("pybit._http_manager", reason="the conformance extra brings pybit")
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for secret in (pem.decode(), pem.decode().replace("\n", "\\n")):  # one-line files write it so
        signer = BybitSigner(Credentials(Secret("k"), Secret(secret)), 5_000)
        assert signer.sign(b"text") == manager.generate_signature(True, pem.decode(), "text")


def test_private_keys_of_another_kind_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ConfigError, match="not RSA"):
        BybitSigner(Credentials(Secret("k"), Secret(pem.decode())), 5_000)
