"""Funding of linear swaps over REST: the running period of each, index prices, and what was settled.

    GET /api/v5/public/funding-rate?instId=ANY
    {"formulaType":"withRate","fundingRate":"0.0001000000000000","fundingTime":"1765209600000",
     "instId":"LTC-USDT-SWAP","instType":"SWAP","method":"current_period","nextFundingRate":"",
     "nextFundingTime":"1765238400000","settFundingRate":"0.0000697725497563","settState":"settled",
     "ts":"1765201461438"}
    GET /api/v5/public/funding-rate-history
    {"formulaType":"withRate","fundingRate":"0.0001","fundingTime":"1765180800000","instId":"BTC-USDT-SWAP",
     "instType":"SWAP","method":"current_period","realizedRate":"0.0000697725497563"}
    GET /api/v5/market/index-tickers?quoteCcy=USDT
    {"instId":"BTC-USDT","idxPx":"91468.2","ts":"1765201257145"}

``fundingRate`` is the forecast for the settlement at ``fundingTime``; ``nextFundingRate`` would be the
forecast for ``nextFundingTime``, and is empty: the venue computes rates of the running period only.

Source: OKX v5 API docs, "Get funding rate", "Get funding rate history", "Get index tickers", seen 2026-08.
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
from engine.venues.okx import errors
from engine.venues.okx.endpoints import PATH, VENUE, weight_of
from engine.venues.okx.market_data import index_of
from engine.venues.okx.numbers import DECODE_ERRORS, MS, decimal, interval_ns, optional_decimal, time_ns
from engine.venues.okx.order_entry import url_text

PAGE_ROWS = 400
_MINUTE_NS = 60_000_000_000
_INDEX_LABEL = f"{VENUE}.perp.indices"


class _Period(msgspec.Struct, gc=False):
    instId: str  # noqa: N815 - the wire's names
    fundingRate: str  # noqa: N815
    fundingTime: str  # noqa: N815
    nextFundingTime: str = ""  # noqa: N815
    settFundingRate: str = ""  # noqa: N815


class _Index(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    idxPx: str  # noqa: N815


class _Settled(msgspec.Struct, gc=False):
    instId: str  # noqa: N815
    fundingTime: str  # noqa: N815
    realizedRate: str  # noqa: N815 - what was applied; ``fundingRate`` is the last forecast


class _Periods(msgspec.Struct, gc=False):
    code: str
    data: list[_Period]


class _Indices(msgspec.Struct, gc=False):
    code: str
    data: list[_Index]


class _History(msgspec.Struct, gc=False):
    code: str
    data: list[_Settled]


_PERIODS = msgspec.json.Decoder(_Periods)
_INDICES = msgspec.json.Decoder(_Indices)
_HISTORY = msgspec.json.Decoder(_History)


class OkxFunding:
    """Asks for funding; implements ``ports.FundingReader``.

    Args:
        headers: sent with every request, those of demo trading.
    """

    predicted = PredictedRate.FOLLOWING_INTERVAL

    def __init__(self, headers: bytes = b"") -> None:
        self._headers = headers

    def _read(self, target: str, label: str, limit: int) -> HttpRequest:
        return HttpRequest(
            method="GET",
            target=f"{PATH}{target}",
            label=label,
            headers=self._headers,
            weight=weight_of(limit),
        )

    def questions(self, instruments: Sequence[Instrument]) -> list[FundingQuestion]:
        """Return one question for all periods, and one a quote currency for the indices."""
        if not instruments:
            return []
        periods = self._read("/public/funding-rate?instId=ANY", f"{VENUE}.perp.funding", 10)
        by_quote: dict[str, list[Instrument]] = {}
        for each in instruments:
            by_quote.setdefault(each.quote, []).append(each)
        return [
            FundingQuestion(request=periods, instruments=tuple(instruments), every_ns=HOUR_NS),
            *(
                FundingQuestion(
                    request=self._read(f"/market/index-tickers?quoteCcy={url_text(quote)}", _INDEX_LABEL, 20),
                    instruments=tuple(some),
                    every_ns=_MINUTE_NS,
                    is_of_settlements=False,
                )
                for quote, some in by_quote.items()
            ),
        ]

    def decode_terms(
        self, question: FundingQuestion, status: int, body: bytes, retry_after: str | None = None
    ) -> list[FundingTerms] | VenueError:
        """Return the running period of each swap, or the index price behind it."""
        refusal = errors.refusal_in(status, body, retry_after)
        if refusal is not None:
            return refusal
        try:
            if question.request.label == _INDEX_LABEL:
                prices = {row.instId: decimal(row.idxPx) for row in _INDICES.decode(body).data if row.idxPx}
                return [
                    FundingTerms(universal=each.universal, index_price=prices[index_of(each)])
                    for each in question.instruments
                    if index_of(each) in prices
                ]
            wanted = {each.symbol: each for each in question.instruments}
            return [
                _terms(wanted[row.instId], row) for row in _PERIODS.decode(body).data if row.instId in wanted
            ]
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"funding terms: {error}", body) from None

    def page(self, instrument: Instrument, before_utc_ns: int, rows: int) -> FundingPage:
        """Return the request for the newest settled rates before a time: ``after`` means older than."""
        count = max(1, min(rows, PAGE_ROWS))
        before_ms = -(-before_utc_ns // MS)
        query = f"instId={url_text(instrument.symbol)}&after={before_ms}&limit={count}"
        return FundingPage(
            request=self._read(f"/public/funding-rate-history?{query}", f"{VENUE}.perp.funding_history", 10),
            rows_max=count,
        )

    def decode_page(
        self, instrument: Instrument, status: int, body: bytes, retry_after: str | None = None
    ) -> list[SettledRate] | VenueError:
        """Return settled rates: the realised ones."""
        refusal = errors.refusal_in(status, body, retry_after)
        if refusal is not None:
            return refusal
        try:
            rows = _HISTORY.decode(body).data
            if any(row.instId != instrument.symbol for row in rows):
                raise ProtocolViolation(f"not of {instrument.symbol}")
            return newest_first(
                [
                    SettledRate(instrument.universal, time_ns(row.fundingTime), decimal(row.realizedRate))
                    for row in rows
                ]
            )
        except (*DECODE_ERRORS, ProtocolViolation) as error:
            raise ProtocolViolation(f"settled rates: {error}", body) from None


def _terms(instrument: Instrument, row: _Period) -> FundingTerms:
    return FundingTerms(
        universal=instrument.universal,
        interval_ns=interval_ns(row.fundingTime, row.nextFundingTime),
        funding_rate=optional_decimal(row.fundingRate),
        next_funding_utc_ns=time_ns(row.fundingTime) if row.fundingTime else None,
        last_settled_rate=optional_decimal(row.settFundingRate),
    )
