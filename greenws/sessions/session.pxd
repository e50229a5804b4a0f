cimport cython

cimport greenws.native.ticks as ticks
cimport greenws.native.utf8 as utf8
cimport greenws.sessions.threads as threads
from greenws.protocol.frame cimport read_close_code
from greenws.protocol.stream cimport Stream
from greenws.sessions.clock cimport Clock
from greenws.sessions.commands cimport CommandedSession
from greenws.sessions.crowd cimport Crowd
from greenws.sessions.inbox cimport Inbox
from greenws.sessions.lifecycle cimport Lifecycle
from greenws.sessions.outbox cimport Outbox
from greenws.sessions.reactor cimport Deputy, Reactor
from greenws.sessions.schedule cimport Schedule
from greenws.sessions.transport cimport Transport
from greenws.sessions.turn cimport Turn

cdef double NEVER
cdef Py_ssize_t HEADROOM
cdef Py_ssize_t _OPENING_READ_SIZE
cdef Py_ssize_t NOTHING
cdef Py_ssize_t LARGE_READ
cdef Py_ssize_t _REST
cdef int _CLOSE
cdef int _TEXT
cdef Py_ssize_t _LARGE


cdef class GeventSession(CommandedSession):
    cdef bint _is_traced
    cdef double _turned_at
    cdef object _late_pong
    cdef double _late_since

    cdef _open(self, websocket, double started)
    @cython.locals(life=Lifecycle, code=object)
    cdef _finish(self, reason, bint graceful, double started)
    cdef _fail_opening(self, error, double started)
    @cython.locals(life=Lifecycle)
    cdef _connect(self, websocket)
    cdef _give_up_opening(self)
    cdef _adopt(self, Transport transport)
    cdef Stream _open_stream(self, websocket)
    cdef Py_ssize_t _note_failure(self, error, bint is_parsed) except? -2
    @cython.locals(reactor=Reactor)
    cdef _find_events(self, websocket, bint is_parsed, Py_ssize_t size)
    cdef _note_event(self, event, name, bint auto_pong)
    cdef _yield_turn(self)
    cdef _note_taken(self, Stream stream, Py_ssize_t size)
    cdef bint _end_closed(self, websocket) except -1
    @cython.locals(reactor=Reactor, size=Py_ssize_t, is_done=bint)
    cdef Py_ssize_t _pump(self, Stream stream) except? -2
    @cython.locals(reactor=Reactor)
    cdef Py_ssize_t _pause(self) except? -2
    cdef _note_digested(self, Stream stream, Py_ssize_t size)
    @cython.locals(reactor=Reactor)
    cdef _note_read(self, Py_ssize_t size, double since)
    @cython.locals(inbox=Inbox, outbox=Outbox, deputy=Deputy, size=Py_ssize_t)
    cdef Py_ssize_t _receive(self, bint is_pumping=*) except? -2
    @cython.locals(reactor=Reactor, limit=Py_ssize_t, size=Py_ssize_t)
    cdef Py_ssize_t _read(self) except? -2
    @cython.locals(deputy=Deputy)
    cdef Py_ssize_t _take_found(self) except? -2
    cpdef _hold(self)
    cpdef _go_on(self)
    cdef _begin(self)
    cpdef _ring(self, double due, double now)
    cdef bint _has_unread(self) except -1
    cdef _send_ping(self)
    cdef _send_pong(self, data)
    cdef _postpone_pong(self, data)
    cpdef send(self, int opcode, payload)
    cpdef send_text(self, text)
    cpdef send_compressed(self, int opcode, payload)
    @cython.locals(life=Lifecycle)
    cdef _begin_closing(self, payload)
    @cython.locals(outbox=Outbox, transport=Transport, is_shut=bint)
    cdef _linger(self)
