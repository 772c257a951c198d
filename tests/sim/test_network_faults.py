"""The market-data link through a byte proxy: what the network does to it, and what readers then see."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from engine.session.market_session import MarketSession
from engine.supervisor import wiring
from engine.supervisor.venue import VenueProduct
from engine.transport.websocket import WebSocketSession
from engine.venues.base import Endpoints
from tests.sim.byte_proxy import ByteProxy, byte_proxy
from tests.sim.engine_rig import SPOT, Rig, rig, until
from tests.sim.test_drills import assert_equal_to_the_exchange

pytestmark = pytest.mark.timeout(120)

each_way = pytest.mark.parametrize("venue_name", ["binance", "okx"], ids=["REST snapshots", "in-band"])


class Link:
    """An engine whose market data comes through a proxy."""

    def __init__(self, bench: Rig, proxy: ByteProxy) -> None:
        self.bench = bench
        self.proxy = proxy

    @property
    def venue(self) -> VenueProduct:
        return self.bench.venue(SPOT)

    @property
    def is_live(self) -> bool:
        return self.venue.books[SPOT].is_live

    @property
    def session(self) -> MarketSession:
        return next(session for session in self.venue.sessions if session.syncs)

    @property
    def socket(self) -> WebSocketSession:
        return self.session.links[0].session

    async def recovers(self) -> None:
        """Wait for the book to be LIVE, then hold it to the exchange's."""
        await until(lambda: self.is_live, 40, self.venue.health())
        await assert_equal_to_the_exchange(self.bench)

    def latency_max_ns(self) -> int:
        view = self.venue.feed_latency.view()
        return int(view["max"]) if view else 0


@contextlib.asynccontextmanager
async def linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue_name: str = "binance", **options: Any
) -> AsyncIterator[Link]:
    async with byte_proxy() as proxy:
        direct = wiring.endpoints_for

        def through(*arguments: Any) -> Endpoints:
            endpoints = direct(*arguments)
            parts = urlsplit(endpoints.ws_public)
            assert parts.hostname is not None
            assert parts.port is not None
            proxy.upstream = parts.hostname, parts.port
            url = parts._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()
            return msgspec.structs.replace(endpoints, ws_public=url)

        monkeypatch.setattr(wiring, "endpoints_for", through)
        async with rig(tmp_path, (SPOT,), venue_name=venue_name, **options) as bench:
            assert proxy.pipes, "the proxy is on the way"
            yield Link(bench, proxy)


@pytest.mark.fault("N01", "N02")
@pytest.mark.parametrize("how", ["reset", "finish"])
@each_way
async def test_a_cut_link_is_stale_in_the_same_tick_and_made_again_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue_name: str, how: str
) -> None:
    async with linked(tmp_path, monkeypatch, venue_name) as link:
        loop = asyncio.get_running_loop()
        socket = link.socket
        # The exchange counts connections by the second, and those past the proxy as well: the engine cannot.
        clock = link.bench.engine.clock
        await until(lambda: clock.mono_ns() - link.session.links[0].opened_ns > 1_200_000_000)
        for pipe in list(link.proxy.pipes):
            getattr(pipe, how)()
        async with asyncio.timeout(10):
            while socket.is_open:
                await asyncio.sleep(0)
        assert not link.is_live, "a reader saw a LIVE book without a connection"
        assert "connection lost" in link.venue.books[SPOT].reason
        since = loop.time()
        await until(lambda: socket.is_open)
        assert loop.time() - since < 2
        assert link.bench.logged("session.lost")
        await link.recovers()


@pytest.mark.fault("N03", "P25")
async def test_a_link_that_is_gone_without_a_word_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path, monkeypatch) as link:
        link.session._stale_after_ns = 800_000_000
        reconnects = link.venue.health()["reconnects"]
        for pipe in link.proxy.pipes:
            pipe.is_frozen = True
        await until(lambda: not link.is_live, 3)
        assert "silent" in link.venue.books[SPOT].reason
        await until(lambda: link.venue.health()["reconnects"] > reconnects, 12)
        await link.recovers()


