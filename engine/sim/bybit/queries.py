"""What can be asked over REST, and account settings.

Source: Bybit v5 docs, "Market", "Trade", "Position", "Account", "User", seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

from engine.sim.accounts import Account
from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.bybit.instruments import CATEGORIES, EMPTY_CATEGORIES, Instrument, Listing, number_text
from engine.sim.bybit.trading import Item, Trading, category_of
from engine.sim.bybit.views import Views
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import Order, Refused

RECENT_MOST = 500
INTERVALS_MS = {
    "5min": 300_000, "15min": 900_000, "30min": 1_800_000, "1h": 3_600_000, "4h": 14_400_000,
    "1d": 86_400_000,
}  # fmt: skip
WEEK_MS = 7 * 86_400_000

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Query:
    """One GET: its parameters, decoded, and the account of a signed one."""

    params: Mapping[str, str]
    account: Account | None = None

    def text(self, name: str) -> str:
        """Return a parameter, empty where it is absent."""
        return self.params.get(name, "")

    def count(self, name: str, default: int, most: int) -> int:
        """Return a number of rows, at most ``most``; raises BybitError."""
        raw = self.text(name)
        if not raw:
            return default
        if not raw.isdecimal() or int(raw) < 1:
            raise wrong(f"params error: {name} invalid")
        return min(int(raw), most)

    def moment(self, name: str) -> int | None:
        """Return a time in milliseconds, None where it is absent; raises BybitError."""
        raw = self.text(name)
        if not raw:
            return None
        if not raw.isdecimal():
            raise wrong(f"params error: {name} invalid")
        return int(raw)

    @property
    def owner(self) -> Account:
        """Return the account of a signed request."""
        assert self.account is not None
        return self.account


class Queries:
    """Answers questions.

    Args:
        book: returns (bids, asks, u) of the 1000-level stream for an instrument and a number of levels.

    Attributes:
        settings: POST paths that change an account's settings.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, views: Views, trading: Trading,
        faults: Mapping[str, FaultPoints], now_ms: Callable[[], int],
        book: Callable[[Instrument, int], tuple[list[tuple[int, int]], list[tuple[int, int]], int]],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._trading = trading
        self._faults = faults
        self._now_ms = now_ms
        self._levels = book
        self.settings: dict[str, Callable[[Account, Item], Any]] = {
            "/position/set-leverage": self._set_leverage, "/position/switch-mode": self._switch_mode,
        }  # fmt: skip

    def public(self) -> dict[str, Callable[[Query], Any]]:
        """Return the public endpoints."""
        return {
            "/market/time": self._time, "/market/instruments-info": self._instruments,
            "/market/tickers": self._tickers, "/market/orderbook": self._book,
            "/market/recent-trade": self._trades, "/market/funding/history": self._funding,
            "/market/open-interest": self._open_interest, "/market/price-limit": self._price_limit,
            "/system/status": lambda query: {"list": []}, "/announcements/index": lambda query: {"list": []},
        }  # fmt: skip

    def private(self) -> dict[str, tuple[Callable[[Query], Any], int]]:
        """Return the signed endpoints with their limits per second."""
        return {
            "/account/wallet-balance": (self._wallet, 50), "/account/fee-rate": (self._fee_rate, 5),
            "/account/info": (self._info, 50), "/user/query-api": (self._key, 10),
            "/position/list": (self._positions, 50), "/order/realtime": (self._realtime, 50),
            "/order/history": (self._history, 50), "/execution/list": (self._executions, 50),
            "/asset/coin/query-info": (lambda query: {"rows": []}, 5),
        }  # fmt: skip

    # --------------------------------------------------------------------------------------- public

    def _category(self, query: Query) -> str:
        category = query.text("category")
        if category not in CATEGORIES + EMPTY_CATEGORIES:
            raise wrong("Illegal category")
        return category

    def _one(self, query: Query) -> Instrument:
        return self._listing.one(self._category(query), query.text("symbol"))

    def _some(self, query: Query) -> list[Instrument]:
        if query.text("symbol"):
            return [self._one(query)]
        return self._listing.of(self._category(query))

    def _time(self, query: Query) -> Any:
        now = self._now_ms()
        return {"timeSecond": str(now // 1000), "timeNano": f"{now}000000"}

    def _instruments(self, query: Query) -> Any:
        category = self._category(query)
        status, base = (
            query.text("status") or ("Trading" if category == "linear" else ""),
            query.text("baseCoin"),
        )
        rows = [
            one.view()
            for one in self._some(query)
            if status in ("", one.status) and base in ("", one.market.spec.base)
        ]
        if category == "spot":
            return {"category": category, "list": rows}
        return {"category": category, **paged(rows, query, 500, 1000)}

    def _tickers(self, query: Query) -> Any:
        rows = [self._views.ticker(one, self._now_ms()) for one in self._some(query)]
        return {"category": self._category(query), "list": rows}

    def _book(self, query: Query) -> Any:
        one = self._one(query)
        bids, asks, number = self._levels(one, query.count("limit", 25 if one.is_linear else 1, 1000))
        now = self._now_ms()
        return {
            "s": one.symbol, "a": [[one.price.text(price), one.size.text(lots)] for price, lots in asks],
            "b": [[one.price.text(price), one.size.text(lots)] for price, lots in bids], "ts": now,
            "u": number, "seq": one.market.published_id, "cts": now - 2,
        }  # fmt: skip

    def _trades(self, query: Query) -> Any:
        one = self._one(query)
        most = 1000 if one.is_linear else 60
        trades = list(one.tape.trades)[-query.count("limit", min(500, most), most) :]
        rows = [self._views.trade(one, row) for row in reversed(trades)]
        return {"category": one.category, "list": rows}

    def _funding(self, query: Query) -> Any:
        one = self._one(query)
        start, end = query.moment("startTime"), query.moment("endTime")
        if not one.is_linear or (start is not None and end is None):
            raise wrong("params error: startTime without endTime")
        rows = [
            {
                "symbol": one.symbol,
                "fundingRate": number_text(rate),
                "fundingRateTimestamp": str(at_ms),
            }
            for at_ms, rate, _ in reversed(one.market.funding_history)
            if (start or 0) <= at_ms <= (end if end is not None else at_ms)
        ]
        return {"category": one.category, "list": rows[: query.count("limit", 200, 200)]}

    def _open_interest(self, query: Query) -> Any:
        one = self._one(query)
        interval = INTERVALS_MS.get(query.text("intervalTime"))
        if interval is None or not one.is_linear:
            raise wrong("params error: intervalTime invalid")
        now = self._now_ms()
        row = {
            "openInterest": one.size.text(one.market.open_interest_lots),
            "timestamp": str(now - now % interval),
        }  # fmt: skip
        return {"symbol": one.symbol, "category": one.category, "list": [row], "nextPageCursor": ""}

    def _price_limit(self, query: Query) -> Any:
        one = self._one(query)
        high, low = self._trading.limits(one)
        return {
            "symbol": one.symbol, "buyLmt": number_text(high), "sellLmt": number_text(low),
            "ts": str(self._now_ms()),
        }  # fmt: skip

    # -------------------------------------------------------------------------------------- account

    def _wallet(self, query: Query) -> Any:
        if query.text("accountType") != "UNIFIED":
            raise wrong("accountType only support UNIFIED.")
        coins = tuple(coin for coin in query.text("coin").split(",") if coin)
        return {"list": [self._views.wallet(query.owner, coins)]}

    def _fee_rate(self, query: Query) -> Any:
        rows = [
            {
                "symbol": one.symbol,
                "takerFeeRate": number_text(one.market.spec.taker_fee),
                "makerFeeRate": number_text(one.market.spec.maker_fee),
            }
            for one in self._some(query)
        ]
        return {"category": self._category(query), "list": rows}

    def _info(self, query: Query) -> Any:
        return {
            "marginMode": "REGULAR_MARGIN", "updatedTime": "1697078946000", "unifiedMarginStatus": 6,
            "dcpStatus": "OFF", "timeWindow": 10, "smpGroup": 0, "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
        }  # fmt: skip

    def _key(self, query: Query) -> Any:
        account = query.owner
        return {
            "id": str(account.uid), "note": account.name, "apiKey": account.api_key, "readOnly": 0,
            "secret": "", "permissions": {
                "ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": ["AccountTransfer"],
                "Options": [], "Derivatives": ["DerivativesTrade"], "Exchange": ["ExchangeHistory"],
            },
            "ips": ["*"], "type": 1, "deadlineDay": 90, "expiredAt": "2030-01-01T00:00:00Z",
            "createdAt": "2025-10-13T03:20:45Z", "unified": 0, "uta": 1, "userID": account.uid,
            "inviterID": 0, "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0, "rsaPublicKey": "",
            "isMaster": True, "parentUid": "0", "kycLevel": "LEVEL_1", "kycRegion": "",
        }  # fmt: skip

    def _positions(self, query: Query) -> Any:
        category, settle = self._category(query), query.text("settleCoin")
        if category not in ("linear", "inverse"):
            raise wrong("Illegal category")
        if category == "linear" and not query.text("symbol") and not settle:
            raise wrong("params error: symbol or settleCoin is required")
        account = query.owner
        held = [
            one
            for one in self._some(query)
            if query.text("symbol")
            or (one.market.spec.settle == settle and account.position(one.symbol).lots)
        ]
        rows = [self._views.position(account, one) for one in held]
        return {**paged(rows, query, 20, 200), "category": category}

    def _set_leverage(self, account: Account, item: Item) -> Any:
        one = self._listing.one(category_of(item), str(item.get("symbol", "")))
        wanted = str(item.get("buyLeverage", ""))
        if wanted != str(item.get("sellLeverage", "")) or not wanted.replace(".", "", 1).isdecimal():
            raise wrong("buy leverage invalid")
        leverage = int(Decimal(wanted))
        if not 1 <= leverage <= one.market.spec.max_leverage:
            raise BybitError(110013, "cannot set leverage due to risk limit")
        if account.leverage.get(one.symbol) == leverage:
            raise BybitError(110043, "leverage not modified")
        account.leverage[one.symbol] = leverage
        return {}

    def _switch_mode(self, account: Account, item: Item) -> Any:
        if str(item.get("mode")) != "0":
            raise wrong("position mode: only one-way is offered")
        raise BybitError(110025, "Position mode has not been modified")

    # --------------------------------------------------------------------------------------- orders

    def _is_hidden(self, order: Order, one: Instrument) -> bool:
        """Tell whether a fault hides an order that is too young."""
        faults = self._faults[one.category]
        if not faults.armed or not faults.lasts("not_found_for_a_moment", one.symbol):
            return False
        age = int(faults.params("not_found_for_a_moment", one.symbol).get("age_ms", 1000))
        if self._now_ms() - order.created_ms >= age:
            return False
        return faults.take("not_found_for_a_moment", one.symbol) is not None

    def _named(self, query: Query) -> list[tuple[Order, Instrument]] | None:
        """Return the orders that an id names, None when none is given."""
        wanted = {name: query.text(name) for name in ("orderId", "orderLinkId") if query.text(name)}
        if not wanted:
            return None
        found = []
        for one in self._some(query):
            try:
                order = self._trading.find(query.owner, wanted, one)
            except Refused:
                continue
            if not self._is_hidden(order, one):
                found.append((order, one))
        return found

    def _mine(self, query: Query) -> list[tuple[Order, Instrument]]:
        """Return the account's orders that a query covers, newest first."""
        settle, base = query.text("settleCoin"), query.text("baseCoin")
        covered = {
            one.market: one
            for one in self._some(query)
            if settle in ("", one.market.spec.settle) and base in ("", one.market.spec.base)
        }
        found = [
            (order, covered[order.market])
            for order in self._exchange.orders
            if order.account is query.owner and order.market in covered
        ]
        found = [(order, one) for order, one in found if not self._is_hidden(order, one)]
        found.reverse()
        return found

    def _answer(self, query: Query, found: list[tuple[Order, Instrument]]) -> Any:
        rows = [self._views.order(order) for order, _ in found]
        return {**paged(rows, query, 20, 50), "category": self._category(query)}

    def _realtime(self, query: Query) -> Any:
        category = self._category(query)
        scope = [query.text(name) for name in ("symbol", "baseCoin", "settleCoin", "orderId", "orderLinkId")]
        if category == "linear" and not any(scope):
            raise wrong("params error: symbol, baseCoin or settleCoin is required")
        found = self._named(query)
        if found is None:
            if query.text("openOnly") == "1":
                closed = [(order, one) for order, one in self._mine(query) if not order.is_open]
                found = closed[:RECENT_MOST]
            else:
                found = [(order, one) for order, one in self._mine(query) if order.is_open]
        return self._answer(query, found)

    def _history(self, query: Query) -> Any:
        self._category(query)
        found = self._named(query)
        if found is None:
            found = self._mine(query)
            start, end = self._range(query)
            found = [(order, one) for order, one in found if start <= order.created_ms <= end]
        return self._answer(query, [(order, one) for order, one in found if not order.is_open])

    def _range(self, query: Query) -> tuple[int, int]:
        start, end = query.moment("startTime"), query.moment("endTime")
        if start is None:
            end = end if end is not None else self._now_ms() + WEEK_MS
            return max(0, end - 2 * WEEK_MS), end
        end = end if end is not None else start + WEEK_MS
        if end - start > WEEK_MS:
            raise wrong("The time range between startTime and endTime cannot exceed 7 days.")
        return start, end

    def _executions(self, query: Query) -> Any:
        category = self._category(query)
        covered = {one.market for one in self._some(query)}
        start, end = self._range(query)
        fills = [
            self._views.execution(fill)
            for fill in reversed(self._exchange.fills(query.owner))
            if fill.order.market in covered and start <= fill.time_ms <= end
        ]
        for name in ("orderId", "orderLinkId"):
            if query.text(name):
                fills = [row for row in fills if row[name] == query.text(name)]
        return {**paged(fills, query, 50, 100), "category": category}


def paged(rows: Rows, query: Query, default: int, most: int) -> dict[str, Any]:
    """Return one page of rows and the cursor of the next, ``""`` at the end; raises BybitError."""
    limit = query.count("limit", default, most)
    start, cursor = 0, unquote(query.text("cursor"))
    if cursor:
        name, _, number = cursor.partition("%3A") if "%3A" in cursor else cursor.partition(":")
        if name != "page" or not number.isdecimal():
            raise wrong("params error: cursor invalid")
        start = int(number)
    following = start + limit
    more = quote(f"page:{following}", safe="") if following < len(rows) else ""
    return {"list": rows[start:following], "nextPageCursor": more}
