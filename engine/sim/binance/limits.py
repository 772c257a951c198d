"""Rate limits: fixed calendar windows of weight per address and of orders per account, then 429, then 418.

Windows start at multiples of their length since the epoch (a minute, ten seconds, a UTC day), as on the
venue; they do not slide. An address that keeps sending after its 429 is banned; each further ban is
longer, from two minutes to three days.

Source: Binance spot API docs, "LIMITS" and FAQ "order count decrement"; USDⓈ-M docs, "LIMITS".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.sim.binance import errors
from engine.sim.windows import Window

if TYPE_CHECKING:
    from engine.sim.binance.gate import Call

TEN_SECONDS_MS = 10_000
MINUTE_MS = 60_000
FIVE_MINUTES_MS = 300_000
DAY_MS = 86_400_000

SPOT_TAKER_CREDIT = 1
SPOT_MAKER_CREDIT = 5
"""Unfilled-order count handed back at an order's first fill, by the role of that fill."""


@dataclass(frozen=True, slots=True)
class LimitRules:
    """The numbers of one product.

    Attributes:
        weight_1m: request weight per minute and address.
        raw_5m: raw requests per five minutes and address; None where the product has no such limit.
        orders: (limit, window in ms, text of the window, suffix of the header) per account.
        order_status: HTTP status of −1015.
        retry_header: whether a 429 carries ``Retry-After``.
        counts_unfilled: spot's order count, which fills give back.
        strikes: requests after a 429 in the same window that turn it into a ban.
        first_ban_ms: length of the first ban; it doubles each time, up to ``longest_ban_ms``.
    """

    weight_1m: int
    orders: tuple[tuple[int, int, str, str], ...]
    raw_5m: int | None
    order_status: int
    retry_header: bool
    counts_unfilled: bool
    strikes: int = 20
    first_ban_ms: int = 120_000
    longest_ban_ms: int = 3 * DAY_MS


def spot_rules(weight_1m: int = 6000, orders_10s: int = 50, orders_1d: int = 160_000) -> LimitRules:
    """Return spot's numbers."""
    orders = ((orders_10s, TEN_SECONDS_MS, "10 SECOND", "10S"), (orders_1d, DAY_MS, "1 DAY", "1D"))
    return LimitRules(weight_1m, orders, 300_000, 429, True, True)


def perp_rules(weight_1m: int = 2400, orders_10s: int = 300, orders_1m: int = 1200) -> LimitRules:
    """Return USDⓈ-M's numbers."""
    orders = ((orders_10s, TEN_SECONDS_MS, "10 SECOND", "10S"), (orders_1m, MINUTE_MS, "1 MINUTE", "1M"))
    return LimitRules(weight_1m, orders, None, 429, False, False)


@dataclass(slots=True)
class _Address:
    weight: Window
    raw: Window | None
    strikes: int = 0
    struck_window: int = -1
    bans: int = 0
    banned_until_ms: int = 0


