"""BitMart's refusals: code, text, HTTP status, and which of two keys carries the text.

Source: BitMart spot and futures v2 docs, "Error Codes" and "Status Code", mirrored copy of 2025-11; gateway
errors as probed on the futures host, 2026-09-23.
"""

from __future__ import annotations

from engine.sim.model import RefusalReason


class BitMartError(Exception):
    """A request that BitMart refuses.

    Attributes:
        code, text: of the envelope. status: HTTP. is_gateway: the text stands under ``msg``.
    """

    def __init__(self, code: int, text: str, status: int = 400, is_gateway: bool = False) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
        self.status = status
        self.is_gateway = is_gateway


SPOT: dict[RefusalReason, tuple[int, str]] = {
    RefusalReason.INSUFFICIENT_BALANCE: (50020, "Balance not enough"),
    RefusalReason.DUPLICATE_CLIENT_ID: (50042, "Duplicate client order id"),
    RefusalReason.UNKNOWN_ORDER: (50032, "Order does not exist"),
    RefusalReason.MARKET_CLOSED: (50040, "This symbol is not tradable"),
    RefusalReason.CANCEL_ONLY: (50023, "This Symbol can't place order by api"),
    RefusalReason.NO_LIQUIDITY: (50034, "The transaction failed, the market depth is insufficient"),
    RefusalReason.TOO_MANY_ORDERS: (50028, "The number of open orders exceeds the limit"),
}
FUTURES: dict[RefusalReason, tuple[int, str]] = {
    RefusalReason.MARGIN: (40027, "Insufficient balance"),
    RefusalReason.UNKNOWN_ORDER: (40037, "The order id is not exist"),
    RefusalReason.REDUCE_ONLY: (40018, "Your position is closed"),
    RefusalReason.MARKET_CLOSED: (40015, "This contract's exchange has been paused"),
    RefusalReason.CANCEL_ONLY: (40014, "This contract is offline"),
    RefusalReason.TOO_MANY_ORDERS: (40026, "The number of open orders exceeds the limit"),
}


def refusal(reason: RefusalReason, is_futures: bool) -> BitMartError:
    """Return the venue's words for a refusal of the exchange."""
    fallback = (40011, "Invalid request") if is_futures else (50000, "Bad Request")
    return BitMartError(*(FUTURES if is_futures else SPOT).get(reason, fallback))


def not_found() -> BitMartError:
    """Return the gateway's refusal of a path."""
    return BitMartError(30000, "Not found", 404, is_gateway=True)


def bad_parameter(name: str) -> BitMartError:
    """Return spot's refusal of a parameter that is missing or makes no sense."""
    return BitMartError(50021, f"Invalid {name}")
