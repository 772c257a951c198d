"""What the tests of every adapter start from: samples, the instruments they list, an order, an amend."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from engine.model.instrument import Instrument, Product
from engine.model.market import Side
from engine.model.orders import AmendOrder, NewOrder, OrderType

GOLDEN = Path(__file__).resolve().parents[2] / "golden"

Sample = Callable[[str], bytes]


class Listed(Protocol):
    """What a venue's decoder of listings returns."""

    @property
    def instruments(self) -> list[Instrument]: ...


def samples(venue: str) -> Sample:
    """Return a reader of a venue's golden samples by name, without the newline at their end."""
    return lambda name: (GOLDEN / venue / f"{name}.json").read_bytes().rstrip(b"\n")


def listed(
    decode_listing: Callable[[Product, bytes], Listed], product: Product, body: bytes
) -> dict[str, Instrument]:
    """Return the instruments of a listing by symbol."""
    return {each.symbol: each for each in decode_listing(product, body).instruments}


def order_on(instrument: Instrument, **changes: Any) -> NewOrder:
    """Return an order to buy 0.005 at 91000.1, unless ``changes`` say otherwise."""
    values: dict[str, Any] = {
        "venue": instrument.venue,
        "universal": instrument.universal,
        "client_order_id": "a1",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "qty": instrument.scale_qty(Decimal("0.005")),
        "price": instrument.scale_price(Decimal("91000.1")),
    }
    return NewOrder(**(values | changes))


def amend_on(instrument: Instrument, **changes: Any) -> AmendOrder:
    """Return an amend of that order to ``changes``' quantity and price."""
    values: dict[str, Any] = {
        "venue": instrument.venue,
        "universal": instrument.universal,
        "client_order_id": "a1",
        "venue_order_id": "",
        "side": Side.BUY,
    }
    return AmendOrder(**(values | changes))


def header_lines(headers: bytes) -> dict[str, str]:
    """Return the headers of a request by name."""
    return dict(line.split(": ", 1) for line in headers.decode().split("\r\n") if line)
