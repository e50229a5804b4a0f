# REPLACES the function of references.py in every compiled module that cimports this file.

# An event that its handler has not kept is used again for the next message. Without that, a 64-byte
# text that is received costs 27 % more CPU time. To be dropped as soon as a new object costs less,
# or an interpreter borrows references in a way that Py_REFCNT does not show. Without the GIL, the
# answer is no.
cdef extern from *:
    """
    static CYTHON_INLINE int greenws_is_unshared(PyObject *value) {
    #ifdef Py_GIL_DISABLED
        return 0;  /* another thread may just be taking a reference */
    #else
        return Py_REFCNT(value) == 1;
    #endif
    }
    """
    bint is_unshared "greenws_is_unshared"(object value) noexcept
