"""Who sent a request, and how often: signatures, stamps, bullet tokens, rate-limit pools.

Source: KuCoin API docs, "Authentication", "Rate Limit", "Apply for a connection token", seen 2025-11.
UNCONFIRMED: the unified pool of 200 in three seconds (one source); whether the venue still takes keys of
version 1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from engine.sim.accounts import Account
from engine.sim.kucoin.errors import HEADERS_MISSING, TOO_MANY, KucoinError

WINDOW_MS = 5_000
TOKEN_MS = 24 * 3_600_000
POOL_MS = 30_000
POOLS: Mapping[str, tuple[int, int]] = {
    "spot": (4_000, POOL_MS), "futures": (2_000, POOL_MS), "management": (2_000, POOL_MS),
    "public": (2_000, POOL_MS), "unified": (200, 3_000),
}  # fmt: skip
"""Quota and length of each pool; the public one is counted per address, the others per user."""


def signature(secret: str, text: str) -> str:
    """Return the base64 HMAC-SHA256."""
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()


class Gate:
    """Knows the keys and the time."""

    def __init__(self, accounts: Mapping[str, Account], now_ms: Callable[[], int]) -> None:
        self._accounts = accounts
        self._now_ms = now_ms

    def rest(self, headers: Mapping[str, str], method: str, target: str, body: str) -> Account:
        """Return the account behind a request.

        Args:
            target: path and query as sent; clients sign it as sent or percent-decoded, both are taken.

        Raises:
            KucoinError: a header is missing or wrong, the time is off, or the signature differs.
        """
        names = ("KC-API-KEY", "KC-API-SIGN", "KC-API-TIMESTAMP", "KC-API-PASSPHRASE")
        key, given, stamp, passphrase = (headers.get(name, "") for name in names)
        if not all((key, given, stamp, passphrase)):
            raise KucoinError("400001", HEADERS_MISSING, 400)
        version = headers.get("KC-API-KEY-VERSION", "1")
        if version not in ("1", "2", "3"):
            raise KucoinError("400009", "Invalid KC-API-KEY-VERSION", 401)
        self._check_time(stamp)
        account = self._account(key, passphrase, is_plain=version == "1")
        texts = {f"{stamp}{method}{form}{body}" for form in (target, unquote(target))}
        if not any(hmac.compare_digest(signature(account.secret, text), given) for text in texts):
            raise KucoinError("400005", "Invalid KC-API-SIGN", 401)
        return account

    def trade_socket(self, query: Mapping[str, str]) -> Account:
        """Return the account that the address of an order-entry socket proves; raises KucoinError."""
        key, stamp = query.get("apikey", ""), query.get("timestamp", "")
        given, passphrase = query.get("sign", ""), query.get("passphrase", "")
        if not all((key, given, stamp, passphrase)):
            raise KucoinError("400001", HEADERS_MISSING, 400)
        self._check_time(stamp)
        account = self._account(key, passphrase)
        if not hmac.compare_digest(signature(account.secret, key + stamp), given):
            raise KucoinError("400005", "Invalid sign", 401)
        return account

    def push_login(self, frame: Mapping[str, object]) -> Account:
        """Return the account that an ``op: auth`` frame proves; raises KucoinError."""
        names = ("kc-api-key", "kc-api-timestamp", "kc-api-sign", "kc-api-passphrase")
        key, stamp, given, passphrase = (str(frame.get(name, "")) for name in names)
        if not all((key, given, stamp, passphrase)):
            raise KucoinError("400001", HEADERS_MISSING, 400)
        self._check_time(stamp)
        account = self._account(key, passphrase)
        if not hmac.compare_digest(
            signature(account.secret, stamp + "POST/api/websocket/users/verify"), given
        ):
            raise KucoinError("400005", "Invalid KC-API-SIGN", 401)
        return account

    def _check_time(self, stamp: str) -> None:
        if not stamp.isdecimal() or abs(int(stamp) - self._now_ms()) > WINDOW_MS:
            raise KucoinError("400002", "Invalid KC-API-TIMESTAMP", 400)

    def _account(self, key: str, passphrase: str, is_plain: bool = False) -> Account:
        account = self._accounts.get(key)
        if account is None:
            raise KucoinError("400003", "KC-API-KEY not exists", 401)
        wanted = account.passphrase if is_plain else signature(account.secret, account.passphrase)
        if not hmac.compare_digest(wanted, passphrase):
            raise KucoinError("400004", "KC-API-PASSPHRASE error", 401)
        return account


@dataclass(frozen=True, slots=True)
class Token:
    """A bullet token: for which sockets (``spot``, ``futures``, ``unified``), whose, until when."""

    host: str
    account: Account | None
    until_ms: int


class Tokens:
    """The bullet tokens that were given out."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._tokens: dict[str, Token] = {}

    def make(self, host: str, account: Account | None) -> str:
        """Return a new token; like the venue's it needs quoting in an address."""
        text = (
            f"{base64.urlsafe_b64encode(secrets.token_bytes(96)).decode()}.{secrets.token_urlsafe(16)[:22]}=="
        )
        self._tokens[text] = Token(host, account, self._now_ms() + TOKEN_MS)
        return text

    def find(self, text: str, host: str) -> Token:
        """Return a token; raises KucoinError with the code of the socket's error frame."""
        token = self._tokens.get(text)
        if token is None or token.host != host:
            raise KucoinError("401", "token is invalid")
        if self._now_ms() >= token.until_ms:
            del self._tokens[text]
            raise KucoinError("401", "token is expired")
        return token

    def expire(self) -> None:
        """Make every token too old."""
        self._tokens = {text: Token(each.host, each.account, 0) for text, each in self._tokens.items()}


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a pool; ``reset_ms`` until it is full again."""

    limit: int
    remaining: int
    reset_ms: int

    def headers(self) -> dict[str, str]:
        """Return the headers of an answer."""
        return {
            "gw-ratelimit-limit": str(self.limit), "gw-ratelimit-remaining": str(self.remaining),
            "gw-ratelimit-reset": str(self.reset_ms),
        }  # fmt: skip

    def view(self) -> dict[str, int]:
        """Return the block of a socket's answer."""
        return {"limit": self.limit, "reset": self.reset_ms, "remaining": self.remaining}


class Spent(KucoinError):
    """A pool is used up.

    Attributes:
        left: for the headers; None: the venue is overloaded, the pool is not the reason.
    """

    def __init__(self, left: Left | None) -> None:
        super().__init__("429000", TOO_MANY, 429)
        self.left = left


class Pools:
    """Counts weights; a pool is full again a fixed time after its first use.

    Args:
        quotas: quota and length in milliseconds by pool.
    """

    def __init__(self, now_ms: Callable[[], int], quotas: Mapping[str, tuple[int, int]]) -> None:
        self.now_ms = now_ms
        self._quotas = quotas
        self._used: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, pool: str, owner: str, weight: int) -> Left:
        """Count a request; raises Spent where it does not fit."""
        limit, length_ms = self._quotas[pool]
        now = self.now_ms()
        began, used = self._used.get((pool, owner), (now, 0))
        if not 0 <= now - began < length_ms:
            began, used = now, 0
        reset_ms = began + length_ms - now
        if used + weight > limit:
            raise Spent(Left(limit, max(0, limit - used), reset_ms))
        self._used[pool, owner] = (began, used + weight)
        return Left(limit, limit - used - weight, reset_ms)

    def empty(self, pool: str) -> Spent:
        """Return the refusal of a pool that is used up."""
        limit, length_ms = self._quotas[pool]
        return Spent(Left(limit, 0, min(1000, length_ms)))
