"""The private connections: greetings, executions, balances, positions, answers to orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.model.orders import ExecutionReport, OrderAck, OrderState, Outcome, RejectReason, VenueError
from engine.venues.base import Secret, StreamDown, ToSend, WsReply
from engine.venues.kucoin.adapter import KucoinTrading
from engine.venues.kucoin.signing import KucoinSigner
from tests.unit.venues.adapter_rig import Sample

STAMP = 1795442323000


def private(trading: KucoinTrading, payload: bytes) -> list[Any]:
    return list(trading.decode_private(payload, 3, 4))


def trade(trading: KucoinTrading, payload: bytes) -> list[Any]:
    return list(trading.decode_trade(payload, 3, 4))


# ----------------------------------------------------------------------------------------- greetings


def test_topics_follow_the_welcome(perp: KucoinTrading, spot: KucoinTrading, sample: Sample) -> None:
    for trading, topics in (
        (spot, ["/spotMarket/tradeOrdersV2", "/account/balance"]),
        (perp, ["/contractMarket/tradeOrders", "/contractAccount/wallet", "/contract/positionAll"]),
    ):
        trading.private_subscribe("private", STAMP)
        said = [
            msgspec.json.decode(event.payload) for event in private(trading, sample("ws_welcome_classic"))
        ]
        assert [row["topic"] for row in said] == topics
        assert all(row["privateChannel"] and row["response"] for row in said)
        for row in said[:-1]:
            assert private(trading, msgspec.json.encode({"id": row["id"], "type": "ack"})) == []
        last = msgspec.json.encode({"id": said[-1]["id"], "type": "ack"})
        assert private(trading, last) == [WsReply("private", None)]
        assert private(trading, last) == []


def test_a_new_connection_is_acknowledged_anew(spot: KucoinTrading, sample: Sample) -> None:
    for _ in range(2):
        spot.private_subscribe("private", STAMP)
        first, second = private(spot, sample("ws_welcome_classic"))
        ids = [msgspec.json.decode(each.payload)["id"] for each in (first, second)]
        assert private(spot, msgspec.json.encode({"id": ids[0], "type": "ack"})) == []
    # only the second one's first topic was acknowledged
    assert private(spot, msgspec.json.encode({"id": ids[1], "type": "ack"})) == [WsReply("private", None)]


def test_a_token_that_is_no_good_costs_the_connection(spot: KucoinTrading, sample: Sample) -> None:
    spot.private_subscribe("private", STAMP)
    (down,) = private(spot, sample("user_login_refused"))
    assert isinstance(down, StreamDown)
    assert "expired" in down.reason


def test_a_refused_topic_is_the_subscriptions_refusal(spot: KucoinTrading, sample: Sample) -> None:
    spot.private_subscribe("private", STAMP)
    (say, _) = private(spot, sample("ws_welcome_classic"))
    name = msgspec.json.decode(say.payload)["id"]
    refusal = msgspec.json.encode({"id": name, "type": "error", "code": 509, "data": "exceed max"})
    (reply,) = private(spot, refusal)
    assert reply.request_id == "private"
    assert isinstance(reply.result, VenueError)
    assert "exceed max" in reply.result.message


def test_the_order_connection_is_won_by_signing_its_first_words(spot: KucoinTrading, sample: Sample) -> None:
    """Byte for byte: re-serialised, the same JSON has another signature."""
    assert spot.trade_login("login-1", STAMP) == b""
    words = sample("wsapi_session")
    (say,) = trade(spot, words)
    assert say == ToSend(spot._signer.sign(words).encode())
    assert spot._signer.sign(msgspec.json.encode(msgspec.json.decode(words))).encode() != say.payload
    assert trade(spot, sample("wsapi_welcome")) == [WsReply("login-1", None)]
    assert trade(spot, sample("wsapi_welcome")) == []
    assert trade(spot, sample("wsapi_pong")) == []


def test_a_refused_login(spot: KucoinTrading, sample: Sample) -> None:
    spot.trade_login("login-2", STAMP)
    (reply,) = trade(spot, sample("wsapi_refused_login"))
    assert reply.request_id == "login-2"
    assert reply.result.reason is RejectReason.AUTH
    # Once logged on, an error that names no request leaves everything in flight open.
    (down,) = trade(spot, sample("wsapi_refused_login"))
    assert isinstance(down, StreamDown)


def test_the_two_connections_do_not_share_a_greeting(spot: KucoinTrading, sample: Sample) -> None:
    spot.private_subscribe("private", STAMP)
    spot.trade_login("login-1", STAMP)
    assert trade(spot, sample("wsapi_welcome")) == [WsReply("login-1", None)]
    assert len(private(spot, sample("ws_welcome_classic"))) == 2


def test_every_address_has_a_token_of_its_own(spot: KucoinTrading, sample: Sample) -> None:
    request = spot.signed_listen_key_request(STAMP)
    assert (request.method, request.target, request.body) == ("POST", "/api/v1/bullet-private", b"")
    assert f"KC-API-TIMESTAMP: {STAMP}".encode() in request.headers
    assert spot.listen_key_request() is not None
    key = spot.decode_listen_key(200, sample("http_token"))
    assert isinstance(key, str)
    assert spot.private_url(key) == key
    assert key.startswith("wss://ws-api-spot.kucoin.com/?token=2neAiu")
    refused = spot.decode_listen_key(401, b'{"code":"400003","msg":"KC-API-KEY not exists"}')
    assert isinstance(refused, VenueError)
    assert refused.reason is RejectReason.AUTH


# ------------------------------------------------------------------------------------------- orders


def test_an_orders_life(spot: KucoinTrading, sample: Sample, btc: Instrument) -> None:
    states = {
        "user_order_received": OrderState.WORKING,
        "user_order_open": OrderState.WORKING,
        "user_order_match": OrderState.WORKING,
        "user_order_canceled": OrderState.CANCELLED,
        "user_order_filled": OrderState.FILLED,
    }
    for name, state in states.items():
        (report,) = private(spot, sample(name))
        assert isinstance(report, ExecutionReport)
        assert (report.client_order_id, report.state) == ("a1", state)
        assert (report.fill is not None) == (name == "user_order_match")
    assert report.side is Side.SELL
    assert btc.qty(report.qty) == Decimal("0.1")
    assert report.venue_utc_ns == 1670329988311000000


def test_a_fill(spot: KucoinTrading, sample: Sample, btc: Instrument) -> None:
    (report,) = private(spot, sample("user_order_match"))
    fill = report.fill
    assert (fill.trade_id, fill.is_maker) == ("11029373945659392", False)
    assert (fill.fee, fill.fee_asset) == (None, None)  # told by the list of fills alone
    assert (btc.price(fill.price), btc.qty(fill.qty)) == (Decimal("49000.1"), Decimal("0.04"))
    assert btc.qty(report.cum_qty) == Decimal("0.04")


def test_a_fill_of_a_contract(perp: KucoinTrading, sample: Sample, xbt: Instrument) -> None:
    """The topic has a symbol that was not subscribed so; sizes are lots, times text."""
    (report,) = private(perp, sample("user_order_match_perp"))
    assert xbt.qty(report.fill.qty) == Decimal("0.003")
    assert (report.price, report.reason) == (0, None)  # a market order
    plain = sample("user_order_match_perp").replace(b"tradeOrders:XBTUSDTM", b"tradeOrders")
    assert private(perp, plain) == [report]
    (forced,) = private(perp, sample("user_order_match_perp").replace(b'"trade"', b'"liquid"'))
    assert forced.reason == "liquidation"


def test_unknown_instruments_are_counted(spot: KucoinTrading, sample: Sample) -> None:
    assert private(spot, sample("user_order_open").replace(b"BTC-USDT", b"XYZ-USDT")) == []
    assert spot.unknown_symbols == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"match"', b'"novel"'),
        (b'"sell"', b'"x"'),
        (b'"0.04"', b'"0.04e1"'),
        (b'"49000.1"', b'"-1"'),
        (b'"tradeId":"11029373945659392"', b'"tradeId":""'),
        (b'"ts":1670329987311000000', b'"ts":1'),
    ],
)
def test_what_must_not_be_skipped_over(spot: KucoinTrading, sample: Sample, old: bytes, new: bytes) -> None:
    payload = sample("user_order_match").replace(old, new)
    assert payload != sample("user_order_match")
    with pytest.raises(ProtocolViolation):
        private(spot, payload)


# ------------------------------------------------------------------------------- account, positions


def test_balances_of_the_trade_account(spot: KucoinTrading, sample: Sample) -> None:
    (row,) = private(spot, sample("user_balance"))
    assert row == Balance(
        "kucoin", "spot", "USDT", Decimal("20.132773386762"), Decimal("1.001"), 1730269283892_000_000
    )
    assert private(spot, sample("user_balance").replace(b'"trade.hold"', b'"main.deposit"')) == []
    assert len(private(spot, sample("user_balance").replace(b'"trade.hold"', b'"trade_hf.setted"'))) == 1


def test_wallets_are_not_overtaken(perp: KucoinTrading, sample: Sample) -> None:
    (row,) = private(perp, sample("user_wallet"))
    assert (row.asset, row.free) == ("USDT", Decimal("28.67180236"))
    assert row.free + row.locked == Decimal("49.40260236")
    assert private(perp, sample("user_wallet")) == []  # the same version again
    assert len(private(perp, sample("user_wallet").replace(b"2874", b"2875"))) == 1
    assert private(perp, sample("user_wallet").replace(b"2874", b"2873")) == []
    perp.private_subscribe("private", STAMP)  # a fresh connection begins anew
    assert len(private(perp, sample("user_wallet"))) == 1


def test_positions(perp: KucoinTrading, sample: Sample) -> None:
    (short,) = private(perp, sample("user_position"))
    assert isinstance(short, Position)
    assert (short.universal, short.position_qty) == ("BTC/USDT:USDT", Decimal("-0.002"))
    assert short.entry_price == Decimal(90940)
    assert private(perp, sample("user_position_mark")) == []  # no quantity: not a position
    nameless = sample("user_position").replace(b'"symbol":"XBTUSDTM",', b"")
    assert private(perp, nameless) == [short]  # the topic tells it
    (flat,) = private(perp, sample("user_position").replace(b'"currentQty":-2', b'"currentQty":0'))
    assert flat.position_qty == 0


def test_half_positions_are_refused(perp: KucoinTrading, sample: Sample) -> None:
    with pytest.raises(ProtocolViolation, match="hedge"):
        private(perp, sample("user_position").replace(b'"BOTH"', b'"SHORT"'))


# ----------------------------------------------------------------------------------------- answers


def test_answers_to_orders(spot: KucoinTrading, perp: KucoinTrading, sample: Sample) -> None:
    (placed,) = trade(spot, sample("wsapi_place"))
    assert placed.request_id == "p1"
    assert isinstance(placed.result, OrderAck)
    assert placed.result.venue_order_id == "6843999cb1ce9f0007e5b1f7"
    assert placed.result.venue_utc_ns == 1749260700004_000_000
    assert dict(placed.usage) == {"weight_30s": 500, "orders_30s": 500}  # a quarter of the pool is used
    (refused,) = trade(perp, sample("wsapi_refused"))
    assert (refused.request_id, refused.result.code) == ("p2", "300003")
    assert refused.result.reason is RejectReason.INSUFFICIENT_FUNDS
    assert refused.usage == ()
    (amended,) = trade(spot, sample("wsapi_modify"))
    assert amended.result.venue_order_id == "67112258f9406e0007408827"
    assert dict(amended.usage) == {"weight_30s": 0, "orders_30s": 0}


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id":"p1","op":"spot.order"}',
        b'{"id":"p1","op":"spot.order","code":"200000","data":{}}',
        b'{"id":"p1","op":"spot.order","code":"200000"}',
        b'{"id":"p1","op":"spot.order","code":"500000","msg":""}',
        b'{"id":"p1","op":"spot.order","code":"408000","msg":""}',
        b'{"id":"p1","op":"spot.order","code":"777777","msg":""}',
        b'{"id":"p1","op":"spot.order","code":"200000","data":{"orderId":"1"},"outTime":1}',
    ],
)
def test_answers_that_prove_nothing(spot: KucoinTrading, answer: bytes) -> None:
    (reply,) = trade(spot, answer)
    assert reply.request_id == "p1"
    assert reply.result.outcome is Outcome.UNKNOWN


def test_refusals_without_an_operation(spot: KucoinTrading) -> None:
    (mine,) = trade(spot, b'{"id":"p9","code":"4001002","msg":"bad id"}')
    assert (mine.request_id, mine.result.reason) == ("p9", RejectReason.MALFORMED)
    (limited,) = trade(spot, b'{"id":7,"op":"spot.order","code":429000,"msg":"too many"}')
    assert (limited.request_id, limited.result.reason) == ("7", RejectReason.RATE_LIMIT)


def test_secrets_stay_inside(keys: Any) -> None:
    signer = KucoinSigner(keys)
    assert "secret-1" not in repr(signer)
    assert isinstance(keys.secret, Secret)
    assert "secret-1" not in repr(keys)
