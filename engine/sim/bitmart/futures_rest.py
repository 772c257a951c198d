"""The futures host's endpoints: contracts, market data, positions, wallets, orders.

Source: BitMart futures v2 docs, mirrored copy of 2025-11; public replies as probed on 2026-09-23.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bitmart.errors import BitMartError
from engine.sim.bitmart.futures_orders import FuturesOrders
from engine.sim.bitmart.futures_views import FuturesViews
from engine.sim.bitmart.instruments import Instrument, Listing, decoy_rows, number_text
from engine.sim.bitmart.limits import Rate
from engine.sim.bitmart.params import Item, count, given, whole
from engine.sim.bitmart.positions import Positions
from engine.sim.bitmart.quotes import funding_row, futures_candle, futures_trade_row
from engine.sim.bitmart.rest import KEYED, SIGNED, Route
from engine.sim.bitmart.spot_rest import system_routes

BOOK_DEPTH = 50
TRADES_MOST = 100
HISTORY_MOST = 100
CANDLES_MOST = 500
STEPS = {
    1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h", 360: "6h", 720: "12h",
    1440: "1d", 4320: "3d", 10080: "1w",
}  # fmt: skip


class FuturesRest:
    """Answers the futures host's public and account calls."""

    def __init__(
        self, listing: Listing, orders: FuturesOrders, views: FuturesViews, positions: Positions,
        now_ms: Callable[[], int],
    ) -> None:  # fmt: skip
        self._listing = listing
        self._all = listing.of("perp")
        self._orders = orders
        self._views = views
        self._positions = positions
        self._now_ms = now_ms

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return every endpoint of the host.

        ``/system/*`` is documented for the spot host; both hosts are doors of one gateway, so it is here too
        (UNCONFIRMED).
        """
        return system_routes(self._now_ms) | self._public() | self._account() | self._trading()

    def _public(self) -> dict[tuple[str, str], Route]:
        calls: dict[str, tuple[Any, int]] = {
            "details": (self._details, 12), "depth": (self._depth, 12), "market-trade": (self._trades, 12),
            "funding-rate": (self._funding, 12), "funding-rate-v2": (self._all_funding, 12),
            "funding-rate-history": (self._funding_history, 12), "open-interest": (self._interest, 2),
            "kline": (self._candles, 12), "leverage-bracket": (self._brackets, 12),
        }  # fmt: skip
        return {
            ("GET", f"/contract/public/{name}"): Route(run, Rate(limit, 2, "IP"), ok="Ok")
            for name, (run, limit) in calls.items()
        }

    def _account(self) -> dict[tuple[str, str], Route]:
        orders = self._orders
        calls: dict[str, tuple[Any, int]] = {
            "assets-detail": (self._assets, 12), "trade-fee-rate": (self._fees, 2),
            "position": (self._position, 6), "position-v2": (self._position_v2, 6),
            "get-position-mode": (self._mode, 2), "order": (orders.order, 50),
            "get-open-orders": (orders.open_orders, 50), "order-history": (orders.history, 6),
            "trades": (orders.trades, 6),
        }  # fmt: skip
        return {
            ("GET", f"/contract/private/{name}"): Route(run, Rate(limit, 2, "KEY"), KEYED, "Ok")
            for name, (run, limit) in calls.items()
        }

    def _trading(self) -> dict[tuple[str, str], Route]:
        orders = self._orders
        calls: dict[str, tuple[Any, int, bool, bool]] = {
            "submit-order": (orders.submit, 24, True, True),
            "modify-limit-order": (orders.modify, 24, True, True),
            "cancel-order": (orders.cancel, 40, True, False),
            "cancel-orders": (orders.cancel_all, 2, True, False),
            "cancel-all-after": (orders.cancel_all_after, 4, False, False),
            "submit-leverage": (orders.set_leverage, 24, False, False),
            "set-position-mode": (orders.set_mode, 2, False, False),
        }  # fmt: skip
        return {
            ("POST", f"/contract/private/{name}"): Route(
                run, Rate(limit, 2, "UID"), SIGNED, "Ok", trades, places
            )
            for name, (run, limit, trades, places) in calls.items()
        }

    # --------------------------------------------------------------------------------------- public

    def _details(self, account: None, item: Item) -> dict[str, Any]:
        now, wanted = self._now_ms(), given(item, "symbol")
        rows = [one.futures_details(now) for one in self._all if wanted in (None, one.symbol)]
        rows += [row for row in decoy_rows() if wanted in (None, row["symbol"])]
        if not rows:
            raise BitMartError(40012, "SYMBOL_NOT_EXIST")
        return {"symbols": rows}

    def _depth(self, account: None, item: Item) -> dict[str, Any]:
        one = self._orders.instrument(item)
        market = one.market
        return {
            "symbol": one.symbol, "timestamp": self._now_ms(), "asks": _side(one, market.asks.best_first()),
            "bids": _side(one, market.bids.best_first()),
        }  # fmt: skip

    def _trades(self, account: None, item: Item) -> list[dict[str, Any]]:
        one = self._orders.instrument(item)
        newest = itertools.islice(reversed(one.tape.trades), count(item, "limit", TRADES_MOST, TRADES_MOST))
        return [futures_trade_row(one, trade) for trade in newest]

    def _funding(self, account: None, item: Item) -> dict[str, Any]:
        return funding_row(self._orders.instrument(item), self._now_ms())

    def _all_funding(self, account: None, item: Item) -> list[dict[str, Any]]:
        now = self._now_ms()
        return [funding_row(one, now) for one in self._all]

    def _funding_history(self, account: None, item: Item) -> dict[str, Any]:
        one = self._orders.instrument(item)
        newest = reversed(one.market.funding_history)
        rows = [
            {"symbol": one.symbol, "funding_rate": number_text(rate), "funding_time": str(at_ms)}
            for at_ms, rate, _ in itertools.islice(newest, count(item, "limit", HISTORY_MOST, HISTORY_MOST))
        ]
        return {"list": rows}

    def _interest(self, account: None, item: Item) -> dict[str, Any]:
        one = self._orders.instrument(item)
        lots, market = one.market.open_interest_lots, one.market
        return {
            "timestamp": self._now_ms(), "symbol": one.symbol, "open_interest": one.size_text(lots),
            "open_interest_value": number_text(market.qty(lots) * market.mark_price),
        }  # fmt: skip

    def _candles(self, account: None, item: Item) -> list[dict[str, Any]]:
        one = self._orders.instrument(item)
        step, start, end = whole(item, "step") or 1, whole(item, "start_time"), whole(item, "end_time")
        if step not in STEPS:
            raise BitMartError(40038, "Invalid step")
        if start is None or end is None or end < start:
            raise BitMartError(40039, "The time range is invalid")
        kept = [candle for candle in one.tape.candles(STEPS[step]) if start <= candle.open_ms // 1000 <= end]
        return [futures_candle(one, candle) for candle in kept[:CANDLES_MOST]]

    def _brackets(self, account: None, item: Item) -> dict[str, Any]:
        wanted = given(item, "symbol")
        ones = [self._orders.instrument(item)] if wanted is not None else self._all
        rules = [
            {
                "symbol": one.symbol,
                "brackets": [
                    {
                        "bracket": 1, "initial_leverage": str(one.market.spec.max_leverage),
                        "notional_cap": "1000000000", "notional_floor": "0", "maint_margin_ratio": "0.005",
                        "cum": "0",
                    }
                ],
            }
            for one in ones
        ]  # fmt: skip
        return {"rules": rules}

    # -------------------------------------------------------------------------------------- account

    def _assets(self, account: Account, item: Item) -> list[dict[str, str]]:
        return self._views.assets(account)

    def _fees(self, account: Account, item: Item) -> dict[str, str]:
        one = self._orders.instrument(item)
        spec = one.market.spec
        return {
            "symbol": one.symbol, "taker_fee_rate": number_text(spec.taker_fee),
            "maker_fee_rate": number_text(spec.maker_fee),
        }  # fmt: skip

    def _asked(self, account: Account, item: Item) -> list[Instrument]:
        """Return the contract that is asked for, or those that are held."""
        if given(item, "symbol") is not None:
            return [self._orders.instrument(item)]
        return [one for one in self._all if not self._positions.is_flat(account, one)]

    def _position(self, account: Account, item: Item) -> list[dict[str, Any]]:
        now = self._now_ms()
        return [
            row
            for one in self._asked(account, item)
            for row in self._views.positions(account, one, now)
            if row["current_amount"] != "0"
        ]

    def _position_v2(self, account: Account, item: Item) -> list[dict[str, Any]]:
        now = self._now_ms()
        return [
            row for one in self._asked(account, item) for row in self._views.positions_v2(account, one, now)
        ]

    def _mode(self, account: Account, item: Item) -> dict[str, str]:
        return {"position_mode": self._positions.mode(account)}


def _side(one: Instrument, levels: Iterable[tuple[int, int]]) -> list[list[str]] | None:
    """Return price, contracts and contracts so far of each level; an empty side is null."""
    rows, total = [], 0
    for ticks, lots in itertools.islice(levels, BOOK_DEPTH):
        total += lots
        rows.append([one.price.text(ticks), one.size_text(lots), one.size_text(total)])
    return rows or None
