# cython: language_level=3
"""Reads ordinary HTTP answers without Python; ``answer.py`` has the twin and the contract."""

from libc.string cimport memchr, memcmp
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_FromStringAndSize

cdef extern from "string.h" nogil:
    void* memmem(const void* haystack, size_t size, const void* needle, size_t needle_size)

cdef extern from "strings.h" nogil:
    int strncasecmp(const char* one, const char* other, size_t size)

cdef enum:
    LENGTH_DIGITS_MAX = 8


def scan_answer(bytearray buffer not None, Py_ssize_t filled):
    """Return (status, head, body) of a whole, ordinary answer that keeps its connection, else None."""
    cdef const char* data = PyByteArray_AS_STRING(buffer)
    cdef const char* end
    cdef const char* line
    cdef const char* stop
    cdef const char* value
    cdef Py_ssize_t length = -1, head, size
    cdef int status
    if filled < 16 or memcmp(data, b"HTTP/1.1 ", 9) != 0:
        return None
    end = <const char*>memmem(data, filled, b"\r\n\r\n", 4)
    if end == NULL:
        return None
    if not (c"2" <= data[9] <= c"5" and c"0" <= data[10] <= c"9" and c"0" <= data[11] <= c"9"):
        return None
    if data[12] != c" " and data[12] != c"\r":
        return None
    status = (data[9] - c"0") * 100 + (data[10] - c"0") * 10 + data[11] - c"0"
    line = <const char*>memchr(data, c"\n", end + 2 - data)
    if line == NULL or (line - 1)[0] != c"\r":
        return None
    while line != NULL and line + 1 < end:
        line += 1
        stop = <const char*>memchr(line, c"\n", end + 2 - line)
        size = (stop if stop != NULL else end + 2) - line - 1
        if line[size] != c"\r":
            return None
        value = <const char*>memchr(line, c":", size)
        if value == NULL or value == line or is_blank(line[0]) or is_blank((value - 1)[0]):
            return None
        if size >= 15 and strncasecmp(line, b"content-length:", 15) == 0:
            if length >= 0:
                return None
            length = content_length(line + 15, size - 15)
            if length < 0:
                return None
        elif size >= 17 and strncasecmp(line, b"transfer-encoding", 17) == 0:
            return None
        elif size >= 16 and strncasecmp(line, b"content-encoding", 16) == 0:
            return None
        elif size >= 11 and strncasecmp(line, b"connection:", 11) == 0:
            value = line + 11
            while value < line + size and value[0] == c" ":
                value += 1
            if line + size - value != 10 or strncasecmp(value, b"keep-alive", 10) != 0:
                return None
        line = stop
    head = end - data
    if length < 0 or filled != head + 4 + length or (length and (status == 204 or status == 304)):
        return None
    return status, PyBytes_FromStringAndSize(data, head), PyBytes_FromStringAndSize(end + 4, length)


cdef inline bint is_blank(char each):
    return each == c" " or each == c"\t"


cdef Py_ssize_t content_length(const char* text, Py_ssize_t size):
    """Return the number, or -1."""
    cdef Py_ssize_t value = 0
    cdef int digits = 0
    while size and text[0] == c" ":
        text += 1
        size -= 1
    while size and text[size - 1] == c" ":
        size -= 1
    if size == 0 or size > LENGTH_DIGITS_MAX:
        return -1
    while size:
        if not c"0" <= text[0] <= c"9":
            return -1
        value = value * 10 + (text[0] - c"0")
        text += 1
        size -= 1
    return value
