"""RFC 6455, case by case: the Autobahn suite's fuzzing server against our sessions, both listeners."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from picows import WSFrame, WSMsgType, WSTransport

from engine.model.wire import ConnectionRules, Heartbeat
from engine.telemetry.clock import SystemClock
from engine.transport import listener as listeners
from engine.transport import websocket
from engine.transport.reconnect import Backoff, ConnectionBudget
from engine.transport.websocket import SessionDown, WebSocketSession

kosoku = pytest.importorskip("kosoku", reason="the conformance extra brings the Autobahn cases")

CORE = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LIMITS = ["9.*"]
AT_ONCE = 8
"""Cases under way at a time: most of them are spent waiting for the peer to close."""
RULES = ConnectionRules(Heartbeat(silence_ms=60_000), 1000, 1024, 1000, 60, 0)
BASES: dict[str, Any] = {"used": listeners.FrameListener, "pure": listeners.PureFrameListener}


def echoing(base: Any) -> Any:
    """Return a listener class that remembers whether the message was text or binary."""

    class Echo(base):  # type: ignore[misc]
        kind = WSMsgType.TEXT

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self.kind = frame.msg_type
            super().on_ws_frame(transport, frame)

    return Echo


async def talk(url: str) -> list[bytes]:
    """Echo on one connection until it ends; return what was received."""
    ended = asyncio.Event()
    received: list[bytes] = []

    def on_message(payload: bytes, mono_ns: int, utc_ns: int) -> None:
        received.append(payload)
        listener = session._listener
        listener.transport.send(listener.kind, payload)

    def on_quarantine(payload: bytes, error: Exception) -> None:
        raise AssertionError(f"a handler failed: {error!r}")

    def on_down(event: SessionDown) -> None:
        ended.set()

    clock = SystemClock()
    session = WebSocketSession(
        name="autobahn", url=lambda: url, rules=RULES, clock=clock, budget=ConnectionBudget(1000, 60, clock),
        backoff=Backoff(60_000, 60_000, random.Random(1)), on_message=on_message, on_up=lambda _: None,
        on_down=on_down, on_quarantine=on_quarantine,
    )  # fmt: skip
    session.start()
    await asyncio.wait_for(ended.wait(), 60)
    await session.stop()
    return received


async def run(cases: list[str]) -> list[Any]:
    async with kosoku.run_fuzzingserver(cases, port=0) as server:
        base = f"ws://127.0.0.1:{server.port}"
        (count,) = await talk(f"{base}/getCaseCount")
        cases_left = iter(range(1, int(count) + 1))

        async def take_cases() -> None:
            for case in cases_left:
                await talk(f"{base}/runCase?case={case}&agent=engine")

        await asyncio.gather(*[take_cases() for _ in range(AT_ONCE)])
        await talk(f"{base}/updateReports?agent=engine")
        try:
            results = await server.get_result()
        except kosoku.FailureError as error:
            results = error.results
        assert len(results) == int(count)
        return list(results)


@pytest.mark.fault("W03", "W04", "W05", "W07", "W08", "W11")
@pytest.mark.parametrize(
    ("cases", "least"),
    [
        pytest.param(CORE, 247, id="core"),
        pytest.param(LIMITS, 54, id="limits"),
    ],
)
@pytest.mark.parametrize("base", BASES)
async def test_every_case_passes(
    base: str, cases: list[str], least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "FrameListener", echoing(BASES[base]))
    results = await run(cases)
    failed = [f"{each.case_id}: {each.behavior.value}, {each.result}" for each in results if not each.passed]
    assert not failed
    assert len(results) >= least
