"""Accounts that must not be traded: found at the start, refused with the reason, asked for again."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import NotSent, Unanswered
from engine.model.instrument import Product
from engine.supervisor import account_check
from engine.supervisor.account_check import AccountCheck
from engine.telemetry.log import EventLog
from engine.transport.http import HttpResponse
from engine.venues.base import Credentials, Endpoints, Secret
from engine.venues.bybit.adapter import BybitTrading

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "bybit"
FIT = ("http_key_info", "http_account_info", "http_positions_flat")
HEDGED = ("http_key_info", "http_account_info", "http_positions_hedge")


class Desk:
    """A check of a perpetuals account whose venue answers as it is told."""

    def __init__(self, *answers: tuple[str, ...] | Exception) -> None:
        self.answers = list(answers)
        self.stream = io.StringIO()
        self.log = EventLog("info", "json", self.stream)
        adapter = BybitTrading(Product.PERP, Endpoints("", ""), Credentials(Secret("k"), Secret("s")), {})
        self.check = AccountCheck(adapter, self.log, self._ask, lambda: 1)

    async def _ask(self, request: Any) -> list[HttpResponse]:
        assert request.target == "/v5/user/query-api"
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        bodies = [(GOLDEN / f"{name}.json").read_bytes() for name in answer]
        return [HttpResponse(200, b"", body, 0, 0, 0) for body in bodies]

    def logged(self) -> list[str]:
        self.log.flush()  # what is under way is written first
        return [json.loads(line)["event"] for line in self.stream.getvalue().splitlines()]


async def test_a_fit_account_is_asked_once() -> None:
    desk = Desk(FIT)
    assert await desk.check.once()
    assert (desk.check.problem, desk.logged()) == ("", [])


async def test_one_part_that_is_wrong_is_enough() -> None:
    desk = Desk(HEDGED)
    assert not await desk.check.once()
    assert "one-way" in desk.check.problem
    assert desk.logged() == ["account.unfit"]


@pytest.mark.parametrize(
    "answer", [NotSent("no connection"), Unanswered("gone"), ("http_key_info", "http_place_refused")]
)
async def test_no_answer_says_nothing_of_the_account(answer: Any) -> None:
    desk = Desk(HEDGED, answer)
    await desk.check.once()
    assert not await desk.check.once()
    assert "one-way" in desk.check.problem  # what was known stays


async def test_it_is_asked_until_the_account_is_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_check, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(account_check, "RETRY_MAX_S", 0.002)
    desk = Desk(Unanswered("gone"), HEDGED, HEDGED, FIT)
    await asyncio.wait_for(desk.check.watch(), 5)
    assert (desk.check.problem, desk.answers) == ("", [])
    assert desk.logged() == ["account.unfit"], "told once, not at every repetition"
