# The C of native.py: inlined into the modules that cimport it, no module of its own.

cdef extern from *:
    """
    #include <string.h>
    #include <time.h>

    static inline double greenws_time(void) {
        struct timespec now;
        timespec_get(&now, TIME_UTC);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }

    static inline PyObject *greenws_decode_utf8(
            const unsigned char *data, Py_ssize_t start, Py_ssize_t stop) {
        Py_ssize_t size = stop - start, i;
        unsigned char seen = 0;
        PyObject *text;
        data += start;
        /* Nearly all text is ASCII, and to see that takes a vector instruction for 16 bytes or
           more. Empty texts and single characters are singletons of the interpreter. */
        for (i = 0; i < size; i++)
            seen |= data[i];
        if (seen > 127 || size < 2)
            return PyUnicode_DecodeUTF8((const char *)data, size, NULL);
        text = PyUnicode_New(size, 127);
        if (text != NULL)
            memcpy(PyUnicode_1BYTE_DATA(text), data, (size_t)size);
        return text;
    }

    static inline Py_ssize_t greenws_extend(PyObject *out, Py_ssize_t count) {
        Py_ssize_t start = PyByteArray_GET_SIZE(out);
        return PyByteArray_Resize(out, start + count) < 0 ? -1 : start;
    }

    static inline int greenws_is_unshared(PyObject *value) {
    #ifdef Py_GIL_DISABLED
        return 0;  /* other threads may have borrowed it */
    #else
        return Py_REFCNT(value) == 1;
    #endif
    }
    """
    double time "greenws_time"() noexcept
    unsigned long long get_ident "PyThread_get_thread_ident"() noexcept
    str decode_utf8 "greenws_decode_utf8"(
        const unsigned char *data, Py_ssize_t start, Py_ssize_t stop
    )
    bytes encode_utf8 "PyUnicode_AsUTF8String"(object text)
    Py_ssize_t extend "greenws_extend"(bytearray out, Py_ssize_t count) except -1
    bint is_unshared "greenws_is_unshared"(object value) noexcept
