cimport cython

cimport greenws.native.buffers as buffers

cdef bytes _pool
cdef Py_ssize_t _used
cdef bint _IS_COMPILED

@cython.locals(pool=bytes, data="const unsigned char*", start=Py_ssize_t)
cpdef bytes new_key()

@cython.locals(phase=Py_ssize_t, data=bytes, out=bytearray)
cpdef bytes mask(payload, bytes key, Py_ssize_t offset=*)

cpdef write_masked(bytearray out, Py_ssize_t start, bytes payload, bytes key)

@cython.locals(size=Py_ssize_t)
@cython.locals(phase=Py_ssize_t, place=Py_ssize_t)
cpdef append_masked(
    bytearray out, bytes payload, Py_ssize_t start, Py_ssize_t stop, bytes key, Py_ssize_t offset
)

cdef _write_integer(bytearray out, Py_ssize_t start, bytes payload, bytes key)

@cython.locals(size=Py_ssize_t)
cdef bytes _xor_integer(bytes payload, bytes key)

@cython.locals(source="const unsigned char*", target="unsigned char*", i=Py_ssize_t)
cdef _write_bytes(bytearray out, Py_ssize_t start, bytes payload, bytes key)

@cython.locals(
    source="const unsigned char*",
    target="unsigned char*",
    key0="unsigned char",
    key1="unsigned char",
    key2="unsigned char",
    key3="unsigned char",
    whole=Py_ssize_t,
    i=Py_ssize_t,
)
cdef _xor_bytes(
    bytearray out,
    Py_ssize_t start,
    bytes payload,
    Py_ssize_t begin,
    Py_ssize_t size,
    bytes key,
)
