"""The cross-venue side: one consolidated book per universal symbol, and the questions asked of it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.book.consolidated import Best, Consolidated
from engine.book.impact import Impact, price_impact
from engine.config import Config
from engine.model.errors import InstrumentUnknown, UsageError
from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.router.checks import exact
from engine.supervisor.venue import VenueProduct
from engine.telemetry.histogram import Histogram, merge


class Markets:
    """Consolidated books over every venue product that is up.

    Attributes:
        books: universal symbol to consolidated book.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.books: dict[str, Consolidated] = {}
        self._without_fee: dict[str, list[str]] = {}

    def attach(self, venue: VenueProduct) -> None:
        """Let the books of a venue product take part, now that they exist."""
        text: str = getattr(self._config.venues[venue.venue].taker_fees, venue.product.value)
        for universal, book in venue.books.items():
            consolidated = self.books.get(universal)
            if consolidated is None:
                consolidated = self.books[universal] = Consolidated(universal)
            if not text:
                self._without_fee.setdefault(universal, []).append(venue.venue)
            consolidated.add(venue.venue, book, venue.instruments[universal], Decimal(text or 0))

    def replaced(self, venue: VenueProduct, instrument: Instrument) -> None:
        """Take over the new terms of an instrument: lots and limits count when orders are split."""
        consolidated = self.books.get(instrument.universal)
        if consolidated is not None and venue.venue in consolidated.venues:
            consolidated.instruments[consolidated.venues.index(venue.venue)] = instrument

    def book(self, universal: str) -> Consolidated:
        """Return the consolidated book of a symbol; raises InstrumentUnknown."""
        found = self.books.get(universal)
        if found is None:
            raise InstrumentUnknown(f"no venue that is up lists {universal}")
        return found

    def best_rows(self, universals: Iterable[str] = (), *, after_fees: bool = False) -> list[dict[str, Any]]:
        """Return best bid and ask of each symbol that several venues list (all symbols if none is named)."""
        rows = []
        for universal in universals or self.books:
            consolidated = self.books.get(universal)
            if consolidated is None:
                continue
            if after_fees:
                self._need_fees(consolidated, "")
                rows.append(best_row(consolidated.best_after_fees()))
            else:
                rows.append(best_row(consolidated.best()))
        return rows

    def impact(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Answer ``impact``.

        Raises:
            UsageError, InstrumentUnknown: the text says what was wrong.
        """
        consolidated = self.book(str(arguments["symbol"]))
        venue = str(arguments.get("exchange") or "")
        with_fees = bool(arguments.get("fees"))
        if with_fees:
            self._need_fees(consolidated, venue)
        answer = price_impact(
            consolidated,
            Side.BUY if arguments["side"] == "buy" else Side.SELL,
            base_qty=_amount("base", arguments.get("base")),
            quote_amount=_amount("quote", arguments.get("quote")),
            venue=venue,
            with_fees=with_fees,
        )
        if answer.outcome == "filled" and not answer.base_qty:
            wanted = arguments.get("base") or arguments.get("quote")
            raise UsageError(f"{wanted} is less than one lot of {consolidated.universal} at these prices")
        return impact_row(answer, frozenset(self._without_fee.get(consolidated.universal, ())))

    def _need_fees(self, consolidated: Consolidated, venue: str) -> None:
        missing = [name for name in self._without_fee.get(consolidated.universal, ()) if venue in ("", name)]
        if missing:
            word = "perp" if ":" in consolidated.universal else "spot"
            raise UsageError(
                f"the taker fee of {', '.join(missing)} is not known;"
                f" set venues.{missing[0]}.taker_fees.{word}"
            )

    def wire_to_top(self) -> Histogram:
        """Return one histogram of bytes received to consolidated best changed, over all symbols."""
        total = Histogram()
        for consolidated in self.books.values():
            merge(total, consolidated.top.wire_to_top_ns)
        return total


def _amount(name: str, text: Any) -> Decimal | None:
    return None if text is None else exact(text, name)


def plain(value: Decimal | None) -> str | None:
    """Return a Decimal as plain text without trailing zeros, ``None`` as ``None``."""
    if value is None:
        return None
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def best_row(best: Best) -> dict[str, Any]:
    """Return best bid and ask for people and machines."""
    return {
        "pair": best.universal,
        "bid": plain(best.bid),
        "bid_qty": plain(best.bid_qty),
        "bid_venues": list(best.bid_venues),
        "ask": plain(best.ask),
        "ask_qty": plain(best.ask_qty),
        "ask_venues": list(best.ask_venues),
        "bid_net": plain(best.bid_net),
        "ask_net": plain(best.ask_net),
        "mid": plain(best.mid),
        "is_crossed": best.is_crossed,
        "excluded": [
            {"venue": each.venue, "state": each.state.name, "reason": each.reason} for each in best.excluded
        ],
    }


def impact_row(impact: Impact, without_fee: frozenset[str]) -> dict[str, Any]:
    """Return an impact for people and machines; fees are ``None`` where a venue's is not known."""
    is_fee_known = not any(child.venue in without_fee for child in impact.children)
    return {
        "pair": impact.universal,
        "side": impact.side.word,
        "outcome": impact.outcome,
        "wanted_base": plain(impact.wanted_base),
        "wanted_quote": plain(impact.wanted_quote),
        "base_qty": plain(impact.base_qty),
        "quote_amount": plain(impact.quote_amount),
        "unfilled": plain(impact.unfilled),
        "fee": plain(impact.fee) if is_fee_known else None,
        "is_fee_included": impact.is_fee_included,
        "is_beyond_horizon": impact.is_beyond_horizon,
        "average_price": plain(impact.average_price),
        "worst_price": plain(impact.worst_price),
        "mid": plain(impact.mid),
        "impact_pct": plain(impact.impact_pct),
        "impact_bps": plain(impact.impact_bps),
        "children": [
            {
                "venue": child.venue,
                "base_qty": plain(child.base_qty),
                "quote_amount": plain(child.quote_amount),
                "fee": None if child.venue in without_fee else plain(child.fee),
                "worst_price": plain(child.worst_price),
            }
            for child in impact.children
        ],
        "excluded": [
            {"venue": each.venue, "state": each.state.name, "reason": each.reason} for each in impact.excluded
        ],
    }
