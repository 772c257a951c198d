"""Our signed requests and login frames against ccxt's, the venue's own SDK's, and published vectors.

Neither client is ever connected: what it is about to send is caught. Both are given the same inputs at the
same instant; where a client adds fields of its own (a partner's tag) its signer is given our bytes instead.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import msgspec
import pytest
import time_machine

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import AmendOrder, NewOrder, OrderType, TimeInForce
from engine.venues.base import Credentials, HttpRequest, Secret, Topic, ToSend
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.endpoints import LIVE, of_unified_account
from engine.venues.kucoin.instruments import decode_listing
from engine.venues.kucoin.signing import KucoinSigner
from engine.venues.kucoin.unified_account import KucoinUnifiedTrading
from tests.conformance.caught import Request, caught_request, headers_of, order_on, target_of

pytestmark = [
    pytest.mark.conformance,
    # the clients and the libraries they bring are not ours to keep free of warnings
    pytest.mark.filterwarnings("ignore"),
]

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "kucoin"
NOW = datetime.datetime(2026, 11, 24, 12, 0, 0, 123_000, tzinfo=datetime.UTC)
STAMP = round(NOW.timestamp() * 1000)
KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("pass-1"))
UNIFIED = {Product.SPOT: "BTC/USDT", Product.PERP: "BTC/USDT:USDT"}
SYMBOLS = {Product.SPOT: "BTC-USDT", Product.PERP: "XBTUSDTM"}
LISTINGS = {
    product: json.loads((GOLDEN / f"http_instruments_{product.value}.json").read_text())["data"]
    for product in Product
}
SIGNED = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE", "KC-API-KEY-VERSION")


def known_of(product: Product) -> dict[str, Instrument]:
    body = (GOLDEN / f"http_instruments_{product.value}.json").read_bytes()
    return {each.symbol: each for each in decode_listing(product, body).instruments}


def kind_of_account(url: str) -> dict[str, Any] | None:
    """Return the answer to a question for the account's kind, None for any other address."""
    answers = {"/hf/accounts/opened": True, "/account/mode": {"selfAccountMode": "CLASSIC"}}
    data = next((data for tail, data in answers.items() if urlsplit(url).path.endswith(tail)), None)
    return None if data is None else {"code": "200000", "data": data}


class Pair:
    """Our adapter and a ccxt client of the same account and product."""

    def __init__(self, product: Product) -> None:
        # imported here: ccxt takes seconds, and is not always installed
        ccxt = pytest.importorskip("ccxt.pro", reason="the conformance extra brings ccxt")
        self.ccxt: Any = ccxt.kucoin(
            {"apiKey": "key-1", "secret": "secret-1", "password": "pass-1", "enableRateLimit": False}
        )
        self.ccxt.fetch = self._answer
        asyncio.run(self.ccxt.load_markets())
        asyncio.run(self.ccxt.close())
        self.product = product
        self.btc = known_of(product)[SYMBOLS[product]]
        self.symbol = UNIFIED[product]
        self.adapter = KucoinTrading(product, LIVE[product], KEYS, known_of(product), key_version=2)

    async def _answer(self, url: str, *_: Any, **__: Any) -> Any:
        """Answer what a client asks for before its first order."""
        path = urlsplit(url).path
        if (kind := kind_of_account(url)) is not None:
            return kind
        for tail, rows in (("/symbols", Product.SPOT), ("/contracts/active", Product.PERP)):
            if path.endswith(tail) and "margin" not in path and "isolated" not in path:
                wanted = [row for row in LISTINGS[rows] if row["symbol"] in SYMBOLS.values()]
                return {"code": "200000", "data": wanted}
        if path.endswith("/allTickers"):
            return {"code": "200000", "data": {"time": STAMP, "ticker": []}}
        return {"code": "200000", "data": []}

    def caught(self, method: str, *arguments: Any) -> Request:
        """Return the request that ccxt would send, once it knows what kind of account it has."""
        return caught_request(NOW, self.ccxt, method, *arguments, first=kind_of_account)

    def signed(self, ours: HttpRequest) -> dict[str, str]:
        """Return the headers with which ccxt would send our very parameters."""
        path, _, query = ours.target.removeprefix("/api/").partition("?")
        version, _, path = path.partition("/")
        api = "private" if self.product is Product.SPOT else "futuresPrivate"
        params = {"version": version}
        if version == "ua":
            api, params, path = "utaPrivate", {}, path.removeprefix("v1/")
        params |= msgspec.json.decode(ours.body) if ours.body else dict(parse_qsl(query))
        with time_machine.travel(NOW, tick=False):
            theirs = self.ccxt.sign(path, [api], ours.method, params)
        assert target_of(theirs["url"]) == ours.target
        assert (theirs["body"] or "") == ours.body.decode()
        headers: dict[str, str] = theirs["headers"]
        return headers


