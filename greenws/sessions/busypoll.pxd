cimport cython

cdef double _SOON
cdef double _PAUSE
cdef int _FAILURES
cdef int _SAMPLE
cdef int _FIRST_SAMPLE


cdef class BusyPoll:
    cdef object _idle
    cdef double _limit
    cdef readonly bint is_looking
    cdef public long long received
    cdef bint _is_awake
    cdef double _noted
    cdef int _wakes
    cdef double _time_at
    cdef double _cpu_at
    cdef long long _received_at
    cdef double _time_of_byte
    cdef double _cpu_of_byte
    cdef int _failures
    cdef int _patience
    cdef int _term

    @cython.locals(now=double)
    cpdef note(self)
    cpdef stop(self)
    cdef _measure(self, double now)
    @cython.locals(count=double)
    cdef _begin(self, double now)
    cpdef _look(self)
    cdef _sleep(self)
    @cython.locals(count=double, is_later=bint, is_dearer=bint)
    cdef _judge(self, double now)
    cdef _give_up(self)
