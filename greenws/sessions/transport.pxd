cimport cython

from greenws.sessions cimport native

cdef Py_ssize_t _MUCH
cdef Py_ssize_t _STREAM


cdef class Transport:
    cdef int _fileno
    cdef bint _may_tune
    cdef Py_ssize_t _streamed
    cdef public object _sock
    cdef public object _unread

    cpdef recv_into(self, buffer, Py_ssize_t size)
    @cython.locals(count=Py_ssize_t)
    cpdef send(self, data)
    cpdef bint flush(self) except -1
