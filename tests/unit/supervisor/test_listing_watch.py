"""What the venue changes of its instruments while the engine runs: told, taken over, or halted."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from engine.book.l2 import new_book, new_feed
from engine.book.sync import BookSync
from engine.model.errors import NotSent, UsageError
from engine.model.instrument import Instrument, InstrumentStatus
from engine.model.market import BookState, Feed, Side
from engine.router.checks import new_order
from engine.supervisor import listing as listing_module
from engine.supervisor.listing import ListingHooks, ListingWatch, changes, in_scales_of
from engine.telemetry.events import Event
from engine.telemetry.log import EventLog
from tests.property.depth_dialects import DIALECTS
from tests.unit.router.test_checks import SPOT

NAME = SPOT.universal


def other(**fields: object) -> Instrument:
    return msgspec.structs.replace(SPOT, **fields)


class Told(EventLog):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def emit(self, event: Event, **keys: object) -> None:
        assert keys.keys() == set(event.keys)
        self.rows.append({"event": event.name, **keys})


class Desk:
    """A watch over one served instrument, and what it did."""

    def __init__(self, *answers: object) -> None:
        self.instruments, self.known = {NAME: SPOT}, {SPOT.symbol: SPOT}
        self.done: list[tuple[str, ...]] = []
        self.answers = list(answers)
        self.share = 0.0
        self._log = Told()
        hooks = ListingHooks(
            lambda each: self.done.append(("replaced", each.universal)),
            lambda name, why: self.done.append(("halt", name, why)),
            lambda name, why: self.done.append(("resume", name, why)),
        )
        self.watch = ListingWatch(
            ("venue", "spot"), self.read, lambda: self.share, self.instruments, self.known, hooks,
            self._log,
        )  # fmt: skip

    async def read(self) -> list[Instrument]:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, list)
        return answer

    def told(self, event: str) -> list[dict[str, object]]:
        return [row for row in self._log.rows if row["event"] == event]


def test_the_same_listing_changes_nothing() -> None:
    desk = Desk()
    desk.watch.take([SPOT])
    assert (desk.done, desk.watch.changed, desk.instruments[NAME]) == ([], 0, SPOT)


def test_a_new_tick_and_lot_are_in_force_at_once() -> None:
    desk = Desk()
    desk.watch.take([other(tick_size=SPOT.tick_size * 10, lot_size=SPOT.lot_size * 10)])
    assert desk.instruments[NAME] is desk.known[SPOT.symbol]
    assert desk.done == [("replaced", NAME)]
    rows = {row["field"]: (row["old"], row["new"]) for row in desk.told("instrument.changed")}
    tick = SPOT.price(SPOT.tick_size)
    assert rows["tick_size"] == (f"{tick.normalize():f}", f"{(tick * 10).normalize():f}")
    assert set(rows) == {"tick_size", "lot_size"}
    price = f"{SPOT.price(SPOT.tick_size) + 50_000:f}"
    with pytest.raises(UsageError, match="multiple"):
        new_order(desk.instruments[NAME], "a", Side.BUY, "1", price)
    new_order(SPOT, "a", Side.BUY, "1", price)


@pytest.mark.fault("P27")
@pytest.mark.parametrize(
    "status", [status for status in InstrumentStatus if status is not InstrumentStatus.TRADING]
)
def test_what_does_not_trade_is_halted_and_comes_back(status: InstrumentStatus) -> None:
    desk = Desk()
    desk.watch.take([other(status=status)])
    desk.watch.take([other(status=status)])
    assert desk.done == [("replaced", NAME), ("halt", NAME, f"{status.value} at the venue")]
    with pytest.raises(UsageError, match=status.value):
        new_order(desk.instruments[NAME], "a", Side.BUY, "1", "50000")
    desk.watch.take([SPOT])
    assert desk.done[2:] == [("replaced", NAME), ("resume", NAME, "trading again")]
    assert desk.watch.halted == {}


@pytest.mark.fault("P19", "P28")
def test_what_the_list_has_no_more_is_halted_and_comes_back() -> None:
    desk = Desk()
    desk.watch.take([])
    assert desk.instruments[NAME].status is InstrumentStatus.CLOSED
    assert desk.known[SPOT.symbol].status is InstrumentStatus.CLOSED
    assert ("halt", NAME, "closed at the venue") in desk.done
    assert [row["symbol"] for row in desk.told("instrument.delisted")] == [SPOT.symbol]
    desk.watch.take([])
    assert desk.watch.delisted == 1
    desk.watch.take([SPOT])
    assert ("resume", NAME, "trading again") in desk.done
    assert desk.told("instrument.listed") == []


def test_a_part_of_the_list_delists_nothing() -> None:
    desk = Desk()
    desk.watch.take([], is_whole=False)
    assert desk.done == []


@pytest.mark.fault("P28")
def test_new_instruments_are_told_and_known() -> None:
    desk = Desk()
    new = other(symbol="NEWUSDT", universal="NEW/USDT", base="NEW")
    desk.watch.take([SPOT, new])
    assert desk.known["NEWUSDT"] == new
    assert NAME in desk.instruments
    assert "NEW/USDT" not in desk.instruments
    assert [row["instrument"] for row in desk.told("instrument.listed")] == ["NEW/USDT"]


@pytest.mark.fault("P19")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"contract_size": Decimal(10)}, "a contract was"),
        ({"universal": "OTHER/USDT"}, "is OTHER/USDT now"),
        ({"base": "OTHER"}, "base was"),
        ({"price_scale": SPOT.price_scale + 2, "tick_size": 1}, "tick_size does not fit"),
        ({"qty_scale": SPOT.qty_scale + 2, "lot_size": 1}, "lot_size does not fit"),
    ],
)
def test_numbers_of_another_meaning_let_the_instrument_rest(fields: dict[str, object], words: str) -> None:
    desk = Desk()
    desk.watch.take([other(**fields)])
    kept = desk.instruments[NAME]
    assert kept == msgspec.structs.replace(SPOT, status=InstrumentStatus.HALTED), "the old scales stay"
    halts = [row for row in desk.done if row[0] == "halt"]
    assert len(halts) == 1
    assert words in halts[0][2]
    assert "restart" in halts[0][2]
    desk.watch.take([other(**fields)])
    assert len(desk.told("instrument.frozen")) == 1
    desk.watch.take([SPOT])
    assert desk.instruments[NAME] == SPOT
    assert desk.done[-1][0] == "resume"


@pytest.mark.parametrize(("price_shift", "qty_shift"), [(0, 0), (-1, 0), (0, -2), (1, 1), (-1, 2)])
def test_another_choice_of_decimals_is_no_change(price_shift: int, qty_shift: int) -> None:
    def moved(value: int, shift: int) -> int:
        return int(value * 10**shift if shift >= 0 else value // 10**-shift)

    new = other(
        price_scale=SPOT.price_scale + price_shift,
        qty_scale=SPOT.qty_scale + qty_shift,
        **{name: moved(getattr(SPOT, name), price_shift) for name in listing_module._PRICES},
        **{name: moved(getattr(SPOT, name), qty_shift) for name in listing_module._QTYS},
    )
    fitting = in_scales_of(SPOT, new)
    assert isinstance(fitting, Instrument)
    assert {name for name, _, _ in changes(SPOT, fitting)} <= {"qty_min", "price_min"}
    for bound in ("tick_size", "lot_size"):
        assert getattr(fitting, bound) == getattr(SPOT, bound)


def test_bounds_are_rounded_to_the_stricter_side() -> None:
    finer = other(
        price_scale=SPOT.price_scale + 1,
        tick_size=SPOT.tick_size * 10,
        price_min=SPOT.tick_size * 10 + 1,
        price_max=SPOT.tick_size * 100 + 9,
    )
    fitting = in_scales_of(SPOT, finer)
    assert isinstance(fitting, Instrument)
    assert (fitting.price_min, fitting.price_max) == (SPOT.tick_size + 1, SPOT.tick_size * 10)


def test_two_symbols_of_one_name_are_told_and_none_is_served() -> None:
    desk = Desk()
    twin = other(symbol="TWIN")
    assert desk.watch.begin([SPOT, twin]) == []
    desk.watch.take([SPOT, twin])
    told = desk.told("instrument.collided")
    assert [(row["instrument"], row["symbols"]) for row in told] == [(NAME, [SPOT.symbol, "TWIN"])]
    assert desk.instruments[NAME].status is InstrumentStatus.HALTED
    assert set(desk.known) == {SPOT.symbol, "TWIN"}, "reports of either are still understood"


async def test_a_listing_that_fails_changes_nothing_and_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class EndOfTestError(Exception):
        pass

    desk = Desk(NotSent("the budget is used up"), [other(status=InstrumentStatus.HALTED)])
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        desk.share = 0.9 if len(pauses) == 1 else 0.0
        if len(pauses) == 4:
            raise EndOfTestError

    monkeypatch.setattr("engine.supervisor.listing.asyncio.sleep", sleep)
    with pytest.raises(EndOfTestError):
        await desk.watch.watch(300.0)
    assert pauses == [300.0, 30.0, 30.0, 300.0], "a full budget and a failure are tried again soon"
    assert (desk.watch.failures, desk.watch.reads) == (1, 1)
    assert len(desk.told("listing.failed")) == 1
    assert desk.instruments[NAME].status is InstrumentStatus.HALTED


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda each: getattr(each, "name", str(each))[:40])
def test_a_halted_book_stays_halted_whatever_happens(dialect: object) -> None:
    schema = dialect.schema  # type: ignore[attr-defined]
    book = new_book("b", 8, 8, 1)
    asked: list[int] = []
    sync = BookSync(
        book, new_feed(schema), lambda _, delay: asked.append(delay), lambda *_: None,
        is_in_band=schema.is_in_band,
    )  # fmt: skip
    sync.begin("connected")
    asked.clear()
    sync.halt("halted at the venue")
    generation = sync.generation
    sync.on_attention(Feed.BUFFER, b"{}", 1, 1)
    sync.distrust("an audit")
    book.mark_stale("malformed")
    sync.on_attention(Feed.REJECTED, b"{}", 1, 1)
    assert book.state is BookState.HALTED
    sync.tick(10**15)
    sync.lost("connection lost")
    sync.begin("connected")
    sync.follow(new_feed(schema), 5)
    assert (book.state, book.reason, asked) == (BookState.HALTED, "halted at the venue", [])
    assert sync.buffered == 0
    sync.resume("trading again")
    assert (book.state, asked) == (BookState.SYNCING, [0])
    assert sync.generation > generation
    sync.resume("again")
    assert asked == [0]
