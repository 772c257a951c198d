from engine.model._native cimport SystemClock


cdef class CircuitBreaker:
    cdef SystemClock _clock
    cdef long _failures
    cdef double _rest_s
    cdef long long _until_ns
    cdef bint _is_trying

    cpdef bint allow(self) except? -1
    cpdef not_tried(self)
    cpdef bint succeeded(self) except? -1
