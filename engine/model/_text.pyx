# cython: language_level=3
"""Decimal text to scaled integers and back, in C; ``text.py`` has the twins in Python."""

from libc.stdint cimport int64_t
from cpython.unicode cimport PyUnicode_GET_LENGTH
from cpython.unicode cimport PyUnicode_DecodeASCII

cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    unsigned char* PyUnicode_1BYTE_DATA(object text)

cdef enum:
    DIGITS_MAX = 18  # what always fits an int64
    TEXT_MAX = 60


cpdef scale_text(str text, int scale):
    """Return plain decimal text as an int of ``10**-scale`` units; -1 for anything unusual."""
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text), at = 0
    cdef int64_t value = 0
    cdef int digits = 0, missing = scale
    cdef bint in_fraction = False
    cdef const char* data
    cdef char c
    if not PyUnicode_IS_COMPACT_ASCII(text) or size == 0 or size > TEXT_MAX:
        return -1
    if scale < 0 or scale > DIGITS_MAX:
        return -1
    data = <const char*>PyUnicode_1BYTE_DATA(text)
    if data[0] == c"." or data[size - 1] == c".":
        return -1
    while at < size:
        c = data[at]
        at += 1
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
    cdef int at = 48, place = 0
    cdef bint significant = False
    cdef char digit
    if value < 0 or scale < 0 or scale > 27:
        raise ValueError(f"no plain text for {value} at scale {scale}")
    while place < scale or value or place == scale:
        if place == scale:
            if significant:
                at -= 1
                out[at] = c"."
            significant = True
            if value == 0:
                at -= 1
                out[at] = c"0"
                break
        digit = <char>(value % 10)
        value //= 10
        if place >= scale or digit or significant:
            significant = True
            at -= 1
            out[at] = c"0" + digit
        place += 1
    return PyUnicode_DecodeASCII(&out[at], 48 - at, NULL)
