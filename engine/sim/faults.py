"""Named faults: armed over the admin address, taken by the wires at their hook points, counted."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

SENTENCES: dict[str, str] = {
    "drop_depth": "Depth frames are not sent: the client sees a sequence gap.",
    "duplicate_depth": "Depth frames are sent twice.",
    "reorder_depth": "A depth frame is sent after its successor.",
    "stale_snapshot": "A depth snapshot is served from before the client's first buffered delta.",
    "slow_snapshot": "Depth snapshots take `delay_ms` longer.",
    "snapshot_error": "Depth snapshots are answered with HTTP `status` (default 500).",
    "restart_depth": "Depth streams begin again unasked: a snapshot whose numbers start over.",
    "reset_sequence": "A depth stream's numbers go back, announced by the chain rule (OKX).",
    "heartbeat_depth": "A depth frame without levels repeats the last number (OKX).",
    "disconnect": "Stream connections are cut without a close frame.",
    "close": "Stream connections are closed with code `code` (default 1001).",
    "half_open": "Connections stay open but nothing is sent any more, pings included.",
    "silent_topic": "One symbol's streams fall silent while the connection lives.",
    "garbage_frame": "A malformed frame; `kind`: truncated, types, huge, utf8, bytes, nesting, empty.",
    "partial_depth_as_diff": "A partial-depth frame is sent that looks like a diff.",
    "unknown_event": "A frame with an unknown event type and keys is sent.",
    "slow_answer_accepted": "An order request is executed, its answer comes `delay_ms` late.",
    "drop_answer_accepted": "An order request is executed, the connection is cut instead of answered.",
    "drop_request": "An order request is not executed and the connection is cut.",
    "http_503_unknown": "Answered 503 with the text that means unknown; `accepted` says if it ran.",
    "http_503_unavailable": "A request is answered 503 Service Unavailable and not executed.",
    "http_503_internal": "A request is answered 503 Internal error and not executed.",
    "html_error": "A request is answered with an HTML page; `accepted` says if it ran.",
    "error_1007_accepted": "An order request is executed and answered as a backend time-out.",
    "error_1007_not_accepted": "An order request is not executed and answered as a backend time-out.",
    "not_found_for_a_moment": "Queries for orders younger than `age_ms` (default 1000) say not found.",
    "duplicate_private": "Private events are sent twice.",
    "reorder_private": "A private event is sent after its successor.",
    "drop_private": "Private events are not sent.",
    "fill_before_ack": "The answer to an order request is held back until its events were sent.",
    "events_after_ack": "Private events are held back for `delay_ms` (default 200).",
    "clock_skew": "The exchange's clock is off by `skew_ms` while the fault is armed.",
    "rate_limit_429": "Requests are answered 429 with Retry-After.",
    "ban_418": "Requests are answered 418, `seconds` (default 3) long.",
    "revoke_session": "Logged-on sessions are revoked.",
    "listenkey_expire": "Listen keys expire now.",
    "server_shutdown": "Connections are told of a shutdown, and closed `delay_ms` (default 3000) later.",
    "cancel_race_fill": "An order is filled just before its cancel arrives.",
    "symbol_halt": "A symbol stops trading while the fault is armed.",
    "symbol_cancel_only": "A symbol takes cancels only while the fault is armed.",
    "refuse_connect": "New connections are refused with HTTP `status` (default 503).",
    "venue_gone": "The venue is gone: connections are cut, then answered 503 (`mode` page) or cut again.",
    "trading_ends": "New orders are refused, with `stage` all every private call (BitMart).",
    "slow_request": "Every REST answer takes `delay_ms` longer.",
}


@dataclass(slots=True)
class Fault:
    """One armed fault."""

    number: int
    name: str
    venue: str | None
    product: str | None
    symbol: str | None
    left: int | None
    probability: float
    until: float | None
    params: dict[str, Any]
    random: random.Random
    happened: int = 0

    def fits(self, venue: str, product: str | None, symbol: str | None) -> bool:
        """Tell whether the target matches; what either side leaves open matches anything."""
        return (
            self.venue in (None, venue)
            and (self.product is None or product is None or self.product == product)
            and (self.symbol is None or symbol is None or self.symbol == symbol)
        )

    def view(self) -> dict[str, Any]:
        """Return the fault for people."""
        return {
            "number": self.number, "name": self.name, "venue": self.venue, "product": self.product,
            "symbol": self.symbol, "left": self.left, "probability": self.probability,
            "params": self.params, "happened": self.happened,
        }  # fmt: skip


class FaultError(ValueError):
    """The fault cannot be armed; the text says why."""


@dataclass
class FaultBoard:
    """Every armed fault, and how often each name really happened.

    Args:
        seed: for faults that give no seed of their own.
    """

    seed: int = 0
    armed: list[Fault] = field(default_factory=list)
    happened: dict[str, int] = field(default_factory=dict)
    _next: int = 1
    _names: frozenset[str] = frozenset()

    def arm(
        self,
        name: str,
        venue: str | None = None,
        product: str | None = None,
        symbol: str | None = None,
        count: int | None = 1,
        probability: float = 1.0,
        duration_s: float | None = None,
        seed: int | None = None,
        **params: Any,
    ) -> Fault:
        """Arm a fault.

        ``count`` is how often it happens before it is spent (``None``: until ``duration_s`` or cleared),
        ``probability`` its chance at each hook point, ``params`` what the fault itself needs.

        Raises:
            FaultError: there is no such fault, or a number makes no sense.
        """
        if name not in SENTENCES:
            raise FaultError(f"no fault {name!r}; GET /faults lists them")
        if not 0.0 < probability <= 1.0:
            raise FaultError("probability lies above 0 and at most at 1")
        if count is not None and (not isinstance(count, int) or count < 1):
            raise FaultError("count is a whole number from 1, or null")
        until = time.monotonic() + duration_s if duration_s is not None else None
        number = self._next
        self._next += 1
        generator = random.Random(self.seed * 7_919 + number if seed is None else seed)
        fault = Fault(number, name, venue, product, symbol, count, probability, until, params, generator)
        self.armed.append(fault)
        self._names = frozenset(fault.name for fault in self.armed)
        return fault

    def take(
        self, name: str, venue: str, product: str | None = None, symbol: str | None = None
    ) -> dict[str, Any] | None:
        """Return a fault's parameters if it happens here and now, else None. Cheap when not armed."""
        if name not in self._names:
            return None
        now = time.monotonic()
        for fault in self.armed:
            if fault.name != name or not fault.fits(venue, product, symbol):
                continue
            if fault.until is not None and now > fault.until:
                continue
            if fault.probability < 1.0 and fault.random.random() >= fault.probability:
                continue
            fault.happened += 1
            self.happened[name] = self.happened.get(name, 0) + 1
            if fault.left is not None:
                fault.left -= 1
                if fault.left == 0:
                    self._remove(fault)
            return fault.params
        self._expire(now)
        return None

    def is_armed(self, name: str, venue: str, product: str | None = None, symbol: str | None = None) -> bool:
        """Tell whether a fault that lasts (a skew, a halt) is in force, without using it up."""
        if name not in self._names:
            return False
        self._expire(time.monotonic())
        return any(fault.name == name and fault.fits(venue, product, symbol) for fault in self.armed)

    def params(
        self, name: str, venue: str, product: str | None = None, symbol: str | None = None
    ) -> dict[str, Any]:
        """Return the parameters of a lasting fault in force, or an empty dict."""
        for fault in self.armed:
            if fault.name == name and fault.fits(venue, product, symbol):
                return fault.params
        return {}

    def clear(self, number: int | None = None) -> int:
        """Disarm one fault, or all; return how many."""
        gone = [fault for fault in self.armed if number in (None, fault.number)]
        for fault in gone:
            self._remove(fault)
        return len(gone)

    def _expire(self, now: float) -> None:
        for fault in [one for one in self.armed if one.until is not None and now > one.until]:
            self._remove(fault)

    def _remove(self, fault: Fault) -> None:
        self.armed.remove(fault)
        self._names = frozenset(one.name for one in self.armed)
