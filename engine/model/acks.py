"""Reads the usual answer to an order request straight from its bytes.

For the ordinary case only, which is nearly every one: whatever is unusual is not read at all, and the
general decoder of the venue, which can say what is wrong, has its turn. It also serves where nothing was
compiled, and it is the oracle: what is read here must equal what it makes of the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from engine.model.market import Side
from engine.model.orders import OrderAck, OrderState


class NoAckReader:
    """Reads flat order objects as acks; this one, without a compiler, reads none.

    Args:
        make: ``OrderAck``. decimal: makes an amount of its text.
        symbol, venue_id, state, side, price, qty, cum_qty: the keys of the fields that must be there.
        client_ids: keys of our id, the preferred one first; the last must be there.
        quotes: keys of the filled amount, the first that is there counts; none may be.
        stamps_ms: keys of the venue's time, the first that is not zero counts; none may be.
        states, sides: the venue's words.
    """

    def __init__(
        self,
        make: type[OrderAck],
        decimal: Callable[[str], Decimal],
        *,
        symbol: str,
        client_ids: Sequence[str],
        venue_id: str,
        state: str,
        states: Mapping[str, OrderState],
        side: str,
        sides: Mapping[str, Side],
        price: str,
        qty: str,
        cum_qty: str,
        quotes: Sequence[str],
        stamps_ms: Sequence[str],
    ) -> None:
        pass

    def read(self, body: bytes, symbol: str, price_scale: int, qty_scale: int) -> OrderAck | None:
        """Return the ack that the body tells; ``None`` for anything unusual.

        Unusual: not one object, a nested value, a field twice, an escape or more than printable ASCII in a
        text, a missing field, an unknown word, another symbol, a number that is not plain or does not fit.
        """
        return None


if TYPE_CHECKING:
    AckReader = NoAckReader
else:
    try:
        from engine.model._acks import AckReader
    except ImportError:
        AckReader = NoAckReader
