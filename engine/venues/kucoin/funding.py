"""Funding of linear perpetual contracts over REST: the contract list, and what was settled.

    GET /api/v1/contracts/active
    {"symbol":"XBTUSDTM","fundingFeeRate":3.8E-5,"predictedFundingFeeRate":null,"lastTimeFundingRate":4.1E-5,
     "fundingRateGranularity":28800000,"openInterest":"21328636","nextFundingRateTime":8192636,
     "nextFundingRateDateTime":1785859200000,...}
    GET /api/v1/contract/funding-rates?symbol=XBTUSDTM&from=..&to=..
    {"symbol":"XBTUSDTM","fundingRate":7.6E-5,"timepoint":1790092800000}

``fundingFeeRate`` is the running estimate of the next settlement, ``nextFundingRateTime`` a countdown despite
its name. ``predictedFundingFeeRate`` is null in every answer seen: no prediction is offered. For some seconds
after a settlement these answers still show the old estimate: the streams' is preferred.

UNCONFIRMED: how many rows of the history an answer holds at most; no document says it, so windows are short.

Source: KuCoin API docs, "Get All Symbols" (futures), "Get Public Funding History", seen 2026-08; answers of
2026-09-22.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

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
from engine.venues.kucoin import errors
from engine.venues.kucoin.endpoints import VENUE
from engine.venues.kucoin.numbers import (
    DECODE_ERRORS,
    MS,
    Millis,
    Number,
    exact,
    granularity_ns,
    optional_time_ns,
)
from engine.venues.kucoin.order_entry import plain_text

WINDOW_HOURS = 96
_QUARTER_NS = HOUR_NS // 4
"""How often the contract list is asked for: classic streams tell no open interest."""


class _Contract(msgspec.Struct, gc=False):
    symbol: str
    fundingFeeRate: Number | None = None  # noqa: N815 - the wire's names
    lastTimeFundingRate: Number | None = None  # noqa: N815
    fundingRateGranularity: int | None = None  # noqa: N815
    nextFundingRateDateTime: Millis | None = None  # noqa: N815
    openInterest: Number | None = None  # noqa: N815 - lots, as text


class _Settled(msgspec.Struct, gc=False):
    symbol: str
    fundingRate: Number  # noqa: N815
    timepoint: Millis


class _Contracts(msgspec.Struct, gc=False):
    code: str
    data: list[_Contract]


class _History(msgspec.Struct, gc=False):
    code: str
    data: list[_Settled] | None


_CONTRACTS = msgspec.json.Decoder(_Contracts)
_HISTORY = msgspec.json.Decoder(_History)


class KucoinFunding:
    """Asks for funding; implements ``ports.FundingReader``."""

    predicted = PredictedRate.NOT_OFFERED

    def _read(self, target: str, label: str, weight: int) -> HttpRequest:
        return HttpRequest(method="GET", target=target, label=f"{VENUE}.perp.{label}", weight=weight)

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        """Return one question: the contract list tells everything."""
        if not instruments:
            return []
        request = self._read("/api/v1/contracts/active", "funding", 3)
        return [FundingQuestion(request=request, instruments=tuple(instruments), every_ns=_QUARTER_NS)]

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        """Return what the contract list says of each contract."""
        refusal = errors.refusal_in(Product.PERP, status, body, retry_after)
        if refusal is not None:
            return refusal
        wanted = {each.symbol: each for each in question.instruments}
        try:
            return [
                _terms(wanted[row.symbol], row)
                for row in _CONTRACTS.decode(body).data
                if row.symbol in wanted
            ]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"funding terms: {error}", body) from None

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        """Return the request for a window of time; both ends count."""
        end_ms = (before_utc_ns - 1) // MS
        start_ms = max(0, end_ms - WINDOW_HOURS * HOUR_NS // MS + 1)
        query = f"symbol={plain_text(instrument.symbol)}&from={start_ms}&to={end_ms}"
        return FundingPage(
            request=self._read(f"/api/v1/contract/funding-rates?{query}", "funding_history", 5),
            rows_max=WINDOW_HOURS,
            since_utc_ns=start_ms * MS,
        )

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        """Return settled rates; no list at all is an empty one."""
        refusal = errors.refusal_in(Product.PERP, status, body, retry_after)
        if refusal is not None:
            return refusal
        try:
            rows = _HISTORY.decode(body).data or []
            if any(row.symbol != instrument.symbol for row in rows):
                raise ProtocolViolation(f"not of {instrument.symbol}")
            return newest_first(
                [
                    SettledRate(instrument.universal, row.timepoint * MS, exact(row.fundingRate))
                    for row in rows
                ]
            )
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"settled rates: {error}", body) from None


def _terms(instrument: Instrument, row: _Contract) -> FundingTerms:
    def rate(value: Number | None) -> Decimal | None:
        return None if value is None else exact(value)

    interest = rate(row.openInterest)
    return FundingTerms(
        universal=instrument.universal,
        interval_ns=granularity_ns(row.fundingRateGranularity),
        funding_rate=rate(row.fundingFeeRate),
        next_funding_utc_ns=optional_time_ns(row.nextFundingRateDateTime),
        last_settled_rate=rate(row.lastTimeFundingRate),
        open_interest=None if interest is None else interest * instrument.contract_size,
    )
