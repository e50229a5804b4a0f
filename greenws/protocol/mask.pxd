cimport cython

cdef bytes _pool
cdef Py_ssize_t _used
cdef bint _is_interpreted

@cython.locals(pool=bytes, start=Py_ssize_t)
cpdef bytes new_key()

@cython.locals(phase=Py_ssize_t, out=bytearray)
cpdef bytes mask(payload, bytes key, Py_ssize_t offset=*)

@cython.locals(start=Py_ssize_t)
cpdef append_masked(bytearray out, payload, bytes key)

@cython.locals(size=Py_ssize_t)
cdef _append_xored(bytearray out, payload, bytes key)

@cython.locals(
    data="unsigned char*",
    key0="unsigned char",
    key1="unsigned char",
    key2="unsigned char",
    key3="unsigned char",
    whole=Py_ssize_t,
    i=Py_ssize_t,
)
cpdef _xor_in_place(bytearray out, Py_ssize_t start, Py_ssize_t stop, bytes key)
