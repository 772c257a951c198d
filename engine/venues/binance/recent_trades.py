"""The latest prints over REST, to fill what the stream did not bring.

    GET …/trades     [{"id":28457,"price":"4.00000100","qty":"12.00000000","time":1499865549590,
                       "isBuyerMaker":true}]
    GET …/aggTrades  [{"a":26129,"p":"0.01633102","q":"4.70443515","T":1498793709153,"m":true}]

Ids are those of the stream, consecutive per symbol: measured on recordings of both products. Frames of kind
``NA`` have ids and are no prints: the list does not have them.

Source: spot REST docs, "Recent trades list"; USD-M docs, "Recent Trades List", "Compressed/Aggregate Trades
List" (2026-05-27).
"""

from __future__ import annotations

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Side, Trade
from engine.model.trades import TradeIds, TradeList
from engine.venues.base import HttpRequest
from engine.venues.binance.endpoints import PATHS, VENUE
from engine.venues.binance.numbers import DECODE_ERRORS, MS, Id, Millis, scaled
from engine.venues.binance.order_entry import url_text

ROWS = 1_000
_WEIGHTS = {
    (Product.SPOT, False): 25,
    (Product.PERP, False): 5,
    (Product.SPOT, True): 4,
    (Product.PERP, True): 20,
}


class _Row(msgspec.Struct, gc=False):
    id: Id
    price: str
    qty: str
    time: Millis
    isBuyerMaker: bool  # noqa: N815 - the wire's name


class _Aggregate(msgspec.Struct, gc=False):
    a: Id
    p: str
    q: str
    T: Millis
    m: bool


_ROWS = msgspec.json.Decoder(list[_Row])
_AGGREGATES = msgspec.json.Decoder(list[_Aggregate])


class BinanceTrades:
    """Reads the list that has the stream's ids; implements ``base.TradeListReader``.

    Args:
        is_aggregate: the stream is ``aggTrade``.
    """

    ids = TradeIds.CONSECUTIVE
    resolution_ns = MS

    def __init__(self, product: Product, is_aggregate: bool) -> None:
        self._product = product
        self._is_aggregate = is_aggregate

    def request(self, instrument: Instrument) -> HttpRequest:
        """Return the request for the latest 1000 prints."""
        path = "aggTrades" if self._is_aggregate else "trades"
        return HttpRequest(
            method="GET",
            target=f"{PATHS[self._product]}/{path}?symbol={url_text(instrument.symbol)}&limit={ROWS}",
            label=f"{VENUE}.{self._product.value}.trades",
            weight=_WEIGHTS[self._product, self._is_aggregate],
        )

    def decode(self, instrument: Instrument, body: bytes, mono_ns: int, utc_ns: int) -> TradeList:
        """Return the list, oldest first; raises ProtocolViolation."""
        try:
            if self._is_aggregate:
                rows = [(row.a, row.p, row.q, row.T, row.m) for row in _AGGREGATES.decode(body)]
            else:
                rows = [
                    (row.id, row.price, row.qty, row.time, row.isBuyerMaker) for row in _ROWS.decode(body)
                ]
            trades = [_print(instrument, *row, mono_ns, utc_ns) for row in rows]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"latest trades of {instrument.symbol}: {error}", body) from None
        return TradeList(sorted(trades, key=lambda trade: trade.trade_id), len(rows) >= ROWS)


def _print(
    instrument: Instrument,
    trade_id: int,
    price_text: str,
    qty_text: str,
    time_ms: int,
    is_buyer_maker: bool,
    mono_ns: int,
    utc_ns: int,
) -> Trade:
    price, qty = scaled(price_text, instrument.price_scale), scaled(qty_text, instrument.qty_scale)
    if price <= 0 or qty <= 0:
        raise ProtocolViolation(f"trade {trade_id} is not positive")
    aggressor = Side.SELL if is_buyer_maker else Side.BUY
    return Trade(
        instrument.universal, trade_id, price, qty, aggressor, time_ms * MS, utc_ns, mono_ns,
        is_backfilled=True,
    )  # fmt: skip
