# REPLACES the functions of wholes.py in every compiled module that cimports this file.

from libc.string cimport memcpy

cdef extern from "Python.h":
    bytes PyBytes_FromStringAndSize(const char *data, Py_ssize_t size)
    char *PyBytes_AS_STRING(object data) noexcept
    bytearray PyByteArray_FromStringAndSize(const char *data, Py_ssize_t size)
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    unsigned char *PyUnicode_1BYTE_DATA(object text) noexcept


# With bytes(data[start:stop]), the interpreter is asked to make bytes of bytes, and a binary message
# of 64 bytes that is received costs 90 % more.
cdef inline bytes cut(const unsigned char *data, Py_ssize_t start, Py_ssize_t stop):
    return PyBytes_FromStringAndSize(<const char *>data + start, stop - start)


# A bytearray that is copied at the end has the kernel find all of the memory twice: without this, a
# binary message of 256 KiB costs 2.3 times the CPU time, one of 1 to 64 MiB 1.3 to 1.9 times; a text
# of 256 KiB, which was decoded twice as well, 1.9 times, and one of 1 to 16 MiB 5 to 9 times.
# It writes only into an object that nobody else has seen, which is what PyBytes_FromStringAndSize
# without data, and PyUnicode_New, are for. Its memory takes up none until it is written.
cdef inline object grow(whole, Py_ssize_t filled, Py_ssize_t room, bint is_text):
    cdef object larger
    if is_text:
        larger = PyUnicode_New(room, 127)
    else:
        larger = PyBytes_FromStringAndSize(NULL, room)
    if filled:
        memcpy(place(larger, is_text), place(whole, is_text), filled)
    return larger


cdef inline char *place(whole, bint is_text) noexcept:
    return <char *>PyUnicode_1BYTE_DATA(whole) if is_text else PyBytes_AS_STRING(whole)


cdef inline int put(
    whole,
    Py_ssize_t filled,
    const unsigned char *data,
    Py_ssize_t start,
    Py_ssize_t count,
    bint is_text,
) except -1:
    memcpy(place(whole, is_text) + filled, data + start, count)
    return 0


cdef inline object finish(whole, bint is_text):
    return whole


cdef inline bytearray take_out(whole, Py_ssize_t filled, bint is_text):
    return PyByteArray_FromStringAndSize(place(whole, is_text), filled)
