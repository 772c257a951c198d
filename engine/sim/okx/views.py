"""OKX's objects: tickers, trades, funding, orders, fills, balances, positions. Every number is a text.

Source: OKX v5 docs, "Market Data", "Public Data", "Trade", "Trading Account", seen 2026-08.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import Account
from engine.sim.clearing import Clearing
from engine.sim.model import EndReason, FillRecord, Order, OrderKind, OrderStatus
from engine.sim.okx.instruments import Instrument, Listing, number_text
from engine.sim.tape import Print, Tape

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
    "algoClOrdId", "algoId", "amendSource", "attachAlgoClOrdId", "category", "ccy", "pxType", "pxUsd",
    "pxVol", "quickMgnType", "reqId", "slOrdPx", "slTriggerPx", "slTriggerPxType", "source", "stpId",
    "tpOrdPx", "tpTriggerPx", "tpTriggerPxType",
)  # fmt: skip


def order_number(order: Order, instrument: Instrument) -> str:
    """Return an order's ``ordId``: unique over the whole venue."""
    return f"{instrument.code}{order.order_id:012d}"


def market_order_id(text: str, instrument: Instrument) -> int:
    """Return the exchange's own number of an ``ordId``, 0 when it is none of this instrument's."""
    head = str(instrument.code)
    return int(text[len(head) :]) if text.isdecimal() and text.startswith(head) and len(text) > 12 else 0


