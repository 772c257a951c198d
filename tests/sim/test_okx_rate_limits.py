"""OKX's limits: windows by address, account, instrument and kind of request; nothing runs beyond them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.sim.clock import ManualSimClock
from engine.sim.okx.errors import OkxError
from engine.sim.okx.instruments import Instrument
from engine.sim.okx.limits import Limit, RateLimits
from tests.sim.okx_rig import SPOT, SWAP, Rig

START_MS = 1_790_000_000_000


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


class Desk:
    """Asks `RateLimits` as an order request does; tells the refusal's code, "0" for none."""

    def __init__(self, rig: Rig) -> None:
        self.clock = ManualSimClock(START_MS)
        self.limits = RateLimits(self.clock.now_ms)
        self.listed = rig.wire.venue.listing.by_id

    def ask(self, action: str, *names: str, who: str = "alice") -> str:
        items: list[Instrument | None] = [self.listed[name] for name in names]
        try:
            self.limits.take_orders(action, who, items)
        except OkxError as error:
            return error.code
        return "0"


def test_a_window_of_two_seconds() -> None:
    clock = ManualSimClock(START_MS)
    limits = RateLimits(clock.now_ms)
    for _ in range(2):
        limits.take("/x", Limit(2), "a")
    with pytest.raises(OkxError, match="50011") as refused:
        limits.take("/x", Limit(2), "a")
    assert refused.value.status == 429
    limits.take("/x", Limit(2), "b")
    limits.take("/x", Limit(2), "a", "SWAP")
    clock.advance(2_000)
    limits.take("/x", Limit(2), "a")


async def test_orders_are_counted_by_account_instrument_and_action(rig: Rig) -> None:
    desk = Desk(rig)
    for action in ("place", "amend", "cancel"):
        assert [desk.ask(action, SWAP) for _ in range(61)] == ["0"] * 60 + ["50011"]
    assert desk.ask("place", SPOT) == "0"
    assert desk.ask("place", SWAP, who="bob") == "0"
    desk.clock.advance(2_000)
    assert desk.ask("place", SWAP) == "0"


async def test_batches_have_their_own_window_and_are_taken_whole(rig: Rig) -> None:
    desk = Desk(rig)
    for _ in range(14):
        assert desk.ask("place", *[SWAP] * 20) == "0"
    assert desk.ask("place", *[SWAP] * 19) == "0"
    assert desk.ask("place", SWAP, SWAP) == "50011"
    assert desk.ask("place", SWAP) == "0", "a batch of one is a single order"
    assert desk.ask("place", SPOT, SWAP) == "0", "what was refused has taken nothing"
    assert desk.ask("place", SPOT, SWAP) == "50011"


async def test_the_sub_account_has_a_window_over_all_derivatives(rig: Rig) -> None:
    desk = Desk(rig)
    names = [one.inst_id for one in rig.wire.venue.listing.all if one.is_swap]
    # Two contracts have room for 2 x 300 in batches of each kind, and 2 x 60 singly.
    for name in names:
        for _ in range(15):
            assert desk.ask("place", *[name] * 20) == "0"
        for _ in range(60):
            assert desk.ask("place", name) == "0"
    for _ in range(14):
        assert desk.ask("amend", *[names[0]] * 20) == "0"
    assert desk.ask("amend", names[0]) == "50061", "720 new and 280 amended ones are 1000"
    assert desk.ask("cancel", names[0]) == "0"
    assert desk.ask("amend", SPOT) == "0"
    assert desk.ask("amend", names[0], who="bob") == "0"


async def test_rest_and_websocket_share_the_window_and_nothing_runs_beyond_it(rig: Rig) -> None:
    rig.wire.venue.limits.now_ms = lambda: START_MS
    socket = await rig.private()
    codes = []
    for number in range(31):
        codes.append((await rig.post("/trade/order", rig.item(ordType="post_only")))["code"])
        codes.append((await socket.order("order", rig.coded(), number=f"n{number}"))["code"])
    assert codes == ["0"] * 60 + ["50011"] * 2
    assert len(rig.exchange.orders) == 60
    rig.wire.venue.limits.now_ms = lambda: START_MS + 2_000
    assert (await socket.order("order", rig.coded()))["code"] == "0"


async def test_a_batch_beyond_the_window_is_refused_whole(rig: Rig) -> None:
    rig.wire.venue.limits.now_ms = lambda: START_MS
    socket = await rig.private()
    for _ in range(14):
        await rig.post("/trade/batch-orders", [rig.item()] * 20)
    assert (await rig.post("/trade/batch-orders", [rig.item()] * 19))["code"] == "0"
    answer = await socket.order("batch-orders", rig.coded(), rig.coded())
    assert (answer["code"], answer["data"]) == ("50011", [])
    assert len(rig.exchange.orders) == 299, "the one that had room was not executed"


async def test_public_endpoints_are_limited_by_address(rig: Rig) -> None:
    rig.wire.venue.limits.now_ms = lambda: START_MS
    answers = [await rig.raw("GET", "/public/time", name=None) for _ in range(11)]
    assert [status for status, _, _ in answers] == [200] * 10 + [429]
    assert answers[-1][1]["code"] == "50011"
    assert "Retry-After" not in answers[-1][2], "nothing of the kind is documented"


async def test_some_windows_are_by_instrument(rig: Rig) -> None:
    rig.wire.venue.limits.now_ms = lambda: START_MS

    async def ask(name: str) -> int:
        return (await rig.raw("GET", "/public/funding-rate", f"instId={name}", name=None))[0]

    assert [await ask(SWAP) for _ in range(11)] == [200] * 10 + [429]
    assert await ask("ETH-USDT-SWAP") == 200


async def test_signed_endpoints_are_limited_by_account(rig: Rig) -> None:
    rig.wire.venue.limits.now_ms = lambda: START_MS
    for _ in range(5):
        await rig.rows("/account/config", "alice")
    assert (await rig.get("/account/config", "alice"))["code"] == "50011"
    assert (await rig.get("/account/config", "bob"))["code"] == "0"
    assert (await rig.get("/account/balance", "alice"))["code"] == "0"
