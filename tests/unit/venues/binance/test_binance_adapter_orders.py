"""Requests out, to the byte; answers in, none of which may raise."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from engine.model.errors import ConfigError, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    Retry,
    TimeInForce,
    VenueError,
)
from engine.venues.base import Credentials, Endpoints, HttpRequest, Secret
from engine.venues.binance.adapter import BinanceTrading
from engine.venues.binance.endpoints import LIVE, PRIVATE_RULES, TRADE_RULES

Golden = Callable[[str], bytes]
STAMP = 1795478400000


def order(instrument: Instrument, **changes: Any) -> NewOrder:
    values: dict[str, Any] = {
        "venue": "binance",
        "universal": instrument.universal,
        "client_order_id": "te1-1",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "qty": 100_000,
        "price": 5_000_000_000_000,
    }
    return NewOrder(**(values | changes))


def signature(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def signed(secret: str, query: str) -> str:
    payload = f"timestamp={STAMP}&{query}&recvWindow=2000" if query else f"timestamp={STAMP}&recvWindow=2000"
    return f"{payload}&signature={signature(secret, payload)}"


MARKET = {"order_type": OrderType.MARKET, "price": 0, "side": Side.SELL}
POST_ONLY = {"post_only": True}
HEAD = "symbol=BTCUSDT&side=BUY&newClientOrderId=te1-1&newOrderRespType="


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({}, HEAD + "RESULT&type=LIMIT&quantity=0.001&price=50000&timeInForce=GTC"),
        (
            {"time_in_force": TimeInForce.IOC},
            HEAD + "RESULT&type=LIMIT&quantity=0.001&price=50000&timeInForce=IOC",
        ),
        (
            {"time_in_force": TimeInForce.FOK, "price": 1_000_000},
            HEAD + "RESULT&type=LIMIT&quantity=0.001&price=0.01&timeInForce=FOK",
        ),
        (POST_ONLY, HEAD + "RESULT&type=LIMIT_MAKER&quantity=0.001&price=50000"),
        (MARKET, HEAD.replace("BUY", "SELL") + "RESULT&type=MARKET&quantity=0.001"),
    ],
)
def test_spot_place(
    spot: BinanceTrading, spot_known: dict[str, Instrument], changes: dict[str, Any], query: str
) -> None:
    instrument = spot_known["BTCUSDT"]
    request = spot.place_http(order(instrument, **changes), instrument, STAMP)
    assert request == HttpRequest(
        method="POST",
        target="/api/v3/order",
        label="binance.spot.place",
        headers=b"X-MBX-APIKEY: spotkey\r\n",
        body=signed("spotsecret", query).encode(),
        weight=1,
        order_count=1,
        idempotent=False,
    )


@pytest.mark.parametrize(
    ("changes", "query"),
    [
        ({}, HEAD + "ACK&type=LIMIT&quantity=0.001&price=50000&timeInForce=GTC"),
        (POST_ONLY, HEAD + "ACK&type=LIMIT&quantity=0.001&price=50000&timeInForce=GTX"),
        (
            {"time_in_force": TimeInForce.IOC, "reduce_only": True},
            HEAD + "RESULT&type=LIMIT&quantity=0.001&price=50000&timeInForce=IOC&reduceOnly=true",
        ),
        (
            MARKET | {"reduce_only": True},
            HEAD.replace("BUY", "SELL") + "RESULT&type=MARKET&quantity=0.001&reduceOnly=true",
        ),
    ],
)
def test_perp_place(
    perp: BinanceTrading, perp_known: dict[str, Instrument], changes: dict[str, Any], query: str
) -> None:
    instrument = perp_known["BTCUSDT"]
    request = perp.place_http(order(instrument, **changes), instrument, STAMP)
    assert (request.method, request.target, request.weight) == ("POST", "/fapi/v1/order", 0)
    assert request.body == signed("perpsecret", query).encode()
    assert not request.idempotent


def test_non_ascii_symbols_are_encoded_before_they_are_signed(
    spot: BinanceTrading, spot_known: dict[str, Instrument]
) -> None:
    chinese = spot_known["测试USDT"]
    request = spot.place_http(order(chinese, qty=chinese.lot_size, price=chinese.tick_size), chinese, STAMP)
    head, _, got = request.body.decode().partition("&signature=")
    assert "symbol=%E6%B5%8B%E8%AF%95USDT&" in head
    assert got == signature("spotsecret", head)
    message = msgspec.json.decode(spot.place_ws(order(chinese), chinese, "1", STAMP))
    assert message["params"]["symbol"] == "测试USDT"


@pytest.mark.parametrize(
    ("product", "changes", "text"),
    [
        (Product.SPOT, {"universal": "ETH/USDT"}, "the order is for ETH/USDT"),
        (Product.SPOT, {"qty": 0}, "qty must be positive"),
        (Product.SPOT, {"qty": -1}, "qty must be positive"),
        (Product.SPOT, {"price": 0}, "needs a positive price"),
        (Product.SPOT, {"order_type": OrderType.MARKET}, "has no price"),
        (Product.SPOT, MARKET | POST_ONLY, "only a limit order"),
        (Product.PERP, POST_ONLY | {"time_in_force": TimeInForce.IOC}, "must be GTC"),
        (Product.SPOT, {"reduce_only": True}, "no reduce-only"),
        (Product.PERP, {"client_order_id": ""}, "client_order_id"),
        (Product.PERP, {"client_order_id": "a" * 37}, "client_order_id"),
        (Product.PERP, {"client_order_id": "a&price=1"}, "client_order_id"),
        (Product.PERP, {"client_order_id": "a\n"}, "client_order_id"),
        (Product.PERP, {"client_order_id": "é"}, "client_order_id"),
    ],
)
def test_an_order_that_cannot_be_said_is_never_encoded(
    spot: BinanceTrading,
    perp: BinanceTrading,
    spot_known: dict[str, Instrument],
    perp_known: dict[str, Instrument],
    product: Product,
    changes: dict[str, Any],
    text: str,
) -> None:
    adapter, known = (spot, spot_known) if product is Product.SPOT else (perp, perp_known)
    instrument = known["BTCUSDT"]
    bad = order(instrument, **changes)
    with pytest.raises(UsageError, match=text):
        adapter.place_http(bad, instrument, STAMP)
    with pytest.raises(UsageError, match=text):
        adapter.place_ws(bad, instrument, "1", STAMP)


def test_reads_and_cancels_are_signed_in_the_query(
    spot: BinanceTrading, perp: BinanceTrading, spot_known: dict[str, Instrument]
) -> None:
    btc = spot_known["BTCUSDT"]
    rows = [
        (spot.cancel_http(btc, "te1-1", None, STAMP), "DELETE", "/api/v3/order",
         "symbol=BTCUSDT&origClientOrderId=te1-1", 1),
        (spot.cancel_http(btc, "te1-1", "42", STAMP), "DELETE", "/api/v3/order",
         "symbol=BTCUSDT&orderId=42", 1),
        (perp.cancel_http(btc, "te1-1", None, STAMP), "DELETE", "/fapi/v1/order",
         "symbol=BTCUSDT&origClientOrderId=te1-1", 1),
        (spot.cancel_http(btc, "web_a.b/c:1", None, STAMP), "DELETE", "/api/v3/order",
         "symbol=BTCUSDT&origClientOrderId=web_a.b%2Fc%3A1", 1),
        (spot.query_http(btc, "te1-1", None, STAMP), "GET", "/api/v3/order",
         "symbol=BTCUSDT&origClientOrderId=te1-1", 4),
        (perp.query_http(btc, "te1-1", "42", STAMP), "GET", "/fapi/v1/order", "symbol=BTCUSDT&orderId=42", 1),
        (spot.open_orders_http(btc, STAMP), "GET", "/api/v3/openOrders", "symbol=BTCUSDT", 6),
        (spot.open_orders_http(None, STAMP), "GET", "/api/v3/openOrders", "", 80),
        (perp.open_orders_http(btc, STAMP), "GET", "/fapi/v1/openOrders", "symbol=BTCUSDT", 1),
        (perp.open_orders_http(None, STAMP), "GET", "/fapi/v1/openOrders", "", 40),
        (spot.cancel_all_http(btc, STAMP), "DELETE", "/api/v3/openOrders", "symbol=BTCUSDT", 1),
        (perp.cancel_all_http(btc, STAMP), "DELETE", "/fapi/v1/allOpenOrders", "symbol=BTCUSDT", 1),
        (spot.fills_http(btc, None, STAMP), "GET", "/api/v3/myTrades", "symbol=BTCUSDT&limit=1000", 20),
        (perp.fills_http(btc, "7", STAMP), "GET", "/fapi/v1/userTrades",
         "symbol=BTCUSDT&limit=1000&fromId=7", 5),
        (spot.balances_http(STAMP), "GET", "/api/v3/account", "omitZeroBalances=true", 20),
        (perp.balances_http(STAMP), "GET", "/fapi/v3/balance", "", 5),
        (perp.positions_http(STAMP), "GET", "/fapi/v3/positionRisk", "", 5),
        (perp.account_check_http(STAMP), "GET", "/fapi/v1/accountConfig", "", 5),
        (spot.account_check_http(STAMP), "GET", "/api/v3/account", "omitZeroBalances=true", 20),
    ]  # fmt: skip
    for request, method, path, query, weight in rows:
        assert request is not None
        secret = "spotsecret" if path.startswith("/api") else "perpsecret"
        assert (request.method, request.target) == (method, f"{path}?{signed(secret, query)}")
        assert (request.weight, request.order_count, request.body) == (weight, 0, b"")
        assert request.idempotent
        # The reserve is for cancels and for what proves an order's fate.
        assert request.is_reserved == (not any(word in path for word in ("account", "balance", "position")))
    assert spot.positions_http(STAMP) is None


@pytest.mark.parametrize("venue_id", ["1&x=2", "abc", " 1", "1" * 20])
def test_ids_cannot_smuggle_parameters(
    spot: BinanceTrading, spot_known: dict[str, Instrument], venue_id: str
) -> None:
    btc = spot_known["BTCUSDT"]
    with pytest.raises(UsageError):
        spot.cancel_http(btc, "te1-1", venue_id, STAMP)
    with pytest.raises(UsageError):
        spot.fills_http(btc, venue_id, STAMP)
    with pytest.raises(UsageError):
        spot.query_ws(btc, "", None, "1", STAMP)


# -------------------------------------------------------------------------------------- WebSocket API

ED25519 = Credentials(
    Secret("edkey"), Secret("MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7")
)


def test_hmac_requests_are_signed_one_by_one(perp: BinanceTrading, perp_known: dict[str, Instrument]) -> None:
    btc = perp_known["BTCUSDT"]
    message = msgspec.json.decode(perp.place_ws(order(btc, **POST_ONLY), btc, "7", STAMP))
    params = message.pop("params")
    assert message == {"id": "7", "method": "order.place"}
    got = params.pop("signature")
    assert params == {
        "apiKey": "perpkey",
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTX",
        "quantity": "0.001",
        "price": "50000",
        "newClientOrderId": "te1-1",
        "newOrderRespType": "ACK",
        "recvWindow": 2000,
        "timestamp": STAMP,
    }
    assert got == signature("perpsecret", "&".join(f"{name}={params[name]}" for name in sorted(params)))
    assert perp.trade_login("1", STAMP) is None


@pytest.mark.parametrize(("method", "name"), [("order.cancel", "cancel_ws"), ("order.status", "query_ws")])
def test_cancel_and_query_by_either_id(
    spot: BinanceTrading, spot_known: dict[str, Instrument], method: str, name: str
) -> None:
    btc = spot_known["BTCUSDT"]
    for ours, theirs, expected in (
        ("te1-1", None, {"origClientOrderId": "te1-1"}),
        ("te1-1", "42", {"orderId": 42}),
    ):
        message = msgspec.json.decode(getattr(spot, name)(btc, ours, theirs, "9", STAMP))
        assert message["method"] == method
        params = message["params"]
        got = params.pop("signature")
        assert got == signature("spotsecret", "&".join(f"{key}={params[key]}" for key in sorted(params)))
        assert {key: params[key] for key in params if "rder" in key} == expected


def test_a_logged_on_session_sends_neither_key_nor_signature(spot_known: dict[str, Instrument]) -> None:
    btc = spot_known["BTCUSDT"]
    adapter = BinanceTrading(Product.SPOT, LIVE[Product.SPOT], ED25519, spot_known)
    login = msgspec.json.decode(adapter.trade_login("1", STAMP) or b"")
    assert login["method"] == "session.logon"
    assert sorted(login["params"]) == ["apiKey", "signature", "timestamp"]
    before = msgspec.json.decode(adapter.place_ws(order(btc), btc, "2", STAMP))["params"]
    assert {"apiKey", "signature"} < set(before)
    adapter.set_logged_on(True)
    after = msgspec.json.decode(adapter.place_ws(order(btc), btc, "3", STAMP))["params"]
    assert after == {key: before[key] for key in before if key not in ("apiKey", "signature")}
    adapter.set_logged_on(False)
    assert "signature" in msgspec.json.decode(adapter.place_ws(order(btc), btc, "4", STAMP))["params"]


# -------------------------------------------------------------------------------------------- answers


def ack(**changes: Any) -> OrderAck:
    values: dict[str, Any] = {
        "client_order_id": "te1-1",
        "venue_order_id": "28",
        "state": OrderState.WORKING,
        "price": 1_000_000_000,
        "qty": 200_000_000,
        "cum_qty": 50_000_000,
        "cum_quote": D("5.00000000"),
        "side": Side.SELL,
        "venue_utc_ns": 1507725176595_000_000,
    }
    return OrderAck(**(values | changes))


@pytest.mark.parametrize("name", ["http_order_spot_result", "http_order_spot_full"])
def test_spot_place_answers(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden, name: str
) -> None:
    assert spot.decode_order(spot_known["BTCUSDT"], 200, golden(name)) == ack()


def test_spot_cancel_answer_names_the_order_and_not_the_cancel(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden
) -> None:
    assert spot.decode_order(spot_known["BTCUSDT"], 200, golden("http_cancel_spot")) == ack(
        venue_order_id="4", state=OrderState.CANCELLED, price=200_000_000, qty=100_000_000, cum_qty=0,
        cum_quote=D("0E-8"), side=Side.BUY, venue_utc_ns=1684804350068_000_000,
    )  # fmt: skip


def test_spot_query_answer(spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden) -> None:
    assert spot.decode_order(spot_known["BTCUSDT"], 200, golden("http_query_spot")) == ack(
        venue_order_id="1", price=10_000_000, qty=100_000_000, cum_qty=0, cum_quote=D("0.0"), side=Side.BUY,
        venue_utc_ns=1499827319560_000_000,
    )  # fmt: skip


def test_perp_answers_with_and_without_the_withdrawn_keys(
    perp: BinanceTrading, perp_known: dict[str, Instrument], golden: Golden
) -> None:
    btc = perp_known["BTCUSDT"]
    assert perp.decode_order(btc, 200, golden("http_order_perp_ack")) == ack(
        venue_order_id="22542179", price=6_500_010_000_000, qty=1_000_000, cum_qty=0, cum_quote=None,
        side=Side.BUY, venue_utc_ns=1702555534435_000_000,
    )  # fmt: skip
    assert perp.decode_order(btc, 200, golden("http_query_perp")) == ack(
        venue_order_id="22542179", price=6_500_010_000_000, qty=1_000_000, cum_qty=500_000,
        cum_quote=D("325.00"), state=OrderState.EXPIRED, venue_utc_ns=1579276756076_000_000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("NEW", OrderState.WORKING),
        ("PENDING_NEW", OrderState.WORKING),
        ("PARTIALLY_FILLED", OrderState.WORKING),
        ("PENDING_CANCEL", OrderState.WORKING),
        ("FILLED", OrderState.FILLED),
        ("CANCELED", OrderState.CANCELLED),
        ("REJECTED", OrderState.REJECTED),
        ("EXPIRED", OrderState.EXPIRED),
        ("EXPIRED_IN_MATCH", OrderState.EXPIRED),
    ],
)
def test_every_documented_status(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden, word: str, state: OrderState
) -> None:
    body = golden("http_query_spot").replace(b'"NEW"', f'"{word}"'.encode())
    answer = spot.decode_order(spot_known["BTCUSDT"], 200, body)
    assert isinstance(answer, OrderAck)
    assert answer.state is state


def test_what_cannot_be_understood_is_unknown(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden
) -> None:
    whole = golden("http_order_spot_result").decode()
    bodies = [
        "", "<html>", "[]", "null", "{}", "\x00", whole[:-1], whole[:-40],
        golden("http_order_spot_ack").decode(),  # names neither state nor quantities; never asked for
        whole.replace("PARTIALLY_FILLED", "TELEPORTED"),
        whole.replace('"SELL"', '"SHORT"'),
        whole.replace('"BTCUSDT"', '"ETHUSDT"'),  # the answer to somebody else's question
        whole.replace('"0.50000000"', '"0.500000001"'),
        whole.replace('"0.50000000"', '"-1"'),
        whole.replace('"0.50000000"', "0.5"),
        whole.replace('"orderId":28', '"orderId":-28'),
        whole.replace('"orderId":28', '"orderId":"28"'),
        whole.replace('"5.00000000"', '"five"'),
    ]  # fmt: skip
    for body in bodies:
        answer = spot.decode_order(spot_known["BTCUSDT"], 200, body.encode())
        assert isinstance(answer, VenueError), body
        assert (answer.outcome, answer.retry) == (Outcome.UNKNOWN, Retry.READ), body


def test_an_error_with_status_200_is_still_an_error(
    spot: BinanceTrading, spot_known: dict[str, Instrument]
) -> None:
    answer = spot.decode_order(
        spot_known["BTCUSDT"], 200, b'{"code":-2010,"msg":"Order would immediately match and take."}'
    )
    assert isinstance(answer, VenueError)
    assert (answer.outcome, answer.reason) == (Outcome.REFUSED, RejectReason.WOULD_TAKE)


def test_retry_after_reaches_the_error(spot: BinanceTrading, spot_known: dict[str, Instrument]) -> None:
    body = b'{"code":-1003,"msg":"Too much request weight used."}'
    answer = spot.decode_order(spot_known["BTCUSDT"], 429, body, "3")
    assert isinstance(answer, VenueError)
    assert answer.retry_after_ms == 3_000
    for other in (
        spot.decode_orders(429, body, "3"),
        spot.decode_fills(spot_known["BTCUSDT"], 429, body, "3"),
        spot.decode_balances(429, body, "3"),
        spot.decode_positions(429, body, "3"),
        spot.decode_listen_key(429, body, "3"),
        spot.decode_account_check(429, body, "3"),
        spot.decode_error(429, body, "3"),
    ):
        assert other == answer


def test_cancel_all_answers(spot: BinanceTrading, perp: BinanceTrading, golden: Golden) -> None:
    orders = spot.decode_orders(200, golden("http_cancel_all_spot"))
    assert isinstance(orders, list)
    assert [(each.client_order_id, each.state) for each in orders] == [
        ("te1-1", OrderState.CANCELLED),
        ("te1-2", OrderState.CANCELLED),
        ("te1-3", OrderState.CANCELLED),
    ]
    assert perp.decode_orders(200, golden("http_cancel_all_perp")) == []
    nothing = spot.decode_orders(400, b'{"code":-2011,"msg":"Unknown order sent."}')
    assert isinstance(nothing, VenueError)
    assert (nothing.outcome, nothing.reason) == (Outcome.REFUSED, RejectReason.UNKNOWN_ORDER)


def test_open_orders(spot: BinanceTrading, golden: Golden) -> None:
    one = golden("http_query_spot").decode()
    assert spot.decode_orders(200, b"[]") == []
    orders = spot.decode_orders(200, f"[{one},{one.replace('BTCUSDT', 'NOTLISTED')}]".encode())
    assert isinstance(orders, list)
    assert [each.venue_order_id for each in orders] == ["1"]
    for body in ("{}", f"[{one},3]", f'[{one},{{"orderReports":3}}]', one.replace("NEW", "ODD"), ""):
        answer = spot.decode_orders(200, f"[{body}]".encode() if body.startswith("{") else body.encode())
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN


# ----------------------------------------------------------------------------------------------- rules


def test_construction_refuses_what_cannot_work(spot_known: dict[str, Instrument]) -> None:
    def build(key: str, secret: str = "s", window: int = 2_000) -> BinanceTrading:
        return BinanceTrading(
            Product.SPOT, LIVE[Product.SPOT], Credentials(Secret(key), Secret(secret)), spot_known, window
        )

    for key in ("", "a b", "a\r\nX-Evil: 1", "kéy"):
        with pytest.raises(ConfigError, match="API key"):
            build(key)
    for window in (0, 60_001):
        with pytest.raises(ConfigError, match="recv_window_ms"):
            build("k", window=window)
    with pytest.raises(ConfigError, match="empty"):
        build("k", "")
    assert build("k", window=500).validity_ms == 500


def test_rules_and_addresses(spot: BinanceTrading, perp: BinanceTrading) -> None:
    assert spot.private_url(None) == "wss://ws-api.binance.com:443/ws-api/v3"
    assert perp.private_url("aB1") == "wss://fstream.binance.com/private/ws?listenKey=aB1"
    assert (spot.private_rules, perp.private_rules) == (
        PRIVATE_RULES[Product.SPOT], PRIVATE_RULES[Product.PERP],
    )  # fmt: skip
    assert (spot.trade_rules.connect_weight, perp.trade_rules.connect_weight) == (2, 5)
    assert spot.trade_rules == TRADE_RULES[Product.SPOT]
    assert spot.listen_key_request() is None
    request = perp.listen_key_request()
    assert request is not None
    assert (request.method, request.target, request.body) == ("POST", "/fapi/v1/listenKey", b"")
    assert request.headers == b"X-MBX-APIKEY: perpkey\r\n"


def test_private_subscription(spot: BinanceTrading, perp: BinanceTrading) -> None:
    (message,) = spot.private_subscribe("5", STAMP)
    body = msgspec.json.decode(message)
    assert (body["id"], body["method"]) == ("5", "userDataStream.subscribe.signature")
    assert body["params"] == {
        "apiKey": "spotkey",
        "timestamp": STAMP,
        "signature": signature("spotsecret", f"apiKey=spotkey&timestamp={STAMP}"),
    }
    assert perp.private_subscribe("5", STAMP) == ()


def test_bases_with_paths_and_slashes(perp_known: dict[str, Instrument]) -> None:
    endpoints = Endpoints(rest="http://127.0.0.1:1", ws_public="", ws_private="ws://127.0.0.1:2/x/")
    adapter = BinanceTrading(Product.PERP, endpoints, ED25519, perp_known)
    assert adapter.private_url("k") == "ws://127.0.0.1:2/x/private/ws?listenKey=k"


def test_no_secret_shows_when_a_request_is_printed(
    spot: BinanceTrading, spot_known: dict[str, Instrument]
) -> None:
    btc = spot_known["BTCUSDT"]
    for request in (spot.place_http(order(btc), btc, STAMP), spot.cancel_http(btc, "te1-1", None, STAMP)):
        assert "signature" not in repr(request)
        assert "spotkey" not in repr(request)
    assert "spotsecret" not in repr(vars(spot))
