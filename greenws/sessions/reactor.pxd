cimport cython

cimport greenws.native.buffers as buffers
from greenws.sessions.busypoll cimport BusyPoll
from greenws.sessions.clock cimport Alarm, Clock

cdef Py_ssize_t _MAX_QUEUES
cdef Py_ssize_t _CROWD
cdef Py_ssize_t _PATIENCE
cdef Py_ssize_t _CHAIN


cdef class Session(Alarm):
    # What every message touches stands together: with thousands of connections, what is read from
    # memory is most of the cost.
    cdef object _greenlet
    cdef object _hub
    cdef Reactor _reactor
    cdef bint _is_parked
    cdef bint _is_dirty

    @cython.locals(following=Session)
    cpdef park(self)
    cpdef resume(self)
    cpdef flush(self)


cdef class Reactor:
    cdef readonly object loop
    cdef readonly Clock clock
    cdef readonly BusyPoll busy_poll
    cdef readonly bytearray buffer
    cdef readonly object view
    cdef public Py_ssize_t read_size
    cdef public object holder
    cdef readonly bint is_libuv
    cdef readonly set sessions
    cdef list _queued
    cdef list _queues
    cdef bint _is_armed
    cdef bint _is_flushing
    cdef object _prepare
    cdef object _nudge
    cdef list _ready
    cdef Py_ssize_t _next
    cdef Py_ssize_t _wakes
    cdef int _calm_turns
    cdef bint _is_crowded
    cdef object _check

    cpdef borrow(self, session)
    cpdef give_back(self, session)
    cpdef bint note_read(self, Py_ssize_t size, double seconds) except *
    cpdef wake(self, Session session)
    @cython.locals(ready=list, session=Session)
    cdef Session pick(self)
    @cython.locals(ready=list, session=Session)
    cpdef _resume_ready(self)
    @cython.locals(wakes=Py_ssize_t)
    cdef _watch_crowd(self)
    @cython.locals(queues=list)
    cdef bytearray take_queue(self)
    cdef give_queue(self, bytearray queue)
    cpdef flush_later(self, session)
    cdef flush_parking(self, Session session)
    @cython.locals(queued=list, session=Session)
    cpdef _flush(self)
    cpdef _end_turn(self)
    cpdef stay_awake(self)
