"""One datagram to a local Unix socket (the service manager's)."""

from __future__ import annotations

import socket


def send_datagram(address: str, payload: bytes) -> bool:
    """Send ``payload`` to the Unix datagram socket ``address`` (``@`` = abstract); tell whether it left."""
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            sender.sendto(payload, target)
    except OSError:
        return False
    return True
