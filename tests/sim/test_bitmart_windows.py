"""The window of a delta stream against the plain truth: whatever changes, a client has the best levels."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sim.bitmart.books import Window
from engine.sim.market import Market
from tests.sim.bitmart_rig import SPECS

DEPTH = 4
changes = st.lists(
    st.lists(st.tuples(st.booleans(), st.integers(1, 14), st.integers(0, 3)), max_size=8), max_size=25
)
"""Steps; each is a list of (bid, distance from the middle, new quantity)."""


def kept(levels: dict[int, int], is_bid: bool) -> dict[int, int]:
    """Return a client's best levels, the rest cut off."""
    return dict(sorted(levels.items(), reverse=is_bid)[:DEPTH])


@settings(deadline=None, max_examples=300)
@given(changes, st.booleans())
def test_a_client_has_the_best_levels(
    steps: list[list[tuple[bool, int, int]]], announces_exits: bool
) -> None:
    market = Market(SPECS[0], itertools.count(1))
    sides = {True: market.bids, False: market.asks}
    windows = {is_bid: Window(side, DEPTH, announces_exits) for is_bid, side in sides.items()}
    clients: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for window in windows.values():
        window.begin()
    for step in steps:
        for is_bid, distance, lots in step:
            market.set_background(sides[is_bid], 100 - distance if is_bid else 100 + distance, lots)
        batch = market.close_batch()
        if batch is not None:
            windows[True].changed.update(batch.bids)
            windows[False].changed.update(batch.asks)
        for is_bid, window in windows.items():
            client, rows = clients[is_bid], window.advance()
            assert len({price for price, _ in rows}) == len(rows), "a level is told once"
            for price, lots in rows:
                assert client.get(price, 0) != lots, "nothing is told that the client knows"
                client[price] = lots
                if not lots:
                    del client[price]
            truth = dict(itertools.islice(sides[is_bid].best_first(), DEPTH))
            if announces_exits:
                assert client == truth
            else:
                assert kept(client, is_bid) == truth
                clients[is_bid] = kept(client, is_bid)
            assert dict(window.rows()) == truth
