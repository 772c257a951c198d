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
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    TimeInForce,
    VenueError,
)
from engine.venues.base import Credentials, Secret
from engine.venues.okx.adapter import OkxTrading
from engine.venues.okx.endpoints import LIVE
from tests.unit.venues.adapter_rig import Sample
from tests.unit.venues.adapter_rig import header_lines as sent
from tests.unit.venues.adapter_rig import order_on as order

STAMP = 1795442321924
KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("pass-1"))


@pytest.fixture
def spot(known: dict[str, Instrument]) -> OkxTrading:
    return OkxTrading(Product.SPOT, LIVE[Product.SPOT], KEYS, known)


@pytest.fixture
def perp(known: dict[str, Instrument]) -> OkxTrading:
    return OkxTrading(Product.PERP, LIVE[Product.PERP], KEYS, known)


# ------------------------------------------------------------------------------------------ requests


def test_place_of_a_swap_speaks_contracts(perp: OkxTrading, swap: Instrument) -> None:
    request = perp.place_http(order(swap), swap, STAMP)
    assert (request.method, request.target) == ("POST", "/api/v5/trade/order")
    assert msgspec.json.decode(request.body) == {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "side": "buy",
        "ordType": "limit",
        "sz": "0.5",
        "px": "91000.1",
        "clOrdId": "a1",
    }
    headers = sent(request.headers)
    assert headers["OK-ACCESS-TIMESTAMP"] == "2026-11-23T13:58:41.924Z"
    assert headers["expTime"] == str(STAMP + perp.validity_ms)
    assert headers["OK-ACCESS-PASSPHRASE"] == "pass-1"
    assert request.content_type == "application/json"
    assert not request.idempotent
    assert request.order_count == 1
    assert "key-1" not in repr(request)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"time_in_force": TimeInForce.IOC}, {"ordType": "ioc"}),
        ({"time_in_force": TimeInForce.FOK}, {"ordType": "fok"}),
        ({"post_only": True}, {"ordType": "post_only"}),
        ({"side": Side.SELL}, {"side": "sell"}),
        ({"reduce_only": True}, {"reduceOnly": True}),
        ({"order_type": OrderType.MARKET, "price": 0}, {"ordType": "market"}),
    ],
)
def test_kinds_of_orders(
    perp: OkxTrading, swap: Instrument, changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    body = msgspec.json.decode(perp.place_http(order(swap, **changes), swap, STAMP).body)
    assert {name: body[name] for name in fields} == fields
    assert ("px" in body) == ("price" not in changes)
    assert "tgtCcy" not in body


def test_spot_market_orders_are_exact_in_base_units(spot: OkxTrading, btc: Instrument) -> None:
    wish = order(btc, order_type=OrderType.MARKET, price=0)
    body = msgspec.json.decode(spot.place_http(wish, btc, STAMP).body)
    assert (body["sz"], body["tgtCcy"], body["banAmend"]) == ("0.005", "base_ccy", True)
    assert body["tdMode"] == "cash"


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
        ({"client_order_id": "a-1"}, "client_order_id"),
        ({"client_order_id": "a" * 33}, "client_order_id"),
        ({"client_order_id": 'a"1'}, "client_order_id"),
        ({"qty": 123_457}, "contracts"),
    ],
)
def test_what_cannot_be_said(perp: OkxTrading, swap: Instrument, changes: dict[str, Any], why: str) -> None:
    instrument = swap
    if changes.get("qty"):
        instrument = msgspec.structs.replace(swap, contract_size=Decimal(10), qty_scale=4)
    wish = order(swap, **changes)
    with pytest.raises(UsageError, match=why):
        perp.place_http(wish, instrument, STAMP)
    with pytest.raises(UsageError, match=why):
        perp.place_ws(wish, instrument, "p1", STAMP)


def test_spot_has_no_reduce_only(spot: OkxTrading, btc: Instrument) -> None:
    with pytest.raises(UsageError, match="reduce-only"):
        spot.place_http(order(btc, reduce_only=True), btc, STAMP)


def test_websocket_orders_name_the_number(perp: OkxTrading, known: dict[str, Instrument]) -> None:
    swap, pepe = known["BTC-USDT-SWAP"], known["PEPE-USDT-SWAP"]
    message = msgspec.json.decode(perp.place_ws(order(swap), swap, "p1", STAMP))
    assert (message["id"], message["op"]) == ("p1", "order")
    assert message["expTime"] == str(STAMP + perp.validity_ms)
    (argument,) = message["args"]
    assert argument["instIdCode"] == 10459
    assert "instId" not in argument
    cancel = msgspec.json.decode(perp.cancel_ws(swap, "a1", None, "c1", STAMP))
    assert cancel == {"id": "c1", "op": "cancel-order", "args": [{"instIdCode": 10459, "clOrdId": "a1"}]}
    with pytest.raises(UsageError, match="REST"):
        perp.cancel_ws(pepe, "a1", None, "c1", STAMP)
    with pytest.raises(NotSent):
        perp.query_ws(swap, "a1", None, "q1", STAMP)


