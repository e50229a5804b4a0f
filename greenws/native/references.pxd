# REPLACES the function of references.py in every compiled module that cimports this file.

cdef extern from *:
    """
    static CYTHON_INLINE int greenws_is_unshared(PyObject *value) {
    #ifdef Py_GIL_DISABLED
        return 0;  /* other threads may have borrowed it */
    #else
        return Py_REFCNT(value) == 1;
    #endif
    }
    """
    bint is_unshared "greenws_is_unshared"(object value) noexcept
