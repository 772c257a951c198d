# cython: language_level=3
"""HMAC-SHA256 by OpenSSL's own functions, without a Python object on the way; ``mac.py`` has the twin.

The functions are those that the interpreter's hashlib has loaded already, found by name: no headers are
needed to build this, and there is no second library. What cannot be found, or does not compute what hashlib
does, is an ImportError, and the twin serves.
"""

import ctypes
import hashlib

import _hashlib

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef enum:
    BLOCK = 64
    DIGEST = 32


cdef struct State:  # SHA256_CTX is 112 bytes
    uint64_t words[20]


ctypedef int (*Init)(State* state) noexcept nogil
ctypedef int (*Update)(State* state, const void* data, size_t size) noexcept nogil
ctypedef int (*Final)(unsigned char* out, State* state) noexcept nogil

cdef Init sha_init
cdef Update sha_update
cdef Final sha_final


def _address(library, name):
    return ctypes.cast(getattr(library, name), ctypes.c_void_p).value


def _load():
    global sha_init, sha_update, sha_final
    library = ctypes.CDLL(getattr(_hashlib, "__file__", None))
    sha_init = <Init><size_t>_address(library, "SHA256_Init")
    sha_update = <Update><size_t>_address(library, "SHA256_Update")
    sha_final = <Final><size_t>_address(library, "SHA256_Final")


cdef class HmacSha256:
    """See ``mac.PureHmacSha256``."""

    cdef State inner
    cdef State outer

    def __init__(self, bytes key not None):
        cdef unsigned char[BLOCK] pad
        cdef int index
        if len(key) > BLOCK:
            key = hashlib.sha256(key).digest()
        key = key.ljust(BLOCK, b"\0")
        for index in range(BLOCK):
            pad[index] = <unsigned char>key[index] ^ 0x36
        sha_init(&self.inner)
        sha_update(&self.inner, pad, BLOCK)
        for index in range(BLOCK):
            pad[index] = <unsigned char>key[index] ^ 0x5C
        sha_init(&self.outer)
        sha_update(&self.outer, pad, BLOCK)

    cdef void compute(self, const char* data, size_t size, unsigned char* out) noexcept nogil:
        cdef State state = self.inner
        sha_update(&state, data, size)
        sha_final(out, &state)
        state = self.outer
        sha_update(&state, out, DIGEST)
        sha_final(out, &state)

    def digest(self, bytes payload not None):
        """Return the code, 32 bytes."""
        cdef unsigned char[DIGEST] out
        self.compute(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), out)
        return PyBytes_FromStringAndSize(<char*>out, DIGEST)

    def hex(self, bytes payload not None):
        """Return the code as lower-case hex."""
        cdef unsigned char[DIGEST] out
        cdef char[2 * DIGEST] text
        self.compute(PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), out)
        write_hex(out, text)
        return PyUnicode_DecodeASCII(text, 2 * DIGEST, NULL)

    def followed(self, bytes payload not None, bytes label not None):
        """Return payload, label and the payload's code as lower-case hex."""
        cdef unsigned char[DIGEST] out
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload), more = PyBytes_GET_SIZE(label)
        cdef bytes result = PyBytes_FromStringAndSize(NULL, size + more + 2 * DIGEST)
        cdef char* data = PyBytes_AS_STRING(result)
        self.compute(PyBytes_AS_STRING(payload), size, out)
        memcpy(data, PyBytes_AS_STRING(payload), size)
        memcpy(data + size, PyBytes_AS_STRING(label), more)
        write_hex(out, data + size + more)
        return result

    def __repr__(self):
        return "HmacSha256(***)"

    def __reduce__(self):
        raise TypeError("keys are not pickled")


cdef inline void write_hex(const unsigned char* digest, char* out) noexcept nogil:
    cdef int index
    for index in range(DIGEST):
        out[2 * index] = HEX[digest[index] >> 4]
        out[2 * index + 1] = HEX[digest[index] & 15]


cdef const char* HEX = b"0123456789abcdef"


def _check():
    import hmac

    for key in (b"k", b"long " * 20):
        for size in (0, 1, 55, 64, 200):
            payload = b"p" * size
            if HmacSha256(key).digest(payload) != hmac.digest(key, payload, "sha256"):
                raise ImportError("this OpenSSL's SHA256_* functions do not compute what hashlib does")


try:
    _load()
except (AttributeError, OSError) as error:
    raise ImportError(f"hashlib's OpenSSL does not offer SHA256_*: {error}") from None
_check()