def test_cancel_and_query_prefer_the_venue_id(perp: OkxTrading, swap: Instrument) -> None:
    body = msgspec.json.decode(perp.cancel_http(swap, "a1", "312", STAMP).body)
    assert body == {"instId": "BTC-USDT-SWAP", "ordId": "312"}
    query = perp.query_http(swap, "a1", None, STAMP)
    assert query.target == "/api/v5/trade/order?instId=BTC-USDT-SWAP&clOrdId=a1"
    assert query.is_reserved
    for bad in ("", "a&b", "x" * 33):
        with pytest.raises(UsageError):
            perp.query_http(swap, bad, None, STAMP)
    with pytest.raises(UsageError, match="venue_order_id"):
        perp.cancel_http(swap, "a1", "1;2", STAMP)
    with pytest.raises(UsageError, match="cancel-all"):
        perp.cancel_all_http(swap, STAMP)


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
    with pytest.raises(ConfigError, match="OKX"):
        OkxTrading(Product.SPOT, LIVE[Product.SPOT], keys, {})


def test_demo_requests_say_so(btc: Instrument) -> None:
    demo = OkxTrading(Product.SPOT, LIVE[Product.SPOT], KEYS, {}, is_demo=True)
    assert sent(demo.balances_http(STAMP).headers)["x-simulated-trading"] == "1"


# ------------------------------------------------------------------------------------------- answers


def test_an_acknowledgement_proves_acceptance_alone(
    perp: OkxTrading, swap: Instrument, sample: Sample
) -> None:
    for name in ("http_place", "http_cancel"):
        ack = perp.decode_order(swap, 200, sample(name))
        assert isinstance(ack, OrderAck)
        assert (ack.client_order_id, ack.venue_order_id) == ("a1", "312269865356374016")
        assert ack.state is OrderState.WORKING
        assert (ack.side, ack.price, ack.qty, ack.cum_qty) == (None, 0, 0, 0)


def test_item_codes_win(perp: OkxTrading, swap: Instrument, sample: Sample) -> None:
    error = perp.decode_order(swap, 200, sample("http_place_refused"))
    assert isinstance(error, VenueError)
    assert (error.code, error.outcome) == ("51008", Outcome.REFUSED)
    assert error.reason is RejectReason.INSUFFICIENT_FUNDS


def test_queries(perp: OkxTrading, swap: Instrument, sample: Sample) -> None:
    ack = perp.decode_order(swap, 200, sample("http_order_part"))
    assert isinstance(ack, OrderAck)
    assert ack.state is OrderState.WORKING
    assert ack.side is Side.BUY
    assert swap.qty(ack.qty) == Decimal("0.005")
    assert swap.qty(ack.cum_qty) == Decimal("0.002")
    assert ack.cum_quote == Decimal(182)
    unknown = perp.decode_order(swap, 200, sample("http_order_unknown"))
    assert isinstance(unknown, VenueError)
    assert unknown.reason is RejectReason.UNKNOWN_ORDER


@pytest.mark.parametrize(
    ("state", "source", "expected"),
    [
        ("live", "", OrderState.WORKING),
        ("filled", "", OrderState.FILLED),
        ("canceled", "1", OrderState.CANCELLED),
        ("canceled", "20", OrderState.CANCELLED),
        ("canceled", "14", OrderState.EXPIRED),
        ("canceled", "31", OrderState.EXPIRED),
        ("mmp_canceled", "", OrderState.CANCELLED),
    ],
)
def test_states(
    perp: OkxTrading, swap: Instrument, sample: Sample, state: str, source: str, expected: OrderState
) -> None:
    body = msgspec.json.decode(sample("http_order_live"))
    body["data"][0] |= {"state": state, "cancelSource": source}
    ack = perp.decode_order(swap, 200, msgspec.json.encode(body))
    assert isinstance(ack, OrderAck)
    assert ack.state is expected


@pytest.mark.parametrize(
    "changes", [{"state": "novel"}, {"side": "x"}, {"instId": "X"}, {"ordId": "a"}, {"sz": "-1"}]
)
def test_orders_that_make_no_sense(
    perp: OkxTrading, swap: Instrument, sample: Sample, changes: dict[str, str]
) -> None:
    body = msgspec.json.decode(sample("http_order_live"))
    body["data"][0] |= changes
    error = perp.decode_order(swap, 200, msgspec.json.encode(body))
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN


