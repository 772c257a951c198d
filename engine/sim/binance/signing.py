"""Checks request signatures the way Binance does: over exactly the bytes that were sent.

REST: the payload is query string + body, concatenated without a separator, as they stood on the wire,
without the trailing ``signature=…`` parameter. WebSocket API: all parameters except ``signature``, sorted
by name, joined ``name=value&…`` as raw UTF-8 without percent-encoding.

Source: Binance spot API docs, "Request security" (rest-api, web-socket-api); USDⓈ-M docs, "SIGNED endpoint
security".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_MARK = b"signature="


class SignatureKey(Protocol):
    """One credential of an account: tells whether a signature over a payload is its own."""

    @property
    def may_logon(self) -> bool:
        """Tell whether ``session.logon`` accepts this kind of key (Ed25519 only)."""
        ...

    def verify(self, payload: bytes, signature: str) -> bool:
        """Tell whether ``signature`` (already percent-decoded text) is this key's over ``payload``."""
        ...


@dataclass(frozen=True, slots=True)
class HmacKey:
    """An HMAC-SHA256 secret; signatures are hex in either case."""

    secret: str
    may_logon: bool = False

    def verify(self, payload: bytes, signature: str) -> bool:
        """Compare in constant time with the expected hex digest, ignoring case."""
        expected = hmac.new(self.secret.encode(), payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """An Ed25519 public key; signatures are the base64 of 64 bytes, case-sensitive."""

    public_key: bytes
    may_logon: bool = True

    def verify(self, payload: bytes, signature: str) -> bool:
        """Check the signature; anything that is not strict base64 of 64 bytes is refused."""
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(raw, payload)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SignedBytes:
    """What a signed REST request says was signed, and the signature it carries (percent-decoded)."""

    payload: bytes
    signature: str


def split_rest(query: bytes, body: bytes) -> SignedBytes | None:
    """Cut the signature off a REST request.

    Args:
        query: the raw query string, without ``?``, undecoded.
        body: the raw form body.

    Returns:
        The signed payload and the signature, or None when no signature stands **last** in the body or,
        failing that, in the query (a signature anywhere else signs nothing the venue accepts).
    """
    cut = _cut_last(body)
    if cut is not None:
        return SignedBytes(query + cut[0], cut[1])
    cut = _cut_last(query)
    if cut is not None:
        return SignedBytes(cut[0] + body, cut[1])
    return None


def _cut_last(text: bytes) -> tuple[bytes, str] | None:
    head, separator, tail = text.rpartition(b"&")
    if not tail.startswith(_MARK):
        return None
    raw = unquote_to_bytes(tail[len(_MARK) :])
    try:
        return (head if separator else b""), raw.decode("ascii")
    except UnicodeDecodeError:
        return (head if separator else b""), ""


def websocket_payload(params: Mapping[str, object]) -> bytes:
    """Build the payload a WebSocket API request must have signed.

    Args:
        params: the request's ``params`` as they stood in the JSON; numbers are kept as their JSON text
            (`json_text`), booleans are ``true``/``false``.
    """
    pairs = [f"{name}={json_text(params[name])}" for name in sorted(params) if name != "signature"]
    return "&".join(pairs).encode()


def json_text(value: object) -> str:
    """Render one scalar parameter as it appears in JSON, strings without their quotes."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if value is None:
        return "null"
    return str(value)
