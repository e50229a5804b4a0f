cimport cython

cdef bytes _pool
cdef Py_ssize_t _used
cdef bint _IS_COMPILED

@cython.locals(pool=bytes, data="const unsigned char*", start=Py_ssize_t)
cpdef bytes new_key()

@cython.locals(phase=Py_ssize_t, data=bytes, out=bytearray)
cpdef bytes mask(payload, bytes key, Py_ssize_t offset=*)

cpdef write_masked(bytearray out, Py_ssize_t start, bytes payload, bytes key)

@cython.locals(size=Py_ssize_t)
cdef _write_integer(bytearray out, Py_ssize_t start, bytes payload, bytes key)

@cython.locals(
    size=Py_ssize_t,
    source="const unsigned char*",
    target="unsigned char*",
    key0="unsigned char",
    key1="unsigned char",
    key2="unsigned char",
    key3="unsigned char",
    whole=Py_ssize_t,
    i=Py_ssize_t,
)
cdef _write_bytes(bytearray out, Py_ssize_t start, bytes payload, bytes key)
