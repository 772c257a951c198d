"""Asks a question and, where its answer is only a part (``Continued``), everything that follows it."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.errors import Unanswered
from engine.model.wire import HttpRequest
from engine.transport.http import HttpPool, HttpResponse
from engine.transport.request_budget import RequestBudget
from engine.venues.base import Continued

PARTS_MAX = 100
"""More parts than this are no list that a venue means to be read."""


async def ask_parts(
    request: HttpRequest,
    adapter: object,
    pool: HttpPool,
    budget: RequestBudget,
    stamp_ms: Callable[[], int],
    timeout_s: float,
) -> list[HttpResponse]:
    """Return the answer's parts in their order: one, unless the adapter says that more must be asked.

    Args:
        adapter: asked for continuations where it is ``Continued``.
        stamp_ms: returns the venue's time for signatures.

    Raises:
        NotSent, Unanswered: a part could not be had; half a list is none.
    """
    parts: list[HttpResponse] = []
    following: HttpRequest | None = request
    while following is not None:
        if len(parts) == PARTS_MAX:
            raise Unanswered(f"{request.label}: more than {PARTS_MAX} parts", "endless")
        budget.take(following)
        response = await pool.request(following, timeout_s)
        budget.learn(response.headers, following)
        parts.append(response)
        if not isinstance(adapter, Continued):
            break
        following = adapter.continuation(following, response.status, response.body, stamp_ms())
    return parts
