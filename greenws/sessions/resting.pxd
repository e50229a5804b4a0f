cimport cython

cimport greenws.native.ticks as ticks
from greenws.protocol.stream cimport Stream
from greenws.sessions.inbox cimport Inbox
from greenws.sessions.mailboxes cimport Mailbox, Ticket
from greenws.sessions.outbox cimport Outbox
from greenws.sessions.reactor cimport Deputy, Reactor
from greenws.sessions.session cimport GeventSession

cdef Py_ssize_t HEADROOM
cdef Py_ssize_t NOTHING


cdef class HubReader(Deputy):
    cdef GeventSession _session
    cdef Stream _stream
    cdef Mailbox _mailbox
    cdef object _rouse
    cdef object _failure
    cdef Py_ssize_t _found
    cdef Py_ssize_t _chunk_size

    @cython.locals(session=GeventSession)
    cpdef resume(self)
    @cython.locals(session=GeventSession, mailbox=Mailbox, ticket=Ticket, outbox=Outbox, is_done=bint)
    cdef _go_on(self)
    @cython.locals(session=GeventSession)
    cdef _start_greenlet(self)
    @cython.locals(session=GeventSession, stream=Stream)
    cpdef bint read_on(self) except -1
    @cython.locals(
        session=GeventSession,
        reactor=Reactor,
        inbox=Inbox,
        outbox=Outbox,
        stream=Stream,
        size=Py_ssize_t,
        is_done=bint,
    )
    cdef bint _read(self) except -1
    cdef bint _note_parsed(self, Py_ssize_t size, bint is_done) except -1


cdef class Regulator:
    cdef GeventSession _session
