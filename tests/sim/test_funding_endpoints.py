"""What the simulated venues say of funding: the shapes of the samples, and the truth in all of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from decimal import Decimal as D
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from engine.sim.binance.errors import ApiError
from engine.sim.binance.limits import FIVE_MINUTES_MS, AddressLimit
from engine.sim.funding_past import HOUR_MS, past_settlements
from engine.sim.server import SimServer
from tests.conformance.running_sim import addresses_of, running_sim

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
NEXT_MS = 1_795_449_600_000

# venue, address, and the sample whose rows it must resemble
SHAPES = [
    ("binance", "/fapi/v1/fundingRate?symbol=BTCUSDT", "http_funding_rates"),
    ("binance", "/fapi/v1/fundingInfo", "http_funding_info"),
    ("binance", "/fapi/v1/openInterest?symbol=BTCUSDT", "http_open_interest"),
    ("okx", "/api/v5/public/funding-rate?instId=ANY", "http_funding_rate"),
    ("okx", "/api/v5/public/funding-rate-history?instId=BTC-USDT-SWAP", "http_funding_history"),
    ("okx", "/api/v5/market/index-tickers?quoteCcy=USDT", "http_index_tickers"),
    ("bybit", "/v5/market/funding/history?category=linear&symbol=BTCUSDT", "http_funding_history"),
    (
        "kucoin",
        "/api/v1/contract/funding-rates?symbol=XBTUSDTM&from=0&to=9999999999999",
        "http_funding_rates",
    ),
    ("kucoin", "/api/v1/contracts/active", "http_funding_contracts"),
    ("bitmart", "/contract/public/funding-rate-history?symbol=BTCUSDT", "http_funding_history"),
]


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[SimServer]:
    async with running_sim(request.param, rate=20) as running:
        yield running


async def fetched(server: SimServer, venue: str, target: str) -> Any:
    async with aiohttp.ClientSession() as http:
        base = addresses_of(server, venue, "perp")["rest"]
        async with http.get(base + target) as answer:
            assert answer.status == 200, await answer.text()
            return json.loads(await answer.text())


def rows_of(answer: Any) -> list[dict[str, Any]]:
    """Return the list of an answer, or the answer itself where it is one row."""
    for key in ("data", "result", "list", "symbols"):
        if isinstance(answer, dict) and key in answer:
            answer = answer[key]
    rows = answer if isinstance(answer, list) else [answer]
    assert rows
    assert all(isinstance(row, dict) for row in rows)
    return rows


@pytest.mark.parametrize(("server", "target", "sample"), SHAPES, indirect=["server"])
async def test_shapes(server: SimServer, target: str, sample: str) -> None:
    (venue,) = server.exchanges
    ours = rows_of(await fetched(server, venue, target))
    theirs = rows_of(json.loads((GOLDEN / venue / f"{sample}.json").read_text()))
    for name, value in theirs[0].items():
        kinds = {type(row[name]) for row in ours if row[name] is not None}
        wanted = {int, float} if type(value) in (int, float) else {type(value)}
        assert value is None or kinds <= wanted, f"{name}: {kinds} for {value!r}"


@pytest.mark.parametrize("server", ["binance", "okx", "bybit", "kucoin", "bitmart"], indirect=True)
async def test_the_truth_and_the_intervals_of_every_contract(server: SimServer) -> None:
    """Markets have mixed intervals; a changed one counts from the next settlement on."""
    (venue,) = server.exchanges
    admin = server.addresses["admin"]
    hours = set()
    async with aiohttp.ClientSession() as http:
        for (product, symbol), market in server.exchanges[venue].markets.items():
            if product != "perp":
                continue
            query = {"venue": venue, "product": "perp", "symbol": symbol}
            async with http.get(f"{admin}/truth/funding", params=query) as answer:
                truth = await answer.json()
            hours.add(truth["interval_h"])
            assert truth["next_ms"] % (truth["interval_h"] * HOUR_MS) == 0
            assert truth["settled"][0]["time_ms"] == truth["next_ms"] - truth["interval_h"] * HOUR_MS
            assert D(truth["open_interest"]) == market.qty(market.open_interest_lots)
            assert D(truth["estimates"][-1][1]) != 0
        assert {1, 8} <= hours or {4, 8} <= hours
        async with http.post(f"{admin}/funding", params=query | {"interval_h": "1"}) as answer:
            assert (await answer.json())["interval_h"] == 1
        async with http.get(f"{admin}/truth/funding", params=query) as answer:
            changed = await answer.json()
        assert (changed["interval_h"], changed["next_ms"] % HOUR_MS) == (1, 0)
        assert 0 < changed["next_ms"] - server.clock.now_ms() <= HOUR_MS
        for wrong in ({"interval_h": "3"}, {"interval_h": ""}, {}):
            async with http.post(f"{admin}/funding", params=query | wrong) as answer:
                assert answer.status == 400
                assert "give 1, 2, 4 or 8" in (await answer.json())["error"]


@pytest.mark.parametrize("server", ["binance"], indirect=True)
async def test_spot_has_no_funding(server: SimServer) -> None:
    query = {"venue": "binance", "product": "spot", "symbol": "BTCUSDT"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{server.addresses['admin']}/truth/funding", params=query) as answer,
    ):
        assert (answer.status, "has no funding" in (await answer.json())["error"]) == (400, True)


@pytest.mark.parametrize("every_h", [1, 2, 4, 8])
def test_a_past_ends_with_the_interval_of_today(every_h: int) -> None:
    rows = past_settlements(every_h, NEXT_MS, 1, D(90_000), seed=5)
    times = [at for at, _, _ in rows] + [NEXT_MS]
    gaps = [(later - at) // HOUR_MS for at, later in itertools.pairwise(times)]
    assert gaps == sorted(gaps, reverse=True), "intervals only ever became shorter"
    assert (gaps[-1], set(gaps)) == (every_h, {1: {1, 4, 8}, 2: {2, 8}, 4: {4, 8}, 8: {8}}[every_h])
    assert all(at % (gap * HOUR_MS) == 0 for at, gap in zip(times, gaps, strict=False))
    assert all(abs(rate) <= D("0.0005") and mark > 0 for _, rate, mark in rows)
    assert rows == past_settlements(every_h, NEXT_MS, 1, D(90_000), seed=5)
    assert rows != past_settlements(every_h, NEXT_MS, 1, D(90_000), seed=6)


def test_an_accelerated_past_is_accelerated_too() -> None:
    rows = past_settlements(8, NEXT_MS, 1_440, D(1), seed=1)
    assert [NEXT_MS - at for at, _, _ in rows[-3:]] == [60_000, 40_000, 20_000]


def test_a_past_does_not_begin_before_time() -> None:
    assert [at for at, _, _ in past_settlements(8, 24 * HOUR_MS, 1, D(1), seed=1)] == [
        8 * HOUR_MS,
        16 * HOUR_MS,
    ]


def test_binance_limits_its_funding_requests_together() -> None:
    limit = AddressLimit(3, FIVE_MINUTES_MS)
    rates, infos = limit.guard(lambda call: "rates"), limit.guard(lambda call: "infos")
    here, there = (SimpleNamespace(address=name, now_ms=NEXT_MS + 60_000) for name in ("here", "there"))
    assert [rates(here), infos(here), rates(here), infos(there)] == ["rates", "infos", "rates", "infos"]  # type: ignore[arg-type]
    with pytest.raises(ApiError) as refused:
        infos(here)  # type: ignore[arg-type]
    assert (refused.value.code, refused.value.status, refused.value.retry_after_s) == (-1003, 429, 240)
    later = SimpleNamespace(address="here", now_ms=NEXT_MS + FIVE_MINUTES_MS)
    assert infos(later) == "infos"  # type: ignore[arg-type]
