"""Orders out and answers in, over REST and WebSocket; pages; the account's queries."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError, NotSent, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    ExecutionReport,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    TimeInForce,
    VenueError,
)
from engine.venues.base import Amending, Continued, Credentials, HttpRequest, Secret
from engine.venues.bybit.adapter import BybitTrading
from engine.venues.bybit.capabilities import CAPABILITIES
from engine.venues.bybit.endpoints import LIVE
from tests.unit.venues.adapter_rig import Sample, amend_on, header_lines
from tests.unit.venues.adapter_rig import order_on as order
from tests.unit.venues.bybit.conftest import KEYS, Known

STAMP = 1795442400100
VENUE_ID = "fd4300ae-7847-404e-b947-b46980a4d140"


def amend(instrument: Instrument, **changes: Any) -> AmendOrder:
    terms: dict[str, Any] = {
        "qty": instrument.scale_qty(Decimal("0.010")),
        "price": instrument.scale_price(Decimal("90000.1")),
    }
    return amend_on(instrument, **terms | changes)


def sent(request: HttpRequest) -> dict[str, str]:
    return header_lines(request.headers)


# ------------------------------------------------------------------------------------------ requests


def test_place_of_a_perpetual(perp: BybitTrading, perp_btc: Instrument) -> None:
    request = perp.place_http(order(perp_btc), perp_btc, STAMP)
    assert (request.method, request.target) == ("POST", "/v5/order/create")
    assert msgspec.json.decode(request.body) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.005",
        "price": "91000.1",
        "timeInForce": "GTC",
        "positionIdx": 0,
        "orderLinkId": "a1",
    }
    headers = sent(request)
    assert headers["X-BAPI-TIMESTAMP"] == str(STAMP)
    assert headers["X-BAPI-RECV-WINDOW"] == str(perp.validity_ms)
    assert headers["X-BAPI-API-KEY"] == "key-1"
    assert request.content_type == "application/json"
    assert not request.idempotent
    assert request.order_count == 1
    assert "key-1" not in repr(request)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"time_in_force": TimeInForce.IOC}, {"timeInForce": "IOC"}),
        ({"time_in_force": TimeInForce.FOK}, {"timeInForce": "FOK"}),
        ({"post_only": True}, {"timeInForce": "PostOnly"}),
        ({"side": Side.SELL}, {"side": "Sell"}),
        ({"reduce_only": True}, {"reduceOnly": True}),
        ({"order_type": OrderType.MARKET, "price": 0}, {"orderType": "Market"}),
        ({"client_order_id": "A-b_" + "9" * 32}, {"orderLinkId": "A-b_" + "9" * 32}),
    ],
)
def test_kinds_of_orders(
    perp: BybitTrading, perp_btc: Instrument, changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    body = msgspec.json.decode(perp.place_http(order(perp_btc, **changes), perp_btc, STAMP).body)
    assert {name: body[name] for name in fields} == fields
    assert ("price" in body) == ("timeInForce" in body) == ("price" not in changes)
    assert "marketUnit" not in body


def test_spot_market_orders_are_exact_in_base_units(spot: BybitTrading, btc: Instrument) -> None:
    wish = order(btc, order_type=OrderType.MARKET, price=0)
    body = msgspec.json.decode(spot.place_http(wish, btc, STAMP).body)
    assert (body["category"], body["qty"], body["marketUnit"]) == ("spot", "0.005", "baseCoin")
    assert not {"positionIdx", "price", "isLeverage", "reduceOnly"} & set(body)
    assert "marketUnit" not in msgspec.json.decode(spot.place_http(order(btc), btc, STAMP).body)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"universal": "X/Y"}, "X/Y"),
        ({"qty": 0}, "positive"),
        ({"price": 0}, "price"),
        ({"order_type": OrderType.MARKET}, "no price"),
        ({"order_type": OrderType.MARKET, "price": 0, "time_in_force": TimeInForce.FOK}, "fill-or-kill"),
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "GTC"),
        ({"post_only": True, "order_type": OrderType.MARKET, "price": 0}, "limit"),
        ({"client_order_id": ""}, "client_order_id"),
        ({"client_order_id": "a.1"}, "client_order_id"),
        ({"client_order_id": "a" * 37}, "client_order_id"),
        ({"client_order_id": 'a"1'}, "client_order_id"),
    ],
)
def test_what_cannot_be_said(
    perp: BybitTrading, perp_btc: Instrument, changes: dict[str, Any], why: str
) -> None:
    wish = order(perp_btc, **changes)
    with pytest.raises(UsageError, match=why):
        perp.place_http(wish, perp_btc, STAMP)
    with pytest.raises(UsageError, match=why):
        perp.place_ws(wish, perp_btc, "p1", STAMP)


def test_spot_has_no_reduce_only(spot: BybitTrading, btc: Instrument) -> None:
    with pytest.raises(UsageError, match="reduce-only"):
        spot.place_http(order(btc, reduce_only=True), btc, STAMP)


def test_the_socket_says_what_rest_says(perp: BybitTrading, perp_btc: Instrument) -> None:
    message = msgspec.json.decode(perp.place_ws(order(perp_btc), perp_btc, "p1", STAMP))
    assert (message["op"], message["reqId"]) == ("order.create", f"p1-{STAMP}l")
    assert message["header"] == {
        "X-BAPI-TIMESTAMP": str(STAMP),
        "X-BAPI-RECV-WINDOW": str(perp.validity_ms),
    }
    assert message["args"] == [msgspec.json.decode(perp.place_http(order(perp_btc), perp_btc, STAMP).body)]
    cancel = msgspec.json.decode(perp.cancel_ws(perp_btc, "a1", None, "c1", STAMP))
    assert (cancel["op"], cancel["args"]) == (
        "order.cancel",
        [{"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a1"}],
    )
    change = msgspec.json.decode(perp.amend_ws(amend(perp_btc), perp_btc, "a1", STAMP))
    assert change["op"] == "order.amend"
    assert change["args"] == [msgspec.json.decode(perp.amend_http(amend(perp_btc), perp_btc, STAMP).body)]
    with pytest.raises(NotSent):
        perp.query_ws(perp_btc, "a1", None, "q1", STAMP)


def test_request_ids_do_not_repeat_between_products_and_starts(
    spot: BybitTrading, perp: BybitTrading, btc: Instrument, perp_btc: Instrument
) -> None:
    names = {
        msgspec.json.decode(message)["reqId"]
        for message in (
            spot.cancel_ws(btc, "a1", None, "c1", STAMP),
            perp.cancel_ws(perp_btc, "a1", None, "c1", STAMP),
            perp.cancel_ws(perp_btc, "a1", None, "c1", STAMP + 1),
        )
    }
    assert len(names) == 3
    assert all(len(name) <= 36 for name in names)


def test_amends(perp: BybitTrading, perp_btc: Instrument) -> None:
    assert isinstance(perp, Amending)
    assert all(each.amend for each in CAPABILITIES.values())
    request = perp.amend_http(amend(perp_btc), perp_btc, STAMP)
    assert (request.method, request.target, request.idempotent) == ("POST", "/v5/order/amend", False)
    assert msgspec.json.decode(request.body) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "orderLinkId": "a1",
        "qty": "0.01",
        "price": "90000.1",
    }
    by_id = msgspec.json.decode(
        perp.amend_http(amend(perp_btc, venue_order_id=VENUE_ID), perp_btc, STAMP).body
    )
    assert by_id["orderId"] == VENUE_ID
    assert "orderLinkId" not in by_id
    for changes in ({"qty": 0}, {"price": 0}, {"universal": "X/Y"}, {"client_order_id": "?"}):
        with pytest.raises(UsageError, match="bybit"):
            perp.amend_http(amend(perp_btc, **changes), perp_btc, STAMP)


def test_cancel_and_query_prefer_the_venue_id(perp: BybitTrading, perp_btc: Instrument) -> None:
    cancel = perp.cancel_http(perp_btc, "a1", VENUE_ID, STAMP)
    assert (cancel.target, cancel.is_reserved, cancel.idempotent) == ("/v5/order/cancel", True, True)
    assert msgspec.json.decode(cancel.body) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "orderId": VENUE_ID,
    }
    query = perp.query_http(perp_btc, "a1", None, STAMP)
    assert query.target == "/v5/order/realtime?category=linear&symbol=BTCUSDT&orderLinkId=a1"
    assert query.is_reserved
    for bad in ("", "a&b", "x" * 37):
        with pytest.raises(UsageError):
            perp.query_http(perp_btc, bad, None, STAMP)
    with pytest.raises(UsageError, match="venue_order_id"):
        perp.cancel_http(perp_btc, "a1", "1;2", STAMP)


def test_the_other_requests(
    spot: BybitTrading, perp: BybitTrading, btc: Instrument, perp_btc: Instrument
) -> None:
    assert spot.positions_http(STAMP) is None
    targets = [
        (spot.open_orders_http(btc, STAMP), "/v5/order/realtime?category=spot&symbol=BTCUSDT&limit=50"),
        (spot.open_orders_http(None, STAMP), "/v5/order/realtime?category=spot&limit=50"),
        (
            perp.open_orders_http(None, STAMP),
            "/v5/order/realtime?category=linear&settleCoin=USDT&limit=50",
        ),
        (
            perp.fills_http(perp_btc, None, STAMP),
            "/v5/execution/list?category=linear&symbol=BTCUSDT&limit=100",
        ),
        (perp.balances_http(STAMP), "/v5/account/wallet-balance?accountType=UNIFIED"),
        (perp.positions_http(STAMP), "/v5/position/list?category=linear&settleCoin=USDT&limit=200"),
        (perp.account_check_http(STAMP), "/v5/user/query-api"),
    ]
    for request, target in targets:
        assert request is not None
        assert (request.method, request.target, request.body) == ("GET", target, b"")
        assert "X-BAPI-SIGN" in sent(request)
    everything = perp.cancel_all_http(perp_btc, STAMP)
    assert everything.target == "/v5/order/cancel-all"
    assert msgspec.json.decode(everything.body) == {"category": "linear", "symbol": "BTCUSDT"}


@pytest.mark.parametrize(
    "keys",
    [
        Credentials(Secret(""), Secret("s")),
        Credentials(Secret("k"), Secret("")),
        Credentials(Secret("k\r\nX: y"), Secret("s")),
        Credentials(Secret("k"), Secret("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")),
    ],
)
def test_keys_that_cannot_be_used(keys: Credentials) -> None:
    with pytest.raises(ConfigError, match="Bybit"):
        BybitTrading(Product.SPOT, LIVE[Product.SPOT], keys, {})


def test_windows_that_cannot_be_used() -> None:
    with pytest.raises(ConfigError, match="validity_ms"):
        BybitTrading(Product.SPOT, LIVE[Product.SPOT], KEYS, {}, validity_ms=0)


def test_secrets_do_not_show(perp: BybitTrading) -> None:
    assert "secret-1" not in repr(perp._signer)
    assert "key-1" not in repr(perp._signer)


# ------------------------------------------------------------------------------------------- answers


def test_an_acknowledgement_proves_acceptance_alone(
    perp: BybitTrading, perp_btc: Instrument, sample: Sample
) -> None:
    for name in ("http_place", "http_cancel", "http_amend"):
        ack = perp.decode_order(perp_btc, 200, sample(name))
        assert isinstance(ack, OrderAck)
        assert (ack.client_order_id, ack.venue_order_id) == ("a1", VENUE_ID)
        assert ack.state is OrderState.WORKING
        assert (ack.side, ack.price, ack.qty, ack.cum_qty) == (None, 0, 0, 0)
        assert ack.venue_utc_ns == 1795442400123_000_000


def test_a_refusal(perp: BybitTrading, perp_btc: Instrument, sample: Sample) -> None:
    error = perp.decode_order(perp_btc, 200, sample("http_place_refused"))
    assert isinstance(error, VenueError)
    assert (error.code, error.outcome) == ("110007", Outcome.REFUSED)
    assert error.reason is RejectReason.INSUFFICIENT_FUNDS


def test_queries(perp: BybitTrading, perp_btc: Instrument, sample: Sample) -> None:
    ack = perp.decode_order(perp_btc, 200, sample("http_order_part"))
    assert isinstance(ack, OrderAck)
    assert (ack.state, ack.side) == (OrderState.WORKING, Side.BUY)
    assert perp_btc.price(ack.price) == Decimal("91000.1")
    assert perp_btc.qty(ack.qty) == Decimal("0.005")
    assert perp_btc.qty(ack.cum_qty) == Decimal("0.002")
    assert ack.cum_quote == Decimal(182)
    assert ack.venue_utc_ns == 1795442400502_000_000
    unknown = perp.decode_order(perp_btc, 200, sample("http_order_none"))
    assert isinstance(unknown, VenueError)
    assert (unknown.outcome, unknown.reason) == (Outcome.REFUSED, RejectReason.UNKNOWN_ORDER)


@pytest.mark.parametrize(
    ("status", "cancel", "reject", "expected"),
    [
        ("New", "UNKNOWN", "EC_NoError", OrderState.WORKING),
        ("PartiallyFilled", "", "", OrderState.WORKING),
        ("Untriggered", "", "", OrderState.WORKING),
        ("Triggered", "", "", OrderState.WORKING),
        ("Filled", "", "EC_NoError", OrderState.FILLED),
        ("Filled", "CancelByUser", "EC_OrigClOrdIDDoesNotExist", OrderState.FILLED),
        ("Cancelled", "CancelByUser", "EC_PerCancelRequest", OrderState.CANCELLED),
        ("Cancelled", "CancelByDCP", "EC_PerCancelRequest", OrderState.CANCELLED),
        ("Cancelled", "UNKNOWN", "EC_PerCancelRequest", OrderState.CANCELLED),
        ("Cancelled", "CancelByReduceOnly", "EC_PerCancelRequest", OrderState.EXPIRED),
        ("Cancelled", "CancelBySmp", "EC_NoError", OrderState.EXPIRED),
        ("Cancelled", "UNKNOWN", "EC_NoImmediateQtyToFill", OrderState.EXPIRED),
        ("Cancelled", "UNKNOWN", "EC_CancelForNoFullFill", OrderState.EXPIRED),
        ("Cancelled", "UNKNOWN", "EC_PostOnlyWillTakeLiquidity", OrderState.EXPIRED),
        ("PartiallyFilledCanceled", "CancelByUser", "EC_PerCancelRequest", OrderState.CANCELLED),
        ("PartiallyFilledCanceled", "", "EC_NoImmediateQtyToFill", OrderState.EXPIRED),
        ("Rejected", "UNKNOWN", "EC_BySelfMatch", OrderState.EXPIRED),
        ("Deactivated", "CancelByUser", "", OrderState.CANCELLED),
    ],
)
def test_states(
    perp: BybitTrading,
    perp_btc: Instrument,
    sample: Sample,
    status: str,
    cancel: str,
    reject: str,
    expected: OrderState,
) -> None:
    body = msgspec.json.decode(sample("http_order_open"))
    body["result"]["list"][0] |= {"orderStatus": status, "cancelType": cancel, "rejectReason": reject}
    ack = perp.decode_order(perp_btc, 200, msgspec.json.encode(body))
    assert isinstance(ack, OrderAck)
    assert ack.state is expected


@pytest.mark.parametrize(
    "changes",
    [{"orderStatus": "novel"}, {"side": "buy"}, {"symbol": "X"}, {"orderId": "a b"}, {"qty": "-1"}],
)
def test_orders_that_make_no_sense(
    perp: BybitTrading, perp_btc: Instrument, sample: Sample, changes: dict[str, str]
) -> None:
    body = msgspec.json.decode(sample("http_order_open"))
    body["result"]["list"][0] |= changes
    error = perp.decode_order(perp_btc, 200, msgspec.json.encode(body))
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN


def test_the_other_category_is_another_market(spot: BybitTrading, btc: Instrument, sample: Sample) -> None:
    error = spot.decode_order(btc, 200, sample("http_order_open"))
    assert isinstance(error, VenueError)
    assert (error.outcome, "category" in error.message) == (Outcome.UNKNOWN, True)


@pytest.mark.parametrize(
    ("unit", "side", "is_known"),
    [
        ("quoteCoin", "Buy", False),
        ("quoteCoin", "Sell", False),
        ("", "Buy", False),
        ("", "Sell", True),
        ("baseCoin", "Buy", True),
    ],
)
def test_somebody_elses_market_order_in_money(
    spot: BybitTrading, btc: Instrument, sample: Sample, unit: str, side: str, is_known: bool
) -> None:
    body = msgspec.json.decode(sample("http_order_open"))
    body["result"]["category"] = "spot"
    body["result"]["list"][0] |= {
        "orderType": "Market", "marketUnit": unit, "side": side, "price": "0",
        "qty": "1" if is_known else "100.123456789",
    }  # fmt: skip
    ack = spot.decode_order(btc, 200, msgspec.json.encode(body))
    assert isinstance(ack, OrderAck)
    assert bool(ack.qty) is is_known


# --------------------------------------------------------------------------------------------- parts


def test_an_order_that_is_not_among_the_recent_ones_is_asked_for_in_the_history(
    perp: BybitTrading, perp_btc: Instrument, sample: Sample
) -> None:
    assert isinstance(perp, Continued)
    query = perp.query_http(perp_btc, "a1", None, STAMP)
    history = perp.continuation(query, 200, sample("http_order_none"), STAMP + 5)
    assert history is not None
    assert history.target == "/v5/order/history?category=linear&symbol=BTCUSDT&orderLinkId=a1"
    assert (history.is_reserved, history.label) == (True, query.label)
    assert sent(history)["X-BAPI-TIMESTAMP"] == str(STAMP + 5)
    assert perp.continuation(history, 200, sample("http_order_none"), STAMP) is None
    assert perp.continuation(query, 200, sample("http_order_open"), STAMP) is None
    assert perp.continuation(query, 200, sample("http_place_refused"), STAMP) is None
    assert perp.continuation(query, 502, b"<html>", STAMP) is None


def test_open_orders_come_in_pages_and_coin_by_coin(perp: BybitTrading, sample: Sample) -> None:
    page, last = sample("http_orders_page"), sample("http_order_none")
    first = perp.open_orders_http(None, STAMP)
    second = perp.continuation(first, 200, page, STAMP)
    assert second is not None
    cursor = "&cursor=fd4300ae%3A1795442400100%2Cfd4300ae%3A1795442400100"
    assert second.target == first.target + cursor
    third = perp.continuation(second, 200, last, STAMP)
    assert third is not None
    assert third.target == "/v5/order/realtime?category=linear&settleCoin=USDC&limit=50"
    assert perp.continuation(third, 200, last, STAMP) is None
    assert perp.continuation(first, 500, b"", STAMP) is None


def test_open_orders_of_one_symbol(perp: BybitTrading, perp_btc: Instrument, sample: Sample) -> None:
    first = perp.open_orders_http(perp_btc, STAMP)
    second = perp.continuation(first, 200, sample("http_order_open"), STAMP)
    assert second is not None  # some lists have a cursor behind their last row: an empty page ends them
    assert perp.continuation(second, 200, sample("http_order_none"), STAMP) is None
    acks = perp.decode_orders(200, sample("http_orders_page"))
    assert isinstance(acks, list)
    assert [(ack.client_order_id, ack.side) for ack in acks] == [("a1", Side.BUY), ("a3", Side.SELL)]


def test_what_a_cancel_all_says(perp: BybitTrading, sample: Sample) -> None:
    acks = perp.decode_orders(200, sample("http_cancel_all"))
    assert isinstance(acks, list)
    assert [ack.client_order_id for ack in acks] == ["a1", "a2"]
    assert all(ack.state is OrderState.WORKING for ack in acks)  # accepted: the ends are pushed
    error = perp.decode_orders(200, sample("http_place"))
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN
    refused = perp.decode_orders(200, sample("http_place_refused"))
    assert isinstance(refused, VenueError)
    assert refused.outcome is Outcome.REFUSED


def test_positions_of_both_settle_coins(perp: BybitTrading, sample: Sample) -> None:
    first = perp.positions_http(STAMP)
    assert first is not None
    second = perp.continuation(first, 200, sample("http_positions"), STAMP)
    assert second is not None
    assert second.target == "/v5/position/list?category=linear&settleCoin=USDC&limit=200"
    assert perp.continuation(second, 200, sample("http_positions"), STAMP) is None


# ------------------------------------------------------------------------------------------- account


def test_fills_oldest_first(perp: BybitTrading, perp_btc: Instrument, sample: Sample) -> None:
    reports = perp.decode_fills(perp_btc, 200, sample("http_fills_perp"))
    assert isinstance(reports, list)
    fills = [report.fill for report in reports]
    assert [fill.trade_id[-1:] for fill in fills if fill is not None] == ["7", "8", "9"]  # no funding
    first, _, last = fills
    assert first is not None
    assert last is not None
    assert perp_btc.price(first.price) == Decimal("91000.1")
    assert perp_btc.qty(first.qty) == Decimal("0.002")
    assert (first.fee, first.fee_asset, first.is_maker) == (Decimal("0.10010011"), "USDT", False)
    assert (last.fee, last.is_maker) == (Decimal("-0.02"), True)  # a rebate
    assert reports[0].client_order_id == "a1"
    assert (reports[0].state, reports[0].cum_qty, reports[0].qty) == (OrderState.WORKING, None, 0)
    request = perp.fills_http(perp_btc, "7", STAMP)
    further = perp.continuation(request, 200, sample("http_fills_perp"), STAMP)
    assert further is not None
    assert further.target == f"{request.target}&cursor=132766%3A2%2C132766%3A2"


def test_spot_fees_that_name_no_coin(spot: BybitTrading, btc: Instrument, sample: Sample) -> None:
    reports = spot.decode_fills(btc, 200, sample("http_fills_spot"))
    assert isinstance(reports, list)
    fees = [(report.fill.fee, report.fill.fee_asset) for report in reports if report.fill is not None]
    # a buyer pays in what was received, and is rebated in the other coin
    assert fees == [(Decimal("-0.01"), "USDT"), (Decimal("0.000002"), "BTC")]
    sold = sample("http_fills_spot").replace(b'"side":"Buy"', b'"side":"Sell"')
    reports = spot.decode_fills(btc, 200, sold)
    assert isinstance(reports, list)
    assert [report.fill.fee_asset for report in reports if report.fill is not None] == ["BTC", "USDT"]
    wrong = spot.decode_fills(btc, 200, sample("http_fills_spot").replace(b"BTCUSDT", b"ETHUSDT"))
    assert isinstance(wrong, VenueError)


def test_balances(perp: BybitTrading, sample: Sample) -> None:
    rows = perp.decode_balances(200, sample("http_balance"))
    assert rows == [
        Balance("bybit", "perp", "USDT", Decimal("9750.05"), Decimal("250.05"), 1795442400123_000_000),
        Balance("bybit", "perp", "BTC", Decimal("0.5"), Decimal(0), 1795442400123_000_000),
    ]


def test_positions(perp: BybitTrading, sample: Sample) -> None:
    rows = perp.decode_positions(200, sample("http_positions"))
    assert isinstance(rows, list)
    assert [(row.universal, row.position_qty) for row in rows] == [
        ("BTC/USDT:USDT", Decimal("-0.1")),
        ("1000PEPE/USDT:USDT", Decimal(3000)),
    ]  # the dated future is not ours
    short = rows[0]
    assert isinstance(short, Position)
    assert (short.entry_price, short.mark_price) == (Decimal("91464.5"), Decimal("91224.50"))
    assert (short.leverage, short.liquidation_price) == (Decimal(10), Decimal("150000.5"))
    assert rows[1].liquidation_price is None
    for name in ("http_positions_hedge", "http_place_refused"):
        assert isinstance(perp.decode_positions(200, sample(name)), VenueError)


def test_the_account_check_has_three_questions(
    spot: BybitTrading, perp: BybitTrading, known: Known, sample: Sample
) -> None:
    key = perp.account_check_http(STAMP)
    assert key is not None
    assert perp.decode_account_check(200, sample("http_key_info")) == ""
    info = perp.continuation(key, 200, sample("http_key_info"), STAMP)
    assert info is not None
    assert info.target == "/v5/account/info"
    assert perp.decode_account_check(200, sample("http_account_info")) == ""
    mode = perp.continuation(info, 200, sample("http_account_info"), STAMP)
    assert mode is not None
    assert mode.target == "/v5/position/list?category=linear&symbol=BTCUSDT"
    assert perp.decode_account_check(200, sample("http_positions_flat")) == ""
    assert perp.continuation(mode, 200, sample("http_positions_flat"), STAMP) is None
    hedged = perp.decode_account_check(200, sample("http_positions_hedge"))
    assert isinstance(hedged, str)
    assert "one-way" in hedged
    assert spot.continuation(info, 200, sample("http_account_info"), STAMP) is None
    without = BybitTrading(
        Product.PERP, LIVE[Product.PERP], KEYS, {"BTCPERP": known[Product.PERP]["BTCPERP"]}
    )
    other = without.continuation(info, 200, sample("http_account_info"), STAMP)
    assert other is not None
    assert other.target.endswith("symbol=BTCPERP")


@pytest.mark.parametrize(
    ("name", "old", "new", "word"),
    [
        ("http_key_info", b'"readOnly":0', b'"readOnly":1', "read-only"),
        ("http_key_info", b'"Order",', b"", "ContractTrade.Order"),
        ("http_account_info", b'"unifiedMarginStatus":6', b'"unifiedMarginStatus":1', "unified"),
    ],
)
def test_accounts_that_must_not_be_traded(
    spot: BybitTrading, perp: BybitTrading, sample: Sample, name: str, old: bytes, new: bytes, word: str
) -> None:
    body = sample(name)
    assert old in body
    problem = perp.decode_account_check(200, body.replace(old, new))
    assert isinstance(problem, str)
    assert word in problem
    is_fit_for_spot = word == "ContractTrade.Order"
    assert (spot.decode_account_check(200, body.replace(old, new)) == "") is is_fit_for_spot


def test_either_right_for_perpetuals_is_enough(perp: BybitTrading, sample: Sample) -> None:
    body = sample("http_key_info").replace(
        b'"ContractTrade":["Order","Position"]', b'"Derivatives":["DerivativesTrade"]'
    )
    assert b"ContractTrade" not in body
    assert perp.decode_account_check(200, body) == ""


def test_a_key_without_the_right_for_spot(spot: BybitTrading, sample: Sample) -> None:
    problem = spot.decode_account_check(200, sample("http_key_info").replace(b'"SpotTrade"', b""))
    assert isinstance(problem, str)
    assert "Spot.SpotTrade" in problem
    assert isinstance(spot.decode_account_check(200, sample("http_place")), VenueError)
    assert isinstance(spot.decode_account_check(403, b"<html>"), VenueError)


def test_errors_of_queries_are_told(perp: BybitTrading, perp_btc: Instrument) -> None:
    limited = b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}'
    for answer in (
        perp.decode_order(perp_btc, 200, limited),
        perp.decode_orders(200, limited),
        perp.decode_fills(perp_btc, 200, limited),
        perp.decode_balances(200, limited),
        perp.decode_positions(200, limited),
        perp.decode_account_check(200, limited),
        perp.decode_error(429, limited),
    ):
        assert isinstance(answer, VenueError)
        assert answer.reason is RejectReason.RATE_LIMIT
    assert isinstance(perp.decode_listen_key(200, b"{}"), VenueError)
    assert perp.listen_key_request() is None


def test_reports_are_reports(perp: BybitTrading, perp_btc: Instrument, sample: Sample) -> None:
    reports = perp.decode_fills(perp_btc, 200, sample("http_fills_perp"))
    assert isinstance(reports, list)
    assert all(isinstance(report, ExecutionReport) for report in reports)
