# cython: language_level=3
"""Decimal text to scaled integers and back, in C; ``text.py`` has the twins in Python."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy
from cpython.unicode cimport PyUnicode_GET_LENGTH
from cpython.unicode cimport PyUnicode_DecodeASCII

cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    unsigned char* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    DIGITS_MAX = 18  # what always fits an int64
    TEXT_MAX = 60


cdef int64_t scale_digits(const char* data, Py_ssize_t size, int scale) noexcept nogil:
    """Return plain decimal text as ``10**-scale`` units; -1 for anything unusual."""
    cdef Py_ssize_t at
    cdef int64_t value = 0
    cdef int digits = 0, missing = scale
    cdef bint in_fraction = False
    cdef char c
    if size == 0 or size > TEXT_MAX or not 0 <= scale <= DIGITS_MAX:
        return -1
    if data[0] == c"." or data[size - 1] == c".":
        return -1
    for at in range(size):
        c = data[at]
        if c == c".":
            if in_fraction:
                return -1
            in_fraction = True
            continue
        if c < c"0" or c > c"9":
            return -1
        if in_fraction:
            if missing == 0:
                if c != c"0":
                    return -1  # more decimals than the scale holds
                continue
            missing -= 1
        if value or c != c"0":
            digits += 1
            if digits > DIGITS_MAX:
                return -1
        value = value * 10 + (c - c"0")
    if value:
        if digits + missing > DIGITS_MAX:
            return -1
        while missing:
            value *= 10
            missing -= 1
    return value


cdef char* put_plain(char* end, int64_t value, int scale) noexcept nogil:
    """Write a scaled integer >= 0, scale 0 to 27, as the shortest exact decimal text; return where it ends.

    At most 30 characters.
    """
    cdef char[48] text
    cdef int at = 48, place = 0
    while place < scale and value % 10 == 0:  # zeros at the end of the fraction are left out
        value //= 10
        place += 1
    if place < scale:
        while place < scale:
            at -= 1
            text[at] = <char>(c"0" + value % 10)
            value //= 10
            place += 1
        at -= 1
        text[at] = c"."
    while True:
        at -= 1
        text[at] = <char>(c"0" + value % 10)
        value //= 10
        if value == 0:
            break
    memcpy(end, &text[at], 48 - at)
    return end + 48 - at


cpdef scale_text(str text, int scale):
    """Return plain decimal text as an int of ``10**-scale`` units; -1 for anything unusual."""
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return -1
    return scale_digits(<const char*>PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text), scale)


cdef class Scaler:
    """See ``text.PureScaler``."""

    cdef object unusual

    def __init__(self, unusual):
        self.unusual = unusual

    def scale(self, str text not None, int scale):
        """Return ``text`` as an int of ``10**-scale`` units."""
        value = scale_text(text, scale)
        return value if value >= 0 else self.unusual(text, scale)


def plain(int64_t value, int scale):
    """Return a non-negative scaled integer as the shortest exact decimal text."""
    cdef char[48] out
    if value < 0 or not 0 <= scale <= 27:
        raise ValueError(f"no plain text for {value} at scale {scale}")
    return PyUnicode_DecodeASCII(out, put_plain(out, value, scale) - out, NULL)
