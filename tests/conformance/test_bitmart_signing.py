"""Our requests against the official SDK's, and against vectors: headers, target, body, signature, logins.

The SDK is never connected: what it is about to send is caught at its session or socket. It writes JSON with
blanks where ours has none, so bodies are compared by what they say, and each side's signature with the other
side's signer over the very bytes.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import time_machine

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import AmendOrder, NewOrder, OrderType, TimeInForce
from engine.venues.base import Credentials, HttpRequest, Secret
from engine.venues.bitmart.adapter import BitmartTrading
from engine.venues.bitmart.endpoints import LIVE
from engine.venues.bitmart.instruments import decode_listing
from engine.venues.bitmart.signing import BitmartSigner
from tests.conformance.caught import order_on

pytestmark = [
    pytest.mark.conformance,
    # the SDK and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "bitmart"
NOW = datetime.datetime(2026, 11, 24, 12, 0, 0, 125_000, tzinfo=datetime.UTC)
STAMP = round(NOW.timestamp() * 1000)
PARTS = ("key-1", "secret-1", "memo 1")
KEYS = Credentials(*(Secret(text) for text in PARTS))


class Sent(Exception):
    """Carries what the SDK was about to send out of its call."""

    def __init__(self, method: str, url: str, body: str, headers: dict[str, str]) -> None:
        super().__init__("caught before it was sent")
        parts = urlsplit(url)
        self.method, self.path, self.body, self.headers = method, parts.path, body, headers
        self.query = dict(parse_qsl(parts.query))


class Session:
    """Stands where the SDK has its HTTP session."""

    def get(self, url: str, headers: dict[str, str], timeout: object) -> None:
        raise Sent("GET", url, "", headers)

    def post(self, url: str, data: str, headers: dict[str, str], timeout: object) -> None:
        raise Sent("POST", url, data, headers)


class Pair:
    """Our adapter and the SDK's client of the same account and product."""

    def __init__(self, product: Product) -> None:
        pytest.importorskip("bitmart", reason="the conformance extra brings the SDK")
        from bitmart.api_contract import APIContract
        from bitmart.api_spot import APISpot

        body = (GOLDEN / f"http_instruments_{product.value}.json").read_bytes()
        known = {one.symbol: one for one in decode_listing(product, body).instruments}
        self.product = product
        self.btc = known["BTC_USDT" if product is Product.SPOT else "BTCUSDT"]
        self.adapter = BitmartTrading(product, LIVE[product], KEYS, known)
        client: Any = APISpot if product is Product.SPOT else APIContract
        self.sdk = client(*PARTS, timeout=(1, 1))
        self.sdk.session = Session()

    def caught(self, method: str, *arguments: Any, **named: Any) -> Sent:
        with time_machine.travel(NOW, tick=False), pytest.raises(Sent) as caught:
            getattr(self.sdk, method)(*arguments, **named)
        return caught.value


@pytest.fixture(params=list(Product), ids=lambda product: product.value)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


@pytest.fixture
def spot() -> Pair:
    return Pair(Product.SPOT)


@pytest.fixture
def perp() -> Pair:
    return Pair(Product.PERP)


def headers_of(ours: HttpRequest) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in ours.headers.decode().splitlines())


def assert_alike(ours: HttpRequest, theirs: Sent, own: tuple[str, ...] = ()) -> None:
    """Compare target, contents and signature; ``own`` are parameters of ours that the SDK leaves out."""
    from bitmart.lib import cloud_utils

    path, _, query = ours.target.partition("?")
    assert (ours.method, path) == (theirs.method, theirs.path)
    mine = dict(parse_qsl(query))
    assert {name: value for name, value in mine.items() if name not in own} == theirs.query
    sent = headers_of(ours)
    assert set(sent) == set(theirs.headers)
    assert sent["X-BM-KEY"] == theirs.headers["X-BM-KEY"] == PARTS[0]
    if ours.method == "GET":
        assert ours.body == b""
        return
    said = {name: value for name, value in json.loads(ours.body).items() if name not in own}
    assert said == json.loads(theirs.body)
    assert sent["X-BM-TIMESTAMP"] == theirs.headers["X-BM-TIMESTAMP"] == str(STAMP)
    text = cloud_utils.pre_substring(STAMP, PARTS[2], ours.body.decode())
    assert sent["X-BM-SIGN"] == cloud_utils.sign(text, PARTS[1])
    assert theirs.headers["X-BM-SIGN"] == BitmartSigner(KEYS).sign(STAMP, theirs.body.encode())


def wish(instrument: Instrument, **changes: Any) -> NewOrder:
    return order_on("bitmart", instrument, **changes)


