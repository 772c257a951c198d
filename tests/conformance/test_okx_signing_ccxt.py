"""Our signed requests against ccxt's, and against published vectors: stamp, target, body, signature.

ccxt is never connected: what it is about to send is caught at ``fetch``. Its own request layout is used where
both sides send the same parameters; where ccxt adds fields of its own (a broker's tag), its ``sign`` is given
our path and parameters instead.
"""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
import time_machine

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import AmendOrder, NewOrder, OrderType, TimeInForce
from engine.venues.base import Credentials, HttpRequest, Secret
from engine.venues.okx.adapter import OkxTrading
from engine.venues.okx.endpoints import LIVE
from engine.venues.okx.instruments import decode_listing
from engine.venues.okx.signing import OkxSigner
from tests.conformance.caught import Request, caught_request, headers_of, order_on, target_of

pytestmark = [
    pytest.mark.conformance,
    # ccxt and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "okx"
NOW = datetime.datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=datetime.UTC)
STAMP = round(NOW.timestamp() * 1000)
KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("pass-1"))
UNIFIED = {Product.SPOT: "BTC/USDT", Product.PERP: "BTC/USDT:USDT"}
SYMBOLS = {Product.SPOT: "BTC-USDT", Product.PERP: "BTC-USDT-SWAP"}


class Pair:
    """Our adapter and a ccxt client of the same account and product."""

    def __init__(self, product: Product) -> None:
        # imported here: ccxt takes seconds, and is not always installed
        ccxt = pytest.importorskip("ccxt.pro", reason="the conformance extra brings ccxt")
        rows: list[Any] = []
        known: dict[Product, dict[str, Instrument]] = {}
        for each in Product:
            body = (GOLDEN / f"http_instruments_{each.value}.json").read_bytes()
            known[each] = {one.symbol: one for one in decode_listing(each, body).instruments}
            rows += msgspec.json.decode(body)["data"]
        self.ccxt: Any = ccxt.okx(
            {"apiKey": "key-1", "secret": "secret-1", "password": "pass-1", "enableRateLimit": False}
        )
        self.ccxt.set_markets(
            [self.ccxt.parse_market(row) for row in rows if row["instId"] in SYMBOLS.values()]
        )
        self.product = product
        self.known = known[product]
        self.btc = self.known[SYMBOLS[product]]
        self.symbol = UNIFIED[product]
        self.adapter = OkxTrading(product, LIVE[product], KEYS, self.known)

    def caught(self, method: str, *arguments: Any) -> Request:
        """Return the request that ccxt would send."""
        return caught_request(NOW, self.ccxt, method, *arguments)

    def signed(self, ours: HttpRequest) -> dict[str, str]:
        """Return the headers with which ccxt would send our very parameters."""
        path, _, query = ours.target.removeprefix("/api/v5/").partition("?")
        params = msgspec.json.decode(ours.body) if ours.body else dict(parse_qsl(query))
        with time_machine.travel(NOW, tick=False):
            theirs = self.ccxt.sign(path, ["private"], ours.method, params)
        assert target_of(theirs["url"]) == ours.target
        assert (theirs["body"] or "") == ours.body.decode()
        headers: dict[str, str] = theirs["headers"]
        return headers


@pytest.fixture(params=list(Product), ids=lambda product: product.value, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def assert_signed_alike(pair: Pair, ours: HttpRequest) -> None:
    sent = headers_of(ours)
    sent.pop("expTime", None)  # our own deadline; it is not signed
    theirs = pair.signed(ours)
    for name in ("OK-ACCESS-KEY", "OK-ACCESS-SIGN", "OK-ACCESS-TIMESTAMP", "OK-ACCESS-PASSPHRASE"):
        assert sent[name] == theirs[name]
    assert set(sent) <= set(theirs)


def wish(pair: Pair, **changes: Any) -> NewOrder:
    return order_on("okx", pair.btc, **changes)


WISHES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("limit", {}, {}),
    ("sell", {"side": Side.SELL}, {}),
    ("ioc", {"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC"}),
    ("fok", {"time_in_force": TimeInForce.FOK}, {"timeInForce": "FOK"}),
    ("post only", {"post_only": True}, {"postOnly": True}),
    ("market", {"order_type": OrderType.MARKET, "price": 0}, {"tgtCcy": "base_ccy"}),
    ("reduce only", {"reduce_only": True}, {"reduceOnly": True}),
]


