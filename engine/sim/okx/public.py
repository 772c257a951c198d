"""Unsigned REST endpoints: time, instruments, books, tickers, trades, funding, marks.

Source: OKX v5 docs, "Public Data" and "Market Data", seen 2026-08.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from engine.sim.exchange import Exchange
from engine.sim.faultpoints import FaultPoints
from engine.sim.okx import quotes
from engine.sim.okx.books import WINDOW, BookChannel, row_texts
from engine.sim.okx.calls import Call, Route, one_instrument, some_instruments
from engine.sim.okx.errors import wrong_parameter
from engine.sim.okx.instruments import Instrument, Listing, number_text
from engine.sim.okx.limits import Limit
from engine.sim.okx.views import MAINTENANCE

FULL_BOOK = 5_000
Describe = Callable[[Instrument, int], dict[str, Any]]


class PublicData:
    """Answers for everybody.

    Args:
        books: channel ``books`` by instrument id. faults: fault hooks by product.
    """

    def __init__(
        self,
        exchange: Exchange,
        listing: Listing,
        books: Mapping[str, BookChannel],
        faults: Mapping[str, FaultPoints],
        now_ms: Callable[[], int],
    ) -> None:
        self._exchange = exchange
        self._listing = listing
        self._books = books
        self._faults = faults
        self._now_ms = now_ms

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the table of (method, path) to endpoint."""
        ten, twenty, by_id = Limit(10), Limit(20), Limit(10, "instId")
        each, one = self._each, self._only
        table = {
            "/public/time": Route(lambda call: [{"ts": str(self._now_ms())}], ten),
            "/public/instruments": Route(self.instruments, Limit(20, "instType")),
            "/market/ticker": Route(one(quotes.ticker), twenty),
            "/market/tickers": Route(each(quotes.ticker, must_type=True), twenty),
            "/market/index-tickers": Route(self._index_tickers, twenty),
            "/market/books": Route(self._book, Limit(40)),
            "/market/books-full": Route(self._whole_book, ten),
            "/market/trades": Route(self._trades, Limit(100)),
            "/public/funding-rate": Route(self._funding, by_id),
            "/public/funding-rate-history": Route(self._funding_history, by_id),
            "/public/open-interest": Route(
                each(quotes.open_interest, must_type=True, swaps=True), Limit(20, "instId")
            ),
            "/public/price-limit": Route(one(quotes.price_limit), twenty),
            "/public/mark-price": Route(each(quotes.mark_price, must_type=True, swaps=True), by_id),
            "/public/position-tiers": Route(self._tiers, ten),
            "/public/underlying": Route(self._underlyings, twenty),
            "/system/status": Route(lambda call: [], Limit(1, length_ms=5_000)),
        }
        return {("GET", path): route for path, route in table.items()}

    def instruments(self, call: Call) -> list[Any]:
        """Answer ``/public/instruments``, and ``/account/instruments``, which looks the same."""
        return [one.view() for one in some_instruments(self._listing, call, must_type=True)]

    def _only(self, describe: Describe) -> Callable[[Call], list[Any]]:
        return lambda call: [describe(one_instrument(self._listing, call), self._now_ms())]

    def _each(
        self, describe: Describe, must_type: bool = False, swaps: bool = False
    ) -> Callable[[Call], list[Any]]:
        def run(call: Call) -> list[Any]:
            chosen = some_instruments(self._listing, call, must_type)
            return [describe(one, self._now_ms()) for one in chosen if one.is_swap or not swaps]

        return run

    def _index_tickers(self, call: Call) -> list[Any]:
        quote, name = call.text("quoteCcy"), call.text("instId")
        if not quote:
            call.must("instId")
        found = [
            one
            for one in self._listing.indices.values()
            if name in ("", one.underlying) and quote in ("", one.market.spec.quote)
        ]
        if name and not found:
            raise wrong_parameter("instId")
        return [quotes.index_ticker(one, self._now_ms()) for one in found]

    def _book(self, call: Call) -> list[Any]:
        one, levels = one_instrument(self._listing, call), call.count("sz", 1, WINDOW)
        book = self._books[one.inst_id]
        if self._faults[one.market.spec.product].take("stale_snapshot", one.inst_id) is None:
            self._exchange.publish(one.market)
            asks, bids, at = book.asks.whole(levels), book.bids.whole(levels), book.sequence
        else:
            asks, bids, at = book.earlier(levels)
        return [
            {
                "asks": row_texts(one, asks), "bids": row_texts(one, bids), "ts": str(self._now_ms()),
                "seqId": at,
            }
        ]  # fmt: skip

    def _whole_book(self, call: Call) -> list[Any]:
        one, levels = one_instrument(self._listing, call), call.count("sz", 1, FULL_BOOK)
        self._exchange.publish(one.market)
        sides = {
            name: [
                [price, size, orders]
                for price, size, _, orders in row_texts(one, itertools.islice(side.best_first(), levels))
            ]
            for name, side in (("asks", one.market.asks), ("bids", one.market.bids))
        }
        return [sides | {"ts": str(self._now_ms())}]

    def _trades(self, call: Call) -> list[Any]:
        one, most = one_instrument(self._listing, call), call.count("limit", 100, 500)
        return [quotes.trade(one, row) for row in itertools.islice(reversed(one.tape.trades), most)]

    def _swaps(self, call: Call) -> list[Instrument]:
        if call.must("instId") == "ANY":
            return self._listing.of_type("SWAP")
        one = one_instrument(self._listing, call)
        if not one.is_swap:
            raise wrong_parameter("instId")
        return [one]

    def _funding(self, call: Call) -> list[Any]:
        return [quotes.funding(one, self._now_ms()) for one in self._swaps(call)]

    def _funding_history(self, call: Call) -> list[Any]:
        one = self._swaps(call)[0]
        most = call.count("limit", 400, 400)
        return quotes.funding_history(one, call.number("before"), call.number("after"), most)

    def _tiers(self, call: Call) -> list[Any]:
        call.must("tdMode")
        return [
            {
                "instFamily": one.underlying, "uly": one.underlying, "instId": "", "baseMaxLoan": "",
                "imr": number_text((1 / one.max_leverage).quantize(MAINTENANCE / 1000)),
                "maxLever": number_text(one.max_leverage),
                "maxSz": number_text(one.market.spec.max_qty / one.contract_size), "minSz": "0",
                "mmr": number_text(MAINTENANCE), "optMgnFactor": "", "quoteMaxLoan": "", "tier": "1",
            }
            for one in some_instruments(self._listing, call, must_type=True)
            if one.is_swap
        ]  # fmt: skip

    def _underlyings(self, call: Call) -> list[Any]:
        kind = call.must("instType")
        return [sorted({one.underlying for one in self._listing.of_type(kind) if one.is_swap})]