@pytest.mark.parametrize(
    ("changes", "kind", "price"),
    [
        ({}, "limit", "5000"),
        ({"side": Side.SELL}, "limit", "5000"),
        ({"time_in_force": TimeInForce.IOC}, "ioc", "5000"),
        ({"post_only": True}, "limit_maker", "5000"),
        ({"side": Side.SELL, "order_type": OrderType.MARKET, "price": 0}, "market", ""),
    ],
)
def test_spot_places(spot: Pair, changes: dict[str, Any], kind: str, price: str) -> None:
    order = wish(spot.btc, **changes)
    theirs = spot.caught(
        "post_submit_order", "BTC_USDT", order.side.word, kind, client_order_id="te11", size="0.00125",
        price=price,
    )  # fmt: skip
    assert_alike(spot.adapter.place_http(order, spot.btc, STAMP), theirs)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, {"side": 1, "mode": 1}),
        ({"side": Side.SELL}, {"side": 4, "mode": 1}),
        ({"reduce_only": True}, {"side": 2, "mode": 1}),
        ({"side": Side.SELL, "reduce_only": True}, {"side": 3, "mode": 1}),
        ({"time_in_force": TimeInForce.FOK}, {"side": 1, "mode": 2}),
        ({"time_in_force": TimeInForce.IOC}, {"side": 1, "mode": 3}),
        ({"post_only": True}, {"side": 1, "mode": 4}),
        ({"order_type": OrderType.MARKET, "price": 0}, {"side": 1, "type": "market", "price": None}),
    ],
)
def test_futures_places(perp: Pair, changes: dict[str, Any], named: dict[str, Any]) -> None:
    terms = {"type": "limit", "price": "50000", "size": 125, "client_order_id": "te11"} | named
    if named["side"] in (1, 4):
        terms |= {"leverage": "1", "open_type": "cross"}
    theirs = perp.caught("post_submit_order", "BTCUSDT", **terms)
    assert_alike(perp.adapter.place_http(wish(perp.btc, **changes), perp.btc, STAMP), theirs)


def test_amends(perp: Pair) -> None:
    amend = AmendOrder(
        venue="bitmart", universal=perp.btc.universal, client_order_id="te11",
        venue_order_id="23456789012345678",
        side=Side.BUY, qty=perp.btc.lot_size * 7, price=perp.btc.scale_price(Decimal("90000.5")),
    )  # fmt: skip
    theirs = perp.caught(
        "post_modify_limit_order", "BTCUSDT", order_id=23456789012345678, price="90000.5", size=7
    )
    assert_alike(perp.adapter.amend_http(amend, perp.btc, STAMP), theirs)


def test_cancels(spot: Pair, perp: Pair) -> None:
    ours = spot.adapter.cancel_http(spot.btc, "te11", None, STAMP)
    assert_alike(ours, spot.caught("post_cancel_order_by_clientid", "BTC_USDT", "te11"))
    ours = spot.adapter.cancel_http(spot.btc, "te11", "1223181", STAMP)
    assert_alike(ours, spot.caught("post_cancel_order_by_orderid", "BTC_USDT", "1223181"))
    ours = spot.adapter.cancel_all_http(spot.btc, STAMP)
    assert_alike(ours, spot.caught("post_cancel_all_order", "BTC_USDT"))
    ours = perp.adapter.cancel_http(perp.btc, "te11", None, STAMP)
    assert_alike(ours, perp.caught("post_cancel_order", "BTCUSDT", client_order_id="te11"))
    ours = perp.adapter.cancel_http(perp.btc, "te11", "220906179895578", STAMP)
    assert_alike(ours, perp.caught("post_cancel_order", "BTCUSDT", order_id="220906179895578"))
    assert_alike(perp.adapter.cancel_all_http(perp.btc, STAMP), perp.caught("post_cancel_orders", "BTCUSDT"))


def test_spot_reads(spot: Pair) -> None:
    adapter, btc = spot.adapter, spot.btc
    first = adapter.query_http(btc, "te11", None, STAMP)
    assert_alike(first, spot.caught("v4_query_order_by_order_client_id", "te11", "open"))
    unknown = (GOLDEN / "http_unknown_spot.json").read_bytes()
    second = adapter.continuation(first, 400, unknown, STAMP)
    assert second is not None
    assert_alike(second, spot.caught("v4_query_order_by_order_client_id", "te11", "history"))
    by_id = adapter.query_http(btc, "te11", "1223181", STAMP)
    assert_alike(by_id, spot.caught("v4_query_order_by_id", "1223181", "open"))
    theirs = spot.caught("v4_query_open_orders", symbol="BTC_USDT", order_mode="spot", limit=200)
    assert_alike(adapter.open_orders_http(btc, STAMP), theirs)
    theirs = spot.caught("v4_query_open_orders", order_mode="spot", limit=200)
    assert_alike(adapter.open_orders_http(None, STAMP), theirs)
    fills = adapter.fills_http(btc, None, STAMP)
    window = json.loads(fills.body)
    theirs = spot.caught(
        "v4_query_account_trade_list", symbol="BTC_USDT", order_mode="spot", limit=200,
        start_time=window["startTime"], end_time=window["endTime"],
    )  # fmt: skip
    assert_alike(fills, theirs)
    assert_alike(adapter.balances_http(STAMP), spot.caught("get_wallet"))


