"""Rate limits as the venue counts them: calendar or rolling windows, corrected by its own headers.

Counted before sending and raised to what the venue says afterwards. A share is kept back for cancels and
order queries, so that data traffic can never block a way out. Nothing is sent inside a ban.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from engine.model.errors import NotSent
from engine.model.ports import Clock
from engine.model.wire import Allowance, BudgetRule, HttpRequest

RESERVE_SHARE = 0.1
DEFAULT_PENALTY_MS = 5_000
COUNT_DIGITS_MAX = 13
"""A longer count in a header is no count (13 digits: a time in milliseconds)."""


def _count(text: str | None) -> int:
    """Return a header's count, -1 where it is none."""
    return int(text) if text is not None and text.isdecimal() and len(text) <= COUNT_DIGITS_MAX else -1


class _Window:
    """One limit and what is used of it in the calendar window that ends at ``ends_ms``."""

    __slots__ = ("count", "endpoint", "ends_ms", "is_weight", "limit", "rule", "starts_ms", "unreserved")

    def __init__(self, rule: BudgetRule) -> None:
        self.rule = rule
        self.starts_ms = self.ends_ms = 0
        self.count = 0
        self.is_weight = rule.kind == "weight"
        self.endpoint = rule.name if rule.kind == "endpoint" else ""
        self.limit = rule.limit
        self.unreserved = rule.limit - int(rule.limit * RESERVE_SHARE) if self.is_weight else rule.limit

    def cost(self, request: HttpRequest) -> int:
        """Return what a request counts here."""
        if self.endpoint:
            return 1 if request.label == self.endpoint else 0
        return request.weight if self.is_weight else request.order_count

    def roll(self, now_ms: int) -> None:
        """Begin a new window when the present one has ended, or the clock was set back by a whole one."""
        window_ms = self.rule.window_ms
        if not self.starts_ms - window_ms < now_ms < self.ends_ms:
            self.starts_ms = now_ms - now_ms % window_ms
            self.ends_ms, self.count = self.starts_ms + window_ms, 0

    def add(self, now_ms: int, cost: int) -> None:
        """Count what was sent."""
        self.count += cost

    def raise_to(self, now_ms: int, count: int) -> None:
        """Count what the venue has counted, and we did not see."""
        if count > self.count:
            self.add(now_ms, count - self.count)


class _RollingWindow(_Window):
    """One limit on any stretch of its length; ``ends_ms`` is when the oldest count leaves it."""

    __slots__ = ("_sent",)

    def __init__(self, rule: BudgetRule) -> None:
        super().__init__(rule)
        self._sent: deque[tuple[int, int]] = deque()

    def roll(self, now_ms: int) -> None:
        """Let go of what is older than the window, or lies ahead because the clock was set back."""
        window_ms, sent = self.rule.window_ms, self._sent
        while sent and not now_ms - window_ms < sent[0][0] <= now_ms:
            self.count -= sent.popleft()[1]
        self.starts_ms = sent[0][0] if sent else now_ms
        self.ends_ms = self.starts_ms + window_ms

    def add(self, now_ms: int, cost: int) -> None:
        """Count what was sent, and remember when."""
        if cost:
            self._sent.append((now_ms, cost))
            self.count += cost


