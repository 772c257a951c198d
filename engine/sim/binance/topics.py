"""Stream names, the routes they live on, and who listens to them.

A `Topic` encodes one event once per envelope (raw, combined), however many connections listen. A name
subscribed on a route that does not carry it is acknowledged and stays silent, as measured on the venue.

Source: Binance spot API docs, web-socket-streams; USDⓈ-M docs, "Websocket Market Streams" and the route
split of 2026.
"""

from __future__ import annotations

import re

from engine.sim.sockets import Outlet, text_frame

PUBLIC, MARKET, PRIVATE, LEGACY, SPOT = "public", "market", "private", "legacy", "spot"

_PUBLIC_CLASS = re.compile(
    r".+@(depth|depth@(0|100|250|500)ms|depth(5|10|20)|depth(5|10|20)@(100|250|500)ms|bookTicker|rpiDepth@500ms|trade)"
    r"|!bookTicker"
)


def carries(route: str, name: str) -> bool:
    """Tell whether ``route`` delivers the stream ``name`` (listen keys are no streams)."""
    if route == SPOT:
        return True
    if route == PRIVATE:
        return False
    is_public = _PUBLIC_CLASS.fullmatch(name) is not None
    return is_public if route in (PUBLIC, LEGACY) else not is_public


class Topic:
    """One stream: its name and its listeners, by envelope.

    ``silent`` topics keep their listeners and send them nothing (the silent-topic fault).
    """

    __slots__ = ("_head", "combined", "name", "raw", "silent")

    def __init__(self, name: str) -> None:
        self.name = name
        self.raw: dict[Outlet, None] = {}
        self.combined: dict[Outlet, None] = {}
        self.silent = False
        self._head = ('{"stream":"' + name + '","data":').encode()

    def __bool__(self) -> bool:
        return bool(self.raw or self.combined)

    def publish(self, payload: bytes) -> None:
        """Hand one event to every listener's current round."""
        if self.silent:
            return
        if self.raw:
            frame = text_frame(payload)
            for outlet in self.raw:
                outlet.push(frame)
        if self.combined:
            frame = text_frame(self._head + payload + b"}")
            for outlet in self.combined:
                outlet.push(frame)

    def publish_damaged(self, frame_of: bytes) -> None:
        """Hand raw frame bytes to every listener, envelope or not (the garbage fault)."""
        for outlet in (*self.raw, *self.combined):
            outlet.push(frame_of)


class Subscriber:
    """One stream connection: its route, its names in order, its envelope."""

    __slots__ = ("combined", "names", "outlet", "route")

    def __init__(self, outlet: Outlet, route: str, combined: bool) -> None:
        self.outlet = outlet
        self.route = route
        self.combined = combined
        self.names: dict[str, None] = {}


class Hub:
    """All topics of one product and the subscribers attached to them."""

    __slots__ = ("_topics", "subscribers")

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self.subscribers: dict[Subscriber, None] = {}

    def topic(self, name: str) -> Topic:
        """Return the topic ``name``, created on first use by a publisher."""
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(name)
        return topic

    def find(self, name: str) -> Topic | None:
        """Return the topic ``name`` if something publishes it."""
        return self._topics.get(name)

    def silence(self, stream: str, silent: bool) -> None:
        """Silence (or wake) every topic of one symbol, given in lowercase."""
        for name, topic in self._topics.items():
            if name.startswith(stream + "@"):
                topic.silent = silent

    def add(self, subscriber: Subscriber, name: str) -> None:
        """Subscribe; names already held, unknown or off-route change nothing that is sent."""
        if name in subscriber.names:
            return
        subscriber.names[name] = None
        self._attach(subscriber, name)

    def remove(self, subscriber: Subscriber, name: str) -> None:
        """Unsubscribe one name."""
        if name in subscriber.names:
            del subscriber.names[name]
            self._detach(subscriber, name)

    def set_combined(self, subscriber: Subscriber, combined: bool) -> None:
        """Switch the envelope of a connection."""
        if subscriber.combined == combined:
            return
        for name in subscriber.names:
            self._detach(subscriber, name)
        subscriber.combined = combined
        for name in subscriber.names:
            self._attach(subscriber, name)

    def drop(self, subscriber: Subscriber) -> None:
        """Forget a connection that has ended."""
        for name in subscriber.names:
            self._detach(subscriber, name)
        self.subscribers.pop(subscriber, None)

    def _attach(self, subscriber: Subscriber, name: str) -> None:
        topic = self._topics.get(name)
        if topic is not None and carries(subscriber.route, name):
            (topic.combined if subscriber.combined else topic.raw)[subscriber.outlet] = None

    def _detach(self, subscriber: Subscriber, name: str) -> None:
        topic = self._topics.get(name)
        if topic is not None:
            topic.raw.pop(subscriber.outlet, None)
            topic.combined.pop(subscriber.outlet, None)
