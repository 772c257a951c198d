"""An account's orders, fills, balances and positions as OKX shows them. Every number is a text.

Source: OKX v5 docs, "Trade" and "Trading Account", seen 2026-08.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.clearing import Clearing
from engine.sim.model import EndReason, FillRecord, Order, OrderKind, OrderStatus
from engine.sim.okx.instruments import Instrument, Listing, number_text
from engine.sim.okx.ledger import Ledger

STATES = {
    OrderStatus.NEW: "live",
    OrderStatus.PARTIALLY_FILLED: "partially_filled",
    OrderStatus.FILLED: "filled",
}
CANCEL_SOURCES = {
    EndReason.NONE: "1",
    EndReason.IOC_REST: "14",
    EndReason.FOK_UNFILLED: "13",
    EndReason.NO_LIQUIDITY: "14",
    EndReason.STP: "32",
    EndReason.VENUE: "20",
    EndReason.WOULD_TAKE: "31",
}
_EMPTY_ORDER = (
    "algoClOrdId", "algoId", "attachAlgoClOrdId", "category", "ccy", "pxType", "pxUsd",
    "pxVol", "quickMgnType", "reqId", "slOrdPx", "slTriggerPx", "slTriggerPxType", "source", "stpId",
    "tpOrdPx", "tpTriggerPx", "tpTriggerPxType",
)  # fmt: skip
_EMPTY_POSITION = (
    "availPos", "interest", "liab", "liabCcy", "liqPx", "margin", "optVal", "posCcy", "usdPx", "deltaBS",
    "deltaPA", "gammaBS", "gammaPA", "thetaBS", "thetaPA", "vegaBS", "vegaPA",
)  # fmt: skip
_EMPTY_DETAIL = (
    "accAvgPx", "borrowFroz", "clSpotInUseAmt", "crossLiab", "imr", "interest", "isoLiab", "liab", "maxLoan",
    "maxSpotInUseAmt", "mgnRatio", "mmr", "openAvgPx", "spotBal", "spotInUseAmt", "spotUpl", "spotUplRatio",
    "totalPnl", "totalPnlRatio", "uplLiab",
)  # fmt: skip
_ZERO_DETAIL = (
    "colBorrAutoConversion", "fixedBal", "isoEq", "isoUpl", "notionalLever", "rewardBal", "smtSyncEq",
    "spotCopyTradingEq", "spotIsoBal", "stgyEq", "twap",
)  # fmt: skip
_EMPTY_ACCOUNT = (
    "adjEq", "availEq", "borrowFroz", "imr", "mgnRatio", "mmr", "notionalUsd", "notionalUsdForBorrow",
    "notionalUsdForFutures", "notionalUsdForOption", "notionalUsdForSwap", "ordFroz", "upl",
)  # fmt: skip
MAINTENANCE = Decimal("0.004")
"""Share of a position's value that must be kept as margin."""


def order_number(order: Order, instrument: Instrument) -> str:
    """Return an order's ``ordId``: unique over the whole venue."""
    return f"{instrument.code}{order.order_id:012d}"


def market_order_id(text: str, instrument: Instrument) -> int:
    """Return the exchange's own number of an ``ordId``, 0 when it is none of this instrument's."""
    head = str(instrument.code)
    return int(text[len(head) :]) if text.isdecimal() and text.startswith(head) and len(text) > 12 else 0


def state(order: Order) -> str:
    """Return OKX's word for an order's state; a total amended to what is filled already ends it as filled."""
    if order.extra.get("amendedAway") and not order.is_open:
        return "filled"
    return STATES.get(order.status, "canceled")