@pytest.mark.fault("N08")
async def test_bytes_that_trickle_do_not_pass_for_a_living_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path, monkeypatch) as link:
        link.session._stale_after_ns = 800_000_000
        link.proxy.slice_bytes, link.proxy.pause_s = 1, 0.05
        await until(lambda: not link.is_live, 15, link.venue.health())
        link.proxy.calm()
        await link.recovers()


@pytest.mark.fault("N09", "P23", "W02")
@each_way
async def test_a_stall_below_the_limit_costs_nothing_but_age_which_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue_name: str
) -> None:
    """Three seconds of frames in one burst: a hundred times the usual rate, and all of them applied."""
    async with linked(tmp_path, monkeypatch, venue_name) as link:
        await until(lambda: link.latency_max_ns() > 0, what="a latency")
        before = link.venue.health()
        loop = asyncio.get_running_loop()
        updates, since = link.venue.books[SPOT].updates, loop.time()
        link.proxy.is_held = True
        await until(lambda: (link.venue.quote_rows()[0]["age_ms"] or 0) > 2_500, what="the age that is shown")
        held_s = loop.time() - since
        assert link.venue.books[SPOT].updates - updates < 20
        link.proxy.is_held = False
        await until(lambda: link.venue.books[SPOT].updates - updates > 20 * held_s, 5, "the burst")
        await link.recovers()
        after = link.venue.health()
        for word in ("gaps", "rejected", "reconnects", "quarantined"):
            assert after[word] == before[word], word
        assert after["clock"]["steps"] == 0, "a late feed is no clock that was set"


@pytest.mark.fault("N09")
async def test_a_stall_beyond_the_limit_is_stale_until_the_backlog_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path, monkeypatch) as link:
        link.session._stale_after_ns = 800_000_000
        link.proxy.is_held = True
        await until(lambda: not link.is_live, 3)
        link.proxy.is_held = False
        await link.recovers()


@pytest.mark.fault("N12")
async def test_a_link_slower_than_the_feed_shows_its_lag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path, monkeypatch) as link:
        before = link.venue.health()
        link.proxy.bytes_per_s = 6_000
        await until(lambda: link.latency_max_ns() > 1_000_000_000, 30, link.venue.health())
        clock = link.venue.health()["clock"]
        assert clock["steps"] == 0
        link.proxy.calm()
        await link.recovers()
        assert link.venue.health()["gaps"] == before["gaps"]


@pytest.mark.fault("N13")
@each_way
async def test_a_round_trip_that_grows_costs_nothing_but_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue_name: str
) -> None:
    async with linked(tmp_path, monkeypatch, venue_name) as link:
        before = link.venue.health()
        link.proxy.delay_s = 0.3
        await until(lambda: link.latency_max_ns() > 250_000_000, what=link.venue.health())
        view = link.venue.feed_latency.view()
        assert view is not None
        assert view["error_ns"] < 200_000_000
        await assert_equal_to_the_exchange(link.bench)
        after = link.venue.health()
        for word in ("gaps", "resyncs", "rejected", "reconnects"):
            assert after[word] == before[word], word


@pytest.mark.fault("N20")
async def test_a_changed_byte_under_tls_ends_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked(tmp_path, monkeypatch, tls=True) as link:
        reconnects = link.venue.health()["reconnects"]
        link.proxy.corrupts = True
        await until(lambda: link.venue.health()["reconnects"] > reconnects)
        await link.recovers()
        assert link.venue.health()["quarantined"] == 0, "nothing of the record was taken for data"


@pytest.mark.fault("W01")
@each_way
async def test_frames_byte_by_byte_are_the_same_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, venue_name: str
) -> None:
    async with linked(tmp_path, monkeypatch, venue_name, rate=20) as link:
        before = link.venue.health()
        link.proxy.slice_bytes = 1
        updates = link.venue.books[SPOT].updates
        await until(lambda: link.venue.books[SPOT].updates - updates > 20, 30)
        link.proxy.calm()
        await link.recovers()
        after = link.venue.health()
        for word in ("gaps", "rejected", "reconnects", "quarantined"):
            assert after[word] == before[word], word
