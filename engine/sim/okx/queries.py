"""Signed questions: account, orders, fills, bills.

Source: OKX v5 docs, "Trading Account" and "Trade", seen 2026-08.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.model import Order, Refused
from engine.sim.okx.calls import Call, Route, one_instrument, page, some_instruments
from engine.sim.okx.errors import OkxError, wrong_parameter
from engine.sim.okx.instruments import Instrument, Listing, number_text
from engine.sim.okx.ledger import Ledger
from engine.sim.okx.limits import DERIVATIVE_ORDERS, Limit
from engine.sim.okx.trading import Trading, text
from engine.sim.okx.views import Views, state

FORGOTTEN_AFTER_MS = 7_200_000
"""Cancelled orders without a fill vanish after two hours."""


class Queries:
    """Answers for one account at a time."""

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        views: Views,
        ledger: Ledger,
        trading: Trading,
        faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._ledger = ledger
        self._trading = trading
        self._faults = faults
        self._now_ms = now_ms

    def routes(self, instruments: Callable[[Call], list[Any]]) -> dict[tuple[str, str], Route]:
        """Return the table of (method, path) to endpoint; ``instruments`` answers the public list."""
        gets = {
            "/account/config": (self._config, Limit(5)),
            "/account/balance": (self._balance, Limit(10)),
            "/account/positions": (self._positions, Limit(10)),
            "/account/instruments": (instruments, Limit(20, "instType")),
            "/account/trade-fee": (self._trade_fee, Limit(5)),
            "/account/leverage-info": (self._leverage, Limit(20)),
            "/account/max-size": (self._max_size, Limit(20)),
            "/account/bills": (self._bills, Limit(10)),
            "/account/bills-archive": (self._bills, Limit(5)),
            "/asset/currencies": (lambda call: [], Limit(6)),
            "/trade/order": (self._order, Limit(60, "instId")),
            "/trade/orders-pending": (self._pending, Limit(60)),
            "/trade/orders-history": (self._history, Limit(40)),
            "/trade/orders-history-archive": (self._history, Limit(20)),
            "/trade/fills": (self._fills, Limit(60)),
            "/trade/fills-history": (self._old_fills, Limit(10)),
            "/trade/account-rate-limit": (self._rate_limit, Limit(1, length_ms=1_000)),
        }
        table = {("GET", path): Route(run, limit, is_signed=True) for path, (run, limit) in gets.items()}
        table["POST", "/account/set-leverage"] = Route(self._set_leverage, Limit(20), is_signed=True)
        table["POST", "/account/set-position-mode"] = Route(self._set_mode, Limit(5), is_signed=True)
        return table

    # -------------------------------------------------------------------------------------- account

    def _config(self, call: Call) -> list[Any]:
        uid = str(call.owner.uid)
        return [
            {
                "acctLv": "2", "acctStpMode": "cancel_maker", "autoLoan": False, "ctIsoMode": "automatic",
                "enableSpotBorrow": False, "feeType": "0", "greeksType": "PA", "ip": "", "kycLv": "3",
                "label": call.owner.name, "level": "Lv1", "levelTmp": "", "mainUid": uid,
                "mgnIsoMode": "automatic", "opAuth": "0", "perm": "read_only,trade", "posMode": "net_mode",
                "roleType": "0", "settleCcy": "USDT", "spotOffsetType": "", "spotRoleType": "0",
                "spotTraderInsts": [], "traderInsts": [], "type": "0", "uid": uid,
            }
        ]  # fmt: skip

    def _set_mode(self, call: Call) -> list[Any]:
        """Accept net mode only: the matching core keeps one position for each contract."""
        mode = text(call.members, "posMode")
        if mode not in ("net_mode", "long_short_mode"):
            raise wrong_parameter("posMode")
        if mode != "net_mode":
            raise OkxError("51010", "Request unsupported under current account mode")
        return [{"posMode": mode}]

    def _balance(self, call: Call) -> list[Any]:
        names = tuple(name for name in call.text("ccy").split(",") if name)
        if len(names) > 20:
            raise wrong_parameter("ccy")
        held = self._views.currencies(call.owner)
        shown = tuple(name for name in held if name in names) if names else held
        return [self._views.account(call.owner, shown)]

    def _positions(self, call: Call) -> list[Any]:
        names = [name for name in call.text("instId").split(",") if name]
        for name in names:
            self._listing.named(name)
        if call.text("instType") not in ("", "SWAP", "FUTURES", "OPTION", "MARGIN"):
            raise wrong_parameter("instType")
        if call.text("instType") not in ("", "SWAP"):
            return []
        return [
            self._views.position(call.owner, one, self._now_ms())
            for one in self._views.held(call.owner)
            if not names or one.inst_id in names
        ]

    def _trade_fee(self, call: Call) -> list[Any]:
        found = some_instruments(self._listing, call, must_type=True)
        if not found:
            raise wrong_parameter("instType")
        spec = found[0].market.spec
        maker, taker = number_text(-spec.maker_fee), number_text(-spec.taker_fee)
        group = {"elpMaker": "", "rpiMaker": "", "groupId": found[0].group, "maker": maker, "taker": taker}
        is_swap = found[0].is_swap
        return [
            {
                "category": "1", "delivery": "", "exercise": "", "feeGroup": [group], "fiat": [],
                "instType": found[0].inst_type, "level": "Lv1", "maker": "" if is_swap else maker,
                "makerU": maker if is_swap else "", "makerUSDC": "", "ruleType": "normal",
                "taker": "" if is_swap else taker, "takerU": taker if is_swap else "", "takerUSDC": "",
                "ts": str(self._now_ms()),
            }
        ]  # fmt: skip

    def _leverage(self, call: Call) -> list[Any]:
        call.must("mgnMode")
        return [self._leverage_row(call.owner, one_instrument(self._listing, call))]

    def _leverage_row(self, account: Account, one: Instrument) -> dict[str, Any]:
        lever = self._exchange.clearing.leverage(account, one.market)
        return {"instId": one.inst_id, "mgnMode": "cross", "posSide": "net", "lever": str(lever), "ccy": ""}

    def _set_leverage(self, call: Call) -> list[Any]:
        one = self._listing.named(text(call.members, "instId"))
        lever, mode = text(call.members, "lever"), text(call.members, "mgnMode")
        if mode != "cross" or not one.is_swap:
            raise OkxError("51010", "Request unsupported under current account mode")
        if not lever.isdecimal() or not 1 <= int(lever) <= one.market.spec.max_leverage:
            raise OkxError("59102", "Leverage exceeds the maximum limit. Please lower the leverage.")
        call.owner.leverage[one.inst_id] = int(lever)
        row = self._leverage_row(call.owner, one)
        return [{name: row[name] for name in ("instId", "lever", "mgnMode", "posSide")}]

    def _max_size(self, call: Call) -> list[Any]:
        call.must("tdMode")
        one, account = one_instrument(self._listing, call), call.owner
        price = one.market.price(one.market.last_price_ticks)
        if one.is_swap:
            free = max(self._exchange.clearing.available_margin(account, one.settle), price * 0)
            lever = self._exchange.clearing.leverage(account, one.market)
            most = one.size_text(int(free * lever / price / one.market.spec.lot_size))
            return [{"ccy": one.settle, "instId": one.inst_id, "maxBuy": most, "maxSell": most}]
        spec = one.market.spec
        bought = int(account.balance("spot", spec.quote).free / price / spec.lot_size)
        sold = int(account.balance("spot", spec.base).free / spec.lot_size)
        row = {"maxBuy": one.size_text(bought), "maxSell": one.size_text(sold)}
        return [{"ccy": spec.base, "instId": one.inst_id} | row]

    def _bills(self, call: Call) -> list[Any]:
        rows = [
            row
            for row in reversed(self._ledger.bills.get(call.owner.name, ()))
            if all(
                call.text(name) in ("", row[name])
                for name in ("instType", "ccy", "type", "subType", "mgnMode", "instId")
            )
        ]
        return page(call, rows, "billId", "ts")

    def _rate_limit(self, call: Call) -> list[Any]:
        row = {"fillRatio": "", "mainFillRatio": "", "nextAccRateLimit": "", "ts": str(self._now_ms())}
        return [{"accRateLimit": str(DERIVATIVE_ORDERS)} | row]

    # --------------------------------------------------------------------------------------- orders

    def _row(self, order: Order) -> dict[str, Any]:
        return self._views.order(order, order.fills[-1] if order.fills else None, is_push=False)

    def _is_forgotten(self, order: Order) -> bool:
        return (
            not order.is_open and not order.fills and self._now_ms() - order.updated_ms > FORGOTTEN_AFTER_MS
        )

    def _order(self, call: Call) -> list[Any]:
        one = one_instrument(self._listing, call)
        try:
            order = self._trading.find(call.owner, call.query, one)
        except Refused:
            raise OkxError("51603", "Order does not exist") from None
        faults = self._faults[one.market.spec.product]
        if faults.lasts("not_found_for_a_moment", one.inst_id):
            young = faults.params("not_found_for_a_moment", one.inst_id)
            if self._now_ms() - order.created_ms < int(young.get("age_ms", 1000)):
                faults.note("not_found_for_a_moment")
                raise OkxError("51603", "Order does not exist")
        if self._is_forgotten(order):
            raise OkxError("51603", "Order does not exist")
        return [self._row(order)]

    def _own(self, call: Call, is_open: bool) -> list[Any]:
        wanted = {one.market for one in some_instruments(self._listing, call)}
        rows = [
            self._row(order)
            for order in reversed(self._exchange.orders)
            if order.account is call.owner
            and order.is_open is is_open
            and order.market in wanted
            and call.text("ordType") in ("", order.extra.get("ordType"))
            and call.text("state") in ("", state(order))
            and not self._is_forgotten(order)
        ]
        return page(call, rows, "ordId", "cTime")

    def _pending(self, call: Call) -> list[Any]:
        return self._own(call, is_open=True)

    def _history(self, call: Call) -> list[Any]:
        call.must("instType")
        return self._own(call, is_open=False)

    def _fills(self, call: Call) -> list[Any]:
        wanted = {one.market for one in some_instruments(self._listing, call)}
        rows = [
            self._views.fill(fill)
            for fill in reversed(self._exchange.fills(call.owner))
            if fill.order.market in wanted
        ]
        number = call.text("ordId")
        return page(call, [row for row in rows if number in ("", row["ordId"])], "billId", "ts")

    def _old_fills(self, call: Call) -> list[Any]:
        call.must("instType")
        return self._fills(call)
