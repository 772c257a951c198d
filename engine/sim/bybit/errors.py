"""Bybit's refusals: retCode, text and HTTP status.

Source: Bybit v5 docs, "Error Codes", seen 2026-07.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.sim.model import RefusalReason


class BybitError(Exception):
    """A request that Bybit refuses.

    Attributes:
        code: its ``retCode``. message: its ``retMsg``. status: its HTTP status, nearly always 200.
        headers: what is left of the limit that the request was counted against.
    """

    def __init__(self, code: int, message: str, status: int = 200) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.headers: Mapping[str, str] = {}


LINEAR: dict[RefusalReason, tuple[int, str]] = {
    RefusalReason.INSUFFICIENT_BALANCE: (110007, "ab not enough for new order"),
    RefusalReason.MARGIN: (110007, "ab not enough for new order"),
    RefusalReason.DUPLICATE_CLIENT_ID: (110072, "OrderLinkedID is duplicate"),
    RefusalReason.UNKNOWN_ORDER: (110001, "order not exists or too late to cancel"),
    RefusalReason.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    RefusalReason.MARKET_CLOSED: (110074, "This contract is not live"),
    RefusalReason.CANCEL_ONLY: (110066, "Trading is currently not allowed."),
    RefusalReason.TOO_MANY_ORDERS: (110020, "Not allowed to have more than 500 active orders"),
    RefusalReason.NO_CHANGE: (
        10001,
        "The order remains unchanged as the parameters entered match the existing ones.",
    ),
}
SPOT: dict[RefusalReason, tuple[int, str]] = {
    RefusalReason.INSUFFICIENT_BALANCE: (170131, "Insufficient balance."),
    RefusalReason.DUPLICATE_CLIENT_ID: (170141, "Duplicate clientOrderId."),
    RefusalReason.UNKNOWN_ORDER: (170213, "Order does not exist."),
    RefusalReason.MARKET_CLOSED: (170151, "This trading pair is not open yet."),
    RefusalReason.CANCEL_ONLY: (170157, "Not supported by the current trading pair."),
    RefusalReason.TOO_MANY_ORDERS: (170810, "Cannot exceed maximum of 500 orders."),
    RefusalReason.NO_LIQUIDITY: (170140, "Order value exceeded lower limit."),
    RefusalReason.NO_CHANGE: (
        10001,
        "The order remains unchanged as the parameters entered match the existing ones.",
    ),
}


def refusal(reason: RefusalReason, is_linear: bool) -> BybitError:
    """Return the venue's words for a refusal of the exchange."""
    table = LINEAR if is_linear else SPOT
    return BybitError(*table.get(reason, (10001, f"params error: {reason.value}")))


def wrong(text: str) -> BybitError:
    """Return the refusal of a parameter that is missing or makes no sense."""
    return BybitError(10001, text)
