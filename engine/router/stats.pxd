cdef class RouterStats:
    cdef public dict histograms, counts

    cpdef record(self, str transport, str action, str stage, long long value_ns)
    cpdef count(self, str name)
