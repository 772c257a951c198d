"""The engine: starts every part, watches them, answers questions, stops in bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import gc
import os
import random
import signal
import ssl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine import __version__
from engine.book.l2 import COMPILED
from engine.config import Config
from engine.model.errors import ConfigError, InstrumentUnknown, UsageError, VenueNotUp
from engine.model.instrument import Product
from engine.model.market import Side
from engine.model.orders import TimeInForce
from engine.model.ports import Clock
from engine.recorder.recorder import Recorder, boot_id
from engine.router.client_ids import ClientIds
from engine.supervisor import wiring
from engine.supervisor.built import stale_modules
from engine.supervisor.embedded_sim import SimulatedExchange
from engine.supervisor.epoch import next_epoch
from engine.supervisor.funding_answer import funding_answer
from engine.supervisor.market_answers import symbols_answer, trades_answer
from engine.supervisor.markets import Markets
from engine.supervisor.narrowing import narrowed as narrowed
from engine.supervisor.questions import checked
from engine.supervisor.systemd import ServiceManager
from engine.supervisor.trading import TradingDesk
from engine.supervisor.venue import VenueProduct
from engine.telemetry import events
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.transport.busy_poll import BusyPoll, pin_to
from engine.transport.control import ControlServer
from engine.transport.reconnect import ConnectionBudgets
from engine.transport.tls import client_context
from engine.venues.base import SignedReading

TICK_S = 0.1
STALL_NS = 1_000_000_000
"""The loop not running for this long makes every book suspect: what came meanwhile is old news."""
STOP_S = 15.0
BOOK_IDS_PER_PRODUCT = 10_000


class Engine:
    """One engine process.

    Args:
        config: the checked configuration.
        with_control: listen on the control socket; one-shot commands do not.
    """

    def __init__(self, config: Config, log: EventLog, *, with_control: bool = True) -> None:
        self.config = config
        self.log = log
        self.clock: Clock = SystemClock()
        self.manager = ServiceManager()
        self.venues: list[VenueProduct] = []
        self.markets = Markets(config)
        self.sim: SimulatedExchange | None = None
        self.sim_trouble = ""
        self.started_mono_ns = self.clock.mono_ns()
        self.is_ready = False
        self._with_control = with_control
        self._control: ControlServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._stop_reason = ""
        self._last_tick_ns = 0
        self._poll: BusyPoll | None = None
        self.stalls = 0
        self.has_failed = False
        self.recorder: Recorder | None = None
        self._next_tops_ns = 0
        self.desks: list[TradingDesk] = []
        self._desk_tasks: list[asyncio.Task[None]] = []

    # ---------------------------------------------------------------------------------------- start

    async def start(self) -> None:
        """Start every part; returns at once, books come LIVE in the background.

        Raises:
            ConfigError: something in the configuration cannot work.
        """
        config = self.config
        if config.loop.cpu >= 0:
            pin_to(config.loop.cpu)
        enabled = {name: section for name, section in config.venues.items() if section.enabled}
        self.log.emit(
            events.ENGINE_STARTED,
            version=__version__,
            instance=config.engine.instance,
            pid=os.getpid(),
            kernel="compiled" if COMPILED else "python",
            venues={name: section.environment for name, section in enabled.items()},
        )
        if not COMPILED:
            self.log.emit(
                events.KERNEL_MISSING, next_step="install gcc and the Python headers, then run: make build"
            )
        if stale := stale_modules():
            self.log.emit(events.BUILD_STALE, modules=stale, next_step="run: make build")
        if self._with_control and config.engine.control_socket:
            path = Path(config.engine.control_socket)
            self._control = ControlServer(path, self.handle, self._refused)
            await self._control.start()
        simulated = tuple(name for name, section in enabled.items() if section.environment == "sim")
        if simulated:
            self.sim = SimulatedExchange(self.log)
            await self.sim.open(config.sim, simulated)
        if config.recorder.enabled:
            self.recorder = self._new_recorder()
            await self.recorder.start()
        self._build_venues()
        self._build_desks()
        for venue in self.venues:
            venue.on_listed = self.markets.attach
            venue.on_replaced = self.markets.replaced
            venue.start()
        loop = asyncio.get_running_loop()
        self._desk_tasks = [loop.create_task(desk.start(), name="trading desk") for desk in self.desks]
        for task in self._desk_tasks:
            task.add_done_callback(self._desk_started)
        self._tasks = [loop.create_task(self._tick(), name="tick")]
        if self.manager.watchdog_s:
            self._tasks.append(loop.create_task(self._feed_watchdog(), name="watchdog"))
        if config.loop.busy_poll != "off":
            quiet = config.loop.busy_poll_ms if config.loop.busy_poll == "adaptive" else 0
            self._poll = BusyPoll(loop, self.clock, self._activity, quiet)
            self._poll.start()

    def _new_recorder(self) -> Recorder:
        section = self.config.recorder
        return Recorder(
            Path(section.directory),
            boot_id(self.clock.utc_ns()),
            self.clock,
            self.log,
            capacity=section.batch_rows,
            flush_interval_ms=section.flush_interval_ms,
            writer=section.writer,
        )

    def _record(self, now: int) -> None:
        """Record the best levels when it is time, and hand full columns to the writer."""
        assert self.recorder is not None
        section = self.config.recorder
        if section.snapshot_interval_ms and now >= self._next_tops_ns:
            self._next_tops_ns = now + section.snapshot_interval_ms * 1_000_000
            for venue in self.venues:
                venue.record_tops(section.snapshot_depth)
        if self.recorder.wants_bases:
            self.recorder.wants_bases = False
            for venue in self.venues:
                venue.record_tops(-1)
        self.recorder.poll()

    def _build_venues(self) -> None:
        generator = random.Random(time.time_ns())  # noqa: S311 - jitter, not secrets
        connects = ConnectionBudgets(self.clock)
        number = 0
        for name, section in self.config.venues.items():
            if not section.enabled:
                continue
            for word in section.products:
                product = Product(word)
                simulated = self.sim.endpoints if self.sim else {}
                endpoints = wiring.endpoints_for(name, section, product, simulated)
                number += 1
                self.venues.append(
                    VenueProduct(
                        wiring.market_data_adapter(name, product, endpoints, section),
                        endpoints,
                        getattr(section.instruments, word),
                        self.config,
                        clock=self.clock,
                        log=self.log,
                        tls=self._tls(section.environment),
                        generator=generator,
                        first_book_id=number * BOOK_IDS_PER_PRODUCT,
                        connects=connects,
                        recorder=self.recorder,
                        has_complete_tops=wiring.capabilities()[name, product][0].complete_tops,
                    )
                )

    def _build_desks(self) -> None:
        config = self.config
        ids: ClientIds | None = None
        for venue in self.venues:
            section = config.venues[venue.venue]
            credentials = wiring.credentials_for(venue.venue, config)
            refusal = ""
            if credentials is None:
                refusal = f"{venue.venue} has no keys: public data only (see env.example)"
            elif not config.orders_allowed(venue.venue):
                refusal = f"{venue.venue} is live, but [trading] live_orders is false: no orders leave"
            if refusal:
                self.log.emit(events.VENUE_PUBLIC_ONLY, venue=venue.venue, reason=refusal)
            if credentials is None:
                continue
            if isinstance(venue.adapter, SignedReading):
                venue.adapter.sign_reads(credentials, venue.stamp_ms)
            if ids is None:
                ids = ClientIds(config.engine.instance, next_epoch(Path(config.engine.data_dir)))
            adapter = wiring.trading_adapter(
                venue.venue, venue.product, venue.endpoints, credentials, venue.known, section
            )
            self.desks.append(
                TradingDesk(
                    adapter,
                    venue,
                    ids,
                    config,
                    clock=self.clock,
                    log=self.log,
                    tls=self._tls(section.environment),
                    generator=random.Random(time.time_ns()),  # noqa: S311 - jitter, not secrets
                    refusal=refusal,
                )
            )

    def _desk_started(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.log.emit(
                events.TASK_FAILED,
                task=task.get_name(),
                error=f"{type(error).__name__}: {error}"[:300],
                retry_s=None,
            )

    def _tls(self, environment: str) -> ssl.SSLContext:
        ca_file = self.sim.ca_file if environment == "sim" and self.sim else None
        return client_context(ca_file)

    def _activity(self) -> int:
        return sum(venue.messages for venue in self.venues)

    def _refused(self, error: str) -> None:
        self.log.emit(events.CONTROL_REFUSED, error=error)

    # ------------------------------------------------------------------------------------- watching

    async def _tick(self) -> None:
        """Run what is due several times a second; notice that the process did not run."""
        self._last_tick_ns = self.clock.mono_ns()
        while True:
            await asyncio.sleep(TICK_S)
            now = self.clock.mono_ns()
            late = now - self._last_tick_ns - int(TICK_S * 1e9)
            self._last_tick_ns = now
            if late > STALL_NS:
                self.stalls += 1
                self.log.emit(events.LOOP_STALLED, stall_ms=late // 1_000_000)
                for venue in self.venues:
                    venue.suspect("the process did not run for a while")
            for venue in self.venues:
                venue.tick(now)
            if self.recorder is not None:
                self._record(now)
            if not self.is_ready:
                self._check_ready(now)

    def _check_ready(self, now: int) -> None:
        """Become ready when every book was LIVE; a venue that is not up in time is named, not waited for."""
        books = sum(len(venue.books) for venue in self.venues)
        live = sum(venue.live_books for venue in self.venues)
        late = [venue for venue in self.venues if not venue.is_whole]
        waited = now - self.started_mono_ns >= self.config.engine.ready_grace_ms * 1_000_000
        if late and not (waited and len(late) < len(self.venues)):
            self.manager.status(f"starting: {live}/{books} books LIVE")
            return
        self.is_ready = True
        if self.config.loop.gc_freeze:
            gc.collect()
            gc.freeze()
        self.log.emit(
            events.ENGINE_READY,
            books=books,
            seconds=round((now - self.started_mono_ns) / 1e9, 3),
            without=[f"{venue.venue}.{venue.product.value}" for venue in late],
        )
        self.manager.ready(f"{live} books LIVE" + (f", {len(late)} venue products not up" if late else ""))

    async def _feed_watchdog(self) -> None:
        assert self.manager.watchdog_s is not None
        while True:
            self.manager.alive()
            await asyncio.sleep(self.manager.watchdog_s / 2)

    async def report(self, interval_s: float) -> None:
        """Log counters every so often, for a daemon without a terminal."""
        before = self._activity()
        while True:
            await asyncio.sleep(interval_s)
            now = self._activity()
            health = [venue.health() for venue in self.venues]
            self.log.emit(
                events.PROGRESS_REPORTED,
                live=sum(each["live"] for each in health),
                books=sum(each["books"] for each in health),
                messages_per_s=round((now - before) / interval_s),
                resyncs=sum(each["resyncs"] for each in health),
                wire_to_book_us={
                    f"{each['venue']}.{each['product']}": {
                        name: round(value / 1000, 1)
                        for name, value in each["wire_to_book_ns"].items()
                        if name != "count"
                    }
                    for each in health
                },
            )
            before = now

    async def wait_ready(self, timeout_s: float) -> bool:
        """Wait until every book was LIVE; return whether that happened in time."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self.is_ready:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def desks_ready(self) -> None:
        """Wait until every trading desk has measured its clock (at most a few seconds)."""
        if self._desk_tasks:
            await asyncio.wait(self._desk_tasks, timeout=5.0)

    # ----------------------------------------------------------------------------------------- stop

    def ask_stop(self, reason: str) -> None:
        """Ask :meth:`run` to return; a second time ends the process at once."""
        if self._stop.is_set():
            os._exit(1)
        self._stop_reason = reason
        self._stop.set()

    async def run(self, duration_s: float | None = None) -> None:
        """Serve until a signal, the duration's end, or a part that cannot be kept up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ask_stop, number.name)
        stop = loop.create_task(self._stop.wait())
        waits: set[asyncio.Task[Any]] = {stop, *self._tasks}
        if self.sim is not None and self.sim.pid is not None:
            waits.add(loop.create_task(self._keep_sim(), name="embedded exchange"))
        done, _ = await asyncio.wait(waits, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stop}:
            error = task.exception()
            self.log.emit(
                events.ENGINE_FAILED,
                error=f"{task.get_name()}: {type(error).__name__}: {error}",
                next_step="report this; the service manager starts the engine again",
            )
            self._stop_reason = f"{task.get_name()} failed"
            self.has_failed = True
        for task in waits - done:
            if task not in self._tasks:
                task.cancel()

    async def _keep_sim(self) -> None:
        """Say so when the embedded exchange ends; the venues stay down until it is back."""
        assert self.sim is not None
        while True:
            code = await self.sim.watch()
            self.log.emit(events.SIM_LOST, exit_code=code, last_words=self.sim.last_words)
            self.sim_trouble = f"the simulated exchange ended (exit code {code}), starting it again"
            while True:
                await asyncio.sleep(1.0)
                try:
                    await self.sim.restart(self.config.sim, tuple(self.sim.endpoints))
                    self.sim_trouble = ""
                    break
                except ConfigError as error:
                    self.log.emit(events.TASK_FAILED, task="embedded exchange", error=str(error), retry_s=1.0)

    async def stop(self) -> None:
        """Close everything within ``STOP_S`` seconds."""
        began = self.clock.mono_ns()
        self.manager.stopping()
        self.log.emit(events.ENGINE_STOPPING, reason=self._stop_reason or "done")
        if self._poll is not None:
            self._poll.stop()
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.wait_for(self._close_parts(), STOP_S)
        except TimeoutError:
            self.log.emit(
                events.ENGINE_FAILED,
                error="parts did not close in time",
                next_step="nothing: stopping anyway",
            )
        if self.sim is not None:
            await self.sim.close()
        self.log.emit(events.ENGINE_STOPPED, seconds=round((self.clock.mono_ns() - began) / 1e9, 3))

    async def _close_parts(self) -> None:
        if self._control is not None:
            await self._control.stop()
        for task in self._desk_tasks:
            task.cancel()
        await asyncio.gather(*self._desk_tasks, return_exceptions=True)
        await asyncio.gather(*[desk.stop() for desk in self.desks])
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*[venue.stop() for venue in self.venues])
        if self.recorder is not None:
            await self.recorder.close()

    # ------------------------------------------------------------------------------------ questions

    def find(self, universal: str, exchange: str | None = None) -> VenueProduct:
        """Return the venue product that serves a symbol.

        Raises:
            InstrumentUnknown: none does; the text lists what is near.
            VenueNotUp: one is configured to, but its listing has not been read.
        """
        candidates = [venue for venue in self.venues if exchange in (None, venue.venue)]
        if not candidates:
            known = ", ".join(sorted({venue.venue for venue in self.venues}))
            raise UsageError(f"no enabled venue {exchange!r}; enabled: {known}")
        for venue in candidates:
            if universal in venue.instruments:
                return venue
        configured = {venue: self._configured(venue) for venue in candidates}
        for venue, symbols in configured.items():
            if universal in symbols and not venue.is_listed.is_set():
                why = venue.error or "its listing has not come yet"
                raise VenueNotUp(f"{venue.venue} {venue.product.value} is {venue.state}: {why}")
        offered = sorted({symbol for symbols in configured.values() for symbol in symbols})
        if universal in offered:
            who = f"{exchange} does not list" if exchange else "no enabled venue lists"
            raise InstrumentUnknown(f"{who} {universal}, though the configuration names it")
        near = difflib.get_close_matches(universal.upper(), offered, n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        nobody = f"{exchange} does not serve" if exchange else "no enabled venue serves"
        raise InstrumentUnknown(f"{nobody} {universal}{hint}")

    def errors(self, venues: Iterable[VenueProduct]) -> list[dict[str, str]]:
        """Return which of some venue products are not up, and why."""
        return [
            {"venue": each.venue, "product": each.product.value, "error": each.error}
            for each in venues
            if each.error
        ]

    def _configured(self, venue: VenueProduct) -> tuple[str, ...]:
        """Return the symbols that the configuration gives a venue product."""
        symbols: tuple[str, ...] = getattr(self.config.venues[venue.venue].instruments, venue.product.value)
        return symbols

    async def handle(self, command: str, arguments: dict[str, Any]) -> Any:
        """Answer one question or order of the control socket or of a one-shot command.

        Raises:
            UsageError, ConfigError, InstrumentUnknown, VenueNotUp: it cannot be answered; the text says why.
        """
        arguments = checked(command, arguments)
        if command == "quotes":
            symbols = tuple(arguments.get("symbols", ()))
            exchange = arguments.get("exchange")
            for symbol in symbols:
                with contextlib.suppress(VenueNotUp):  # what is up is answered, the others are named
                    self.find(symbol, exchange)
            shown = [venue for venue in self.venues if exchange in (None, venue.venue)]
            return {
                "quotes": [row for venue in shown for row in venue.quote_rows(symbols)],
                "best": []
                if exchange
                else self.markets.best_rows(symbols, after_fees=bool(arguments.get("fees"))),
                "errors": self.errors(shown),
            }
        if command == "impact":
            self.find(str(arguments["symbol"]), arguments.get("exchange"))
            word = Product.PERP if ":" in str(arguments["symbol"]) else Product.SPOT
            asked = [each for each in self.venues if each.product is word]
            asked = [each for each in asked if arguments.get("exchange") in (None, each.venue)]
            return {**self.markets.impact(arguments), "errors": self.errors(asked)}
        if command == "book":
            venue = self.find(str(arguments["symbol"]), arguments.get("exchange"))
            return venue.book_view(str(arguments["symbol"]), int(arguments.get("depth", 10)))
        if command == "symbols":
            return await symbols_answer(self.venues, arguments)
        if command == "trades":
            return await trades_answer(self.venues, arguments)
        if command == "funding":
            return await funding_answer(self.venues, arguments)
        if command == "status":
            return self.status(bool(arguments.get("orders")))
        if command == "place":
            return await self._place(arguments)
        if command == "amend":
            return await self._amend(arguments)
        if command == "cancel":
            return await self._cancel(arguments)
        raise UsageError(f"unknown command {command!r}")

    def _desk(self, universal: str, exchange: str | None) -> TradingDesk:
        venue = self.find(universal, exchange)
        for desk in self.desks:
            if desk.market is venue:
                return desk
        raise UsageError(f"{venue.venue} has no keys: public data only (see env.example)")

    async def _place(self, arguments: dict[str, Any]) -> dict[str, Any]:
        universal = str(arguments["pair"])
        desk = self._desk(universal, arguments.get("exchange"))
        order = desk.place(
            universal,
            Side.BUY if arguments["side"] == "buy" else Side.SELL,
            str(arguments["qty"]),
            arguments.get("price"),
            time_in_force=TimeInForce(arguments.get("time_in_force", "gtc")),
            post_only=bool(arguments.get("post_only")),
            reduce_only=bool(arguments.get("reduce_only")),
            transport=str(arguments.get("transport") or ""),
        )
        await desk.settled(order)
        return next(row for row in desk.router.view() if row["client_order_id"] == order.client_order_id)

    async def _amend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        universal = str(arguments["pair"])
        desk = self._desk(universal, arguments.get("exchange"))
        order = await desk.order(universal, str(arguments["id"]))
        desk.amend(
            universal,
            order.client_order_id,
            arguments.get("qty"),
            arguments.get("price"),
            transport=str(arguments.get("transport") or ""),
        )
        await desk.settled(order)
        return next(row for row in desk.router.view() if row["client_order_id"] == order.client_order_id)

    async def _cancel(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        universal = str(arguments["pair"])
        desk = self._desk(universal, arguments.get("exchange"))
        transport = str(arguments.get("transport") or self.config.trading.transport)
        if arguments.get("all"):
            orders = await desk.open_orders(universal)
        else:
            orders = [await desk.order(universal, str(arguments["id"]))]
        for order in orders:
            desk.router.cancel(order.client_order_id, transport)
        for order in orders:
            await desk.settled(order)
        wanted = {order.client_order_id for order in orders}
        return [row for row in desk.router.view() if row["client_order_id"] in wanted]

    def status(self, with_orders: bool = False) -> dict[str, Any]:
        """Return the engine's health."""
        return {
            "version": __version__,
            "instance": self.config.engine.instance,
            "pid": os.getpid(),
            "ready": self.is_ready,
            "uptime_s": round((self.clock.mono_ns() - self.started_mono_ns) / 1e9, 1),
            "kernel": "compiled" if COMPILED else "python",
            "stalls": self.stalls,
            "log_lines_dropped": self.log.dropped,
            "events": self.log.counts,
            "sim_trouble": self.sim_trouble,
            "venues": [venue.health() for venue in self.venues],
            "recorder": self.recorder.stats() if self.recorder else None,
            "trading": [desk.view() for desk in self.desks],
            "orders": [row for desk in self.desks for row in desk.router.view()] if with_orders else None,
        }
