"""The private connections: login before channels, executions, balances, positions, answers to orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import ExecutionReport, OrderAck, OrderState, Outcome, RejectReason, VenueError
from engine.venues.base import Credentials, PlannedShutdown, Secret, StreamDown, ToSend, WsReply
from engine.venues.okx.adapter import OkxTrading
from engine.venues.okx.endpoints import LIVE
from tests.unit.venues.adapter_rig import Sample

STAMP = 1795442323000


@pytest.fixture
def perp(known: dict[str, Instrument]) -> OkxTrading:
    keys = Credentials(Secret("k"), Secret("s"), Secret("p"))
    return OkxTrading(Product.PERP, LIVE[Product.PERP], keys, known)


def private(adapter: OkxTrading, payload: bytes) -> list[Any]:
    return list(adapter.decode_private(payload, 5, 6))


def trade(adapter: OkxTrading, payload: bytes) -> list[Any]:
    return list(adapter.decode_trade(payload, 5, 6))


# ------------------------------------------------------------------------------------------- logins


def test_channels_follow_the_login(perp: OkxTrading, sample: Sample) -> None:
    (login,) = perp.private_subscribe("private", STAMP)
    assert msgspec.json.decode(login)["args"][0]["sign"] == "uVgvpqdtXmTOuIWPO2S60FriPmbM3OocRTpKVvIrb+c="
    (say,) = private(perp, sample("ws_login"))
    assert isinstance(say, ToSend)
    request = msgspec.json.decode(say.payload)
    assert (request["id"], request["op"]) == ("private", "subscribe")
    assert request["args"] == [
        {"channel": "orders", "instType": "SWAP"},
        {"channel": "account"},
        {"channel": "positions", "instType": "SWAP"},
    ]
    replies = []
    for arg in request["args"]:
        ack = {"id": "private", "event": "subscribe", "arg": arg, "connId": "a4d3ae55"}
        replies += private(perp, msgspec.json.encode(ack))
        replies += private(perp, b'{"event":"channel-conn-count","channel":"x","connCount":"1","connId":"a"}')
    assert replies == [WsReply("private", None)]  # with the last of them


def test_spot_has_no_positions(known: dict[str, Instrument], sample: Sample) -> None:
    keys = Credentials(Secret("k"), Secret("s"), Secret("p"))
    spot = OkxTrading(Product.SPOT, LIVE[Product.SPOT], keys, known)
    spot.private_subscribe("private", STAMP)
    (say,) = private(spot, sample("ws_login"))
    assert [row["channel"] for row in msgspec.json.decode(say.payload)["args"]] == ["orders", "account"]


def test_a_refused_login_is_the_subscriptions_refusal(perp: OkxTrading, sample: Sample) -> None:
    perp.private_subscribe("private", STAMP)
    (reply,) = private(perp, sample("ws_login_refused"))
    assert reply.request_id == "private"
    assert reply.result.reason is RejectReason.AUTH


def test_logins_of_the_two_connections_are_not_mixed_up(perp: OkxTrading, sample: Sample) -> None:
    perp.private_subscribe("private", STAMP)
    perp.trade_login("login-1", STAMP)
    assert trade(perp, sample("ws_login")) == [WsReply("login-1", None)]
    (say,) = private(perp, sample("ws_login"))
    assert isinstance(say, ToSend)
    perp.trade_login("login-2", STAMP)
    (reply,) = trade(perp, sample("ws_login_refused"))
    assert reply.request_id == "login-2"
    assert isinstance(reply.result, VenueError)


def test_pongs_and_notices(perp: OkxTrading, sample: Sample) -> None:
    for decode in (private, trade):
        assert decode(perp, b"pong") == []
        assert decode(perp, sample("ws_notice")) == [PlannedShutdown(None)]
    dropped = b'{"event":"channel-conn-count-error","channel":"orders","connCount":"30","connId":"a4d3ae55"}'
    assert isinstance(private(perp, dropped)[0], StreamDown)


# ------------------------------------------------------------------------------------------- orders


def test_a_new_order(perp: OkxTrading, sample: Sample, swap: Instrument) -> None:
    (report,) = private(perp, sample("user_order_live"))
    assert isinstance(report, ExecutionReport)
    assert (report.client_order_id, report.venue_order_id) == ("a1", "312269865356374016")
    assert (report.state, report.side, report.fill) == (OrderState.WORKING, Side.BUY, None)
    assert (swap.qty(report.qty), swap.price(report.price)) == (Decimal("0.005"), Decimal("91000.1"))


def test_a_fill(perp: OkxTrading, sample: Sample, swap: Instrument) -> None:
    (report,) = private(perp, sample("user_order_fill"))
    fill = report.fill
    assert (fill.trade_id, fill.is_maker) == ("7", False)
    assert (fill.fee, fill.fee_asset) == (Decimal("0.0455"), "USDT")  # a cost is positive here
    assert swap.qty(fill.qty) == Decimal("0.001")
    assert swap.qty(report.cum_qty) == Decimal("0.001")
    assert report.state is OrderState.WORKING


def test_ends(perp: OkxTrading, sample: Sample) -> None:
    (by_rule,) = private(perp, sample("user_order_post_only"))
    assert (by_rule.state, by_rule.reason) == (OrderState.EXPIRED, "post-only would take")
    (by_us,) = private(perp, sample("user_order_cancelled"))
    assert (by_us.state, by_us.reason) == (OrderState.CANCELLED, None)


def test_unknown_instruments_are_counted(perp: OkxTrading, sample: Sample) -> None:
    assert private(perp, sample("user_order_live").replace(b"BTC-USDT-SWAP", b"XYZ-USDT-SWAP")) == []
    assert perp.unknown_symbols == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"live"', b'"novel"'), (b'"buy"', b'"x"'), (b'"0.5"', b'"0.5e1"'), (b'"91000.1"', b'"-1"')],
)
def test_what_must_not_be_skipped_over(perp: OkxTrading, sample: Sample, old: bytes, new: bytes) -> None:
    payload = sample("user_order_live").replace(old, new)
    assert payload != sample("user_order_live")
    with pytest.raises(ProtocolViolation):
        private(perp, payload)


# ------------------------------------------------------------------------------- account, positions


def test_balances_and_those_that_vanish(perp: OkxTrading, sample: Sample) -> None:
    first = private(perp, sample("user_account"))
    assert [(row.asset, row.free, row.locked) for row in first] == [
        ("USDT", Decimal("4591.85"), Decimal("158.57")),
        ("BTC", Decimal("0.5"), Decimal(0)),
    ]
    usdt, gone = private(perp, sample("user_account_later"))
    assert usdt.free == Decimal("4750.42")
    assert gone == Balance("okx", "perp", "BTC", Decimal(0), Decimal(0), None)
    assert len(private(perp, sample("user_account_later"))) == 1  # told once


def test_snapshots_in_pages(perp: OkxTrading, sample: Sample) -> None:
    private(perp, sample("user_account"))
    later = msgspec.json.decode(sample("user_account_later"))
    btc = {"ccy": "BTC", "cashBal": "0.5", "frozenBal": "0", "uTime": "1"}
    first, second = later | {"lastPage": False}, later | {"curPage": 2, "data": [{"details": [btc]}]}
    assert [row.asset for row in private(perp, msgspec.json.encode(first))] == ["USDT"]
    assert [row.free for row in private(perp, msgspec.json.encode(second))] == [Decimal("0.5")]


def test_positions_and_those_that_vanish(perp: OkxTrading, sample: Sample) -> None:
    (short,) = private(perp, sample("user_positions"))
    assert isinstance(short, Position)
    assert (short.position_qty, short.entry_price) == (Decimal("-0.01"), Decimal("62961.4"))
    assert (short.leverage, short.liquidation_price) == (Decimal(5), None)
    (flat,) = private(perp, sample("user_positions_closed"))
    assert (flat.universal, flat.position_qty) == ("BTC/USDT:USDT", 0)
    assert private(perp, sample("user_positions_closed")) == []
    closed = sample("user_positions").replace(b'"pos":"-1"', b'"pos":"0"')
    (told,) = private(perp, closed)
    assert told.position_qty == 0


@pytest.mark.parametrize(("old", "new"), [(b'"net"', b'"long"'), (b'"cross"', b'"isolated"')])
def test_half_positions_are_refused(perp: OkxTrading, sample: Sample, old: bytes, new: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="BTC-USDT-SWAP"):
        private(perp, sample("user_positions").replace(old, new))


# ----------------------------------------------------------------------------------------- answers


def test_answers_to_orders(perp: OkxTrading, sample: Sample) -> None:
    (placed,) = trade(perp, sample("wsapi_place"))
    assert placed.request_id == "p1"
    assert isinstance(placed.result, OrderAck)
    assert (placed.result.venue_order_id, placed.result.state) == ("12345689", OrderState.WORKING)
    (refused,) = trade(perp, sample("wsapi_refused"))
    assert (refused.request_id, refused.result.code) == ("p2", "51016")
    assert refused.result.reason is RejectReason.DUPLICATE_CLIENT_ORDER_ID
    (invalid,) = trade(perp, sample("wsapi_invalid"))
    assert (invalid.request_id, invalid.result.reason) == ("p3", RejectReason.MALFORMED)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":"p1","op":"order","code":"1","msg":"","data":[]}',
        b'{"id":"p1","op":"order","code":"0","msg":"","data":[]}',
        b'{"id":"p1","op":"order","code":"0","msg":"","data":[{"sCode":"0","ordId":""}]}',
        b'{"id":"p1","op":"order","code":"0","msg":"","data":[{"sCode":"0","ordId":"1"},{"sCode":"0","ordId":"2"}]}',
        b'{"id":"p1","op":"order","code":"50026","msg":"","data":[]}',
        b'{"id":"p1","op":"order","code":"1","msg":"","data":[{"sCode":"51149","sMsg":"timeout"}]}',
    ],
)
def test_answers_that_prove_nothing(perp: OkxTrading, answer: bytes) -> None:
    (reply,) = trade(perp, answer)
    assert reply.request_id == "p1"
    assert reply.result.outcome is Outcome.UNKNOWN


def test_a_limit_may_stand_in_either_code(perp: OkxTrading) -> None:
    for answer in (
        b'{"id":"p1","op":"order","code":"50011","msg":"x","data":[]}',
        b'{"id":"p1","op":"order","code":"1","msg":"","data":[{"sCode":"50011","sMsg":"x"}]}',
    ):
        (reply,) = trade(perp, answer)
        assert reply.result.reason is RejectReason.RATE_LIMIT
        assert reply.result.outcome is Outcome.REFUSED


def test_errors_on_the_order_connection(perp: OkxTrading) -> None:
    (mine,) = trade(perp, b'{"id":"p9","event":"error","code":"60012","msg":"bad","connId":"a"}')
    assert (mine.request_id, mine.result.reason) == ("p9", RejectReason.MALFORMED)
    (nobody,) = trade(perp, b'{"event":"error","code":"60011","msg":"Please log in","connId":"a"}')
    assert isinstance(nobody, StreamDown)
