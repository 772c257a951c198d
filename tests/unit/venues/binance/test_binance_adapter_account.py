"""Account queries to values; nothing here raises."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D

import pytest

from engine.model.account import Balance, Position
from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.model.orders import OrderState, Outcome, VenueError
from engine.venues.binance.adapter import BinanceTrading

Golden = Callable[[str], bytes]


def test_spot_balances(spot: BinanceTrading, golden: Golden) -> None:
    stamp = 1790743940971_000_000
    assert spot.decode_balances(200, golden("http_account_spot")) == [
        Balance("binance", "spot", "BTC", D("4723846.89208129"), D("0.00000001"), stamp),
        Balance("binance", "spot", "USDT", D("0E-8"), D("12.50000000"), stamp),
    ]


def test_perp_wallet_is_cross_plus_isolated(perp: BinanceTrading, golden: Golden) -> None:
    assert perp.decode_balances(200, golden("http_balance_perp")) == [
        Balance("binance", "perp", "USDT", D("122000.00000000"), D("607.35137903"), 1617939110373_000_000)
    ]


def test_positions(perp: BinanceTrading, golden: Golden) -> None:
    assert perp.decode_positions(200, golden("http_position_risk")) == [
        Position(
            "binance", "BTC/USDT:USDT", D("-0.030"), D("60000.5"), D("60010.47590000"), D("-0.29927700"),
            None, None, 1720736417660_000_000,
        ),
        Position(
            "binance", "BTCUSDT_261225", D("1"), D("61000"), D("61001"), D("1"), None, D("30000.5"), None
        ),
    ]  # fmt: skip
    assert perp.decode_positions(200, b"[]") == []


def test_spot_fills_ascend_and_name_the_order_by_the_venues_id(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden
) -> None:
    reports = spot.decode_fills(spot_known["BTCUSDT"], 200, golden("http_my_trades_spot"))
    assert isinstance(reports, list)
    first, second = reports
    assert (first.venue_order_id, second.venue_order_id) == ("100234", "100235")
    assert (first.side, second.side) == (Side.SELL, Side.BUY)
    assert first.fill is not None
    assert (first.fill.trade_id, first.fill.price, first.fill.qty) == ("28457", 6_100_000_000_000, 100_000)
    assert (first.fill.fee, first.fill.fee_asset, first.fill.is_maker) == (D("0.06100000"), "USDT", True)
    assert (first.client_order_id, first.price, first.qty, first.cum_qty) == ("", 0, 0, None)
    assert (first.state, first.venue_utc_ns) == (OrderState.WORKING, 1499865549590_000_000)


def test_perp_fills(perp: BinanceTrading, perp_known: dict[str, Instrument], golden: Golden) -> None:
    reports = perp.decode_fills(perp_known["BTCUSDT"], 200, golden("http_user_trades_perp"))
    assert isinstance(reports, list)
    (report,) = reports
    assert report.fill is not None
    assert (report.side, report.fill.trade_id, report.fill.is_maker) == (Side.SELL, "698759", False)
    assert (report.fill.price, report.fill.qty, report.fill.fee) == (
        781_901_000_000,
        200_000,
        D("0.07819010"),
    )


def test_fills_of_another_symbol_are_not_believed(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden
) -> None:
    answer = spot.decode_fills(spot_known["LTCBTC"], 200, golden("http_my_trades_spot"))
    assert isinstance(answer, VenueError)
    assert answer.outcome is Outcome.UNKNOWN


def test_listen_keys(perp: BinanceTrading, golden: Golden) -> None:
    key = perp.decode_listen_key(200, golden("http_listen_key"))
    assert key == "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
    assert perp.decode_listen_key(200, b"{}") == ""
    for body in (b'{"listenKey":"a b"}', b'{"listenKey":"a&b=1"}', b'{"listenKey":3}', b"", b"<html>"):
        assert isinstance(perp.decode_listen_key(200, body), VenueError)


def test_account_check(spot: BinanceTrading, perp: BinanceTrading, golden: Golden) -> None:
    settings = golden("http_account_config").decode()
    assert perp.decode_account_check(200, settings.encode()) == ""
    hedge = perp.decode_account_check(200, settings.replace('Position":false', 'Position":true').encode())
    assert "one-way" in str(hedge)
    frozen = perp.decode_account_check(200, settings.replace('"canTrade":true', '"canTrade":false').encode())
    assert "permissions" in str(frozen)
    assert spot.decode_account_check(200, golden("http_account_spot")) == ""
    assert isinstance(spot.decode_account_check(200, b"{}"), VenueError)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"3", b"[3]", b'[{"asset":3}]', b'{"balances":3}', b"\xff", b"["]
)
def test_undecodable_answers_are_values(
    spot: BinanceTrading,
    perp: BinanceTrading,
    spot_known: dict[str, Instrument],
    body: bytes,
) -> None:
    for answer in (
        spot.decode_balances(200, body),
        perp.decode_balances(200, body),
        perp.decode_positions(200, body),
        spot.decode_fills(spot_known["BTCUSDT"], 200, body),
    ):
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN


def test_an_error_object_with_status_200_is_an_error(perp: BinanceTrading) -> None:
    answer = perp.decode_balances(200, b'{"code":-2015,"msg":"Invalid API-key, IP, or permissions."}')
    assert isinstance(answer, VenueError)
    assert (answer.code, answer.outcome) == ("-2015", Outcome.REFUSED)
