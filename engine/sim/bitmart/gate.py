"""Who sent a request: keys, memo signatures over the received bytes, time windows.

Source: BitMart docs, "Authentication" (KEYED and SIGNED), WebSocket "Login", mirrored copy of 2025-11.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bitmart.errors import BitMartError

MINUTE_MS = 60_000
V4_WINDOW_MS = 5_000
SOCKET_TEXT = b"bitmart.WebSocket"


def signature(account: Account, stamp: str, body: bytes) -> str:
    """Return the lower-case hexadecimal HMAC-SHA256 of ``<stamp>#<memo>#<body>``."""
    text = f"{stamp}#{account.passphrase}#".encode() + body
    return hmac.new(account.secret.encode(), text, hashlib.sha256).hexdigest()


class SocketRefusal(Exception):
    """A login that is refused.

    Attributes:
        code, text: as the spot socket says it; the futures socket sends only the text.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class Gate:
    """Knows the keys and the time."""

    def __init__(self, accounts: Mapping[str, Account], now_ms: Callable[[], int]) -> None:
        self._accounts = accounts
        self._now_ms = now_ms

    def known(self, headers: Mapping[str, str]) -> Account | None:
        """Return the account that a request claims to be from, unproven."""
        return self._accounts.get(headers.get("X-BM-KEY", ""))

    def keyed(self, headers: Mapping[str, str]) -> Account:
        """Return the account of a KEYED request: the key alone counts, any signature is ignored."""
        if not headers.get("X-BM-KEY"):
            raise BitMartError(30001, "Header X-BM-KEY is empty", 401)
        account = self.known(headers)
        if account is None:
            raise BitMartError(30002, "Header X-BM-KEY not found", 401)
        return account

    def signed(self, headers: Mapping[str, str], body: bytes) -> tuple[Account, int]:
        """Return account and stamp of a SIGNED request; the stamp's window is checked by `check_time`.

        Args:
            body: exactly as received; a GET has none and its query is not signed.
        """
        account = self.keyed(headers)
        given, stamp = headers.get("X-BM-SIGN", ""), headers.get("X-BM-TIMESTAMP", "")
        if not given:
            raise BitMartError(30004, "Header X-BM-SIGN is empty", 401)
        if not stamp:
            raise BitMartError(30006, "Header X-BM-TIMESTAMP is empty", 401)
        if not stamp.isdecimal() or len(stamp) > 16:
            raise BitMartError(30008, "Header X-BM-TIMESTAMP invalid format", 401)
        if not hmac.compare_digest(signature(account, stamp, body).encode(), given.encode()):
            raise BitMartError(30005, "Header X-BM-SIGN is wrong", 401)
        return account, int(stamp)

    def check_time(self, stamp: int, window_ms: object = MINUTE_MS) -> None:
        """Refuse a stamp that is off by more than the window; v4 calls name their own ``recvWindow``."""
        sane = isinstance(window_ms, int) and not isinstance(window_ms, bool) and 0 < window_ms <= MINUTE_MS
        if not sane or abs(self._now_ms() - stamp) > int(str(window_ms)):
            raise BitMartError(30007, "Header X-BM-TIMESTAMP range. Within a minute", 401)

    def socket(self, args: Any) -> Account:
        """Return the account that ``[key, stamp, sign, ...]`` proves; raises SocketRefusal."""
        values = [str(value) for value in args] if isinstance(args, list) else []
        key, stamp, given = (*values, "", "", "")[:3]
        account = self._accounts.get(key)
        problem = None
        if not key:
            problem = ("91001", "API KEY is empty")
        elif account is None:
            problem = ("91002", "API KEY not found")
        elif not given:
            problem = ("91010", "Sign is empty")
        elif not stamp:
            problem = ("91021", "Timestamp is empty")
        elif not stamp.isdecimal() or len(stamp) > 16:
            problem = ("91023", "Timestamp format is wrong")
        elif abs(self._now_ms() - int(stamp)) > MINUTE_MS:
            problem = ("91022", "Timestamp is out of the one-minute range")
        elif not hmac.compare_digest(signature(account, stamp, SOCKET_TEXT).encode(), given.encode()):
            problem = ("91011", "Sign is wrong")
        if problem is not None or account is None:
            raise SocketRefusal(*(problem or ("91002", "API KEY not found")))
        return account
