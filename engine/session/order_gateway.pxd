# Compiled, the gateway of the order path is a C struct: its fields are read without a lookup.


cdef class RestGateway:
    cdef object _adapter, _pool, _budget, _venue_clock, _clock, _continued
    cdef double _timeout_s
