"""The public prints of one venue product: each once, holes filled or told, and the candles that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.model.instrument import Instrument
from engine.model.market import Trade
from engine.model.ports import Clock
from engine.model.trades import Candle, MissedTrades, TradeIds, TradeListReader
from engine.prints.candles import CandleSeries
from engine.prints.tape import PrintTape, order_of
from engine.session.trade_filler import TradeFiller
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.transport.http import HttpPool
from engine.transport.request_budget import RequestBudget

INTERVALS = {"1s": 1_000_000_000, "1m": 60_000_000_000}
CANDLES_KEPT = {"1s": 600, "1m": 1_440}
"""Ten minutes and a day, per instrument."""
CONCURRENCY = 2


class Prints:
    """Prints of every served instrument.

    Args:
        names: (venue, product), for logs.
        reader: asks for the venue's latest prints; ``None`` where it has no such list.
        instruments: by universal symbol.
        heard: told of every print once: live ones as they come, missing ones when they are had.
        offset_ns: the venue's clock minus ours.

    Attributes:
        tapes: by universal symbol.
        backfilled: prints that were asked for. missed: holes that stay. missed_trades: what is known to be
            missing in them.
    """

    def __init__(
        self,
        names: tuple[str, str],
        reader: TradeListReader | None,
        pool: HttpPool,
        budget: RequestBudget,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        log: EventLog,
        *,
        timeout_s: float,
        heard: Callable[[Trade], None],
        offset_ns: Callable[[], int],
    ) -> None:
        self._venue, self._product = names
        self._ids = TradeIds.UNIQUE if reader is None else reader.ids
        self._resolution_ns = 1 if reader is None else reader.resolution_ns
        self._instruments = instruments
        self._clock = clock
        self._log = log
        self._heard = heard
        self._offset_ns = offset_ns
        self._filler: TradeFiller | None = None
        if reader is not None:
            self._filler = TradeFiller(
                reader, pool, budget, clock, log, timeout_s=timeout_s, concurrency=CONCURRENCY,
                filled=self._filled, closed=self._closed,
            )  # fmt: skip
        self.tapes: dict[str, PrintTape] = {}
        self._candles: dict[str, dict[str, CandleSeries]] = {}
        self._is_up: set[str] = set()
        self.backfilled = 0
        self.missed = 0
        self.missed_trades = 0

    def add(self, universal: str) -> None:
        """Keep the prints of one more instrument."""
        self.tapes[universal] = PrintTape(universal, self._ids, self._resolution_ns)
        self._candles[universal] = {
            name: CandleSeries(universal, interval_ns, CANDLES_KEPT[name])
            for name, interval_ns in INTERVALS.items()
        }

    async def stop(self) -> None:
        """Ask for nothing any more."""
        if self._filler is not None:
            await self._filler.stop()

    # ---------------------------------------------------------------------------------------- events

    def on_trade(self, trade: Trade) -> None:
        """Take a print once: twins bring it twice, and so does a replaced connection for a moment."""
        tape = self.tapes[trade.universal]
        was_whole = tape.hole is None
        last = tape.last
        new = tape.take(trade)
        if was_whole and tape.hole is not None:
            self._hold(tape, last)
            self._ask(tape)
        if new is not None:
            self._count(new)

    def _count(self, trade: Trade) -> None:
        for series in self._candles[trade.universal].values():
            series.add(trade)
        self._heard(trade)

    def cut(self, universals: Iterable[str]) -> None:
        """The connection that brings these prints is lost."""
        for universal in universals:
            if universal in self._is_up:
                self._is_up.discard(universal)
                tape = self.tapes[universal]
                tape.cut()
                self._hold(tape, tape.last)

    def back(self, universals: Iterable[str]) -> None:
        """These prints come again: fetch what came meanwhile."""
        for universal in universals:
            self._is_up.add(universal)
            if self.tapes[universal].hole is not None:
                self._ask(self.tapes[universal])

    def _hold(self, tape: PrintTape, last: Trade | None) -> None:
        if last is not None:
            for series in self._candles[tape.universal].values():
                series.hold(last.venue_utc_ns)

    def _ask(self, tape: PrintTape) -> None:
        if self._filler is not None:
            self._filler.request(tape, self._instruments[tape.universal])
        elif tape.universal in self._is_up:
            self._closed(tape, tape.abandon(self._clock.utc_ns() + self._offset_ns()))

    def _filled(self, tape: PrintTape, trades: list[Trade]) -> None:
        self.backfilled += len(trades)
        for trade in trades:
            self._count(trade)

    def _closed(self, tape: PrintTape, missed: MissedTrades | None) -> None:
        for series in self._candles[tape.universal].values():
            if missed is not None:
                series.release((missed.from_utc_ns, missed.to_utc_ns))
            else:
                series.release()
            if tape.hole is not None and tape.hole.last is not None:
                series.hold(tape.hole.last.venue_utc_ns)  # the rest of it is still being asked for
        if missed is None:
            return
        self.missed += 1
        self.missed_trades += missed.count or 0
        self._log.emit(
            events.TRADES_MISSED,
            venue=self._venue,
            instrument=tape.universal,
            from_id=missed.from_id,
            to_id=missed.to_id,
            from_utc_ns=missed.from_utc_ns,
            to_utc_ns=missed.to_utc_ns,
            count=missed.count,
        )

    # ----------------------------------------------------------------------------------------- views

    def latest(self, universal: str, count: int) -> list[Trade]:
        """Return the latest prints, oldest first."""
        return self.tapes[universal].trades[-count:]

    async def recent(self, universal: str, count: int) -> tuple[list[Trade], bool]:
        """Return the latest prints, oldest first; asks the venue where this process knows too few.

        Returns:
            The prints, and whether some are from before this process heard of them.
        """
        trades = self.tapes[universal].trades
        older: list[Trade] = []
        if len(trades) < count and self._filler is not None:
            older = await self._filler.latest(self._instruments[universal])
            if trades:
                first = order_of(trades[0])
                older = [each for each in older if order_of(each) < first]
        return [*older, *trades][-count:], bool(older)

    def candles(self, universal: str, interval: str, count: int) -> list[Candle]:
        """Return the latest candles, oldest first; ``interval`` is one of ``INTERVALS``."""
        instrument = self._instruments[universal]
        series = self._candles[universal][interval]
        return series.candles(count, instrument.price_scale, instrument.qty_scale)

    def health(self) -> dict[str, Any]:
        """Return counters for ``status``."""
        return {
            "kept": sum(len(tape.trades) for tape in self.tapes.values()),
            "backfilled": self.backfilled,
            "holes_open": sum(tape.hole is not None for tape in self.tapes.values()),
            "missed": self.missed,
            "missed_trades": self.missed_trades,
            "far": sum(some["1s"].far for some in self._candles.values()),
            "late": sum(series.late for some in self._candles.values() for series in some.values()),
            "lists": self._filler.fetched if self._filler else 0,
            "lists_failed": self._filler.failed if self._filler else 0,
        }
