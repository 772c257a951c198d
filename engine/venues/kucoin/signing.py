"""Signatures: base64 of HMAC-SHA256 over stamp, method, path with query, body; and the two signed handshakes.

    1700000000000GET/api/v1/hf/orders/active?symbol=BTC-USDT               (REST: milliseconds)
    test_api_key1700000000000                                              (address of the order entry)
    {"sessionId":"6c2f…", "timestamp":1742175983882}                       (its first words, byte for byte)

The passphrase is signed as well (key versions 2 and 3, one algorithm; the version stands in a header). The
query is signed un-encoded: every text that goes into a target here is plain, so both forms are one. The
body is signed byte for byte as it is sent. Stamps may be off by 5 s. Source: KuCoin API docs,
"Authentication" and "Add Order - Websocket", seen 2026-08; kucoin-universal-sdk's tests.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

from engine.model.errors import ConfigError
from engine.model.mac import HmacSha256
from engine.venues.base import Credentials

KEY_VERSIONS = (2, 3)


class KucoinSigner:
    """Signs for one key. The HMAC state of the secret is prepared once and copied for each request.

    Args:
        credentials: key, secret and the passphrase that was chosen when the key was made.
        key_version: as the venue lists it for the key: 2, or 3 for keys since 2025.

    Raises:
        ConfigError: a part is missing or could not stand in a header, or the version is none.
    """

    __slots__ = ("_key", "_mac", "_passphrase", "_tail")

    def __init__(self, credentials: Credentials, key_version: int = 3) -> None:
        key, secret = credentials.key.reveal(), credentials.secret.reveal()
        passphrase = credentials.passphrase.reveal() if credentials.passphrase is not None else ""
        for name, text in (("API key", key), ("secret", secret), ("passphrase", passphrase)):
            if not text:
                raise ConfigError(
                    f"the KuCoin {name} is empty; KuCoin needs a key, a secret and a passphrase"
                )
            if not (text.isascii() and text.isprintable()):
                raise ConfigError(f"the KuCoin {name} must be printable ASCII")
        if key_version not in KEY_VERSIONS:
            raise ConfigError(f"key_version = {key_version}: KuCoin takes 2 or 3; make a new key")
        self._key = credentials.key
        self._mac = HmacSha256(secret.encode())
        self._passphrase = self.sign(passphrase.encode())
        self._tail = (
            f"\r\nKC-API-KEY: {key}\r\nKC-API-PASSPHRASE: {self._passphrase}"
            f"\r\nKC-API-KEY-VERSION: {key_version}\r\n"
        ).encode()

    def sign(self, payload: bytes) -> str:
        """Return the base64 signature of the payload."""
        return base64.b64encode(self._mac.digest(payload)).decode()

    def headers(self, method: str, target: str, body: bytes, stamp_ms: int) -> bytes:
        """Return the header lines that sign a REST request."""
        signature = self.sign(f"{stamp_ms}{method}{target}".encode() + body)
        return f"KC-API-TIMESTAMP: {stamp_ms}\r\nKC-API-SIGN: {signature}".encode() + self._tail

    def trade_query(self, stamp_ms: int) -> str:
        """Return the query of the order-entry address, good for one connect within 5 s."""
        key = self._key.reveal()
        signature = self.sign(f"{key}{stamp_ms}".encode())
        return (
            f"apikey={quote(key, safe='')}&sign={quote(signature, safe='')}"
            f"&passphrase={quote(self._passphrase, safe='')}&timestamp={stamp_ms}"
        )

    def __repr__(self) -> str:
        return "KucoinSigner(***)"
