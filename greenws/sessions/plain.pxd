cimport greenws.sessions.syscalls as syscalls

from greenws.sessions.transport cimport Transport


cdef class SocketTransport(Transport):
    cdef int _fileno
    cdef bint _may_linger
    cdef readonly object _sock
    cdef object _unread

    cpdef int fileno(self) except? -2
    cpdef recv_into(self, buffer, Py_ssize_t size)
    cpdef send(self, data)
    cpdef bint flush(self) except -1
    cpdef shutdown_write(self)
    cpdef close(self)
