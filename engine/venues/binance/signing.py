"""Request signatures: HMAC-SHA256 with prepared states, Ed25519, and what exactly is signed.

REST: the query string and the body as they are sent, concatenated without a separator, percent-encoded
first, without the signature itself, which goes last. WebSocket API: all parameters but the signature,
sorted by name, ``name=value`` joined by ``&``, raw UTF-8.
Source: spot REST docs, "Request security" (2026-01-15 rule: encode, then sign); WebSocket API docs,
"Request security".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Protocol
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.model.errors import ConfigError
from engine.model.mac import HmacSha256
from engine.venues.base import Credentials

_LABEL = b"&signature="


class Signer(Protocol):
    """Signs payload bytes."""

    is_ed25519: bool

    def sign(self, payload: bytes) -> str:
        """Return the signature as it stands in a JSON parameter."""
        ...

    def signed(self, payload: bytes) -> bytes:
        """Return a query or form with its signature, percent-encoded, at its end."""
        ...


class HmacSigner:
    """HMAC-SHA256, lower-case hex."""

    is_ed25519 = False
    __slots__ = ("_mac", "sign")

    def __init__(self, secret: str) -> None:
        self._mac = HmacSha256(secret.encode())
        self.sign: Callable[[bytes], str] = self._mac.hex

    def signed(self, payload: bytes) -> bytes:
        """Return a query or form with its signature at its end."""
        return self._mac.followed(payload, _LABEL)

    def __repr__(self) -> str:
        return "HmacSigner(***)"


class Ed25519Signer:
    """Ed25519, base64; in URLs percent-encoded."""

    is_ed25519 = True
    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, payload: bytes) -> str:
        """Return the base64 signature."""
        return base64.b64encode(self._key.sign(payload)).decode()

    def signed(self, payload: bytes) -> bytes:
        """Return a query or form with its signature at its end: ``+``, ``/`` and ``=`` percent-encoded."""
        return payload + _LABEL + quote(self.sign(payload), safe="").encode()

    def __repr__(self) -> str:
        return "Ed25519Signer(***)"


def signer_for(credentials: Credentials) -> HmacSigner | Ed25519Signer:
    """Return the signer that the secret calls for: a PKCS#8 private key means Ed25519, else HMAC.

    The key may be PEM (line breaks may be written as ``\\n``, as one-line files need) or its bare base64.

    Raises:
        ConfigError: the secret is empty, or looks like a private key but is not an Ed25519 one.
    """
    text = credentials.secret.reveal().strip().replace("\\n", "\n")
    if not text:
        raise ConfigError("the Binance secret is empty")
    if "PRIVATE KEY" in text:
        return Ed25519Signer(_load_pem(text.encode()))
    if text.startswith("MC4CAQAwBQYDK2Vw"):  # base64 of the PKCS#8 header with the Ed25519 object id
        pem = f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
        return Ed25519Signer(_load_pem(pem.encode()))
    return HmacSigner(text)


def _load_pem(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, binascii.Error):
        raise ConfigError("the Binance secret is not a readable, unencrypted PKCS#8 private key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("the Binance private key is not Ed25519 (RSA keys are not supported)")
    return key


def websocket_payload(params: Mapping[str, str | int]) -> bytes:
    """Return what a WebSocket API request signs: sorted ``name=value`` pairs, raw UTF-8."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
