"""Both implementations of HMAC-SHA256: RFC 4231's vectors, each other, and nothing of the key to be seen."""

from __future__ import annotations

import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.mac import HmacSha256, PureHmacSha256

BOTH = pytest.mark.parametrize("kind", [PureHmacSha256, HmacSha256])
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


@BOTH
@pytest.mark.parametrize(("key", "payload", "code"), RFC_4231)
def test_published_vectors(kind: type[PureHmacSha256], key: bytes, payload: bytes, code: str) -> None:
    mac = kind(key)
    assert mac.hex(payload) == code
    assert mac.digest(payload).hex() == code
    assert mac.followed(payload, b"&s=") == payload + b"&s=" + code.encode()
    assert mac.hex(payload) == code, "a second use finds the same state"


@BOTH
@given(key=st.binary(max_size=200), payload=st.binary(max_size=600))
def test_it_is_the_standard_librarys(kind: type[PureHmacSha256], key: bytes, payload: bytes) -> None:
    assert kind(key).digest(payload) == hmac.digest(key, payload, "sha256")


@BOTH
def test_the_key_cannot_be_seen(kind: type[PureHmacSha256]) -> None:
    mac = kind(b"tell nobody")
    assert "nobody" not in repr(mac)
    with pytest.raises(TypeError):
        pickle.dumps(mac)


@BOTH
@pytest.mark.parametrize("wrong", ["text", None, 7])
def test_only_bytes_are_signed(kind: type[PureHmacSha256], wrong: object) -> None:
    with pytest.raises((TypeError, AttributeError)):
        kind(b"k").digest(wrong)  # type: ignore[arg-type]
