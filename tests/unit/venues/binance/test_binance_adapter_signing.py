"""Signatures: the published HMAC vectors, Ed25519 over the same payloads, key detection."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import ConfigError
from engine.venues.base import Credentials, Secret
from engine.venues.binance.signing import Ed25519Signer, HmacSigner, signer_for, websocket_payload

SPOT_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SPOT_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PERP_SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
PAYLOAD_1 = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
    "&recvWindow=5000&timestamp=1499827319559"
)
PAYLOAD_5 = (
    f"apiKey={SPOT_KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
    "&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
)
# Published: spot rest-api "SIGNED endpoint examples", web-socket-api "SIGNED request example", USD-M
# "SIGNED Endpoint Examples"; the last one is the published mixed example without its stray space.
HMAC_VECTORS = [
    (SPOT_SECRET, PAYLOAD_1, "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"),
    (
        SPOT_SECRET,
        PAYLOAD_1.replace("LTCBTC", "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96"),
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
    ),
    (
        SPOT_SECRET,
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
        "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77",
    ),
    (
        SPOT_SECRET,
        "timestamp=1578963600000",
        "d84e6641b1e328e7b418fff030caed655c266299c9355e36ce801ed14631eed4",
    ),
    (SPOT_SECRET, PAYLOAD_5, "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"),
    (
        SPOT_SECRET,
        f"apiKey={SPOT_KEY}&price=0.10000000&quantity=1.00000000&recvWindow=5000&side=BUY"
        "&symbol=１２３４５６&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
        "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd",
    ),
    (
        PERP_SECRET,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
        "&recvWindow=5000&timestamp=1591702613943",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    (
        PERP_SECRET,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
        "quantity=1&price=9000&recvWindow=5000&timestamp= 1591702613943",
        "f9d0ae5e813ef6ccf15c2b5a434047a0181cb5a342b903b367ca6d27a66e36f2",
    ),
    (
        PERP_SECRET,
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
        "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
]
# RFC 8032, 7.1, TEST 2: the seed of a published key pair, over Binance payloads.
SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PKCS8 = "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PKCS8}\n-----END PRIVATE KEY-----\n"
ED25519_VECTORS = [
    (PAYLOAD_1, "lFDGHBVP+dB0GtSkCpB3pYr9MpXhFRYvPqjq6EaqXq23KZxPF3u+HH0AAcB+CyRfAFWkUmrZLEIF9irkiuI8BA=="),
    (
        f"apiKey={SPOT_KEY}&timestamp=1649729878532",
        "4TqFXRPXivabxv5QXhYVYS60zoeX4P/bW847Klk8v18XoVLxdKEoAPvk2fb/8N8FnH8WZ6aILMaBavBpNYCPBw==",
    ),
    (PAYLOAD_5, "mI7TnDYAYDtBCtjjoweeD8mrshlXEYfUXpdkt7DJ/gvEMy97Hr2mKxydFFMj9ojXD/6CcOmWYY+wvHlNpqStBg=="),
]


def credentials(secret: str) -> Credentials:
    return Credentials(Secret("key"), Secret(secret))


@pytest.mark.parametrize(("secret", "payload", "signature"), HMAC_VECTORS)
def test_published_hmac_vectors(secret: str, payload: str, signature: str) -> None:
    signer = signer_for(credentials(secret))
    assert isinstance(signer, HmacSigner)
    assert signer.sign(payload.encode()) == signature
    assert signer.signed(payload.encode()) == f"{payload}&signature={signature}".encode()


@pytest.mark.parametrize("secret", [PKCS8, PEM, PEM.replace("\n", "\\n"), f"  {PEM}\n"])
@pytest.mark.parametrize(("payload", "signature"), ED25519_VECTORS)
def test_ed25519_vectors_whatever_way_the_key_is_written(secret: str, payload: str, signature: str) -> None:
    signer = signer_for(credentials(secret))
    assert isinstance(signer, Ed25519Signer)
    assert signer.sign(payload.encode()) == signature
    text, _, in_url = signer.signed(payload.encode()).decode().rpartition("&signature=")
    assert text == payload
    assert unquote(in_url) == signature
    assert not set(in_url) & set("+/=")


def test_the_bare_key_is_the_rfc_seed() -> None:
    der = base64.b64decode(PKCS8)
    assert der.endswith(SEED)


@given(st.text(min_size=1), st.binary(max_size=300))
def test_prepared_states_equal_the_library(secret: str, payload: bytes) -> None:
    signer = HmacSigner(secret) if secret.isascii() else None
    if signer is not None:
        assert signer.sign(payload) == hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_keys_around_the_block_size(size: int) -> None:
    secret = "k" * size
    expected = hmac.new(secret.encode(), b"payload", hashlib.sha256).hexdigest()
    assert HmacSigner(secret).sign(b"payload") == expected


def test_one_signer_signs_many_times() -> None:
    signer = HmacSigner(PERP_SECRET)
    assert signer.sign(b"a") != signer.sign(b"b")
    assert signer.sign(b"a") == hmac.new(PERP_SECRET.encode(), b"a", hashlib.sha256).hexdigest()


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey, password: bytes = b""
) -> str:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def test_keys_that_cannot_sign_are_named() -> None:
    elliptic = pem(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigError, match="not Ed25519"):
        signer_for(credentials(elliptic))
    locked = pem(Ed25519PrivateKey.from_private_bytes(SEED), b"password")
    with pytest.raises(ConfigError, match="unencrypted"):
        signer_for(credentials(locked))
    with pytest.raises(ConfigError, match="PKCS#8"):
        signer_for(credentials(PEM.replace("MC4C", "MC4D")))
    with pytest.raises(ConfigError, match="PKCS#8"):
        signer_for(credentials(PKCS8[:-8]))
    with pytest.raises(ConfigError, match="empty"):
        signer_for(credentials("  "))


def test_no_secret_shows_in_errors_or_prints() -> None:
    for signer in (signer_for(credentials(PEM)), signer_for(credentials(PERP_SECRET))):
        assert repr(signer).endswith("Signer(***)")
    with pytest.raises(ConfigError) as caught:
        signer_for(credentials(PEM.replace("MC4C", "MC4D")))
    assert "BCIEIEzN" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_websocket_payload_is_sorted_and_raw() -> None:
    params: dict[str, str | int] = {"timestamp": 5, "symbol": "１２", "apiKey": "k", "price": "0.10"}
    assert websocket_payload(params) == "apiKey=k&price=0.10&symbol=１２&timestamp=5".encode()
