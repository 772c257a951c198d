"""Funding of USDT-margined perpetuals over REST: the contract list, and what was settled.

    GET /contract/public/details
    {"symbol":"BTCUSDT","funding_rate":"0.0001","expected_funding_rate":"0.0001","open_interest":"12345678",
     "index_price":"67120.5","funding_interval_hours":8,"funding_time":1773158400000,...}
    GET /contract/public/funding-rate-history?symbol=BTCUSDT&limit=100
    {"symbol":"BTCUSDT","funding_rate":"0.000011900082","funding_time":"1790121600000"}

``funding_rate`` of the list is the last settled one, rounded to seven decimals: it is not read. What is
called expected (and ``nextFundingRate`` on the stream) is what the settlement at ``funding_time`` would pay.
The history has no way to ask for more than the newest hundred.

Source: BitMart API docs, futures v2, "Get Contract Details", "Get Funding Rate History", seen 2026-11;
answers of 2026-09-23.
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
from engine.model.instrument import Instrument
from engine.model.orders import VenueError
from engine.venues.base import HttpRequest
from engine.venues.bitmart import errors
from engine.venues.bitmart.endpoints import VENUE
from engine.venues.bitmart.numbers import (
    DECODE_ERRORS,
    decimal,
    optional_decimal,
    optional_time_ns,
    time_ns,
)
from engine.venues.bitmart.order_entry import plain_text

PAGE_ROWS = 100
_MINUTES_NS = 300_000_000_000
"""How often the contract list is asked for: no stream tells the open interest."""


class _Contract(msgspec.Struct, gc=False):
    symbol: str
    expected_funding_rate: str = ""
    open_interest: str = ""
    funding_interval_hours: int | None = None
    funding_time: int | None = None


class _Settled(msgspec.Struct, gc=False):
    symbol: str
    funding_rate: str
    funding_time: int | str


class _Symbols(msgspec.Struct, gc=False):
    symbols: list[_Contract]


class _Rates(msgspec.Struct, gc=False):
    rows: list[_Settled] | None = msgspec.field(name="list")


class _Contracts(msgspec.Struct, gc=False):
    code: int | str
    data: _Symbols


class _History(msgspec.Struct, gc=False):
    code: int | str
    data: _Rates


_CONTRACTS = msgspec.json.Decoder(_Contracts)
_HISTORY = msgspec.json.Decoder(_History)


class BitmartFunding:
    """Asks for funding; implements ``ports.FundingReader``."""

    predicted = PredictedRate.SAME_AS_CURRENT

    def _read(self, target: str, label: str) -> HttpRequest:
        return HttpRequest(method="GET", target=target, label=f"{VENUE}.perp.{label}")

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        """Return one question: the contract list tells everything. It counts as the listing's own request."""
        if not instruments:
            return []
        request = self._read("/contract/public/details", "instruments")
        return [FundingQuestion(request=request, instruments=tuple(instruments), every_ns=_MINUTES_NS)]

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        """Return what the contract list says of each contract."""
        refusal = errors.refusal_in(status, body, retry_after)
        if refusal is not None:
            return refusal
        wanted = {each.symbol: each for each in question.instruments}
        try:
            rows = [row for row in _CONTRACTS.decode(body).data.symbols if row.symbol in wanted]
            return [_terms(wanted[row.symbol], row) for row in rows]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"funding terms: {error}", body) from None

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        """Return the request for the newest hundred, whatever was asked for: there is no other."""
        target = f"/contract/public/funding-rate-history?symbol={plain_text(instrument.symbol)}"
        return FundingPage(
            request=self._read(f"{target}&limit={PAGE_ROWS}", "funding_history"),
            rows_max=PAGE_ROWS,
            is_last=True,
        )

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        """Return settled rates; no list at all is an empty one."""
        refusal = errors.refusal_in(status, body, retry_after)
        if refusal is not None:
            return refusal
        try:
            rows = _HISTORY.decode(body).data.rows or []
            if any(row.symbol != instrument.symbol for row in rows):
                raise ProtocolViolation(f"not of {instrument.symbol}")
            return newest_first(
                [
                    SettledRate(instrument.universal, time_ns(row.funding_time), decimal(row.funding_rate))
                    for row in rows
                ]
            )
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"settled rates: {error}", body) from None


def _terms(instrument: Instrument, row: _Contract) -> FundingTerms:
    interval_h = row.funding_interval_hours
    if interval_h is not None and not 1 <= interval_h <= 24:
        raise ProtocolViolation(f"an interval of {interval_h} hours")
    interest = optional_decimal(row.open_interest)
    return FundingTerms(
        universal=instrument.universal,
        interval_ns=None if interval_h is None else interval_h * HOUR_NS,
        funding_rate=optional_decimal(row.expected_funding_rate),
        next_funding_utc_ns=optional_time_ns(row.funding_time),
        open_interest=None if interest is None else interest * instrument.contract_size,
    )