class RequestBudget:
    """The budget of one venue product.

    Args:
        rules: the windows; ``offset_ns`` (venue clock minus ours) aligns them with the venue's calendar.
    """

    def __init__(self, rules: Sequence[BudgetRule], clock: Clock) -> None:
        self._windows = [_RollingWindow(rule) if rule.is_rolling else _Window(rule) for rule in rules]
        self._clock = clock
        self.offset_ns = 0
        self._blocked_until_mono_ns = 0
        self.block_reason = ""
        self.refused = 0

    def take(self, request: HttpRequest) -> None:
        """Book a request, or refuse it.

        Raises:
            NotSent: inside a ban or wait, or the window's budget is used up; the text says for how long.
        """
        now_mono = self._clock.mono_ns()
        if now_mono < self._blocked_until_mono_ns:
            self.refused += 1
            wait = (self._blocked_until_mono_ns - now_mono) // 1_000_000
            raise NotSent(f"{request.label}: {self.block_reason}; not before {wait} ms from now")
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        is_reserved = request.is_reserved
        for window in self._windows:
            if not window.starts_ms <= now_ms < window.ends_ms:
                window.roll(now_ms)
            cost = window.cost(request)
            limit = window.limit if is_reserved else window.unreserved
            # Who is over a limit of weight is refused whatever a request weighs, and asking on earns a ban.
            is_over = window.is_weight and window.count >= window.limit
            if is_over or (cost and window.count + cost > limit):
                self.refused += 1
                wait = window.ends_ms - now_ms
                raise NotSent(
                    f"{request.label}: {window.rule.name} is used up ({window.count}/{limit}); {wait} ms"
                )
        for window in self._windows:
            window.add(now_ms, window.cost(request))

    def learn(self, headers: Mapping[str, str], request: HttpRequest | None = None) -> None:
        """Raise the counts to what the venue says it has counted; ``request`` is what was answered."""
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        for window in self._windows:
            if window.endpoint and (request is None or request.label != window.endpoint):
                continue
            text = headers.get(window.rule.header) if window.rule.header else None
            if text is not None and text.isdecimal() and len(text) <= COUNT_DIGITS_MAX:
                window.roll(now_ms)
                window.raise_to(now_ms, int(text))
            if window.rule.pool_headers is not None:
                self._learn_pool(window, headers, window.rule.pool_headers, now_ms)
            names = window.rule.order_headers
            if names is not None and request is not None and request.order_count:
                limit, left, reset_ms = (_count(headers.get(name)) for name in names)
                self.learn_allowance(Allowance(window.rule.name, left, limit, reset_ms))

    def learn_allowance(self, allowance: Allowance) -> None:
        """Take over a limit and what is left of it; with nothing left the window lasts until its reset.

        The limit may be higher than the documented one (fee tiers), and the venue's window a rolling one.
        """
        limit, left = allowance.limit, allowance.left
        if limit < 1 or not 0 <= left <= limit:
            return
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        for window in self._windows:
            if window.rule.name == allowance.name:
                window.roll(now_ms)
                window.limit = window.unreserved = limit
                window.raise_to(now_ms, limit - left)
                if left == 0:
                    reset_ms = min(allowance.reset_utc_ms, now_ms + window.rule.window_ms)
                    window.ends_ms = max(window.ends_ms, reset_ms)

    def _learn_pool(
        self, window: _Window, headers: Mapping[str, str], names: tuple[str, str, str], now_ms: int
    ) -> None:
        """Raise a count to the share that is used of its pool; wait for the refill of an empty one."""
        limit, remaining, reset_ms = (_count(headers.get(name)) for name in names)
        if limit < 1 or not 0 <= remaining <= limit:
            return
        if remaining == 0 and reset_ms > 0:  # until the refill, which need not wait for our window's end
            self.block(min(reset_ms, window.rule.window_ms), f"{window.rule.name}: the pool is used up")
            return
        window.roll(now_ms)
        window.raise_to(now_ms, (limit - remaining) * window.limit // limit)

    def learn_usage(self, usage: Sequence[tuple[str, int]]) -> None:
        """Raise the counts to what an answer says, as (``BudgetRule.name``, count) pairs."""
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        for name, count in usage:
            for window in self._windows:
                if window.rule.name == name:
                    window.roll(now_ms)
                    window.raise_to(now_ms, count)

    def block(self, wait_ms: int | None, reason: str) -> int:
        """Send nothing for a while (429, 418); return how long, milliseconds."""
        wait = DEFAULT_PENALTY_MS if wait_ms is None else max(wait_ms, 1)
        until = self._clock.mono_ns() + wait * 1_000_000
        if until > self._blocked_until_mono_ns:
            self._blocked_until_mono_ns = until
            self.block_reason = reason
        return wait

    @property
    def is_blocked(self) -> bool:
        """Tell whether a ban or wait is in force."""
        return self._clock.mono_ns() < self._blocked_until_mono_ns

    def wait_ms(self, weight: int) -> int:
        """Return how long until a request of this weight fits; 0 = now."""
        now_mono = self._clock.mono_ns()
        if now_mono < self._blocked_until_mono_ns:
            return (self._blocked_until_mono_ns - now_mono) // 1_000_000 + 1
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        for window in self._windows:
            window.roll(now_ms)
            if window.is_weight and window.count + weight > window.unreserved:
                return window.rule.window_ms - now_ms % window.rule.window_ms + 1
        return 0

    def order_wait_ms(self, orders: int) -> int:
        """Return how long until this many more orders fit every order window; 0 = now."""
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        wait = 0
        for window in self._windows:
            window.roll(now_ms)
            limit = window.limit
            if not (window.is_weight or window.endpoint) and window.count + min(orders, limit) > limit:
                wait = max(wait, window.ends_ms - now_ms + 1)
        return wait

    def used_share(self) -> float:
        """Return how much of the fullest shared window is used, 0 to 1; 1 inside a ban or wait."""
        if self._clock.mono_ns() < self._blocked_until_mono_ns:
            return 1.0
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        share = 0.0
        for window in self._windows:
            window.roll(now_ms)
            if not window.endpoint and window.limit:
                share = max(share, window.count / window.limit)
        return share

    def usage(self) -> dict[str, str]:
        """Return used and limit of each window, for people."""
        now_ms = (self._clock.utc_ns() + self.offset_ns) // 1_000_000
        for window in self._windows:
            window.roll(now_ms)
        return {window.rule.name: f"{window.count}/{window.limit}" for window in self._windows}
