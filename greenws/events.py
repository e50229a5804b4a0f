"""What happens to a WebSocket, as objects.

Iterating a :class:`~greenws.WebSocket` yields them; a :class:`~greenws.Client` passes each to
its handler ``on_<name>``. Names and attributes are lomond's.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .redaction import redact_url

if TYPE_CHECKING:
    from . import errors
    from .protocol.response import Response

# How much of a payload a repr shows, in characters or bytes: enough to recognise it in a log.
_SUMMARY = 24


class Event:
    """Root of all events."""

    __slots__ = ("received_time",)
    name: ClassVar[str] = "event"

    def __init__(self) -> None:
        #: Epoch seconds at which the bytes of the event were received, or it was made.
        self.received_time: float = time.time()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}()"


class Poll(Event):
    """Time passes: one right after :class:`Ready`, then one every ``poll`` seconds."""

    __slots__ = ()
    name: ClassVar[Literal["poll"]] = "poll"


class Connecting(Event):
    """A connection is about to be opened.

    :param url: the URL of the WebSocket as it was given, which ``repr`` shows redacted.
    """

    __slots__ = ("url",)
    name: ClassVar[Literal["connecting"]] = "connecting"

    def __init__(self, url: str) -> None:
        Event.__init__(self)
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
    name: ClassVar[Literal["connect_fail"]] = "connect_fail"

    def __init__(self, reason: str, error: errors.ConnectFail | None = None) -> None:
        Event.__init__(self)
        self.reason: str = reason
        self.error: errors.ConnectFail | None = error

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(reason={self.reason!r})"


class Connected(Event):
    """The transport is open and the request for the upgrade is on its way.

    :param url: the URL of the WebSocket as it was given, which ``repr`` shows redacted.
    :param proxy: the URL of the proxy in between, without credentials, or None.
    """

    __slots__ = ("proxy", "url")
    name: ClassVar[Literal["connected"]] = "connected"

    def __init__(self, url: str, proxy: str | None = None) -> None:
        Event.__init__(self)
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
    name: ClassVar[Literal["rejected"]] = "rejected"

    def __init__(self, response: Response, reason: str) -> None:
        Event.__init__(self)
        self.response: Response = response
        self.reason: str = reason

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(response={self.response!r}, reason={self.reason!r})"


class Ready(Event):
    """The upgrade succeeded: messages may be sent, and will arrive.

    :param response: the server's answer to the upgrade.
    :param protocol: the subprotocol the server chose, or None.
    :param extensions: names of the extensions in use.
    """

    __slots__ = ("extensions", "protocol", "response")
    name: ClassVar[Literal["ready"]] = "ready"

    def __init__(self, response: Response, protocol: str | None, extensions: set[str]) -> None:
        Event.__init__(self)
        self.response: Response = response
        self.protocol: str | None = protocol
        self.extensions: set[str] = extensions

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(response={self.response!r}, "
            f"protocol={self.protocol!r}, extensions={self.extensions!r})"
        )


class ProtocolError(Event):
    """The server violated the protocol. A close frame says so, and :class:`Disconnected` follows.

    :param error: what was violated.
    :param critical: True if data could not be decoded (invalid UTF-8, broken compression).
    """

    __slots__ = ("critical", "error")
    name: ClassVar[Literal["protocol_error"]] = "protocol_error"

    def __init__(self, error: str, critical: bool) -> None:
        Event.__init__(self)
        self.error: str = error
        self.critical: bool = critical

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(error={self.error!r}, critical={self.critical!r})"


class Unresponsive(Event):
    """Nothing was received for ``ping_timeout`` seconds. :class:`Disconnected` follows."""

    __slots__ = ()
    name: ClassVar[Literal["unresponsive"]] = "unresponsive"


class Disconnected(Event):
    """The connection has ended; the last event of an iteration.

    :param reason: why.
    :param graceful: True after a closing handshake, False after a failure.
    :param code: the close code received: 1005 if the close frame had none, 1006 if there was no
        close frame.
    :param sent_code: the close code we sent (1005 for an empty close frame), or None.
    """

    __slots__ = ("code", "graceful", "reason", "sent_code")
    name: ClassVar[Literal["disconnected"]] = "disconnected"

    def __init__(
        self,
        reason: str = "closed",
        graceful: bool = False,
        code: int = 1006,
        sent_code: int | None = None,
    ) -> None:
        Event.__init__(self)
        self.reason: str = reason
        self.graceful: bool = graceful
        self.code: int = code
        self.sent_code: int | None = sent_code

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(reason={self.reason!r}, graceful={self.graceful!r}, "
            f"code={self.code!r}, sent_code={self.sent_code!r})"
        )


class Closed(Event):
    """The server answered our close frame. :class:`Disconnected` follows.

    :param code: the close code received, or None if the frame had none.
    :param reason: the reason received, or an empty string.
    """

    __slots__ = ("code", "reason")
    name: ClassVar[Literal["closed"]] = "closed"

    def __init__(self, code: int | None, reason: str) -> None:
        Event.__init__(self)
        self.code: int | None = code
        self.reason: str = reason

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(code={self.code!r}, reason={self.reason!r})"


class Closing(Event):
    """The server is closing. Messages may still be sent while this event is handled; then its
    close frame is echoed.

    :param code: the close code received, or None if the frame had none.
    :param reason: the reason received, or an empty string.
    """

    __slots__ = ("code", "reason")
    name: ClassVar[Literal["closing"]] = "closing"

    def __init__(self, code: int | None, reason: str) -> None:
        Event.__init__(self)
        self.code: int | None = code
        self.reason: str = reason

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(code={self.code!r}, reason={self.reason!r})"


class UnknownMessage(Event):
    """A message with an unknown opcode. Kept for code written for lomond: RFC 6455 makes such a
    message a protocol error, and greenws reports it as one.
    """

    __slots__ = ("message",)
    name: ClassVar[Literal["unknown"]] = "unknown"

    def __init__(self, message: Any) -> None:
        Event.__init__(self)
        self.message: Any = message


class Ping(Event):
    """The server sent a ping. It has been answered already, unless ``auto_pong`` is off.

    :param data: its payload, at most 125 bytes.
    """

    __slots__ = ("data",)
    name: ClassVar[Literal["ping"]] = "ping"

    def __init__(self, data: bytes) -> None:
        Event.__init__(self)
        self.data: bytes = data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(data={self.data!r})"


class Pong(Event):
    """The server sent a pong.

    :param data: its payload, at most 125 bytes.
    """

    __slots__ = ("data",)
    name: ClassVar[Literal["pong"]] = "pong"

    def __init__(self, data: bytes) -> None:
        Event.__init__(self)
        self.data: bytes = data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(data={self.data!r})"


class Text(Event):
    """The server sent a text message.

    :param text: the message.
    """

    __slots__ = ("_json", "text")
    name: ClassVar[Literal["text"]] = "text"

    def __init__(self, text: str) -> None:
        Event.__init__(self)
        self.text: str = text
        self._json: Any = None

    @property
    def json(self) -> Any:
        """The text decoded as JSON, once.

        :raises ValueError: if it is not JSON.
        """
        if self._json is None:
            self._json = json.loads(self.text)
        return self._json

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(text={_summarize(self.text, 'chars')})"


class Binary(Event):
    """The server sent a binary message.

    :param data: the message.
    """

    __slots__ = ("data",)
    name: ClassVar[Literal["binary"]] = "binary"

    def __init__(self, data: bytes) -> None:
        Event.__init__(self)
        self.data: bytes = data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(data={_summarize(self.data, 'bytes')})"


class BackOff(Event):
    """A lasting connection waits before it connects again.

    :param delay: for how long, in seconds.
    """

    __slots__ = ("delay",)
    name: ClassVar[Literal["back_off"]] = "back_off"

    def __init__(self, delay: float) -> None:
        Event.__init__(self)
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


def _summarize(payload: str | bytes, unit: str) -> str:
    if len(payload) <= _SUMMARY:
        return repr(payload)
    return f"{payload[:_SUMMARY]!r} + {len(payload) - _SUMMARY} {unit}"
