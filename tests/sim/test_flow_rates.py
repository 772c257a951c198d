"""The crowd's pace: rates by venue, levels to a batch, turns that end; what a seed makes stays the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.sim.__main__ import main
from engine.sim.clock import ManualSimClock
from engine.sim.config import load
from engine.sim.exchange import Exchange
from engine.sim.flow import AT_ONCE, Flow, MarketFlow
from engine.sim.model import Batch
from engine.sim.ports import Settings
from engine.sim.server import SimServer

CONFIG = Path(__file__).parents[2] / "config" / "sim.toml"


def exchange(clock: ManualSimClock) -> Exchange:
    config = load(CONFIG, ["okx"])
    return Exchange("okx", config.specs["okx"], config.accounts["okx"], clock)


def batches(changes: int, count: int) -> list[Batch]:
    """Return the batches of one market's crowd."""
    market = exchange(ManualSimClock()).markets["spot", "BTC-USDT"]
    crowd = MarketFlow(Exchange("okx", [], [], ManualSimClock()), market, 7, changes)
    crowd.seed_book()
    found = []
    for _ in range(count):
        crowd.step()
        if (batch := market.close_batch()) is not None:
            found.append(batch)
    return found


def test_a_venue_may_have_a_rate_of_its_own() -> None:
    config = load(CONFIG, ["binance", "okx"])
    server = SimServer(config, seed=1, rate=100.0, settings=Settings(), rates={"okx": 400.0})
    paces = {(flow.exchange.venue, round(sum(1 / each for each in flow._interval))) for flow in server.flows}
    assert paces == {("binance", 100), ("okx", 400)}


def test_a_batch_changes_as_many_levels_as_asked_for() -> None:
    for wanted in (4, 12):
        found = batches(wanted, 400)
        mean = sum(len(batch.bids) + len(batch.asks) for batch in found) / len(found)
        assert 0.5 * wanted < mean < 1.2 * wanted


def test_a_seed_makes_the_same_books_as_ever() -> None:
    lines = [
        (batch.first_id, batch.last_id, sorted(batch.bids.items()), sorted(batch.asks.items()))
        for batch in batches(12, 300)
    ]
    assert hashlib.sha256(repr(lines).encode()).hexdigest()[:16] == "ff10a5de7d21447c"


def test_one_turn_leaves_the_rest_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualSimClock()
    flow = Flow(exchange(clock), "spot", 3, 10_000.0)
    clock.advance(1_000)
    moved: list[MarketFlow] = []
    monkeypatch.setattr(MarketFlow, "step", lambda self: moved.append(self))
    monkeypatch.setattr("engine.sim.flow.BURST_PROBABILITY", 0.0)
    assert flow.advance() == 0.0, "there is more to do at once"
    assert len(moved) == AT_ONCE


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        (["--venues", "binance", "--rates", "okx=100"], "--rates names okx, which --venues does not"),
        (["--rates", "binance=0"], "a rate of 0.0 must lie above 0"),
        (["--changes", "1"], "--changes 1 must lie between 2 and 30"),
        (["--port-base", "99999"], "--port-base 99999 must lie between 1024 and 65000"),
        (["--port-base", "-1"], "--port-base -1 must lie between 1024 and 65000"),
    ],
)
def test_switches_that_make_no_sense_are_refused(
    switches: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(switches) == 78
    assert said in capsys.readouterr().err