@pytest.fixture(params=list(Product), ids=lambda product: product.value, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


def assert_signed_alike(pair: Pair, ours: HttpRequest) -> None:
    sent, theirs = headers_of(ours), pair.signed(ours)
    for name in SIGNED:
        assert sent[name] == theirs[name]
    assert set(sent) <= set(theirs)


def wish(btc: Instrument, **changes: Any) -> NewOrder:
    return order_on("kucoin", btc, **{"qty": btc.scale_qty(btc.contract_size * 5)} | changes)


def change(btc: Instrument) -> AmendOrder:
    return AmendOrder(
        venue="kucoin",
        universal=btc.universal,
        client_order_id="te11",
        venue_order_id="67112258f9406e0007408827",
        side=Side.BUY,
        qty=btc.scale_qty(btc.contract_size * 4),
        price=btc.tick_size * 490_000,
    )


WISHES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("limit", {}, {}),
    ("sell", {"side": Side.SELL}, {}),
    ("ioc", {"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC"}),
    ("fok", {"time_in_force": TimeInForce.FOK}, {"timeInForce": "FOK"}),
    ("post only", {"post_only": True}, {"postOnly": True}),
    ("market", {"order_type": OrderType.MARKET, "price": 0}, {}),
    ("reduce only", {"reduce_only": True}, {"reduceOnly": True}),
]
OURS_ALONE = {"clientTimestamp", "allowMaxTimeWindow"}
"""A deadline for spot orders: ccxt has none."""


def _plain(fields: dict[str, Any]) -> dict[str, str]:
    """Return fields as text: the venue takes numbers quoted and bare."""
    return {name: str(value) for name, value in fields.items()}


def _suits(product: Product, params: dict[str, Any]) -> bool:
    return not (
        (product is Product.SPOT and "reduceOnly" in params)
        or (product is Product.PERP and params.get("timeInForce") == "FOK")
    )


@pytest.mark.parametrize(("changes", "params"), [row[1:] for row in WISHES], ids=[row[0] for row in WISHES])
def test_place_says_what_ccxt_says(pair: Pair, changes: dict[str, Any], params: dict[str, Any]) -> None:
    if not _suits(pair.product, params):
        pytest.skip("capability matrix: spot has no reduce-only orders, futures have no FOK")
    order = wish(pair.btc, **changes)
    ours = pair.adapter.place_http(order, pair.btc, STAMP)
    assert_signed_alike(pair, ours)
    size = float(pair.btc.qty(order.qty) / pair.btc.contract_size)  # ccxt speaks contracts
    price = float(pair.btc.price(order.price)) if order.price else None
    verb, target, body, _ = pair.caught(
        "create_order", pair.symbol, order.order_type.value, order.side.word, size, price,
        {"clientOrderId": "te11"} | params,
    )  # fmt: skip
    assert (verb, target) == (ours.method, ours.target)
    mine = _plain(msgspec.json.decode(ours.body))
    theirs = _plain(msgspec.json.decode(body))
    # what is the default is said by one of the two only
    defaults = {"timeInForce": "GTC", "marginMode": "ISOLATED"}
    for name in OURS_ALONE:
        mine.pop(name, None)
    for name, value in defaults.items():
        assert mine.pop(name, value) == theirs.pop(name, value) or name in params
    assert mine.pop("leverage", "1") == theirs.pop("leverage", "1")
    assert mine == theirs


