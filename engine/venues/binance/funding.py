"""Funding of USD-M contracts over REST: intervals, open interest, and what was settled.

    GET /fapi/v1/fundingInfo
    [{"symbol":"LPTUSDT","adjustedFundingRateCap":"0.02000000","adjustedFundingRateFloor":"-0.02000000",
      "fundingIntervalHours":4,"disclaimer":false,"updateTime":1752854309429}]
    GET /fapi/v1/openInterest  {"symbol":"BTCUSDT","openInterest":"106312.376","time":1789478297197}
    GET /fapi/v1/fundingRate
    [{"symbol":"BTCUSDT","fundingTime":1789459200005,"fundingRate":"0.00006188","markPrice":"76907.97183333",
      "rateType":"Regular"}]

The stream ``@markPrice`` has the running rate, mark and index, but no interval, no open interest and nothing
of what was settled. A contract that fundingInfo does not list settles every eight hours.

Source: USD-M docs, "Get Funding Rate Info", "Get Funding Rate History", "Open Interest", seen 2026-05;
answers of 2026-09-15.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.model.errors import ProtocolViolation
from engine.model.funding import (
    HOUR_NS,
    FundingPage,
    FundingQuestion,
    FundingTerms,
    PredictedRate,
    SettledRate,
    newest_first,
)
from engine.model.instrument import Instrument, Product
from engine.model.orders import VenueError
from engine.venues.base import HttpRequest
from engine.venues.binance import errors
from engine.venues.binance.endpoints import FUNDING_LABEL, PATHS, VENUE
from engine.venues.binance.numbers import DECODE_ERRORS, MS, Millis, decimal
from engine.venues.binance.order_entry import url_text

USUAL_HOURS = 8
"""Interval of a contract that fundingInfo leaves out, and the longest there is."""
PAGE_ROWS = 1000
WINDOW_HOURS_MIN = 200
"""A shorter window might be empty because a contract rested for a while."""
_SECOND_MS = 1_000
_MINUTE_NS = 60_000_000_000


class _Info(msgspec.Struct, gc=False):
    symbol: str
    fundingIntervalHours: int  # noqa: N815 - the wire's names


class _Interest(msgspec.Struct, gc=False):
    symbol: str
    openInterest: str  # noqa: N815


class _Settled(msgspec.Struct, gc=False):
    symbol: str
    fundingTime: Millis  # noqa: N815
    fundingRate: str  # noqa: N815


_INFOS = msgspec.json.Decoder(list[_Info])
_INTEREST = msgspec.json.Decoder(_Interest)
_SETTLED = msgspec.json.Decoder(list[_Settled])


class BinanceFunding:
    """Asks for funding; implements ``ports.FundingReader``."""

    predicted = PredictedRate.NOT_OFFERED

    def _read(self, target: str, label: str, weight: int) -> HttpRequest:
        return HttpRequest(method="GET", target=f"{PATHS[Product.PERP]}{target}", label=label, weight=weight)

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        """Return one question for all intervals, and one a contract for its open interest."""
        if not instruments:
            return []
        info = self._read("/fundingInfo", FUNDING_LABEL, 0)
        return [
            FundingQuestion(request=info, instruments=tuple(instruments), every_ns=HOUR_NS),
            *(
                FundingQuestion(
                    request=self._read(
                        f"/openInterest?symbol={url_text(each.symbol)}", f"{VENUE}.perp.open_interest", 1
                    ),
                    instruments=(each,),
                    every_ns=_MINUTE_NS,
                    is_of_settlements=False,
                )
                for each in instruments
            ),
        ]

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        """Return the interval of each contract, or the open interest of one."""
        if status != 200:
            return errors.decode_error(Product.PERP, status, body, retry_after)
        try:
            if question.request.label != FUNDING_LABEL:
                return [_open_interest(question.instruments[0], body)]
            told = {each.symbol: each.fundingIntervalHours for each in _INFOS.decode(body)}
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"funding terms: {error}", body) from None
        if any(not 1 <= each <= 24 for each in told.values()):
            raise ProtocolViolation("funding terms: an interval that is none", body)
        return [
            FundingTerms(universal=each.universal, interval_ns=told.get(each.symbol, USUAL_HOURS) * HOUR_NS)
            for each in question.instruments
        ]

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        """Return the request for a window of time that holds the wanted rows, or 1000 hours of them.

        Which rows a longer window would leave out is not documented; of hourly settlements no window of 1000
        hours has more than fit the answer. Both ends count.
        """
        span_hours = min(PAGE_ROWS, max(WINDOW_HOURS_MIN, USUAL_HOURS * (rows + 1)))
        end_ms = (before_utc_ns - 1) // MS
        start_ms = max(0, end_ms - span_hours * HOUR_NS // MS + 1)
        query = (
            f"symbol={url_text(instrument.symbol)}&startTime={start_ms}&endTime={end_ms}&limit={PAGE_ROWS}"
        )
        return FundingPage(
            request=self._read(f"/fundingRate?{query}", FUNDING_LABEL, 0),
            rows_max=PAGE_ROWS,
            since_utc_ns=start_ms * MS,
        )

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        """Return settled rates; the venue's times are some milliseconds late, and rounded to the second."""
        if status != 200:
            return errors.decode_error(Product.PERP, status, body, retry_after)
        try:
            rows = _SETTLED.decode(body)
            if any(row.symbol != instrument.symbol for row in rows):
                raise ProtocolViolation(f"not of {instrument.symbol}")
            return newest_first(
                [
                    SettledRate(instrument.universal, _second_ns(row.fundingTime), decimal(row.fundingRate))
                    for row in rows
                ]
            )
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"settled rates: {error}", body) from None


def _second_ns(time_ms: int) -> int:
    return (time_ms + _SECOND_MS // 2) // _SECOND_MS * _SECOND_MS * MS


def _open_interest(instrument: Instrument, body: bytes) -> FundingTerms:
    row = _INTEREST.decode(body)
    if row.symbol != instrument.symbol:
        raise ProtocolViolation(f"not of {instrument.symbol}")
    return FundingTerms(universal=instrument.universal, open_interest=decimal(row.openInterest))
