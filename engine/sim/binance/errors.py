"""Binance's error answers: codes, texts and HTTP statuses of both products.

Source: Binance spot API docs, errors; USDⓈ-M docs, error codes; texts as captured in 2026.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """A refusal as the venue words it.

    Attributes:
        code: the venue's negative code, or None for a plain-text failure.
        msg: the text.
        status: HTTP status (the same number is ``status`` on the WebSocket API).
        data: extra member of the body (cancel-replace, bans).
        retry_after_s: value of the ``Retry-After`` header, if any.
    """

    def __init__(
        self,
        code: int | None,
        msg: str,
        status: int = 400,
        *,
        data: dict[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.data = data
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the error."""
        body: dict[str, Any] = {"code": self.code, "msg": self.msg}
        if self.data is not None:
            body["data"] = self.data
        return body


# -- both products ---------------------------------------------------------------------------------


def missing(name: str) -> ApiError:
    """Return −1102 for a mandatory parameter that is absent or empty."""
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def either_missing(first: str, second: str) -> ApiError:
    """Return −1102 where one of two parameters must be sent."""
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def illegal_characters(name: str, legal: str) -> ApiError:
    """Return −1100 for a value outside the parameter's alphabet."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def empty(name: str) -> ApiError:
    """Return −1105 for a parameter sent without a value."""
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def not_required(name: str) -> ApiError:
    """Return −1106 for a parameter that this order must not carry."""
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def duplicate_parameter(name: str) -> ApiError:
    """Return −1101 for a parameter sent twice."""
    return ApiError(-1101, f"Duplicate values for parameter '{name}' detected.")


def unread(read: int, sent: int) -> ApiError:
    """Return −1104 (strict mode): the request carried parameters that nothing reads."""
    return ApiError(
        -1104, f"Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."
    )


def invalid_value(name: str) -> ApiError:
    """Return −1130 for a parameter value outside its range."""
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def invalid_symbol() -> ApiError:
    """Return −1121."""
    return ApiError(-1121, "Invalid symbol.")


def invalid_type() -> ApiError:
    """Return −1116."""
    return ApiError(-1116, "Invalid orderType.")


def invalid_side() -> ApiError:
    """Return −1117."""
    return ApiError(-1117, "Invalid side.")


def invalid_time_in_force() -> ApiError:
    """Return −1115."""
    return ApiError(-1115, "Invalid timeInForce.")


def invalid_interval() -> ApiError:
    """Return −1120."""
    return ApiError(-1120, "Invalid interval.")


def too_precise(name: str) -> ApiError:
    """Return −1111: more decimals than the asset has."""
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def too_precise_perp() -> ApiError:
    """Return −1111 in the futures wording."""
    return ApiError(-1111, "Precision is over the maximum defined for this asset.")


def bad_signature() -> ApiError:
    """Return −1022."""
    return ApiError(-1022, "Signature for this request is not valid.")


def bad_key_format() -> ApiError:
    """Return −2014 with 401: the key is absent or not shaped like a key."""
    return ApiError(-2014, "API-key format invalid.", 401)


def unknown_key() -> ApiError:
    """Return −2015: key, address or permission."""
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def outside_recv_window() -> ApiError:
    """Return −1021: the request is too old."""
    return ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def ahead_of_server() -> ApiError:
    """Return −1021: the request is from the future."""
    return ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")


def late_at_engine_perp() -> ApiError:
    """Return −5028: the second time check, before the futures matching engine."""
    return ApiError(-5028, "Timestamp for this request is outside of the ME recvWindow.")


def unknown_order() -> ApiError:
    """Return −2011: nothing to cancel."""
    return ApiError(-2011, "Unknown order sent.")


def no_such_order() -> ApiError:
    """Return −2013."""
    return ApiError(-2013, "Order does not exist.")


def too_much_weight(limit: int, retry_after_s: int) -> ApiError:
    """Return −1003 with 429: the minute's weight is used up."""
    text = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(-1003, text, 429, retry_after_s=retry_after_s)


def too_many_requests(limit: int, retry_after_s: int) -> ApiError:
    """Return −1003 with 429: a limit of single endpoints is used up."""
    text = f"Too many requests; current limit is {limit} requests per 5 MINUTE."
    return ApiError(-1003, text, 429, retry_after_s=retry_after_s)


def banned(until_ms: int, now_ms: int) -> ApiError:
    """Return −1003 with 418: the address is banned until ``until_ms``."""
    text = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(-1003, text, 418, retry_after_s=max(1, -(-(until_ms - now_ms) // 1000)))


def too_many_orders(limit: int, interval: str, status: int, retry_after_s: int) -> ApiError:
    """Return −1015: the order budget of a window is used up."""
    text = f"Too many new orders; current limit is {limit} orders per {interval}."
    return ApiError(-1015, text, status, retry_after_s=retry_after_s)


def timeout_unknown() -> ApiError:
    """Return −1007: nobody can say whether the request was executed."""
    text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    return ApiError(-1007, text, 408)


# -- spot ------------------------------------------------------------------------------------------


def filter_failure(name: str) -> ApiError:
    """Return −1013 naming the filter."""
    return ApiError(-1013, f"Filter failure: {name}")


def rejected(text: str) -> ApiError:
    """Return −2010: refused by the engine; only the text says why."""
    return ApiError(-2010, text)


def amend_rejected(text: str) -> ApiError:
    """Return −2038."""
    return ApiError(-2038, text)


INSUFFICIENT_BALANCE = "Account has insufficient balance for requested action."
WOULD_TAKE = "Order would immediately match and take."
DUPLICATE_ORDER = "Duplicate order sent."
MARKET_CLOSED = "Market is closed."


# -- USDⓈ-M ----------------------------------------------------------------------------------------


def internal_perp() -> ApiError:
    """Return −1001 with 503: not executed."""
    return ApiError(-1001, "Internal error; unable to process your request. Please try again.", 503)


def plain_503(text: str) -> ApiError:
    """Return a 503 with a JSON body that has a text and no code of its own."""
    return ApiError(None, text, 503)