def test_reads_and_cancels(pair: Pair) -> None:
    adapter, btc, symbol = pair.adapter, pair.btc, pair.symbol
    by_ours = {"clientOrderId": "te11"}
    for ours, theirs in (
        (adapter.query_http(btc, "te11", None, STAMP), pair.caught("fetch_order", None, symbol, by_ours)),
        (adapter.query_http(btc, "", "123", STAMP), pair.caught("fetch_order", "123", symbol)),
        (adapter.cancel_http(btc, "te11", None, STAMP), pair.caught("cancel_order", None, symbol, by_ours)),
        (adapter.cancel_http(btc, "", "123", STAMP), pair.caught("cancel_order", "123", symbol)),
    ):
        verb, target, body, headers = theirs
        assert (ours.method, ours.target, ours.body.decode()) == (verb, target, body)
        assert headers_of(ours)["KC-API-SIGN"] == headers["KC-API-SIGN"]
    requests = [
        adapter.cancel_all_http(btc, STAMP),
        adapter.open_orders_http(btc, STAMP),
        adapter.fills_http(btc, None, STAMP),
        adapter.balances_http(STAMP),
        adapter.positions_http(STAMP),
        adapter.account_check_http(STAMP),
        adapter.signed_listen_key_request(STAMP),
    ]
    if pair.product is Product.SPOT:
        requests.append(adapter.amend_http(change(btc), btc, STAMP))
        verb, target, body, _ = pair.caught(
            "edit_order", "67112258f9406e0007408827", symbol, "limit", "buy", 4.0,
            float(btc.price(change(btc).price)),
        )  # fmt: skip
        assert (verb, target) == ("POST", "/api/v1/hf/orders/alter")
        assert _plain(msgspec.json.decode(body)) == _plain(msgspec.json.decode(requests[-1].body))  # type: ignore[union-attr]
    for request in requests:
        if request is not None:
            assert_signed_alike(pair, request)


# ----------------------------------------------------------------------------------- the venue's own SDK


class Sdk:
    """The venue's own client, with everything that would touch a socket caught."""

    def __init__(self) -> None:
        pytest.importorskip("kucoin_universal_sdk", reason="the conformance extra brings the venue's SDK")
        from kucoin_universal_sdk.internal.infra.default_signer import KcSigner
        from kucoin_universal_sdk.internal.infra.default_transport import DefaultTransport
        from kucoin_universal_sdk.model.client_option import ClientOptionBuilder
        from kucoin_universal_sdk.model.websocket_option import WebSocketClientOption

        options = ClientOptionBuilder().set_key("key-1").set_secret("secret-1").set_passphrase("pass-1")
        self.option = options.set_websocket_client_option(WebSocketClientOption()).build()
        self.signer = KcSigner("key-1", "secret-1", "pass-1")
        self.transport = DefaultTransport(self.option, "test")

    def signed(self, ours: HttpRequest) -> dict[str, str]:
        with time_machine.travel(NOW, tick=False):
            headers: dict[str, str] = self.signer.headers(ours.method + ours.target + ours.body.decode())
        return headers

    def made(self, method: str, path: str, request: Any) -> tuple[str, str, dict[str, Any]]:
        """Return (method, target, body) of a request that the SDK builds."""
        with time_machine.travel(NOW, tick=False):
            prepared: Any = self.transport.process_request(
                request, False, path, "https://api.kucoin.com", method, False
            )
        body = json.loads(prepared.body) if prepared.body else {}
        return prepared.method, prepared.path_url, body


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


def trading(product: Product) -> KucoinTrading:
    return KucoinTrading(product, LIVE[product], KEYS, known_of(product))


@pytest.mark.parametrize("product", list(Product))
def test_every_request_is_signed_as_the_sdk_signs_it(sdk: Sdk, product: Product) -> None:
    adapter, btc = trading(product), known_of(product)[SYMBOLS[product]]
    requests = [
        adapter.place_http(wish(btc), btc, STAMP),
        adapter.cancel_http(btc, "te11", None, STAMP),
        adapter.cancel_http(btc, "te11", "123", STAMP),
        adapter.query_http(btc, "te11", None, STAMP),
        adapter.open_orders_http(btc, STAMP),
        adapter.cancel_all_http(btc, STAMP),
        adapter.fills_http(btc, None, STAMP),
        adapter.balances_http(STAMP),
        adapter.positions_http(STAMP),
        adapter.account_check_http(STAMP),
        adapter.signed_listen_key_request(STAMP),
    ]
    if product is Product.SPOT:
        requests.append(adapter.amend_http(change(btc), btc, STAMP))
    for ours in requests:
        if ours is not None:
            sent, theirs = headers_of(ours), sdk.signed(ours)
            assert {name: sent[name] for name in SIGNED} == {name: theirs[name] for name in SIGNED}


