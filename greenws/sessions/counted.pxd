cimport cython

from greenws.protocol.traffic cimport Traffic
from greenws.sessions.inbox cimport Inbox
from greenws.sessions.outbox cimport Outbox
from greenws.sessions.transport cimport Transport


cdef class CountedInbox(Inbox):
    cdef Traffic _traffic

    cdef Py_ssize_t read(self, view, Py_ssize_t size) except? -2


cdef class CountedOutbox(Outbox):
    cdef Traffic _traffic

    cpdef put(self, int opcode, payload, bint rsv1)
    @cython.locals(before="unsigned long long")
    cdef bint _hand_over(self, Transport transport) except -1