@dataclass(slots=True)
class RateLimits:
    """Counts weight per address and orders per account for one product."""

    rules: LimitRules
    _addresses: dict[str, _Address] = field(default_factory=dict)
    _orders: dict[str, tuple[Window, ...]] = field(default_factory=dict)

    def admit(self, address: str, now_ms: int) -> None:
        """Let a request in, or raise 429 (−1003) or 418 (banned).

        The weight itself is charged by `charge` when the request's cost is known.
        """
        state = self._address(address)
        if now_ms < state.banned_until_ms:
            raise errors.banned(state.banned_until_ms, now_ms)
        over_raw = state.raw is not None and state.raw.add(now_ms, 1) > state.raw.limit
        if not over_raw and state.weight.count(now_ms) < state.weight.limit:
            return
        self._strike(state, now_ms)
        window = state.raw if over_raw and state.raw is not None else state.weight
        raise errors.too_much_weight(window.limit, window.retry_after_s(now_ms))

    def charge(self, address: str, weight: int, now_ms: int) -> int:
        """Add ``weight`` to the address' minute and return the minute's total."""
        return self._address(address).weight.add(now_ms, weight)

    def used_weight(self, address: str, now_ms: int) -> int:
        """Return the weight used in the current minute."""
        return self._address(address).weight.count(now_ms)

    def exhaust(self, address: str, now_ms: int) -> None:
        """Fill the address' minute, so that its next request meets a 429 (fault hook)."""
        window = self._address(address).weight
        window.add(now_ms, max(0, window.limit - window.count(now_ms)))

    def ban(self, address: str, now_ms: int, length_ms: int | None = None) -> int:
        """Ban the address and return the end of the ban, UTC milliseconds."""
        state = self._address(address)
        length = min(self.rules.first_ban_ms << state.bans, self.rules.longest_ban_ms)
        state.bans = min(state.bans + 1, 16)
        state.banned_until_ms = now_ms + (length if length_ms is None else length_ms)
        return state.banned_until_ms

    def take_orders(self, account: str, count: int, now_ms: int) -> None:
        """Count ``count`` new orders of the account, or raise −1015 and count nothing."""
        windows = self._windows(account)
        for window, (limit, _, text, _) in zip(windows, self.rules.orders, strict=True):
            if window.count(now_ms) + count > limit:
                raise errors.too_many_orders(
                    limit, text, self.rules.order_status, window.retry_after_s(now_ms)
                )
        for window in windows:
            window.add(now_ms, count)

    def give_back(self, account: str, count: int, now_ms: int) -> None:
        """Lower the unfilled-order count after an order's first fill (spot only)."""
        if self.rules.counts_unfilled:
            for window in self._windows(account):
                window.add(now_ms, -count)

    def order_counts(self, account: str, now_ms: int) -> list[tuple[int, int, str, int]]:
        """Return (limit, length in ms, header suffix, count) of each order window of the account."""
        pairs = zip(self._windows(account), self.rules.orders, strict=True)
        return [(limit, length, suffix, window.count(now_ms)) for window, (limit, length, _, suffix) in pairs]

    def headers(self, address: str, account: str | None, now_ms: int) -> dict[str, str]:
        """Return the usage headers of an answer; order counts only when ``account`` placed something."""
        used = str(self.used_weight(address, now_ms))
        headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
        if account is not None:
            for _, _, suffix, count in self.order_counts(account, now_ms):
                headers[f"X-MBX-ORDER-COUNT-{suffix}"] = str(count)
        return headers

    def websocket_rows(self, address: str, account: str | None, now_ms: int) -> list[dict[str, object]]:
        """Return the ``rateLimits`` rows of a WebSocket API answer."""
        rows: list[dict[str, object]] = []
        if account is not None:
            for limit, length, _, count in self.order_counts(account, now_ms):
                interval, number = interval_name(length)
                rows.append(_row("ORDERS", interval, number, limit, count))
        rows.append(
            _row("REQUEST_WEIGHT", "MINUTE", 1, self.rules.weight_1m, self.used_weight(address, now_ms))
        )
        return rows

    def _strike(self, state: _Address, now_ms: int) -> None:
        minute = now_ms // MINUTE_MS
        if state.struck_window != minute:
            state.struck_window = minute
            state.strikes = 0
        state.strikes += 1
        if state.strikes > self.rules.strikes:
            state.strikes = 0
            length = min(self.rules.first_ban_ms << state.bans, self.rules.longest_ban_ms)
            state.bans = min(state.bans + 1, 16)
            state.banned_until_ms = now_ms + length
            raise errors.banned(state.banned_until_ms, now_ms)

    def _address(self, address: str) -> _Address:
        state = self._addresses.get(address)
        if state is None:
            raw = None if self.rules.raw_5m is None else Window(self.rules.raw_5m, FIVE_MINUTES_MS)
            state = self._addresses[address] = _Address(Window(self.rules.weight_1m, MINUTE_MS), raw)
        return state

    def _windows(self, account: str) -> tuple[Window, ...]:
        windows = self._orders.get(account)
        if windows is None:
            windows = tuple(Window(limit, length) for limit, length, _, _ in self.rules.orders)
            self._orders[account] = windows
        return windows


class AddressLimit:
    """A limit of its own that some requests share, per address: so many in a calendar window, then 429.

    Source: USDⓈ-M docs, "Get Funding Rate History": 500 in 5 minutes and IP, with "Get Funding Rate Info".
    """

    def __init__(self, limit: int, window_ms: int) -> None:
        self._limit = limit
        self._window_ms = window_ms
        self._windows: dict[str, Window] = {}

    def guard(self, run: Callable[[Call], Any]) -> Callable[[Call], Any]:
        """Return ``run`` with the count before it."""

        def guarded(call: Call) -> Any:
            window = self._windows.get(call.address)
            if window is None:
                window = self._windows[call.address] = Window(self._limit, self._window_ms)
            if window.add(call.now_ms, 1) > self._limit:
                raise errors.too_many_requests(self._limit, window.retry_after_s(call.now_ms))
            return run(call)

        return guarded


def interval_name(length_ms: int) -> tuple[str, int]:
    """Return the venue's (interval, intervalNum) of a window length."""
    for unit, name in ((DAY_MS, "DAY"), (MINUTE_MS, "MINUTE"), (1000, "SECOND")):
        if length_ms % unit == 0:
            return name, length_ms // unit
    raise ValueError(f"a window of {length_ms} ms has no name at the venue; use whole seconds")


def _row(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, object]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
        "count": count,
    }