def test_somebody_elses_market_order_in_money(spot: OkxTrading, btc: Instrument, sample: Sample) -> None:
    body = msgspec.json.decode(sample("http_order_live"))
    body["data"][0] |= {"instId": "BTC-USDT", "tgtCcy": "quote_ccy", "sz": "100.123456789", "px": ""}
    ack = spot.decode_order(btc, 200, msgspec.json.encode(body))
    assert isinstance(ack, OrderAck)
    assert (ack.qty, ack.price) == (0, 0)  # 100 USDT are no quantity of BTC


def test_open_orders(perp: OkxTrading, sample: Sample) -> None:
    assert "instType=SWAP&limit=100" in perp.open_orders_http(None, STAMP).target
    (ack,) = perp.decode_orders(200, sample("http_orders_pending"))  # type: ignore[misc]
    assert isinstance(ack, OrderAck)
    assert perp.decode_orders(200, b'{"code":"0","msg":"","data":[]}') == []
    body = msgspec.json.decode(sample("http_orders_pending"))
    body["data"] = body["data"][:1] * 100
    full = perp.decode_orders(200, msgspec.json.encode(body))
    assert isinstance(full, VenueError)  # there may be more than a page
    assert full.outcome is Outcome.UNKNOWN


def test_fills(perp: OkxTrading, swap: Instrument, sample: Sample) -> None:
    reports = perp.decode_fills(swap, 200, sample("http_fills_perp"))
    assert isinstance(reports, list)
    maker, taker = (report.fill for report in reports)
    assert maker is not None
    assert taker is not None
    assert (maker.trade_id, taker.trade_id) == ("7", "12")  # ascending, as numbers
    assert (maker.is_maker, taker.is_maker) == (True, False)
    assert (maker.fee, taker.fee) == (Decimal("-0.0364"), Decimal("0.1365"))  # a rebate, a cost
    assert swap.qty(taker.qty) == Decimal("0.003")
    assert reports[0].client_order_id == "a1"


def test_balances_and_positions(perp: OkxTrading, sample: Sample) -> None:
    (balance,) = perp.decode_balances(200, sample("http_balance"))  # type: ignore[misc]
    assert (balance.asset, balance.free, balance.locked) == ("USDT", Decimal("4591.85"), Decimal("158.57"))
    (position,) = perp.decode_positions(200, sample("http_positions"))  # type: ignore[misc]
    assert position.universal == "BTC/USDT:USDT"
    assert position.position_qty == Decimal("-0.01")
    assert position.liquidation_price is None
    hedge = perp.decode_positions(200, sample("http_positions_hedge"))
    assert isinstance(hedge, VenueError)
    assert "net mode" in hedge.message


def test_spot_asks_for_no_positions(spot: OkxTrading) -> None:
    assert spot.positions_http(STAMP) is None
    assert spot.listen_key_request() is None


@pytest.mark.parametrize(
    ("product", "changes", "problem", "mode"),
    [
        (Product.PERP, {}, "", "cross"),
        (Product.PERP, {"acctLv": "1"}, "spot mode", "cross"),
        (Product.PERP, {"posMode": "long_short_mode"}, "net mode", "cross"),
        (Product.PERP, {"perm": "read_only"}, "permission", "cross"),
        (Product.PERP, {"acctLv": "9"}, "not known", "cross"),
        (Product.SPOT, {}, "", "cash"),
        (Product.SPOT, {"acctLv": "1", "posMode": "long_short_mode"}, "", "cash"),
        (Product.SPOT, {"acctLv": "3"}, "", "cross"),
        (Product.SPOT, {"acctLv": "4"}, "", "cross"),
    ],
)
def test_account_check(
    product: Product,
    changes: dict[str, str],
    problem: str,
    mode: str,
    known: dict[str, Instrument],
    sample: Sample,
) -> None:
    trading = OkxTrading(product, LIVE[product], KEYS, known)
    body = msgspec.json.decode(sample("http_account_config"))
    body["data"][0] |= changes
    answer = trading.decode_account_check(200, msgspec.json.encode(body))
    assert isinstance(answer, str)
    assert problem in answer
    assert bool(problem) == bool(answer)
    instrument = known["BTC-USDT" if product is Product.SPOT else "BTC-USDT-SWAP"]
    place = trading.place_http(order(instrument), instrument, STAMP)
    assert msgspec.json.decode(place.body)["tdMode"] == mode
    assert isinstance(trading.decode_account_check(200, b'{"code":"0","data":[]}'), VenueError)
