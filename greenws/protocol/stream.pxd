cimport cython

cimport greenws.native.references as references
cimport greenws.native.utf8 as utf8
cimport greenws.native.wholes as wholes
from greenws.events cimport Binary, Event, Text
from greenws.protocol.allowance cimport Allowance

cdef Text _spare_text
cdef Binary _spare_binary
cdef bint _IS_COMPILED
cdef int _UNBEGUN
cdef Py_ssize_t _SLICE
cdef long long _HOLD_SIZE
cdef Py_ssize_t _HEADROOM
cdef Py_ssize_t _PIECE
cdef Py_ssize_t _FIRST_ROOM
cdef Py_ssize_t _ROOM_FACTOR
cdef int _UNIT_BITS
cdef Py_ssize_t _FREE
cdef Py_ssize_t _UNLIMITED
cdef int _NOTHING
cdef int _INFLATING
cdef int _DECODING


cdef class Stream:
    # The fields that every message touches come first, in as few cache lines as possible.
    cdef object _chunk
    cdef object _export
    cdef Py_ssize_t _pos
    cdef Py_ssize_t _end
    cdef Py_ssize_t _units
    cdef public double received_time
    cdef bytes _tail
    cdef object _event
    cdef public Allowance allowance
    cdef public object tracer
    cdef long long _max_size
    cdef bint _is_client
    cdef int _message_opcode
    cdef public bint is_closed
    cdef readonly bint is_paused
    cdef readonly bint is_brief
    cdef bint _is_halted
    cdef bint _is_calling
    cdef public bint skip_text
    cdef public object text_handler
    cdef public object binary_handler
    cdef public bint skip_binary

    cdef int _stage
    cdef long long _need
    cdef object _error
    cdef list _texts
    cdef bint _fin
    cdef bint _message_deflated
    cdef bint _is_ascii
    cdef bytearray _message
    cdef object _whole
    cdef Py_ssize_t _filled
    cdef Py_ssize_t _room
    cdef long long _offset
    cdef bytes _key
    cdef bytes _utf8_rest
    cdef public object deflate
    cdef public object find_taker
    cdef public object handler_failed
    cdef object _taker
    cdef long long _taken

    cpdef receive(self, chunk, Py_ssize_t start, Py_ssize_t stop, double received_time)

    @cython.locals(size=Py_ssize_t, tail=bytes)
    cdef _take(self, chunk, Py_ssize_t start, Py_ssize_t stop, double received_time, export)

    cdef bint digest_viewed(
        self, chunk, Py_ssize_t start, Py_ssize_t stop, double received_time, export
    ) except -1

    cdef bint digest_viewed_briefly(
        self, chunk, Py_ssize_t start, Py_ssize_t stop, double received_time, export
    ) except -1

    cpdef detach(self)

    cpdef take_in_pieces(self, handler)

    cpdef bint digest(
        self, chunk, Py_ssize_t start, Py_ssize_t stop, double received_time
    ) except -1

    cpdef bint resume(self) except -1

    cpdef bint digest_briefly(
        self, chunk, Py_ssize_t start, Py_ssize_t stop, double received_time
    ) except -1

    cpdef bint resume_briefly(self) except -1

    cpdef halt(self)

    cpdef next_event(self)

    @cython.locals(
        data="const unsigned char*",
        pos=Py_ssize_t,
        end=Py_ssize_t,
        available=Py_ssize_t,
        first=int,
        second=int,
        opcode=int,
        length="long long",
        start=Py_ssize_t,
        stop="long long",
        is_refused=bint,
    )
    cdef _parse(self)

    cdef _run(self)

    cdef bint _may_go_on(self) except -1

    cdef _stop(self)

    cdef _keep_tail(self)

    @cython.locals(head=bytes)
    cdef long long _long_length(self, Py_ssize_t pos) except -1

    cdef _check_first_head(self, int first, int second)

    @cython.locals(opcode=int)
    cdef _check_head(self, int first, int second)

    @cython.locals(data="const unsigned char*", payload=bytes)
    cdef _control(self, int opcode, Py_ssize_t start, Py_ssize_t stop)

    cdef _begin_frame(self, int first, int opcode, long long length)

    @cython.locals(is_too_large=bint)
    cdef _check_size(self, long long size)

    @cython.locals(joined=bytearray, start=Py_ssize_t)
    cdef _begin_pieces(self, taker)

    cdef _hand_out(self, bytes piece)

    @cython.locals(taken=Py_ssize_t, piece=bytes)
    cdef _take_payload(self, Py_ssize_t pos, Py_ssize_t end)

    @cython.locals(data="const unsigned char*", message=bytearray)
    cdef bint _take_directly(self, Py_ssize_t pos, Py_ssize_t count) except -1

    @cython.locals(
        data="const unsigned char*", filled=Py_ssize_t, room=Py_ssize_t, is_text=bint
    )
    cdef _take_whole(self, Py_ssize_t pos, Py_ssize_t count)

    cdef _absorb(self, bytes piece, bint final)

    @cython.locals(message=bytearray, room="long long")
    cdef Py_ssize_t _inflate_limit(self) except -1

    @cython.locals(message=bytearray)
    cdef _append(self, bytes piece)

    @cython.locals(message=bytearray, start=Py_ssize_t, size=Py_ssize_t, used=Py_ssize_t)
    cdef _advance(self)

    @cython.locals(used=Py_ssize_t, rest=bytes)
    cdef _check_utf8(self, bytes piece)

    @cython.locals(message=bytearray, opcode=int)
    cdef _finish_message(self)

    cdef _finish_pieces(self, int opcode)

    @cython.locals(payload=bytes)
    cdef _emit_inflated(self, int opcode, bytes piece)

    @cython.locals(event=Text)
    cdef _emit_text(self, text, Py_ssize_t length)

    @cython.locals(event=Binary)
    cdef _emit_binary(self, payload)

    cdef _report(self, error)

    cdef _refuse_size(self)

    cdef _bad_text(self, Py_ssize_t start, Py_ssize_t stop)
