"""The latest prints over REST, to fill what the stream did not bring.

    GET /v5/market/recent-trade?category=spot&symbol=BTCUSDT&limit=60
    {"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"execId":"2100000000007764263",
     "symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758",
     "isBlockTrade":false}]}}

Newest first, spot at most 60, linear at most 1000. ``execId`` is the stream's ``i``: a number on spot, a UUID
on linear; nothing says that numbers are consecutive. ``seq`` may span messages and orders nothing inside one.

Source: Bybit v5 API docs, "Get Recent Public Trades", seen 2026-07.
"""

from __future__ import annotations

import urllib.parse

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument, Product
from engine.model.market import Trade
from engine.model.trades import TradeIds, TradeList
from engine.venues.base import HttpRequest
from engine.venues.bybit.endpoints import CATEGORIES, PATH, VENUE
from engine.venues.bybit.frames import SIDES, trade_number
from engine.venues.bybit.numbers import DECODE_ERRORS, MS, price_in, qty_in, time_ns

ROWS = {Product.SPOT: 60, Product.PERP: 1_000}


class _Row(msgspec.Struct, gc=False):
    execId: str  # noqa: N815 - the wire's names
    symbol: str
    price: str
    size: str
    side: str
    time: str
    isBlockTrade: bool = False  # noqa: N815


class _Result(msgspec.Struct, gc=False):
    rows: list[_Row] = msgspec.field(name="list")


class _Answer(msgspec.Struct, gc=False):
    retCode: int  # noqa: N815
    result: msgspec.Raw = msgspec.Raw(b"{}")
    retMsg: str = ""  # noqa: N815


_ANSWER = msgspec.json.Decoder(_Answer)
_RESULT = msgspec.json.Decoder(_Result)


class BybitTrades:
    """Reads ``/v5/market/recent-trade``; implements ``base.TradeListReader``."""

    ids = TradeIds.UNIQUE
    resolution_ns = MS

    def __init__(self, product: Product) -> None:
        self._product = product

    def request(self, instrument: Instrument) -> HttpRequest:
        """Return the request for as many prints as the venue gives."""
        symbol = urllib.parse.quote(instrument.symbol, safe="")
        query = f"category={CATEGORIES[self._product]}&symbol={symbol}&limit={ROWS[self._product]}"
        return HttpRequest(
            method="GET",
            target=f"{PATH}/market/recent-trade?{query}",
            label=f"{VENUE}.{self._product.value}.trades",
        )

    def decode(self, instrument: Instrument, body: bytes, mono_ns: int, utc_ns: int) -> TradeList:
        """Return the list, oldest first; raises ProtocolViolation."""
        try:
            answer = _ANSWER.decode(body)
            if answer.retCode != 0:
                raise ProtocolViolation(f"code {answer.retCode} {answer.retMsg[:200]}")
            rows = _RESULT.decode(answer.result).rows
            trades = [
                _print(instrument, row, mono_ns, utc_ns)
                for row in reversed(rows)
                if not row.isBlockTrade and row.symbol == instrument.symbol
            ]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"latest trades of {instrument.symbol}: {error}", body) from None
        return TradeList(
            sorted(trades, key=lambda trade: trade.venue_utc_ns), len(rows) >= ROWS[self._product]
        )


def _print(instrument: Instrument, row: _Row, mono_ns: int, utc_ns: int) -> Trade:
    price, qty, side = price_in(row.price, instrument), qty_in(row.size, instrument), SIDES.get(row.side)
    if price <= 0 or qty <= 0 or side is None:
        raise ProtocolViolation(f"trade {row.execId[:40]} is no trade")
    return Trade(
        instrument.universal, trade_number(row.execId), price, qty, side, time_ns(row.time), utc_ns,
        mono_ns, is_backfilled=True,
    )  # fmt: skip
