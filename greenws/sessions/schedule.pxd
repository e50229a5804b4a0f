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

    cpdef begin_opening(self, double now, open_timeout)
    cpdef begin(self, double now)
    cpdef begin_closing(self, double now)
    cpdef begin_lingering(self, double now, double seconds)
    cpdef note_received(self, double now)
    cpdef note_taken(self, double taken_at)
    cpdef note_rung(self, double due, double now)
    cpdef double next_due(self, bint is_attended) noexcept
    cpdef bint wants_attention(self, double now) noexcept
    cpdef bint take_ping(self, double now) noexcept
    cpdef bint take_poll(self, double now) noexcept
    cpdef bint take_close(self, double now) noexcept
    cpdef bint is_silent(self, double now) noexcept
    cpdef bint take_excuse(self, double now) noexcept
