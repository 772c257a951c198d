"""Bybit's objects: tickers, trades, funding, orders, fills, positions, wallet.

Source: Bybit v5 docs, "Market", "Trade", "Position", "Account", "WebSocket Stream", seen 2026-07.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from engine.sim.accounts import ZERO, Account
from engine.sim.bybit.instruments import Instrument, Listing, number_text
from engine.sim.bybit.ledger import Ledger
from engine.sim.clearing import Clearing
from engine.sim.model import EndReason, FillRecord, Order, OrderKind, OrderStatus
from engine.sim.tape import Print

SMALLEST = Decimal("1e-8")
KEEP_SHARE = 200
"""A position must be worth one part in this many as maintenance margin."""
REJECTIONS = {
    EndReason.WOULD_TAKE: "EC_PostOnlyWillTakeLiquidity",
    EndReason.IOC_REST: "EC_NoImmediateQtyToFill",
    EndReason.NO_LIQUIDITY: "EC_NoImmediateQtyToFill",
    EndReason.FOK_UNFILLED: "EC_CancelForNoFullFill",
    EndReason.STP: "EC_BySelfMatch",
    EndReason.VENUE: "EC_NoError",
}
CANCEL_TYPES = {
    EndReason.NONE: "CancelByUser", EndReason.AMENDED_AWAY: "CancelByUser", EndReason.STP: "CancelBySmp",
    EndReason.VENUE: "CancelByAdmin",
}  # fmt: skip
_EMPTY = (
    "parentOrderLinkId", "blockTradeId", "stopOrderType", "ocoTriggerBy", "orderIv", "slippageTolerance",
    "triggerPrice", "takeProfit", "stopLoss", "tpTriggerBy", "slTriggerBy", "tpLimitPrice", "slLimitPrice",
    "tpslMode", "triggerBy", "placeType", "smpOrderId",
)  # fmt: skip


def rounded(value: Decimal) -> str:
    """Return an amount to eight decimals."""
    return number_text(value.quantize(SMALLEST))


class Views:
    """Shows one exchange's things as Bybit does."""

    def __init__(self, listing: Listing, clearing: Clearing, ledger: Ledger) -> None:
        self._listing = listing
        self._clearing = clearing
        self._ledger = ledger

    # --------------------------------------------------------------------------------------- public

    def ticker(self, one: Instrument, now_ms: int, is_push: bool = False) -> dict[str, Any]:
        """Return a ticker; spot pushes have neither bid nor ask."""
        market = one.market
        day = one.day(now_ms)
        last = market.last_price_ticks
        first, high, low = (day.open, day.high, day.low) if day else (last, last, last)
        step = market.spec.tick_size * market.spec.lot_size
        change = (Decimal(last - first) / first).quantize(Decimal("1e-6")) if first else ZERO
        bid, bid_lots, ask, ask_lots = market.top()
        shown = {
            "symbol": one.symbol, "lastPrice": one.price.text(last), "highPrice24h": one.price.text(high),
            "lowPrice24h": one.price.text(low), "prevPrice24h": one.price.text(first),
            "volume24h": one.size.text(day.volume if day else 0),
            "turnover24h": number_text((day.turnover if day else 0) * step), "price24hPcnt": f"{change:f}",
        }  # fmt: skip
        best = {
            "bid1Price": one.price.text(bid) if bid else "", "bid1Size": one.size.text(bid_lots),
            "ask1Price": one.price.text(ask) if ask else "", "ask1Size": one.size.text(ask_lots),
        }  # fmt: skip
        if not one.is_linear:
            index = {"usdIndexPrice": one.price.text(last)}
            return shown | index if is_push else shown | best | index
        interest = market.open_interest_lots
        return shown | best | {
            "prevPrice1h": one.price.text(first), "markPrice": number_text(market.mark_price),
            "indexPrice": number_text(market.index_price), "openInterest": one.size.text(interest),
            "openInterestValue": f"{market.qty(interest) * market.mark_price:.2f}",
            "fundingRate": number_text(market.funding_rate), "nextFundingTime": str(market.next_funding_ms),
            "predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0",
            "basis": "", "fundingIntervalHour": str(market.spec.funding_interval_h), "fundingCap": "0.00375",
        }  # fmt: skip

    def trade(self, one: Instrument, row: Print, seq: int) -> dict[str, Any]:
        """Return a public trade as REST does."""
        return {
            "execId": one.trade_id(row.trade_id), "symbol": one.symbol,
            "price": one.price.text(row.price_ticks), "size": one.size.text(row.qty_lots),
            "side": "Sell" if row.buyer_is_maker else "Buy", "time": str(row.traded_ms),
            "isBlockTrade": False, "isRPITrade": False, "seq": str(seq),
        }  # fmt: skip

    def trade_push(self, one: Instrument, row: Print, tick: str) -> str:
        """Return a public trade as ``publicTrade`` does, as JSON; ``tick`` is its direction (linear only)."""
        direction = f'"L":"{tick}",' if one.is_linear else ""
        return (
            f'{{"T":{row.traded_ms},"s":"{one.symbol}","S":"{"Sell" if row.buyer_is_maker else "Buy"}",'
            f'"v":"{one.size.text(row.qty_lots)}","p":"{one.price.text(row.price_ticks)}",{direction}'
            f'"i":"{one.trade_id(row.trade_id)}","BT":false,"RPI":false,"seq":{one.market.last_id}}}'
        )

    # --------------------------------------------------------------------------------------- orders

    def order(self, order: Order) -> dict[str, Any]:
        """Return an order; pushes add ``category``."""
        one, extra = self._listing.by_market[order.market], order.extra
        status, cancel_type, reason = self._ending(order, one)
        is_quote = extra.get("marketUnit") == "quoteCoin"
        leaves = order.leaves_lots if order.is_open else 0
        value = order.market.qty(leaves) * order.market.price(order.price_ticks)
        fees: dict[str, Decimal] = {}
        for fill in order.fills:
            fees[fill.fee_asset] = fees.get(fill.fee_asset, ZERO) + fill.fee
        shown: dict[str, Any] = dict.fromkeys(_EMPTY, "")
        if not one.is_linear:
            # Spot orders have no such field: ccxt tells them from those of contracts by it.
            del shown["tpslMode"]
        return shown | {
            "orderId": one.order_id(order.order_id), "orderLinkId": extra.get("orderLinkId", ""),
            "symbol": one.symbol,
            "price": one.price.text(order.price_ticks) if order.kind is OrderKind.LIMIT else "0",
            "qty": number_text(order.quote_amount or ZERO) if is_quote else one.size.text(order.qty_lots),
            "side": "Buy" if order.side == "BUY" else "Sell", "isLeverage": extra.get("isLeverage", ""),
            "positionIdx": 0, "orderStatus": status, "createType": "CreateByUser", "cancelType": cancel_type,
            "rejectReason": reason,
            "avgPrice": rounded(order.filled_quote / order.market.qty(order.filled_lots))
            if order.filled_lots else "",
            "leavesQty": one.size.text(leaves), "leavesValue": number_text(value),
            "cumExecQty": one.size.text(order.filled_lots),
            "cumExecValue": number_text(order.filled_quote),
            "cumExecFee": number_text(sum(fees.values(), ZERO)), "closedPnl": "0", "feeCurrency": "",
            "timeInForce": extra.get("timeInForce", "GTC"),
            "orderType": "Limit" if order.kind is OrderKind.LIMIT else "Market",
            "marketUnit": extra.get("marketUnit", ""), "slippageToleranceType": "UNKNOWN",
            "triggerDirection": 0, "lastPriceOnCreated": extra.get("lastPriceOnCreated", ""),
            "reduceOnly": order.reduce_only, "closeOnTrigger": extra.get("closeOnTrigger", False),
            "smpType": extra.get("smpType", "None"),
            "smpGroup": 0, "createdTime": str(order.created_ms), "updatedTime": str(order.updated_ms),
            "cumFeeDetail": {asset: number_text(fee) for asset, fee in fees.items()},
            "rpiTakerAccess": False, "rpiMatchedQty": "0",
        }  # fmt: skip

    def _ending(self, order: Order, one: Instrument) -> tuple[str, str, str]:
        """Return orderStatus, cancelType, rejectReason."""
        if order.status is OrderStatus.NEW:
            return "New", "UNKNOWN", "EC_NoError"
        if order.status is OrderStatus.PARTIALLY_FILLED:
            return "PartiallyFilled", "UNKNOWN", "EC_NoError"
        if order.status is OrderStatus.FILLED:
            return "Filled", "UNKNOWN", "EC_NoError"
        partly = order.filled_lots and not one.is_linear
        status = "PartiallyFilledCanceled" if partly else "Cancelled"
        reason = REJECTIONS.get(order.end_reason, "EC_PerCancelRequest")
        return status, CANCEL_TYPES.get(order.end_reason, "UNKNOWN"), reason

    def execution(self, fill: FillRecord) -> dict[str, Any]:
        """Return an own fill; a positive fee is paid."""
        order = fill.order
        one, spec, market = self._listing.by_market[order.market], order.market.spec, order.market
        rate = spec.maker_fee if fill.is_maker else spec.taker_fee
        moment = self._ledger.moment(fill)
        filled = 0
        for each in order.fills:
            filled += each.qty_lots
            if each is fill:
                break
        return {
            "symbol": one.symbol, "closedSize": one.size.text(moment.closed_lots) if one.is_linear else "",
            "execFee": number_text(fill.fee), "execId": one.trade_id(fill.trade_id),
            "execPrice": one.price.text(fill.price_ticks), "execQty": one.size.text(fill.qty_lots),
            "execType": "Trade",
            "execValue": number_text(market.qty(fill.qty_lots) * market.price(fill.price_ticks)),
            "feeRate": number_text(rate), "tradeIv": "", "markIv": "", "blockTradeId": "",
            "markPrice": number_text(moment.mark_price) if one.is_linear else "", "indexPrice": "",
            "underlyingPrice": "", "leavesQty": one.size.text(order.qty_lots - filled),
            "orderId": one.order_id(order.order_id), "orderLinkId": order.extra.get("orderLinkId", ""),
            "orderPrice": one.price.text(order.price_ticks) if order.kind is OrderKind.LIMIT else "0",
            "orderQty": one.size.text(order.qty_lots),
            "orderType": "Limit" if order.kind is OrderKind.LIMIT else "Market", "stopOrderType": "UNKNOWN",
            "side": "Buy" if order.side == "BUY" else "Sell", "execTime": str(fill.time_ms),
            "isLeverage": "0", "isMaker": fill.is_maker, "seq": moment.seq,
            "marketUnit": order.extra.get("marketUnit", ""), "execPnl": number_text(fill.realised_pnl),
            "createType": "CreateByUser", "extraFees": [], "feeCurrency": fill.fee_asset,
        }  # fmt: skip

    def funding(self, account: Account, one: Instrument, amount: Decimal, rate: Decimal, now_ms: int) -> Any:
        """Return a funding payment: an execution without an order whose fee is the payment."""
        position, market = account.position(one.symbol), one.market
        lots = abs(position.lots)
        shown: dict[str, Any] = dict.fromkeys(
            ("tradeIv", "markIv", "blockTradeId", "indexPrice", "underlyingPrice", "orderLinkId",
             "marketUnit", "createType"), ""
        )  # fmt: skip
        return shown | {
            "symbol": one.symbol, "closedSize": "0", "execFee": number_text(-amount),
            "execId": f"{one.number:08x}-0000-5000-9000-{now_ms:012x}",
            "execPrice": number_text(market.mark_price),
            "execQty": one.size.text(lots), "execType": "Funding",
            "execValue": rounded(market.qty(lots) * market.mark_price), "feeRate": number_text(rate),
            "markPrice": number_text(market.mark_price), "leavesQty": "0",
            "orderId": f"{now_ms}-{one.symbol}-{account.uid}", "orderPrice": "0", "orderQty": "0",
            "orderType": "UNKNOWN", "stopOrderType": "UNKNOWN",
            "side": "Sell" if position.lots < 0 else "Buy", "execTime": str(now_ms), "isLeverage": "0",
            "isMaker": False, "seq": market.last_id, "execPnl": "0", "extraFees": [],
            "feeCurrency": market.spec.settle,
        }  # fmt: skip

    # -------------------------------------------------------------------------------------- account

    def position(self, account: Account, one: Instrument, is_push: bool = False) -> dict[str, Any]:
        """Return a position: pushes say ``entryPrice`` where REST says ``avgPrice``."""
        market = one.market
        position = account.position(one.symbol)
        past = self._ledger.history(account, one)
        entry = rounded(position.entry_price) if position.lots else "0"
        # What has been paid so far, fees above all, is earned back at the break-even price.
        even = position.entry_price - past.running / market.qty(position.lots) if position.lots else ZERO
        unset, trailing = ("0", "0") if is_push else ("", "0.00")
        value = rounded(abs(market.qty(position.lots)) * position.entry_price)
        margin = rounded(self._clearing.position_margin(account, market))
        keep = rounded(abs(market.qty(position.lots)) * market.mark_price / KEEP_SHARE)
        shown = {
            "positionIdx": 0, "tradeMode": 0, "riskId": 1, "riskLimitValue": "2000000", "symbol": one.symbol,
            "side": "" if not position.lots else "Buy" if position.lots > 0 else "Sell",
            "size": one.size.text(abs(position.lots)) if position.lots else "0",
            "entryPrice" if is_push else "avgPrice": entry, "sessionAvgPrice": "",
            "leverage": str(self._clearing.leverage(account, market)), "breakEvenPrice": rounded(even),
            "positionValue": value, "positionBalance": "0", "markPrice": number_text(market.mark_price),
            "positionIM": margin, "positionIMByMp": margin, "positionMM": keep, "positionMMByMp": keep,
            "takeProfit": unset, "stopLoss": unset, "trailingStop": trailing,
            "unrealisedPnl": rounded(self._clearing.unrealised(account, market)),
            "curRealisedPnl": rounded(past.running), "cumRealisedPnl": rounded(past.total),
            "createdTime": str(past.created_ms), "updatedTime": str(position.updated_ms),
            "openTime": past.opened_ms, "tpslMode": "Full", "liqPrice": "", "bustPrice": "",
            "positionStatus": "Normal", "adlRankIndicator": 2, "autoAddMargin": 0,
            "leverageSysUpdatedTime": "", "mmrSysUpdatedTime": "",
            "seq": past.seq, "isReduceOnly": False,
        }  # fmt: skip
        return shown | {"category": one.category} if is_push else shown

    def wallet(self, account: Account, coins: tuple[str, ...] = ()) -> dict[str, Any]:
        """Return the unified account with these coins (all that are not zero when none is named).

        UNCONFIRMED: whether pushes always list the changed coins only; totals are of the whole account.
        """
        wallet = account.balances.get("spot", {})
        every = {coin: self._coin(account, coin) for coin, balance in wallet.items() if balance.total}
        names = coins or tuple(every)
        rows = [every.get(coin) or self._coin(account, coin) for coin in names]

        def total(name: str) -> Decimal:
            return sum((Decimal(row[name]) * self._dollars(coin) for coin, row in every.items()), ZERO)

        margin, keep = total("totalOrderIM") + total("totalPositionIM"), total("totalPositionMM")
        wallets, profit = total("walletBalance"), total("unrealisedPnl")
        equity = wallets + profit
        rates = [(part / equity).quantize(Decimal("1e-4")) if equity else ZERO for part in (margin, keep)]
        initial, kept = (rounded(part) for part in (margin, keep))
        return {
            "accountIMRate": number_text(rates[0]), "accountIMRateByMp": number_text(rates[0]),
            "totalEquity": rounded(equity), "totalWalletBalance": rounded(wallets),
            "totalMarginBalance": rounded(equity), "totalAvailableBalance": rounded(equity - margin),
            "totalPerpUPL": rounded(profit), "totalInitialMargin": initial, "totalInitialMarginByMp": initial,
            "totalMaintenanceMargin": kept, "totalMaintenanceMarginByMp": kept, "coin": rows,
            "accountLTV": "0", "accountType": "UNIFIED", "accountMMRate": number_text(rates[1]),
            "accountMMRateByMp": number_text(rates[1]),
        }  # fmt: skip

    def _dollars(self, coin: str) -> Decimal:
        """Return what one coin is worth: its last spot price, 1 for the coins that prices are in."""
        one = self._listing.by_name.get(("spot", f"{coin}USDT"))
        return one.market.price(one.market.last_price_ticks) if one is not None else Decimal(1)

    def _coin(self, account: Account, coin: str) -> dict[str, Any]:
        balance = account.balance("spot", coin)
        upl = orders = positions = keep = ZERO
        linear = self._listing.of("linear")
        for one in linear:
            market = one.market
            lots = account.positions[one.symbol].lots if one.symbol in account.positions else 0
            if market.spec.settle == coin and (lots or market.open_count.get(account.name)):
                upl += self._clearing.unrealised(account, market)
                orders += self._clearing.order_margin(account, market)
                positions += self._clearing.position_margin(account, market)
                keep += abs(market.qty(lots)) * market.mark_price / KEEP_SHARE
        equity = balance.total + upl
        return {
            "coin": coin, "equity": rounded(equity), "usdValue": rounded(equity * self._dollars(coin)),
            "walletBalance": number_text(balance.total), "free": "",
            "locked": number_text(balance.locked), "spotHedgingQty": "0", "borrowAmount": "0",
            "spotBorrow": "0", "availableToBorrow": "", "availableToWithdraw": "", "accruedInterest": "0",
            "totalOrderIM": rounded(orders), "totalPositionIM": rounded(positions),
            "totalPositionMM": rounded(keep), "unrealisedPnl": rounded(upl),
            "cumRealisedPnl": rounded(self._ledger.earned(account, coin, linear)), "bonus": "0",
            "collateralSwitch": True, "marginCollateral": True, "colRes": "0",
        }  # fmt: skip
