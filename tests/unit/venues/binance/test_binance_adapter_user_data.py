"""Private streams and WebSocket API answers to values."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    ExecutionReport,
    Fill,
    OrderAck,
    OrderState,
    Outcome,
    RejectReason,
    VenueError,
)
from engine.venues.base import PlannedShutdown, StreamDown, WsReply
from engine.venues.binance.adapter import BinanceTrading
from engine.venues.binance.instruments import decode_listing

Golden = Callable[[str], bytes]
MONO, UTC = 5, 6


def spot_report(**changes: Any) -> ExecutionReport:
    values: dict[str, Any] = {
        "venue": "binance",
        "universal": "BTC/USDT",
        "client_order_id": "te1-1",
        "venue_order_id": "9639329831",
        "side": Side.BUY,
        "state": OrderState.WORKING,
        "price": 6_112_522_000_000,
        "qty": 700_000,
        "cum_qty": 0,
        "fill": None,
        "reason": None,
        "venue_utc_ns": 1760946669042_000_000,
        "recv_mono_ns": MONO,
    }
    return ExecutionReport(**(values | changes))


def perp_report(**changes: Any) -> ExecutionReport:
    return spot_report(
        **(
            {
                "universal": "BTC/USDT:USDT",
                "venue_order_id": "199033476993",
                "side": Side.SELL,
                "price": 6_000_000_000_000,
                "qty": 10_000_000,
                "venue_utc_ns": 1771856732583_000_000,
            }
            | changes
        )
    )


# ----------------------------------------------------------------------------------------------- spot


def test_spot_order_accepted(spot: BinanceTrading, golden: Golden) -> None:
    assert spot.decode_private(golden("user_spot_new"), MONO, UTC) == (spot_report(),)


def test_spot_fill(spot: BinanceTrading, golden: Golden) -> None:
    fill = Fill(
        trade_id="77517",
        price=6_112_520_000_000,
        qty=200_000,
        fee=D("0.00000200"),
        fee_asset="BTC",
        is_maker=True,
        venue_utc_ns=1760946669042_000_000,
    )
    assert spot.decode_private(golden("user_spot_trade"), MONO, UTC) == (
        spot_report(cum_qty=300_000, fill=fill),
    )


def test_spot_cancel_is_named_by_the_order_and_not_by_the_cancel(
    spot: BinanceTrading, golden: Golden
) -> None:
    assert spot.decode_private(golden("user_spot_cancel"), MONO, UTC) == (
        spot_report(state=OrderState.CANCELLED),
    )


def test_spot_expiry_says_why(spot: BinanceTrading, golden: Golden) -> None:
    assert spot.decode_private(golden("user_spot_expired"), MONO, UTC) == (
        spot_report(state=OrderState.EXPIRED, reason="UNFILLED_IOC_QUANTITY_EXPIRED"),
    )


def test_spot_rejection_says_why(spot: BinanceTrading, golden: Golden) -> None:
    payload = (
        golden("user_spot_new").decode().replace('"X":"NEW","r":"NONE"', '"X":"REJECTED","r":"WOULD_MATCH"')
    )
    assert spot.decode_private(payload.encode(), MONO, UTC) == (
        spot_report(state=OrderState.REJECTED, reason="WOULD_MATCH"),
    )


def test_spot_balances_are_absolute_and_their_delta_is_not_counted_again(
    spot: BinanceTrading, golden: Golden
) -> None:
    stamp = 1790743940971_000_000
    assert list(spot.decode_private(golden("user_spot_balances"), MONO, UTC)) == [
        Balance("binance", "spot", "USDT", D("3683.34767246"), D("5.99256000"), stamp),
        Balance("binance", "spot", "BTC", D("0E-8"), D("0E-8"), stamp),
    ]
    assert spot.decode_private(golden("user_spot_balance_delta"), MONO, UTC) == ()


def test_spot_stream_ends(spot: BinanceTrading, golden: Golden) -> None:
    assert spot.decode_private(golden("user_spot_terminated"), MONO, UTC) == (
        StreamDown("event stream terminated"),
    )
    assert spot.decode_private(golden("ws_shutdown_api"), MONO, UTC) == (
        PlannedShutdown(1770123456789_000_000),
    )
    assert spot.decode_private(golden("wsapi_revoked"), MONO, UTC) == (
        StreamDown("session revoked: -2015 Invalid API-key, IP, or permissions for action."),
    )


# ----------------------------------------------------------------------------------------------- perp


def test_perp_order_accepted_without_fee_keys(perp: BinanceTrading, golden: Golden) -> None:
    assert perp.decode_private(golden("user_perp_new"), MONO, UTC) == (perp_report(),)


def test_perp_fill_with_a_rebate(perp: BinanceTrading, golden: Golden) -> None:
    fill = Fill(
        trade_id="3181138052",
        price=6_000_010_000_000,
        qty=10_000_000,
        fee=D("-0.012"),
        fee_asset="USDT",
        is_maker=True,
        venue_utc_ns=1771856732583_000_000,
    )
    assert perp.decode_private(golden("user_perp_trade"), MONO, UTC) == (
        perp_report(state=OrderState.FILLED, cum_qty=10_000_000, fill=fill),
    )


def test_perp_expiry_is_put_into_words(perp: BinanceTrading, golden: Golden) -> None:
    payload = golden("user_perp_expired")
    assert perp.decode_private(payload, MONO, UTC) == (
        perp_report(state=OrderState.EXPIRED, reason="self-trade prevention"),
    )
    for code, reason in (("0", None), ("9", "market remainder"), ("77", "77")):
        (report,) = perp.decode_private(payload.replace(b'"er":"1"', f'"er":"{code}"'.encode()), MONO, UTC)
        assert isinstance(report, ExecutionReport)
        assert report.reason == reason


def test_a_liquidation_is_a_fill(perp: BinanceTrading, golden: Golden) -> None:
    (report,) = perp.decode_private(golden("user_perp_liquidation"), MONO, UTC)
    assert isinstance(report, ExecutionReport)
    assert report.client_order_id == "autoclose-1"
    assert report.fill is not None
    assert (report.fill.trade_id, report.fill.qty, report.fill.fee) == ("3181138053", 10_000_000, D("0.5"))


def test_trade_lite_is_a_fill_and_nothing_more(perp: BinanceTrading, golden: Golden) -> None:
    fill = Fill(
        trade_id="3181138052",
        price=6_000_150_000_000,
        qty=4_000_000,
        fee=None,
        fee_asset=None,
        is_maker=False,
        venue_utc_ns=1771856732583_000_000,
    )
    assert perp.decode_private(golden("user_perp_lite"), MONO, UTC) == (
        perp_report(side=Side.BUY, price=0, cum_qty=None, fill=fill),
    )


def test_account_update(perp: BinanceTrading, golden: Golden) -> None:
    stamp = 1771856732583_000_000
    assert list(perp.decode_private(golden("user_perp_account"), MONO, UTC)) == [
        Balance("binance", "perp", "USDT", D("90.5"), D("11.23744723"), stamp),
        Position("binance", "BTC/USDT:USDT", D("-0.1"), D("60000.1"), None, D("-1.25"), None, None, stamp),
        # A contract that is not traded here still shows, under the venue's name.
        Position("binance", "BTCUSDT_261225", D("0.2"), D("61000"), None, None, None, None, stamp),
    ]


def test_stream_and_query_state_the_same_wallet(perp: BinanceTrading, golden: Golden) -> None:
    queried = perp.decode_balances(200, golden("http_balance_perp"))
    payload = (
        golden("user_perp_account")
        .decode()
        .replace('"wb":"101.73744723","cw":"90.5"', '"wb":"122607.35137903","cw":"122000.00000000"')
    )
    streamed = perp.decode_private(payload.encode(), MONO, UTC)[0]
    assert isinstance(queried, list)
    assert isinstance(streamed, Balance)
    assert (queried[0].free, queried[0].locked) == (streamed.free, streamed.locked)


def test_hedge_mode_is_never_half_read(perp: BinanceTrading, golden: Golden) -> None:
    with pytest.raises(ProtocolViolation, match="one-way"):
        perp.decode_private(golden("user_perp_account_hedge"), MONO, UTC)
    answer = perp.decode_positions(200, golden("http_position_risk_hedge"))
    assert isinstance(answer, VenueError)
    assert "one-way" in answer.message


def test_listen_key_expired(perp: BinanceTrading, golden: Golden) -> None:
    down = (StreamDown("listen key expired"),)
    payload = golden("user_perp_key_expired")
    assert perp.decode_private(payload, MONO, UTC) == down
    assert perp.decode_private(payload.replace(b'"1736996475556"', b"1736996475556"), MONO, UTC) == down


def test_combined_form(perp: BinanceTrading, golden: Golden) -> None:
    assert perp.decode_private(golden("user_perp_combined"), MONO, UTC) == (
        perp_report(state=OrderState.CANCELLED),
    )


def test_unknown_events_and_symbols_are_left_out(
    spot: BinanceTrading, perp: BinanceTrading, golden: Golden
) -> None:
    assert perp.decode_private(golden("user_perp_unknown"), MONO, UTC) == ()
    assert perp.decode_private(b"{}", MONO, UTC) == ()
    assert spot.decode_private(b'{"subscriptionId":0,"event":{"e":"listStatus"}}', MONO, UTC) == ()
    assert spot.decode_private(b'{"subscriptionId":0,"event":null}', MONO, UTC) == ()
    assert (spot.unknown_symbols, perp.unknown_symbols) == (0, 0)
    for adapter, name in ((spot, "user_spot_new"), (perp, "user_perp_new"), (perp, "user_perp_lite")):
        payload = golden(name).replace(b'"BTCUSDT"', b'"NOTLISTED"')
        assert adapter.decode_private(payload, MONO, UTC) == ()
    assert (spot.unknown_symbols, perp.unknown_symbols) == (1, 2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"X":"NEW"', '"X":"TELEPORTED"'),
        ('"S":"BUY"', '"S":"SHORT"'),
        ('"q":"0.00700000"', '"q":"0.0000000001"'),
        ('"q":"0.00700000"', '"q":0.007'),
        ('"z":"0.00000000"', '"z":"-1"'),
        ('"i":9639329831', '"i":-1'),
        ('"T":1760946669042', '"T":99999999999999999'),
        ('"c":"te1-1",', ""),
    ],
)
def test_a_report_that_cannot_be_read_is_loud(
    spot: BinanceTrading, golden: Golden, old: str, new: str
) -> None:
    payload = golden("user_spot_new").decode().replace(old, new).encode()
    assert payload != golden("user_spot_new")
    with pytest.raises(ProtocolViolation) as caught:
        spot.decode_private(payload, MONO, UTC)
    assert caught.value.raw == payload


def test_recorded_private_events(shared_fixtures: Path, golden: Golden) -> None:
    from engine.venues.base import Credentials, Secret
    from engine.venues.binance.endpoints import LIVE

    credentials = Credentials(Secret("k"), Secret("s"))
    known: dict[Product, dict[str, Instrument]] = {}
    for product, name, old, new in (
        (Product.SPOT, "http_exchange_info_spot", '"BTC', '"BNB'),
        (Product.PERP, "http_exchange_info_perp", '"BTC', '"SOL'),
    ):
        listing = decode_listing(product, golden(name).decode().replace(old, new).encode())
        known[product] = {each.symbol: each for each in listing.instruments}
    spot = BinanceTrading(Product.SPOT, LIVE[Product.SPOT], credentials, known[Product.SPOT])
    perp = BinanceTrading(Product.PERP, LIVE[Product.PERP], credentials, known[Product.PERP])
    lines = (shared_fixtures / "binance" / "user_data_real.jsonl").read_bytes().splitlines()
    (accepted,) = spot.decode_private(lines[0], MONO, UTC)
    assert accepted == spot_report(
        universal="BNB/USDT",
        client_order_id="x-B3AUXNYV827cefbc0c9748448b195b",
        price=112_522_000_000,
    )
    (lite,) = perp.decode_private(lines[1], MONO, UTC)
    (update,) = perp.decode_private(lines[2], MONO, UTC)
    assert isinstance(lite, ExecutionReport)
    assert isinstance(update, ExecutionReport)
    assert lite.fill is not None
    assert (lite.fill.trade_id, lite.fill.price, lite.fill.qty) == ("3181138052", 8_019_000_000, 10_000_000)
    # "0.10" and "0.1": the two events spell the same quantity differently.
    assert (
        (lite.venue_order_id, lite.qty) == (update.venue_order_id, update.qty) == ("199033476993", 10_000_000)
    )
    assert (update.state, update.fill, update.cum_qty) == (OrderState.WORKING, None, 0)


# -------------------------------------------------------------------------------------- WebSocket API


def test_place_answer_with_usage(spot: BinanceTrading, golden: Golden) -> None:
    (reply,) = spot.decode_private(golden("wsapi_place"), MONO, UTC)
    assert reply == WsReply(
        "e2a8",
        OrderAck(
            client_order_id="te1-1",
            venue_order_id="12569099453",
            state=OrderState.FILLED,
            price=2_341_610_000_000,
            qty=847_000,
            cum_qty=847_000,
            cum_quote=D("198.33521500"),
            side=Side.SELL,
            venue_utc_ns=1660801715639_000_000,
        ),
        (("orders_10s", 12), ("orders_1d", 4043), ("weight_1m", 321)),
    )


def test_refused_place(spot: BinanceTrading, golden: Golden) -> None:
    (reply,) = spot.decode_private(golden("wsapi_reject"), MONO, UTC)
    assert isinstance(reply, WsReply)
    assert isinstance(reply.result, VenueError)
    assert (reply.request_id, reply.usage) == ("e2a8", (("weight_1m", 322),))
    assert (reply.result.outcome, reply.result.reason) == (
        Outcome.REFUSED,
        RejectReason.INSUFFICIENT_FUNDS,
    )


def test_ban_with_two_ways_to_tell_its_end(spot: BinanceTrading, golden: Golden) -> None:
    (reply,) = spot.decode_private(golden("wsapi_ban"), MONO, UTC)
    assert isinstance(reply, WsReply)
    assert isinstance(reply.result, VenueError)
    assert reply.result.reason is RejectReason.BANNED
    assert reply.result.retry_after_ms == 1659146400000 - 1659142907531
    assert reply.result.banned_until_utc_ms == 1659146400000


@pytest.mark.parametrize(("name", "request_id"), [("wsapi_logon", "1"), ("wsapi_subscribed", "2")])
def test_the_sessions_own_answers_hold_no_order(
    spot: BinanceTrading, golden: Golden, name: str, request_id: str
) -> None:
    assert spot.decode_private(golden(name), MONO, UTC) == (WsReply(request_id, None),)


@pytest.mark.parametrize("result", ["null", "[]", "{}", '[{"subscriptionId":0}]'])
def test_other_results_hold_no_order(spot: BinanceTrading, result: str) -> None:
    payload = f'{{"id":3,"status":200,"result":{result}}}'.encode()
    assert spot.decode_private(payload, MONO, UTC) == (WsReply("3", None),)


def test_an_order_answer_that_cannot_be_read_is_unknown(spot: BinanceTrading, golden: Golden) -> None:
    whole = golden("wsapi_place").decode()
    for old, new in (
        ('"FILLED"', '"TELEPORTED"'),
        ('"0.00847000"', "7"),
        ('"BTCUSDT"', '"NOTLISTED"'),
        ('"side":"SELL",', ""),
    ):
        (reply,) = spot.decode_private(whole.replace(old, new).encode(), MONO, UTC)
        assert isinstance(reply, WsReply)
        assert reply.request_id == "e2a8"
        assert isinstance(reply.result, VenueError)
        assert reply.result.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('"status":503,"error":{"code":-1007,"msg":"Timeout waiting."}', Outcome.UNKNOWN),
        ('"status":500', Outcome.UNKNOWN),
        ('"status":409,"error":{"code":-2021,"msg":"partially failed."}', Outcome.UNKNOWN),
        ('"status":400,"error":{"code":-1021,"msg":"outside of the recvWindow."}', Outcome.REFUSED),
        ('"status":200,"error":{"code":-1006,"msg":"?"}', Outcome.UNKNOWN),
    ],
)
def test_statuses_mean_what_http_means(spot: BinanceTrading, text: str, outcome: Outcome) -> None:
    (reply,) = spot.decode_private(f'{{"id":"x",{text}}}'.encode(), MONO, UTC)
    assert isinstance(reply, WsReply)
    assert isinstance(reply.result, VenueError)
    assert reply.result.outcome is outcome


def test_an_answer_to_nothing(spot: BinanceTrading) -> None:
    (reply,) = spot.decode_private(
        b'{"id":null,"status":400,"error":{"code":-1135,"msg":"Invalid JSON"}}', MONO, UTC
    )
    assert isinstance(reply, WsReply)
    assert reply.request_id is None
