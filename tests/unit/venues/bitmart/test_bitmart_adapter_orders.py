"""Orders out and answers in, queries that need two questions, and the account's reads."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest

from engine.model.account import Balance, Position
from engine.model.errors import ConfigError, NotSent, UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    NewOrder,
    OrderAck,
    OrderState,
    OrderType,
    Outcome,
    RejectReason,
    TimeInForce,
    VenueError,
)
from engine.router.order import Change, Order
from engine.venues.base import Amending, Continued, Credentials, HttpRequest, Secret, TradingAdapter
from engine.venues.bitmart.adapter import BitmartTrading
from engine.venues.bitmart.endpoints import LIVE, rest_budgets
from tests.unit.venues.adapter_rig import Sample, header_lines, order_on

STAMP = 1795442321924
KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("memo-1"))


@pytest.fixture
def spot(known: dict[str, Instrument]) -> BitmartTrading:
    return BitmartTrading(Product.SPOT, LIVE[Product.SPOT], KEYS, known)


@pytest.fixture
def perp(known: dict[str, Instrument]) -> BitmartTrading:
    return BitmartTrading(Product.PERP, LIVE[Product.PERP], KEYS, known)


def order(instrument: Instrument, **changes: Any) -> NewOrder:
    return order_on(instrument, **{"client_order_id": "te11"} | changes)


def sent(request: HttpRequest) -> dict[str, str]:
    return header_lines(request.headers)


def body(request: HttpRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body)
    return found


def query(request: HttpRequest) -> dict[str, str]:
    return dict(parse_qsl(request.target.partition("?")[2]))


# ------------------------------------------------------------------------------------------ places


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, {"type": "limit", "price": "91000.1"}),
        ({"side": Side.SELL}, {"side": "sell", "type": "limit", "price": "91000.1"}),
        ({"time_in_force": TimeInForce.IOC}, {"type": "ioc", "price": "91000.1"}),
        ({"post_only": True}, {"type": "limit_maker", "price": "91000.1"}),
        ({"side": Side.SELL, "order_type": OrderType.MARKET, "price": 0}, {"side": "sell", "type": "market"}),
    ],
)
def test_spot_places(
    spot: BitmartTrading, btc: Instrument, changes: dict[str, Any], words: dict[str, str]
) -> None:
    request = spot.place_http(order(btc, **changes), btc, STAMP)
    assert (request.method, request.target, request.idempotent) == ("POST", "/spot/v2/submit_order", False)
    base = {"symbol": "BTC_USDT", "side": "buy", "client_order_id": "te11", "size": "0.005"}
    assert body(request) == base | words
    assert set(sent(request)) == {"X-BM-KEY", "X-BM-TIMESTAMP", "X-BM-SIGN"}
    assert sent(request)["X-BM-TIMESTAMP"] == str(STAMP)
    assert request.content_type == "application/json"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, {"side": 1, "type": "limit", "mode": 1, "price": "91000.1"}),
        ({"side": Side.SELL}, {"side": 4, "type": "limit", "mode": 1, "price": "91000.1"}),
        ({"reduce_only": True}, {"side": 2, "type": "limit", "mode": 1, "price": "91000.1"}),
        (
            {"side": Side.SELL, "reduce_only": True},
            {"side": 3, "type": "limit", "mode": 1, "price": "91000.1"},
        ),
        ({"time_in_force": TimeInForce.FOK}, {"side": 1, "type": "limit", "mode": 2, "price": "91000.1"}),
        ({"time_in_force": TimeInForce.IOC}, {"side": 1, "type": "limit", "mode": 3, "price": "91000.1"}),
        ({"post_only": True}, {"side": 1, "type": "limit", "mode": 4, "price": "91000.1"}),
        ({"order_type": OrderType.MARKET, "price": 0}, {"side": 1, "type": "market"}),
    ],
)
def test_futures_places(
    perp: BitmartTrading, swap: Instrument, changes: dict[str, Any], words: dict[str, Any]
) -> None:
    request = perp.place_http(order(swap, **changes), swap, STAMP)
    assert (request.method, request.target) == ("POST", "/contract/private/submit-order")
    base: dict[str, Any] = {"symbol": "BTCUSDT", "client_order_id": "te11", "size": 5}
    if words["side"] in (1, 4):
        base |= {"leverage": "1", "open_type": "cross"}
    assert body(request) == base | words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"qty": 0}, "qty must be positive"),
        ({"price": 0}, "needs a positive price"),
        ({"order_type": OrderType.MARKET}, "a market order has no price"),
        ({"order_type": OrderType.MARKET, "price": 0, "post_only": True}, "only a limit order"),
        ({"post_only": True, "time_in_force": TimeInForce.IOC}, "must be GTC"),
        ({"universal": "ETH/USDT"}, "the order is for ETH/USDT"),
        ({"client_order_id": "te-1"}, "letters and digits"),
        ({"client_order_id": "x" * 33}, "letters and digits"),
        ({"client_order_id": ""}, "letters and digits"),
    ],
)
def test_orders_that_cannot_be_said(
    trading: BitmartTrading, btc: Instrument, swap: Instrument, changes: dict[str, Any], words: str
) -> None:
    one = btc if trading.product is Product.SPOT else swap
    with pytest.raises(UsageError, match=words):
        trading.place_http(order(one, **changes), one, STAMP)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reduce_only": True}, "no reduce-only"),
        ({"time_in_force": TimeInForce.FOK}, "no FOK"),
        ({"order_type": OrderType.MARKET, "price": 0}, "a market buy is an amount of quote"),
    ],
)
def test_what_spot_lacks(spot: BitmartTrading, btc: Instrument, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        spot.place_http(order(btc, **changes), btc, STAMP)


def test_parts_of_contracts_are_refused(perp: BitmartTrading, swap: Instrument) -> None:
    with pytest.raises(UsageError, match="no exact number of contracts"):
        perp.place_http(order(swap, qty=swap.lot_size + 1), swap, STAMP)


def test_orders_name_leverage_and_margin_as_the_account_has_them(
    perp: BitmartTrading, swap: Instrument, sample: Sample
) -> None:
    perp.decode_positions(200, sample("http_positions"))
    assert body(perp.place_http(order(swap), swap, STAMP))["leverage"] == "5"
    perp.decode_private(sample("user_order_perp").replace(b'"leverage":"5"', b'"leverage":"20"'), 1, 2)
    placed = body(perp.place_http(order(swap), swap, STAMP))
    assert (placed["leverage"], placed["open_type"]) == ("20", "isolated")


def test_amends(perp: BitmartTrading, spot: BitmartTrading, swap: Instrument, btc: Instrument) -> None:
    assert isinstance(perp, Amending)
    wish = AmendOrder(
        venue="bitmart", universal=swap.universal, client_order_id="te11", venue_order_id="220609666322019",
        side=Side.BUY, qty=swap.scale_qty(Decimal("0.007")), price=swap.scale_price(Decimal(90_000)),
    )  # fmt: skip
    request = perp.amend_http(wish, swap, STAMP)
    assert request.target == "/contract/private/modify-limit-order"
    assert body(request) == {"symbol": "BTCUSDT", "order_id": 220609666322019, "price": "90000", "size": 7}
    assert not request.idempotent
    nameless = AmendOrder(
        venue="bitmart", universal=swap.universal, client_order_id="te11", venue_order_id="", side=Side.BUY,
        qty=swap.lot_size, price=swap.tick_size,
    )  # fmt: skip
    assert body(perp.amend_http(nameless, swap, STAMP))["client_order_id"] == "te11"
    with pytest.raises(UsageError, match="spot does not amend"):
        spot.amend_http(wish, btc, STAMP)
    with pytest.raises(UsageError, match="the amend is for"):
        perp.amend_http(wish, btc, STAMP)
    with pytest.raises(UsageError, match="REST alone"):
        perp.amend_ws(wish, swap, "1", STAMP)


# ----------------------------------------------------------------------------------------- cancels


def test_a_cancel_always_names_its_order(trading: BitmartTrading, btc: Instrument, swap: Instrument) -> None:
    """Without an id the futures would cancel every order of the symbol."""
    one = btc if trading.product is Product.SPOT else swap
    by_id = body(trading.cancel_http(one, "te11", "220906179895578", STAMP))
    assert by_id == {"symbol": one.symbol, "order_id": "220906179895578"}
    assert body(trading.cancel_http(one, "te11", None, STAMP)) == {
        "symbol": one.symbol,
        "client_order_id": "te11",
    }
    for client_id, venue_id in (("", None), ("", ""), ("te-11", None), ("te11", "x"), ("te11", "1" * 25)):
        with pytest.raises(UsageError):
            trading.cancel_http(one, client_id, venue_id, STAMP)


def test_cancel_all(spot: BitmartTrading, perp: BitmartTrading, btc: Instrument, swap: Instrument,
                    sample: Sample) -> None:  # fmt: skip
    request = spot.cancel_all_http(btc, STAMP)
    assert (request.target, body(request)) == ("/spot/v4/cancel_all", {"symbol": "BTC_USDT"})
    request = perp.cancel_all_http(swap, STAMP)
    assert (request.target, body(request)) == ("/contract/private/cancel-orders", {"symbol": "BTCUSDT"})
    assert spot.decode_orders(200, sample("http_cancel_all_spot")) == []
    assert perp.decode_orders(200, sample("http_cancel_perp")) == []


# ----------------------------------------------------------------------------------------- answers


def test_places_are_answered_with_an_id_alone(
    spot: BitmartTrading, perp: BitmartTrading, btc: Instrument, swap: Instrument, sample: Sample
) -> None:
    ack = spot.decode_order(btc, 200, sample("http_place_spot"))
    assert isinstance(ack, OrderAck)
    assert (ack.venue_order_id, ack.state, ack.side, ack.qty) == ("1223181", OrderState.WORKING, None, 0)
    ack = perp.decode_order(swap, 200, sample("http_place_perp"))
    assert isinstance(ack, OrderAck)
    assert ack.venue_order_id == "23456789012345678"  # beyond 2**53
    ack = perp.decode_order(swap, 200, sample("http_amend_perp"))
    assert isinstance(ack, OrderAck)
    assert (ack.venue_order_id, ack.client_order_id) == ("220609666322019", "te11")


@pytest.mark.parametrize("name", ["http_cancel_spot", "http_cancel_perp"])
def test_cancels_are_answered_with_nothing(
    name: str, spot: BitmartTrading, perp: BitmartTrading, btc: Instrument, swap: Instrument, sample: Sample
) -> None:
    trading, one = (spot, btc) if name.endswith("spot") else (perp, swap)
    ack = trading.decode_order(one, 200, sample(name))
    assert isinstance(ack, OrderAck)
    assert (ack.venue_order_id, ack.client_order_id, ack.state) == ("", "", OrderState.WORKING)
    mine = Order(order(one), 1)
    mine.on_ack(ack_with(ack, "77"))
    mine.move(OrderState.PENDING_CANCEL)
    assert mine.on_ack(ack) is Change.NOTHING  # a confirmation without a name is no contradiction
    assert (mine.venue_order_id, mine.state, mine.contradictions) == ("77", OrderState.PENDING_CANCEL, 0)


def ack_with(ack: OrderAck, venue_order_id: str) -> OrderAck:
    return msgspec.structs.replace(ack, venue_order_id=venue_order_id)


@pytest.mark.parametrize(
    "text",
    ['{"code":1000,"data":{"result":false}}', '{"code":1000,"data":{}}', '{"code":1000,"data":"x"}',
     '{"code":1000}', "<html>", '{"data":{"order_id":"1"}}', '{"code":1000,"data":[]}'],
)  # fmt: skip
def test_answers_that_say_nothing_prove_nothing(spot: BitmartTrading, btc: Instrument, text: str) -> None:
    answer = spot.decode_order(btc, 200, text.encode())
    assert isinstance(answer, VenueError)
    assert answer.outcome is Outcome.UNKNOWN


def test_orders_as_queries_tell_them(
    spot: BitmartTrading, perp: BitmartTrading, btc: Instrument, swap: Instrument, sample: Sample
) -> None:
    ack = spot.decode_order(btc, 200, sample("http_order_spot"))
    assert ack == OrderAck(
        client_order_id="te11", venue_order_id="118100034543076010", state=OrderState.WORKING,
        price=btc.scale_price(Decimal(48_800)), qty=btc.scale_qty(Decimal("0.1")),
        cum_qty=btc.scale_qty(Decimal("0.04")), cum_quote=Decimal("1599.96"), side=Side.BUY,
        venue_utc_ns=1681701559408000000,
    )  # fmt: skip
    ack = perp.decode_order(swap, 200, sample("http_order_perp"))
    assert ack == OrderAck(
        client_order_id="te11", venue_order_id="220906179895578", state=OrderState.CANCELLED,
        price=swap.scale_price(Decimal("25637.2")), qty=swap.scale_qty(Decimal(1)),
        cum_qty=swap.scale_qty(Decimal("0.3")), cum_quote=Decimal("7691.13"), side=Side.BUY,
        venue_utc_ns=1662368173000000000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "done", "expected"),
    [(1, "0", OrderState.WORKING), (2, "300", OrderState.WORKING), (4, "0", OrderState.CANCELLED),
     (4, "999", OrderState.CANCELLED), (4, "1000", OrderState.FILLED)],
)  # fmt: skip
def test_closed_is_two_things(
    perp: BitmartTrading, swap: Instrument, sample: Sample, state: int, done: str, expected: OrderState
) -> None:
    row = json.loads(sample("http_order_perp"))
    row["data"] |= {"state": state, "deal_size": done}
    ack = perp.decode_order(swap, 200, json.dumps(row).encode())
    assert isinstance(ack, OrderAck)
    assert ack.state is expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("new", OrderState.WORKING), ("partially_filled", OrderState.WORKING), ("filled", OrderState.FILLED),
     ("canceled", OrderState.CANCELLED), ("partially_canceled", OrderState.CANCELLED),
     ("failed", OrderState.EXPIRED)],
)  # fmt: skip
def test_spot_states(
    spot: BitmartTrading, btc: Instrument, sample: Sample, word: str, expected: OrderState
) -> None:
    row = json.loads(sample("http_order_spot"))
    row["data"]["state"] = word
    ack = spot.decode_order(btc, 200, json.dumps(row).encode())
    assert isinstance(ack, OrderAck)
    assert ack.state is expected


@pytest.mark.parametrize("changes", [{"state": 3}, {"side": 5}, {"symbol": "ETHUSDT"}, {"order_id": "x"}])
def test_rows_that_cannot_be_meant(
    perp: BitmartTrading, swap: Instrument, sample: Sample, changes: dict[str, Any]
) -> None:
    row = json.loads(sample("http_order_perp"))
    row["data"] |= changes
    answer = perp.decode_order(swap, 200, json.dumps(row).encode())
    assert isinstance(answer, VenueError)
    assert answer.outcome is Outcome.UNKNOWN


def test_open_orders(spot: BitmartTrading, perp: BitmartTrading, sample: Sample) -> None:
    acks = spot.decode_orders(200, sample("http_orders_spot"))
    assert isinstance(acks, list)
    assert [(ack.client_order_id, ack.side) for ack in acks] == [
        ("te11", Side.BUY),
        ("118100034543076011", Side.SELL),  # none was given: the venue repeats its own id
    ]
    acks = perp.decode_orders(200, sample("http_orders_perp"))
    assert isinstance(acks, list)
    assert [(ack.client_order_id, ack.side, ack.cum_qty > 0) for ack in acks] == [
        ("te11", Side.BUY, False),
        ("te12", Side.SELL, True),
    ]


def test_a_full_page_of_open_orders_is_half_a_list(spot: BitmartTrading, perp: BitmartTrading,
                                                   sample: Sample) -> None:  # fmt: skip
    for trading, name, size in ((spot, "http_orders_spot", 200), (perp, "http_orders_perp", 100)):
        page = json.loads(sample(name))
        page["data"] = page["data"][:1] * size
        answer = trading.decode_orders(200, json.dumps(page).encode())
        assert isinstance(answer, VenueError)
        assert answer.outcome is Outcome.UNKNOWN
        page["data"] = page["data"][1:]
        assert len(trading.decode_orders(200, json.dumps(page).encode())) == size - 1  # type: ignore[arg-type]


def test_lists_that_are_none(trading: BitmartTrading) -> None:
    for text in ('{"code":1000,"data":{"orders":[]}}', '{"code":1000,"data":[1]}', "<html>"):
        answer = trading.decode_orders(200, text.encode())
        assert isinstance(answer, VenueError)
    assert isinstance(trading.decode_orders(503, b"{}"), VenueError)


# ----------------------------------------------------------------------------------------- queries


def test_spot_is_asked_for_open_orders_first_and_finished_ones_second(
    spot: BitmartTrading, btc: Instrument, sample: Sample
) -> None:
    assert isinstance(spot, Continued)
    first = spot.query_http(btc, "te11", None, STAMP)
    assert first.target == "/spot/v4/query/client-order"
    assert body(first) == {"clientOrderId": "te11", "queryState": "open"}
    assert spot.continuation(first, 200, sample("http_order_spot"), STAMP) is None
    for status, answer in (
        (400, sample("http_unknown_spot")),
        (200, sample("http_unknown_spot")),
        (200, b'{"code":1000,"message":"OK","data":null}'),
        (200, b'{"code":1000,"message":"OK","data":{}}'),
    ):
        second = spot.continuation(first, status, answer, STAMP + 9)
        assert second is not None
        assert second.target == first.target
        assert body(second) == {"clientOrderId": "te11", "queryState": "history"}
        assert sent(second)["X-BM-TIMESTAMP"] == str(STAMP + 9)
        assert spot.continuation(second, status, answer, STAMP) is None
        final = spot.decode_order(btc, status, answer)
        assert isinstance(final, VenueError)
    for status, answer in ((503, b"<html>"), (400, b'{"code":40012}'), (200, b"<html>"), (429, b"")):
        assert spot.continuation(first, status, answer, STAMP) is None
    by_id = spot.query_http(btc, "te11", "118100034543076010", STAMP)
    assert by_id.target == "/spot/v4/query/order"
    assert body(by_id) == {"orderId": "118100034543076010", "queryState": "open"}
    cancel = spot.cancel_http(btc, "te11", None, STAMP)
    assert spot.continuation(cancel, 400, sample("http_unknown_spot"), STAMP) is None


def test_futures_orders_are_asked_for_by_id_in_one_question(
    perp: BitmartTrading, swap: Instrument, sample: Sample
) -> None:
    request = perp.query_http(swap, "te11", "220906179895578", STAMP)
    assert request.target == "/contract/private/order?symbol=BTCUSDT&order_id=220906179895578"
    assert sent(request) == {"X-BM-KEY": "key-1"}
    assert perp.continuation(request, 200, sample("http_order_perp"), STAMP) is None
    assert perp.continuation(request, 400, sample("http_unknown_perp"), STAMP) is None
    answer = perp.decode_order(swap, 400, sample("http_unknown_perp"))
    assert isinstance(answer, VenueError)
    assert answer.reason is RejectReason.UNKNOWN_ORDER


def test_a_futures_order_without_an_id_is_searched(
    perp: BitmartTrading, swap: Instrument, sample: Sample
) -> None:
    perp.place_http(order(swap), swap, STAMP - 500_000)
    first = perp.query_http(swap, "te11", None, STAMP)
    assert first.target.startswith("/contract/private/get-open-orders?")
    found = perp.continuation(first, 200, sample("http_orders_perp"), STAMP)
    assert found is not None
    assert query(found) == {"symbol": "BTCUSDT", "order_id": "220906179895578"}
    nobody = b'{"code":1000,"message":"Ok","data":[]}'
    history = perp.continuation(first, 200, nobody, STAMP)
    assert history is not None
    assert history.target.startswith("/contract/private/order-history?")
    asked = query(history)
    assert asked["client_order_id"] == "te11"
    assert int(asked["start_time"]) <= (STAMP - 500_000) // 1000 - 60
    assert int(asked["end_time"]) > STAMP // 1000
    found = perp.continuation(history, 200, sample("http_orders_perp"), STAMP)
    assert found is not None
    assert query(found)["order_id"] == "220906179895578"
    assert perp.continuation(history, 200, nobody, STAMP) is None
    answer = perp.decode_order(swap, 200, nobody)
    assert isinstance(answer, VenueError)
    assert answer.reason is RejectReason.UNKNOWN_ORDER
    assert answer.outcome is Outcome.UNKNOWN  # were it the answer to a place


def test_a_search_that_may_have_missed_it_proves_nothing(
    perp: BitmartTrading, swap: Instrument, sample: Sample
) -> None:
    first = perp.query_http(swap, "te99", None, STAMP)
    page = json.loads(sample("http_orders_perp"))
    page["data"] = page["data"][:1] * 100
    full = json.dumps(page).encode()
    for status, answer in ((200, full), (503, b"<html>"), (200, b"<html>"), (200, b'{"code":40012}')):
        assert perp.continuation(first, status, answer, STAMP) is None
        result = perp.decode_order(swap, status, answer)
        assert isinstance(result, VenueError)
        assert result.reason is not RejectReason.UNKNOWN_ORDER
    listing = perp.open_orders_http(swap, STAMP)
    assert perp.continuation(listing, 200, sample("http_orders_perp"), STAMP) is None


def test_old_places_are_forgotten_not_kept_for_ever(perp: BitmartTrading, swap: Instrument) -> None:
    for number in range(5_000):
        perp.place_http(order(swap, client_order_id=f"t{number}"), swap, STAMP + number)
    assert len(perp._placed_ms) == 4_096
    assert "t4999" in perp._placed_ms


# ------------------------------------------------------------------------------------ account reads


def test_reads_and_their_budgets(trading: BitmartTrading, btc: Instrument, swap: Instrument) -> None:
    one = btc if trading.product is Product.SPOT else swap
    requests = [
        trading.place_http(order(one), one, STAMP),
        trading.cancel_http(one, "te11", None, STAMP),
        trading.query_http(one, "te11", None, STAMP),
        trading.query_http(one, "te11", "1", STAMP),
        trading.open_orders_http(one, STAMP),
        trading.open_orders_http(None, STAMP),
        trading.cancel_all_http(one, STAMP),
        trading.fills_http(one, None, STAMP),
        trading.balances_http(STAMP),
        trading.positions_http(STAMP),
        trading.account_check_http(STAMP),
    ]
    labels = {rule.name for rule in rest_budgets(trading.product)}
    for request in requests:
        if request is not None:
            assert request.label in labels
            assert ("X-BM-SIGN" in sent(request)) == (request.method == "POST")
            assert "key-1" not in repr(request)
    assert (trading.positions_http(STAMP) is None) == (trading.product is Product.SPOT)
    assert (trading.account_check_http(STAMP) is None) == (trading.product is Product.SPOT)


def test_fills(spot: BitmartTrading, perp: BitmartTrading, btc: Instrument, swap: Instrument,
               sample: Sample) -> None:  # fmt: skip
    window = body(spot.fills_http(btc, None, STAMP))
    assert (window["symbol"], window["orderMode"], window["limit"]) == ("BTC_USDT", "spot", 200)
    assert window["startTime"] < STAMP < window["endTime"]
    asked = query(perp.fills_http(swap, None, STAMP))
    assert int(asked["start_time"]) < STAMP // 1000 < int(asked["end_time"])
    reports = spot.decode_fills(btc, 200, sample("http_fills_spot"))
    assert isinstance(reports, list)
    fills = [report.fill for report in reports]
    assert [(fill.trade_id, fill.fee, fill.fee_asset, fill.is_maker) for fill in fills if fill] == [
        ("122177405911172001", Decimal("0.99995"), "BMX", True),
        ("122177405911172002", Decimal("2.999925"), "USDT", False),
    ]
    reports = perp.decode_fills(swap, 200, sample("http_fills_perp"))
    assert isinstance(reports, list)
    (report,) = reports
    assert report.fill is not None
    assert (report.side, report.fill.qty, report.fill.fee, report.fill.fee_asset, report.fill.is_maker) == (
        Side.SELL, swap.scale_qty(Decimal("0.108")), Decimal("0.41716728"), "USDT", True,
    )  # fmt: skip
    assert spot.decode_fills(btc, 200, b'{"code":1000,"data":null}') == []
    assert isinstance(spot.decode_fills(swap, 200, sample("http_fills_spot")), VenueError)


def test_balances(spot: BitmartTrading, perp: BitmartTrading, sample: Sample) -> None:
    assert spot.balances_http(STAMP).target == "/spot/v1/wallet"
    assert spot.decode_balances(200, sample("http_balances_spot")) == [
        Balance("bitmart", "spot", "BTC", Decimal("1.25"), Decimal("0.1"), None),
        Balance("bitmart", "spot", "USDT", Decimal(1000), Decimal(0), None),
    ]
    assert perp.balances_http(STAMP).target == "/contract/private/assets-detail"
    assert perp.decode_balances(200, sample("http_balances_perp")) == [
        Balance("bitmart", "perp", "USDT", Decimal("900.5"), Decimal("99.5"), None)
    ]


def test_a_one_way_position_is_signed(perp: BitmartTrading, sample: Sample) -> None:
    assert perp.decode_positions(200, sample("http_positions")) == [
        Position("bitmart", "BTC/USDT:USDT", Decimal("-0.899"), Decimal("16700.5"),
                 Decimal("16673.27053207877"), Decimal("24.5"), Decimal(5), Decimal(30_000),
                 1795442321000000000)
    ]  # fmt: skip
    assert perp.decode_positions(200, b'{"code":1000,"data":null}') == []


def test_two_legs_are_one_net_position_with_the_same_result(perp: BitmartTrading, sample: Sample) -> None:
    positions = perp.decode_positions(200, sample("http_positions_hedge"))
    assert isinstance(positions, list)
    (net,) = positions
    assert net.position_qty == Decimal("0.3")
    assert net.entry_price == Decimal(80)
    assert net.unrealised_pnl == 3
    assert net.liquidation_price is None
    at = Decimal(117)  # the result at any price is that of both legs
    legs = Decimal("0.5") * (at - 100) - Decimal("0.2") * (at - 130)
    assert net.position_qty * (at - net.entry_price) == legs


def test_the_position_mode_is_checked(perp: BitmartTrading, sample: Sample) -> None:
    assert perp.decode_account_check(200, sample("http_position_mode")) == ""
    hedge = sample("http_position_mode").replace(b"one_way_mode", b"hedge_mode")
    problem = perp.decode_account_check(200, hedge)
    assert isinstance(problem, str)
    assert "switch it to one-way mode" in problem
    odd = perp.decode_account_check(200, hedge.replace(b"hedge_mode", b"third_mode"))
    assert isinstance(odd, str)
    assert "not known" in odd
    assert isinstance(perp.decode_account_check(503, b""), VenueError)


# ------------------------------------------------------------------------------------- order entry


def test_there_is_no_order_entry_over_websocket(trading: BitmartTrading, btc: Instrument) -> None:
    face: TradingAdapter = trading
    assert LIVE[trading.product].ws_trade is None
    assert face.trade_login("1", STAMP) is None
    assert face.listen_key_request() is None
    assert list(face.decode_trade(b"x", 1, 2)) == []
    with pytest.raises(NotSent, match="REST alone"):
        face.place_ws(order(btc), btc, "1", STAMP)
    with pytest.raises(NotSent, match="REST alone"):
        face.cancel_ws(btc, "te11", None, "1", STAMP)
    with pytest.raises(NotSent, match="REST alone"):
        face.query_ws(btc, "te11", None, "1", STAMP)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (Credentials(Secret(""), Secret("s"), Secret("m")), "API key is empty"),
        (Credentials(Secret("k"), Secret(""), Secret("m")), "secret is empty"),
        (Credentials(Secret("k"), Secret("s"), None), "memo is empty"),
        (Credentials(Secret("k\r\nX: y"), Secret("s"), Secret("m")), "printable ASCII"),
    ],
)
def test_keys_that_cannot_be_used(keys: Credentials, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        BitmartTrading(Product.SPOT, LIVE[Product.SPOT], keys, {})
    assert "s" not in str(caught.value).split()
