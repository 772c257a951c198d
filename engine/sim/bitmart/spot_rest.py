"""The spot host's endpoints: system, market data, wallet, orders.

Source: BitMart spot docs, mirrored copy of 2025-11; limits as in its tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.bitmart.errors import BitMartError
from engine.sim.bitmart.instruments import Instrument, Listing, amount_text, number_text
from engine.sim.bitmart.limits import Rate
from engine.sim.bitmart.params import Item, count, given, whole
from engine.sim.bitmart.quotes import spot_candle, spot_ticker, spot_trade_row
from engine.sim.bitmart.rest import KEYED, SIGNED, Route
from engine.sim.bitmart.spot_orders import SpotOrders
from engine.sim.tape import Candle

BOOK_DEFAULT, BOOK_MOST = 35, 50
TRADES_MOST = 50
CANDLES_MOST = 200
STEPS = {
    1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h", 1440: "1d", 10080: "1w",
    43200: "1M",
}  # fmt: skip
SECOND_MS = 1000


def system_routes(now_ms: Callable[[], int]) -> dict[tuple[str, str], Route]:
    """Return ``/system/*``."""

    def time(account: None, item: Item) -> dict[str, Any]:
        return {"server_time": now_ms()}

    def service(account: None, item: Item) -> dict[str, Any]:
        moment = now_ms()
        rows = [
            {
                "title": f"{kind} API",
                "service_type": kind,
                "status": "2",
                "start_time": moment,
                "end_time": moment,
            }
            for kind in ("spot", "contract", "account")
        ]
        return {"service": rows}

    rate = Rate(10, 1, "IP")
    return {("GET", "/system/time"): Route(time, rate), ("GET", "/system/service"): Route(service, rate)}


class SpotRest:
    """Answers spot's public and account calls."""

    def __init__(self, listing: Listing, orders: SpotOrders, now_ms: Callable[[], int]) -> None:
        self._listing = listing
        self._all = listing.of("spot")
        self._orders = orders
        self._now_ms = now_ms

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return every endpoint of the host."""
        return system_routes(self._now_ms) | self._public() | self._account() | self._trading()

    def _public(self) -> dict[tuple[str, str], Route]:
        calls: dict[str, tuple[Any, int]] = {
            "/spot/v1/symbols": (self._symbols, 12), "/spot/v1/symbols/details": (self._details, 12),
            "/spot/v1/currencies": (self._currencies, 8), "/account/v1/currencies": (self._account_coins, 30),
            "/spot/quotation/v3/ticker": (self._ticker, 15),
            "/spot/quotation/v3/tickers": (self._tickers, 10),
            "/spot/quotation/v3/books": (self._book, 15), "/spot/quotation/v3/trades": (self._trades, 15),
            "/spot/quotation/v3/klines": (self._candles, 10),
            "/spot/quotation/v3/lite-klines": (self._candles, 15),
        }  # fmt: skip
        return {
            ("GET", path): Route(run, Rate(limit, 2, "IP"), ok="success" if "quotation" in path else "OK")
            for path, (run, limit) in calls.items()
        }

    def _account(self) -> dict[tuple[str, str], Route]:
        calls: dict[str, tuple[Any, int]] = {
            "/spot/v1/wallet": (self._wallet, 12), "/account/v1/wallet": (self._account_wallet, 12),
            "/spot/v1/trade_fee": (self._trade_fee, 2), "/spot/v1/user_fee": (self._user_fee, 2),
        }  # fmt: skip
        return {
            ("GET", path): Route(run, Rate(limit, 2, "KEY"), KEYED) for path, (run, limit) in calls.items()
        }

    def _trading(self) -> dict[tuple[str, str], Route]:
        orders = self._orders
        calls: dict[str, tuple[Any, Rate, bool, bool]] = {
            "/spot/v2/submit_order": (orders.submit, Rate(40, 2, "UID"), True, True),
            "/spot/v4/batch_orders": (orders.batch, Rate(40, 2, "UID"), True, True),
            "/spot/v3/cancel_order": (orders.cancel, Rate(40, 2, "UID"), True, False),
            "/spot/v4/cancel_orders": (orders.cancel_several, Rate(40, 2, "UID"), True, False),
            "/spot/v4/cancel_all": (orders.cancel_all, Rate(1, 3, "UID"), True, False),
            "/spot/v4/query/order": (orders.query_order, Rate(50, 2, "KEY"), False, False),
            "/spot/v4/query/client-order": (orders.query_client_order, Rate(50, 2, "KEY"), False, False),
            "/spot/v4/query/open-orders": (orders.open_orders, Rate(12, 2, "KEY"), False, False),
            "/spot/v4/query/history-orders": (orders.history_orders, Rate(12, 2, "KEY"), False, False),
            "/spot/v4/query/trades": (orders.trades, Rate(12, 2, "KEY"), False, False),
            "/spot/v4/query/order-trades": (orders.order_trades, Rate(12, 2, "KEY"), False, False),
        }  # fmt: skip
        return {
            ("POST", path): Route(run, rate, SIGNED, "OK" if trades else "success", trades, places)
            for path, (run, rate, trades, places) in calls.items()
        }

    # --------------------------------------------------------------------------------------- public

    def _quoted(self, item: Item) -> Instrument:
        """Return the instrument of a market-data call, whose refusals come with HTTP 200."""
        one = self._listing.by_name.get(("spot", str(item.get("symbol", ""))))
        if one is None:
            raise BitMartError(71001, "The symbol does not exist", 200)
        return one

    def _symbols(self, account: None, item: Item) -> dict[str, Any]:
        return {"symbols": [one.symbol for one in self._all]}

    def _details(self, account: None, item: Item) -> dict[str, Any]:
        return {"symbols": [one.spot_details() for one in self._all]}

    def _coins(self) -> list[str]:
        specs = [one.market.spec for one in self._all]
        return list(dict.fromkeys(coin for spec in specs for coin in (spec.base, spec.quote)))

    def _currencies(self, account: None, item: Item) -> dict[str, Any]:
        return {
            "currencies": [
                {"id": coin, "name": coin, "withdraw_enabled": True, "deposit_enabled": True}
                for coin in self._coins()
            ]
        }

    def _account_coins(self, account: None, item: Item) -> dict[str, Any]:
        return {
            "currencies": [
                {
                    "currency": coin, "name": coin, "contract_address": None, "network": coin,
                    "withdraw_enabled": True, "deposit_enabled": True, "withdraw_minsize": "0.001",
                    "withdraw_minfee": "0.0001", "withdraw_fee_estimate": "1", "withdraw_fee": "0.0001",
                }
                for coin in self._coins()
            ]
        }  # fmt: skip

    def _ticker(self, account: None, item: Item) -> dict[str, str]:
        return spot_ticker(self._quoted(item), self._now_ms())

    def _tickers(self, account: None, item: Item) -> list[list[str]]:
        now = self._now_ms()
        return [list(spot_ticker(one, now).values()) for one in self._all]

    def _book(self, account: None, item: Item) -> dict[str, Any]:
        one = self._quoted(item)
        depth = count(item, "limit", BOOK_DEFAULT, BOOK_MOST)
        market = one.market
        asks, bids = (
            [list(one.level(*row)) for row in itertools.islice(side.best_first(), depth)]
            for side in (market.asks, market.bids)
        )
        return {"ts": str(self._now_ms()), "symbol": one.symbol, "asks": asks, "bids": bids}

    def _trades(self, account: None, item: Item) -> list[list[str]]:
        one = self._quoted(item)
        newest = itertools.islice(reversed(one.tape.trades), count(item, "limit", TRADES_MOST, TRADES_MOST))
        return [spot_trade_row(one, trade) for trade in newest]

    def _candles(self, account: None, item: Item) -> list[list[str]]:
        one = self._quoted(item)
        step = whole(item, "step") or 1
        if step not in STEPS:
            raise BitMartError(70002, "The step is invalid", 200)
        before, after = whole(item, "before"), whole(item, "after")

        def fits(candle: Candle) -> bool:
            at_s = candle.open_ms // SECOND_MS
            return (before is None or at_s < before) and (after is None or at_s > after)

        kept = [candle for candle in one.tape.candles(STEPS[step]) if fits(candle)]
        return [spot_candle(one, candle) for candle in kept[-count(item, "limit", 100, CANDLES_MOST) :]]

    # -------------------------------------------------------------------------------------- account

    @staticmethod
    def _balances(account: Account) -> list[tuple[str, Decimal, Decimal]]:
        wallet = account.balances.get("spot", {})
        return [(coin, balance.free, balance.locked) for coin, balance in wallet.items() if balance.total]

    def _wallet(self, account: Account, item: Item) -> dict[str, Any]:
        return {
            "wallet": [
                {"id": coin, "available": amount_text(free), "name": coin, "frozen": amount_text(locked)}
                for coin, free, locked in self._balances(account)
            ]
        }

    def _account_wallet(self, account: Account, item: Item) -> dict[str, Any]:
        wanted = given(item, "currency")
        return {
            "wallet": [
                {
                    "currency": coin, "name": coin, "available": amount_text(free),
                    "frozen": amount_text(locked), "unAvailable": amount_text(locked),
                    "available_usd_valuation": "",
                }
                for coin, free, locked in self._balances(account)
                if wanted in (None, coin)
            ]
        }  # fmt: skip

    def _trade_fee(self, account: Account, item: Item) -> dict[str, str]:
        one = self._orders.instrument(item)
        taker, maker = (number_text(fee) for fee in (one.market.spec.taker_fee, one.market.spec.maker_fee))
        return {
            "symbol": one.symbol, "buy_taker_fee_rate": taker, "sell_taker_fee_rate": taker,
            "buy_maker_fee_rate": maker, "sell_maker_fee_rate": maker,
        }  # fmt: skip

    def _user_fee(self, account: Account, item: Item) -> dict[str, Any]:
        spec = self._all[0].market.spec
        rates = {}
        for coin_class in "ABCD":
            rates[f"taker_fee_rate_{coin_class}"] = number_text(spec.taker_fee)
            rates[f"maker_fee_rate_{coin_class}"] = number_text(spec.maker_fee)
        return {"user_rate_type": 1, "level": "level_1", **rates}
