"""Who sent a request, and how often: signatures, time windows, rolling limits.

Source: Bybit v5 docs, "Integration Guidance / Authentication", "WebSocket / Connect", "Rate Limit Rules".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bybit.errors import BybitError, wrong

WINDOW_MS = 5_000
AHEAD_MS = 1_000
SECOND_MS = 1_000
ADDRESS_REQUESTS = 600
ADDRESS_WINDOW_MS = 5_000
BAN_MS = 600_000
UNAUTHORISED = 401
_NUMBER = re.compile("[0-9]{1,16}")


def signature(secret: str, text: str) -> str:
    """Return the lowercase hexadecimal HMAC-SHA256."""
    return hmac.new(secret.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def _is_signed(account: Account, text: str, given: str) -> bool:
    expected = signature(account.secret, text).encode()
    return hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass"))


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


class Gate:
    """Knows the keys and the time."""

    def __init__(self, accounts: Mapping[str, Account], now_ms: Callable[[], int]) -> None:
        self._accounts = accounts
        self._now_ms = now_ms

    def rest(self, headers: Mapping[str, str], payload: str) -> Account:
        """Return the account behind a request; ``payload`` is the query (GET) or body exactly as sent.

        Raises:
            BybitError: a header is missing or wrong, the time is off, or the signature differs.
        """
        key, stamp = headers.get("X-BAPI-API-KEY", ""), headers.get("X-BAPI-TIMESTAMP", "")
        given, window = headers.get("X-BAPI-SIGN", ""), headers.get("X-BAPI-RECV-WINDOW", "")
        if not key or not given or not stamp:
            text = f"empty value: apiTimestamp[{stamp}] apiKey[{key}] apiSignature[{given}]"
            raise BybitError(10001, text, UNAUTHORISED)
        account = self._accounts.get(key)
        if account is None:
            raise BybitError(10003, "API key is invalid.", UNAUTHORISED)
        self.check_time(stamp, window or str(WINDOW_MS))
        text = f"{stamp}{key}{window}{payload}"
        if not _is_signed(account, text, given):
            raise BybitError(10004, f"error sign! origin_string[{text}]")
        return account

    def check_time(self, stamp: str, window: str) -> None:
        """Check a stamp: at most ``window`` late, less than a second early; raises BybitError."""
        if not _is_number(stamp) or not _is_number(window):
            raise wrong("params error: timestamp or recv_window")
        now = self._now_ms()
        if not now - int(window) <= int(stamp) < now + AHEAD_MS:
            raise BybitError(
                10002,
                f"invalid request, please check your server timestamp or recv_window param. req_timestamp["
                f"{stamp}],server_timestamp[{now}],recv_window[{window}]",
            )

    def socket(self, args: Any) -> Account:
        """Return the account that ``[key, expires, sign]`` proves; raises BybitError."""
        if not isinstance(args, list) or len(args) != 3:
            raise wrong("Params Error")
        key, expires, given = (str(value) for value in args)
        account = self._accounts.get(key)
        if account is None:
            raise BybitError(10003, "Invalid apikey")
        if not _is_number(expires) or int(expires) <= self._now_ms():
            raise BybitError(10004, "Params Error: expires is in the past")
        if not _is_signed(account, f"GET/realtime{expires}", given):
            raise BybitError(10004, "error sign!")
        return account


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a limit, as the answer's headers tell it."""

    limit: int
    left: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """Return the headers."""
        return {
            "X-Bapi-Limit": str(self.limit), "X-Bapi-Limit-Status": str(self.left),
            "X-Bapi-Limit-Reset-Timestamp": str(self.reset_ms),
        }  # fmt: skip


class Spent(BybitError):
    """A limit is used up.

    Attributes:
        left: for the headers.
    """

    def __init__(self, left: Left) -> None:
        super().__init__(10006, "Too many visits!")
        self.left = left
        self.headers = left.headers()


class Limits:
    """Rolling windows: one second per endpoint and account, five per address with a ban behind it.

    Args:
        scale: how many times faster than real a ban ends.
    """

    def __init__(self, now_ms: Callable[[], int], scale: float = 1.0) -> None:
        self.now_ms = now_ms
        self._ban_ms = int(BAN_MS / scale)
        self._used: dict[tuple[str, str], deque[int]] = {}
        self._banned_until_ms: dict[str, int] = {}

    def room(self, name: str, owner: str, limit: int) -> int:
        """Return how many more requests the running second takes."""
        return limit - len(self._window(name, owner, SECOND_MS))

    def take(self, name: str, owner: str, limit: int, count: int = 1) -> Left:
        """Count requests; raises Spent where they do not fit."""
        used = self._window(name, owner, SECOND_MS)
        now = self.now_ms()
        if len(used) + count > limit:
            raise Spent(Left(limit, 0, used[0] + SECOND_MS if used else now + SECOND_MS))
        used.extend([now] * count)
        return Left(limit, limit - len(used), now)

    def admit(self, address: str) -> bool:
        """Count a request of an address; False where it is banned (a breach starts the ban)."""
        now = self.now_ms()
        if now < self._banned_until_ms.get(address, 0):
            return False
        used = self._window("address", address, ADDRESS_WINDOW_MS)
        used.append(now)
        if len(used) > ADDRESS_REQUESTS:
            self.ban(address, self._ban_ms)
            return False
        return True

    def ban(self, address: str, for_ms: int) -> None:
        """Refuse an address for a while."""
        self._banned_until_ms[address] = self.now_ms() + for_ms

    def _window(self, name: str, owner: str, length_ms: int) -> deque[int]:
        used = self._used.setdefault((name, owner), deque())
        start = self.now_ms() - length_ms
        while used and (used[0] <= start or used[0] > start + 2 * length_ms):
            used.popleft()
        return used