@pytest.mark.parametrize(("changes", "params"), [row[1:] for row in WISHES], ids=[row[0] for row in WISHES])
def test_place_says_what_ccxt_says(pair: Pair, changes: dict[str, Any], params: dict[str, Any]) -> None:
    if pair.product is Product.SPOT and "reduceOnly" in params:
        pytest.skip("spot has no reduce-only orders")
    order = wish(pair, **changes)
    ours = pair.adapter.place_http(order, pair.btc, STAMP)
    assert_signed_alike(pair, ours)
    wire_qty = float(pair.btc.qty(order.qty) / pair.btc.contract_size)  # ccxt speaks contracts
    price = float(pair.btc.price(order.price)) if order.price else None
    _, target, body, _ = pair.caught(
        "create_order", pair.symbol, order.order_type.value, order.side.word, wire_qty, price,
        {"clientOrderId": "te11"} | params,
    )  # fmt: skip
    assert target == "/api/v5/trade/batch-orders"
    (theirs,) = msgspec.json.decode(body)
    needs_unit = pair.product is Product.SPOT and order.order_type is OrderType.MARKET
    own = {"tag"} | (set() if needs_unit else {"tgtCcy"})  # it means something to spot market orders only
    mine = msgspec.json.decode(ours.body)
    mine.pop("banAmend", None)  # ours alone: refuse rather than shrink
    assert mine == {name: value for name, value in theirs.items() if name not in own}


def test_amend_says_what_ccxt_says(pair: Pair) -> None:
    qty, price = pair.btc.lot_size * 120, pair.btc.tick_size * 500_000
    wish = AmendOrder(
        venue="okx", universal=pair.btc.universal, client_order_id="te11", venue_order_id="123",
        side=Side.BUY, qty=qty, price=price, known_qty=pair.btc.lot_size, known_price=pair.btc.tick_size,
    )  # fmt: skip
    ours = pair.adapter.amend_http(wish, pair.btc, STAMP)
    assert_signed_alike(pair, ours)
    contracts = float(pair.btc.qty(qty) / pair.btc.contract_size)
    numbers = (contracts, float(pair.btc.price(price)))
    _, target, body, _ = pair.caught("edit_order", "123", pair.symbol, "limit", "buy", *numbers)
    assert target == ours.target
    assert msgspec.json.decode(body) == msgspec.json.decode(ours.body)


def test_reads_and_cancels(pair: Pair) -> None:
    adapter, btc, symbol = pair.adapter, pair.btc, pair.symbol
    by_ours = {"clientOrderId": "te11"}
    for ours, theirs in (
        (adapter.query_http(btc, "te11", None, STAMP), pair.caught("fetch_order", None, symbol, by_ours)),
        (adapter.query_http(btc, "", "123", STAMP), pair.caught("fetch_order", "123", symbol)),
        (adapter.cancel_http(btc, "te11", None, STAMP), pair.caught("cancel_order", None, symbol, by_ours)),
        (adapter.cancel_http(btc, "", "123", STAMP), pair.caught("cancel_order", "123", symbol)),
        (adapter.balances_http(STAMP), pair.caught("private_get_account_balance")),
    ):
        verb, target, body, headers = theirs
        assert (ours.method, ours.target, ours.body.decode()) == (verb, target, body)
        assert headers_of(ours)["OK-ACCESS-SIGN"] == headers["OK-ACCESS-SIGN"]
    requests = [
        adapter.open_orders_http(btc, STAMP),
        adapter.open_orders_http(None, STAMP),
        adapter.fills_http(btc, None, STAMP),
        adapter.positions_http(STAMP),
        adapter.account_check_http(STAMP),
    ]
    for request in requests:
        if request is not None:
            assert_signed_alike(pair, request)


def test_login_is_signed_alike(pair: Pair) -> None:
    sent: list[Any] = []

    async def run() -> None:
        client = pair.ccxt.client(pair.ccxt.get_url("orders", "private"))

        def watch(url: str, message_hash: str, message: Any = None, *rest: Any) -> Any:
            sent.append(message)
            client.futures[message_hash] = future = client.future(message_hash)
            future.resolve(True)
            return future

        pair.ccxt.watch = watch
        await pair.ccxt.authenticate({"url": client.url})
        await pair.ccxt.close()

    with time_machine.travel(NOW, tick=False):
        asyncio.run(run())
    login = pair.adapter.trade_login("1", STAMP)
    assert login is not None
    assert msgspec.json.decode(login) == sent[0]
    assert pair.adapter.private_subscribe("private", STAMP) == (login,)


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (
            "2026-11-23T13:58:41.924ZGET/api/v5/account/balance",
            "oVcsAllaZRrQfqvKcOMpwvoZsags8LHArnvbtUgU+m8=",
        ),
        (
            '2026-11-23T13:58:41.929ZPOST/api/v5/trade/cancel-order{"instId":"BTC-USDT-SWAP","ordId":"1"}',
            "jW43gjSvUW8p4BJ5+KDFqueOdgkFwLLj0QeinOf/rYc=",
        ),
        ("1795442323GET/users/self/verify", "uVgvpqdtXmTOuIWPO2S60FriPmbM3OocRTpKVvIrb+c="),
    ],
)
def test_vectors(text: str, signature: str) -> None:
    signer = OkxSigner(Credentials(Secret("k"), Secret("s"), Secret("p")))
    assert signer.sign(text.encode()) == signature
    assert signer.sign(text.encode()) == signature  # the prepared state was copied, not used up
