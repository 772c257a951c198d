"""The latest prints over REST, to fill what the stream did not bring.

    GET /api/v5/market/trades?instId=BTC-USDT&limit=500
    {"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.00001","source":"0","px":"29963.2",
     "tradeId":"242720720","ts":"1654161646974"}]}

Newest first, one row a match, where the stream tells the matches of one taker at one price as one (``count``
ids that end in ``tradeId``). Ids are consecutive per instrument: measured on a recording of 2022-05-13, 68 of
68; an id that the list leaves out is no print.

Source: OKX v5 API docs, "Get trades", "WS / Trades channel", seen 2026-08.
"""

from __future__ import annotations

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.instrument import Instrument
from engine.model.market import Trade
from engine.model.trades import TradeIds, TradeList
from engine.venues.base import HttpRequest
from engine.venues.okx.endpoints import PATH, VENUE, weight_of
from engine.venues.okx.frames import SIDES
from engine.venues.okx.numbers import DECODE_ERRORS, MS, number, price_in, qty_in, time_ns
from engine.venues.okx.order_entry import url_text

ROWS = 500
_PER_WINDOW = 100
"""Requests in 2 s."""


class _Row(msgspec.Struct, gc=False):
    tradeId: str  # noqa: N815 - the wire's name
    px: str
    sz: str
    side: str
    ts: str


class _Answer(msgspec.Struct, gc=False):
    code: str
    data: list[_Row]
    msg: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)


class OkxTrades:
    """Reads ``/market/trades``; implements ``base.TradeListReader``."""

    ids = TradeIds.CONSECUTIVE
    resolution_ns = MS

    def __init__(self, headers: bytes) -> None:
        self._headers = headers

    def request(self, instrument: Instrument) -> HttpRequest:
        """Return the request for the latest 500 prints."""
        return HttpRequest(
            method="GET",
            target=f"{PATH}/market/trades?instId={url_text(instrument.symbol)}&limit={ROWS}",
            label=f"{VENUE}.{instrument.product.value}.trades",
            headers=self._headers,
            weight=weight_of(_PER_WINDOW),
        )

    def decode(self, instrument: Instrument, body: bytes, mono_ns: int, utc_ns: int) -> TradeList:
        """Return the list, oldest first; raises ProtocolViolation."""
        try:
            answer = _ANSWER.decode(body)
            if answer.code != "0":
                raise ProtocolViolation(f"code {answer.code[:10]} {answer.msg[:200]}")
            trades = [_print(instrument, row, mono_ns, utc_ns) for row in answer.data]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"latest trades of {instrument.symbol}: {error}", body) from None
        return TradeList(sorted(trades, key=lambda trade: trade.trade_id), len(trades) >= ROWS)


def _print(instrument: Instrument, row: _Row, mono_ns: int, utc_ns: int) -> Trade:
    price, qty, side = price_in(row.px, instrument), qty_in(row.sz, instrument), SIDES.get(row.side)
    if price <= 0 or qty <= 0 or side is None:
        raise ProtocolViolation(f"trade {row.tradeId[:40]} is no trade")
    return Trade(
        instrument.universal, number(row.tradeId), price, qty, side, time_ns(row.ts), utc_ns, mono_ns,
        is_backfilled=True,
    )  # fmt: skip
