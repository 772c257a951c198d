"""The service manager's protocol against a real datagram socket, and the unit file against its verifier."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from engine.supervisor.systemd import ServiceManager

ROOT = Path(__file__).resolve().parents[2]


def test_notifications_arrive(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(5)
        manager = ServiceManager(
            {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, pid=7
        )
        assert manager.watchdog_s == 5.0
        manager.ready("20 books LIVE")
        assert receiver.recv(1024) == b"READY=1\nSTATUS=20 books LIVE"
        manager.alive()
        assert receiver.recv(1024) == b"WATCHDOG=1"
        manager.stopping()
        assert receiver.recv(1024) == b"STOPPING=1\nSTATUS=stopping"


def test_nothing_happens_without_a_manager(tmp_path: Path) -> None:
    manager = ServiceManager({})
    assert not manager.is_present
    assert manager.watchdog_s is None
    assert not manager.notify("READY=1")
    gone = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not gone.notify("READY=1")


def test_a_watchdog_for_another_process_is_not_ours() -> None:
    assert (
        ServiceManager({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, pid=2).watchdog_s
        is None
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_clean_and_hardened(tmp_path: Path) -> None:
    text = (ROOT / "config" / "tecore.service").read_text()
    unit = tmp_path / "tecore.service"
    # The verifier wants programs and users that exist here.
    unit.write_text(
        text.replace("/opt/tecore/.venv/bin/python", "/usr/bin/env").replace("/opt/tecore\n", "/tmp\n")
    )
    verify = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    lines = [line for line in verify.stderr.splitlines() if "tecore" in line]
    assert not lines, verify.stderr
    score = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=12", str(unit)],
        capture_output=True,
        text=True,
    )
    assert score.returncode == 0, score.stdout[-400:]
