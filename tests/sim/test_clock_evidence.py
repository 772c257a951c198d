"""What an engine learns of a venue's clock beside the time request: from pongs, and from orders it placed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.engine_rig import PERP, SPOT, rig, until
from tests.sim.test_router_binance import place

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("streams", ["unified", "classic"])
async def test_pongs_that_tell_the_time_are_round_trips(tmp_path: Path, streams: str) -> None:
    async with rig(tmp_path, (SPOT,), venue_name="kucoin", streams=streams) as bench:
        clock = bench.venue(SPOT).venue_clock
        known, asked = clock.round_trips, len(bench.logged("clock.measured"))
        await until(lambda: clock.round_trips - known > 2 * (len(bench.logged("clock.measured")) - asked) + 1)
        low, high = clock.bounds_ns() or (1, 0)
        assert low <= 0 <= high, "both on one machine"
        assert (clock.steps, clock.outliers, clock.implausible) == (0, 0, 0)


@pytest.mark.parametrize("universal", [SPOT, PERP])
@pytest.mark.parametrize("transport", ["rest", "ws"])
async def test_an_order_that_was_taken_is_a_round_trip(
    tmp_path: Path, universal: str, transport: str
) -> None:
    async with rig(tmp_path, (universal,)) as bench:
        clock = bench.venue(universal).venue_clock
        known = clock.round_trips
        order = place(bench, universal, transport)
        await until(lambda: order.was_acked, what=order)
        await until(lambda: clock.round_trips > known)
        low, high = clock.bounds_ns() or (1, 0)
        assert low <= 0 <= high
        assert (clock.steps, clock.outliers, clock.implausible) == (0, 0, 0)
