"""What another client is about to send, caught before it is sent; and what our own requests say."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import time_machine

from engine.model.instrument import Instrument
from engine.model.market import Side
from engine.model.orders import NewOrder, OrderType
from engine.venues.base import HttpRequest

Request = tuple[str, str, str, dict[str, str]]
"""Method, target, body, headers."""


class Sent(Exception):
    """Carries what a client was about to send out of its call."""

    def __init__(self, *what: Any) -> None:
        super().__init__("caught before it was sent")
        self.what = what


def caught(now: datetime.datetime, call: Callable[[], Awaitable[Any]]) -> tuple[Any, ...]:
    """Return what a call raised `Sent` with, made at this very moment."""

    async def run() -> tuple[Any, ...]:
        try:
            await call()
        except Sent as sent:
            return sent.what
        raise AssertionError("the client sent nothing")

    with time_machine.travel(now, tick=False):
        return asyncio.run(run())


def caught_request(
    now: datetime.datetime,
    ccxt: Any,
    method: str,
    *arguments: Any,
    first: Callable[[str], Any] = lambda url: None,
) -> Request:
    """Return the request that a method of ccxt would send; ``first`` answers what it asks for before."""

    async def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        answer = first(url)
        if answer is None:
            raise Sent(method, url, headers, body)
        return answer

    ccxt.fetch = fetch
    verb, url, headers, body = caught(now, lambda: getattr(ccxt, method)(*arguments))
    return verb, target_of(url), body or "", headers


def target_of(url: str) -> str:
    """Return path and query of an address as a request line has them."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def headers_of(ours: HttpRequest) -> dict[str, str]:
    """Return the headers of our request, that of the body's type included."""
    sent = dict(line.split(": ", 1) for line in ours.headers.decode().splitlines())
    if ours.body:
        sent["Content-Type"] = ours.content_type
    return sent


def order_on(venue: str, instrument: Instrument, **changes: Any) -> NewOrder:
    """Return a limit order for 125 lots, unless ``changes`` say otherwise."""
    values: dict[str, Any] = {
        "venue": venue,
        "universal": instrument.universal,
        "client_order_id": "te11",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "qty": instrument.lot_size * 125,
        "price": instrument.tick_size * 500_000,
    }
    return NewOrder(**(values | changes))
