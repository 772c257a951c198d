"""What can be asked about orders and fills over REST.

Source: Bybit v5 docs, "Get Open & Closed Orders", "Get Order History", "Get Trade History", seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.bybit.errors import wrong
from engine.sim.bybit.instruments import Instrument, Listing
from engine.sim.bybit.ledger import Ledger
from engine.sim.bybit.query import Query, Rows, paged
from engine.sim.bybit.trading import Trading
from engine.sim.bybit.views import Views
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import Order, Refused

RECENT_MOST = 500
WEEK_MS = 7 * 86_400_000
PRODUCT = {"spot": "spot", "linear": "perp"}

Found = list[tuple[Order, Instrument]]


class OrderQueries:
    """Answers questions about orders and fills.

    Args:
        faults: fault hooks by category.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, views: Views, ledger: Ledger, trading: Trading,
        faults: Mapping[str, FaultPoints], now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._ledger = ledger
        self._trading = trading
        self._faults = faults
        self._now_ms = now_ms
        self._restarted_ms = 0

    def forget_closed(self) -> None:
        """Restart the venue's service: ``realtime`` loses the orders that have ended so far."""
        self._restarted_ms = self._now_ms()

    def _is_hidden(self, order: Order, one: Instrument) -> bool:
        """Tell whether a fault hides an order that is too young."""
        faults = self._faults[one.category]
        if not faults.armed or not faults.lasts("not_found_for_a_moment", one.symbol):
            return False
        age = int(faults.params("not_found_for_a_moment", one.symbol).get("age_ms", 1000))
        if self._now_ms() - order.created_ms >= age:
            return False
        return faults.take("not_found_for_a_moment", one.symbol) is not None

    def _named(self, query: Query) -> Found | None:
        """Return the orders that an id names, None when none is given: ids rank above all other filters."""
        wanted = {name: query.text(name) for name in ("orderId", "orderLinkId") if query.text(name)}
        if not wanted:
            return None
        found = []
        for one in query.some(self._listing):
            try:
                order = self._trading.find(query.owner, wanted, one)
            except Refused:
                continue
            if not self._is_hidden(order, one):
                found.append((order, one))
        return found

    def _covered(self, query: Query) -> set[Instrument]:
        """Return the instruments that a query is about."""
        settle, base = query.text("settleCoin"), query.text("baseCoin")
        return {
            one
            for one in query.some(self._listing)
            if settle in ("", one.market.spec.settle or one.market.spec.quote)
            and base in ("", one.market.spec.base)
        }

    def _open(self, query: Query) -> Found:
        product = PRODUCT.get(query.category)
        orders = self._exchange.open_orders(query.owner, product) if product else []
        return self._seen(reversed(orders), query)

    def _closed(self, query: Query) -> Found:
        """Return the account's ended orders that a query covers, newest first."""
        mine = (o for o in reversed(self._exchange.orders) if o.account is query.owner and not o.is_open)
        return self._seen(mine, query)

    def _seen(self, orders: Any, query: Query) -> Found:
        covered = self._covered(query)
        found = ((order, self._listing.by_market[order.market]) for order in orders)
        return [(order, one) for order, one in found if one in covered and not self._is_hidden(order, one)]

    def _answer(self, query: Query, found: Found) -> Any:
        rows = [self._views.order(order) for order, _ in found]
        status = query.text("orderStatus")
        if status:
            rows = [row for row in rows if row["orderStatus"] == status]
        return {**paged(rows, query, 20, 50, "orderId"), "category": query.category}

    def realtime(self, query: Query) -> Any:
        """Answer ``/v5/order/realtime``: open orders, or the latest 500 that have ended."""
        scope = [query.text(name) for name in ("symbol", "baseCoin", "settleCoin", "orderId", "orderLinkId")]
        if query.category == "linear" and not any(scope):
            raise wrong("params error: symbol, baseCoin or settleCoin is required")
        found = self._named(query)
        if found is None:
            found = self._closed(query)[:RECENT_MOST] if query.text("openOnly") == "1" else self._open(query)
        kept = [
            (order, one) for order, one in found if order.is_open or order.updated_ms > self._restarted_ms
        ]
        return self._answer(query, kept)

    def history(self, query: Query) -> Any:
        """Answer ``/v5/order/history``: orders that have ended."""
        found = self._named(query)
        if found is None:
            start, end = self._range(query)
            found = [(order, one) for order, one in self._closed(query) if start <= order.created_ms <= end]
        return self._answer(query, [(order, one) for order, one in found if not order.is_open])

    def _range(self, query: Query) -> tuple[int, int]:
        """Return the asked time range, the last seven days by default; raises BybitError."""
        start, end = query.moment("startTime"), query.moment("endTime")
        if start is None:
            end = self._now_ms() if end is None else end
            return max(0, end - WEEK_MS), end
        end = end if end is not None else start + WEEK_MS
        if not 0 <= end - start <= WEEK_MS:
            raise wrong("The time range between startTime and endTime cannot exceed 7 days.")
        return start, end

    def executions(self, query: Query) -> Any:
        """Answer ``/v5/execution/list``: fills and funding payments, newest first."""
        covered, owner = self._covered(query), query.owner
        rows: Rows = [
            self._views.execution(fill)
            for fill in self._exchange.fills(owner)
            if self._listing.by_market[fill.order.market] in covered
        ]
        rows += [row for account, one, row in self._ledger.fundings if account is owner and one in covered]
        start, end = self._range(query)
        rows = [row for row in rows if start <= int(row["execTime"]) <= end]
        rows.sort(key=lambda row: int(row["execTime"]))
        rows.reverse()
        for name in ("orderId", "orderLinkId", "execType"):
            if query.text(name):
                rows = [row for row in rows if row[name] == query.text(name)]
        return {**paged(rows, query, 50, 100, "execId"), "category": query.category}
