"""Private events: collected as they happen, delivered in order after the answer, spoiled by faults.

Spot sends them over the WebSocket API (`SpotUserData`), futures over ``/private`` by listen key
(`PerpUserData`).

Source: Binance spot API docs, user-data-stream; USDⓈ-M docs, user data streams.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.sim.accounts import Account
from engine.sim.binance import errors
from engine.sim.binance.desk import to_json
from engine.sim.binance.errors import ApiError
from engine.sim.binance.gate import Call, Credential
from engine.sim.binance.topics import Subscriber
from engine.sim.binance.ws_api import ApiSession
from engine.sim.faultpoints import FaultPoints, delay_s
from engine.sim.sockets import text_frame

LISTEN_KEY_MS = 3_600_000
MOST_SUBSCRIPTIONS_EVER = 65_535
_KEY_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

Send = Callable[[Account, dict[str, Any]], None]


class EventQueue:
    """Private events waiting for their turn, in order, with the faults that spoil delivery.

    Args:
        faults: the product's fault hooks.
        send: hands one event to every connection of an account.
        wake: asks for a delivery soon.
    """

    def __init__(self, faults: FaultPoints, send: Send, wake: Callable[[], None]) -> None:
        self._faults = faults
        self._send = send
        self._wake = wake
        self._waiting: list[tuple[Account, dict[str, Any]]] = []
        self._held: tuple[Account, dict[str, Any]] | None = None

    def put(self, account: Account, event: dict[str, Any]) -> None:
        """Queue an event behind the others."""
        self._waiting.append((account, event))
        self._wake()

    def put_before(self, account: Account, event: dict[str, Any], later: str) -> None:
        """Queue an event before the first waiting event of type ``later`` of the same account."""
        for index, (owner, waiting) in enumerate(self._waiting):
            if owner is account and waiting["e"] == later:
                self._waiting.insert(index, (account, event))
                break
        else:
            self._waiting.append((account, event))
        self._wake()

    def deliver(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        if not self._faults.armed and self._held is None:
            for account, event in waiting:
                self._send(account, event)
            return
        late = self._faults.take("events_after_ack") if waiting else None
        if late is not None:
            asyncio.get_running_loop().call_later(delay_s(late, 200), self._send_all, waiting)
            return
        for account, event in waiting:
            self._send_spoiled(account, event)

    def _send_all(self, waiting: list[tuple[Account, dict[str, Any]]]) -> None:
        for account, event in waiting:
            self._send(account, event)
        self._wake()

    def _send_spoiled(self, account: Account, event: dict[str, Any]) -> None:
        take = self._faults.take
        if take("drop_private") is not None:
            return
        if self._held is None and take("reorder_private") is not None:
            self._held = (account, event)
            return
        self._send(account, event)
        if take("duplicate_private") is not None:
            self._send(account, event)
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._send(*held)


class SpotUserData:
    """Subscriptions of WebSocket API connections to accounts."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._listeners: dict[str, dict[tuple[ApiSession, int], None]] = {}

    # -- operations ----------------------------------------------------------------------------------------

    def subscribe(self, call: Call) -> dict[str, Any]:
        """``userDataStream.subscribe``: the account of the logged-on session."""
        session = _session(call)
        if session.credential is None:
            raise errors.unknown_key()
        number = self._add(session, session.credential)
        session.logon_subscription = number
        return {"subscriptionId": number}

    def subscribe_signature(self, call: Call) -> dict[str, Any]:
        """``userDataStream.subscribe.signature``: the account of the signing key."""
        assert call.credential is not None
        return {"subscriptionId": self._add(_session(call), call.credential)}

    def unsubscribe_call(self, call: Call) -> dict[str, Any]:
        """``userDataStream.unsubscribe``: one subscription, or all of the connection."""
        session = _session(call)
        number = call.params.integer("subscriptionId")
        if number is None:
            for each in list(session.subscriptions):
                self.unsubscribe(session, each)
        elif number in session.subscriptions:
            self.unsubscribe(session, number)
        else:
            raise ApiError(-2036, "User Data Stream subscription not found.")
        return {}

    def subscriptions(self, call: Call) -> list[dict[str, Any]]:
        """``session.subscriptions``."""
        return [{"subscriptionId": number} for number in _session(call).subscriptions]

    # -- connections ---------------------------------------------------------------------------------------

    def _add(self, session: ApiSession, credential: Credential) -> int:
        account = credential.account
        if any(held.account is account for held in session.subscriptions.values()):
            raise ApiError(-2035, "User Data Stream subscription already active.")
        if session.subscriptions_made >= MOST_SUBSCRIPTIONS_EVER:
            raise ApiError(-2042, "Too many User Data Stream subscriptions on this connection.")
        number = session.subscriptions_made
        session.subscriptions_made += 1
        session.subscriptions[number] = credential
        self._listeners.setdefault(account.name, {})[session, number] = None
        return number

    def unsubscribe(self, session: ApiSession, number: int) -> None:
        """End one subscription with an ``eventStreamTerminated``."""
        credential = session.subscriptions.pop(number, None)
        if credential is None:
            return
        self._listeners[credential.account.name].pop((session, number), None)
        if session.logon_subscription == number:
            session.logon_subscription = None
        self._push(session, number, {"e": "eventStreamTerminated", "E": self._now_ms()})

    def forget(self, session: ApiSession) -> None:
        """Drop the subscriptions of a connection that has ended."""
        for number, credential in session.subscriptions.items():
            self._listeners[credential.account.name].pop((session, number), None)
        session.subscriptions.clear()

    def send(self, account: Account, event: dict[str, Any]) -> None:
        """Push an event to every subscription of the account."""
        listeners = self._listeners.get(account.name)
        if listeners:
            for session, number in listeners:
                self._push(session, number, event)

    def _push(self, session: ApiSession, number: int, event: dict[str, Any]) -> None:
        session.outlet.push(text_frame(to_json({"subscriptionId": number, "event": event}).encode()))


