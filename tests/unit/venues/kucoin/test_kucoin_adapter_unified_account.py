"""A unified account: orders, queries and the account stream, in nanoseconds and lots."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.config import VenueSection
from engine.model.account import Balance
from engine.model.errors import ConfigError, NotSent, ProtocolViolation, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    ExecutionReport,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    TimeInForce,
    VenueError,
)
from engine.supervisor import wiring
from engine.venues.base import Amending, Credentials, SignedDialling, StreamDown, ToSend, WsReply
from engine.venues.kucoin.adapter import KucoinMarketData, KucoinTrading
from engine.venues.kucoin.endpoints import LIVE, REGIONS, of_unified_account
from engine.venues.kucoin.unified_account import KucoinUnifiedTrading
from tests.unit.venues.adapter_rig import Sample
from tests.unit.venues.adapter_rig import order_on as order

STAMP = 1795442321924


def made(product: Product, keys: Credentials, known: dict[str, Instrument]) -> KucoinUnifiedTrading:
    return KucoinUnifiedTrading(product, of_unified_account(LIVE, product), keys, known)


@pytest.fixture
def uni_spot(keys: Credentials, known: dict[str, Instrument]) -> KucoinUnifiedTrading:
    return made(Product.SPOT, keys, known)


@pytest.fixture
def uni_perp(keys: Credentials, known: dict[str, Instrument]) -> KucoinUnifiedTrading:
    return made(Product.PERP, keys, known)


def private(trading: KucoinUnifiedTrading, payload: bytes) -> list[Any]:
    return list(trading.decode_private(payload, 3, 4))


# --------------------------------------------------------------------------------------------- choice


@pytest.mark.parametrize("region", ["", "global", "eu"])
def test_the_section_says_which_account_it_is(
    keys: Credentials, known: dict[str, Instrument], region: str
) -> None:
    section = VenueSection(environment="live", account="unified", region=region)
    perp = wiring.endpoints_for("kucoin", section, Product.PERP, {})
    spot = wiring.endpoints_for("kucoin", section, Product.SPOT, {})
    site = "kucoin.eu" if region == "eu" else "kucoin.com"
    assert (perp.rest, perp.rest_trade) == (f"https://api-futures.{site}", f"https://api.{site}")
    assert spot.rest_trade == f"https://api.{site}"
    assert perp.ws_private == spot.ws_private == f"wss://wsapi-push.{site}"
    trading = wiring.trading_adapter("kucoin", Product.PERP, perp, keys, known, section)
    assert isinstance(trading, KucoinUnifiedTrading)
    assert isinstance(trading, SignedDialling)
    assert not isinstance(trading, Amending)
    classic = VenueSection(environment="live", region=region)
    assert (
        wiring.endpoints_for("kucoin", classic, Product.PERP, {}) == REGIONS[region or "global"][Product.PERP]
    )
    plain = wiring.trading_adapter("kucoin", Product.PERP, perp, keys, known, classic)
    assert isinstance(plain, KucoinTrading)


def test_limits_are_the_accounts() -> None:
    endpoints = LIVE[Product.SPOT]
    names = [rule.name for rule in KucoinMarketData(Product.SPOT, endpoints).rest_budgets]
    unified = KucoinMarketData(Product.SPOT, endpoints, is_unified_account=True).rest_budgets
    assert names == ["weight_30s", "orders_30s"]
    assert [(rule.name, rule.limit) for rule in unified] == [
        ("weight_30s", 2_000),
        ("weight_3s", 200),
        ("orders_3s", 100),
    ]


@pytest.mark.parametrize(
    ("venue", "words", "why"),
    [
        ("kucoin", {"account": "margin"}, 'account = "margin": kucoin has classic, unified'),
        ("kucoin", {"streams": "old"}, 'streams = "old": kucoin has unified, classic'),
        ("kucoin", {"leverage": 126}, "leverage = 126: kucoin has 1 to 125"),
        ("kucoin", {"key_version": 1}, "key_version = 1: kucoin has 2, 3"),
        ("kucoin", {"margin_mode": "both"}, "kucoin has isolated, cross"),
        ("binance", {"streams": "classic"}, 'streams = "classic": binance has no such choice'),
        ("okx", {"account": "unified"}, "okx has no such choice"),
        ("binance", {"leverage": 3}, "binance has no such choice"),
    ],
)
def test_keys_that_a_venue_does_not_have(venue: str, words: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        wiring.check_section(venue, VenueSection(**words))


def test_there_is_no_test_network() -> None:
    with pytest.raises(ConfigError, match="no test network"):
        wiring.check_section("kucoin", VenueSection(environment="testnet"))


# ------------------------------------------------------------------------------------------ requests


def test_place(
    uni_spot: KucoinUnifiedTrading, uni_perp: KucoinUnifiedTrading, btc: Instrument, xbt: Instrument
) -> None:
    request = uni_spot.place_http(order(btc), btc, STAMP)
    assert (request.method, request.target) == ("POST", "/api/ua/v1/unified/order/place")
    assert (request.idempotent, request.weight, request.order_count) == (False, 0, 1)
    assert msgspec.json.decode(request.body) == {
        "tradeType": "SPOT",
        "clientOid": "a1",
        "symbol": "BTC-USDT",
        "side": "BUY",
        "size": "0.005",
        "sizeUnit": "BASECCY",
        "orderType": "LIMIT",
        "price": "91000.1",
        "timeInForce": "GTC",
    }
    wish = order(xbt, side=Side.SELL, order_type=OrderType.MARKET, price=0, reduce_only=True)
    assert msgspec.json.decode(uni_perp.place_http(wish, xbt, STAMP).body) == {
        "tradeType": "FUTURES",
        "clientOid": "a1",
        "symbol": "XBTUSDTM",
        "side": "SELL",
        "size": "5",
        "sizeUnit": "UNIT",
        "orderType": "MARKET",
        "reduceOnly": True,
    }
    maker = msgspec.json.decode(uni_perp.place_http(order(xbt, post_only=True), xbt, STAMP).body)
    assert maker["postOnly"] is True
    for bad in (order(xbt, qty=123_457), order(xbt, time_in_force=TimeInForce.FOK), order(xbt, qty=0)):
        with pytest.raises(UsageError):
            uni_perp.place_http(bad, xbt, STAMP)
        with pytest.raises(UsageError):
            uni_perp.place_ws(bad, xbt, "p1", STAMP)


def test_other_requests(
    uni_perp: KucoinUnifiedTrading, uni_spot: KucoinUnifiedTrading, xbt: Instrument
) -> None:
    cancel = uni_perp.cancel_http(xbt, "a1", None, STAMP)
    assert (cancel.target, cancel.is_reserved) == ("/api/ua/v1/unified/order/cancel", True)
    named = {"symbol": "XBTUSDTM", "tradeType": "FUTURES"}
    assert msgspec.json.decode(cancel.body) == {"clientOid": "a1", **named}
    by_theirs = msgspec.json.decode(uni_perp.cancel_http(xbt, "a1", "67", STAMP).body)
    assert by_theirs == {"orderId": "67", **named}
    assert uni_perp.query_http(xbt, "a1", None, STAMP).target == (
        "/api/ua/v1/unified/order/detail?clientOid=a1&symbol=XBTUSDTM&tradeType=FUTURES"
    )
    assert uni_perp.open_orders_http(xbt, STAMP).target == (
        "/api/ua/v1/unified/order/open-list?symbol=XBTUSDTM&tradeType=FUTURES&pageSize=100"
    )
    assert uni_perp.open_orders_http(None, STAMP).target == (
        "/api/ua/v1/unified/order/open-list?tradeType=FUTURES&pageSize=100"
    )
    everything = msgspec.json.decode(uni_perp.cancel_all_http(xbt, STAMP).body)
    assert everything == {**named, "orderFilter": "NORMAL"}
    assert "tradeType=FUTURES" in uni_perp.fills_http(xbt, "9", STAMP).target
    assert uni_perp.balances_http(STAMP).target == "/api/ua/v1/unified/account/balance"
    assert uni_perp.positions_http(STAMP) is not None
    assert uni_spot.positions_http(STAMP) is None
    with pytest.raises(UsageError):
        uni_perp.query_http(xbt, "a b", None, STAMP)


def test_websocket_orders(uni_perp: KucoinUnifiedTrading, xbt: Instrument) -> None:
    place = msgspec.json.decode(uni_perp.place_ws(order(xbt), xbt, "p1", STAMP))
    assert (place["id"], place["op"]) == ("p1", "uta.order")
    assert place["args"] == msgspec.json.decode(uni_perp.place_http(order(xbt), xbt, STAMP).body)
    cancel = msgspec.json.decode(uni_perp.cancel_ws(xbt, "a1", "67", "c1", STAMP))
    assert cancel["op"] == "uta.cancel"
    assert cancel["args"] == {"orderId": "67", "symbol": "XBTUSDTM", "tradeType": "FUTURES"}
    with pytest.raises(NotSent):
        uni_perp.query_ws(xbt, "a1", None, "q1", STAMP)
    assert uni_perp.trade_url(STAMP).startswith("wss://wsapi.kucoin.com/v1/private?apikey=key-1&sign=")
    assert uni_perp.trade_login("login-1", STAMP) == b""
    (say,) = uni_perp.decode_trade(b'{"sessionId":"s", "timestamp":1}', 0, 0)
    assert isinstance(say, ToSend)
    answer = (
        b'{"id":"p1","op":"uta.order","code":"200000","data":{"orderId":"9","clientOid":"a1"},'
        b'"outTime":1749260700004}'
    )
    (reply,) = uni_perp.decode_trade(answer, 0, 0)
    assert isinstance(reply, WsReply)
    assert isinstance(reply.result, OrderAck)
    assert reply.result.venue_order_id == "9"


# ------------------------------------------------------------------------------------------- answers


def test_acknowledgements(uni_spot: KucoinUnifiedTrading, btc: Instrument, sample: Sample) -> None:
    ack = uni_spot.decode_order(btc, 200, sample("uta_place"))
    assert isinstance(ack, OrderAck)
    assert (ack.client_order_id, ack.venue_order_id, ack.side) == ("a1", "385543068587233280", None)
    assert ack.venue_utc_ns == 1764733832617000000
    nameless = uni_spot.decode_order(btc, 200, sample("uta_place").replace(b'"a1"', b"null"))
    assert isinstance(nameless, OrderAck)


def test_queries(uni_perp: KucoinUnifiedTrading, xbt: Instrument, sample: Sample) -> None:
    ack = uni_perp.decode_order(xbt, 200, sample("uta_order"))
    assert isinstance(ack, OrderAck)
    assert (ack.state, ack.side) == (OrderState.WORKING, Side.BUY)
    assert (xbt.qty(ack.qty), xbt.qty(ack.cum_qty)) == (Decimal("0.01"), Decimal("0.004"))  # lots
    assert ack.venue_utc_ns == 1768812467046107059
    (listed,) = uni_perp.decode_orders(200, sample("uta_open_list"))  # type: ignore[misc]
    assert listed == ack
    assert uni_perp.decode_orders(200, sample("uta_cancel_all")) == []
    first = uni_perp.open_orders_http(xbt, STAMP)
    more = sample("uta_open_list").replace(b'"totalPage":1', b'"totalPage":2')
    second = uni_perp.continuation(first, 200, more, STAMP)
    assert second is not None
    assert second.target == f"{first.target}&pageNumber=2"
    assert uni_perp.continuation(first, 200, sample("uta_open_list"), STAMP) is None
    assert uni_perp.continuation(uni_perp.balances_http(STAMP), 200, more, STAMP) is None
    refused = uni_perp.decode_order(xbt, 200, b'{"code":"112010","msg":"Invalid Unified Account user."}')
    assert isinstance(refused, VenueError)
    assert refused.reason is RejectReason.AUTH


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": 0}, OrderState.WORKING),
        ({"status": 2}, OrderState.WORKING),
        ({"status": 3, "filledSize": "10"}, OrderState.FILLED),
        ({"status": 5}, OrderState.CANCELLED),
        ({"status": 6}, OrderState.CANCELLED),
        ({"status": 6, "timeInForce": "IOC"}, OrderState.EXPIRED),
        ({"status": 5, "orderType": "MARKET", "price": ""}, OrderState.EXPIRED),
    ],
)
def test_states(
    uni_perp: KucoinUnifiedTrading,
    xbt: Instrument,
    sample: Sample,
    changes: dict[str, Any],
    expected: OrderState,
) -> None:
    body = msgspec.json.decode(sample("uta_order"))
    body["data"] |= changes
    ack = uni_perp.decode_order(xbt, 200, msgspec.json.encode(body))
    assert isinstance(ack, OrderAck)
    assert ack.state is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 9},
        {"side": "X"},
        {"symbol": "X"},
        {"orderId": "a b"},
        {"size": "-1"},
        {"price": "x"},
        {"size": {}},
    ],
)
def test_orders_that_make_no_sense(
    uni_perp: KucoinUnifiedTrading, xbt: Instrument, sample: Sample, changes: dict[str, Any]
) -> None:
    body = msgspec.json.decode(sample("uta_order"))
    body["data"] |= changes
    error = uni_perp.decode_order(xbt, 200, msgspec.json.encode(body))
    assert isinstance(error, VenueError)
    assert error.outcome is Outcome.UNKNOWN


def test_fills_balances_positions(uni_perp: KucoinUnifiedTrading, xbt: Instrument, sample: Sample) -> None:
    (report,) = uni_perp.decode_fills(xbt, 200, sample("uta_executions"))  # type: ignore[misc]
    assert report.fill is not None
    assert (report.fill.trade_id, report.fill.is_maker) == ("1711108516570", False)
    assert (report.fill.fee, report.fill.fee_asset) == (Decimal("0.1637"), "USDT")
    assert xbt.qty(report.fill.qty) == Decimal("0.003")
    rows = uni_perp.decode_balances(200, sample("uta_balances"))
    assert isinstance(rows, list)
    assert [(row.asset, row.free, row.locked) for row in rows] == [
        ("USDT", Decimal("87.9936711985"), Decimal(10)),
        ("BTC", Decimal("0.0000216"), Decimal(0)),
    ]
    (position,) = uni_perp.decode_positions(200, sample("uta_positions"))  # type: ignore[misc]
    assert (position.universal, position.position_qty) == ("BTC/USDT:USDT", Decimal("-0.002"))
    hedge = sample("uta_positions").replace(b'"id":', b'"positionSide":"LONG","id":')
    assert isinstance(uni_perp.decode_positions(200, hedge), VenueError)


def test_the_account_must_be_a_unified_one(uni_spot: KucoinUnifiedTrading, sample: Sample) -> None:
    check = uni_spot.account_check_http(STAMP)
    assert check is not None
    assert check.target == "/api/ua/v1/account/mode"
    told = uni_spot.decode_account_check(200, sample("http_account_mode"))
    assert isinstance(told, str)
    assert 'account = "classic"' in told
    assert (
        uni_spot.decode_account_check(200, sample("http_account_mode").replace(b"CLASSIC", b"UNIFIED")) == ""
    )


# ---------------------------------------------------------------------------------------- account stream


def test_a_token_with_or_without_an_address(uni_spot: KucoinUnifiedTrading, sample: Sample) -> None:
    request = uni_spot.signed_listen_key_request(STAMP)
    assert (request.method, request.target) == ("POST", "/api/v2/bullet-private")
    bare = uni_spot.decode_listen_key(200, sample("uta_token"))
    assert isinstance(bare, str)
    assert bare == ("wss://wsapi-push.kucoin.com?token=2neAiuYvAU61%3D%3D.WNQmhZQe%3D%3D&connectId=private")
    assert uni_spot.private_url(bare) == bare
    full = uni_spot.decode_listen_key(200, sample("http_token"))
    assert isinstance(full, str)
    assert full.startswith("wss://ws-api-spot.kucoin.com/?token=2neAiu")
    assert isinstance(uni_spot.decode_listen_key(200, b'{"code":"200000","data":{"token":""}}'), VenueError)


def test_channels_follow_the_welcome(
    uni_spot: KucoinUnifiedTrading, uni_perp: KucoinUnifiedTrading, sample: Sample
) -> None:
    for trading, channels in (
        (uni_spot, ["orderAll", "execution.lite", "balance"]),
        (uni_perp, ["orderAll", "execution.lite", "balance", "positionAll"]),
    ):
        assert trading.private_subscribe("private", STAMP)
        said = [
            msgspec.json.decode(event.payload) for event in private(trading, sample("ws_welcome_unified"))
        ]
        assert [row["channel"] for row in said] == channels
        assert [row.get("accountType") for row in said] == [
            "UNIFIED" if name == "balance" else None for name in channels
        ]
        for row in said[:-1]:
            assert private(trading, msgspec.json.encode({"id": row["id"], "result": True})) == []
        last = msgspec.json.encode({"id": said[-1]["id"], "result": True})
        assert private(trading, last) == [WsReply("private", None)]
        assert private(trading, sample("ws_pong_unified")) == []
        (down,) = private(trading, sample("ws_refused_unified"))
        assert isinstance(down, StreamDown)


def test_a_refused_channel_is_the_subscriptions_refusal(
    uni_spot: KucoinUnifiedTrading, sample: Sample
) -> None:
    uni_spot.private_subscribe("private", STAMP)
    (say, *_) = private(uni_spot, sample("ws_welcome_unified"))
    name = msgspec.json.decode(say.payload)["id"]
    (reply,) = private(uni_spot, msgspec.json.encode({"id": name, "result": False, "reason": "no"}))
    assert reply.request_id == "private"
    assert isinstance(reply.result, VenueError)


def test_an_order_event(uni_perp: KucoinUnifiedTrading, xbt: Instrument, sample: Sample) -> None:
    (report,) = private(uni_perp, sample("uta_user_order"))
    assert isinstance(report, ExecutionReport)
    assert (report.client_order_id, report.venue_order_id) == ("a1", "427737326394129559")
    assert (report.state, report.side, report.fill) == (OrderState.CANCELLED, Side.SELL, None)
    assert (xbt.qty(report.qty), report.cum_qty) == (Decimal("0.01"), xbt.scale_qty(Decimal("0.004")))
    assert report.venue_utc_ns == 1774794309608959200
    (by_venue,) = private(uni_perp, sample("uta_user_order").replace(b'"cR":"USER"', b'"cR":"STP"'))
    assert by_venue.reason == "STP"
    unpriced = sample("uta_user_order").replace(b'"p":"91000.1"', b'"p":""')
    (market,) = private(uni_perp, unpriced)
    assert market.price == 0


@pytest.mark.parametrize("is_early", [False, True])
def test_an_execution_finds_its_order(
    uni_spot: KucoinUnifiedTrading, btc: Instrument, sample: Sample, is_early: bool
) -> None:
    """Whichever of the two comes first, the fill names our order."""
    names = ["uta_user_execution", "uta_user_fill"] if is_early else ["uta_user_fill", "uta_user_execution"]
    reports = [report for name in names for report in private(uni_spot, sample(name))]
    assert len(reports) == 2
    (fill,) = [report for report in reports if report.fill is not None]
    (end,) = [report for report in reports if report.fill is None]
    assert fill.client_order_id == end.client_order_id == "9a1840ed0b5746459ede8e6f222daf2d"
    assert (fill.fill.trade_id, fill.fill.is_maker, fill.fill.fee) == ("20801647764195330", False, None)
    assert (btc.price(fill.fill.price), btc.qty(fill.fill.qty)) == (Decimal("78823.6"), Decimal("0.00001"))
    assert (end.state, btc.qty(end.cum_qty)) == (OrderState.FILLED, Decimal("0.00001"))


def test_balances_and_positions(uni_perp: KucoinUnifiedTrading, sample: Sample) -> None:
    assert private(uni_perp, sample("uta_user_balance")) == [
        Balance("kucoin", "perp", "USDT", Decimal("89.9930439507"), Decimal("10.01"), 1774982552505000000)
    ]
    (position,) = private(uni_perp, sample("uta_user_position"))
    assert (position.position_qty, position.leverage) == (Decimal("0.003"), Decimal("4.5"))
    assert position.venue_utc_ns == 1774805155988000000


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("uta_user_order", b'"os":5', b'"os":9'),
        ("uta_user_order", b'"SELL"', b'"HOLD"'),
        ("uta_user_order", b'"U":1774794309608959200', b'"U":1'),
        ("uta_user_execution", b'"q":"0.00001"', b'"q":"0"'),
        ("uta_user_execution", b'"BUY"', b'"HOLD"'),
        ("uta_user_balance", b'"89.9930439507"', b'"NaN"'),
        ("uta_user_position", b'"q":"3"', b'"q":""'),
    ],
)
def test_what_must_not_be_skipped_over(
    uni_spot: KucoinUnifiedTrading, sample: Sample, name: str, old: bytes, new: bytes
) -> None:
    payload = sample(name).replace(old, new)
    assert payload != sample(name)
    with pytest.raises(ProtocolViolation) as caught:
        private(uni_spot, payload)
    assert caught.value.raw == payload


def test_what_is_not_ours(uni_spot: KucoinUnifiedTrading, sample: Sample) -> None:
    assert private(uni_spot, sample("uta_user_order").replace(b"XBTUSDTM", b"XYZUSDTM")) == []
    assert private(uni_spot, b'{"T":"leverage.UNIFIED","P":1,"d":{}}') == []
    assert private(uni_spot, b"{}") == []
