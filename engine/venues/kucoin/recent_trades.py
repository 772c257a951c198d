"""The latest prints over REST, to fill what the stream did not bring.

    GET /api/v1/market/histories?symbol=BTC-USDT   {"code":"200000","data":[{"sequence":"10976028003549185",
     "price":"67122","size":"0.000025","side":"buy","time":1729177117877000000}]}
    GET /api/v1/trade/history?symbol=XBTUSDTM      {"code":"200000","data":[{"sequence":1697895100310,
     "tradeId":"1697895100310","takerOrderId":"..","makerOrderId":"..","price":"67003.5","size":36,
     "side":"sell","ts":1729242032152000000}]}

At most 100 rows; their order is not documented, so they are put in order here. A row's id is the stream's:
spot rows may have a ``sequence`` alone, which is the trade id of today's frames. Sizes of futures are lots.

Source: KuCoin API docs, "Get Trade History" (spot and futures), seen 2026-08.
"""

from __future__ import annotations

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Trade
from engine.model.trades import TradeIds, TradeList
from engine.venues.base import HttpRequest
from engine.venues.kucoin.endpoints import VENUE
from engine.venues.kucoin.frames import SIDES
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    Number,
    number,
    number_price_in,
    number_qty_in,
    time_ns,
)
from engine.venues.kucoin.order_entry import plain_text

ROWS = 100
_PATHS = {Product.SPOT: ("/api/v1/market/histories", 3), Product.PERP: ("/api/v1/trade/history", 5)}
"""Path and weight."""


class _Row(msgspec.Struct, gc=False):
    sequence: int | str
    price: Number
    size: Number
    side: str
    tradeId: str = ""  # noqa: N815 - the wire's name
    time: int | str | None = None
    ts: int | str | None = None


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: list[_Row] | None = None
    msg: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)


class KucoinTrades:
    """Reads the classic interface's lists, which need no key; implements ``base.TradeListReader``."""

    ids = TradeIds.UNIQUE
    resolution_ns = 1

    def __init__(self, product: Product) -> None:
        self._product = product

    def request(self, instrument: Instrument) -> HttpRequest:
        """Return the request for the latest 100 prints."""
        path, weight = _PATHS[self._product]
        return HttpRequest(
            method="GET",
            target=f"{path}?symbol={plain_text(instrument.symbol)}",
            label=f"{VENUE}.{self._product.value}.trades",
            weight=weight,
        )

    def decode(self, instrument: Instrument, body: bytes, mono_ns: int, utc_ns: int) -> TradeList:
        """Return the list, oldest first; raises ProtocolViolation."""
        try:
            answer = _ANSWER.decode(body)
            if answer.code != "200000":
                raise ProtocolViolation(f"code {answer.code[:10]} {answer.msg[:200]}")
            trades = [_print(instrument, row, mono_ns, utc_ns) for row in answer.data or []]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"latest trades of {instrument.symbol}: {error}", body) from None
        trades.sort(key=lambda trade: (trade.venue_utc_ns, trade.trade_id))
        return TradeList(trades, len(trades) >= ROWS)


def _print(instrument: Instrument, row: _Row, mono_ns: int, utc_ns: int) -> Trade:
    trade_id = number(row.tradeId if row.tradeId.isdecimal() and len(row.tradeId) < 19 else row.sequence)
    price, qty = number_price_in(row.price, instrument), number_qty_in(row.size, instrument)
    side, stamp = SIDES.get(row.side), row.ts if row.ts is not None else row.time
    if price <= 0 or qty <= 0 or side is None or stamp is None:
        raise ProtocolViolation(f"trade {trade_id} is no trade")
    return Trade(
        instrument.universal, trade_id, price, qty, side, time_ns(stamp), utc_ns, mono_ns,
        is_backfilled=True,
    )  # fmt: skip
