"""What the compiled reader makes of an order's answer is what the general decoder makes of it, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model import acks
from engine.model.errors import ProtocolViolation
from engine.model.instrument import Product
from engine.model.orders import OrderAck
from engine.venues.binance import order_entry
from engine.venues.binance.instruments import decode_listing
from engine.venues.binance.numbers import DECODE_ERRORS
from tests.property.adapter_fuzz import golden

if acks.AckReader is acks.NoAckReader:
    pytest.skip("nothing was compiled", allow_module_level=True)

SAMPLES = golden("binance")
LISTING = decode_listing(Product.SPOT, SAMPLES["http_exchange_info_spot"])
BTC = next(each for each in LISTING.instruments if each.symbol == "BTCUSDT")
USUAL: dict[str, Any] = {
    "symbol": "BTCUSDT", "orderId": 28, "orderListId": -1, "clientOrderId": "te1-1",
    "transactTime": 1_795_478_400_123, "price": "50000.10", "origQty": "0.01250000",
    "executedQty": "0.00100000", "cummulativeQuoteQty": "50.00010000", "status": "PARTIALLY_FILLED",
    "timeInForce": "GTC", "type": "LIMIT", "side": "BUY", "workingTime": 1.5e3, "isWorking": True,
    "note": None,
}  # fmt: skip
TEXTS = st.sampled_from(
    ["", "0", "0.0", "1.", ".5", "-1", "+1", "1e3", "007", "0.00000001", "1" * 31, "9" * 19, "9" * 18,
     "12345678901234567.1", "BTCUSDT", "btcusdt", "NEW", "SELL", "é", 'a"b', "a\\b", "a\nb", " 1", "1 ",
     "1_0", "0." + "1" * 31, "0.123456789", "x" * 70]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-5, 5), st.sampled_from([10**12, 10**13, 10**18, 2**63, 10**30, 1.5, 1e300, True, False])
)
VALUES = st.one_of(TEXTS, NUMBERS, st.none(), st.just({}), st.just([1]), st.just({"price": "1"}))
KEYS = st.sampled_from([*USUAL, "origClientOrderId", "cumQuote", "updateTime", "time", "prices", "Price", ""])


def general(body: bytes) -> OrderAck | None:
    try:
        return order_entry.ack_of(order_entry._ORDER.decode(body), BTC)
    except (*DECODE_ERRORS, ProtocolViolation):
        return None


def usual(body: bytes) -> OrderAck | None:
    return order_entry._USUAL.read(body, BTC.symbol, BTC.price_scale, BTC.qty_scale)


def test_ordinary_answers_are_read() -> None:
    assert usual(json.dumps(USUAL).encode()) == general(json.dumps(USUAL).encode())
    assert usual(json.dumps(USUAL).encode()) is not None
    read = {name for name, body in SAMPLES.items() if usual(body) is not None}
    assert {"http_order_spot_result", "http_cancel_spot", "http_query_spot"} <= read


@settings(max_examples=1_500)
@given(
    changes=st.dictionaries(KEYS, VALUES, max_size=3),
    left_out=st.sets(st.sampled_from(sorted(USUAL)), max_size=2),
    order=st.randoms(use_true_random=False),
    style=st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]),
)
def test_unusual_answers_are_read_alike_or_not_at_all(
    changes: dict[str, Any], left_out: set[str], order: Any, style: tuple[str, str]
) -> None:
    row = {**USUAL, **changes}
    keys = [key for key in row if key not in left_out]
    order.shuffle(keys)
    body = json.dumps({key: row[key] for key in keys}, separators=style, ensure_ascii=False).encode()
    ack = usual(body)
    assert ack is None or ack == general(body)


@settings(max_examples=1_500)
@given(data=st.data())
def test_damaged_bytes_are_read_alike_or_not_at_all(data: st.DataObject) -> None:
    body = bytearray(json.dumps(USUAL, separators=(",", ":")).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert", "end", "twice"]))
        if kind == "set":
            body[at] = data.draw(st.one_of(st.sampled_from(b'{}[]",:.-e019tn \\'), st.integers(0, 255)))
        elif kind == "cut":
            del body[at]
        elif kind == "insert":
            body.insert(at, data.draw(st.sampled_from(b'{}[]",:.-e019tn \\')))
        elif kind == "end":
            del body[at:]
        else:
            body[at:at] = body[at : at + 20]
        if not body:
            return
    ack = usual(bytes(body))
    assert ack is None or ack == general(bytes(body))
