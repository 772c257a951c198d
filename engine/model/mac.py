"""HMAC-SHA256 with the key's states prepared once: every request of every venue is signed by it.

Two implementations of one contract: compiled (OpenSSL's functions called directly: 0.27 us for an order), and
the readable twin here, which serves where nothing could be compiled or OpenSSL's functions are not to be had
(two hashlib states copied: 0.65 us; ``hmac.new`` takes 1.4).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

_BLOCK = 64


class PureHmacSha256:
    """Message authentication codes of one key; the key is not shown, and cannot be read back."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

    def digest(self, payload: bytes) -> bytes:
        """Return the code, 32 bytes."""
        inner = self._inner.copy()
        inner.update(payload)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def hex(self, payload: bytes) -> str:
        """Return the code as lower-case hex."""
        return self.digest(payload).hex()

    def followed(self, payload: bytes, label: bytes) -> bytes:
        """Return payload, label and the payload's code as lower-case hex."""
        return b"".join((payload, label, self.hex(payload).encode()))

    def __repr__(self) -> str:
        return "HmacSha256(***)"


if TYPE_CHECKING:
    HmacSha256 = PureHmacSha256
else:
    try:
        from engine.model._mac import HmacSha256
    except ImportError:
        HmacSha256 = PureHmacSha256
