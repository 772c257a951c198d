# cython: language_level=3
"""Fills request templates in C; ``forms.py`` has the twin and the contract."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from engine.model._text cimport put_plain

cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    unsigned char* PyUnicode_1BYTE_DATA(object text)

cdef enum:  # the values of forms.Gap
    CLIENT_ID = 1
    QTY = 2
    PRICE = 3
    STAMP = 4
    GAPS_MAX = 8
    NUMBER_MAX = 48
    ID_MAX = 128
    SIZE_MAX = 2048


cdef class Form:
    """See ``forms.PureForm``."""

    cdef tuple texts
    cdef int[GAPS_MAX] gaps
    cdef int count
    cdef int qty_scale
    cdef int price_scale

    def __init__(self, pieces, int qty_scale, int price_scale):
        texts, text = [], b""
        if not 0 <= qty_scale <= 27 or not 0 <= price_scale <= 27:
            raise ValueError(f"no form has the scales {qty_scale} and {price_scale}")
        for piece in pieces:
            if type(piece) is bytes:
                text += piece
                continue
            if self.count == GAPS_MAX:
                raise ValueError(f"a form has {GAPS_MAX} gaps at most")
            texts.append(text)
            text = b""
            self.gaps[self.count] = int(piece)
            self.count += 1
        texts.append(text)
        self.texts = tuple(texts)
        if sum(map(len, texts)) + self.count * max(NUMBER_MAX, ID_MAX) > SIZE_MAX:
            raise ValueError("the form is too long")
        self.qty_scale = qty_scale
        self.price_scale = price_scale

    def fill(self, str client_id not None, int64_t qty, int64_t price, int64_t stamp_ms):
        """Return the text with its gaps filled."""
        cdef char[SIZE_MAX] out
        cdef char* end = out
        cdef Py_ssize_t size = PyUnicode_GET_LENGTH(client_id)
        cdef int index, gap
        cdef bytes text
        if not PyUnicode_IS_COMPACT_ASCII(client_id) or size > ID_MAX:
            raise ValueError(f"no form takes the id {client_id[:40]!r}")
        if qty < 0 or price < 0 or stamp_ms < 0:
            raise ValueError(f"no form takes {min(qty, price, stamp_ms)}")
        for index in range(self.count):
            text = <bytes>self.texts[index]
            memcpy(end, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
            end += PyBytes_GET_SIZE(text)
            gap = self.gaps[index]
            if gap == CLIENT_ID:
                memcpy(end, PyUnicode_1BYTE_DATA(client_id), size)
                end += size
            elif gap == QTY:
                end = put_plain(end, qty, self.qty_scale)
            elif gap == PRICE:
                end = put_plain(end, price, self.price_scale)
            else:
                end = put_plain(end, stamp_ms, 0)
        text = <bytes>self.texts[self.count]
        memcpy(end, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        end += PyBytes_GET_SIZE(text)
        return PyBytes_FromStringAndSize(out, end - out)
