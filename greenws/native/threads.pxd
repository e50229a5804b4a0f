# REPLACES the function of threads.py in every compiled module that cimports this file.

# It is asked for every message that is sent, and takes an eighth off its CPU time.
cdef extern from "pythread.h":
    unsigned long get_ident "PyThread_get_thread_ident"() noexcept
