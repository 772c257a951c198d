"""OKX's refusals: code, text and HTTP status.

Source: OKX v5 docs, "Error Code", REST and WebSocket, seen 2026-08.
"""

from __future__ import annotations

from engine.sim.model import RefusalReason

STATUS = {
    400: ("50000", "50002", "50004", "50006", "50014", "50015", "50016", "50100", "51000"),
    401: ("50101", "50102", "50103", "50104", "50105", "50106", "50107", "50111", "50112", "50113"),
    405: ("50115",),
    429: ("50011", "50013"),
    500: ("50026", "51054", "51149"),
    503: ("50001",),
}
_STATUS_OF = {code: status for status, codes in STATUS.items() for code in codes}


class OkxError(Exception):
    """A request that OKX refuses.

    Attributes:
        code: the venue's code, a decimal text.
        message: its ``msg`` or ``sMsg``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """Return the HTTP status that goes with the code when it stands at the top level."""
        return _STATUS_OF.get(self.code, 200)


REFUSALS: dict[RefusalReason, tuple[str, str]] = {
    RefusalReason.INSUFFICIENT_BALANCE: ("51008", "Order failed. Insufficient balance in account"),
    RefusalReason.MARGIN: ("51008", "Order failed. Insufficient USDT margin in account"),
    RefusalReason.DUPLICATE_CLIENT_ID: ("51016", "Duplicated client order ID"),
    RefusalReason.UNKNOWN_ORDER: ("51603", "Order does not exist"),
    RefusalReason.REDUCE_ONLY: ("51169", "Order failed because you don't have any positions to reduce"),
    RefusalReason.MARKET_CLOSED: ("51022", "Contract suspended or instrument not tradable"),
    RefusalReason.CANCEL_ONLY: ("51022", "Contract suspended or instrument not tradable"),
    RefusalReason.TOO_MANY_ORDERS: ("51174", "The number of pending orders reached the upper limit"),
    RefusalReason.NO_LIQUIDITY: ("51006", "Order price is not within the price limit"),
}


def refusal(reason: RefusalReason) -> OkxError:
    """Return the venue's words for a refusal of the exchange."""
    return OkxError(*REFUSALS.get(reason, ("51000", f"Parameter error: {reason.value}")))


def empty_parameter(name: str) -> OkxError:
    """Return the refusal of a request that lacks a parameter."""
    return OkxError("50014", f"Parameter {name} can not be empty")


def wrong_parameter(name: str) -> OkxError:
    """Return the refusal of a parameter whose value makes no sense."""
    return OkxError("51000", f"Parameter {name} error")
