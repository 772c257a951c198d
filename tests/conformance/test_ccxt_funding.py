"""Funding as ccxt reads it and as the engine does, from the same simulated exchange: the same numbers.

The running rates stand still meanwhile, so that two readers at two moments can be compared exactly.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from engine.sim.server import SimServer
from engine.supervisor.funding import FundingDesk, utc_text
from tests.conformance import test_ccxt_binance, test_ccxt_bybit, test_ccxt_kucoin, test_ccxt_okx
from tests.conformance.ccxt_rig import under_test
from tests.conformance.running_sim import running_sim
from tests.sim.engine_rig import rig, until

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(180),
    # ccxt and the libraries it brings are not ours to keep free of warnings
    pytest.mark.filterwarnings("default"),
]
PERP = "BTC/USDT:USDT"
HISTORY = 40

CLIENTS: dict[str, Callable[[Any, SimServer], Any]] = {
    "binance": lambda ccxt, server: test_ccxt_binance.client(ccxt, server, "perp"),
    "okx": lambda ccxt, server: test_ccxt_okx.client(ccxt, server),
    "bybit": lambda ccxt, server: test_ccxt_bybit.client(ccxt, server, "perp"),
    "kucoin": lambda ccxt, server: test_ccxt_kucoin.client(ccxt, server),
}


class Readers:
    """One simulated venue, read by ccxt and by the engine."""

    def __init__(self, name: str, exchange: Any, desk: FundingDesk) -> None:
        self.name = name
        self.exchange = exchange
        self.desk = desk


def freeze(server: SimServer) -> None:
    """Let marks and running rates move once more, and then no more."""
    for flow in server.flows:
        if flow._is_perp:
            flow._mark()
        flow._mark = lambda: None  # type: ignore[method-assign]


@pytest.fixture(params=CLIENTS)
async def readers(request: pytest.FixtureRequest, ccxt: Any, tmp_path: Path) -> AsyncIterator[Readers]:
    name = request.param
    async with running_sim(name) as server:
        freeze(server)
        endpoints = tmp_path / "sim.json"
        endpoints.write_text(json.dumps(server.addresses))
        async with (
            under_test(CLIENTS[name](ccxt, server), "perp") as exchange,
            rig(tmp_path, (PERP,), venue_name=name, sim={"endpoints": str(endpoints)}) as bench,
        ):
            venue = bench.venue(PERP)
            assert venue.funding_desk is not None
            await venue.funding_desk.known([PERP])
            await until(lambda: PERP in venue.funding and venue.funding[PERP].funding_rate is not None, 90)
            yield Readers(name, exchange, venue.funding_desk)


def exact(number: float | None) -> D:
    assert number is not None
    return D(str(number))


async def test_running_rates_are_the_same(readers: Readers) -> None:
    theirs = await readers.exchange.fetch_funding_rate(PERP)
    ours = readers.desk.row(PERP)
    assert exact(theirs["fundingRate"]) == D(ours["rate"])
    assert theirs["fundingTimestamp"] is not None
    assert utc_text(int(theirs["fundingTimestamp"]) * 1_000_000) == ours["next_settlement_utc"]
    assert theirs["interval"] in (None, f"{ours['interval_h']}h")
    for key in ("mark", "index"):
        told = theirs[f"{key}Price"]
        assert told is None or exact(told) == D(ours[key]), key
    told = theirs["previousFundingRate"]
    assert told is None or exact(told) == D(ours["last_settled_rate"])
    assert (theirs["nextFundingRate"] is None) == (ours["predicted_rate"] is None)


async def test_settled_rates_are_the_same(readers: Readers) -> None:
    theirs = await readers.exchange.fetch_funding_rate_history(PERP, None, HISTORY)
    ours = (await readers.desk.history(PERP, HISTORY))["rates"]
    assert len(ours) == HISTORY
    read = {utc_text(round(row["timestamp"] / 1_000) * 10**9): exact(row["fundingRate"]) for row in theirs}
    assert len(read) == len(theirs) >= HISTORY
    assert [(row["settled_utc"], D(row["rate"])) for row in ours] == sorted(read.items(), reverse=True)[
        :HISTORY
    ]