def test_requests_are_those_of_the_sdk(sdk: Sdk) -> None:
    from kucoin_universal_sdk.generate.futures.order import model_add_order_req as futures_order
    from kucoin_universal_sdk.generate.futures.order import (
        model_cancel_order_by_client_oid_req as futures_cancel,
    )
    from kucoin_universal_sdk.generate.spot.order import model_add_order_req as spot_order
    from kucoin_universal_sdk.generate.spot.order import model_cancel_order_by_client_oid_req as spot_cancel
    from kucoin_universal_sdk.generate.spot.order import model_modify_order_req as spot_amend

    spot, btc = trading(Product.SPOT), known_of(Product.SPOT)["BTC-USDT"]
    perp, xbt = trading(Product.PERP), known_of(Product.PERP)["XBTUSDTM"]
    place, deal, move = (
        spot.place_http(wish(btc), btc, STAMP), perp.place_http(wish(xbt), xbt, STAMP),
        spot.amend_http(change(btc), btc, STAMP),
    )  # fmt: skip
    cases: list[tuple[HttpRequest, str, Any]] = [
        (place, "/api/v1/hf/orders", spot_order.AddOrderReq.from_dict(json.loads(place.body))),
        (deal, "/api/v1/orders", futures_order.AddOrderReq.from_dict(json.loads(deal.body))),
        (move, "/api/v1/hf/orders/alter", spot_amend.ModifyOrderReq.from_dict(json.loads(move.body))),
        (
            spot.cancel_http(btc, "te11", None, STAMP),
            "/api/v1/hf/orders/client-order/{clientOid}",
            spot_cancel.CancelOrderByClientOidReq.from_dict({"clientOid": "te11", "symbol": "BTC-USDT"}),
        ),
        (
            perp.cancel_http(xbt, "te11", None, STAMP),
            "/api/v1/orders/client-order/{clientOid}",
            futures_cancel.CancelOrderByClientOidReq.from_dict({"clientOid": "te11", "symbol": "XBTUSDTM"}),
        ),
    ]
    for ours, path, request in cases:
        method, target, body = sdk.made(ours.method, path, request)
        here, there = urlsplit(ours.target), urlsplit(target)
        assert (ours.method, here.path) == (method, there.path)
        # the SDK repeats in the query what it has put into the path
        assert set(parse_qsl(here.query)) == set(parse_qsl(there.query)) - {("clientOid", "te11")}
        mine, theirs = _plain(json.loads(ours.body or b"{}")), _plain(body)
        assert {name: theirs.get(name) for name in mine} == mine
        assert {theirs[name] for name in set(theirs) - set(mine)} <= {"False", "-1"}  # its defaults


def unified(product: Product, key_version: int = 3) -> KucoinUnifiedTrading:
    return KucoinUnifiedTrading(
        product, of_unified_account(LIVE, product), KEYS, known_of(product), key_version
    )


@pytest.mark.parametrize(("changes", "params"), [row[1:] for row in WISHES], ids=[row[0] for row in WISHES])
def test_a_unified_place_says_what_ccxt_says(
    pair: Pair, changes: dict[str, Any], params: dict[str, Any]
) -> None:
    if not _suits(pair.product, params):
        pytest.skip("capability matrix: spot has no reduce-only orders, futures have no FOK")
    order = wish(pair.btc, **changes)
    adapter = unified(pair.product, key_version=2)
    ours = adapter.place_http(order, pair.btc, STAMP)
    size = float(pair.btc.qty(order.qty) / pair.btc.contract_size)
    price = float(pair.btc.price(order.price)) if order.price else None
    verb, target, body, _ = pair.caught(
        "create_order", pair.symbol, order.order_type.value, order.side.word, size, price,
        {"clientOrderId": "te11", "uta": True} | params,
    )  # fmt: skip
    assert (verb, target) == (ours.method, ours.target)
    mine, theirs = _plain(json.loads(ours.body)), _plain(json.loads(body))
    if "timeInForce" not in params:
        mine.pop("timeInForce", None)  # the default, which ccxt leaves out
    assert mine == theirs
    # the same operation takes the same arguments over the socket
    assert json.loads(adapter.place_ws(order, pair.btc, "p1", STAMP))["args"] == json.loads(ours.body)


