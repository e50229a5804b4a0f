cdef double NEVER
cdef double _LATE
cdef int _NO
cdef int _MAYBE
cdef int _USED


cdef class Schedule:
    cdef public double ping_timeout
    cdef public double heard
    cdef public double poll
    cdef public double ping_rate
    cdef public double close_timeout
    cdef public double open_due
    cdef public double next_poll
    cdef public double next_ping
    cdef public double close_due
    cdef public double linger_due
    cdef int _excuse

    cpdef note_received(self, double now)
    cpdef double next_due(self, bint is_attended) noexcept
