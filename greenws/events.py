"""What happens to a WebSocket, as objects.

Iterating a :class:`~greenws.WebSocket` yields them; a :class:`~greenws.Client` passes each to
its handler ``on_<name>``. Names and attributes are lomond's.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .native import ticks
from .redaction import redact_url

if TYPE_CHECKING:
    from typing import ClassVar, Literal  # noqa: F401  # the comments of ``name`` use both

    from . import errors
    from .protocol.response import Response

# How much of a payload a repr shows, in characters or bytes: enough to recognise it in a log.
_SUMMARY = 24


# Below, the types of class attributes are comments, which type checkers read like annotations.
# Cython prints a warning for each annotation there, and a user's first sight of greenws is the
# output of its build.


class Event:
    """Root of all events."""

    __slots__ = ("received_time",)
    #: The name of the handler in a :class:`~greenws.Client`, without ``on_``.
    name = "event"  # type: ClassVar[str]
    # The attributes that repr() shows.
    _shown = ()  # type: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        #: Epoch seconds at which the bytes of the event were received, or it was made.
        self.received_time: float = ticks.epoch()

    def __repr__(self) -> str:
        shown = ", ".join([f"{name}={getattr(self, name)!r}" for name in self._shown])
        return f"{self.__class__.__name__}({shown})"


class Poll(Event):
    """Time passes: one right after :class:`Ready`, then one every ``poll`` seconds."""

    __slots__ = ()
    name = "poll"  # type: ClassVar[Literal["poll"]]


class Connecting(Event):
    """A connection is about to be opened.

    :param url: the URL of the WebSocket as it was given, which ``repr`` shows redacted.
    """

    __slots__ = ("url",)
    name = "connecting"  # type: ClassVar[Literal["connecting"]]

    def __init__(self, url: str) -> None:
        self.received_time: float = ticks.epoch()
        self.url: str = url

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(url={redact_url(self.url)!r})"


class ConnectFail(Event):
    """The connection could not be opened. Ends the iteration.

    :param reason: which step failed, and why.
    :param error: the same as an error: a :class:`~greenws.errors.ProxyFail`, which has the
        proxy's status, if it was a proxy's fault. None from a session of others.
    """

    __slots__ = ("error", "reason")
    name = "connect_fail"  # type: ClassVar[Literal["connect_fail"]]
    _shown = ("reason",)

    def __init__(self, reason: str, error: errors.ConnectFail | None = None) -> None:
        self.received_time: float = ticks.epoch()
        self.reason: str = reason
        self.error: errors.ConnectFail | None = error


class Connected(Event):
    """The transport is open and the request for the upgrade is on its way.

    :param url: the URL of the WebSocket as it was given, which ``repr`` shows redacted.
    :param proxy: the URL of the proxy in between, without credentials, or None.
    """

    __slots__ = ("proxy", "url")
    name = "connected"  # type: ClassVar[Literal["connected"]]

    def __init__(self, url: str, proxy: str | None = None) -> None:
        self.received_time: float = ticks.epoch()
        self.url: str = url
        self.proxy: str | None = proxy

    def __repr__(self) -> str:
        url = redact_url(self.url)
        if self.proxy is None:
            return f"{self.__class__.__name__}(url={url!r})"
        return f"{self.__class__.__name__}(url={url!r}, proxy={redact_url(self.proxy)!r})"


class Rejected(Event):
    """The server answered, but not with a valid upgrade. :class:`Disconnected` follows.

    :param response: the answer: ``status_code``, ``status``, ``headers``, ``body`` (its first
        64 KiB).
    :param reason: what was wrong with it.
    """

    __slots__ = ("reason", "response")
    name = "rejected"  # type: ClassVar[Literal["rejected"]]
    _shown = ("response", "reason")

    def __init__(self, response: Response, reason: str) -> None:
        self.received_time: float = ticks.epoch()
        self.response: Response = response
        self.reason: str = reason


class Ready(Event):
    """The upgrade succeeded: messages may be sent, and will arrive.

    :param response: the server's answer to the upgrade.
    :param protocol: the subprotocol the server chose, or None.
    :param extensions: names of the extensions in use.
    """

    __slots__ = ("extensions", "protocol", "response")
    name = "ready"  # type: ClassVar[Literal["ready"]]
    _shown = ("response", "protocol", "extensions")

    def __init__(self, response: Response, protocol: str | None, extensions: set[str]) -> None:
        self.received_time: float = ticks.epoch()
        self.response: Response = response
        self.protocol: str | None = protocol
        self.extensions: set[str] = extensions


class ProtocolError(Event):
    """The server violated the protocol. A close frame says so, and :class:`Disconnected` follows.

    :param error: what was violated.
    :param critical: True if data could not be decoded (invalid UTF-8, broken compression).
    """

    __slots__ = ("critical", "error")
    name = "protocol_error"  # type: ClassVar[Literal["protocol_error"]]
    _shown = ("error", "critical")

    def __init__(self, error: str, critical: bool) -> None:
        self.received_time: float = ticks.epoch()
        self.error: str = error
        self.critical: bool = critical


class Unresponsive(Event):
    """Nothing was received for ``ping_timeout`` seconds. :class:`Disconnected` follows."""

    __slots__ = ()
    name = "unresponsive"  # type: ClassVar[Literal["unresponsive"]]


class Disconnected(Event):
    """The connection has ended; the last event of an iteration.

    :param reason: why: the server's reason, if its close frame has one of its own, with control
        characters escaped; else the violation of the protocol, the status of a rejection, or the
        failure.
    :param graceful: True after a closing handshake, False after a failure or a rejection.
    :param code: the close code received: 1005 if the close frame had none, 1006 if there was no
        close frame.
    :param sent_code: the close code we sent (1005 for an empty close frame), or None.
    """

    __slots__ = ("code", "graceful", "reason", "sent_code")
    name = "disconnected"  # type: ClassVar[Literal["disconnected"]]
    _shown = ("reason", "graceful", "code", "sent_code")

    def __init__(
        self,
        reason: str = "closed",
        graceful: bool = False,
        code: int = 1006,
        sent_code: int | None = None,
    ) -> None:
        self.received_time: float = ticks.epoch()
        self.reason: str = reason
        self.graceful: bool = graceful
        self.code: int = code
        self.sent_code: int | None = sent_code


class _CloseFrame(Event):
    """A close frame of the server's."""

    __slots__ = ("code", "reason")
    _shown = ("code", "reason")

    def __init__(self, code: int | None, reason: str) -> None:
        self.received_time: float = ticks.epoch()
        self.code: int | None = code
        self.reason: str = reason