def _session(call: Call) -> ApiSession:
    assert isinstance(call.session, ApiSession)
    return call.session


@dataclass(slots=True)
class _ListenKey:
    account: Account
    expires_ms: int


class PerpUserData:
    """Listen keys and the connections that use them.

    Args:
        now_ms: the venue's clock.
        seed: for the keys' letters.
        time_scale: how many times faster than real a key ages.
    """

    def __init__(self, now_ms: Callable[[], int], seed: int, time_scale: float) -> None:
        self._now_ms = now_ms
        self._random = random.Random(seed)
        self._lifetime_ms = max(1, int(LISTEN_KEY_MS / time_scale))
        self._keys: dict[str, _ListenKey] = {}
        self._feeds: dict[str, dict[Subscriber, frozenset[str] | None]] = {}

    # -- operations ----------------------------------------------------------------------------------------

    def start(self, call: Call) -> dict[str, Any]:
        """``POST /fapi/v1/listenKey``: the account's key, made or renewed."""
        self.expire(call.now_ms)
        for name, held in self._keys.items():
            if held.account is call.account:
                held.expires_ms = call.now_ms + self._lifetime_ms
                return {"listenKey": name}
        name = "".join(self._random.choices(_KEY_ALPHABET, k=64))
        self._keys[name] = _ListenKey(call.account, call.now_ms + self._lifetime_ms)
        return {"listenKey": name}

    def ping(self, call: Call) -> dict[str, Any]:
        """``PUT /fapi/v1/listenKey``: renew."""
        name, held = self._own_key(call)
        held.expires_ms = call.now_ms + self._lifetime_ms
        return {"listenKey": name}

    def stop(self, call: Call) -> dict[str, Any]:
        """``DELETE /fapi/v1/listenKey``: end the key; its connections fall silent."""
        name, _ = self._own_key(call)
        del self._keys[name]
        self._feeds.pop(name, None)
        return {}

    def _own_key(self, call: Call) -> tuple[str, _ListenKey]:
        self.expire(call.now_ms)
        for name, held in self._keys.items():
            if held.account is call.account:
                return name, held
        raise ApiError(-1125, "This listenKey does not exist.")

    # -- connections ---------------------------------------------------------------------------------------

    def attach(self, subscriber: Subscriber, listen_key: str, events: frozenset[str] | None) -> None:
        """Send the key's events to the subscriber; an unknown key stays silent."""
        if listen_key in self._keys:
            self._feeds.setdefault(listen_key, {})[subscriber] = events

    def detach(self, subscriber: Subscriber, listen_key: str | None) -> None:
        """Stop one key's events, or all of the subscriber's when None."""
        for name, feed in self._feeds.items():
            if listen_key in (None, name):
                feed.pop(subscriber, None)

    def send(self, account: Account, event: dict[str, Any]) -> None:
        """Push an event to every connection of the account's key."""
        for name, held in self._keys.items():
            if held.account is account:
                self._push(name, event)

    def _push(self, name: str, event: dict[str, Any]) -> None:
        payload = to_json(event)
        for subscriber, wanted in self._feeds.get(name, {}).items():
            if wanted is not None and event["e"] not in wanted and event["e"] != "listenKeyExpired":
                continue
            text = f'{{"stream":"{name}","data":{payload}}}' if subscriber.combined else payload
            subscriber.outlet.push(text_frame(text.encode()))

    def expire(self, now_ms: int, all_keys: bool = False) -> None:
        """End keys past their hour (or all, by fault) with a ``listenKeyExpired``; connections stay open."""
        for name, held in list(self._keys.items()):
            if all_keys or now_ms >= held.expires_ms:
                self._push(name, {"e": "listenKeyExpired", "E": str(now_ms), "listenKey": name})
                del self._keys[name]
                self._feeds.pop(name, None)
