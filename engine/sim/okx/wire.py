"""Puts an exchange on OKX's wire: one REST application and one set of sockets for spot and swaps.

Source: OKX v5 docs, seen 2026-08; each part says elsewhere which.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from aiohttp import web

from engine.sim.accounts import Account
from engine.sim.clock import SimClock
from engine.sim.exchange import Exchange
from engine.sim.faultpoints import ClockFault, FaultPoints, delay_s
from engine.sim.faults import FaultBoard
from engine.sim.market import Market
from engine.sim.model import Batch, OrderEvent, TradePrint
from engine.sim.okx.books import HEARTBEAT_MS, BookChannel
from engine.sim.okx.damage import spoiled
from engine.sim.okx.instruments import Instrument, Listing
from engine.sim.okx.private import PrivateFeed
from engine.sim.okx.rest import Limits, RestApi
from engine.sim.okx.sessions import PRIVATE_CHANNELS, Hub, Key, Session, SocketServer
from engine.sim.okx.signing import Gate
from engine.sim.okx.trading import Trading
from engine.sim.okx.views import Views
from engine.sim.ports import Settings, WsServer
from engine.sim.sockets import Flushes, text_frame
from engine.sim.tape import Aggregate, Print, Tape

TICK_S = 0.02
TICKER_MS = 100
MARK_MS = 200
INTEREST_MS = 3_000
FUNDING_MS = 60_000
LONGEST_BATCH_MS = 100


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class OkxVenue:
    """Everything of the venue; the exchange's listener.

    Attributes:
        http: the REST application. ws: the WebSocket server.
    """

    def __init__(self, exchange: Exchange, board: FaultBoard, clock: SimClock, settings: Settings) -> None:
        self._exchange = exchange
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._users = 0
        self._round_due = False
        self.faults = {name: FaultPoints(board, exchange.venue, name) for name in ("spot", "perp")}
        for account in exchange.accounts.values():
            _unify(account)
        self._markets = list(exchange.markets.values())
        self.listing = Listing(self._markets)
        tapes = {one.inst_id: Tape() for one in self.listing.all}
        self.views = Views(self.listing, tapes, exchange.clearing)
        self._tapes = tapes
        self.books = {one.inst_id: BookChannel(one) for one in self.listing.all}
        self._held: dict[str, bytes] = {}
        self._hub = Hub()
        self._flushes = Flushes()
        gate = Gate(exchange.accounts, clock.now_ms)
        self._trading = Trading(exchange, self.listing, self.views, clock.now_ms)
        limits = Limits(clock.now_ms)
        self.private = PrivateFeed(self._hub, self.views, self.listing, self.faults, clock.now_ms, self.wake)
        self._rest = RestApi(
            exchange, self.listing, self.views, self._trading, gate, self.faults, self.books, limits,
            self.finish_round,
        )  # fmt: skip
        self.sockets = SocketServer(
            self._hub, self._flushes, self.listing, gate, self._trading, limits, self.faults,
            self._first_words, self.finish_round, self._rest.race,
        )  # fmt: skip
        self._clock_faults = [ClockFault(faults, clock) for faults in self.faults.values()][:1]
        self._tops: dict[Instrument, None] = {}
        self._traded: dict[Instrument, Aggregate] = {}
        self._sent_ms: dict[Key, int] = {}
        self._marks: dict[Instrument, Decimal] = {}
        self._statuses = {market: market.status for market in self._markets}
        self._touched: set[str] = set()
        exchange.listeners.append(self)

    def application(self) -> web.Application:
        """Return a REST application; every one serves both products."""
        return self._rest.application()

    # -- the exchange's listener ---------------------------------------------------------------------------

    def on_trade(self, trade: TradePrint) -> None:
        """Hear a public trade."""
        one = self.listing.by_market[trade.market]
        print_ = Print(
            trade.trade_id, trade.price_ticks, trade.qty_lots, trade.time_ms, trade.taker_side == "SELL"
        )
        closed = self._tapes[one.inst_id].add(print_, trade.taker_number)
        if closed is not None and one in self._traded:
            self._push_trade(one, self._traded.pop(one))
        self._traded[one] = self._tapes[one.inst_id].aggregates[-1]
        self.wake()

    def on_top(self, market: Market) -> None:
        """Hear that best price or quantity changed."""
        self._tops[self.listing.by_market[market]] = None
        self.wake()

    def on_batch(self, market: Market, batch: Batch) -> None:
        """Hear the batch that was just closed."""
        one = self.listing.by_market[market]
        now, book = self._clock.now_ms(), self.books[one.inst_id]
        key = ("books", one.inst_id)
        frame = book.update(batch, now)
        if frame is not None and self._hub.has(key):
            faults = self.faults[market.spec.product]
            payload = frame.encode()
            if faults.armed or one.inst_id in self._held:
                self._hub.push_frames(key, spoiled(faults, one.inst_id, self._held, payload, book, now))
            else:
                self._hub.push(key, payload)
        five = ("books5", one.inst_id)
        if self._hub.has(five):
            self._hub.push(five, book.best("books5", 5, now).encode())
        self.wake()

    def on_order(self, event: OrderEvent) -> None:
        """Hear a change of an account's order."""
        self.private.on_order(event)

    def on_balance(self, account: Account, product: str, assets: tuple[str, ...]) -> None:
        """Hear which balances of an account changed."""
        account.updated_ms = self._clock.now_ms()
        self.private.on_balance(account, assets)

    def on_position(self, account: Account, market: Market) -> None:
        """Hear that a position changed by a fill."""
        self.private.on_position(account, self.listing.by_market[market])

    def on_funding(self, account: Account, market: Market, amount: Decimal, rate: Decimal) -> None:
        """Hear a funding payment."""
        self.private.on_balance(account, (market.spec.settle or market.spec.quote,))

    # -- pushing -------------------------------------------------------------------------------------------

    def _push(self, channel: str, one: Instrument, row: Any) -> None:
        arg = {"channel": channel, "instId": one.inst_id}
        self._hub.push((channel, one.inst_id), _dump({"arg": arg, "data": [row]}))

    def _push_trade(self, one: Instrument, row: Aggregate) -> None:
        if self._hub.has(("trades", one.inst_id)):
            self._push(
                "trades", one,
                {
                    "instId": one.inst_id, "tradeId": str(row.last_id), "px": one.price_text(row.price_ticks),
                    "sz": one.size_text(row.qty_lots), "side": "sell" if row.buyer_is_maker else "buy",
                    "ts": str(row.traded_ms), "count": str(row.last_id - row.first_id + 1), "source": "0",
                    "seqId": one.market.last_id,
                },
            )  # fmt: skip

    def _first_words(self, session: Session, key: Key) -> None:
        """Push what a channel begins with."""
        channel, name = key
        now = self._clock.now_ms()
        if channel in PRIVATE_CHANNELS:
            self.private.first_words(session, channel)
            return
        one = self.listing.by_id.get(name)
        if one is None:
            return
        if channel in ("books", "books5"):
            self._exchange.publish(one.market)
            # What others were pushed for this batch must leave before this session joins them.
            self._flushes.flush()
            book = self.books[name]
            frame = book.snapshot(now) if channel == "books" else book.best("books5", 5, now)
            session.outlet.send(text_frame(frame.encode()))
        elif channel == "bbo-tbt":
            frame = self.books[name].best("bbo-tbt", 1, now)
            session.outlet.send(text_frame(frame.encode()))
        else:
            view = self._view(channel)
            if view is not None:
                row = {"arg": {"channel": channel, "instId": name}, "data": [view(one, now)]}
                session.outlet.send(text_frame(_dump(row)))

    def _view(self, channel: str) -> Any:
        return {
            "tickers": self.views.ticker, "funding-rate": self.views.funding, "mark-price": self.views.mark,
            "open-interest": self.views.open_interest, "price-limit": self.views.price_limit,
        }.get(channel)  # fmt: skip

    def _timed(self, channel: str, one: Instrument, every_ms: int, now: int) -> None:
        key = (channel, one.inst_id)
        if self._hub.has(key) and now - self._sent_ms.get(key, 0) >= every_ms:
            self._sent_ms[key] = now
            self._push(channel, one, self._view(channel)(one, now))

    # -- rounds and ticks ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Ask for a round at the end of this turn of the event loop."""
        if not self._round_due and self._loop is not None:
            self._round_due = True
            self._loop.call_soon(self.finish_round)

    def finish_round(self) -> None:
        """Write everything that has happened since the last round."""
        self._round_due = False
        now = self._clock.now_ms()
        traded, self._traded = self._traded, {}
        for one, row in traded.items():
            self._tapes[one.inst_id].close_aggregate()
            self._push_trade(one, row)
        tops, self._tops = self._tops, {}
        for one in tops:
            if self._hub.has(("bbo-tbt", one.inst_id)):
                frame = self.books[one.inst_id].best("bbo-tbt", 1, now)
                self._hub.push(("bbo-tbt", one.inst_id), frame.encode())
            self._timed("tickers", one, TICKER_MS, now)
        self.private.deliver()
        self._flushes.flush()

    def tick(self) -> None:
        """Do what is due by the clock: faults, overdue batches, slow channels, heartbeats."""
        for fault in self._clock_faults:
            fault.tick()
        now = self._clock.now_ms()
        for product, faults in self.faults.items():
            if faults.armed:
                self._strike(faults)
            if faults.armed or self._touched or self._hub.silent:
                self._lasting(product, faults)
        for one in self.listing.all:
            self._exchange.publish(one.market)
            book = self.books[one.inst_id]
            if now - book.sent_ms >= HEARTBEAT_MS:
                self._hub.push(("books", one.inst_id), book.heartbeat(now).encode())
            if one.is_swap:
                if self._marks.get(one) != one.market.mark_price:
                    self._marks[one] = one.market.mark_price
                    self._timed("mark-price", one, MARK_MS, now)
                self._timed("funding-rate", one, FUNDING_MS, now)
                self._timed("open-interest", one, INTEREST_MS, now)
            self._tell_status(one)
        self._rest.run_dead_man()
        self.private.tick(now)
        self.finish_round()

    def _tell_status(self, one: Instrument) -> None:
        status = one.market.status
        if status != self._statuses[one.market]:
            self._statuses[one.market] = status
            arg = {"channel": "instruments", "instType": one.inst_type}
            self._hub.push(("instruments", one.inst_type), _dump({"arg": arg, "data": [one.view()]}))

    def _strike(self, faults: FaultPoints) -> None:
        take, sessions = faults.take, list(self.sockets.sessions)
        public = [session for session in sessions if session.url == "public"]
        if take("disconnect") is not None:
            for session in public:
                session.outlet.abort()
        if (closing := take("close")) is not None:
            for session in public:
                session.outlet.close(int(closing.get("code", 1001)), "closed by fault")
        if take("half_open") is not None:
            for session in sessions:
                session.outlet.mute()
        if take("revoke_session") is not None:
            for session in sessions:
                if session.account is not None:
                    session.outlet.close(4007, "API key has been modified or deleted.")
        if (shutdown := take("server_shutdown")) is not None:
            text = "The connection will soon be closed for a service upgrade. Please reconnect."
            for session in sessions:
                session.event("notice", "", code="64008", msg=text)

            def close() -> None:
                for session in sessions:
                    session.outlet.close(1001, "service upgrade")

            asyncio.get_running_loop().call_later(delay_s(shutdown, 3000), close)

    def _lasting(self, product: str, faults: FaultPoints) -> None:
        for market in self._markets:
            symbol = market.spec.symbol
            if market.spec.product != product:
                continue
            halted = faults.lasts("symbol_halt", symbol)
            if halted != (symbol in self._touched):
                self._exchange.set_status(market, "HALTED" if halted else "TRADING")
                (self._touched.add if halted else self._touched.discard)(symbol)
                if halted:
                    faults.note("symbol_halt")
            silent = faults.lasts("silent_topic", symbol)
            if silent != (symbol in self._hub.silent):
                (self._hub.silent.add if silent else self._hub.silent.discard)(symbol)
                if silent:
                    faults.note("silent_topic")

    # -- life ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the clockwork, with the first of the products."""
        self._users += 1
        if self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._tick_for_ever(), name="okx")
            self._task.add_done_callback(_report_failure)

    async def stop(self) -> None:
        """Stop it, with the last."""
        self._users -= 1
        if self._task is not None and self._users <= 0:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _tick_for_ever(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)