def test_futures_reads(perp: Pair) -> None:
    adapter, btc = perp.adapter, perp.btc
    theirs = perp.caught("get_order", "BTCUSDT", "220906179895578")
    assert_alike(adapter.query_http(btc, "te11", "220906179895578", STAMP), theirs)
    theirs = perp.caught("get_open_order", "BTCUSDT", limit=100)
    assert_alike(adapter.open_orders_http(btc, STAMP), theirs)
    first = adapter.query_http(btc, "te11", None, STAMP)
    assert_alike(first, theirs, own=("client_order_id",))
    history = adapter.continuation(first, 200, b'{"code":1000,"data":[]}', STAMP)
    assert history is not None
    asked = dict(parse_qsl(history.target.partition("?")[2]))
    theirs = perp.caught(
        "get_order_history", "BTCUSDT", int(asked["start_time"]), int(asked["end_time"]),
        client_order_id="te11",
    )  # fmt: skip
    assert_alike(history, theirs)
    fills = adapter.fills_http(btc, None, STAMP)
    asked = dict(parse_qsl(fills.target.partition("?")[2]))
    theirs = perp.caught("get_trades", "BTCUSDT", int(asked["start_time"]), int(asked["end_time"]))
    assert_alike(fills, theirs)
    assert_alike(adapter.balances_http(STAMP), perp.caught("get_assets_detail"))
    for request, method in (
        (adapter.positions_http(STAMP), "get_position_v2"),
        (adapter.account_check_http(STAMP), "get_position_mode"),
    ):
        assert request is not None
        assert_alike(request, perp.caught(method))


class Socket:
    """Stands where the SDK has its connection."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.send_message: Callable[[str], None] = self.sent.append


def test_logins_are_the_sdks(pair: Pair) -> None:
    from bitmart.websocket.futures_socket_client import FuturesSocketClient
    from bitmart.websocket.spot_socket_client import SpotSocketClient

    kind: Any = SpotSocketClient if pair.product is Product.SPOT else FuturesSocketClient
    client = kind.__new__(kind)  # its constructor connects
    client.API_KEY, client.API_SECRET_KEY, client.API_MEMO = PARTS
    client.socket_manager = socket = Socket()
    with time_machine.travel(NOW, tick=False):
        client.login(timeout=0)
    (ours,) = pair.adapter.private_subscribe("private", STAMP)
    assert [json.loads(text) for text in socket.sent] == [json.loads(ours)]


def test_the_vector_of_the_documentation() -> None:
    keys = Credentials(
        Secret("80618e45710812162b04892c7ee5ead4a3cc3e56"),
        Secret("6c6c98544461bbe71db2bca4c6d7fd0021e0ba9efc215f9c6ad41852df9d9df9"),
        Secret("test001"),
    )
    arguments = json.loads(BitmartSigner(keys).login(Product.SPOT, 1589267764859))["args"]
    assert arguments[2] == "3ceeb7e1b8cb165a975e28a2e2dfaca4d30b358873c0351c1a071d8c83314556"


def test_every_shared_vector(shared_fixtures: Path) -> None:
    vectors = json.loads((shared_fixtures / "bitmart" / "sign_vectors.json").read_text())
    assert len(vectors) == 5
    for each in vectors:
        signer = BitmartSigner(Credentials(*(Secret(each[name]) for name in ("key", "secret", "memo"))))
        stamp = int(each["timestamp"])
        text = "bitmart.WebSocket" if each["kind"] == "ws" else each["body"]
        assert signer.sign(stamp, text.encode()) == each["sign"]
        assert signer.sign(stamp, text.encode()) == each["sign"]  # the prepared state was copied, not used up
        if each["kind"] == "ws":
            for product in Product:
                assert json.loads(signer.login(product, stamp))["args"][:3] == [
                    each["key"], each["timestamp"], each["sign"],
                ]  # fmt: skip
        elif each["body"]:
            assert each["sign"].encode() in signer.headers(each["body"].encode(), stamp)
