"""Private connections: logins, topics, what orders, fills, wallets and positions say, answers to orders."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    ExecutionReport,
    OrderAck,
    OrderState,
    Outcome,
    RejectReason,
    Retry,
    VenueError,
)
from engine.venues.base import StreamDown, ToSend, WsReply
from engine.venues.bybit.adapter import BybitTrading
from engine.venues.bybit.endpoints import LIVE
from engine.venues.bybit.user_data import request_name, request_of
from tests.unit.venues.adapter_rig import Sample
from tests.unit.venues.bybit.conftest import KEYS, Known

STAMP = 1795442400100


def private(adapter: BybitTrading, payload: bytes) -> list[Any]:
    return list(adapter.decode_private(payload, 11, 22))


def trade(adapter: BybitTrading, payload: bytes) -> list[Any]:
    return list(adapter.decode_trade(payload, 11, 22))


def one_report(events: Sequence[Any]) -> ExecutionReport:
    (report,) = events
    assert isinstance(report, ExecutionReport)
    return report


# ------------------------------------------------------------------------------------------- logins


def test_topics_are_asked_for_after_the_login(perp: BybitTrading, sample: Sample) -> None:
    assert perp.private_url(None) == "wss://stream.bybit.com/v5/private"
    (login,) = perp.private_subscribe("private", STAMP)
    message = msgspec.json.decode(login)
    assert (message["req_id"], message["op"]) == ("private", "auth")
    assert message["args"][:2] == ["key-1", STAMP + 10_000]
    (subscription,) = private(perp, sample("user_login"))
    assert isinstance(subscription, ToSend)
    assert msgspec.json.decode(subscription.payload) == {
        "req_id": "private",
        "op": "subscribe",
        "args": ["order.linear", "execution.linear", "wallet", "position.linear"],
    }
    assert private(perp, sample("user_subscribed")) == [WsReply("private", None)]
    assert private(perp, sample("user_pong")) == []


def test_spot_has_no_positions(spot: BybitTrading, sample: Sample) -> None:
    spot.private_subscribe("private", STAMP)
    (subscription,) = private(spot, sample("user_login"))
    args = msgspec.json.decode(subscription.payload)["args"]
    assert args == ["order.spot", "execution.spot", "wallet"]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"success":false,"ret_msg":"Params Error","op":"auth","conn_id":"c","req_id":"private"}',
        b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey","connId":"c"}',
        b'{"op":"auth","retCode":10004,"retMsg":"Invalid sign","connId":"c"}',
        b'{"success":false,"ret_msg":"error:handler not found","conn_id":"c","req_id":"","op":"subscribe"}',
    ],
)
def test_refused_logins_and_topics(perp: BybitTrading, payload: bytes) -> None:
    perp.private_subscribe("private", STAMP)
    (reply,) = private(perp, payload)
    assert isinstance(reply, WsReply)
    assert reply.request_id == "private"
    assert isinstance(reply.result, VenueError)
    assert (reply.result.outcome, reply.result.reason) == (Outcome.REFUSED, RejectReason.AUTH)


def test_the_login_of_order_entry_need_not_name_its_request(perp: BybitTrading, sample: Sample) -> None:
    login = perp.trade_login("login-1", STAMP)
    assert login is not None
    assert msgspec.json.decode(login)["req_id"] == "login-1"
    assert trade(perp, sample("wsapi_login")) == [WsReply("login-1", None)]
    repeated = b'{"retCode":20001,"retMsg":"Repeat auth","op":"auth","connId":"c"}'
    assert trade(perp, repeated) == [WsReply("login-1", None)]
    (refused,) = trade(perp, sample("wsapi_login_refused"))
    assert refused.request_id == "login-1"
    assert isinstance(refused.result, VenueError)
    assert refused.result.reason is RejectReason.AUTH
    assert trade(perp, sample("wsapi_pong")) == []
    perp.set_logged_on(True)
    assert perp.trade_login("login-2", STAMP) != login


# ------------------------------------------------------------------------------------------- orders


def test_a_new_order(perp: BybitTrading, sample: Sample, perp_btc: Instrument) -> None:
    report = one_report(private(perp, sample("user_order_new")))
    assert (report.venue, report.universal) == ("bybit", "BTC/USDT:USDT")
    assert (report.client_order_id, report.side) == ("a1", Side.BUY)
    assert report.venue_order_id == "fd4300ae-7847-404e-b947-b46980a4d140"
    assert (report.state, report.reason, report.fill) == (OrderState.WORKING, None, None)
    assert perp_btc.price(report.price) == Decimal("91000.1")
    assert perp_btc.qty(report.qty) == Decimal("0.005")
    assert report.cum_qty == 0
    assert (report.venue_utc_ns, report.recv_mono_ns) == (1795442400102_000_000, 11)


def test_a_part_filled_order(perp: BybitTrading, sample: Sample, perp_btc: Instrument) -> None:
    report = one_report(private(perp, sample("user_order_part")))
    assert report.state is OrderState.WORKING
    assert report.cum_qty is not None
    assert perp_btc.qty(report.cum_qty) == Decimal("0.002")


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("user_order_cancelled", OrderState.CANCELLED, None),
        ("user_order_post_only", OrderState.EXPIRED, "EC_PostOnlyWillTakeLiquidity"),
    ],
)
def test_ends(perp: BybitTrading, sample: Sample, name: str, state: OrderState, reason: str | None) -> None:
    report = one_report(private(perp, sample(name)))
    assert (report.state, report.reason) == (state, reason)


def test_an_ioc_that_was_filled_in_part(spot: BybitTrading, sample: Sample, btc: Instrument) -> None:
    report = one_report(private(spot, sample("user_order_ioc_part")))
    assert (report.state, report.reason) == (OrderState.EXPIRED, "EC_NoImmediateQtyToFill")
    assert report.cum_qty == btc.scale_qty(Decimal("0.002"))


def test_a_cancel_that_crossed_the_last_fill_changes_nothing(perp: BybitTrading, sample: Sample) -> None:
    reports = private(perp, sample("user_order_crossed"))
    assert [report.state for report in reports] == [OrderState.FILLED, OrderState.FILLED]
    assert [report.reason for report in reports] == [None, None]


def test_a_refusal_after_the_acknowledgement_is_an_end(perp: BybitTrading, sample: Sample) -> None:
    message = msgspec.json.decode(sample("user_order_part"))
    message["data"][0] |= {"orderStatus": "Rejected", "rejectReason": "EC_ReachMaxTradeNum"}
    report = one_report(private(perp, msgspec.json.encode(message)))
    assert (report.state, report.reason) == (OrderState.EXPIRED, "EC_ReachMaxTradeNum")
    assert report.cum_qty


# -------------------------------------------------------------------------------------------- fills


def test_a_fill_with_tax(perp: BybitTrading, sample: Sample, perp_btc: Instrument) -> None:
    report = one_report(private(perp, sample("user_execution_perp")))
    fill = report.fill
    assert fill is not None
    assert (fill.trade_id, fill.is_maker) == ("0ab1bdf7-4219-438b-b30a-32ec863018f7", False)
    assert perp_btc.price(fill.price) == Decimal("91000.1")
    assert perp_btc.qty(fill.qty) == Decimal("0.002")
    # the tax in the fee's own coin is part of it, one in another coin cannot be
    assert (fill.fee, fill.fee_asset) == (Decimal("0.11010011"), "USDT")
    assert (report.client_order_id, report.side) == ("a1", Side.BUY)
    # an execution does not tell what the order is like: nothing of it may overrule the order's own topic
    assert (report.state, report.price, report.qty, report.cum_qty) == (OrderState.WORKING, 0, 0, None)
    assert report.venue_utc_ns == fill.venue_utc_ns == 1795442400353_000_000


def test_a_spot_fill(spot: BybitTrading, sample: Sample) -> None:
    fill = one_report(private(spot, sample("user_execution_spot"))).fill
    assert fill is not None
    assert (fill.trade_id, fill.fee, fill.fee_asset) == (
        "2100000000007764263",
        Decimal("0.000002011"),
        "BTC",
    )


def test_funding_is_no_fill(perp: BybitTrading, sample: Sample) -> None:
    assert private(perp, sample("user_execution_funding")) == []


def test_liquidations_and_unknown_makers(perp: BybitTrading, sample: Sample) -> None:
    message = msgspec.json.decode(sample("user_execution_perp"))
    row = message["data"][0]
    row |= {"execType": "BustTrade", "orderLinkId": "", "execFee": "", "extraFees": None}
    del row["isMaker"]
    report = one_report(private(perp, msgspec.json.encode(message)))
    assert report.client_order_id == ""
    assert report.fill is not None
    assert (report.fill.fee, report.fill.fee_asset, report.fill.is_maker) == (None, None, None)


# -------------------------------------------------------------------------------- wallet, positions


def test_wallet(spot: BybitTrading, sample: Sample) -> None:
    assert private(spot, sample("user_wallet")) == [
        Balance("bybit", "spot", "USDT", Decimal("9750.05"), Decimal("250.05"), 1795442400541_000_000)
    ]  # the classic contract account is another one


def test_positions(perp: BybitTrading, sample: Sample) -> None:
    (position,) = private(perp, sample("user_position"))
    assert isinstance(position, Position)
    assert (position.universal, position.position_qty) == ("BTC/USDT:USDT", Decimal("-0.1"))
    assert (position.entry_price, position.unrealised_pnl) == (Decimal("91464.5"), Decimal(24))
    (flat,) = private(perp, sample("user_position_flat"))
    assert (flat.position_qty, flat.entry_price, flat.unrealised_pnl) == (0, 0, None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"positionIdx": 1}, "one-way"), ({"positionIdx": 2, "size": "0"}, "one-way"), ({"side": ""}, "side")],
)
def test_positions_that_are_half_ones(
    perp: BybitTrading, sample: Sample, changes: dict[str, Any], why: str
) -> None:
    message = msgspec.json.decode(sample("user_position"))
    message["data"][0] |= changes
    with pytest.raises(ProtocolViolation, match=why):
        private(perp, msgspec.json.encode(message))


def test_instruments_that_are_not_known_are_counted(sample: Sample) -> None:
    adapter = BybitTrading(Product.PERP, LIVE[Product.PERP], KEYS, {})
    for name in ("user_order_new", "user_execution_perp", "user_position"):
        assert private(adapter, sample(name)) == []
    assert adapter.unknown_symbols == 3


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("user_order_new", {"orderStatus": "novel"}),
        ("user_order_new", {"side": "None"}),
        ("user_order_new", {"updatedTime": ""}),
        ("user_order_new", {"qty": "0.0000000001"}),
        ("user_execution_perp", {"execQty": "0"}),
        ("user_execution_perp", {"execId": ""}),
        ("user_execution_perp", {"side": ""}),
        ("user_execution_perp", {"execFee": "x"}),
        ("user_execution_perp", {"extraFees": [{"feeCoin": "USDT", "fee": "x"}]}),
    ],
)
def test_what_makes_no_sense(perp: BybitTrading, sample: Sample, name: str, changes: dict[str, Any]) -> None:
    message = msgspec.json.decode(sample(name))
    message["data"][0] |= changes
    payload = msgspec.json.encode(message)
    with pytest.raises(ProtocolViolation) as caught:
        private(perp, payload)
    assert caught.value.raw == payload[:4096]


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"topic":"dcp.future","data":[]}',
        b'{"topic":"order","data":[{"novel":1}]}',
        b'{"topic":"order.spot","data":[{"novel":1}]}',
        b'{"success":true,"ret_msg":"","op":"unsubscribe","req_id":"1"}',
    ],
)
def test_what_was_not_asked_for(perp: BybitTrading, payload: bytes) -> None:
    assert private(perp, payload) == []


# -------------------------------------------------------------------------------------- order entry


def test_answers_to_orders(perp: BybitTrading, sample: Sample) -> None:
    (reply,) = trade(perp, sample("wsapi_place"))
    assert isinstance(reply, WsReply)
    assert reply.request_id == "p1"
    assert isinstance(reply.result, OrderAck)
    assert (reply.result.client_order_id, reply.result.state) == ("a1", OrderState.WORKING)
    assert reply.result.venue_utc_ns == 1795442400209_000_000
    assert reply.allowance is not None
    assert (reply.allowance.name, reply.allowance.left, reply.allowance.limit) == ("orders_1s", 9, 10)
    (changed,) = trade(perp, sample("wsapi_amend"))
    assert isinstance(changed.result, OrderAck)
    assert changed.allowance is None  # amends have a limit of their own


def test_refused_orders(perp: BybitTrading, sample: Sample) -> None:
    (reply,) = trade(perp, sample("wsapi_refused"))
    assert isinstance(reply.result, VenueError)
    assert (reply.result.code, reply.result.outcome) == ("110003", Outcome.REFUSED)
    (limited,) = trade(perp, sample("wsapi_rate_limit"))
    assert isinstance(limited.result, VenueError)
    assert (limited.result.reason, limited.result.retry) == (RejectReason.RATE_LIMIT, Retry.AFTER_WAIT)
    assert limited.result.retry_after_ms == 750  # until the reset that the header names
    assert limited.allowance is not None
    assert (limited.allowance.left, limited.allowance.reset_utc_ms) == (0, 1795442400959)


def test_headers_may_hold_numbers_or_nothing(perp: BybitTrading, sample: Sample) -> None:
    message = msgspec.json.decode(sample("wsapi_place"))
    message["header"] = {"X-Bapi-Limit": 20, "X-Bapi-Limit-Status": 3, "Timenow": 7}
    (reply,) = trade(perp, msgspec.json.encode(message))
    assert reply.allowance is not None
    assert (reply.allowance.left, reply.allowance.limit, reply.allowance.reset_utc_ms) == (3, 20, 0)
    for header in ({}, {"X-Bapi-Limit": "x", "X-Bapi-Limit-Status": "9" * 30, "Timenow": "9" * 18}):
        message["header"] = header
        (reply,) = trade(perp, msgspec.json.encode(message))
        assert isinstance(reply.result, OrderAck)
        assert (reply.allowance, reply.result.venue_utc_ns) == (None, None)
    del message["header"]
    (reply,) = trade(perp, msgspec.json.encode(message))
    assert isinstance(reply.result, OrderAck)


def test_a_restart_of_order_entry_proves_nothing_and_ends_the_connection(
    perp: BybitTrading, sample: Sample
) -> None:
    reply, down = trade(perp, sample("wsapi_restart"))
    assert isinstance(reply.result, VenueError)
    assert reply.result.outcome is Outcome.UNKNOWN
    assert isinstance(down, StreamDown)


def test_an_error_without_a_request_ends_the_connection(perp: BybitTrading) -> None:
    (down,) = trade(perp, b'{"retCode":10001,"retMsg":"bad\\njson","op":"","connId":"c"}')
    assert down == StreamDown("an error without a request: 10001 bad json")
    (nameless,) = trade(perp, b'{"retCode":10016,"retMsg":"x","op":"order.create","data":{},"connId":"c"}')
    assert isinstance(nameless, StreamDown)
    assert trade(perp, b'{"retCode":0,"retMsg":"OK","op":"novel"}') == []


def test_an_answer_without_an_order_is_in_doubt(perp: BybitTrading) -> None:
    (reply,) = trade(perp, b'{"reqId":"p1-5l","retCode":0,"retMsg":"OK","op":"order.create","data":{}}')
    assert isinstance(reply.result, VenueError)
    assert (reply.request_id, reply.result.outcome) == ("p1", Outcome.UNKNOWN)


@pytest.mark.parametrize("request_id", ["p1", "login-3", "c12345678"])
def test_request_names_lead_back(request_id: str) -> None:
    assert request_of(request_name(request_id, Product.SPOT, STAMP)) == request_id
    assert request_of("foreign") == "foreign"


def test_recorded_frames(shared_fixtures: Path, known: Known) -> None:
    """Single frames of other people's recorders: real ones of 2023 and 2025, and edited ones."""
    folder = shared_fixtures / "bybit"
    roq, nautilus = folder / "frames_roq", folder / "frames_nautilus"
    listed = known[Product.PERP]
    adapter = BybitTrading(
        Product.PERP,
        LIVE[Product.PERP],
        KEYS,
        listed | {"ETHUSDT": msgspec.structs.replace(listed["BTCUSDT"], symbol="ETHUSDT")},
    )

    def by_category(path: Path, topic: bytes) -> bytes:
        """Return a frame as the subscription by category names it."""
        return path.read_bytes().replace(b'"' + topic + b'"', b'"' + topic + b'.linear"', 1)

    report = one_report(private(adapter, by_category(roq / "order.linear.json", b"order")))
    assert (report.state, report.client_order_id) == (OrderState.WORKING, "VQAC6QMAAQAARFkvRM9C")
    fill = one_report(private(adapter, by_category(roq / "execution_2.parser.json", b"execution"))).fill
    assert fill is not None
    assert (fill.fee, fill.fee_asset) == (Decimal("0.01714062"), "USDT")
    (position,) = private(adapter, by_category(roq / "position.linear.json", b"position"))
    assert (position.position_qty, position.entry_price) == (Decimal("0.002"), Decimal("32685.25"))
    assert private(adapter, (roq / "wallet.parser.json").read_bytes()) == []  # a classic spot account
    rows = private(adapter, (nautilus / "ws_account_wallet.json").read_bytes())
    assert {row.asset: row.free for row in rows}["USDT"] == Decimal("9647.75537647")
    adapter.trade_login("login-9", STAMP)
    for path in (roq / "auth_2.success.json", nautilus / "ws_auth_success.json"):
        assert trade(adapter, path.read_bytes()) == [WsReply("login-9", None)]
    (reply,) = trade(adapter, (roq / "cancel_order_2.success.json").read_bytes())
    assert isinstance(reply.result, OrderAck)
    for name, reason in (
        ("place_order_2.failure", RejectReason.PRICE_BAND),
        ("amend_order_2.failure", RejectReason.UNKNOWN_ORDER),
    ):
        (reply,) = trade(adapter, (roq / f"{name}.json").read_bytes())
        assert isinstance(reply.result, VenueError)
        assert (reply.result.outcome, reply.result.reason) == (Outcome.REFUSED, reason)
