cimport cython

cimport greenws.native.buffers as buffers
from greenws.protocol.mask cimport new_key, write_masked


@cython.locals(
    length=Py_ssize_t,
    size=Py_ssize_t,
    total=Py_ssize_t,
    mask_bit=int,
    start=Py_ssize_t,
    key=bytes,
    data="unsigned char*",
)
cpdef append_frame(
    bytearray out, int opcode, payload, bint rsv1=*, bint masked=*, bint fin=*, bint anew=*
)

cpdef int read_close_code(bytes payload) except -1
