cimport cython

cimport greenws.native.ticks as ticks


cdef class Event:
    cdef public double received_time


cdef class Connecting(Event):
    cdef public object url


cdef class ConnectFail(Event):
    cdef public object reason
    cdef public object error


cdef class Connected(Event):
    cdef public object url
    cdef public object proxy


cdef class Rejected(Event):
    cdef public object response
    cdef public object reason


cdef class Ready(Event):
    cdef public object response
    cdef public object protocol
    cdef public object extensions


cdef class ProtocolError(Event):
    cdef public object error
    cdef public object critical


cdef class Disconnected(Event):
    cdef public object reason
    cdef public object graceful
    cdef public object code
    cdef public object sent_code


cdef class _CloseFrame(Event):
    cdef public object code
    cdef public object reason


cdef class Closed(_CloseFrame):
    pass


cdef class Closing(_CloseFrame):
    pass


cdef class UnknownMessage(Event):
    cdef public object message


cdef class _ControlFrame(Event):
    cdef public object data


cdef class Ping(_ControlFrame):
    pass


cdef class Pong(_ControlFrame):
    pass


# Made for every message; what they hold refers to nothing that could refer back.
@cython.no_gc
cdef class Text(Event):
    cdef public object text
    cdef object _json


@cython.no_gc
cdef class Binary(Event):
    cdef public object data


cdef class BackOff(Event):
    cdef public object delay
