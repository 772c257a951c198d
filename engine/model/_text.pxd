# cython: language_level=3
from libc.stdint cimport int64_t

cdef int64_t scale_digits(const char* data, Py_ssize_t size, int scale) noexcept nogil
cdef char* put_plain(char* end, int64_t value, int scale) noexcept nogil
