"""The sixth venue, plugged in through the wiring's table, passes the kit that every venue must pass."""

from __future__ import annotations

import gc
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from engine.model.instrument import Product
from engine.sim.config import load
from engine.sim.ports import Settings
from engine.sim.server import SimServer, write_endpoints
from engine.supervisor import wiring
from tests.kit import markets, test_limits, test_market_data, test_orders
from tests.sixth_venue import wire
from tests.sixth_venue.market_data import CAPABILITIES
from tests.sixth_venue.wiring import ACORN

pytestmark = [pytest.mark.timeout(120), markets.LOOP]
FOLDER = Path(__file__).resolve().parent
KitTest = Callable[..., Coroutine[Any, Any, None]]


def kit_tests(*modules: Any) -> list[KitTest]:
    """Return the kit's tests that need no venue of their own, as functions."""
    return [
        function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("test_") and not _is_slow(function)
    ]


def _is_slow(function: Any) -> bool:
    return any(mark.name == "slow" for mark in getattr(function, "pytestmark", []))


DAMAGE = ("duplicate_depth", "garbage_frame", "disconnect")
NOT_FOR_ACORN = {
    "test_cancel_all": "the matrix says that Acorn has no cancel-all",
    "test_a_silent_topic_on_a_living_connection_is_found": "silence is held to a REST book: it has none",
}
CASES = [
    (function, fault)
    for function in kit_tests(test_market_data, test_orders, test_limits)
    if function.__name__ not in NOT_FOR_ACORN
    for fault in (DAMAGE if "fault" in inspect.signature(function).parameters else ("",))
]


@pytest_asyncio.fixture(loop_scope="session")
async def acorn(tmp_path: Path) -> AsyncIterator[markets.Market]:
    """Run the simulated exchange in this process, with Acorn in both tables, and return the market."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(wiring._VENUES, "acorn", ACORN)
        patch.setitem(sys.modules, "engine.sim.acorn.wire", wire)
        config = FOLDER / "sim.toml"
        server = SimServer(load(config, ["acorn"]), seed=1, rate=100.0, settings=Settings())
        endpoints = tmp_path / "endpoints.json"
        await server.start()
        write_endpoints(endpoints, server.addresses)
        try:
            sim = (("endpoints", str(endpoints)), ("config", str(config)))
            yield markets.Market("acorn", Product.SPOT, CAPABILITIES, sim=sim)
        finally:
            await markets.SHARED.close()
            await server.stop()
            gc.unfreeze()  # the server expects a process of its own


@pytest.mark.parametrize(
    ("function", "fault"), CASES, ids=[f"{each.__name__[5:]}-{fault}".strip("-") for each, fault in CASES]
)
async def test_kit(acorn: markets.Market, function: KitTest, fault: str, tmp_path: Path) -> None:
    offered = {"market": acorn, "transport": "rest", "fault": fault, "tmp_path": tmp_path}
    wanted = inspect.signature(function).parameters
    await function(**{name: offered[name] for name in wanted})


async def test_the_matrix_lists_it(acorn: markets.Market) -> None:
    offers, made = wiring.capabilities()["acorn", Product.SPOT]
    assert (offers, made) == (CAPABILITIES, ACORN)
    assert ("acorn", Product.PERP) not in wiring.capabilities()
