cimport cython

cimport greenws.sessions.threads as threads
cimport greenws.native.utf8 as utf8
from greenws.protocol.stream cimport Stream
from greenws.sessions.clock cimport Clock
from greenws.sessions.crowd cimport Crowd
from greenws.sessions.inbox cimport Inbox
from greenws.sessions.lifecycle cimport Lifecycle
from greenws.sessions.mailbox cimport Mailbox, Ticket
from greenws.sessions.outbox cimport Outbox
from greenws.sessions.reactor cimport HubSession, Reactor
from greenws.sessions.schedule cimport Schedule

cdef double NEVER
cdef Py_ssize_t HEADROOM
cdef Py_ssize_t _OPENING_READ_SIZE
cdef Py_ssize_t NOTHING
cdef Py_ssize_t LARGE_READ
cdef Py_ssize_t _REST
cdef int _CLOSE
cdef int _TEXT
cdef Py_ssize_t _LARGE


cdef class GeventSession(HubSession):
    # What every message touches stands together, as in Member.
    cdef Lifecycle _life
    cdef Inbox _inbox
    cdef Outbox _outbox
    cdef Schedule _schedule
    cdef bint _attention
    cdef bint _has_paused

    cdef double _start_time
    cdef bint _is_held
    cdef double _turned_at
    cdef object _approach
    cdef object _late_pong
    cdef double _late_since
    cdef object _given
    cdef object _reference
    cdef object _kept
    cdef bint _is_left
    cdef bint _is_traced
    cdef Mailbox _mailbox
    cdef Stream _stream
    cdef object _rouse
    cdef Py_ssize_t _found
    cdef Py_ssize_t _chunk_size
    cdef object _failure

    cdef Py_ssize_t _note_failure(self, error, bint is_parsed) except? -2
    @cython.locals(reactor=Reactor)
    cdef _find_events(self, bint is_parsed, Py_ssize_t size)
    cdef _note_event(self, event, bint auto_pong)
    cdef _yield_turn(self)
    cdef _note_taken(self, Stream stream, Py_ssize_t size)
    cdef _check_closed(self)
    @cython.locals(reactor=Reactor, size=Py_ssize_t, is_done=bint)
    cdef Py_ssize_t _pump(self, Stream stream) except? -2
    @cython.locals(reactor=Reactor)
    cdef Py_ssize_t _pause(self) except? -2
    cdef _note_digested(self, Stream stream, Py_ssize_t size)
    @cython.locals(reactor=Reactor)
    cdef _note_read(self, Py_ssize_t size, double since)
    @cython.locals(inbox=Inbox, outbox=Outbox, size=Py_ssize_t)
    cdef Py_ssize_t _receive(self, bint may_rest=*) except? -2
    @cython.locals(reactor=Reactor, limit=Py_ssize_t, size=Py_ssize_t)
    cdef Py_ssize_t _read(self) except? -2
    @cython.locals(mailbox=Mailbox, stream=Stream)
    cdef bint _may_rest(self) except -1
    cdef Py_ssize_t _take_found(self) except? -2
    cpdef _resume(self)
    @cython.locals(mailbox=Mailbox, ticket=Ticket, outbox=Outbox, is_done=bint)
    cdef _go_on_in_hub(self)
    cdef _start_greenlet(self)
    @cython.locals(mailbox=Mailbox, stream=Stream)
    cdef bint _read_on(self) except -1
    @cython.locals(
        reactor=Reactor, inbox=Inbox, outbox=Outbox, stream=Stream, size=Py_ssize_t, is_done=bint
    )
    cdef bint _read_in_hub(self) except -1
    cdef bint _note_parsed(self, Py_ssize_t size, bint is_done) except -1
    cpdef _hold(self)
    cpdef _go_on(self)
    @cython.locals(due=double)
    cdef _arm(self)
    cpdef _ring(self, double due, double now)
    cpdef send(self, int opcode, payload)
    cpdef send_text(self, text)
    cpdef send_compressed(self, int opcode, payload)


cdef class Regulator:
    cdef GeventSession _session
