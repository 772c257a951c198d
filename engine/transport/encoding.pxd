cdef class RequestEncoder:
    cdef bytes _common
    cdef dict _heads

    cpdef bytes encode(self, request)
    cdef bytes _head(self, str method, str target, str content_type)
