"""Signatures: HMAC-SHA256 in lower-case hex, or RSA-SHA256 in base64 for keys made by their owner.

    1795442552337k5000symbol=BTCUSDT&category=linear            (GET: stamp, key, window, query)
    1795442552335k5000{"symbol":"BTCUSDT","orderId":"1",..}     (POST: stamp, key, window, body)
    GET/realtime1795442570649                                   (login: the moment it expires)

Query and body are signed byte for byte as they are sent. A stamp may be as old as the window, but less than
a second ahead of the venue's clock.
Source: Bybit v5 API docs, "Integration Guidance" and "Connect / Authentication", seen 2026-07.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from engine.model.errors import ConfigError
from engine.model.mac import HmacSha256
from engine.venues.base import Credentials
from engine.venues.bybit.endpoints import LOGIN_VALID_MS


class BybitSigner:
    """Signs for one key. The HMAC state of the secret is prepared once and copied for each request.

    Args:
        credentials: key and secret; a secret that is a PEM private key means RSA (line breaks may be
            written as ``\\n``, as one-line files need).
        window_ms: how old a request may be when it arrives (``recvWindow``).

    Raises:
        ConfigError: a part is missing, could not stand in a header, or is no RSA key.
    """

    __slots__ = ("_key", "_tail", "_window", "sign")

    def __init__(self, credentials: Credentials, window_ms: int) -> None:
        key, secret = credentials.key.reveal(), credentials.secret.reveal()
        for name, text in (("API key", key), ("secret", secret)):
            if not text:
                raise ConfigError(f"the Bybit {name} is empty; Bybit needs a key and a secret")
        if not (key.isascii() and key.isprintable()):
            raise ConfigError("the Bybit API key must be printable ASCII")
        self._key = key
        self._window = str(window_ms)
        self._tail = f"\r\nX-BAPI-API-KEY: {key}\r\nX-BAPI-RECV-WINDOW: {window_ms}\r\n".encode()
        self.sign: Callable[[bytes], str] = (
            _rsa(secret) if "PRIVATE KEY" in secret else HmacSha256(secret.encode()).hex
        )

    def headers(self, payload: bytes, stamp_ms: int) -> bytes:
        """Return the header lines that sign a request; ``payload`` is its query or its body."""
        stamp = str(stamp_ms)
        signature = self.sign(f"{stamp}{self._key}{self._window}".encode() + payload)
        return f"X-BAPI-TIMESTAMP: {stamp}\r\nX-BAPI-SIGN: {signature}".encode() + self._tail

    def login(self, request_id: str, stamp_ms: int) -> bytes:
        """Return the login message of a private or order-entry connection."""
        expires = stamp_ms + LOGIN_VALID_MS
        signature = self.sign(f"GET/realtime{expires}".encode())
        return msgspec.json.encode(
            {"req_id": request_id, "op": "auth", "args": [self._key, expires, signature]}
        )

    def __repr__(self) -> str:
        return "BybitSigner(***)"


def _rsa(secret: str) -> Callable[[bytes], str]:
    pem = secret.strip().replace("\\n", "\n").encode()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
        raise ConfigError("the Bybit secret is not a readable, unencrypted private key") from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigError("the Bybit private key is not RSA")

    def sign(payload: bytes) -> str:
        return base64.b64encode(key.sign(payload, padding.PKCS1v15(), hashes.SHA256())).decode()

    return sign
