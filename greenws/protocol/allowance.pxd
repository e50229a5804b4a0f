cdef class Allowance:
    cpdef int grant(self) except -1
