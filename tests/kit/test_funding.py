"""Funding of every perpetual market: what the engine shows is what the exchange had when it told it."""

from __future__ import annotations

import asyncio
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.model.market import FundingUpdate
from engine.supervisor import funding as funding_module
from engine.supervisor.funding import FundingDesk, utc_text
from tests.kit.markets import LOOP, STREAMS, Bench, Market, running, shared
from tests.sim.engine_rig import until

pytestmark = [pytest.mark.timeout(180), LOOP]

PERPETUALS = [market for market in STREAMS if market.product.value == "perp"]
each_perpetual = pytest.mark.parametrize("market", PERPETUALS, ids=str)
HISTORY = 150


async def truth(bench: Bench, universal: str = "") -> dict[str, Any]:
    symbol = bench.rig.venue(bench.universal).instruments[universal or bench.universal].symbol
    found = await bench.rig.truth("funding", symbol=symbol, product="perp")
    assert isinstance(found, dict)
    return found


def desk_of(bench: Bench) -> FundingDesk:
    desk = bench.rig.venue(bench.universal).funding_desk
    assert desk is not None
    return desk


def stood(truth: dict[str, Any], at_ms: int) -> set[D]:
    """Return what the running rate was around a time: it moves once a second."""
    near = [D(rate) for since, rate in truth["estimates"] if at_ms - 3_000 <= since <= at_ms + 1_000]
    return set(near[-5:])


async def rate_told(bench: Bench, universal: str) -> FundingUpdate:
    """Return the engine's latest update once a stream has told a rate."""
    updates = bench.rig.venue(universal).funding
    await until(
        lambda: universal in updates and updates[universal].funding_rate is not None,
        90,
        what=f"a rate of {universal}",
    )
    return updates[universal]


@each_perpetual
async def test_what_is_shown_is_what_the_exchange_has(market: Market) -> None:
    async with shared(market) as bench:
        for universal in market.universals:
            await desk_of(bench).known([universal])
            update = await rate_told(bench, universal)
            row, real = desk_of(bench).row(universal), await truth(bench, universal)
            stamp_ns = update.rate_utc_ns or update.venue_utc_ns
            assert update.funding_rate in stood(real, stamp_ns // 1_000_000)
            assert D(row["rate"]) == update.funding_rate
            assert (row["state"], row["reason"]) == ("live", "")
            assert row["interval_h"] == str(real["interval_h"])
            assert row["next_settlement_utc"] == utc_text(real["next_ms"] * 1_000_000)
            assert D(row["annualised"]) == D(row["rate"]) * 24 / real["interval_h"] * 365
            assert D(row["open_interest"]) == D(real["open_interest"])
            for key in ("mark", "index"):
                assert abs(D(row[key]) / D(real[key]) - 1) < D("0.005"), key
            assert 0 <= row["age_ms"] < 120_000


@each_perpetual
async def test_what_was_settled_last_is_known(market: Market) -> None:
    async with shared(market) as bench:
        real = await truth(bench)
        await until(
            lambda: desk_of(bench).row(bench.universal)["last_settled_rate"] is not None,
            what="a settled rate",
        )
        assert D(desk_of(bench).row(bench.universal)["last_settled_rate"]) == D(real["settled"][0]["rate"])


@each_perpetual
async def test_predictions_are_the_venues_own(market: Market) -> None:
    """No venue here predicts the interval after the next settlement; one calls the running rate the next."""
    async with shared(market) as bench:
        await rate_told(bench, bench.universal)
        row = desk_of(bench).row(bench.universal)
        if row["predicted"] == "same as current":
            assert row["predicted_rate"] == row["rate"]
        else:
            assert row["predicted_rate"] is None
            assert row["predicted"] in ("not offered", "rate of the interval after the next settlement")


@each_perpetual
async def test_history_is_the_exchanges(market: Market) -> None:
    async with shared(market) as bench:
        real = (await truth(bench))["settled"]
        found = await desk_of(bench).history(bench.universal, HISTORY)
        assert found["error"] == ""
        reach = 100 if market.venue == "bitmart" else min(HISTORY, len(real))
        assert len(found["rates"]) == reach
        assert [(row["settled_utc"], D(row["rate"])) for row in found["rates"]] == [
            (utc_text(row["time_ms"] * 1_000_000), D(row["rate"])) for row in real[:reach]
        ]


@pytest.mark.fault("P29")
@each_perpetual
async def test_an_interval_changes_and_the_engine_follows(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight hours become four: the next settlement, the interval and the yearly rate follow."""
    monkeypatch.setattr(funding_module, "AFTER_SETTLEMENT_NS", 200_000_000)
    async with running(market, tmp_path) as bench:
        desk, universal = desk_of(bench), bench.universal
        await desk.known([universal])
        await until(lambda: desk.row(universal)["rate"] is not None, what="a rate")
        assert desk.row(universal)["interval_h"] == "8"
        symbol = bench.instrument.symbol
        query = {"venue": market.venue, "product": "perp", "symbol": symbol, "interval_h": "4"}
        async with bench.rig._http.post(f"{bench.rig.admin}/funding", params=query) as answer:
            assert answer.status == 200, await answer.text()
            next_ms = (await answer.json())["next_ms"]
        # The next settlement may pass meanwhile: then the one after it is due.
        due = {utc_text((next_ms + hours * 3_600_000) * 1_000_000) for hours in (0, 4)}
        for asked in desk._asked:  # what is asked once an hour is asked now
            asked.due_ns = 0

        def has_followed() -> bool:
            row = desk.row(universal)
            return row["interval_h"] == "4" and row["next_settlement_utc"] in due

        await until(has_followed, 75, what=desk.row(universal))
        row = desk.row(universal)
        assert D(row["annualised"]) == D(row["rate"]) * 24 / 4 * 365


@each_perpetual
async def test_a_venue_that_does_not_answer_is_asked_again(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(funding_module, "RETRY_NS", 200_000_000)
    async with running(market, tmp_path) as bench:
        desk = desk_of(bench)
        await desk.known([bench.universal])
        failed = desk.failed
        await bench.rig.fault("venue_gone", count=None, params={"mode": "page"})
        for asked in desk._asked:
            asked.due_ns = 0
        await until(lambda: desk.failed > failed, what="a failed question")
        await bench.rig.clear()
        await until(lambda: all(each.due_ns > 0 for each in desk._asked), what="questions answered")
        await asyncio.wait_for(desk.known([bench.universal]), 20)
        assert desk.row(bench.universal)["state"] == "live"
        assert bench.rig.logged("funding.failed")[0]["venue"] == market.venue
