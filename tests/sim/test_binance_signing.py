"""The published signing vectors, and what must not verify."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.sim.binance.signing import Ed25519Key, HmacKey, json_text, split_rest, websocket_payload

SPOT_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SPOT_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PERP_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")

LTC_QUERY = b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
LTC_BODY = b"quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
LTC = LTC_QUERY + b"&" + LTC_BODY
FULL_WIDTH = (
    b"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC"
    b"&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
PERP_QUERY = b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"

REST_VECTORS = [
    (SPOT_SECRET, LTC, b"", "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
    (SPOT_SECRET, b"", LTC, "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
    (SPOT_SECRET, FULL_WIDTH, b"", "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"),
    (SPOT_SECRET, LTC_QUERY, LTC_BODY, "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"),
    (
        SPOT_SECRET,
        b"timestamp=1578963600000",
        b"",
        "d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4",
    ),
    (
        PERP_SECRET,
        b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
        b"",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    (
        PERP_SECRET,
        PERP_QUERY,
        b"quantity=1&price=9000&recvWindow=5000&timestamp= 1591702613943",
        "f9d0ae5e813ef6ccf15c2b5a434047a0181cb5a342b903b367ca6d27a66e36f2",
    ),
    (
        PERP_SECRET,
        PERP_QUERY,
        b"quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
]


@pytest.mark.parametrize(("secret", "query", "body", "signature"), REST_VECTORS)
@pytest.mark.parametrize("upper", [False, True])
def test_published_rest_vectors_verify(
    secret: str, query: bytes, body: bytes, signature: str, upper: bool
) -> None:
    sent = (signature.upper() if upper else signature).encode()
    if body:
        signed = split_rest(query, body + b"&signature=" + sent)
    else:
        signed = split_rest(query + b"&signature=" + sent, b"")
    assert signed is not None
    assert signed.payload == query + body
    assert HmacKey(secret).verify(signed.payload, signed.signature)
    assert not HmacKey(secret).verify(signed.payload + b"0", signed.signature)
    assert not HmacKey(secret + "x").verify(signed.payload, signed.signature)


def test_signature_in_the_query_covers_the_body() -> None:
    signed = split_rest(
        LTC_QUERY + b"&signature=0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77", LTC_BODY
    )
    assert signed is not None
    assert HmacKey(SPOT_SECRET).verify(signed.payload, signed.signature)


@pytest.mark.parametrize(
    ("query", "body"),
    [(LTC, b""), (b"signature=aa&timestamp=1", b""), (b"", b"signature=aa&timestamp=1"), (b"", b"")],
)
def test_a_signature_that_is_not_last_is_none(query: bytes, body: bytes) -> None:
    assert split_rest(query, body) is None


def test_a_request_of_nothing_but_a_signature() -> None:
    signed = split_rest(b"signature=%2B", b"")
    assert signed is not None
    assert (signed.payload, signed.signature) == (b"", "+")


@pytest.mark.parametrize(
    ("params", "signature"),
    [
        (
            {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": "52000.00",
             "quantity": "0.01000000", "recvWindow": 100, "timestamp": 1645423376532, "apiKey": SPOT_KEY},
            "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24",
        ),
        (
            {"symbol": "１２３４５６", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
             "price": "0.10000000",
             "quantity": "1.00000000", "recvWindow": 5000, "timestamp": 1645423376532, "apiKey": SPOT_KEY},
            "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
        ),
    ],
)  # fmt: skip
def test_published_websocket_vectors_verify(params: dict[str, object], signature: str) -> None:
    payload = websocket_payload({**params, "signature": "ignored"})
    assert HmacKey(SPOT_SECRET).verify(payload, signature)
    assert not HmacKey(SPOT_SECRET).verify(payload.replace(b"GTC", b"IOC"), signature)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (LTC, "lFDGHBVP+dB0GtSkCpB3pYr9MpXhFRYvPqjq6EaqXq23KZxPF3u+HH0AAcB+CyRfAFWkUmrZLEIF9irkiuI8BA=="),
        (
            f"apiKey={SPOT_KEY}&timestamp=1649729878532".encode(),
            "4TqFXRPXivabxv5QXhYVYS60zoeX4P/bW847Klk8v18XoVLxdKEoAPvk2fb/8N8FnH8WZ6aILMaBavBpNYCPBw==",
        ),
        (
            f"apiKey={SPOT_KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
            "&timeInForce=GTC&timestamp=1645423376532&type=LIMIT".encode(),
            "mI7TnDYAYDtBCtjjoweeD8mrshlXEYfUXpdkt7DJ/gvEMy97Hr2mKxydFFMj9ojXD/6CcOmWYY+wvHlNpqStBg==",
        ),
    ],
)
def test_ed25519_vectors_verify(payload: bytes, signature: str) -> None:
    key = Ed25519Key(PUBLIC)
    assert Ed25519PrivateKey.from_private_bytes(SEED).public_key().public_bytes_raw() == PUBLIC
    assert key.verify(payload, signature)
    assert not key.verify(payload + b" ", signature)
    assert not key.verify(payload, signature.swapcase())
    assert not key.verify(payload, signature.replace("=", ""))
    assert not key.verify(payload, "not base64 %%")


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_base64_in_a_url_may_leave_the_slash(slash: str) -> None:
    raw = "4TqFXRPXivabxv5QXhYVYS60zoeX4P/bW847Klk8v18XoVLxdKEoAPvk2fb/8N8FnH8WZ6aILMaBavBpNYCPBw=="
    payload = f"apiKey={SPOT_KEY}&timestamp=1649729878532".encode()
    escaped = raw.replace("+", "%2B").replace("=", "%3D").replace("/", slash)
    signed = split_rest(payload + b"&signature=" + escaped.encode(), b"")
    assert signed is not None
    assert signed.signature == raw
    assert Ed25519Key(PUBLIC).verify(signed.payload, signed.signature)


def test_only_ed25519_keys_may_log_on() -> None:
    assert Ed25519Key(PUBLIC).may_logon
    assert not HmacKey("x").may_logon


def test_json_scalars_keep_their_text() -> None:
    assert [json_text(value) for value in (1, "1.0", True, False, None)] == [
        "1",
        "1.0",
        "true",
        "false",
        "null",
    ]