class Views:
    """Shows one exchange's things as OKX does.

    Args:
        listing: the instruments. clearing: margins. ledger: what positions have paid.
    """

    def __init__(self, listing: Listing, clearing: Clearing, ledger: Ledger) -> None:
        self._listing = listing
        self._clearing = clearing
        self._ledger = ledger

    # --------------------------------------------------------------------------------------- orders

    def instrument_of(self, order: Order) -> Instrument:
        """Return an order's instrument."""
        return self._listing.by_market[order.market]

    def order(self, order: Order, fill: FillRecord | None, is_push: bool) -> dict[str, Any]:
        """Return an order; ``fill`` is this message's (a push) or the last one (REST)."""
        one = self.instrument_of(order)
        extra = order.extra
        shown: dict[str, Any] = dict.fromkeys(_EMPTY_ORDER, "")
        average = self._average(order, one)
        fee_asset, fee = self._fees(order, one)
        amount = order.quote_amount
        size = one.size_text(order.qty_lots) if amount is None else number_text(amount)
        is_limit = order.kind is OrderKind.LIMIT
        shown |= {
            "accFillSz": one.size_text(order.filled_lots), "amendResult": "", "attachAlgoOrds": [],
            "avgPx": average or ("0" if is_push else ""), "cTime": str(order.created_ms),
            "cancelSource": self._cancel_source(order), "cancelSourceReason": "", "category": "normal",
            "clOrdId": extra.get("clOrdId", ""), "fee": number_text(-fee), "feeCcy": fee_asset,
            "instId": one.inst_id, "instType": one.inst_type, "isTpLimit": "false",
            "lever": self._lever(order, one), "linkedAlgoOrd": {"algoId": ""},
            "ordId": order_number(order, one), "ordType": extra.get("ordType", "limit"),
            "pnl": number_text(sum((each.realised_pnl for each in order.fills), ZERO)),
            "posSide": "net" if one.is_swap or not is_push else "",
            "px": one.price_text(order.price_ticks) if is_limit else "",
            "rebate": "0", "rebateCcy": order.market.spec.quote,
            "reduceOnly": "true" if order.reduce_only else "false", "side": order.side.lower(),
            "state": state(order), "stpMode": extra.get("stpMode", "cancel_maker"),
            "sz": size,
            "tag": extra.get("tag", ""), "tdMode": extra.get("tdMode", "cash"),
            "tgtCcy": extra.get("tgtCcy", ""),
            "tradeQuoteCcy": "" if one.is_swap else order.market.spec.quote,
            "uTime": str(order.updated_ms),
        }  # fmt: skip
        shown |= self._fill_fields(one, fill)
        if is_push:
            shown |= self._push_fields(order, one, fill)
        return dict(sorted(shown.items()))

    def _push_fields(self, order: Order, one: Instrument, fill: FillRecord | None) -> dict[str, Any]:
        price = order.price_ticks or order.market.last_price_ticks
        extra = order.extra
        shown: dict[str, Any] = {
            "amendResult": extra.get("amendResult", ""), "amendSource": extra.get("amendSource", ""),
            "code": extra.get("code") or "0", "execType": "", "fillFee": "0", "fillFeeCcy": "",
            "fillFwdPx": "", "fillIdxPx": "", "fillMarkPx": "", "fillMarkVol": "", "fillNotionalUsd": "",
            "fillPnl": "0", "fillPxUsd": "", "fillPxVol": "",
            "lastPx": one.price_text(order.market.last_price_ticks), "msg": extra.get("msg", ""),
            "notionalUsd": self._worth(order, price, order.qty_lots), "reqId": extra.get("reqId", ""),
        }  # fmt: skip
        if fill is not None:
            shown |= {
                "execType": "M" if fill.is_maker else "T", "fillFee": number_text(-fill.fee),
                "fillFeeCcy": fill.fee_asset, "fillPnl": number_text(fill.realised_pnl),
                "fillNotionalUsd": self._worth(order, fill.price_ticks, fill.qty_lots),
            }  # fmt: skip
        return shown

    def _fill_fields(self, one: Instrument, fill: FillRecord | None) -> dict[str, Any]:
        if fill is None:
            return {"fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": ""}
        return {
            "fillPx": one.price_text(fill.price_ticks), "fillSz": one.size_text(fill.qty_lots),
            "fillTime": str(fill.time_ms), "tradeId": str(fill.trade_id),
        }  # fmt: skip

    def _worth(self, order: Order, ticks: int, lots: int) -> str:
        return number_text(order.market.qty(lots) * order.market.price(ticks))

    def _average(self, order: Order, one: Instrument) -> str:
        if not order.filled_lots:
            return ""
        return number_text(
            (order.filled_quote / order.market.qty(order.filled_lots)).quantize(Decimal("1e-8"))
        )

    def _fees(self, order: Order, one: Instrument) -> tuple[str, Decimal]:
        spec = order.market.spec
        asset = one.settle if one.is_swap else spec.base if order.side == "BUY" else spec.quote
        return asset, sum((fill.fee for fill in order.fills), ZERO)

    def _lever(self, order: Order, one: Instrument) -> str:
        return str(self._clearing.leverage(order.account, order.market)) if one.is_swap else ""

    def _cancel_source(self, order: Order) -> str:
        if state(order) != "canceled":
            return ""
        return CANCEL_SOURCES.get(order.end_reason, "0")

    def fill(self, fill: FillRecord) -> dict[str, Any]:
        """Return an own fill as REST does."""
        one = self.instrument_of(fill.order)
        spec = fill.order.market.spec
        return {
            "side": fill.order.side.lower(), "fillSz": one.size_text(fill.qty_lots),
            "fillPx": one.price_text(fill.price_ticks), "fillMarkPx": "", "fillMarkVol": "",
            "fillFwdPx": "", "fillIdxPx": "", "fillPxUsd": "", "fillPxVol": "",
            "fee": number_text(-fill.fee), "feeCcy": fill.fee_asset,
            "feeRate": number_text(-(spec.maker_fee if fill.is_maker else spec.taker_fee)),
            "fillPnl": number_text(fill.realised_pnl), "ordId": order_number(fill.order, one),
            "clOrdId": fill.order.extra.get("clOrdId", ""), "instType": one.inst_type,
            "instId": one.inst_id, "billId": str(700_000_000_000_000_000 + fill.execution_id),
            "subType": "1" if fill.order.side == "BUY" else "2", "tag": fill.order.extra.get("tag", ""),
            "fillTime": str(fill.time_ms), "execType": "M" if fill.is_maker else "T",
            "tradeId": str(fill.trade_id), "posSide": "net", "ts": str(fill.time_ms),
            "tradeQuoteCcy": "" if one.is_swap else spec.quote,
        }  # fmt: skip

    # -------------------------------------------------------------------------------------- account

    def position(self, account: Account, one: Instrument, now_ms: int) -> dict[str, Any]:
        """Return a position in net mode; a flat one has ``pos`` 0."""
        market, position = one.market, account.position(one.inst_id)
        holding = self._ledger.holding(account, one)
        upl = self._clearing.unrealised(account, market)
        margin = self._clearing.position_margin(account, market)
        value = abs(market.qty(position.lots)) * market.mark_price
        least = value * MAINTENANCE
        ratio = _eight(upl / margin) if margin else "0"
        size = one.size_text(abs(position.lots))
        entry = _eight(position.entry_price) if position.lots else ""
        pnl = position.realised - holding.realised_before
        shown: dict[str, Any] = dict.fromkeys(_EMPTY_POSITION, "")
        shown |= {
            "adl": "1" if position.lots else "", "avgPx": entry, "bePx": entry,
            "cTime": str(holding.opened_ms or now_ms), "ccy": one.settle, "closeOrderAlgo": [],
            "fee": number_text(holding.fee), "fundingFee": number_text(holding.funding),
            "idxPx": number_text(market.index_price), "imr": _eight(margin), "instId": one.inst_id,
            "instType": "SWAP", "last": one.price_text(market.last_price_ticks),
            "lever": str(self._clearing.leverage(account, market)), "liqPenalty": "0",
            "markPx": number_text(market.mark_price), "mgnMode": "cross",
            "mgnRatio": _eight(account.balance("spot", one.settle).total / least) if least else "",
            "mmr": _eight(least), "notionalUsd": _eight(value), "pnl": number_text(pnl),
            "pos": size if position.lots >= 0 else f"-{size}",
            "posId": str(1_752_810_569_801_000_000 + account.uid % 1_000_000 * 1_000 + one.code % 1_000),
            "posSide": "net", "realizedPnl": number_text(pnl + holding.fee + holding.funding),
            "settledPnl": "", "tradeId": str(holding.trade_id or ""),
            "uTime": str(position.updated_ms or now_ms), "upl": _eight(upl), "uplLastPx": _eight(upl),
            "uplRatio": ratio, "uplRatioLastPx": ratio,
        }  # fmt: skip
        return dict(sorted(shown.items()))

    def held(self, account: Account) -> list[Instrument]:
        """Return the contracts in which an account has a position."""
        return [
            one for one in self._listing.all
            if one.is_swap and one.inst_id in account.positions and account.position(one.inst_id).lots
        ]  # fmt: skip

    def currencies(self, account: Account) -> tuple[str, ...]:
        """Return the currencies that an account holds."""
        return tuple(asset for asset, balance in account.balances["spot"].items() if balance.total)

    def dollars(self, currency: str) -> Decimal:
        """Return what one unit is worth by the last spot trade; 0 where nothing is known."""
        if currency in ("USDT", "USDC", "USD"):
            return Decimal(1)
        one = self._listing.by_id.get(f"{currency}-USDT")
        return one.market.price(one.market.last_price_ticks) if one is not None else ZERO

    def available(self, account: Account, asset: str) -> Decimal:
        """Return what new orders may use: one wallet pays for spot and carries the margin of swaps."""
        balance = account.balance("spot", asset)
        if not any(one.settle == asset for one in self._listing.all):
            return balance.free
        margin = self._clearing.available_margin(account, asset) - balance.locked
        return max(ZERO, min(balance.free, margin))

    def _equity(self, account: Account, asset: str) -> tuple[Decimal, Decimal]:
        swaps = [one for one in self.held(account) if one.settle == asset]
        upl = sum((self._clearing.unrealised(account, one.market) for one in swaps), ZERO)
        return account.balance("spot", asset).total + upl, upl

    def detail(self, account: Account, asset: str) -> dict[str, Any]:
        """Return one currency of the account."""
        balance = account.balance("spot", asset)
        equity, upl = self._equity(account, asset)
        free = self.available(account, asset)
        price = self.dollars(asset)
        worth = _eight(equity * price)
        shown: dict[str, Any] = dict.fromkeys(_EMPTY_DETAIL, "") | dict.fromkeys(_ZERO_DETAIL, "0")
        shown |= {
            "collateralEnabled": False, "collateralRestrict": False, "coinUsdPrice": number_text(price),
            "availBal": number_text(free), "availEq": number_text(free),
            "cashBal": number_text(balance.total), "ccy": asset, "disEq": worth,
            "eq": number_text(equity), "eqUsd": worth, "fixedBal": "0",
            "frozenBal": number_text(balance.total - free), "ordFrozen": number_text(balance.locked),
            "uTime": str(account.updated_ms), "upl": number_text(upl),
        }  # fmt: skip
        return dict(sorted(shown.items()))

    def account(self, account: Account, assets: tuple[str, ...]) -> dict[str, Any]:
        """Return the account with these currencies; ``totalEq`` counts all that it holds."""
        total = sum(
            (self._equity(account, asset)[0] * self.dollars(asset) for asset in self.currencies(account)),
            ZERO,
        )
        shown: dict[str, Any] = dict.fromkeys(_EMPTY_ACCOUNT, "")
        shown |= {
            "details": [self.detail(account, asset) for asset in assets], "isoEq": "0",
            "totalEq": _eight(total), "uTime": str(account.updated_ms),
        }  # fmt: skip
        return dict(sorted(shown.items()))


def _eight(value: Decimal) -> str:
    return number_text(value.quantize(Decimal("1e-8")))
