"""Request templates: what all orders of one kind share is laid out once, and only the rest is written.

Two implementations of one contract: compiled, and the readable twin here, which serves where nothing could
be compiled.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import TYPE_CHECKING

from engine.model.text import plain

ID_MAX = 128
GAPS_MAX = 8


class Gap(enum.IntEnum):
    """What stands between the constant pieces of a form."""

    CLIENT_ID = 1
    QTY = 2
    PRICE = 3
    STAMP = 4
    """The request's time, ms."""


class PureForm:
    """The text of a request with gaps for what differs from order to order.

    Args:
        pieces: constant bytes, and a ``Gap`` (up to 8) wherever a value goes.
        qty_scale, price_scale: of the instrument whose orders it writes.

    Raises:
        ValueError: impossible scales, or too much of anything.
    """

    __slots__ = ("_pieces", "_scales")

    def __init__(self, pieces: Iterable[bytes | Gap], qty_scale: int, price_scale: int) -> None:
        if not (0 <= qty_scale <= 27 and 0 <= price_scale <= 27):
            raise ValueError(f"no form has the scales {qty_scale} and {price_scale}")
        self._pieces = tuple(pieces)
        if sum(isinstance(piece, Gap) for piece in self._pieces) > GAPS_MAX:
            raise ValueError(f"a form has {GAPS_MAX} gaps at most")
        self._scales = qty_scale, price_scale

    def fill(self, client_id: str, qty: int, price: int, stamp_ms: int) -> bytes:
        """Return the text with its gaps filled: decimals as the shortest exact text, the id as it is.

        Raises:
            ValueError: a negative number, or an id that is too long or no ASCII.
        """
        if not client_id.isascii() or len(client_id) > ID_MAX:
            raise ValueError(f"no form takes the id {client_id[:40]!r}")
        values = {
            Gap.CLIENT_ID: client_id,
            Gap.QTY: plain(qty, self._scales[0]),
            Gap.PRICE: plain(price, self._scales[1]),
            Gap.STAMP: plain(stamp_ms, 0),
        }
        return b"".join(values[piece].encode() if isinstance(piece, Gap) else piece for piece in self._pieces)


if TYPE_CHECKING:
    Form = PureForm
else:
    try:
        from engine.model._forms import Form
    except ImportError:
        Form = PureForm
