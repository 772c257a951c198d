"""Orders out and answers in, over REST and WebSocket, and the account's queries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model.errors import ConfigError, NotSent, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    TimeInForce,
    VenueError,
)
from engine.venues.base import Amending, Continued, Credentials, Secret, SignedDialling
from engine.venues.kucoin.adapter import KucoinTrading
from engine.venues.kucoin.endpoints import LIVE
from tests.unit.venues.adapter_rig import Sample, amend_on
from tests.unit.venues.adapter_rig import header_lines as sent
from tests.unit.venues.adapter_rig import order_on as order

STAMP = 1795442321924


def amend(instrument: Instrument, **changes: Any) -> AmendOrder:
    terms: dict[str, Any] = {
        "venue_order_id": "670fd33bf9406e0007ab3945",
        "qty": instrument.scale_qty(Decimal("0.004")),
        "price": instrument.scale_price(Decimal("90999.9")),
    }
    return amend_on(instrument, **terms | changes)


# ------------------------------------------------------------------------------------------ requests


def test_place_on_spot(spot: KucoinTrading, btc: Instrument) -> None:
    request = spot.place_http(order(btc), btc, STAMP)
    assert (request.method, request.target) == ("POST", "/api/v1/hf/orders")
    assert msgspec.json.decode(request.body) == {
        "clientOid": "a1",
        "side": "buy",
        "symbol": "BTC-USDT",
        "type": "limit",
        "price": "91000.1",
        "timeInForce": "GTC",
        "size": "0.005",
        "clientTimestamp": STAMP,
        "allowMaxTimeWindow": 2000,
    }
    headers = sent(request.headers)
    assert headers["KC-API-TIMESTAMP"] == str(STAMP)
    assert headers["KC-API-KEY-VERSION"] == "3"
    assert headers["KC-API-PASSPHRASE"] != "pass-1"
    assert request.content_type == "application/json"
    assert not request.idempotent
    assert (request.weight, request.order_count) == (0, 1)
    assert "key-1" not in repr(request)


def test_place_of_a_contract_speaks_whole_lots(perp: KucoinTrading, xbt: Instrument) -> None:
    request = perp.place_http(order(xbt), xbt, STAMP)
    assert request.target == "/api/v1/orders"
    assert msgspec.json.decode(request.body) == {
        "clientOid": "a1",
        "side": "buy",
        "symbol": "XBTUSDTM",
        "type": "limit",
        "price": "91000.1",
        "timeInForce": "GTC",
        "size": 5,
        "marginMode": "ISOLATED",
        "leverage": 1,
    }


def test_margin_as_the_account_has_it(
    known: dict[str, Instrument], keys: Credentials, xbt: Instrument
) -> None:
    perp = KucoinTrading(
        Product.PERP, LIVE[Product.PERP], keys, known, key_version=2, margin_mode="CROSS", leverage=20
    )
    request = perp.place_http(order(xbt), xbt, STAMP)
    body = msgspec.json.decode(request.body)
    assert (body["marginMode"], body["leverage"]) == ("CROSS", 20)
    assert sent(request.headers)["KC-API-KEY-VERSION"] == "2"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC"}),
        ({"post_only": True}, {"postOnly": True, "timeInForce": "GTC"}),
        ({"side": Side.SELL}, {"side": "sell"}),
        ({"order_type": OrderType.MARKET, "price": 0}, {"type": "market"}),
    ],
)
def test_kinds_of_orders(
    perp: KucoinTrading,
    spot: KucoinTrading,
    xbt: Instrument,
    btc: Instrument,
    changes: dict[str, Any],
    fields: dict[str, Any],
) -> None:
    for trading, instrument, size in ((perp, xbt, 5), (spot, btc, "0.005")):
        body = msgspec.json.decode(trading.place_http(order(instrument, **changes), instrument, STAMP).body)
        assert {name: body[name] for name in fields} == fields
        assert ("price" in body) == ("timeInForce" in body) == ("price" not in changes)
        assert body["size"] == size  # also of market orders: base units, never money


def test_what_one_product_alone_has(
    perp: KucoinTrading, spot: KucoinTrading, xbt: Instrument, btc: Instrument
) -> None:
    reducing = msgspec.json.decode(perp.place_http(order(xbt, reduce_only=True), xbt, STAMP).body)
    assert reducing["reduceOnly"] is True
    fok = msgspec.json.decode(spot.place_http(order(btc, time_in_force=TimeInForce.FOK), btc, STAMP).body)
    assert fok["timeInForce"] == "FOK"
    with pytest.raises(UsageError, match="reduce-only"):
        spot.place_http(order(btc, reduce_only=True), btc, STAMP)
    with pytest.raises(UsageError, match="no FOK"):
        perp.place_http(order(xbt, time_in_force=TimeInForce.FOK), xbt, STAMP)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"universal": "X/Y"}, "X/Y"),
        ({"qty": 0}, "positive"),
        ({"price": 0}, "price"),
        ({"order_type": OrderType.MARKET}, "no price"),
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "GTC"),
        ({"post_only": True, "order_type": OrderType.MARKET, "price": 0}, "limit"),
        ({"client_order_id": ""}, "client_order_id"),
        ({"client_order_id": "a.1"}, "client_order_id"),
        ({"client_order_id": "a" * 41}, "client_order_id"),
        ({"client_order_id": 'a"1'}, "client_order_id"),
        ({"qty": 123_457}, "number of contracts"),
    ],
)
def test_what_cannot_be_said(perp: KucoinTrading, xbt: Instrument, changes: dict[str, Any], why: str) -> None:
    wish = order(xbt, **changes)
    with pytest.raises(UsageError, match=why):
        perp.place_http(wish, xbt, STAMP)
    with pytest.raises(UsageError, match=why):
        perp.place_ws(wish, xbt, "p1", STAMP)


def test_names_that_would_need_encoding_are_not_traded(spot: KucoinTrading, btc: Instrument) -> None:
    odd = msgspec.structs.replace(btc, symbol="Ä-USDT")
    with pytest.raises(UsageError, match="unusual characters"):
        spot.place_http(order(odd), odd, STAMP)
    with pytest.raises(UsageError, match="unusual characters"):
        spot.cancel_http(odd, "a1", None, STAMP)
    with pytest.raises(UsageError, match="unusual characters"):
        spot.fills_http(odd, None, STAMP)


def test_websocket_orders(spot: KucoinTrading, perp: KucoinTrading, btc: Instrument, xbt: Instrument) -> None:
    message = msgspec.json.decode(spot.place_ws(order(btc), btc, "p1", STAMP))
    assert (message["id"], message["op"]) == ("p1", "spot.order")
    assert message["args"] == msgspec.json.decode(spot.place_http(order(btc), btc, STAMP).body)
    message = msgspec.json.decode(perp.place_ws(order(xbt), xbt, "p2", STAMP))
    assert (message["op"], message["args"]["size"]) == ("futures.order", 5)
    assert msgspec.json.decode(spot.cancel_ws(btc, "a1", None, "c1", STAMP)) == {
        "id": "c1",
        "op": "spot.cancel",
        "args": {"symbol": "BTC-USDT", "clientOid": "a1"},
    }
    assert msgspec.json.decode(spot.cancel_ws(btc, "a1", "67", "c1", STAMP))["args"] == {
        "symbol": "BTC-USDT",
        "orderId": "67",
    }
    assert msgspec.json.decode(perp.cancel_ws(xbt, "a1", "67", "c1", STAMP))["args"] == {"orderId": "67"}
    for trading, instrument in ((spot, btc), (perp, xbt)):
        with pytest.raises(NotSent):
            trading.query_ws(instrument, "a1", None, "q1", STAMP)


@pytest.mark.parametrize(
    ("product", "venue_id", "cancel", "query"),
    [
        (
            Product.SPOT, "67", "/api/v1/hf/orders/67?symbol=BTC-USDT",
            "/api/v1/hf/orders/67?symbol=BTC-USDT",
        ),
        (
            Product.SPOT, None, "/api/v1/hf/orders/client-order/a1?symbol=BTC-USDT",
            "/api/v1/hf/orders/client-order/a1?symbol=BTC-USDT",
        ),
        (Product.PERP, "67", "/api/v1/orders/67", "/api/v1/orders/67"),
        (
            Product.PERP, None, "/api/v1/orders/client-order/a1?symbol=XBTUSDTM",
            "/api/v1/orders/byClientOid?clientOid=a1",
        ),
    ],
)  # fmt: skip
def test_cancel_and_query_prefer_the_venue_id(
    product: Product,
    venue_id: str | None,
    cancel: str,
    query: str,
    spot: KucoinTrading,
    perp: KucoinTrading,
    btc: Instrument,
    xbt: Instrument,
) -> None:
    trading, instrument = (spot, btc) if product is Product.SPOT else (perp, xbt)
    request = trading.cancel_http(instrument, "a1", venue_id, STAMP)
    assert (request.method, request.target, request.is_reserved) == ("DELETE", cancel, True)
    request = trading.query_http(instrument, "a1", venue_id, STAMP)
    assert (request.method, request.target, request.is_reserved) == ("GET", query, True)
    for bad in ("", "a&b", "x" * 41):
        with pytest.raises(UsageError):
            trading.query_http(instrument, bad, None, STAMP)
    with pytest.raises(UsageError, match="venue_order_id"):
        trading.cancel_http(instrument, "a1", "1;2", STAMP)


def test_other_requests(spot: KucoinTrading, perp: KucoinTrading, btc: Instrument, xbt: Instrument) -> None:
    assert spot.cancel_all_http(btc, STAMP).target == "/api/v1/hf/orders?symbol=BTC-USDT"
    assert perp.cancel_all_http(xbt, STAMP).target == "/api/v3/orders?symbol=XBTUSDTM"
    assert spot.open_orders_http(btc, STAMP).target == "/api/v1/hf/orders/active?symbol=BTC-USDT"
    assert perp.open_orders_http(None, STAMP).target == "/api/v1/orders?status=active&pageSize=100"
    with pytest.raises(UsageError, match="by instrument"):
        spot.open_orders_http(None, STAMP)
    assert spot.fills_http(btc, None, STAMP).target == "/api/v1/hf/fills?symbol=BTC-USDT&limit=100"
    assert perp.fills_http(xbt, "9", STAMP).target == "/api/v1/fills?symbol=XBTUSDTM&pageSize=100"
    assert spot.balances_http(STAMP).target == "/api/v1/accounts?type=trade"
    assert perp.balances_http(STAMP).target == "/api/v1/account-overview?currency=USDT"
    assert spot.positions_http(STAMP) is None
    positions = perp.positions_http(STAMP)
    assert positions is not None
    assert positions.target == "/api/v1/positions"


def test_amends_of_spot_orders(spot: KucoinTrading, btc: Instrument) -> None:
    assert isinstance(spot, Amending)
    request = spot.amend_http(amend(btc), btc, STAMP)
    assert (request.method, request.target) == ("POST", "/api/v1/hf/orders/alter")
    body = {
        "symbol": "BTC-USDT",
        "orderId": "670fd33bf9406e0007ab3945",
        "newPrice": "90999.9",
        "newSize": "0.004",
    }
    assert msgspec.json.decode(request.body) == body
    assert not request.idempotent
    assert request.order_count == 1
    message = msgspec.json.decode(spot.amend_ws(amend(btc), btc, "m1", STAMP))
    assert message == {"id": "m1", "op": "spot.modify", "args": body}
    unnamed = msgspec.json.decode(spot.amend_http(amend(btc, venue_order_id=""), btc, STAMP).body)
    assert unnamed["clientOid"] == "a1"
    assert "orderId" not in unnamed


def test_amends_that_are_refused(
    spot: KucoinTrading, perp: KucoinTrading, btc: Instrument, xbt: Instrument
) -> None:
    for trading, change, instrument, why in (
        (perp, amend(xbt), xbt, "cancel and place anew"),
        (spot, amend(btc, qty=0), btc, "positive"),
        (spot, amend(btc, price=0), btc, "positive"),
        (spot, amend(btc, universal="X/Y"), btc, "X/Y"),
        (spot, amend(btc, venue_order_id="", client_order_id="a b"), btc, "client_order_id"),
        (spot, amend(btc, venue_order_id="a b"), btc, "venue_order_id"),
    ):
        with pytest.raises(UsageError, match=why):
            trading.amend_http(change, instrument, STAMP)
        with pytest.raises(UsageError, match=why):
            trading.amend_ws(change, instrument, "m1", STAMP)


def test_the_order_connections_address(spot: KucoinTrading) -> None:
    assert isinstance(spot, SignedDialling)
    url = spot.trade_url(STAMP)
    assert url.startswith("wss://wsapi.kucoin.com/v1/private?apikey=key-1&sign=")
    assert url.endswith(f"&timestamp={STAMP}")
    assert "secret-1" not in url
    assert "pass-1" not in url
    assert spot.trade_url(STAMP + 1) != url


@pytest.mark.parametrize(
    "keys",
    [
        Credentials(Secret("k"), Secret("s")),
        Credentials(Secret(""), Secret("s"), Secret("p")),
        Credentials(Secret("k"), Secret(""), Secret("p")),
        Credentials(Secret("k\r\nX: y"), Secret("s"), Secret("p")),
    ],
)
def test_keys_that_cannot_be_used(keys: Credentials) -> None:
    with pytest.raises(ConfigError, match="KuCoin"):
        KucoinTrading(Product.SPOT, LIVE[Product.SPOT], keys, {})


@pytest.mark.parametrize(
    "words",
    [{"key_version": 1}, {"margin_mode": "cross"}, {"leverage": 0}, {"leverage": 126}, {"settle": ""}],
)
def test_settings_that_are_none(keys: Credentials, words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        KucoinTrading(Product.PERP, LIVE[Product.PERP], keys, {}, **words)


# ------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("name", "ours", "theirs"),
    [
        ("http_place", "a1", "670fd33bf9406e0007ab3945"),
        ("http_cancel_spot", "", "671124f9365ccb00073debd4"),
        ("http_cancel_by_client_id", "a1", ""),
        ("http_cancel_perp", "", "236655147005071361"),
        ("http_amend", "a1", "67112258f9406e0007408827"),
    ],
)
def test_an_acknowledgement_proves_acceptance_alone(
    spot: KucoinTrading, btc: Instrument, sample: Sample, name: str, ours: str, theirs: str
) -> None:
    ack = spot.decode_order(btc, 200, sample(name))
    assert isinstance(ack, OrderAck)
    assert (ack.client_order_id, ack.venue_order_id, ack.state) == (ours, theirs, OrderState.WORKING)
    assert (ack.side, ack.price, ack.qty, ack.cum_qty) == (None, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("http_place_refused", RejectReason.INSUFFICIENT_FUNDS),
        ("http_cancel_unknown", RejectReason.UNKNOWN_ORDER),
        ("http_order_unknown", RejectReason.UNKNOWN_ORDER),
    ],
)
def test_refusals_come_with_http_200(
    perp: KucoinTrading, xbt: Instrument, sample: Sample, name: str, reason: RejectReason
) -> None:
    error = perp.decode_order(xbt, 200, sample(name))
    assert isinstance(error, VenueError)
    assert (error.outcome, error.reason) == (Outcome.REFUSED, reason)


def test_a_cancel_that_ended_nothing(perp: KucoinTrading, xbt: Instrument) -> None:
    error = perp.decode_order(xbt, 200, b'{"code":"200000","data":{"cancelledOrderIds":[]}}')
    assert isinstance(error, VenueError)
    assert error.reason is RejectReason.UNKNOWN_ORDER


@pytest.mark.parametrize(
    "body",
    [
        b'{"code":"200000","data":null}',
        b'{"code":"200000","data":{}}',
        b'{"code":"200000","data":"success"}',
        b'{"code":"200000","data":{"orderId":"a b"}}',
        b'{"code":"200000","data":{"cancelledOrderIds":["1","2"]}}',
        b'{"code":"200000"}',
    ],
)
def test_answers_that_prove_nothing(spot: KucoinTrading, btc: Instrument, body: bytes) -> None:
    error = spot.decode_order(btc, 200, body)
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN


def test_queries(
    spot: KucoinTrading, perp: KucoinTrading, btc: Instrument, xbt: Instrument, sample: Sample
) -> None:
    ack = spot.decode_order(btc, 200, sample("http_order_spot"))
    assert isinstance(ack, OrderAck)
    assert (ack.state, ack.side) == (OrderState.WORKING, Side.BUY)
    assert (btc.qty(ack.qty), btc.qty(ack.cum_qty)) == (Decimal("0.005"), Decimal("0.002"))
    assert ack.cum_quote == Decimal("99.99")
    assert ack.venue_utc_ns == 1729235909862_000_000
    ack = perp.decode_order(xbt, 200, sample("http_order_perp"))
    assert isinstance(ack, OrderAck)
    assert (ack.state, ack.side) == (OrderState.WORKING, Side.SELL)
    assert (xbt.qty(ack.qty), xbt.qty(ack.cum_qty)) == (Decimal("0.005"), Decimal("0.002"))
    assert ack.cum_quote == Decimal("182.0002")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, OrderState.WORKING),
        ({"active": False, "dealSize": "0.005"}, OrderState.FILLED),
        ({"active": False, "cancelExist": True}, OrderState.CANCELLED),
        ({"active": False, "cancelExist": True, "dealSize": "0"}, OrderState.CANCELLED),
        ({"active": False, "cancelExist": True, "timeInForce": "IOC"}, OrderState.EXPIRED),
        ({"active": False, "cancelExist": True, "type": "market"}, OrderState.EXPIRED),
        ({"active": False, "dealSize": "0.001"}, OrderState.EXPIRED),  # ended, yet neither
        ({"active": None, "status": "open"}, OrderState.WORKING),
        ({"active": None, "status": "done", "cancelExist": True}, OrderState.CANCELLED),
    ],
)
def test_states(
    spot: KucoinTrading, btc: Instrument, sample: Sample, changes: dict[str, Any], expected: OrderState
) -> None:
    body = msgspec.json.decode(sample("http_order_spot"))
    body["data"] |= changes
    ack = spot.decode_order(btc, 200, msgspec.json.encode(body))
    assert isinstance(ack, OrderAck)
    assert ack.state is expected


@pytest.mark.parametrize(
    "changes",
    [{"active": None}, {"side": "x"}, {"symbol": "X"}, {"id": "a b"}, {"size": "-1"}, {"dealSize": "1e-9"}],
)
def test_orders_that_make_no_sense(
    spot: KucoinTrading, btc: Instrument, sample: Sample, changes: dict[str, Any]
) -> None:
    body = msgspec.json.decode(sample("http_order_spot"))
    body["data"] |= changes
    error = spot.decode_order(btc, 200, msgspec.json.encode(body))
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN


def test_open_orders(spot: KucoinTrading, perp: KucoinTrading, sample: Sample) -> None:
    (ack,) = spot.decode_orders(200, sample("http_orders_active_spot"))  # type: ignore[misc]
    assert isinstance(ack, OrderAck)
    assert ack.client_order_id == "a1"
    (ack,) = perp.decode_orders(200, sample("http_orders_active_perp"))  # type: ignore[misc]
    assert isinstance(ack, OrderAck)
    assert spot.decode_orders(200, b'{"code":"200000","data":[]}') == []


def test_open_orders_come_in_pages(perp: KucoinTrading, spot: KucoinTrading, btc: Instrument) -> None:
    assert isinstance(perp, Continued)
    first = perp.open_orders_http(None, STAMP)

    def page(number: int, total: int) -> bytes:
        data = {"currentPage": number, "pageSize": 100, "totalNum": 250, "totalPage": total, "items": []}
        return msgspec.json.encode({"code": "200000", "data": data})

    second = perp.continuation(first, 200, page(1, 3), STAMP + 1)
    assert second is not None
    assert second.target == "/api/v1/orders?status=active&pageSize=100&currentPage=2"
    assert second.is_reserved
    assert sent(second.headers)["KC-API-TIMESTAMP"] == str(STAMP + 1)
    third = perp.continuation(second, 200, page(2, 3), STAMP)
    assert third is not None
    assert third.target == "/api/v1/orders?status=active&pageSize=100&currentPage=3"
    assert perp.continuation(third, 200, page(3, 3), STAMP) is None
    assert perp.continuation(first, 429, page(1, 3), STAMP) is None
    assert perp.continuation(first, 200, b"<html>", STAMP) is None
    assert perp.continuation(first, 200, page(0, 0), STAMP) is None
    fills = perp.fills_http(btc, None, STAMP)  # the newest page is enough
    assert perp.continuation(fills, 200, page(1, 3), STAMP) is None
    whole = spot.open_orders_http(btc, STAMP)
    assert spot.continuation(whole, 200, b'{"code":"200000","data":[]}', STAMP) is None


def test_cancel_all(spot: KucoinTrading, perp: KucoinTrading, sample: Sample) -> None:
    assert spot.decode_orders(200, sample("http_cancel_all_spot")) == []
    assert perp.decode_orders(200, sample("http_cancel_all_perp")) == []
    refused = spot.decode_orders(200, b'{"code":"400100","msg":"order_not_exist_or_not_allow_to_cancel"}')
    assert isinstance(refused, VenueError)
    assert refused.reason is RejectReason.UNKNOWN_ORDER


def test_fills(
    spot: KucoinTrading, perp: KucoinTrading, btc: Instrument, xbt: Instrument, sample: Sample
) -> None:
    reports = spot.decode_fills(btc, 200, sample("http_fills_spot"))
    assert isinstance(reports, list)
    maker, taker = (report.fill for report in reports)
    assert maker is not None
    assert taker is not None
    assert (maker.trade_id, taker.trade_id) == ("7", "12")  # ascending, as numbers
    assert (maker.is_maker, taker.is_maker) == (True, False)
    assert (maker.fee, taker.fee) == (Decimal("-0.00027"), Decimal("0.000677176"))
    assert (reports[0].client_order_id, reports[0].cum_qty) == ("", None)
    (report,) = perp.decode_fills(xbt, 200, sample("http_fills_perp"))  # type: ignore[misc]
    assert report.fill is not None
    assert xbt.qty(report.fill.qty) == Decimal("0.003")  # three lots
    assert report.fill.venue_utc_ns == 1740640088244000000
    other = spot.decode_fills(btc, 200, sample("http_fills_perp"))
    assert isinstance(other, VenueError)


def test_balances(spot: KucoinTrading, perp: KucoinTrading, sample: Sample) -> None:
    rows = spot.decode_balances(200, sample("http_accounts"))
    assert isinstance(rows, list)
    assert [(row.asset, row.free, row.locked) for row in rows] == [  # the trade account alone
        ("USDT", Decimal("25.66759503"), Decimal(1)),
        ("BTC", Decimal("1.5"), Decimal(0)),
    ]
    (row,) = perp.decode_balances(200, sample("http_account_overview"))  # type: ignore[misc]
    assert (row.asset, row.free) == ("USDT", Decimal("290.326799096"))
    assert row.free + row.locked == Decimal("394.439280806") - Decimal("20.15278")


def test_positions(perp: KucoinTrading, sample: Sample) -> None:
    (position,) = perp.decode_positions(200, sample("http_positions"))  # type: ignore[misc]
    assert position.universal == "BTC/USDT:USDT"
    assert position.position_qty == Decimal("-0.003")
    assert (position.entry_price, position.mark_price) == (Decimal(90100), Decimal("90100.5"))
    hedge = perp.decode_positions(200, sample("http_positions").replace(b'"BOTH"', b'"LONG"', 1))
    assert isinstance(hedge, VenueError)
    assert "hedge" in hedge.message


@pytest.mark.parametrize(
    ("product", "name", "old", "new", "problem"),
    [
        (Product.SPOT, "http_account_mode", b"", b"", ""),
        (Product.SPOT, "http_account_mode", b"CLASSIC", b"UNIFIED", "UNIFIED"),
        (Product.PERP, "http_position_mode", b"", b"", ""),
        (Product.PERP, "http_position_mode", b"0}", b"1}", "one-way"),
        (Product.PERP, "http_position_mode", b"0}", b'"1"}', "one-way"),
    ],
)
def test_account_check(
    product: Product,
    name: str,
    old: bytes,
    new: bytes,
    problem: str,
    spot: KucoinTrading,
    perp: KucoinTrading,
    sample: Sample,
) -> None:
    trading = spot if product is Product.SPOT else perp
    assert trading.account_check_http(STAMP) is not None
    answer = trading.decode_account_check(200, sample(name).replace(old, new))
    assert isinstance(answer, str)
    assert problem in answer
    assert bool(problem) == bool(answer)
    for body in (b'{"code":"400007","msg":"permission"}', b"[]"):
        assert isinstance(trading.decode_account_check(200, body), VenueError)
