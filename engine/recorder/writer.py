"""The writer process as the recorder sees it: started, listened to, and started again when it dies."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterable

import msgspec

from engine.model.errors import ConfigError
from engine.recorder.files import Written
from engine.recorder.process import Order, Start
from engine.telemetry import events
from engine.telemetry.log import EventLog

RESTART_FIRST_S = 0.5
RESTART_MAX_S = 30.0
READY_S = 60.0
END_S = 2.0


class WriterProcess:
    """Keeps one writer alive.

    Args:
        start: its first line. descriptors: shared memory that it inherits.
        on_written: told what became of each batch.
        on_death: told that a working writer has died, before another is started.
        owed: returns what a fresh writer has to be told; batches a dead one was given among it.

    Attributes:
        restarts: writers that died.
    """

    def __init__(
        self,
        start: Start,
        descriptors: tuple[int, ...],
        log: EventLog,
        *,
        on_written: Callable[[Written], None],
        on_death: Callable[[], None],
        owed: Callable[[], Iterable[Order]],
    ) -> None:
        self._start = start
        self._descriptors = descriptors
        self._log = log
        self._on_written = on_written
        self._on_death = on_death
        self._owed = owed
        self._process: asyncio.subprocess.Process | None = None
        self._serving: asyncio.Task[None] | None = None
        self._is_up = False
        self.restarts = 0

    @property
    def pid(self) -> int:
        """Return the writer's process id, 0 while there is none."""
        return self._process.pid if self._process is not None and self._is_up else 0

    async def start(self) -> None:
        """Start the writer.

        Raises:
            ConfigError: it cannot be started.
        """
        await self._launch()
        self._serving = asyncio.get_running_loop().create_task(self._serve(), name="parquet writer")

    def tell(self, order: Order) -> None:
        """Tell the writer. One that is dead need not hear it: the next one is told all that is owed."""
        if self._is_up:
            self._write(order)

    def _write(self, message: Start | Order) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
        except (OSError, RuntimeError):
            self._is_up = False  # it has died this moment; its results end, and that starts another

    async def _launch(self) -> None:
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "engine.recorder.process",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                pass_fds=self._descriptors, start_new_session=True,
                env={key: value for key, value in os.environ.items() if "API_" not in key},
            )  # fmt: skip
        except OSError as error:
            raise ConfigError(f"the Parquet writer cannot be started: {error.strerror}") from None
        # No await from here to the last line that is owed: a batch must not overtake what it depends on.
        self._is_up = True
        self._write(self._start)
        for order in self._owed():
            self._write(order)
        assert process.stdout is not None
        try:
            first = await asyncio.wait_for(process.stdout.readline(), READY_S)
        except TimeoutError:
            first = b""
        if first != b"ready\n":
            await self._end(process)
            raise ConfigError('the Parquet writer did not start; recorder.writer = "thread" works without it')

    async def _serve(self) -> None:
        """Read the writer's results; when it dies, start another."""
        while True:
            process = self._process
            assert process is not None
            assert process.stdout is not None
            while (line := await process.stdout.readline()).endswith(b"\n"):
                self._on_written(msgspec.json.decode(line, type=Written))
            self._is_up = False
            await self._end(process)
            self.restarts += 1
            self._failed(f"exit code {process.returncode}", RESTART_FIRST_S)
            self._on_death()
            await self._revive()

    async def _revive(self) -> None:
        pause = RESTART_FIRST_S
        while True:
            await asyncio.sleep(pause)
            try:
                await self._launch()
            except ConfigError as error:
                pause = min(pause * 2, RESTART_MAX_S)
                self._failed(str(error), pause)
            else:
                return

    def _failed(self, error: str, retry_s: float) -> None:
        self._log.emit(events.TASK_FAILED, task="parquet writer", error=error, retry_s=retry_s)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Close the writer's input, which ends it; kill it if that does not."""
        self._is_up = False
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def stop(self) -> None:
        """End the writer."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        if self._process is not None:
            await self._end(self._process)
