"""Engines that tests share: started for a market's first test, stopped when the next market's begins."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.kit import markets


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the kit's tests of one market together, in the random order that they have."""
    places = [place for place, item in enumerate(items) if item.path.parent == markets.FOLDER]
    mine = sorted((items[place] for place in places), key=_market)
    for place, item in zip(places, mine, strict=True):
        items[place] = item


def _market(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return str(callspec.params.get("market", "")) if callspec is not None else ""


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def shared_engines() -> AsyncIterator[None]:
    """Stop the engine that is still shared when the session ends."""
    yield
    await markets.SHARED.close()
