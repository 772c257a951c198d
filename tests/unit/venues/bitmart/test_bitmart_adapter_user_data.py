"""The private connection: logins, executions, balances and positions."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import ExecutionReport, Fill, OrderState, RejectReason, VenueError
from engine.venues.base import ToSend, WsReply
from engine.venues.bitmart.adapter import BitmartTrading
from engine.venues.bitmart.user_data import CHANNELS
from tests.unit.venues.adapter_rig import Sample
from tests.unit.venues.bitmart.test_bitmart_adapter_orders import STAMP
from tests.unit.venues.bitmart.test_bitmart_adapter_orders import perp as perp
from tests.unit.venues.bitmart.test_bitmart_adapter_orders import spot as spot


def report(trading: BitmartTrading, payload: bytes) -> ExecutionReport:
    (event,) = trading.decode_private(payload, 11, 22)
    assert isinstance(event, ExecutionReport)
    return event


# ------------------------------------------------------------------------------------------ logins


def test_channels_follow_the_login(trading: BitmartTrading, sample: Sample) -> None:
    for _ in range(2):  # and again on a fresh connection
        (login,) = trading.private_subscribe("private", STAMP)
        arguments = json.loads(login)["args"]
        assert arguments[:2] == ["key-1", str(STAMP)]
        (event,) = trading.decode_private(sample(f"user_login_{trading.product.value}"), 1, 2)
        assert isinstance(event, ToSend)
        topics = json.loads(event.payload)["args"]
        assert topics == list(CHANNELS[trading.product])
        word = "topic" if trading.product is Product.SPOT else "group"
        verb = "event" if trading.product is Product.SPOT else "action"
        replies: list[Any] = []
        for topic in topics:
            answer = json.dumps({verb: "subscribe", word: topic, "success": True})
            replies += trading.decode_private(answer.encode(), 1, 2)
        assert replies == [WsReply("private", None)]


def test_logins_that_are_refused(trading: BitmartTrading, sample: Sample) -> None:
    trading.private_subscribe("private", STAMP)
    (event,) = trading.decode_private(sample(f"user_login_refused_{trading.product.value}"), 1, 2)
    assert isinstance(event, WsReply)
    assert event.request_id == "private"
    assert isinstance(event.result, VenueError)
    if trading.product is Product.SPOT:
        assert (event.result.code, event.result.reason) == ("91002", RejectReason.AUTH)
    else:
        assert event.result.message == "access failed: signature"


def test_pongs_and_strangers(trading: BitmartTrading, sample: Sample) -> None:
    for payload in (b"pong", sample("ws_pong_perp"), b"{}", b'{"table":"spot/ticker","data":[]}'):
        assert list(trading.decode_private(payload, 1, 2)) == []
    for name in ("user_order_spot", "user_order_perp", "user_position_perp"):
        raw = sample(name).replace(b"BTC", b"XYZ")
        assert list(trading.decode_private(raw, 1, 2)) == []
    assert trading.unknown_symbols == 3


# -------------------------------------------------------------------------------------------- spot


def test_a_spot_order_rests_fills_and_ends(spot: BitmartTrading, btc: Instrument, sample: Sample) -> None:
    first = report(spot, sample("user_order_spot"))
    assert (first.client_order_id, first.venue_order_id, first.state, first.fill) == (
        "te11", "2147857398", OrderState.WORKING, None,
    )  # fmt: skip
    assert (first.price, first.qty) == (btc.scale_price(Decimal(46_100)), btc.scale_qty(Decimal(1)))
    second = report(spot, sample("user_fill_spot"))
    assert second.cum_qty == btc.scale_qty(Decimal("0.4"))
    assert second.fill == Fill(
        trade_id="256348632", price=btc.scale_price(Decimal(46_100)), qty=btc.scale_qty(Decimal("0.4")),
        fee=Decimal(10), fee_asset="BMX", is_maker=True, venue_utc_ns=1795442339226000000,
    )  # fmt: skip
    last = report(spot, sample("user_cancelled_spot"))
    assert (last.state, last.fill, last.cum_qty) == (
        OrderState.CANCELLED, None, btc.scale_qty(Decimal("0.4")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "code", "expected"),
    [
        ("new", "4", OrderState.WORKING), ("partially_filled", "5", OrderState.WORKING),
        ("filled", "6", OrderState.FILLED), ("canceled", "8", OrderState.CANCELLED),
        ("partially_canceled", "12", OrderState.CANCELLED), ("failed", "99", OrderState.EXPIRED),
    ],
)  # fmt: skip
def test_both_words_for_a_state(
    spot: BitmartTrading, sample: Sample, word: str, code: str, expected: OrderState
) -> None:
    push = json.loads(sample("user_order_spot"))
    push["data"][0] |= {"order_state": word, "state": code}
    assert report(spot, json.dumps(push).encode()).state is expected
    if word != "failed":
        push["data"][0]["order_state"] = ""
        assert report(spot, json.dumps(push).encode()).state is expected


def test_spot_balances(spot: BitmartTrading, sample: Sample) -> None:
    assert list(spot.decode_private(sample("user_balance_spot"), 1, 2)) == [
        Balance("bitmart", "spot", "BTC", Decimal("123.22"), Decimal("12.56"), 1795442337000000000)
    ]


# ----------------------------------------------------------------------------------------- futures


def test_a_futures_order_rests_fills_and_is_cancelled(
    perp: BitmartTrading, swap: Instrument, sample: Sample
) -> None:
    first = report(perp, sample("user_order_perp"))
    assert (first.state, first.side, first.qty, first.fill) == (
        OrderState.WORKING, Side.BUY, swap.scale_qty(Decimal(1)), None,
    )  # fmt: skip
    second = report(perp, sample("user_fill_perp"))
    assert (second.state, second.cum_qty) == (OrderState.WORKING, swap.scale_qty(Decimal("0.3")))
    assert second.fill == Fill(
        trade_id="1247592391", price=swap.scale_price(Decimal("25637.1")),
        qty=swap.scale_qty(Decimal("0.3")), fee=Decimal("4.614678"), fee_asset="USDT", is_maker=None,
        venue_utc_ns=1795442329000000000,
    )  # fmt: skip
    last = report(perp, sample("user_cancelled_perp"))
    assert (last.state, last.fill, last.cum_qty) == (OrderState.CANCELLED, None, 0)
    closed = report(perp, sample("user_closed_perp"))
    assert (closed.state, closed.fill is not None) == (OrderState.FILLED, True)


@pytest.mark.parametrize(
    ("action", "state", "done", "expected", "reason"),
    [
        (2, 1, "0", OrderState.WORKING, None),
        (3, 2, "300", OrderState.CANCELLED, None),
        (3, 4, "1000", OrderState.FILLED, None),
        (4, 4, "300", OrderState.EXPIRED, "liquidation"),
        (5, 4, "0", OrderState.EXPIRED, "ADL"),
        (6, 4, "300", OrderState.CANCELLED, "partial liquidation"),
        (9, 2, "300", OrderState.WORKING, "ADL"),
    ],
)
def test_actions(
    perp: BitmartTrading, sample: Sample, action: int, state: int, done: str, expected: OrderState,
    reason: str | None,
) -> None:  # fmt: skip
    push = json.loads(sample("user_order_perp"))
    push["data"][0]["action"] = action
    push["data"][0]["order"] |= {"state": state, "deal_size": done}
    told = report(perp, json.dumps(push).encode())
    assert (told.state, told.reason) == (expected, reason)


@pytest.mark.parametrize("changes", [{"state": 3}, {"side": 0}, {"update_time": 0, "create_time": None}])
def test_orders_that_cannot_be_meant(perp: BitmartTrading, sample: Sample, changes: dict[str, Any]) -> None:
    push = json.loads(sample("user_order_perp"))
    push["data"][0]["order"] |= changes
    with pytest.raises(ProtocolViolation, match="private message"):
        perp.decode_private(json.dumps(push).encode(), 1, 2)


def test_futures_money(perp: BitmartTrading, sample: Sample) -> None:
    assert list(perp.decode_private(sample("user_asset_perp"), 1, 2)) == [
        Balance("bitmart", "perp", "USDT", Decimal(900), Decimal(100), None)
    ]


def position(perp: BitmartTrading, sample: Sample, *rows: dict[str, Any]) -> Position:
    push = json.loads(sample("user_position_perp"))
    push["data"] = [push["data"][0] | row for row in rows]
    (event,) = perp.decode_private(json.dumps(push).encode(), 1, 2)
    assert isinstance(event, Position)
    return event


def test_a_one_way_position_opens_turns_and_closes(perp: BitmartTrading, sample: Sample) -> None:
    opened = position(perp, sample, {})
    assert (opened.position_qty, opened.entry_price) == (Decimal(2), Decimal("19406.2092"))
    assert (opened.liquidation_price, opened.venue_utc_ns) == (
        Decimal("15621.998406"), 1795442321255000000,
    )  # fmt: skip
    turned = position(perp, sample, {"position_type": 2, "hold_volume": "500"})
    assert turned.position_qty == Decimal("-0.5")
    both = position(perp, sample, {"hold_volume": "7"}, {"position_type": 2, "hold_volume": "0"})
    assert both.position_qty == Decimal("0.007")
    assert position(perp, sample, {"hold_volume": "0"}).position_qty == 0


def test_hedge_legs_are_netted_and_keep_what_is_not_told(perp: BitmartTrading, sample: Sample) -> None:
    (net,) = perp.decode_private(sample("user_position_hedge_perp"), 1, 2)
    assert isinstance(net, Position)
    assert (net.position_qty, net.entry_price, net.liquidation_price) == (Decimal("1.5"), Decimal(90), None)
    hedge = {"position_mode": "hedge_mode", "hold_avg_price": "100"}
    less = position(perp, sample, hedge | {"hold_volume": "500"})
    assert less.position_qty == 0
    gone = position(perp, sample, hedge | {"hold_volume": "0"})
    assert (gone.position_qty, gone.entry_price) == (Decimal("-0.5"), Decimal(130))
    perp.private_subscribe("private", STAMP)  # a fresh connection tells everything anew
    again = position(perp, sample, hedge | {"hold_volume": "300"})
    assert again.position_qty == Decimal("0.3")


def test_leverage_is_known_once_an_order_told_it(perp: BitmartTrading, sample: Sample) -> None:
    assert position(perp, sample, {}).leverage is None
    perp.decode_private(sample("user_order_perp"), 1, 2)
    assert position(perp, sample, {}).leverage == 5


def test_position_types_that_are_none(perp: BitmartTrading, sample: Sample) -> None:
    with pytest.raises(ProtocolViolation, match="position type 3"):
        position(perp, sample, {"position_type": 3})
