"""Amends: only what changes leaves; acknowledgements prove no terms, the orders channel does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from engine.model.errors import UsageError
from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import (
    AmendOrder,
    ExecutionReport,
    OrderAck,
    OrderState,
    Outcome,
    RejectReason,
    VenueError,
)
from engine.venues.base import Amending, Credentials, Renaming, Secret
from engine.venues.okx.adapter import OkxTrading
from engine.venues.okx.endpoints import LIVE
from tests.unit.venues.adapter_rig import Sample

STAMP = 1795442321924
KEYS = Credentials(Secret("key-1"), Secret("secret-1"), Secret("pass-1"))


@pytest.fixture
def perp(known: dict[str, Instrument]) -> OkxTrading:
    return OkxTrading(Product.PERP, LIVE[Product.PERP], KEYS, known)


def amend(instrument: Instrument, **changes: Any) -> AmendOrder:
    """Return an amend of 0.005 at 91000.1 to 0.007 at 91000.2."""
    values: dict[str, Any] = {
        "venue": "okx",
        "universal": instrument.universal,
        "client_order_id": "a1",
        "venue_order_id": "312269865356374016",
        "side": Side.BUY,
        "qty": instrument.scale_qty(Decimal("0.007")),
        "price": instrument.scale_price(Decimal("91000.2")),
        "known_qty": instrument.scale_qty(Decimal("0.005")),
        "known_price": instrument.scale_price(Decimal("91000.1")),
    }
    return AmendOrder(**(values | changes))


def test_orders_keep_their_ids(perp: OkxTrading) -> None:
    assert isinstance(perp, Amending)
    assert not isinstance(perp, Renaming)


@pytest.mark.parametrize(
    ("same", "fields"),
    [
        ((), {"newSz": "0.7", "newPx": "91000.2"}),
        (("price",), {"newSz": "0.7"}),
        (("qty",), {"newPx": "91000.2"}),
    ],
)
def test_only_what_changes_is_sent(
    perp: OkxTrading, swap: Instrument, same: tuple[str, ...], fields: dict[str, str]
) -> None:
    wish = amend(swap)
    wish = amend(swap, **{name: getattr(wish, f"known_{name}") for name in same})
    request = perp.amend_http(wish, swap, STAMP)
    assert msgspec.json.decode(request.body) == {
        "instId": "BTC-USDT-SWAP", "ordId": "312269865356374016", **fields,
    }  # fmt: skip
    assert (request.method, request.target) == ("POST", "/api/v5/trade/amend-order")
    assert request.headers.decode().endswith(f"expTime: {STAMP + perp.validity_ms}\r\n")
    assert (request.label, request.order_count, request.idempotent) == ("okx.perp.amend", 0, False)
    assert request.weight > 0
    sent = msgspec.json.decode(perp.amend_ws(wish, swap, "a7", STAMP))
    assert sent == {
        "id": "a7", "op": "amend-order", "expTime": str(STAMP + perp.validity_ms),
        "args": [{"instIdCode": swap.number, "ordId": "312269865356374016", **fields}],
    }  # fmt: skip


def test_by_our_id_where_theirs_is_not_known(perp: OkxTrading, swap: Instrument) -> None:
    body = msgspec.json.decode(perp.amend_http(amend(swap, venue_order_id=""), swap, STAMP).body)
    assert body["clOrdId"] == "a1"
    assert "ordId" not in body


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"universal": "ETH/USDT:USDT"}, "the amend is for"),
        ({"qty": 0}, "positive"),
        ({"price": 0}, "positive"),
        ({"venue_order_id": "x"}, "is no venue_order_id"),
        ({"venue_order_id": "", "client_order_id": "a-1"}, "is no client_order_id"),
    ],
)
def test_what_cannot_be_said_is_refused(
    perp: OkxTrading, swap: Instrument, changes: dict[str, Any], part: str
) -> None:
    with pytest.raises(UsageError, match=part):
        perp.amend_http(amend(swap, **changes), swap, STAMP)
    with pytest.raises(UsageError, match=part):
        perp.amend_ws(amend(swap, **changes), swap, "a1", STAMP)


def test_nothing_to_change_is_refused(perp: OkxTrading, swap: Instrument) -> None:
    wish = amend(swap)
    with pytest.raises(UsageError, match="changes nothing"):
        perp.amend_http(amend(swap, qty=wish.known_qty, price=wish.known_price), swap, STAMP)


def test_an_acknowledgement_proves_no_terms(perp: OkxTrading, swap: Instrument, sample: Sample) -> None:
    result = perp.decode_order(swap, 200, sample("http_amend"))
    assert isinstance(result, OrderAck)
    assert (result.client_order_id, result.venue_order_id) == ("a1", "312269865356374016")
    assert (result.qty, result.price, result.side, result.state) == (0, 0, None, OrderState.WORKING)


@pytest.mark.parametrize(
    ("code", "reason"), [("51511", RejectReason.WOULD_TAKE), ("51503", RejectReason.UNKNOWN_ORDER)]
)
def test_refusals(perp: OkxTrading, swap: Instrument, code: str, reason: RejectReason) -> None:
    item = {"clOrdId": "a1", "ordId": "", "sCode": code, "sMsg": "text"}
    body = msgspec.json.encode({"code": "1", "msg": "", "data": [item]})
    result = perp.decode_order(swap, 200, body)
    assert isinstance(result, VenueError)
    assert (result.outcome, result.reason) == (Outcome.REFUSED, reason)


def test_the_orders_channel_tells_what_became_of_it(
    perp: OkxTrading, swap: Instrument, sample: Sample
) -> None:
    def report(name: str) -> ExecutionReport:
        (event,) = perp.decode_private(sample(name), 5, 6)
        assert isinstance(event, ExecutionReport)
        return event

    done = report("user_order_amended")
    assert (done.amended, done.reason) == (True, None)
    assert (swap.qty(done.qty), swap.price(done.price)) == (Decimal("0.007"), Decimal("91000.2"))
    failed = report("user_order_amend_failed")
    assert (failed.amended, failed.reason) == (False, "51511 The order cannot be amended")
    assert (swap.qty(failed.qty), failed.state) == (Decimal("0.005"), OrderState.WORKING)
    assert report("user_order_live").amended is None
