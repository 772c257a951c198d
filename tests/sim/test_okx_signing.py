"""OKX's signatures, stamps, keys and environments, over REST and at WebSocket logins."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.sim.okx.signing import is_signed
from tests.sim.okx_rig import SWAP, Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


# Vectors of the protocol page, made by an unmodified client with the secret "s".
VECTORS = [
    ("2026-11-23T13:58:41.924ZGET/api/v5/account/balance", "oVcsAllaZRrQfqvKcOMpwvoZsags8LHArnvbtUgU+m8="),
    (
        '2026-11-23T13:58:41.929ZPOST/api/v5/trade/cancel-order{"instId":"BTC-USDT-SWAP","ordId":"1"}',
        "jW43gjSvUW8p4BJ5+KDFqueOdgkFwLLj0QeinOf/rYc=",
    ),
    ("1795442323GET/users/self/verify", "uVgvpqdtXmTOuIWPO2S60FriPmbM3OocRTpKVvIrb+c="),
]


@pytest.mark.parametrize(("text", "signature"), VECTORS)
def test_signatures_of_others_are_recognised(text: str, signature: str) -> None:
    assert is_signed("s", text, signature)
    assert not is_signed("S", text, signature)
    assert not is_signed("s", text + " ", signature)
    assert not is_signed("s", text, signature[:-2])
    assert not is_signed("s", text, "not base64")


async def test_a_signed_question_is_answered(rig: Rig) -> None:
    status, body, _ = await rig.raw("GET", "/account/balance", "ccy=BTC,USDT")
    assert (status, body["code"]) == (200, "0")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"OK-ACCESS-KEY": ""}, 401, "50103"), ({"OK-ACCESS-PASSPHRASE": ""}, 401, "50104"),
        ({"OK-ACCESS-SIGN": ""}, 401, "50106"), ({"OK-ACCESS-TIMESTAMP": ""}, 401, "50107"),
        ({"OK-ACCESS-KEY": "nobody"}, 200, "50119"), ({"OK-ACCESS-PASSPHRASE": "wrong"}, 401, "50105"),
        ({"OK-ACCESS-SIGN": "AAAA"}, 401, "50113"), ({"OK-ACCESS-TIMESTAMP": "1795442323"}, 401, "50112"),
        ({"OK-ACCESS-TIMESTAMP": "2026-11-23T13:58:41Z"}, 401, "50112"),
        ({"OK-ACCESS-TIMESTAMP": "2026-11-23T13:58:41.924+00:00"}, 401, "50112"),
        ({"x-simulated-trading": "1"}, 401, "50101"),
    ],
)  # fmt: skip
async def test_header_faults(rig: Rig, headers: dict[str, str], status: int, code: str) -> None:
    got, body, _ = await rig.raw("GET", "/account/balance", headers=headers)
    assert (got, body["code"], body["data"]) == (status, code, [])


async def test_a_demo_key_needs_the_demo_header(rig: Rig) -> None:
    status, body, _ = await rig.raw("GET", "/account/balance", name="demi")
    assert (status, body["code"]) == (401, "50101")
    _, body, _ = await rig.raw("GET", "/account/balance", name="demi", headers={"x-simulated-trading": "1"})
    assert body["code"] == "0"
    _, body, _ = await rig.raw("GET", "/account/balance", headers={"x-simulated-trading": "0"})
    assert body["code"] == "0"


@pytest.mark.parametrize(
    ("shift_ms", "code"), [(-29_000, "0"), (29_000, "0"), (-31_000, "50102"), (31_000, "50102")]
)
async def test_stamps_may_be_half_a_minute_off(rig: Rig, shift_ms: int, code: str) -> None:
    assert (await rig.raw("GET", "/account/config", shift_ms=shift_ms))[1]["code"] == code


async def test_the_body_is_signed_as_sent(rig: Rig) -> None:
    body = json.dumps(rig.item(), separators=(" , ", " : "))
    status, answer, _ = await rig.raw("POST", "/trade/order", body=body)
    assert (status, answer["code"]) == (200, "0")
    compact = json.dumps(rig.item(), separators=(",", ":"))
    signed_otherwise = {"OK-ACCESS-SIGN": "f" * 43 + "="}
    assert (await rig.raw("POST", "/trade/order", body=compact, headers=signed_otherwise))[1][
        "code"
    ] == "50113"
    assert len(rig.exchange.orders) == 1


async def test_a_key_is_no_use_for_the_orders_of_another(rig: Rig) -> None:
    placed = await rig.place()
    row = (await rig.post("/trade/cancel-order", {"instId": SWAP, "ordId": placed["ordId"]}, "bob"))["data"][
        0
    ]
    assert row["sCode"] == "51400"
    assert (await rig.get("/trade/order", "bob", instId=SWAP, ordId=placed["ordId"]))["code"] == "51603"


@pytest.mark.parametrize("as_number", [False, True])
async def test_login_takes_its_stamp_as_text_and_as_number(rig: Rig, as_number: bool) -> None:
    socket = await rig.socket("private")
    stamp: dict[str, Any] = {"timestamp": rig.clock.now_ms() // 1000} if as_number else {}
    answer = await socket.login(**stamp)
    assert (answer["event"], answer["code"], answer["msg"]) == ("login", "0", "")
    assert len(answer["connId"]) == 8


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"apiKey": "nobody"}, "60032"), ({"apiKey": ""}, "60005"), ({"passphrase": "wrong"}, "60024"),
        ({"passphrase": ""}, "60024"), ({"sign": "AAAA"}, "60007"), ({"sign": None}, "60007"),
        ({"timestamp": "now"}, "60004"), ({"shift_s": -40}, "60006"), ({"shift_s": 40}, "60006"),
    ],
)  # fmt: skip
async def test_a_failed_login_ends_the_connection(rig: Rig, changed: dict[str, Any], code: str) -> None:
    socket = await rig.socket("private")
    answer = await socket.login(**changed)
    assert (answer["event"], answer["code"]) == ("error", code)
    assert await socket.closed() == 4001


async def test_one_login_for_each_connection(rig: Rig) -> None:
    socket = await rig.private()
    assert (await socket.login("bob"))["code"] == "60031"
    assert (await socket.ask("subscribe", {"channel": "account"}))["event"] == "subscribe"


async def test_secrets_stay_out_of_texts(rig: Rig) -> None:
    account = rig.account()
    assert account.secret not in repr(account)
    assert account.passphrase not in repr(account)
    _, body, _ = await rig.raw("GET", "/account/balance", headers={"OK-ACCESS-PASSPHRASE": "wrong"})
    assert not any(secret in json.dumps(body) for secret in (account.secret, account.passphrase, "wrong"))
