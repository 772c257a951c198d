"""OKX over REST: one aiohttp application for all products.

Source: OKX v5 docs, REST sections and "Error Code", seen 2026-08.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.model import Refused
from engine.sim.okx.books import WINDOW, BookChannel
from engine.sim.okx.errors import OkxError, empty_parameter, wrong_parameter
from engine.sim.okx.instruments import Instrument, Listing, number_text
from engine.sim.okx.signing import Gate
from engine.sim.okx.trading import Trading, envelope, given
from engine.sim.okx.views import Views
from engine.sim.windows import Window

WINDOW_MS = 2_000
HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
PREFIX = "/api/v5"


class NoAnswer(Exception):
    """The connection is cut instead of answered."""


@dataclass(slots=True)
class Call:
    """One request. ``query`` and ``body`` as sent, decoded; ``account`` of signed ones."""

    query: Mapping[str, str]
    body: Any
    account: Account | None = None

    @property
    def owner(self) -> Account:
        """Return the account of a signed request."""
        assert self.account is not None
        return self.account

    def must(self, name: str) -> str:
        """Return a query parameter that must be there."""
        value = self.query.get(name, "")
        if not value:
            raise empty_parameter(name)
        return value

    def count(self, name: str, default: int, most: int) -> int:
        """Return a number of rows."""
        value = self.query.get(name, "")
        if not value:
            return default
        if not value.isdecimal() or not 1 <= int(value) <= most:
            raise wrong_parameter(name)
        return int(value)


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint: ``limit`` requests in two seconds per address, or per account where it is signed."""

    run: Callable[[Call], Any]
    limit: int = 20
    is_signed: bool = False
    is_order: bool = False


@dataclass(slots=True)
class Limits:
    """Windows of two seconds by endpoint and owner."""

    now_ms: Callable[[], int]
    _windows: dict[tuple[str, str], Window] = field(default_factory=dict)

    def take(self, name: str, owner: str, limit: int, count: int = 1) -> None:
        """Count a request; raises OkxError 50011 beyond the limit."""
        window = self._windows.get((name, owner))
        if window is None:
            window = self._windows[name, owner] = Window(limit, WINDOW_MS)
        if window.add(self.now_ms(), count) > limit:
            raise OkxError("50011", "Too Many Requests")


