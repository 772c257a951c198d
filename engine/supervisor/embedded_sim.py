"""The embedded simulated exchange: started, watched and stopped as a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
from pathlib import Path

import msgspec

from engine.config import SimSection
from engine.model.errors import ConfigError
from engine.telemetry import events
from engine.telemetry.log import EventLog
from engine.venues.base import Endpoints

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
PORT_TRIES = 5


class SimulatedExchange:
    """Endpoints of a simulated exchange, and the process itself when it is ours.

    Attributes:
        endpoints: per venue and product name.
        admin: base address of the exchange's own truth.
        ca_file: certificate authority to trust, when it speaks TLS.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._port_base = 0
        self.endpoints: dict[str, dict[str, Endpoints]] = {}
        self.admin = ""
        self.ca_file: str | None = None

    async def open(self, section: SimSection, venues: tuple[str, ...]) -> None:
        """Read the endpoints of a running exchange, or start one and wait until it answers.

        Raises:
            ConfigError: the endpoints file is unusable, or the process did not come up.
        """
        if section.endpoints:
            self._read(Path(section.endpoints))
            return
        self._folder = tempfile.TemporaryDirectory(prefix="tecore-sim-")
        for attempt in range(PORT_TRIES):
            self._port_base = random.SystemRandom().randrange(20_000, 32_000, 50)
            try:
                await self._launch(section, venues)
            except ConfigError:
                if attempt == PORT_TRIES - 1:
                    raise
            else:
                return

    async def _launch(self, section: SimSection, venues: tuple[str, ...]) -> None:
        assert self._folder is not None
        file = Path(self._folder.name) / "endpoints.json"
        file.unlink(missing_ok=True)
        arguments = [
            "-m", "engine.sim", "--config", section.config, "--seed", str(section.seed),
            "--rate", str(section.rate), "--venues", ",".join(venues), "--endpoints", str(file),
            "--port-base", str(self._port_base), "--exit-with-stdin",
        ]  # fmt: skip
        if section.tls:
            arguments.append("--tls")
        # What it complains of goes to a file: our own standard error is a log that machines read.
        # Its input is a pipe of ours: should we be killed, the pipe closes and it ends as well. A session
        # of its own keeps a terminal's Ctrl-C from reaching it before we have closed our connections.
        with self._complaints.open("wb") as complaints:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,
                env={key: value for key, value in os.environ.items() if "API_" not in key},
            )
        await self._wait_ready(file)
        self._log.emit(events.SIM_STARTED, pid=self._process.pid, admin=self.admin)

    async def _wait_ready(self, file: Path) -> None:
        assert self._process is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        while not file.exists():
            if self._process.returncode is not None:
                raise ConfigError(
                    f"the simulated exchange ended at start (exit code {self._process.returncode}): "
                    f"{self.last_words or 'run `python -m engine sim` to see why'}"
                )
            if loop.time() > deadline:
                await self._end_process()
                raise ConfigError(f"the simulated exchange was not ready within {START_TIMEOUT_S:.0f} s")
            await asyncio.sleep(0.02)
        self._read(file)

    def _read(self, file: Path) -> None:
        try:
            data = msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])
            for venue, raw in data.items():
                if venue == "admin":
                    self.admin = msgspec.json.decode(raw, type=str)
                elif venue == "ca":
                    self.ca_file = msgspec.json.decode(raw, type=str)
                else:
                    self.endpoints[venue] = msgspec.json.decode(raw, type=dict[str, Endpoints])
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(
                f"sim.endpoints {file}: {error}; write one with `python -m engine sim --endpoints FILE`"
            ) from None

    @property
    def _complaints(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name) / "stderr"

    @property
    def last_words(self) -> str:
        """Return the last line of what our process wrote to its standard error, "" without one."""
        if self._folder is None:
            return ""
        try:
            with self._complaints.open("rb") as file:
                file.seek(max(0, self._complaints.stat().st_size - 4096))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1][:300] if lines else ""

    async def restart(self, section: SimSection, venues: tuple[str, ...]) -> None:
        """Start our ended process again, on the ports it had: every address stays true."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        await self._launch(section, venues)

    async def watch(self) -> int | None:
        """Wait for our process to end; return its exit code, or ``None`` when it is not ours."""
        if self._process is None:
            return None
        return await self._process.wait()

    @property
    def pid(self) -> int | None:
        """Return the process id of the embedded exchange, if it is ours."""
        return self._process.pid if self._process else None

    async def close(self) -> None:
        """Stop our process and remove its files."""
        await self._end_process()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    async def _end_process(self) -> None:
        """Stop our process: politely, then by force after five seconds."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        self._process = None