class Views:
    """Shows one exchange's things as OKX does.

    Args:
        listing: the instruments. tapes: what has traded, by instrument. clearing: margins.
    """

    def __init__(self, listing: Listing, tapes: dict[str, Tape], clearing: Clearing) -> None:
        self._listing = listing
        self._tapes = tapes
        self._clearing = clearing

    # --------------------------------------------------------------------------------------- public

    def tape(self, one: Instrument) -> Tape:
        """Return what has traded on an instrument."""
        return self._tapes[one.inst_id]

    def ticker(self, one: Instrument, now_ms: int) -> dict[str, Any]:
        """Return a ticker."""
        market = one.market
        bid, bid_lots, ask, ask_lots = market.top()
        day = self._tapes[one.inst_id].day(now_ms)
        last = market.last_price_ticks
        opened, high, low = (day.open, day.high, day.low) if day else (last, last, last)
        volume, turnover = (day.volume, day.turnover) if day else (0, 0)
        trades = self._tapes[one.inst_id].trades
        quote = turnover * market.spec.tick_size * market.spec.lot_size
        base = number_text(market.qty(volume))
        return {
            "instType": one.inst_type, "instId": one.inst_id, "last": one.price_text(last),
            "lastSz": one.size_text(trades[-1].qty_lots if trades else 0), "askPx": one.price_text(ask),
            "askSz": one.size_text(ask_lots), "bidPx": one.price_text(bid), "bidSz": one.size_text(bid_lots),
            "open24h": one.price_text(opened), "high24h": one.price_text(high),
            "low24h": one.price_text(low), "volCcy24h": base if one.is_swap else number_text(quote),
            "vol24h": one.size_text(volume), "sodUtc0": one.price_text(opened),
            "sodUtc8": one.price_text(opened), "ts": str(now_ms),
        }  # fmt: skip

    def trade(self, one: Instrument, trade: Print) -> dict[str, Any]:
        """Return a public trade as REST does."""
        return {
            "instId": one.inst_id, "side": "sell" if trade.buyer_is_maker else "buy",
            "sz": one.size_text(trade.qty_lots), "source": "0", "px": one.price_text(trade.price_ticks),
            "tradeId": str(trade.trade_id), "ts": str(trade.traded_ms),
        }  # fmt: skip

    def funding(self, one: Instrument, now_ms: int) -> dict[str, Any]:
        """Return the current funding period."""
        market = one.market
        interval = market.spec.funding_interval_h * 3_600_000
        settled = market.funding_history[-1][1] if market.funding_history else Decimal("0.0001")
        return {
            "formulaType": "withRate", "fundingRate": f"{market.funding_rate:.16f}",
            "fundingTime": str(market.next_funding_ms), "impactValue": "10000.0000000000000000",
            "instId": one.inst_id, "instType": "SWAP", "interestRate": "0.0001000000000000",
            "maxFundingRate": "0.015", "method": "current_period", "minFundingRate": "-0.015",
            "nextFundingRate": "", "nextFundingTime": str(market.next_funding_ms + interval),
            "premium": f"{(market.mark_price - market.index_price) / market.index_price:.16f}",
            "settFundingRate": f"{settled:.16f}", "settState": "settled", "ts": str(now_ms),
        }  # fmt: skip

    def funding_history(self, one: Instrument) -> list[dict[str, Any]]:
        """Return settled periods, newest first."""
        return [
            {
                "formulaType": "withRate", "fundingRate": number_text(rate), "fundingTime": str(time_ms),
                "instId": one.inst_id, "instType": "SWAP", "method": "current_period",
                "realizedRate": number_text(rate),
            }
            for time_ms, rate, _ in reversed(one.market.funding_history)
        ]  # fmt: skip

    def open_interest(self, one: Instrument, now_ms: int) -> dict[str, Any]:
        """Return the open interest in contracts, base and dollars."""
        base = one.market.qty(one.market.open_interest_lots)
        return {
            "instId": one.inst_id, "instType": "SWAP", "oi": one.size_text(one.market.open_interest_lots),
            "oiCcy": number_text(base), "oiUsd": number_text(base * one.market.mark_price), "ts": str(now_ms),
        }  # fmt: skip

    def mark(self, one: Instrument, now_ms: int) -> dict[str, Any]:
        """Return the mark price."""
        price = number_text(one.market.mark_price)
        return {
            "instId": one.inst_id, "instType": one.inst_type, "markPx": price, "ts": str(now_ms)
        }  # fmt: skip

    def limits(self, one: Instrument) -> tuple[int, int]:
        """Return the highest price of a buy and the lowest of a sell, ticks."""
        middle = one.market.last_price_ticks
        return middle * 115 // 100, middle * 85 // 100

    def price_limit(self, one: Instrument, now_ms: int) -> dict[str, Any]:
        """Return the price band."""
        high, low = self.limits(one)
        return {
            "instId": one.inst_id, "instType": one.inst_type, "buyLmt": one.price_text(high),
            "sellLmt": one.price_text(low), "ts": str(now_ms), "enabled": True,
        }  # fmt: skip

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
            "pnl": number_text(sum((each.realised_pnl for each in order.fills), Decimal(0))),
            "posSide": "net" if one.is_swap else "",
            "px": one.price_text(order.price_ticks) if is_limit else "",
            "rebate": "0", "rebateCcy": order.market.spec.quote,
            "reduceOnly": "true" if order.reduce_only else "false", "side": order.side.lower(),
            "state": STATES.get(order.status, "canceled"), "stpMode": extra.get("stpMode", "cancel_maker"),
            "sz": size,
            "tag": extra.get("tag", ""), "tdMode": extra.get("tdMode", "cash"),
            "tgtCcy": extra.get("tgtCcy", ""),
            "tradeQuoteCcy": "" if one.is_swap else order.market.spec.quote,
            "uTime": str(order.updated_ms),
        }  # fmt: skip
        shown |= self._fill_fields(one, fill)
        if is_push:
            shown |= self._push_fields(order, one, fill)
        return shown

    def _push_fields(self, order: Order, one: Instrument, fill: FillRecord | None) -> dict[str, Any]:
        value = order.market.qty(order.qty_lots) * order.market.price(
            order.price_ticks or order.market.last_price_ticks
        )
        return {
            "code": "0", "msg": "", "execType": ("M" if fill.is_maker else "T") if fill else "",
            "fillFee": number_text(-fill.fee) if fill else "0", "fillFeeCcy": fill.fee_asset if fill else "",
            "fillPnl": number_text(fill.realised_pnl) if fill else "0", "fillNotionalUsd": "",
            "fillFwdPx": "", "fillIdxPx": "", "fillMarkPx": "", "fillMarkVol": "", "fillPxUsd": "",
            "fillPxVol": "", "lastPx": one.price_text(order.market.last_price_ticks),
            "notionalUsd": number_text(value), "reqId": order.extra.get("reqId", ""),
            "amendResult": order.extra.get("amendResult", ""),
        }  # fmt: skip

    def _fill_fields(self, one: Instrument, fill: FillRecord | None) -> dict[str, Any]:
        if fill is None:
            return {"fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": ""}
        return {
            "fillPx": one.price_text(fill.price_ticks), "fillSz": one.size_text(fill.qty_lots),
            "fillTime": str(fill.time_ms), "tradeId": str(fill.trade_id),
        }  # fmt: skip

    def _average(self, order: Order, one: Instrument) -> str:
        if not order.filled_lots:
            return ""
        return number_text(
            (order.filled_quote / order.market.qty(order.filled_lots)).quantize(Decimal("1e-8"))
        )

    def _fees(self, order: Order, one: Instrument) -> tuple[str, Decimal]:
        spec = order.market.spec
        asset = (spec.settle or spec.quote) if one.is_swap else (
            spec.base if order.side == "BUY" else spec.quote
        )  # fmt: skip
        return asset, sum((fill.fee for fill in order.fills), Decimal(0))

    def _lever(self, order: Order, one: Instrument) -> str:
        return str(self._clearing.leverage(order.account, order.market)) if one.is_swap else ""

    def _cancel_source(self, order: Order) -> str:
        if order.status in STATES:
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
        """Return a position in net mode; flat ones have ``pos`` 0."""
        market = one.market
        position = account.position(one.inst_id)
        upl = self._clearing.unrealised(account, market)
        margin = self._clearing.position_margin(account, market)
        value = abs(market.qty(position.lots)) * market.mark_price
        size = one.size_text(abs(position.lots))
        last = one.price_text(market.last_price_ticks)
        shown: dict[str, Any] = dict.fromkeys(
            ("availPos", "interest", "liab", "liabCcy", "liqPx", "margin", "optVal", "posCcy", "usdPx",
             "deltaBS", "deltaPA", "gammaBS", "gammaPA", "thetaBS", "thetaPA", "vegaBS", "vegaPA"), ""
        )  # fmt: skip
        return shown | {
            "adl": "1", "avgPx": number_text(position.entry_price.quantize(Decimal("1e-8"))),
            "bePx": number_text(position.entry_price.quantize(Decimal("1e-8"))),
            "cTime": str(position.updated_ms), "ccy": market.spec.settle, "closeOrderAlgo": [], "fee": "0",
            "fundingFee": "0", "idxPx": number_text(market.index_price),
            "imr": number_text(margin.quantize(Decimal("1e-8"))), "instId": one.inst_id, "instType": "SWAP",
            "last": last, "lever": str(self._clearing.leverage(account, market)), "liqPenalty": "0",
            "markPx": number_text(market.mark_price), "mgnMode": "cross", "mgnRatio": "99",
            "mmr": number_text((value / 200).quantize(Decimal("1e-8"))),
            "notionalUsd": number_text(value.quantize(Decimal("1e-8"))),
            "pnl": number_text(position.realised), "pos": size if position.lots >= 0 else f"-{size}",
            "posId": str(1_752_810_569_801_000_000 + one.code), "posSide": "net",
            "realizedPnl": number_text(position.realised), "settledPnl": "", "tradeId": "",
            "uTime": str(position.updated_ms or now_ms), "upl": number_text(upl.quantize(Decimal("1e-8"))),
            "uplLastPx": number_text(upl.quantize(Decimal("1e-8"))), "uplRatio": "0", "uplRatioLastPx": "0",
        }  # fmt: skip

    def detail(self, account: Account, asset: str) -> dict[str, Any]:
        """Return one currency of the account."""
        balance = account.balance("spot", asset)
        upl = sum(
            (
                self._clearing.unrealised(account, one.market)
                for one in self._listing.all
                if one.is_swap and one.market.spec.settle == asset and one.inst_id in account.positions
            ),
            Decimal(0),
        )
        free = balance.free
        if any(one.is_swap and one.market.spec.settle == asset for one in self._listing.all):
            free = max(
                Decimal(0), min(free, self._clearing.available_margin(account, asset) - balance.locked)
            )
        total = number_text(balance.total)
        shown: dict[str, Any] = dict.fromkeys(
            ("crossLiab", "imr", "interest", "isoLiab", "liab", "maxLoan", "mgnRatio", "mmr", "uplLiab"), ""
        )
        return shown | {
            "availBal": number_text(free), "availEq": number_text(free), "cashBal": total, "ccy": asset,
            "disEq": total, "eq": number_text(balance.total + upl), "eqUsd": number_text(balance.total + upl),
            "fixedBal": "0", "frozenBal": number_text(balance.total - free), "isoEq": "0", "isoUpl": "0",
            "notionalLever": "0", "ordFrozen": number_text(balance.locked), "stgyEq": "0", "twap": "0",
            "uTime": str(account.updated_ms), "upl": number_text(upl),
        }  # fmt: skip

    def account(self, account: Account, assets: tuple[str, ...]) -> dict[str, Any]:
        """Return the account with these currencies (all that are not zero when none is named)."""
        names = assets or tuple(asset for asset, balance in account.balances["spot"].items() if balance.total)
        details = [self.detail(account, asset) for asset in names]
        dollars = sum((Decimal(row["eq"]) for row in details if row["ccy"] == "USDT"), Decimal(0))
        return {
            "adjEq": "", "availEq": "", "details": details, "imr": "", "isoEq": "0", "mgnRatio": "",
            "mmr": "", "notionalUsd": "", "ordFroz": "", "totalEq": number_text(dollars),
            "uTime": str(account.updated_ms), "upl": "",
        }  # fmt: skip
