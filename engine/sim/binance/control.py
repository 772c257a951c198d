"""Control messages of stream connections: subscriptions and the ``combined`` property.

Any stream name is acknowledged, known or not; the answer is never wrapped, also not on a combined
connection. Errors come in an ``error`` envelope with the request's id, where one could be read.

Source: Binance spot API docs, web-socket-streams "Live Subscribing/Unsubscribing to streams".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from engine.sim.binance.topics import Hub, Subscriber

_STRING_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")

OnName = Callable[[Subscriber, str, bool], None]
"""Told about every (un)subscribed name after the hub: (subscriber, name, subscribed)."""


class ControlError(Exception):
    """A control message the venue refuses, with its small code."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


def answer(hub: Hub, subscriber: Subscriber, text: str | bytes, max_streams: int, on_name: OnName) -> bytes:
    """Carry out one control message and return the JSON answer."""
    request_id: Any = None
    has_id = False
    try:
        request = _parse(text)
        has_id = "id" in request
        request_id = request.get("id")
        if not _id_is_legal(request_id):
            has_id = False
            raise ControlError(2, "Invalid request: request ID must be an unsigned integer")
        result = _execute(hub, subscriber, request, max_streams, on_name)
    except ControlError as refused:
        body: dict[str, Any] = {"error": {"code": refused.code, "msg": refused.msg}}
        if has_id:
            body["id"] = request_id
        return _dump(body)
    return _dump({"result": result, "id": request_id})


def _parse(text: str | bytes) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError) as error:
        line, column = (error.lineno, error.colno) if isinstance(error, json.JSONDecodeError) else (1, 1)
        raise ControlError(3, f"Invalid JSON: expected value at line {line} column {column}") from None
    if not isinstance(request, dict):
        raise ControlError(2, "Invalid request: expected an object at line 1 column 1")
    return request


def _id_is_legal(request_id: Any) -> bool:
    if request_id is None:
        return True
    if isinstance(request_id, bool):
        return False
    if isinstance(request_id, int):
        return -(2**63) <= request_id < 2**63
    return isinstance(request_id, str) and _STRING_ID.fullmatch(request_id) is not None


def _execute(
    hub: Hub, subscriber: Subscriber, request: dict[str, Any], max_streams: int, on_name: OnName
) -> Any:
    method = request.get("method")
    if method is None:
        column = len(_dump(request))
        raise ControlError(2, f"Invalid request: missing field `method` at line 1 column {column}")
    if method not in _METHODS:
        expected = ", ".join(f"`{name}`" for name in _METHODS)
        raise ControlError(2, f"Invalid request: unknown variant `{method}`, expected one of {expected}")
    params = request.get("params")
    if method == "LIST_SUBSCRIPTIONS":
        return list(subscriber.names)
    if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
        names = _names(params)
        _change(hub, subscriber, names, method == "SUBSCRIBE", max_streams, on_name)
        return None
    return _property(hub, subscriber, method, params)


def _names(params: Any) -> list[str]:
    if params is None:
        raise ControlError(2, "Invalid request: missing field `params` at line 1 column 1")
    if not isinstance(params, list) or not all(isinstance(name, str) and name for name in params):
        raise ControlError(2, "Invalid request: params must be an array of stream names")
    return params


def _change(
    hub: Hub, subscriber: Subscriber, names: list[str], subscribed: bool, max_streams: int, on_name: OnName
) -> None:
    if subscribed and len(subscriber.names.keys() | set(names)) > max_streams:
        raise ControlError(2, "Invalid request: too many parameters")
    for name in names:
        if subscribed:
            hub.add(subscriber, name)
        else:
            hub.remove(subscriber, name)
        on_name(subscriber, name, subscribed)


def _property(hub: Hub, subscriber: Subscriber, method: str, params: Any) -> Any:
    if not isinstance(params, list) or not params:
        raise ControlError(2, "Invalid request: property name must be a string")
    if len(params) > (2 if method == "SET_PROPERTY" else 1):
        raise ControlError(2, "Invalid request: too many parameters")
    if not isinstance(params[0], str):
        raise ControlError(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise ControlError(0, "Unknown property")
    if method == "GET_PROPERTY":
        return subscriber.combined
    if len(params) != 2 or not isinstance(params[1], bool):
        raise ControlError(1, "Invalid value type: expected Boolean")
    hub.set_combined(subscriber, params[1])
    return None


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
