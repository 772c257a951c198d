"""The exchange's core against a naive order book and plain bookkeeping, over random orders."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sim.accounts import Account
from engine.sim.clock import ManualSimClock
from engine.sim.exchange import Exchange
from engine.sim.market import Market
from engine.sim.model import MarketSpec, NewOrder, Order, OrderKind, Refused, TradePrint

NAMES = ("alice", "bob", "carol")
START = {"BTC": Decimal(50), "USDT": Decimal(50_000)}
TICK, LOT = Decimal("0.5"), Decimal("0.1")


def spec(product: Literal["spot", "perp"]) -> MarketSpec:
    return MarketSpec(
        venue="test", product=product, symbol="BTCUSDT", base="BTC", quote="USDT",
        settle="USDT" if product == "perp" else None, tick_size=TICK, lot_size=LOT, price_decimals=1,
        qty_decimals=1, min_qty=LOT, max_qty=Decimal(1000), min_notional=Decimal(0),
        initial_price=Decimal(50), maker_fee=Decimal("0.001"), taker_fee=Decimal("0.002"),
    )  # fmt: skip


@dataclass
class Resting:
    """One order of the naive book."""

    number: int
    owner: str
    side: str
    price: int
    lots: int


class Naive:
    """Price-time priority, spelled out: sort everything, walk it, every time."""

    def __init__(self) -> None:
        self.orders: list[Resting] = []

    def facing(self, side: str, limit: int | None) -> list[Resting]:
        found = [each for each in self.orders if each.side != side]
        if limit is not None:
            sign = 1 if side == "BUY" else -1
            found = [each for each in found if sign * each.price <= sign * limit]
        return sorted(found, key=lambda each: (each.price if side == "BUY" else -each.price, each.number))

    def submit(self, number: int, owner: str, side: str, limit: int | None, lots: int, tif: str) -> list[Any]:
        facing = self.facing(side, limit)
        if tif == "FOK" and sum(each.lots for each in facing) < lots:
            return []
        trades = []
        for each in facing:
            part = min(each.lots, lots)
            if part == 0:
                break
            each.lots -= part
            lots -= part
            trades.append((each.number, each.price, part))
        self.orders = [each for each in self.orders if each.lots]
        if lots and limit is not None and tif == "GTC":
            self.orders.append(Resting(number, owner, side, limit, lots))
        return trades

    def cancel(self, number: int) -> None:
        self.orders = [each for each in self.orders if each.number != number]


class Ear:
    """Hears trades; everything else is of no interest here."""

    def __init__(self) -> None:
        self.trades: list[TradePrint] = []

    def on_trade(self, trade: TradePrint) -> None:
        self.trades.append(trade)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *_: None
        raise AttributeError(name)


class Both:
    """The exchange and the naive book, given the same orders."""

    def __init__(self, product: Literal["spot", "perp"]) -> None:
        self.product = product
        self.accounts = [Account(name=name, api_key=f"key-{name}", secret="") for name in NAMES]
        for account in self.accounts:
            for asset, amount in START.items():
                account.balance(product, asset).free = amount
        self.exchange = Exchange("test", [spec(product)], self.accounts, ManualSimClock())
        self.market: Market = self.exchange.markets[product, "BTCUSDT"]
        self.market.mark_price = Decimal(50)
        self.ear = Ear()
        self.exchange.listeners.append(self.ear)
        self.naive = Naive()
        self.placed: list[Order] = []

    def submit(self, who: int, side: Any, price: int | None, lots: int, tif: Any, post_only: bool) -> None:
        number = len(self.placed)
        new = NewOrder(
            account=self.accounts[who], market=self.market, side=side,
            kind=OrderKind.LIMIT if price is not None else OrderKind.MARKET, price_ticks=price or 0,
            qty_lots=lots, time_in_force=tif if price is not None else "IOC",
            post_only=post_only and price is not None and tif == "GTC",
        )  # fmt: skip
        before = self.snapshot()
        self.ear.trades.clear()
        refusal = ""
        try:
            order = self.exchange.submit(new)
        except Refused as refused:
            refusal = refused.reason.value
        if refusal:
            assert self.snapshot() == before, f"refused ({refusal}) and yet something changed"
            assert not self.ear.trades
            assert refusal != "would_take" or self.naive.facing(side, price)
            return
        if new.post_only:
            assert not self.naive.facing(side, price)
        self.placed.append(order)
        expected = self.naive.submit(number, NAMES[who], side, price, lots, new.time_in_force)
        seen = [(self.placed.index(each.maker_order), each.price_ticks, each.qty_lots)  # type: ignore[arg-type]
                for each in self.ear.trades]  # fmt: skip
        assert seen == expected
        assert order.filled_lots == sum(lots for _, _, lots in expected)

    def cancel(self, at: int) -> None:
        if not self.placed:
            return
        order = self.placed[at % len(self.placed)]
        if order.is_open:
            self.exchange.cancel(order)
            self.naive.cancel(self.placed.index(order))

    def snapshot(self) -> Any:
        return [
            [(asset, each.free, each.locked) for asset, each in account.balances[self.product].items()]
            for account in self.accounts
        ], sorted(self.resting())

    def resting(self) -> list[tuple[Any, ...]]:
        return [
            (number, order.account.name, order.side, order.price_ticks, order.leaves_lots)
            for number, order in enumerate(self.placed)
            if order.is_open
        ]

    def check(self) -> None:
        naive = [(each.number, each.owner, each.side, each.price, each.lots) for each in self.naive.orders]
        assert sorted(self.resting()) == sorted(naive)
        for side in ("BUY", "SELL"):
            totals: dict[int, int] = {}
            for _, _, which, price, lots in naive:
                if which == side:
                    totals[price] = totals.get(price, 0) + lots
            levels = self.market.side(side).levels
            assert {price: level.total for price, level in levels.items() if level.total} == totals
        fills = list(self.exchange.all_fills)
        fees = {asset: sum((f.fee for f in fills if f.fee_asset == asset), Decimal(0)) for asset in START}
        (self.check_spot if self.product == "spot" else self.check_perp)(fees)

    def check_spot(self, fees: dict[str, Decimal]) -> None:
        for asset, amount in START.items():
            balances = [account.balance("spot", asset) for account in self.accounts]
            assert all(each.free >= 0 and each.locked >= 0 for each in balances)
            assert sum(each.total for each in balances) + fees[asset] == amount * len(NAMES)
        for account in self.accounts:
            own = [each for each in self.naive.orders if each.owner == account.name]
            buys = sum(each.lots * each.price for each in own if each.side == "BUY")
            sells = sum(each.lots for each in own if each.side == "SELL")
            assert account.balance("spot", "USDT").locked == buys * TICK * LOT
            assert account.balance("spot", "BTC").locked == sells * LOT

    def check_perp(self, fees: dict[str, Decimal]) -> None:
        assert sum(account.position("BTCUSDT").lots for account in self.accounts) == 0
        wallets = sum(account.balance("perp", "USDT").total for account in self.accounts)
        unrealised = self.exchange.clearing.unrealised
        open_profit = sum(unrealised(account, self.market) for account in self.accounts)
        # What one loses the others win: only fees leave the room.
        difference = wallets + open_profit + fees["USDT"] - START["USDT"] * len(NAMES)
        assert abs(difference) < Decimal("1e-18")


ACTIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"), st.integers(0, 2), st.sampled_from(("BUY", "SELL")),
            st.one_of(st.integers(90, 110), st.integers(90, 110), st.none()), st.integers(1, 30),
            st.sampled_from(("GTC", "GTC", "GTC", "IOC", "FOK")), st.booleans(),
        ),
        st.tuples(st.just("cancel"), st.integers(0, 1000)),
    ),
    max_size=60,
)  # fmt: skip


def run(product: Literal["spot", "perp"], actions: list[Any]) -> None:
    both = Both(product)
    for name, *arguments in actions:
        (both.submit if name == "place" else both.cancel)(*arguments)
        both.check()


@settings(deadline=None)
@given(ACTIONS)
def test_spot(actions: list[Any]) -> None:
    run("spot", actions)


@settings(deadline=None)
@given(ACTIONS)
def test_perpetual(actions: list[Any]) -> None:
    run("perp", actions)


def test_the_model_does_trade() -> None:
    """The comparison is worth something only if orders meet."""
    both = Both("spot")
    both.submit(0, "SELL", 100, 10, "GTC", False)
    both.submit(1, "SELL", 100, 5, "GTC", False)
    both.submit(2, "BUY", 101, 12, "GTC", False)
    both.check()
    assert [(each.price_ticks, each.qty_lots) for each in both.ear.trades] == [(100, 10), (100, 2)]
