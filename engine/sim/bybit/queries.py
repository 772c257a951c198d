"""What can be asked over REST, and account settings.

Source: Bybit v5 docs, "Market", "Trade", "Position", "Account", "User", seen 2026-07.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bybit.errors import BybitError, wrong
from engine.sim.bybit.instruments import Instrument, Listing, number_text
from engine.sim.bybit.order_queries import OrderQueries
from engine.sim.bybit.query import Query, paged
from engine.sim.bybit.rules import Item, band
from engine.sim.bybit.trading import category_of
from engine.sim.bybit.views import Views
from engine.sim.exchange import Exchange

INTERVALS_MS = {
    "5min": 300_000, "15min": 900_000, "30min": 1_800_000, "1h": 3_600_000, "4h": 14_400_000,
    "1d": 86_400_000,
}  # fmt: skip
INTERESTS_KEPT = 200
_LEVERAGE = re.compile(r"[0-9]{1,3}(\.0{1,2})?")


class Queries:
    """Answers questions.

    Args:
        moved: told that a setting of a position changed.
        book: returns (bids, asks, u) of the 1000-level stream for an instrument and a number of levels.

    Attributes:
        settings: POST paths that change an account's settings.
    """

    def __init__(
        self, exchange: Exchange, listing: Listing, views: Views, orders: OrderQueries,
        now_ms: Callable[[], int], moved: Callable[[Account, Instrument], None],
        book: Callable[[Instrument, int], tuple[list[tuple[int, int]], list[tuple[int, int]], int]],
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._orders = orders
        self._moved = moved
        self._now_ms = now_ms
        self._levels = book
        self.settings: dict[str, Callable[[Account, Item], Any]] = {
            "/position/set-leverage": self._set_leverage, "/position/switch-mode": self._switch_mode,
            "/order/disconnected-cancel-all": self._set_dead_man,
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
            "/position/list": (self._positions, 50), "/order/realtime": (self._orders.realtime, 50),
            "/order/history": (self._orders.history, 50), "/execution/list": (self._orders.executions, 50),
            "/asset/coin/query-info": (lambda query: {"rows": []}, 5),
            "/account/query-dcp-info": (lambda query: {"dcpInfos": []}, 50),
        }  # fmt: skip

    # --------------------------------------------------------------------------------------- public

    def _time(self, query: Query) -> Any:
        now = self._now_ms()
        return {"timeSecond": str(now // 1000), "timeNano": f"{now}000000"}

    def _instruments(self, query: Query) -> Any:
        category = query.category
        status, base = (
            query.text("status") or ("Trading" if category == "linear" else ""),
            query.text("baseCoin"),
        )
        rows = [
            one.view()
            for one in query.some(self._listing)
            if status in ("", one.status) and base in ("", one.market.spec.base)
        ]
        if category == "spot":
            return {"category": category, "list": rows}
        return {"category": category, **paged(rows, query, 500, 1000, "symbol")}

    def _tickers(self, query: Query) -> Any:
        rows = [self._views.ticker(one, self._now_ms()) for one in query.some(self._listing)]
        return {"category": query.category, "list": rows}

    def _book(self, query: Query) -> Any:
        one = query.one(self._listing)
        bids, asks, number = self._levels(one, query.count("limit", 25 if one.is_linear else 1, 1000))
        now = self._now_ms()
        return {
            "s": one.symbol, "a": [[one.price.text(price), one.size.text(lots)] for price, lots in asks],
            "b": [[one.price.text(price), one.size.text(lots)] for price, lots in bids], "ts": now,
            "u": number, "seq": one.market.published_id, "cts": now - 2,
        }  # fmt: skip

    def _trades(self, query: Query) -> Any:
        one = query.one(self._listing)
        most = 1000 if one.is_linear else 60
        wanted = itertools.islice(reversed(one.prints), query.count("limit", min(500, most), most))
        rows = [self._views.trade(one, row, seq) for row, seq in wanted]
        return {"category": one.category, "list": rows}

    def _funding(self, query: Query) -> Any:
        one = query.one(self._listing)
        start, end = query.moment("startTime"), query.moment("endTime")
        if not one.is_linear:
            raise wrong("Illegal category")
        if start is not None and end is None:
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
        one = query.one(self._listing)
        interval = INTERVALS_MS.get(query.text("intervalTime"))
        if interval is None or not one.is_linear:
            raise wrong("params error: intervalTime invalid")
        start, end = query.moment("startTime") or 0, query.moment("endTime") or self._now_ms()
        latest = end - end % interval
        first = max(start, latest - interval * (INTERESTS_KEPT - 1))
        # The exchange's open interest does not move, so its past is what it is now.
        interest = one.size.text(one.market.open_interest_lots)
        rows = [
            {"openInterest": interest, "timestamp": str(at_ms)}
            for at_ms in range(latest, first - 1, -interval)
        ]
        page = paged(rows, query, 50, 200, "timestamp")
        return {"symbol": one.symbol, "category": one.category, **page}

    def _price_limit(self, query: Query) -> Any:
        one = query.one(self._listing)
        high, low = band(one)
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
                "baseCoin": "",
            }
            for one in query.some(self._listing)
        ]
        return {"list": rows}

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
                "Options": [], "Derivatives": ["DerivativesTrade"], "CopyTrading": [], "BlockTrade": [],
                "Exchange": ["ExchangeHistory"], "NFT": [], "Affiliate": [], "Earn": [],
            },
            "ips": ["*"], "type": 1, "deadlineDay": 90, "expiredAt": "2030-01-01T00:00:00Z",
            "createdAt": "2025-10-13T03:20:45Z", "unified": 0, "uta": 1, "userID": account.uid,
            "inviterID": 0, "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0, "rsaPublicKey": "",
            "isMaster": True, "parentUid": "0", "kycLevel": "LEVEL_1", "kycRegion": "",
        }  # fmt: skip

    def _positions(self, query: Query) -> Any:
        category, settle = query.category, query.text("settleCoin")
        if category not in ("linear", "inverse"):
            raise wrong("Illegal category")
        if category == "linear" and not query.text("symbol") and not settle:
            raise wrong("params error: symbol or settleCoin is required")
        account = query.owner
        held = [
            one
            for one in query.some(self._listing)
            if query.text("symbol")
            or (one.market.spec.settle == settle and account.position(one.symbol).lots)
        ]
        rows = [self._views.position(account, one) for one in held]
        return {**paged(rows, query, 20, 200, "symbol"), "category": category}

    def _set_leverage(self, account: Account, item: Item) -> Any:
        one = self._listing.one(category_of(item), str(item.get("symbol", "")))
        wanted = str(item.get("buyLeverage", ""))
        if wanted != str(item.get("sellLeverage", "")) or _LEVERAGE.fullmatch(wanted) is None:
            raise wrong("buy leverage invalid")
        leverage = int(Decimal(wanted))
        if not one.is_linear:
            raise wrong("Illegal category")
        if not 1 <= leverage <= one.market.spec.max_leverage:
            raise BybitError(110013, "cannot set leverage due to risk limit")
        if account.leverage.get(one.symbol) == leverage:
            raise BybitError(110043, "leverage not modified")
        before = account.leverage.get(one.symbol)
        account.leverage[one.symbol] = leverage
        if self._exchange.clearing.available_margin(account, one.market.spec.settle or "") < 0:
            account.leverage[one.symbol] = before or leverage
            raise BybitError(110044, "Insufficient available margin.")
        self._moved(account, one)
        return {}

    def _switch_mode(self, account: Account, item: Item) -> Any:
        if str(item.get("mode")) != "0":
            raise wrong("position mode: only one-way is offered")
        raise BybitError(110025, "Position mode has not been modified")

    def _set_dead_man(self, account: Account, item: Item) -> Any:
        """Refuse the dead-man switch: it is for institutions that asked for it, and these accounts have not.

        UNCONFIRMED: the code, which the documentation does not tell.
        """
        raise BybitError(10005, "Permission denied, DCP is not enabled for this account.")
