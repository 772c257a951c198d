"""Amends: what leaves for each product, to the byte, what is refused here, what answers and reports say."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from engine.model.errors import UsageError
from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.model.orders import AmendOrder, ExecutionReport, OrderAck, OrderState, Outcome, VenueError
from engine.venues.base import Amending, HttpRequest, Renaming, WsReply
from engine.venues.binance.adapter import BinanceTrading

Golden = Callable[[str], bytes]
STAMP = 1795478400000
PRICE = 6_112_522_000_000


def amend(**changes: Any) -> AmendOrder:
    values: dict[str, Any] = {
        "venue": "binance",
        "universal": "BTC/USDT",
        "client_order_id": "te1-1",
        "venue_order_id": "33",
        "side": Side.SELL,
        "qty": 500_000,
        "price": PRICE,
        "known_qty": 700_000,
        "known_price": PRICE,
    }
    return AmendOrder(**(values | changes))


def perp_amend(**changes: Any) -> AmendOrder:
    return amend(**({"universal": "BTC/USDT:USDT", "qty": 6_000_000, "price": 6_000_010_000_000} | changes))


def signed(secret: str, query: str) -> bytes:
    payload = f"timestamp={STAMP}&{query}&recvWindow=2000"
    signature = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return f"{payload}&signature={signature}".encode()


def test_orders_keep_their_ids(spot: BinanceTrading, perp: BinanceTrading) -> None:
    for adapter in (spot, perp):
        assert isinstance(adapter, Amending)
        assert not isinstance(adapter, Renaming)


@pytest.mark.parametrize(
    ("venue_order_id", "target"),
    [("33", "orderId=33"), ("", "origClientOrderId=te1-1")],
    ids=["theirs", "ours"],
)
def test_spot_rest(
    spot: BinanceTrading, spot_known: dict[str, Instrument], venue_order_id: str, target: str
) -> None:
    request = spot.amend_http(amend(venue_order_id=venue_order_id), spot_known["BTCUSDT"], STAMP)
    query = f"symbol=BTCUSDT&{target}&newQty=0.005&newClientOrderId=te1-1"
    assert request == HttpRequest(
        method="PUT", target="/api/v3/order/amend/keepPriority", label="binance.spot.amend",
        headers=b"X-MBX-APIKEY: spotkey\r\n", body=signed("spotsecret", query), weight=4, order_count=0,
        idempotent=False,
    )  # fmt: skip


def test_perp_rest(perp: BinanceTrading, perp_known: dict[str, Instrument]) -> None:
    request = perp.amend_http(perp_amend(), perp_known["BTCUSDT"], STAMP)
    query = "symbol=BTCUSDT&orderId=33&side=SELL&quantity=0.06&price=60000.1"
    assert request == HttpRequest(
        method="PUT", target="/fapi/v1/order", label="binance.perp.amend",
        headers=b"X-MBX-APIKEY: perpkey\r\n", body=signed("perpsecret", query), weight=1, order_count=1,
        idempotent=False,
    )  # fmt: skip


def test_spot_websocket(spot: BinanceTrading, spot_known: dict[str, Instrument]) -> None:
    sent = msgspec.json.decode(spot.amend_ws(amend(), spot_known["BTCUSDT"], "a1", STAMP))
    assert (sent["id"], sent["method"]) == ("a1", "order.amend.keepPriority")
    params = sent["params"]
    assert len(params.pop("signature")) == 64
    assert params == {
        "symbol": "BTCUSDT", "orderId": 33, "newQty": "0.005", "newClientOrderId": "te1-1",
        "recvWindow": 2000, "timestamp": STAMP, "apiKey": "spotkey",
    }  # fmt: skip


def test_perp_websocket(perp: BinanceTrading, perp_known: dict[str, Instrument]) -> None:
    perp.set_logged_on(True)
    wish = perp_amend(venue_order_id="")
    sent = msgspec.json.decode(perp.amend_ws(wish, perp_known["BTCUSDT"], "a1", STAMP))
    assert sent == {
        "id": "a1", "method": "order.modify",
        "params": {"symbol": "BTCUSDT", "origClientOrderId": "te1-1", "side": "SELL", "quantity": "0.06",
                   "price": "60000.1", "recvWindow": 2000, "timestamp": STAMP},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"price": PRICE + 1_000_000}, "keep their price"),
        ({"known_price": 0}, "keep their price"),
        ({"qty": 700_000}, "changes nothing"),
        ({"qty": 700_001}, "only be made smaller"),
        ({"qty": 800_000}, "only be made smaller"),
        ({"qty": 0}, "positive"),
        ({"universal": "ETH/USDT"}, "the amend is for ETH/USDT"),
        ({"venue_order_id": "x1"}, "is not a venue id"),
        ({"venue_order_id": "", "client_order_id": ""}, "is named by"),
    ],
)
def test_spot_refuses_what_the_venue_does_not_do(
    spot: BinanceTrading, spot_known: dict[str, Instrument], changes: dict[str, Any], part: str
) -> None:
    for encode in (
        lambda: spot.amend_http(amend(**changes), spot_known["BTCUSDT"], STAMP),
        lambda: spot.amend_ws(amend(**changes), spot_known["BTCUSDT"], "a1", STAMP),
    ):
        with pytest.raises(UsageError, match=part):
            encode()


def test_perp_takes_larger_quantities_and_other_prices(
    perp: BinanceTrading, perp_known: dict[str, Instrument]
) -> None:
    instrument = perp_known["BTCUSDT"]
    assert (
        b"quantity=0.9&price=1000"
        in perp.amend_http(perp_amend(qty=90_000_000, price=10**11), instrument, STAMP).body
    )
    with pytest.raises(UsageError, match="positive"):
        perp.amend_http(perp_amend(price=0), instrument, STAMP)


def spot_ack() -> OrderAck:
    return OrderAck(
        client_order_id="te1-1", venue_order_id="33", state=OrderState.WORKING, price=PRICE, qty=500_000,
        cum_qty=200_000, cum_quote=D("122.25044"), side=Side.SELL, venue_utc_ns=1741926410255_000_000,
    )  # fmt: skip


def test_spot_answers(spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden) -> None:
    body = golden("http_amend_spot")
    assert spot.decode_order(spot_known["BTCUSDT"], 200, body) == spot_ack()
    reply = b'{"id":"a1","status":200,"result":' + body + b',"rateLimits":[]}'
    assert spot.decode_trade(reply, 1, 2) == (WsReply("a1", spot_ack()),)


def test_a_spot_answer_that_cannot_be_read_proves_nothing(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden
) -> None:
    body = golden("http_amend_spot")
    for broken in (
        body.replace(b'"qty":"0.00500000",', b""),
        body.replace(b"BTCUSDT", b"ETHUSDT"),
        body.replace(b'"PARTIALLY_FILLED"', b'"WHATEVER"'),
        body.replace(b'"transactTime":1741926410255,', b""),
    ):
        result = spot.decode_order(spot_known["BTCUSDT"], 200, broken)
        assert isinstance(result, VenueError)
        assert result.outcome is Outcome.UNKNOWN


def test_an_amend_below_what_was_filled_ends_the_order(
    spot: BinanceTrading, spot_known: dict[str, Instrument], golden: Golden
) -> None:
    body = golden("http_amend_spot").replace(b'"PARTIALLY_FILLED"', b'"EXPIRED"')
    result = spot.decode_order(spot_known["BTCUSDT"], 200, body)
    assert isinstance(result, OrderAck)
    assert (result.state, result.cum_qty) == (OrderState.EXPIRED, 200_000)


def test_perp_answer(perp: BinanceTrading, perp_known: dict[str, Instrument], golden: Golden) -> None:
    result = perp.decode_order(perp_known["BTCUSDT"], 200, golden("http_amend_perp"))
    assert isinstance(result, OrderAck)
    assert (result.qty, result.price, result.state) == (6_000_000, 6_000_010_000_000, OrderState.WORKING)
    assert result.venue_utc_ns == 1629182711600_000_000


def test_reports_name_the_amend(spot: BinanceTrading, perp: BinanceTrading, golden: Golden) -> None:
    (amended,) = spot.decode_private(golden("user_spot_amended"), 5, 6)
    assert isinstance(amended, ExecutionReport)
    assert (amended.amended, amended.qty, amended.state) == (True, 500_000, OrderState.WORKING)
    assert amended.client_order_id == "te1-1"
    (moved,) = perp.decode_private(golden("user_perp_amended"), 5, 6)
    assert isinstance(moved, ExecutionReport)
    assert (moved.amended, moved.qty, moved.price) == (True, 20_000_000, 6_000_010_000_000)
    (new,) = perp.decode_private(golden("user_perp_new"), 5, 6)
    assert isinstance(new, ExecutionReport)
    assert new.amended is None