class RestApi:
    """Serves REST.

    Args:
        faults: fault hooks by product (``spot``, ``perp``).
        books: the ``books`` channel by instrument id.
        deliver: sends private events that wait.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        views: Views,
        trading: Trading,
        gate: Gate,
        faults: Mapping[str, FaultPoints],
        books: Mapping[str, BookChannel],
        limits: Limits,
        deliver: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._listing = listing
        self._views = views
        self._trading = trading
        self._gate = gate
        self._faults = faults
        self._books = books
        self._limits = limits
        self._deliver = deliver
        self._now_ms = limits.now_ms
        self._dead_man: dict[str, float] = {}
        self._routes = self._table()

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=256 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    def _table(self) -> dict[tuple[str, str], Route]:
        signed: dict[str, tuple[Callable[[Call], Any], int]] = {
            "/account/config": (self._config, 5), "/account/balance": (self._balance, 10),
            "/account/positions": (self._positions, 10), "/account/instruments": (self._instruments, 20),
            "/account/trade-fee": (self._trade_fee, 5), "/account/leverage-info": (self._leverage, 20),
            "/asset/currencies": (lambda call: [], 6), "/trade/order": (self._order, 60),
            "/trade/orders-pending": (self._pending, 60), "/trade/orders-history": (self._history, 40),
            "/trade/orders-history-archive": (self._history, 20), "/trade/fills": (self._fills, 60),
            "/trade/fills-history": (self._fills, 10),
        }  # fmt: skip
        public: dict[str, tuple[Callable[[Call], Any], int]] = {
            "/public/time": (lambda call: [{"ts": str(self._now_ms())}], 10),
            "/public/instruments": (self._instruments, 20), "/market/ticker": (self._ticker, 20),
            "/market/tickers": (self._tickers, 20), "/market/books": (self._book, 40),
            "/market/trades": (self._trades, 100), "/public/funding-rate": (self._funding, 10),
            "/public/funding-rate-history": (self._funding_history, 10),
            "/public/open-interest": (self._open_interest, 20), "/public/mark-price": (self._mark, 10),
            "/public/price-limit": (self._price_limit, 20), "/system/status": (lambda call: [], 1),
        }  # fmt: skip
        table = {("GET", path): Route(run, limit, is_signed=True) for path, (run, limit) in signed.items()}
        table |= {("GET", path): Route(run, limit) for path, (run, limit) in public.items()}
        trading = self._trading
        for path, action, is_batch in (
            ("/trade/order", trading.place, False), ("/trade/batch-orders", trading.place, True),
            ("/trade/cancel-order", trading.cancel, False),
            ("/trade/cancel-batch-orders", trading.cancel, True),
            ("/trade/amend-order", trading.amend, False), ("/trade/amend-batch-orders", trading.amend, True),
        ):  # fmt: skip
            run = functools.partial(self._operate, action=action, is_batch=is_batch, path=path)
            table["POST", path] = Route(run, 10**9, is_signed=True, is_order=True)
        table["POST", "/account/set-leverage"] = Route(self._set_leverage, 20, is_signed=True)
        table["POST", "/trade/cancel-all-after"] = Route(self._cancel_all_after, 2, is_signed=True)
        return table

    # -------------------------------------------------------------------------------------- serving

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path, _, _ = request.raw_path.partition("?")
        body = (await request.read()).decode("utf-8", "replace")
        route = self._routes.get((request.method, path.removeprefix(PREFIX)))
        if route is None or not path.startswith(PREFIX):
            return web.Response(status=404, text='{"msg":"Not Found","code":"404","data":[]}')
        every = list(self._faults.values())
        for faults in every:
            if (slow := faults.take("slow_request")) is not None:
                await asyncio.sleep(delay_s(slow, 1000))
        came_us = time.time_ns() // 1000
        try:
            if any(faults.take("rate_limit_429") is not None for faults in every):
                raise OkxError("50011", "Too Many Requests")
            value = await self._answer(request, route, path, body, came_us)
        except OkxError as error:
            told = {"code": error.code, "msg": error.message, "data": []}
            headers = {"Retry-After": "1"} if error.status == 429 else {}
            return web.json_response(told, status=error.status, headers=headers)
        except NoAnswer:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return value if isinstance(value, web.Response) else web.json_response(value)

    async def _answer(self, request: web.Request, route: Route, path: str, body: str, came_us: int) -> Any:
        call = Call(request.query, None)
        owner = request.remote or "127.0.0.1"
        if route.is_signed:
            call.account = self._gate.rest(request.headers, request.method, request.raw_path, body)
            owner = call.owner.name
        if request.method == "POST":
            try:
                call.body = json.loads(body)
            except ValueError:
                raise OkxError("50002", "JSON syntax error") from None
        key = path + (call.query.get("instType", "") if path.endswith("instruments") else "")
        self._limits.take(key, owner, route.limit)
        if route.is_order:
            self._check_deadline(request.headers.get("expTime"))
            return await self._order_answer(call, route, came_us)
        for faults in self._faults.values():
            if path.endswith("/market/books") and (broken := faults.take("snapshot_error")) is not None:
                return web.Response(status=int(broken.get("status", 500)), text=HTML)
        try:
            return {"code": "0", "msg": "", "data": route.run(call)}
        except Refused:
            raise OkxError("51603", "Order does not exist") from None

    def _check_deadline(self, deadline: str | None) -> None:
        if deadline:
            if not deadline.isdecimal():
                raise OkxError("50036", "The expTime can't be earlier than the current system time.")
            if int(deadline) < self._now_ms():
                raise OkxError("50036", "The expTime can't be earlier than the current system time.")

    async def _order_answer(self, call: Call, route: Route, came_us: int) -> Any:
        rows = call.body if isinstance(call.body, list) else [call.body]
        if not rows or not all(isinstance(row, dict) for row in rows):
            raise OkxError("50002", "JSON syntax error")
        one = self._trading.by_id(rows[0])
        product = one.market.spec.product if isinstance(one, Instrument) else "spot"
        symbol = one.inst_id if isinstance(one, Instrument) else None
        faults = self._faults[product]
        if faults.armed:
            lost = self._lost(faults, symbol, lambda: route.run(call))
            if lost is not None:
                return lost
        data = route.run(call)
        if faults.armed:
            await self._after(faults, symbol)
        return envelope(data, came_us, time.time_ns() // 1000)

    def _lost(self, faults: FaultPoints, symbol: str | None, run: Callable[[], Any]) -> Any:
        """Strike before the engine: nothing is executed unless the fault says so."""
        take = faults.take
        if take("drop_request", symbol) is not None:
            raise NoAnswer
        if (page := take("html_error", symbol)) is not None:
            if page.get("accepted"):
                run()
            return web.Response(status=int(page.get("status", 502)), text=HTML, content_type="text/html")
        if (unknown := take("http_503_unknown", symbol)) is not None:
            if unknown.get("accepted", True):
                run()
            raise OkxError("50001", "Service temporarily unavailable. Try again later")
        if take("http_503_unavailable", symbol) is not None:
            raise OkxError("50001", "Service temporarily unavailable. Try again later")
        if take("http_503_internal", symbol) is not None:
            raise OkxError("50026", "System error. Try again later")
        if take("error_1007_not_accepted", symbol) is not None:
            raise OkxError("50004", "API endpoint request timeout")
        return None

    async def _after(self, faults: FaultPoints, symbol: str | None) -> None:
        take = faults.take
        if take("drop_answer_accepted", symbol) is not None:
            raise NoAnswer
        if take("error_1007_accepted", symbol) is not None:
            raise OkxError("50004", "API endpoint request timeout")
        for name, default_ms in (("slow_answer_accepted", 5000), ("fill_before_ack", 50)):
            if (strike := take(name, symbol)) is not None:
                self._deliver()
                await asyncio.sleep(delay_s(strike, default_ms))

    def _operate(self, call: Call, action: Any, is_batch: bool, path: str) -> list[dict[str, Any]]:
        items = call.body if is_batch else [call.body]
        if not isinstance(items, list) or not 1 <= len(items) <= 20:
            raise OkxError("50002", "JSON syntax error")
        rows = []
        for item in items:
            one = self._trading.by_id(item)
            name = one.inst_id if isinstance(one, Instrument) else ""
            kind = path.replace("batch-", "").replace("orders", "order")
            limit = 60 if len(items) == 1 else 300
            self._limits.take(f"{kind} {limit}", f"{call.owner.name} {name}", limit)
            if action == self._trading.cancel and isinstance(one, Instrument):
                self.race(call.owner, item, one)
            rows.append(self._trading.answer(action, call.owner, item, one))
        return rows

    def race(self, account: Account, item: Any, one: Instrument) -> None:
        """Fill an order just before its cancel, where that fault is armed."""
        faults = self._faults[one.market.spec.product]
        if faults.armed and faults.take("cancel_race_fill", one.inst_id) is not None:
            order = self._trading.find(account, item, one)
            if order.is_open:
                self._exchange.fill_resting(order, order.leaves_lots)

    # --------------------------------------------------------------------------------------- public

    def _one(self, call: Call) -> Instrument:
        one = self._listing.by_id.get(call.must("instId"))
        if one is None:
            raise OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return one

    def _some(self, call: Call) -> list[Instrument]:
        if call.query.get("instId"):
            return [self._one(call)] if call.query["instId"] != "ANY" else self._listing.of_type("SWAP")
        return self._listing.of_type(call.query.get("instType", "ANY"))

    def _instruments(self, call: Call) -> list[dict[str, Any]]:
        kind = call.must("instType")
        if kind not in ("SPOT", "SWAP", "FUTURES", "OPTION", "MARGIN"):
            raise wrong_parameter("instType")
        wanted = call.query.get("instId", "")
        return [one.view() for one in self._listing.of_type(kind) if wanted in ("", one.inst_id)]

    def _ticker(self, call: Call) -> list[dict[str, Any]]:
        return [self._views.ticker(self._one(call), self._now_ms())]

    def _tickers(self, call: Call) -> list[dict[str, Any]]:
        return [
            self._views.ticker(one, self._now_ms()) for one in self._listing.of_type(call.must("instType"))
        ]

    def _book(self, call: Call) -> list[dict[str, Any]]:
        one, levels = self._one(call), call.count("sz", 1, WINDOW)
        book = self._books[one.inst_id]
        self._exchange.publish(one.market)

        def rows(side: list[tuple[int, int]]) -> list[list[str]]:
            return [
                [one.price_text(price), one.size_text(lots), "0", str(1 + lots % 7)] for price, lots in side
            ]

        asks, bids = rows(book.asks.whole(levels)), rows(book.bids.whole(levels))
        return [{"asks": asks, "bids": bids, "ts": str(self._now_ms()), "seqId": book.sequence}]

    def _trades(self, call: Call) -> list[dict[str, Any]]:
        one, limit = self._one(call), call.count("limit", 100, 500)
        trades = list(self._views.tape(one).trades)[-limit:]
        return [self._views.trade(one, trade) for trade in reversed(trades)]

    def _swaps(self, call: Call) -> list[Instrument]:
        found = [one for one in self._some(call) if one.is_swap]
        if call.query.get("instId") and not found:
            raise wrong_parameter("instId")
        return found

    def _funding(self, call: Call) -> list[dict[str, Any]]:
        return [self._views.funding(one, self._now_ms()) for one in self._swaps(call)]

    def _funding_history(self, call: Call) -> list[dict[str, Any]]:
        rows = self._views.funding_history(self._one(call))
        after, before = call.query.get("after", ""), call.query.get("before", "")
        if after:
            rows = [row for row in rows if int(row["fundingTime"]) < int(after)]
        if before:
            rows = [row for row in rows if int(row["fundingTime"]) > int(before)]
        return rows[: call.count("limit", 400, 400)]

    def _open_interest(self, call: Call) -> list[dict[str, Any]]:
        return [self._views.open_interest(one, self._now_ms()) for one in self._swaps(call)]

    def _mark(self, call: Call) -> list[dict[str, Any]]:
        return [self._views.mark(one, self._now_ms()) for one in self._some(call) if one.is_swap]

    def _price_limit(self, call: Call) -> list[dict[str, Any]]:
        return [self._views.price_limit(self._one(call), self._now_ms())]

    # -------------------------------------------------------------------------------------- account

    def _config(self, call: Call) -> list[dict[str, Any]]:
        uid = str(call.owner.uid)
        return [
            {
                "uid": uid, "mainUid": uid, "acctLv": "2", "posMode": "net_mode", "autoLoan": False,
                "greeksType": "PA", "level": "Lv1", "levelTmp": "", "ctIsoMode": "automatic",
                "mgnIsoMode": "automatic", "roleType": "0", "spotRoleType": "0", "enableSpotBorrow": False,
                "opAuth": "0", "kycLv": "3", "label": "sim", "ip": "", "perm": "read_only,trade",
                "acctStpMode": "cancel_maker", "feeType": "0", "settleCcy": "USDT", "type": "0",
            }
        ]  # fmt: skip

    def _balance(self, call: Call) -> list[dict[str, Any]]:
        names = tuple(name for name in call.query.get("ccy", "").split(",") if name)
        return [self._views.account(call.owner, names)]

    def _positions(self, call: Call) -> list[dict[str, Any]]:
        return [
            self._views.position(call.owner, one, self._now_ms())
            for one in self._some(call)
            if one.is_swap and one.inst_id in call.owner.positions and call.owner.position(one.inst_id).lots
        ]

    def _trade_fee(self, call: Call) -> list[dict[str, Any]]:
        kind = call.must("instType")
        found = self._listing.of_type(kind)
        if not found:
            raise wrong_parameter("instType")
        spec = found[0].market.spec
        maker, taker = number_text(-spec.maker_fee), number_text(-spec.taker_fee)
        group = {"groupId": found[0].view()["groupId"], "maker": maker, "taker": taker}
        return [
            {
                "category": "1", "delivery": "", "exercise": "", "fiat": [], "instType": kind, "level": "Lv1",
                "feeGroup": [{"elpMaker": "", "rpiMaker": "", **group}], "maker": maker, "taker": taker,
                "makerU": maker, "takerU": taker, "makerUSDC": "", "takerUSDC": "", "ruleType": "normal",
                "ts": str(self._now_ms()),
            }
        ]  # fmt: skip

    def _leverage(self, call: Call) -> list[dict[str, Any]]:
        return [self._leverage_row(call.owner, self._one(call))]

    def _leverage_row(self, account: Account, one: Instrument) -> dict[str, Any]:
        lever = self._exchange.clearing.leverage(account, one.market)
        return {"instId": one.inst_id, "mgnMode": "cross", "posSide": "net", "lever": str(lever), "ccy": ""}

    def _set_leverage(self, call: Call) -> list[dict[str, Any]]:
        one = self._trading.by_id(call.body if isinstance(call.body, dict) else {})
        if isinstance(one, OkxError):
            raise one
        lever = str(given(call.body, "lever") or "")
        if not lever.isdecimal() or not 1 <= int(lever) <= one.market.spec.max_leverage:
            raise OkxError("59102", "Leverage exceeds the maximum limit.")
        call.owner.leverage[one.inst_id] = int(lever)
        return [self._leverage_row(call.owner, one)]

    # --------------------------------------------------------------------------------------- orders

    def _order(self, call: Call) -> list[dict[str, Any]]:
        one = self._one(call)
        order = self._trading.find(call.owner, call.query, one)
        faults = self._faults[one.market.spec.product]
        young = faults.params("not_found_for_a_moment", one.inst_id)
        lasts = faults.armed and faults.lasts("not_found_for_a_moment", one.inst_id)
        if lasts and self._now_ms() - order.created_ms < int(young.get("age_ms", 1000)):
            faults.note("not_found_for_a_moment")
            raise OkxError("51603", "Order does not exist")
        return [self._views.order(order, order.fills[-1] if order.fills else None, is_push=False)]

    def _own(self, call: Call, is_open: bool) -> list[dict[str, Any]]:
        wanted = {one.market for one in self._some(call)}
        rows = [
            self._views.order(order, order.fills[-1] if order.fills else None, is_push=False)
            for order in reversed(self._exchange.orders)
            if order.account is call.owner and order.is_open is is_open and order.market in wanted
        ]
        return self._page(call, rows, "ordId")

    def _page(self, call: Call, rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
        """Return a page, newest first: ``after`` an id means older, ``before`` newer."""
        after, before = call.query.get("after", ""), call.query.get("before", "")
        names = [row[key] for row in rows]
        if after:
            rows = rows[names.index(after) + 1 :] if after in names else [
                row for row in rows if row[key].isdecimal() and int(row[key]) < int(after)
            ]  # fmt: skip
        elif before:
            rows = rows[: names.index(before)] if before in names else [
                row for row in rows if row[key].isdecimal() and int(row[key]) > int(before)
            ]  # fmt: skip
        return rows[: call.count("limit", 100, 100)]

    def _pending(self, call: Call) -> list[dict[str, Any]]:
        return self._own(call, is_open=True)

    def _history(self, call: Call) -> list[dict[str, Any]]:
        call.must("instType")
        return self._own(call, is_open=False)

    def _fills(self, call: Call) -> list[dict[str, Any]]:
        wanted = {one.market for one in self._some(call)}
        rows = [
            self._views.fill(fill)
            for fill in reversed(self._exchange.fills(call.owner))
            if fill.order.market in wanted
        ]
        order_id = call.query.get("ordId", "")
        return self._page(call, [row for row in rows if order_id in ("", row["ordId"])], "billId")

    # ------------------------------------------------------------------------------ cancel-all-after

    def _cancel_all_after(self, call: Call) -> list[dict[str, Any]]:
        raw = str(given(call.body if isinstance(call.body, dict) else {}, "timeOut") or "")
        if not raw.isdecimal() or not (int(raw) == 0 or 10 <= int(raw) <= 120):
            raise wrong_parameter("timeOut")
        seconds = int(raw)
        now = self._now_ms()
        self._dead_man.pop(call.owner.name, None)
        if seconds:
            self._dead_man[call.owner.name] = now / 1000 + seconds
        due = str(now // 1000 + seconds) if seconds else "0"
        return [{"triggerTime": due, "tag": "", "ts": str(now // 1000)}]

    def run_dead_man(self) -> None:
        """Cancel the orders of accounts whose time-out has passed."""
        now = self._now_ms() / 1000
        for name in [name for name, due in self._dead_man.items() if due <= now]:
            del self._dead_man[name]
            account = self._exchange.account_named(name)
            assert account is not None
            for product in ("spot", "perp"):
                for order in self._exchange.open_orders(account, product):
                    self._exchange.expire(order)
