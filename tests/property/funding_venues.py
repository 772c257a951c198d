"""Five venues that answer for settled rates, each in its own shape and with its own pages.

Written from the venues' documents alone: what a request asks for is read from its address, and answered from
a list of settlements, ascending (time in ms, rate as text).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from engine.model.instrument import Instrument, Product
from engine.model.ports import FundingReader
from engine.model.wire import HttpRequest
from engine.venues.binance import instruments as binance
from engine.venues.binance.funding import BinanceFunding
from engine.venues.bitmart import instruments as bitmart
from engine.venues.bitmart.funding import BitmartFunding
from engine.venues.bybit import instruments as bybit
from engine.venues.bybit.funding import BybitFunding
from engine.venues.kucoin import instruments as kucoin
from engine.venues.kucoin.funding import KucoinFunding
from engine.venues.okx import instruments as okx
from engine.venues.okx.funding import OkxFunding

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
Settlement = tuple[int, str]
Query = dict[str, str]


@dataclass(frozen=True)
class FundingVenue:
    """One venue: our reader, an instrument, and how the venue answers.

    Attributes:
        reach: how many of the newest rates the venue gives at all, 0 = all.
    """

    name: str
    reader: FundingReader
    instrument: Instrument
    answer: Callable[[str, Query, Sequence[Settlement]], bytes]
    path: str
    reach: int = 0

    def asked(self, request: HttpRequest, settlements: Sequence[Settlement]) -> bytes:
        """Return the venue's answer to one of our requests."""
        target = urlsplit(request.target)
        assert (request.method, target.path) == ("GET", self.path), request
        query = {key: value for key, (value,) in parse_qs(target.query, strict_parsing=True).items()}
        assert (query.get("symbol") or query["instId"]) == self.instrument.symbol
        return self.answer(self.instrument.symbol, query, settlements)

    def __str__(self) -> str:
        return self.name


def _binance(symbol: str, query: Query, settlements: Sequence[Settlement]) -> bytes:
    """Ascending, both ends included, the first ``limit`` from startTime on; dated a little late."""
    start, end, limit = int(query["startTime"]), int(query["endTime"]), int(query["limit"])
    assert 1 <= limit <= 1000
    late = [(at + at // 3_600_000 % 8, rate) for at, rate in settlements]
    rows = [
        {
            "symbol": symbol,
            "fundingTime": at,
            "fundingRate": rate,
            "markPrice": "76907.9",
            "rateType": "Regular",
        }
        for at, rate in late
        if start <= at <= end
    ]
    return json.dumps(rows[:limit]).encode()


def _okx(symbol: str, query: Query, settlements: Sequence[Settlement]) -> bytes:
    """Newest first, strictly older than ``after``; the forecast beside what was realised."""
    after, limit = int(query["after"]), int(query["limit"])
    assert 1 <= limit <= 400
    rows = [
        {"formulaType": "withRate", "fundingRate": "0.00999", "fundingTime": str(at), "instId": symbol,
         "instType": "SWAP", "method": "current_period", "realizedRate": rate}
        for at, rate in reversed(settlements)
        if at < after
    ]  # fmt: skip
    return json.dumps({"code": "0", "msg": "", "data": rows[:limit]}).encode()


def _bybit(symbol: str, query: Query, settlements: Sequence[Settlement]) -> bytes:
    """Newest first, endTime included; startTime without endTime would be an error."""
    assert query["category"] == "linear"
    end, limit = int(query["endTime"]), int(query["limit"])
    assert 1 <= limit <= 200
    rows = [
        {"symbol": symbol, "fundingRate": rate, "fundingRateTimestamp": str(at)}
        for at, rate in reversed(settlements)
        if at <= end
    ]
    result = {"category": "linear", "list": rows[:limit]}
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": 1}).encode()


def _kucoin(symbol: str, query: Query, settlements: Sequence[Settlement]) -> bytes:
    """Both ends included; rates are JSON numbers, small ones with an exponent; nothing at all is null."""
    start, end = int(query["from"]), int(query["to"])
    assert start < end
    rows = [
        f'{{"symbol":"{symbol}","fundingRate":{float(rate)!r},"timepoint":{at}}}'
        for at, rate in reversed(settlements)
        if start <= at <= end
    ]
    data = f"[{','.join(rows)}]" if rows else "null"
    return f'{{"code":"200000","data":{data}}}'.encode()


def _bitmart(symbol: str, query: Query, settlements: Sequence[Settlement]) -> bytes:
    """The newest hundred, whatever the time."""
    rows = [
        {"symbol": symbol, "funding_rate": rate, "funding_time": str(at)}
        for at, rate in reversed(settlements)
    ]
    data = {"list": rows[: min(100, int(query["limit"]))]}
    return json.dumps({"code": 1000, "message": "Ok", "data": data, "trace": "t"}).encode()


def _instrument(decode: Callable[[Product, bytes], object], venue: str, file: str) -> Instrument:
    listing = decode(Product.PERP, (GOLDEN / venue / f"{file}.json").read_bytes())
    found: list[Instrument] = listing.instruments  # type: ignore[attr-defined]
    return next(each for each in found if each.universal == "BTC/USDT:USDT")


_LISTING = "http_instruments_perp"
VENUES = [
    FundingVenue(
        "binance", BinanceFunding(),
        _instrument(binance.decode_listing, "binance", "http_exchange_info_perp"),
        _binance, "/fapi/v1/fundingRate",
    ),
    FundingVenue(
        "okx", OkxFunding(), _instrument(okx.decode_listing, "okx", _LISTING),
        _okx, "/api/v5/public/funding-rate-history",
    ),
    FundingVenue(
        "bybit", BybitFunding(), _instrument(bybit.decode_listing, "bybit", _LISTING),
        _bybit, "/v5/market/funding/history",
    ),
    FundingVenue(
        "kucoin", KucoinFunding(), _instrument(kucoin.decode_listing, "kucoin", _LISTING),
        _kucoin, "/api/v1/contract/funding-rates",
    ),
    FundingVenue(
        "bitmart", BitmartFunding(), _instrument(bitmart.decode_listing, "bitmart", _LISTING),
        _bitmart, "/contract/public/funding-rate-history", reach=100,
    ),
]  # fmt: skip
