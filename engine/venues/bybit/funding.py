"""Funding of linear perpetuals over REST: intervals, and what was settled.

    GET /v5/market/instruments-info?category=linear
    {"symbol":"BTCUSDT","contractType":"LinearPerpetual","fundingInterval":480,...}
    GET /v5/market/funding/history
    {"symbol":"BTCUSDT","fundingRate":"0.0001","fundingRateTimestamp":"1672041600000"}

The stream ``tickers`` has everything else: the running rate for ``nextFundingTime``, mark, index, open
interest, and ``fundingIntervalHour``, which older frames lack.

Source: Bybit v5 API docs, "Get Instruments Info", "Get Funding Rate History", seen 2026-07.
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
from engine.venues.bybit import account, errors
from engine.venues.bybit.endpoints import CATEGORIES, INSTRUMENTS_PAGE, PATH, VENUE
from engine.venues.bybit.numbers import DECODE_ERRORS, MS, decimal, time_ns
from engine.venues.bybit.order_entry import url_text

PAGE_ROWS = 200
_CATEGORY = CATEGORIES[Product.PERP]
_MINUTE_NS = 60_000_000_000


class _Info(msgspec.Struct, gc=False):
    symbol: str
    fundingInterval: int = 0  # noqa: N815 - minutes; dated futures have none


class _Settled(msgspec.Struct, gc=False):
    symbol: str
    fundingRate: str  # noqa: N815
    fundingRateTimestamp: str  # noqa: N815


class _Infos(msgspec.Struct, gc=False):
    rows: list[_Info] = msgspec.field(name="list")


class _History(msgspec.Struct, gc=False):
    rows: list[_Settled] = msgspec.field(name="list")


class _InfoAnswer(msgspec.Struct, gc=False):
    retCode: int  # noqa: N815
    result: _Infos


class _HistoryAnswer(msgspec.Struct, gc=False):
    retCode: int  # noqa: N815
    result: _History


_INFOS = msgspec.json.Decoder(_InfoAnswer)
_HISTORY = msgspec.json.Decoder(_HistoryAnswer)


class BybitFunding:
    """Asks for funding; implements ``ports.FundingReader`` and ``base.Continued``."""

    predicted = PredictedRate.NOT_OFFERED

    def _read(self, target: str, label: str) -> HttpRequest:
        return HttpRequest(method="GET", target=f"{PATH}{target}", label=f"{VENUE}.perp.{label}")

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        """Return one question for all intervals; its answer comes in pages."""
        if not instruments:
            return []
        target = f"/market/instruments-info?category={_CATEGORY}&limit={INSTRUMENTS_PAGE}"
        return [
            FundingQuestion(
                request=self._read(target, "funding"), instruments=tuple(instruments), every_ns=HOUR_NS
            )
        ]

    def continuation(
        self, request: HttpRequest, status: int, body: bytes, stamp_ms: int
    ) -> HttpRequest | None:
        """Return the request for the next page of intervals, ``None`` after the last."""
        target = account.next_target(request.target, status, body)
        return None if target is None else self._read(target.removeprefix(PATH), "funding")

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        """Return the interval of each contract of one page."""
        refusal = errors.refusal_in(status, body, retry_after)
        if refusal is not None:
            return refusal
        wanted = {each.symbol: each for each in question.instruments}
        try:
            rows = [row for row in _INFOS.decode(body).result.rows if row.symbol in wanted]
        except DECODE_ERRORS as error:
            raise ProtocolViolation(f"funding terms: {error}", body) from None
        if any(row.fundingInterval <= 0 for row in rows):
            raise ProtocolViolation("funding terms: an interval that is none", body)
        return [
            FundingTerms(universal=wanted[row.symbol].universal, interval_ns=row.fundingInterval * _MINUTE_NS)
            for row in rows
        ]

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        """Return the request for the newest settled rates up to a time, this time included on the wire."""
        count = max(1, min(rows, PAGE_ROWS))
        end_ms = (before_utc_ns - 1) // MS
        query = f"category={_CATEGORY}&symbol={url_text(instrument.symbol)}&endTime={end_ms}&limit={count}"
        return FundingPage(
            request=self._read(f"/market/funding/history?{query}", "funding_history"), rows_max=count
        )

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        """Return settled rates."""
        refusal = errors.refusal_in(status, body, retry_after)
        if refusal is not None:
            return refusal
        try:
            rows = _HISTORY.decode(body).result.rows
            if any(row.symbol != instrument.symbol for row in rows):
                raise ProtocolViolation(f"not of {instrument.symbol}")
            return newest_first(
                [
                    SettledRate(
                        instrument.universal, time_ns(row.fundingRateTimestamp), decimal(row.fundingRate)
                    )
                    for row in rows
                ]
            )
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"settled rates: {error}", body) from None
