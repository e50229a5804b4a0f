cimport cython

from greenws.protocol.mask cimport append_masked, new_key


@cython.locals(length=Py_ssize_t, mask_bit=int, key=bytes)
cpdef append_frame(
    bytearray out, int opcode, payload, bint rsv1=*, bint masked=*, bint fin=*
)
