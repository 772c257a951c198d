"""The way in for every request of one product, by REST or WebSocket API: key, time window, signature.

The order of the checks is the venue's: an address over its limit hears nothing else, a key is looked at
before the clock, the clock before the signature.

Source: Binance spot API docs, "Request security" and "Timing security"; USDⓈ-M docs, "General Info".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

from engine.sim.accounts import Account
from engine.sim.binance import errors
from engine.sim.binance.limits import RateLimits
from engine.sim.binance.params import Params
from engine.sim.binance.signing import SignatureKey, json_text, split_rest, websocket_payload

Security = Literal["none", "key", "signed"]

SPOT_MAX_WINDOW_MS = 60_000
AHEAD_MS = 1_000
_KEY_SHAPE = re.compile(r"[A-Za-z0-9_-]{8,256}")
_WINDOW = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_TIMESTAMP = re.compile(r"[0-9]{10,17}")
_MICROSECONDS_FROM = 10**14


@dataclass(frozen=True, slots=True)
class Credential:
    """An API key of an account and what verifies its signatures."""

    api_key: str
    account: Account
    key: SignatureKey


@dataclass(slots=True)
class Call:
    """One admitted request on its way to an operation.

    Attributes:
        params: what was sent, without judging the envelope's own parameters.
        credential: who asks; None on public operations.
        address: the client's address, the owner of the weight.
        now_ms: the venue's clock at admission.
        deadline_ms: last moment at which the matching engine may still take the request; None when unsigned.
        session: the WebSocket API connection the request came by; None over REST.
    """

    params: Params
    credential: Credential | None
    address: str
    now_ms: int
    deadline_ms: int | None = None
    session: object | None = None

    @property
    def account(self) -> Account:
        """Return the account of a signed or key-only request."""
        assert self.credential is not None
        return self.credential.account


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a client may ask for, by whichever road.

    Attributes:
        name: the WebSocket API's method, or a name of our own for REST-only operations.
        run: executes it and returns the JSON value of the answer.
        weight: request weight, fixed or by parameters.
        security: what the request must carry.
        orders: how many placements the order count takes, fixed or by parameters.
        free_on_success: spot's order requests cost weight only when they fail.
        trades: whether it reaches the matching engine (second time check, fault hooks).
        accepts: every parameter it knows, for the strict mode; None: anything goes.
    """

    name: str
    run: Callable[[Call], Any]
    weight: int | Callable[[Params], int] = 1
    security: Security = "none"
    orders: int | Callable[[Params], int] = 0
    free_on_success: bool = False
    trades: bool = False
    accepts: frozenset[str] | None = None

    def cost(self, params: Params) -> int:
        """Return the request weight of these parameters."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)

    def order_count(self, params: Params) -> int:
        """Return how many orders of the order limit these parameters take."""
        return self.orders if isinstance(self.orders, int) else self.orders(params)


class Gate:
    """Admits requests of one product.

    Args:
        product: ``spot`` or ``perp``.
        credentials: known API keys; entries may be revoked while running.
        limits: the product's counters.
        now_ms: the venue's clock, UTC milliseconds.
    """

    def __init__(
        self,
        product: str,
        credentials: dict[str, Credential],
        limits: RateLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self.product = product
        self.credentials = credentials
        self.limits = limits
        self.now_ms = now_ms

    def rest(
        self, operation: Operation, api_key: str | None, query: bytes, body: bytes, address: str
    ) -> Call:
        """Admit a REST request from the bytes it was sent with."""
        now = self.now_ms()
        params = Params(_merge(query, body))
        call = Call(params, None, address, now)
        if operation.security == "none":
            return call
        call.credential = self._credential(api_key)
        if operation.security == "key":
            return call
        call.deadline_ms = self._check_time(params, now)
        signed = split_rest(query, body)
        if signed is None:
            if not params.has("signature"):
                raise errors.missing("signature")
            raise errors.bad_signature()
        if not call.credential.key.verify(signed.payload, signed.signature):
            raise errors.bad_signature()
        return call

    def websocket(
        self, operation: Operation, sent: Mapping[str, object], session: Credential | None, address: str
    ) -> Call:
        """Admit a WebSocket API request; an explicit key and signature override the session's."""
        now = self.now_ms()
        params = Params({name: json_text(value) for name, value in sent.items() if not _is_nested(value)})
        call = Call(params, None, address, now)
        if operation.security == "none":
            return call
        if session is not None and not params.has("signature") and not params.has("apiKey"):
            if session.api_key not in self.credentials:
                raise errors.unknown_key()
            call.credential = session
            if operation.security == "signed":
                call.deadline_ms = self._check_time(params, now)
            return call
        api_key = params.raw("apiKey")
        if not api_key:
            raise errors.missing("apiKey")
        call.credential = self._credential(api_key)
        if operation.security == "key":
            return call
        signature = params.raw("signature")
        if not signature:
            raise errors.missing("signature")
        call.deadline_ms = self._check_time(params, now)
        if not call.credential.key.verify(websocket_payload(sent), signature):
            raise errors.bad_signature()
        return call

    def check_at_engine(self, call: Call) -> None:
        """Check the time window again just before matching: −1021 on spot, −5028 on futures."""
        if call.deadline_ms is not None and self.now_ms() > call.deadline_ms:
            raise errors.outside_recv_window() if self.product == "spot" else errors.late_at_engine_perp()

    def _credential(self, api_key: str | None) -> Credential:
        if not api_key or not _KEY_SHAPE.fullmatch(api_key):
            raise errors.bad_key_format()
        credential = self.credentials.get(api_key)
        if credential is None:
            raise errors.unknown_key()
        return credential

    def _check_time(self, params: Params, now: int) -> int:
        text = params.raw("timestamp")
        if not text:
            raise errors.missing("timestamp")
        if not _TIMESTAMP.fullmatch(text):
            raise errors.illegal_characters("timestamp", r"^[0-9]{1,20}$")
        timestamp = int(text)
        if self.product == "spot" and timestamp >= _MICROSECONDS_FROM:
            timestamp //= 1000
        window = self._window_ms(params)
        if timestamp >= now + AHEAD_MS:
            raise errors.ahead_of_server()
        if now - timestamp > window:
            raise errors.outside_recv_window()
        return int(timestamp + window)

    def _window_ms(self, params: Params) -> float:
        text = params.raw("recvWindow")
        if text is None or text == "":
            return 5000
        if not _WINDOW.fullmatch(text) or (self.product == "perp" and "." in text):
            raise errors.illegal_characters("recvWindow", r"^[0-9]{1,20}$")
        window = float(text)
        if window > SPOT_MAX_WINDOW_MS:
            raise errors.ApiError(-1131, f"recvWindow must be less than {SPOT_MAX_WINDOW_MS}")
        return window


def _merge(query: bytes, body: bytes) -> dict[str, str]:
    """Decode query and form body; the query wins, a name twice within one of them is −1101."""
    values: dict[str, str] = {}
    for part in (body, query):
        seen: set[str] = set()
        for pair in part.split(b"&"):
            if not pair:
                continue
            name, _, value = pair.partition(b"=")
            key = _decode(name)
            if key in seen:
                raise errors.duplicate_parameter(key)
            seen.add(key)
            values[key] = _decode(value)
    return values


def _decode(raw: bytes) -> str:
    try:
        return unquote_plus(raw.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise errors.ApiError(-1100, "Illegal characters found in a parameter.") from None


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)
