"""Signatures: base64 of HMAC-SHA256 over stamp, method, path with query, body; and the WebSocket login.

    2026-11-23T13:58:41.924ZGET/api/v5/account/balance          (REST: ISO time with milliseconds)
    1795442323GET/users/self/verify                             (login: unix seconds)

The body is signed byte for byte as it is sent, the query as it stands in the target. Stamps may be off by
30 s.
Source: OKX v5 API docs, "REST Authentication" and "WebSocket - Login", seen 2026-08.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import msgspec

from engine.model.errors import ConfigError
from engine.model.mac import HmacSha256
from engine.venues.base import Credentials


class OkxSigner:
    """Signs for one key. The HMAC state of the secret is prepared once and copied for each request.

    Args:
        credentials: key, secret and the passphrase that was chosen when the key was made.
        is_demo: adds the header that sends requests to demo trading.

    Raises:
        ConfigError: a part is missing or could not stand in a header.
    """

    __slots__ = ("_key", "_mac", "_passphrase", "_second", "_second_text", "_tail")

    def __init__(self, credentials: Credentials, is_demo: bool = False) -> None:
        key, secret = credentials.key.reveal(), credentials.secret.reveal()
        passphrase = credentials.passphrase.reveal() if credentials.passphrase is not None else ""
        for name, text in (("API key", key), ("secret", secret), ("passphrase", passphrase)):
            if not text:
                raise ConfigError(f"the OKX {name} is empty; OKX needs a key, a secret and a passphrase")
            if not (text.isascii() and text.isprintable()):
                raise ConfigError(f"the OKX {name} must be printable ASCII")
        self._key = credentials.key
        self._passphrase = passphrase
        self._mac = HmacSha256(secret.encode())
        demo = "x-simulated-trading: 1\r\n" if is_demo else ""
        self._tail = f"\r\nOK-ACCESS-KEY: {key}\r\nOK-ACCESS-PASSPHRASE: {passphrase}\r\n{demo}".encode()
        self._second = -1
        self._second_text = ""

    def sign(self, payload: bytes) -> str:
        """Return the base64 signature of the payload."""
        return base64.b64encode(self._mac.digest(payload)).decode()

    def stamp(self, stamp_ms: int) -> str:
        """Return milliseconds as ``2026-11-23T13:58:41.924Z``."""
        second, millis = divmod(stamp_ms, 1_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{millis:03d}Z"

    def headers(self, method: str, target: str, body: bytes, stamp_ms: int) -> bytes:
        """Return the header lines that sign a REST request."""
        stamp = self.stamp(stamp_ms)
        signature = self.sign(f"{stamp}{method}{target}".encode() + body)
        return f"OK-ACCESS-TIMESTAMP: {stamp}\r\nOK-ACCESS-SIGN: {signature}".encode() + self._tail

    def login(self, stamp_ms: int) -> bytes:
        """Return the login message, good for one connection within 30 s."""
        seconds = str(stamp_ms // 1_000)
        argument = {
            "apiKey": self._key.reveal(),
            "passphrase": self._passphrase,
            "timestamp": seconds,
            "sign": self.sign(f"{seconds}GET/users/self/verify".encode()),
        }
        return msgspec.json.encode({"op": "login", "args": [argument]})

    def __repr__(self) -> str:
        return "OkxSigner(***)"
