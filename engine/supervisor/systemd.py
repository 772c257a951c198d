"""The sd_notify protocol: READY, STATUS, WATCHDOG, STOPPING over a datagram socket.

Source: sd_notify(3), systemd 252. Outside systemd (no ``NOTIFY_SOCKET``) every call does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from engine.transport.datagram import send_datagram


class ServiceManager:
    """Talks to the service manager that started us, if there is one."""

    def __init__(self, environ: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        watchdog_us = environ.get("WATCHDOG_USEC", "")
        for_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(pid or os.getpid())
        self.watchdog_s: float | None = None
        """Half the interval within which ``WATCHDOG=1`` must be sent; ``None`` without a watchdog."""
        if self._address and watchdog_us.isdecimal() and int(watchdog_us) > 0 and for_us:
            self.watchdog_s = int(watchdog_us) / 2e6

    @property
    def is_present(self) -> bool:
        """Tell whether a manager listens."""
        return bool(self._address)

    def notify(self, *lines: str) -> bool:
        """Send assignments such as ``READY=1``; return whether the manager got them."""
        if not self._address:
            return False
        return send_datagram(self._address, "\n".join(lines).encode())

    def ready(self, status: str) -> None:
        """Tell that start-up is over."""
        self.notify("READY=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        """Show one line in ``systemctl status``."""
        self.notify(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog; call it from the event loop only, and only while healthy."""
        self.notify("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that a clean stop has begun."""
        self.notify("STOPPING=1", "STATUS=stopping")

    def extend(self, seconds: int) -> None:
        """Ask for more time while starting or stopping."""
        self.notify(f"EXTEND_TIMEOUT_USEC={seconds * 1_000_000}")
