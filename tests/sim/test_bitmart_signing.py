"""BitMart's levels: KEYED reads, SIGNED bodies over the received bytes, windows, logins."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.sim.accounts import Account
from engine.sim.bitmart.gate import Gate, SocketRefusal, signature
from engine.sim.clock import ManualSimClock
from tests.sim.bitmart_rig import Rig, sign
from tests.sim.loopback_rig import Message

ORDER = {"symbol": "BTC_USDT", "side": "buy", "type": "limit", "size": "0.001", "price": "50000"}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


def test_the_published_login_and_our_own_vectors() -> None:
    """The first was published by the venue; the others follow from its rule (spaces and compact differ)."""
    venue = Account(
        "v", "k", "6c6c98544461bbe71db2bca4c6d7fd0021e0ba9efc215f9c6ad41852df9d9df9", passphrase="test001"
    )
    assert signature(venue, "1589267764859", b"bitmart.WebSocket") == (
        "3ceeb7e1b8cb165a975e28a2e2dfaca4d30b358873c0351c1a071d8c83314556"
    )
    ours = Account("o", "bm_key", "bm_secret", passphrase="bm_memo")
    bodies = {
        json.dumps(ORDER): "ccc8155e77a6503e16a83b13b09073f09da3aafee48dd7b13ef160e983bada26",
        json.dumps(ORDER, separators=(",", ":")): (
            "f657de8a1a6b39da4e24fa7792b36e0dd6f8fcf8ec48b47972505c2289104ae9"
        ),
        "": "84ef232625ba777796f43840f73a33baabc572bc07dce1e294c67dec04a64070",
    }
    for body, expected in bodies.items():
        assert signature(ours, "1700000000000", body.encode()) == expected


def test_vectors_of_the_collection(shared_fixtures: Path) -> None:
    vectors = json.loads((shared_fixtures / "bitmart" / "sign_vectors.json").read_text())
    for vector in vectors:
        body = "bitmart.WebSocket" if vector["kind"] == "ws" else vector["body"]
        secret = vector.get("secret", "bm_secret")
        account = Account("x", vector["key"], secret, passphrase=vector["memo"])
        assert signature(account, vector["timestamp"], body.encode()) == vector["sign"], vector["kind"]
    assert len(vectors) >= 4


@pytest.mark.parametrize("body", [
    json.dumps(ORDER), json.dumps(ORDER, separators=(",", ":")), json.dumps(ORDER, indent=2),
    '{"symbol":"BTC_USDT","side":"buy","type":"limit","size":1e-3,"price":50000}',
])  # fmt: skip
async def test_the_received_bytes_are_signed(rig: Rig, body: str) -> None:
    status, answer, _ = await rig.post_raw("spot", "/spot/v2/submit_order", body.encode())
    assert (status, answer["code"]) == (200, 1000)


async def test_reads_need_the_key_alone(rig: Rig) -> None:
    for product, path in (("spot", "/spot/v1/wallet"), ("perp", "/contract/private/assets-detail")):
        status, answer, _ = await rig.raw(product, "GET", path, headers={"X-BM-KEY": "aliceKey"})
        assert (status, answer["code"]) == (200, 1000)
        status, answer, _ = await rig.raw(product, "GET", path)
        assert (status, answer["code"]) == (401, 30001)
        status, answer, _ = await rig.raw(product, "GET", path, headers={"X-BM-KEY": "nobody"})
        assert (status, answer["code"], answer["message"]) == (401, 30002, "Header X-BM-KEY not found")
        wrong = {"X-BM-KEY": "aliceKey", "X-BM-SIGN": "00", "X-BM-TIMESTAMP": "1"}
        status, answer, _ = await rig.raw(product, "GET", path, headers=wrong)
        assert (status, answer["code"]) == (200, 1000), "a signature that comes along is ignored"


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"X-BM-KEY": ""}, 30001), ({"X-BM-KEY": "nobody"}, 30002), ({"X-BM-SIGN": ""}, 30004),
     ({"X-BM-SIGN": "0" * 64}, 30005), ({"X-BM-SIGN": "ä"}, 30005), ({"X-BM-TIMESTAMP": ""}, 30006),
     ({"X-BM-TIMESTAMP": "soon"}, 30008)],
)  # fmt: skip
async def test_orders_need_a_signature(rig: Rig, changed: Message, code: int) -> None:
    body, stamp = json.dumps(ORDER).encode(), str(rig.clock.now_ms())
    headers = {"X-BM-KEY": "aliceKey", "X-BM-TIMESTAMP": stamp, "X-BM-SIGN": sign("alice", stamp, body)}
    headers = {name: value for name, value in (headers | changed).items() if value}
    status, answer, _ = await rig.raw("spot", "POST", "/spot/v2/submit_order", body=body, headers=headers)
    assert (status, answer["code"]) == (401, code)
    assert rig.market().open_count.get("alice") is None


async def test_another_memo_is_another_signature(rig: Rig) -> None:
    body, stamp = json.dumps(ORDER).encode(), str(rig.clock.now_ms())
    bob = sign("bob", stamp, body)
    headers = {"X-BM-KEY": "aliceKey", "X-BM-TIMESTAMP": stamp, "X-BM-SIGN": bob}
    _, answer, _ = await rig.raw("spot", "POST", "/spot/v2/submit_order", body=body, headers=headers)
    assert answer["code"] == 30005


@pytest.mark.parametrize("shift", [-58_000, 58_000, -62_000, 62_000])
async def test_a_stamp_lives_for_a_minute(rig: Rig, shift: int) -> None:
    status, answer, _ = await rig.post_raw("spot", "/spot/v2/submit_order", ORDER, shift_ms=shift)
    expected = (200, 1000) if abs(shift) < 60_000 else (401, 30007)
    assert (status, answer["code"]) == expected


@pytest.mark.parametrize(
    ("window", "shift", "code"),
    [(None, -3_000, 1000), (None, -7_000, 30007), (30_000, -7_000, 1000), (60_000, -50_000, 1000),
     (0, 0, 30007), (60_001, 0, 30007), ("5000", 0, 30007)],
)  # fmt: skip
async def test_v4_calls_name_their_own_window(
    rig: Rig, window: int | str | None, shift: int, code: int
) -> None:
    body: Message = {} if window is None else {"recvWindow": window}
    _, answer, _ = await rig.post_raw("spot", "/spot/v4/query/open-orders", body, shift_ms=shift)
    assert answer["code"] == code


async def test_a_body_that_is_not_an_object(rig: Rig) -> None:
    for body in (b"[1]", b"{", b"\xff", b""):
        status, answer, _ = await rig.post_raw("spot", "/spot/v2/submit_order", body)
        assert (status, answer["code"]) == (503, 30018), "permanent, although the status says otherwise"


@pytest.mark.parametrize(
    ("args", "code"),
    [(None, "91001"), ([], "91001"), (["", "1", "s"], "91001"), (["nobody", "1", "s"], "91002"),
     (["k", "1", ""], "91010"), (["k", "", "s"], "91021"), (["k", "soon", "s"], "91023"),
     (["k", "1", "s"], "91022"), (["k", "1790000000000", "s"], "91011")],
)  # fmt: skip
def test_logins_are_refused(args: list[str] | None, code: str) -> None:
    gate = Gate({"k": Account("a", "k", "s", passphrase="m")}, ManualSimClock().now_ms)
    with pytest.raises(SocketRefusal) as caught:
        gate.socket(args)
    assert caught.value.code == code


def test_a_stamp_may_come_as_a_number() -> None:
    account = Account("a", "k", "s", passphrase="m")
    gate = Gate({"k": account}, ManualSimClock().now_ms)
    proof = signature(account, "1790000000000", b"bitmart.WebSocket")
    assert gate.socket(["k", 1_790_000_000_000, proof]) is account
    assert gate.socket(["k", "1790000000000", proof, "web"]) is account