def test_unified_reads_and_cancels_are_ccxts(pair: Pair) -> None:
    adapter, btc, symbol = unified(pair.product, key_version=2), pair.btc, pair.symbol
    by_ours = {"clientOrderId": "te11", "uta": True}
    for ours, theirs in (
        (adapter.query_http(btc, "te11", None, STAMP), pair.caught("fetch_order", None, symbol, by_ours)),
        (adapter.query_http(btc, "", "123", STAMP), pair.caught("fetch_order", "123", symbol, {"uta": True})),
        (adapter.cancel_http(btc, "te11", None, STAMP), pair.caught("cancel_order", None, symbol, by_ours)),
        (
            adapter.cancel_http(btc, "", "123", STAMP),
            pair.caught("cancel_order", "123", symbol, {"uta": True}),
        ),
        (adapter.cancel_all_http(btc, STAMP), pair.caught("cancel_all_orders", symbol, {"uta": True})),
        (adapter.balances_http(STAMP), pair.caught("fetch_balance", {"uta": True, "type": "unified"})),
    ):
        verb, target, body, headers = theirs
        assert (ours.method, ours.target, ours.body.decode()) == (verb, target, body)
        assert headers_of(ours)["KC-API-SIGN"] == headers["KC-API-SIGN"]
    for request in (
        adapter.open_orders_http(btc, STAMP),
        adapter.fills_http(btc, None, STAMP),
        adapter.positions_http(STAMP),
        adapter.account_check_http(STAMP),
    ):
        if request is not None:
            assert_signed_alike(pair, request)


