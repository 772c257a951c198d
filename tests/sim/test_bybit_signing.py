"""Who Bybit lets in: signatures over the exact bytes, the lopsided time window, HTTP statuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from engine.sim.accounts import Account
from engine.sim.bybit.errors import BybitError
from engine.sim.bybit.gate import Gate, signature
from tests.sim.bybit_rig import Rig, sign

QUERY = "category=linear&symbol=BTCUSDT"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig() as running:
        yield running


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '1795442552335k5000{"symbol":"BTCUSDT","orderId":"1","category":"linear"}',
            "37eb15db7e921483a4703cf46dd7a23ffc181b9b7a869a1a123504cdc581e6f9",
        ),
        (
            "1795442552337k5000symbol=BTCUSDT&category=linear",
            "26063ee0b7fea83562d0ed689d023983e267a9874a1d4aedb80c827600b6acbe",
        ),
        ("GET/realtime1795442570649", "0b00d24f28ca2af201028ddf932e38f867c1d8e45551eeed8756eb0b0b2433c7"),
    ],
)
def test_vectors_made_by_other_clients(text: str, expected: str) -> None:
    assert signature("s", text) == expected


@pytest.mark.parametrize(
    "query",
    [QUERY, "symbol=BTCUSDT&category=linear", f"{QUERY}&cursor=a%3Ab%2Cc", f"{QUERY}&"],
)
async def test_a_query_is_signed_as_it_was_sent(rig: Rig, query: str) -> None:
    wrong = {"retCode": 10001} if "cursor" in query else {"retCode": 0}
    status, answer, _ = await rig.raw("GET", "/v5/order/realtime", query)
    assert (status, answer["retCode"]) == (200, wrong["retCode"])


async def test_a_body_is_signed_as_it_was_sent(rig: Rig) -> None:
    body = {"category": "linear", "symbol": "BTCUSDT", "orderId": "1"}
    for text in (json.dumps(body), json.dumps(body, separators=(",", ":")), json.dumps(body, indent=3)):
        _, answer, _ = await rig.raw("POST", "/v5/order/cancel", body=text)
        assert answer["retCode"] == 110001, text


async def test_a_wrong_signature_is_answered_with_what_was_signed(rig: Rig) -> None:
    stamp = str(rig.clock.now_ms())
    _, answer, _ = await rig.raw(
        "GET", "/v5/order/realtime", QUERY, headers={"X-BAPI-SIGN": "0" * 64, "X-BAPI-TIMESTAMP": stamp}
    )
    assert answer["retCode"] == 10004
    assert answer["retMsg"] == f"error sign! origin_string[{stamp}aliceKey5000{QUERY}]"
    assert answer["result"] == {}
    good = sign("alice", f"{stamp}aliceKey5000{QUERY}")
    for bad in (good.upper(), good[:-1], good + "0", "\u00e4" * 64):
        _, answer, _ = await rig.raw(
            "GET", "/v5/order/realtime", QUERY, headers={"X-BAPI-SIGN": bad, "X-BAPI-TIMESTAMP": stamp}
        )
        assert answer["retCode"] == 10004


@pytest.mark.parametrize(
    ("shift_ms", "code"),
    [(-4500, 0), (-5600, 10002), (500, 0), (1600, 10002)],
)
async def test_one_second_ahead_is_fatal(rig: Rig, shift_ms: int, code: int) -> None:
    _, answer, _ = await rig.raw("GET", "/v5/order/realtime", QUERY, shift_ms=shift_ms)
    assert answer["retCode"] == code
    if code:
        assert "recv_window[5000]" in answer["retMsg"]


async def test_the_window_is_the_clients(rig: Rig) -> None:
    stamp = str(rig.clock.now_ms() - 8_000)
    for window, code in (("10000", 0), ("6000", 10002), ("x", 10001)):
        headers = {
            "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": window,
            "X-BAPI-SIGN": sign("alice", f"{stamp}aliceKey{window}{QUERY}"),
        }  # fmt: skip
        _, answer, _ = await rig.raw("GET", "/v5/order/realtime", QUERY, headers=headers)
        assert answer["retCode"] == code, window


def gate(now_ms: int) -> Gate:
    return Gate({"k": Account("a", "k", "s")}, lambda: now_ms)


@pytest.mark.parametrize(
    ("stamp", "is_good"),
    [(95_000, True), (94_999, False), (100_999, True), (101_000, False), (100_000, True)],
)
def test_the_edges_of_the_window(stamp: int, is_good: bool) -> None:
    text = f"{stamp}k"
    headers = {
        "X-BAPI-API-KEY": "k", "X-BAPI-TIMESTAMP": str(stamp), "X-BAPI-SIGN": signature("s", text + "q=1"),
    }  # fmt: skip
    if is_good:
        assert gate(100_000).rest(headers, "q=1").name == "a"
    else:
        with pytest.raises(BybitError) as caught:
            gate(100_000).rest(headers, "q=1")
        assert caught.value.code == 10002


async def test_missing_and_unknown_keys_are_401(rig: Rig) -> None:
    status, answer, _ = await rig.raw("GET", "/v5/order/realtime", QUERY, name=None)
    assert (status, answer["retCode"]) == (401, 10001)
    status, answer, _ = await rig.raw(
        "GET", "/v5/order/realtime", QUERY, headers={"X-BAPI-API-KEY": "nobody"}
    )
    assert (status, answer["retCode"]) == (401, 10003)
    for name in ("X-BAPI-SIGN", "X-BAPI-TIMESTAMP"):
        status, answer, _ = await rig.raw("GET", "/v5/order/realtime", QUERY, headers={name: ""})
        assert (status, answer["retCode"]) == (401, 10001)
    long = "1" * 5_000
    status, answer, _ = await rig.raw("GET", "/v5/order/realtime", QUERY, headers={"X-BAPI-TIMESTAMP": long})
    assert (status, answer["retCode"]) == (200, 10001)


async def test_what_is_no_request_has_its_status(rig: Rig) -> None:
    for method, path, body, status in (
        ("GET", "/v5/nope", "", 404), ("GET", "/v6/market/time", "", 404),
        ("POST", "/v5/market/time", "", 404),
        ("GET", "/v5/order/create", "", 404), ("DELETE", "/v5/order/cancel", "", 400),
        ("GET", "/v5/market/time", "{}", 403),
    ):  # fmt: skip
        assert (await rig.raw(method, path, body=body))[0] == status, path


@pytest.mark.parametrize("body", ["", "{", "[]", "[" * 100_000, '"x"', "\udcff{"])
async def test_bodies_that_are_no_object(rig: Rig, body: str) -> None:
    status, answer, _ = await rig.raw("POST", "/v5/order/create", body=body)
    assert (status, answer["retCode"]) == (200, 10001)


async def test_answers_are_compact_json_with_the_envelope(rig: Rig) -> None:
    for name in ("alice", None):
        query = QUERY if name else "category=linear"
        path = "/v5/order/realtime" if name else "/v5/market/tickers"
        async with rig.http.get(
            f"{rig.urls['spot']['rest']}{path}?{query}", headers=rig.signed(name, query) if name else {}
        ) as answer:
            text = await answer.text()
            message = json.loads(text)
            assert text == json.dumps(message, separators=(",", ":"))
            assert list(message) == ["retCode", "retMsg", "result", "retExtInfo", "time"]
            assert answer.headers["Timenow"].isdecimal()
            assert ("X-Bapi-Limit" in answer.headers) == (name is not None)


async def test_a_cursor_may_be_encoded_once_more(rig: Rig) -> None:
    for _ in range(3):
        await rig.place()
    first = (await rig.raw("GET", "/v5/order/realtime", QUERY + "&limit=2"))[1]["result"]
    cursor = first["nextPageCursor"]
    assert "%3A" in cursor
    for sent in (cursor, quote(cursor, safe="")):
        rest = (await rig.raw("GET", "/v5/order/realtime", f"{QUERY}&limit=2&cursor={sent}"))[1]["result"]
        assert len(rest["list"]) == 1
        assert rest["nextPageCursor"] == ""
