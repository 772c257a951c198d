"""Instruments as OKX names and counts them: contracts on the wire for swaps, base units in the exchange.

Source: OKX v5 docs, "Get instruments", seen 2026-08.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.market import Market
from engine.sim.okx.errors import OkxError
from engine.sim.tape import Tape

FIRST_CODE = 10_458
LISTED_MS = "1611916828000"
EMPTY_FIELDS = (
    "alias", "auctionEndTime", "baseCcy", "contTdSwTime", "ctMult", "ctType", "ctVal", "ctValCcy", "expTime",
    "instFamily", "maxMktAmt", "maxPlatOILmt", "openType", "optType", "posLmtAmt", "posLmtPct",
    "preMktSwTime", "quoteCcy", "settleCcy", "stk", "uly",
)  # fmt: skip
STATES = {"TRADING": "live", "PRE_TRADING": "preopen"}


def number_text(value: Decimal) -> str:
    """Return a number as OKX writes it: no exponent, no trailing zeros."""
    text = f"{value:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


class Instrument:
    """One market under its OKX name.

    Attributes:
        inst_id, inst_type: ``BTC-USDT-SWAP``, ``SWAP``. group: its fee group.
        code: the instrument's number. wire_code: the same as ``instIdCode``, which WebSocket order entry
            takes; None where the venue has not given one.
        contract_size: base units in one contract; 1 for spot.
        underlying, settle: of swaps: index and settlement currency.
        lot: the size step in the wire's unit.
        tape: what has traded. max_leverage: as configured.
    """

    def __init__(self, market: Market, number: int) -> None:
        spec = market.spec
        self.market = market
        self.inst_id = spec.symbol
        self.is_swap = spec.product == "perp"
        self.inst_type = "SWAP" if self.is_swap else "SPOT"
        self.group = "4" if self.is_swap else "12"
        self.code = FIRST_CODE + number
        # The venue's list has instruments without a number, which sockets cannot trade; here those in USDC.
        self.wire_code = None if spec.quote == "USDC" else self.code
        self.contract_size = spec.contract_size
        self.lot = spec.lot_size / spec.contract_size
        self.underlying = f"{spec.base}-{spec.quote}" if self.is_swap else ""
        self.settle = (spec.settle or spec.quote) if self.is_swap else ""
        self.max_leverage = Decimal(spec.max_leverage)
        self.tape = Tape()
        self._prices: dict[int, str] = {}
        self._sizes: dict[int, str] = {}

    def price_text(self, ticks: int) -> str:
        """Return a price; texts are remembered."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) > 65_536:
                self._prices.clear()
            text = self._prices[ticks] = number_text(ticks * self.market.spec.tick_size)
        return text

    def size_text(self, lots: int) -> str:
        """Return a size in the wire's unit: contracts for swaps, base units for spot."""
        text = self._sizes.get(lots)
        if text is None:
            if len(self._sizes) > 65_536:
                self._sizes.clear()
            text = self._sizes[lots] = number_text(lots * self.lot)
        return text

    def view(self) -> dict[str, Any]:
        """Return the object of ``/public/instruments``."""
        spec = self.market.spec
        size = number_text(spec.max_qty / self.contract_size)
        shown: dict[str, Any] = dict.fromkeys(EMPTY_FIELDS, "")
        shown |= {
            "category": "1", "futureSettlement": False, "groupId": self.group,
            "instId": self.inst_id, "instType": self.inst_type, "instIdCode": self.wire_code,
            "instCategory": "1",
            "lever": str(spec.max_leverage) if self.is_swap else "10", "listTime": LISTED_MS,
            "lotSz": number_text(self.lot), "minSz": number_text(spec.min_qty / self.contract_size),
            "tickSz": number_text(spec.tick_size), "maxIcebergSz": size, "maxLmtAmt": "20000000",
            "maxLmtSz": size, "maxMktSz": size if self.is_swap else "1000000",
            "maxStopSz": size, "maxTriggerSz": size, "maxTwapSz": size, "ruleType": "normal",
            "state": STATES.get(self.market.status, "suspend"), "tradeQuoteCcyList": [],
            "initPxLmtPct": "0.05", "floatPxLmtPct": "0.03", "maxPxLmtPct": "0.15", "upcChg": [],
        }  # fmt: skip
        if self.is_swap:
            shown |= {
                "ctMult": "1", "ctType": "linear", "ctVal": number_text(self.contract_size),
                "ctValCcy": spec.base, "instFamily": self.underlying, "uly": self.underlying,
                "settleCcy": self.settle,
            }  # fmt: skip
        else:
            shown |= {
                "baseCcy": spec.base, "quoteCcy": spec.quote, "openType": "fix_price",
                "maxMktAmt": "1000000", "tradeQuoteCcyList": [spec.quote],
            }  # fmt: skip
        return dict(sorted(shown.items()))


class Listing:
    """Every instrument of the venue, by id, by code, and one for each index."""

    def __init__(self, markets: list[Market]) -> None:
        self.all = [Instrument(market, number) for number, market in enumerate(markets)]
        self.by_id = {one.inst_id: one for one in self.all}
        self.by_code = {one.wire_code: one for one in self.all if one.wire_code is not None}
        self.by_market = {one.market: one for one in self.all}
        self.indices = {one.underlying: one for one in reversed(self.all) if one.is_swap}

    def of_type(self, inst_type: str) -> list[Instrument]:
        """Return the instruments of a type, all for ``ANY``."""
        return [one for one in self.all if inst_type in ("ANY", one.inst_type)]

    def named(self, inst_id: str | None) -> Instrument:
        """Return an instrument by its id; raises OkxError when it is missing or unknown."""
        if not inst_id:
            raise OkxError("50014", "Parameter instId can not be empty")
        one = self.by_id.get(inst_id)
        if one is None:
            raise OkxError("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
        return one