def test_unified_orders_over_the_socket_are_the_sdks(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    from kucoin_universal_sdk.internal.infra import uta_private_trade_ws_service as module

    service = module.UtaPrivateTradeWsService(sdk.option)
    sent: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(service, "_request", lambda operation, args: sent.append((operation, args)))
    adapter, btc = unified(Product.SPOT), known_of(Product.SPOT)["BTC-USDT"]
    place = json.loads(adapter.place_ws(wish(btc), btc, "p1", STAMP))
    cancel = json.loads(adapter.cancel_ws(btc, "te11", None, "c1", STAMP))
    service.place_order(place["args"])
    service.cancel_order(cancel["args"])
    assert sent == [(place["op"], place["args"]), (cancel["op"], cancel["args"])]


def test_unified_account_channels_are_the_sdks(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    from kucoin_universal_sdk.generate.uta.privatews import UtaPrivateWS
    from kucoin_universal_sdk.internal.infra import uta_push_ws_service as module

    service = module.UtaPushWsService(sdk.option, private_channel=True)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(service, "_connected", True)
    monkeypatch.setattr(service, "_send_and_await_ack", lambda name, message, operation: sent.append(message))
    theirs = UtaPrivateWS(service)
    theirs.order_all(print)
    theirs.execution_lite("UNIFIED", print)
    theirs.balance("UNIFIED", print)
    theirs.position_all(print)
    adapter = unified(Product.PERP)
    adapter.private_subscribe("private", STAMP)
    said = adapter.decode_private(b'{"sessionId":"s","message":"welcome","pingInterval":18000}', 0, 0)
    ours = [json.loads(event.payload) for event in said if isinstance(event, ToSend)]
    assert [{name: row[name] for name in row if name != "id"} for row in ours] == sent


def test_the_order_connection_is_opened_as_the_sdk_opens_it(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same address, and the same answer to the venue's first words, byte for byte."""
    from kucoin_universal_sdk.internal.infra import uta_private_trade_ws_service as module

    dialled: list[str] = []
    said: list[str] = []
    words = '{"sessionId":"6c2f", "timestamp":1742175983882}'

    class Socket:
        def __init__(self, url: str, on_message: Any, **handlers: Any) -> None:
            dialled.append(url)
            self._on_message = on_message

        def run_forever(self, **options: Any) -> None:
            self._on_message(self, words)
            self._on_message(self, '{"sessionId":"6c2f", "data":"welcome", "pingInterval":18000}')

        def close(self, **options: Any) -> None: ...

    monkeypatch.setattr(module.websocket, "WebSocketApp", Socket)
    service = module.UtaPrivateTradeWsService(sdk.option)
    monkeypatch.setattr(service, "_send_text", said.append)
    with time_machine.travel(NOW, tick=False):
        service.start()
    service.stop()
    adapter = trading(Product.SPOT)
    mine, theirs = urlsplit(adapter.trade_url(STAMP)), urlsplit(dialled[0])
    assert (mine.scheme, mine.netloc, mine.path) == (theirs.scheme, theirs.netloc, theirs.path)
    assert parse_qs(mine.query) == parse_qs(theirs.query)
    adapter.trade_login("login-1", STAMP)
    assert list(adapter.decode_trade(words.encode(), 0, 0)) == [ToSend(said[0].encode())]


def test_unified_subscriptions_are_those_of_the_sdk(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    from kucoin_universal_sdk.internal.infra import uta_push_ws_service as module

    service = module.UtaPushWsService(sdk.option, private_channel=False, trade_type="FUTURES")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        service, "_send_and_await_ack", lambda name, message, operation: sent.append({"id": name, **message})
    )
    xbt = known_of(Product.PERP)["XBTUSDTM"]
    (plan,) = KucoinMarketData(Product.PERP, LIVE[Product.PERP]).market_plans([xbt], frozenset(Topic))
    for payload in plan.subscribe:
        ours = json.loads(payload)
        depth = {"depth": ours["depth"]} if "depth" in ours else {}
        subscription = module.UtaPushSubscription(
            channel=ours["channel"],
            callback=print,
            symbols=["XBTUSDTM"],
            trade_type="FUTURES",
            parameters=depth,
        )
        service._send_subscription(ours["id"], subscription, "SUBSCRIBE")
        assert sent[-1] == ours


@pytest.mark.parametrize("is_private", [False, True])
def test_classic_frames_are_those_of_the_sdk(sdk: Sdk, is_private: bool) -> None:
    """The SDK's service writes a message and waits: what it wrote is compared with ours."""
    from kucoin_universal_sdk.internal.infra import default_ws_service as module
    from kucoin_universal_sdk.internal.interfaces.websocket import WebSocketMessageCallback
    from kucoin_universal_sdk.model.constants import DomainType

    service: Any = module.DefaultWsService(sdk.option, DomainType.SPOT, is_private, "test")
    written: list[Any] = []

    class Answered:
        def __init__(self, message: Any) -> None:
            self.msg, self.exception, self.timeout = message, None, 1.0
            self.event = threading.Event()
            self.event.set()

    class Client:
        def write(self, message: Any, timeout: float) -> Answered:
            written.append(message)
            return Answered(message)

    class Callback(WebSocketMessageCallback):  # type: ignore[misc]  # the SDK has no types
        def on_message(self, message: Any) -> None: ...

    service.client = Client()
    topic, arguments = ("/spotMarket/tradeOrdersV2", []) if is_private else ("/market/level2", ["BTC-USDT"])
    service.subscribe(topic, arguments, Callback())
    theirs = json.loads(written[0].to_json())
    if is_private:
        adapter = trading(Product.SPOT)
        adapter.private_subscribe("private", STAMP)
        first = next(iter(adapter.decode_private(b'{"id":"private","type":"welcome"}', 0, 0)))
        assert isinstance(first, ToSend)
        ours = json.loads(first.payload)
    else:
        market = KucoinMarketData(Product.SPOT, LIVE[Product.SPOT], streams="classic")
        btc = known_of(Product.SPOT)["BTC-USDT"]
        (plan,) = market.market_plans([btc], frozenset({Topic.DEPTH}))
        ours = json.loads(plan.subscribe[0])
    named = {name: value for name, value in theirs.items() if value is not None}
    for message in (named, ours):
        message.pop("id")
    assert ours == named


# ---------------------------------------------------------------------------------------------- vectors


def vectors(folder: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads((folder / "kucoin" / "sign_vectors.json").read_text())
    return rows


def test_vectors(shared_fixtures: Path) -> None:
    kinds = set()
    for row in vectors(shared_fixtures):
        kinds.add(row["kind"])
        signer = KucoinSigner(
            Credentials(
                Secret(row.get("key", "test_api_key")),
                Secret(row["secret"]),
                Secret(row.get("passphrase", "p")),
            )
        )
        stamp = int(row.get("timestamp", 0))
        if row["kind"] == "hmac":
            assert signer.sign(row["text"].encode()) == row["value"]
            assert signer.sign(row["text"].encode()) == row["value"]  # the prepared state was copied
        elif row["kind"] == "passphrase":
            lines = signer.headers("GET", "/", b"", 0).decode()
            assert f"KC-API-PASSPHRASE: {row['value']}\r\n" in lines
        elif row["kind"] == "rest":
            lines = signer.headers(row["method"], row["target"], row["body"].encode(), stamp).decode()
            assert f"KC-API-SIGN: {row['sign']}\r\n" in lines
            assert f"KC-API-TIMESTAMP: {stamp}\r\n" in lines
        elif row["kind"] == "ws_order_api_url":
            assert parse_qs(signer.trade_query(stamp))["sign"] == [row["sign"]]
        elif row["kind"] == "ws_order_api_session":
            assert signer.sign(row["text"].encode()) == row["answer"]
        else:
            assert signer.sign(row["prehash"].encode()) == row["sign"]
    assert kinds == {
        "hmac", "passphrase", "rest", "ws_order_api_url", "ws_order_api_session", "uta_private_auth",
    }  # fmt: skip
