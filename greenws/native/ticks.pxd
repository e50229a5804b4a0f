# REPLACES the functions of ticks.py in every compiled module that cimports this file.

# A flood is looked at after every eight frames. With Python's clock, which takes 33 ns and an
# object, a text of 64 bytes that is received costs 10 % more CPU time; with the kernel's coarse
# clock, 5 ns, it costs 2 %. That clock moves every 4 ms (1 to 10, as the kernel was built). Where
# there is none, monotonic() is called.
cdef extern from *:
    """
    #include <time.h>

    static CYTHON_INLINE double greenws_ticks(void) {
    #ifdef MS_WINDOWS
        return (double)GetTickCount64() * 1e-3;
    #else
        struct timespec t;
    #ifdef CLOCK_MONOTONIC_COARSE
        clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    #else
        clock_gettime(CLOCK_MONOTONIC, &t);
    #endif
        return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    #endif
    }

    /* Python's own costs a call and an object: 3 % of an echo among 2,000 connections. On Linux,
       this is the clock that it looks at; what other systems have for it differs, so Python is
       asked there. */
    static CYTHON_INLINE double greenws_precise(void) {
    #ifdef __linux__
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    #else
        static PyObject *read = NULL;
        PyObject *seconds;
        double result;
        if (read == NULL) {
            PyObject *module = PyImport_ImportModule("time");
            if (module == NULL)
                return -1.0;
            read = PyObject_GetAttrString(module, "monotonic");
            Py_DECREF(module);
            if (read == NULL)
                return -1.0;
        }
        seconds = PyObject_CallNoArgs(read);
        if (seconds == NULL)
            return -1.0;
        result = PyFloat_AsDouble(seconds);
        Py_DECREF(seconds);
        return result;
    #endif
    }

    /* Standard C, on all systems. Python's own costs an object, and 2 % of an echo. */
    static CYTHON_INLINE double greenws_epoch(void) {
        struct timespec t;
        timespec_get(&t, TIME_UTC);
        return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    }
    """
    double now "greenws_ticks"() noexcept
    double precise "greenws_precise"() except? -1.0
    double epoch "greenws_epoch"() noexcept