def _report_failure(task: asyncio.Task[None]) -> None:
    """Say loudly that the clockwork has stopped: without it channels and faults fall asleep."""
    if not task.cancelled() and (error := task.exception()) is not None:
        context = {"message": "okx: the clockwork has stopped", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)


def _unify(account: Account) -> None:
    """Make one wallet of an account's two: OKX has one for everything."""
    wallet = account.balances.setdefault("spot", {})
    for asset, balance in account.balances.get("perp", {}).items():
        account.balance("spot", asset).free += balance.free
    account.balances["perp"] = wallet


class OkxProduct:
    """One product's addresses; a `ProductWire`. Both products are served at each."""

    def __init__(self, venue: OkxVenue) -> None:
        self._venue = venue
        self.http: web.Application = venue.application()
        sockets = venue.sockets
        self.ws_servers: Mapping[str, WsServer] = {
            "ws": WsServer(sockets.handler, sockets.process_request, sockets.serve_kwargs())
        }

    def endpoints(self, http_base: str, ws_bases: Mapping[str, str]) -> dict[str, str]:
        """Return the addresses; private channels and order entry share one."""
        base = ws_bases["ws"]
        private = f"{base}/ws/v5/private"
        return {
            "rest": http_base, "ws_public": f"{base}/ws/v5/public", "ws_private": private, "ws_trade": private
        }  # fmt: skip

    async def start(self) -> None:
        """Start the venue's clockwork."""
        await self._venue.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._venue.stop()


@dataclass(frozen=True, slots=True)
class OkxWire:
    """OKX on the wire; a `VenueWire`."""

    venue: OkxVenue
    products: Mapping[str, OkxProduct]


def build(exchange: Exchange, faults: FaultBoard, clock: SimClock, settings: Settings) -> OkxWire:
    """Put ``exchange`` on OKX's wire."""
    venue = OkxVenue(exchange, faults, clock, settings)
    products = dict.fromkeys(product for product, _ in exchange.markets)
    return OkxWire(venue, {product: OkxProduct(venue) for product in products})
