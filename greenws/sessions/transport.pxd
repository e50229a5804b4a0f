cdef class Transport:
    cpdef recv_into(self, buffer, Py_ssize_t size)
    cpdef send(self, data)
    cpdef bint flush(self) except -1
