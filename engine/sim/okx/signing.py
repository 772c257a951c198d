"""Checks who sent a request: OKX's REST headers and its WebSocket login.

Source: OKX v5 docs, "REST Authentication" and "WebSocket / Login", seen 2026-08.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from engine.sim.accounts import Account
from engine.sim.okx.errors import OkxError

TOLERANCE_MS = 30_000
LOGIN_PATH = "GET/users/self/verify"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


def is_signed(secret: str, text: str, signature: str) -> bool:
    """Tell whether ``signature`` is base64(HMAC-SHA256(secret, text))."""
    try:
        given = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest(), given)


class Gate:
    """Knows the keys and the time.

    Args:
        accounts: by API key; an account whose ``key_type`` is ``demo`` must send ``x-simulated-trading: 1``.
        now_ms: the exchange's UTC time.
    """

    def __init__(self, accounts: Mapping[str, Account], now_ms: Callable[[], int]) -> None:
        self._accounts = accounts
        self._now_ms = now_ms

    def rest(self, headers: Mapping[str, str], method: str, raw_path: str, body: str) -> Account:
        """Return the account behind a signed REST request; ``raw_path`` and ``body`` exactly as sent.

        Raises:
            OkxError: a header is missing or wrong, the time is too far off, or the signature differs.
        """
        key = headers.get("OK-ACCESS-KEY", "")
        signature = headers.get("OK-ACCESS-SIGN", "")
        stamp = headers.get("OK-ACCESS-TIMESTAMP", "")
        passphrase = headers.get("OK-ACCESS-PASSPHRASE", "")
        for value, code, name in (
            (key, "50103", "OK-ACCESS-KEY"), (passphrase, "50104", "OK-ACCESS-PASSPHRASE"),
            (signature, "50106", "OK-ACCESS-SIGN"), (stamp, "50107", "OK-ACCESS-TIMESTAMP"),
        ):  # fmt: skip
            if not value:
                raise OkxError(code, f'Request header "{name}" can\'t be empty.')
        account = self._accounts.get(key)
        if account is None:
            raise OkxError("50119", "API key doesn't exist")
        if (headers.get("x-simulated-trading", "0") == "1") != (account.key_type == "demo"):
            raise OkxError("50101", "APIKey does not match current environment.")
        self._check_time(stamp)
        if passphrase != account.passphrase:
            raise OkxError("50105", 'Request header "OK-ACCESS-PASSPHRASE" incorrect.')
        if not is_signed(account.secret, stamp + method + raw_path + body, signature):
            raise OkxError("50113", "Invalid Sign")
        return account

    def _check_time(self, stamp: str) -> None:
        try:
            if STAMP.fullmatch(stamp) is None:
                raise ValueError
            sent = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        except ValueError:
            raise OkxError("50112", "Invalid OK-ACCESS-TIMESTAMP") from None
        if abs(int(sent.timestamp() * 1000) - self._now_ms()) > TOLERANCE_MS:
            raise OkxError("50102", "Timestamp request expired")

    def login(self, arg: Mapping[str, Any]) -> Account:
        """Return the account behind a WebSocket login argument; raises OkxError."""
        for name, code, word in (
            ("apiKey", "60005", "Invalid OK-ACCESS-KEY"), ("sign", "60007", "Invalid sign"),
            ("passphrase", "60024", "Wrong passphrase"),
        ):  # fmt: skip
            if not arg.get(name):
                raise OkxError(code, word)
        stamp = str(arg.get("timestamp", ""))
        if not (stamp.isascii() and stamp.isdecimal()) or len(stamp) > 12:
            raise OkxError("60004", "Invalid timestamp")
        account = self._accounts.get(str(arg.get("apiKey", "")))
        if account is None:
            raise OkxError("60032", "API key doesn't exist")
        if abs(int(stamp) * 1000 - self._now_ms()) > TOLERANCE_MS:
            raise OkxError("60006", "Timestamp request expired")
        if arg.get("passphrase") != account.passphrase:
            raise OkxError("60024", "Wrong passphrase")
        if not is_signed(account.secret, stamp + LOGIN_PATH, str(arg.get("sign", ""))):
            raise OkxError("60007", "Invalid sign")
        return account
