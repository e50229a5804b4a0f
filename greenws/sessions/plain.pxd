cimport greenws.sessions.syscalls as syscalls

from greenws.sessions.transport cimport Transport


cdef class SocketTransport(Transport):
    cdef int _fileno
    cdef readonly object _sock
    cdef object _unread

    cpdef recv_into(self, buffer, Py_ssize_t size)
    cpdef send(self, data)
    cpdef bint flush(self) except -1
