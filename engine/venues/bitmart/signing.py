"""Signatures: hex HMAC-SHA256 over ``<ms>#<memo>#<body>``, and the logins of the private connections.

    1700000000000#bm_memo#{"symbol":"BTC_USDT","side":"buy"}     (POST: the body as it is sent)
    1589267764859#test001#bitmart.WebSocket                      (login)

Reads of an account (GET, "KEYED") carry the key alone: no stamp, no signature, and the query is never signed.
The memo is a label that was chosen when the key was made. Stamps may be off by 60 s.
Source: BitMart API docs, "Authentication", "Signature", "WebSocket - Login", seen 2026-11.
"""

from __future__ import annotations

import msgspec

from engine.model.errors import ConfigError
from engine.model.instrument import Product
from engine.model.mac import HmacSha256
from engine.venues.base import Credentials

LOGIN_TEXT = "bitmart.WebSocket"
DEVICE = "web"
"""Fourth argument of a futures login: the only value that any client is known to send."""


class BitmartSigner:
    """Signs for one key. The HMAC state of the secret is prepared once and copied for each request.

    Args:
        credentials: key, secret and, as ``passphrase``, the memo.

    Raises:
        ConfigError: a part is missing, or the key could not stand in a header.
    """

    __slots__ = ("_key", "_mac", "_memo", "keyed")

    def __init__(self, credentials: Credentials) -> None:
        key, secret = credentials.key.reveal(), credentials.secret.reveal()
        memo = credentials.passphrase.reveal() if credentials.passphrase is not None else ""
        for name, text in (("API key", key), ("secret", secret), ("memo", memo)):
            if not text:
                raise ConfigError(f"the BitMart {name} is empty; BitMart needs a key, a secret and a memo")
            if not (text.isascii() and text.isprintable()):
                raise ConfigError(f"the BitMart {name} must be printable ASCII")
        self._key = credentials.key
        self._memo = memo
        self._mac = HmacSha256(secret.encode())
        self.keyed = f"X-BM-KEY: {key}\r\n".encode()
        """The header line of a request that shows the key alone."""

    def sign(self, stamp_ms: int, payload: bytes) -> str:
        """Return the signature of a body, or of the login's text."""
        return self._mac.hex(f"{stamp_ms}#{self._memo}#".encode() + payload)

    def headers(self, body: bytes, stamp_ms: int) -> bytes:
        """Return the header lines that sign a POST."""
        signature = self.sign(stamp_ms, body)
        return self.keyed + f"X-BM-TIMESTAMP: {stamp_ms}\r\nX-BM-SIGN: {signature}\r\n".encode()

    def login(self, product: Product, stamp_ms: int) -> bytes:
        """Return the login message, good for one connection within 60 s."""
        args = [self._key.reveal(), str(stamp_ms), self.sign(stamp_ms, LOGIN_TEXT.encode())]
        if product is Product.SPOT:
            return msgspec.json.encode({"op": "login", "args": args})
        return msgspec.json.encode({"action": "access", "args": [*args, DEVICE]})

    def __repr__(self) -> str:
        return "BitmartSigner(***)"
