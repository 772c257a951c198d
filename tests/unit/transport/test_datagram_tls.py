"""The service manager's datagram, and the TLS context."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from engine.model.errors import ConfigError
from engine.transport.datagram import send_datagram
from engine.transport.tls import client_context


def test_a_datagram_arrives(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "n"))
        receiver.settimeout(5.0)
        assert send_datagram(str(tmp_path / "n"), b"READY=1")
        assert receiver.recv(100) == b"READY=1"


def test_a_datagram_to_an_abstract_address() -> None:
    name = f"engine-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        receiver.settimeout(5.0)
        assert send_datagram("@" + name, b"WATCHDOG=1")
        assert receiver.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "@", "nobody/there", "x" * 200, "vsock:2:1234", "a\0b", "\udcff"])
def test_nobody_there(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not send_datagram(address, b"READY=1")


def test_a_full_receiver_does_not_block_the_loop(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "n"))
        sent = sum(send_datagram(str(tmp_path / "n"), b"x" * 1_000) for _ in range(5_000))
        assert 0 < sent < 5_000


@pytest.mark.fault("N18", "N19")
def test_contexts_always_verify(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    for context in (client_context(), client_context(str(authority))):
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(client_context(str(authority)).get_ca_certs()) == 1, (
        "its own authority instead of the system's"
    )


def test_authorities_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "garbage").write_text("-----BEGIN CERTIFICATE-----\nnot base64!\n-----END CERTIFICATE-----\n")
    for name in ("absent", "empty", "garbage", "."):
        with pytest.raises(ConfigError, match="certificate authority"):
            client_context(str(tmp_path / name))