class Closed(_CloseFrame):
    """The server answered our close frame. :class:`Disconnected` follows.

    :param code: the close code received, or None if the frame had none.
    :param reason: the reason received, or an empty string.
    """

    __slots__ = ()
    name = "closed"  # type: ClassVar[Literal["closed"]]


class Closing(_CloseFrame):
    """The server is closing. Messages may still be sent while this event is handled; then its
    close frame is echoed.

    :param code: the close code received, or None if the frame had none.
    :param reason: the reason received, or an empty string.
    """

    __slots__ = ()
    name = "closing"  # type: ClassVar[Literal["closing"]]


class UnknownMessage(Event):
    """A message with an unknown opcode. Kept for code written for lomond: RFC 6455 makes such a
    message a protocol error, and greenws reports it as one.
    """

    __slots__ = ("message",)
    name = "unknown"  # type: ClassVar[Literal["unknown"]]

    def __init__(self, message: Any) -> None:
        self.received_time: float = ticks.epoch()
        self.message: Any = message  # another session's, of any kind


class _ControlFrame(Event):
    """A ping or a pong of the server's."""

    __slots__ = ("data",)
    _shown = ("data",)

    def __init__(self, data: bytes) -> None:
        self.received_time: float = ticks.epoch()
        self.data: bytes = data


class Ping(_ControlFrame):
    """The server sent a ping. It has been answered already, unless ``auto_pong`` is off.

    :param data: its payload, at most 125 bytes.
    """

    __slots__ = ()
    name = "ping"  # type: ClassVar[Literal["ping"]]


class Pong(_ControlFrame):
    """The server sent a pong.

    :param data: its payload, at most 125 bytes.
    """

    __slots__ = ()
    name = "pong"  # type: ClassVar[Literal["pong"]]


class Text(Event):
    """The server sent a text message.

    :param text: the message.
    """

    __slots__ = ("_json", "text")
    name = "text"  # type: ClassVar[Literal["text"]]

    def __init__(self, text: str) -> None:
        self.received_time: float = ticks.epoch()
        self.text: str = text
        self._json: Any = None

    @property
    def message(self) -> str:
        """The text; of a :class:`Binary`, the bytes."""
        return self.text

    @property
    def json(self) -> Any:
        """The text decoded as JSON, once.

        :raises ValueError: if it is not JSON, or has too many levels for Python.
        """
        if self._json is None:
            self._json = _decode_json(self.text)
        return self._json

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(text={_summarize(self.text, 'chars')})"


class Binary(Event):
    """The server sent a binary message.

    :param data: the message.
    """

    __slots__ = ("data",)
    name = "binary"  # type: ClassVar[Literal["binary"]]

    def __init__(self, data: bytes) -> None:
        self.received_time: float = ticks.epoch()
        self.data: bytes = data

    @property
    def message(self) -> bytes:
        """The bytes; of a :class:`Text`, the text."""
        return self.data

    @property
    def json(self) -> Any:
        """The bytes decoded as JSON, at each call.

        :raises ValueError: if it is not JSON, or has too many levels for Python.
        """
        return _decode_json(self.data)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(data={_summarize(self.data, 'bytes')})"


class BackOff(Event):
    """A lasting connection waits before it connects again.

    :param delay: for how long, in seconds.
    """

    __slots__ = ("delay",)
    name = "back_off"  # type: ClassVar[Literal["back_off"]]

    def __init__(self, delay: float) -> None:
        self.received_time: float = ticks.epoch()
        self.delay: float = delay

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(delay={self.delay:0.1f})"


#: Any event that a WebSocket yields: ``isinstance`` and a comparison of ``name`` narrow it.
AnyEvent = (
    Poll
    | Connecting
    | ConnectFail
    | Connected
    | Rejected
    | Ready
    | ProtocolError
    | Unresponsive
    | Disconnected
    | Closed
    | Closing
    | UnknownMessage
    | Ping
    | Pong
    | Text
    | Binary
    | BackOff
)

#: A message, as ``request()``, its ``match`` and ``reply_key`` have it.
AnyMessage = Text | Binary


def _decode_json(message: str | bytes) -> Any:
    try:
        return json.loads(message)
    except RecursionError:
        # A few thousand brackets of a peer's do that, and nobody expects anything but a ValueError.
        raise ValueError("JSON with too many levels") from None


def _summarize(payload: str | bytes, unit: str) -> str:
    if len(payload) <= _SUMMARY:
        return repr(payload)
    return f"{payload[:_SUMMARY]!r} + {len(payload) - _SUMMARY} {unit}"
