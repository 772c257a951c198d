"""The instrument list: every page of it, and a venue that refuses it is not asked again at once."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine import config as configuration
from engine.model.errors import NotSent, ProtocolViolation
from engine.model.instrument import Product
from engine.supervisor.venue import VenueProduct
from engine.telemetry.clock import SystemClock
from engine.telemetry.log import EventLog
from engine.transport.http import HttpResponse
from engine.transport.reconnect import ConnectionBudgets
from engine.venues.base import Endpoints
from engine.venues.bybit.adapter import BybitMarketData

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden" / "bybit"
NOWHERE = Endpoints("http://127.0.0.1:9", "ws://127.0.0.1:9")
FIRST = json.loads((GOLDEN / "http_instruments_perp.json").read_text())


class Pool:
    """Answers one request after the other."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def request(self, request: Any, timeout_s: float) -> HttpResponse:
        self.asked.append(request.target)
        status, body = self.answers.pop(0)
        return HttpResponse(status, b"HTTP/1.1 200 OK", body.encode(), 0, 0, 0)


def product(*answers: tuple[int, str]) -> tuple[VenueProduct, Pool]:
    clock = SystemClock()
    venue = VenueProduct(
        BybitMarketData(Product.PERP, NOWHERE),
        NOWHERE,
        (),
        configuration.load(ROOT / "engine.toml"),
        clock=clock,
        log=EventLog("info", "json", io.StringIO()),
        tls=None,
        generator=random.Random(7),
        first_book_id=1,
        connects=ConnectionBudgets(clock),
    )
    pool = Pool(*answers)
    venue.pool = pool  # type: ignore[assignment]
    return venue, pool


def page(symbols: list[str], cursor: str) -> tuple[int, str]:
    rows = [FIRST["result"]["list"][0] | {"symbol": each, "baseCoin": each[:-4]} for each in symbols]
    result = {"category": "linear", "list": rows, "nextPageCursor": cursor}
    return 200, json.dumps(FIRST | {"result": result})


async def test_pages_make_one_list() -> None:
    venue, pool = product(page(["AAAUSDT", "BBBUSDT"], "two"), page(["CCCUSDT"], "three"), page([], ""))
    listed = await venue._listing()
    assert [each.universal for each in listed] == ["AAA/USDT:USDT", "BBB/USDT:USDT", "CCC/USDT:USDT"]
    assert [target.partition("&cursor=")[2] for target in pool.asked] == ["", "two", "three"]


async def test_half_a_list_is_none() -> None:
    venue, _ = product(page(["AAAUSDT"], "two"), (502, "<html>"))
    with pytest.raises(ProtocolViolation, match="HTTP 502"):
        await venue._listing()


@pytest.mark.fault("H08")
async def test_a_ban_is_waited_for() -> None:
    venue, pool = product((403, "access too frequent, please wait"))
    with pytest.raises(ProtocolViolation, match="HTTP 403"):
        await venue._listing()
    with pytest.raises(NotSent, match="banned"):
        await venue._listing()
    assert len(pool.asked) == 1
    assert venue.budget.wait_ms(1) > 590_000  # ten minutes, as the venue says
