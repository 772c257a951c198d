"""KuCoin's refusals: code, text, HTTP status. A code's meaning depends on the host that says it.

Source: KuCoin API docs, "Error codes" of spot, futures and unified trading, seen 2025-11; public futures
refusals recorded 2026-09-22. UNCONFIRMED: the HTTP status of each authentication code (sources give 400,
401 and 200).
"""

from __future__ import annotations

from typing import Any

from engine.sim.model import RefusalReason


class KucoinError(Exception):
    """A request that the venue refuses.

    Attributes:
        code: its ``code``, a text. message: its ``msg``. status: the HTTP status that carries it.
    """

    def __init__(self, code: str, message: str, status: int = 200) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status

    def view(self) -> dict[str, Any]:
        """Return the body."""
        return {"msg": self.message, "code": self.code}


def wrong(text: str) -> KucoinError:
    """Return the refusal of a parameter that is missing or makes no sense."""
    return KucoinError("400100", text)


def no_order() -> KucoinError:
    """Return what a query for an order that is not there answers."""
    return KucoinError("100001", "error.getOrder.orderNotExist")


NOT_CANCELLABLE = "order_not_exist_or_not_allow_to_cancel"
HEADERS_MISSING = (
    "Please check the header of your request for "
    "KC-API-KEY, KC-API-SIGN, KC-API-TIMESTAMP, KC-API-PASSPHRASE."
)
TOO_MANY = "Too many requests in a short period of time, please retry later"

SPOT: dict[RefusalReason, tuple[str, str]] = {
    RefusalReason.INSUFFICIENT_BALANCE: ("200004", "Balance insufficient!"),
    RefusalReason.DUPLICATE_CLIENT_ID: ("400100", "clientOid is duplicated, please use a new clientOid."),
    RefusalReason.UNKNOWN_ORDER: ("400100", NOT_CANCELLABLE),
    RefusalReason.MARKET_CLOSED: ("400600", "Symbol is not available for trading."),
    RefusalReason.CANCEL_ONLY: ("400600", "Symbol is in cancel-only state."),
    RefusalReason.TOO_MANY_ORDERS: ("200003", "Too many open orders for this symbol."),
    RefusalReason.NO_LIQUIDITY: ("400100", "There is no opponent order to match with."),
}
FUTURES: dict[RefusalReason, tuple[str, str]] = {
    RefusalReason.MARGIN: ("300003", "Balance insufficient. Please deposit first."),
    RefusalReason.INSUFFICIENT_BALANCE: ("300003", "Balance insufficient. Please deposit first."),
    RefusalReason.DUPLICATE_CLIENT_ID: ("400100", "The clientOid is duplicated."),
    RefusalReason.UNKNOWN_ORDER: ("100004", "Order cannot be canceled."),
    RefusalReason.REDUCE_ONLY: ("300009", "No open positions to close."),
    RefusalReason.MARKET_CLOSED: ("300002", "The contract is suspended from trading."),
    RefusalReason.CANCEL_ONLY: ("300002", "The contract takes cancels only."),
    RefusalReason.TOO_MANY_ORDERS: ("300001", "Too many open orders."),
    RefusalReason.NO_LIQUIDITY: ("300005", "There is no opponent order to match with."),
}


def refusal(reason: RefusalReason, is_futures: bool) -> KucoinError:
    """Return the host's words for a refusal of the exchange."""
    table = FUTURES if is_futures else SPOT
    code, text = table.get(reason, ("400100", f"Invalid request: {reason.value}."))
    return KucoinError(code, text)
