cimport cython

cimport greenws.native.ticks as ticks


cpdef close_watcher(watcher)


cdef class Alarm:
    cdef readonly double _due_at
    cdef Py_ssize_t _place

    cpdef _ring(self, double due, double now)


cdef class Clock:
    cdef list _alarms
    cdef object _loop
    cdef object _timer
    cdef double _timer_due
    cdef Alarm _moving

    cpdef set(self, Alarm alarm, double due)

    @cython.locals(alarms=list, place=Py_ssize_t)
    cdef _set(self, Alarm alarm, double due)

    @cython.locals(each=Alarm, place=Py_ssize_t)
    cdef _mend(self, Alarm alarm)

    @cython.locals(alarms=list, place=Py_ssize_t, end=Py_ssize_t, last=Alarm)
    cdef _remove(self, Alarm alarm)

    @cython.locals(alarm=Alarm)
    cpdef close(self)

    @cython.locals(
        alarms=list, size=Py_ssize_t, above=Py_ssize_t, below=Py_ssize_t, other=Alarm, sibling=Alarm
    )
    cdef _settle(self, Alarm alarm, Py_ssize_t place)

    cdef _put(self, Alarm alarm, Py_ssize_t place)

    @cython.locals(first=Alarm)
    cdef _arm(self)

    cdef _stop(self)

    @cython.locals(alarms=list, alarm=Alarm, due=double, now=double)
    cpdef _ring(self)
