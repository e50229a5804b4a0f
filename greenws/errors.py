"""The errors of greenws.

::

    WebSocketError
    +-- FrameBuildError             misuse: the frame cannot be built
    +-- WebSocketUnavailable        misuse: no usable connection (not ready, another thread, forked)
    |   +-- WebSocketClosing        misuse: the closing handshake has begun
    |   +-- WebSocketClosed         misuse: the connection has ended
    +-- HandshakeError              the peer: the answer to the upgrade is wrong
    |   +-- CompressionParameterError
    +-- ProtocolError               the peer: a violation of RFC 6455 (``code`` 1002)
    |   +-- PayloadTooLarge         the peer: a message beyond ``max_size`` (``code`` 1009)
    +-- CriticalProtocolError       the peer: data that cannot be decoded (``code`` 1007)
    +-- ConnectFail                 transport: the connection could not be opened
    |   +-- ProxyFail               proxy: the proxy could not be reached, or refused
    |   +-- Rejected                the peer: the server refused the upgrade
    +-- TransportFail               transport: an open connection failed

The names are lomond's. A wrong type in a call is a ``TypeError``, a wrong value a ``ValueError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .redaction import MAX_MESSAGE, printable
from .status import Status

if TYPE_CHECKING:
    from .protocol.response import Response


class WebSocketError(Exception):
    """The base class of all errors of greenws.

    :param msg: the message. With further arguments, ``msg`` is a template for ``str.format``;
        without them, braces have no meaning, so text from a peer can never act as a template.
        Control characters are escaped, and a very long message is cut
        (``redaction.printable``), because a message may quote a peer.
    """

    def __init__(self, msg: str = "", *args: object, **kwargs: object) -> None:
        text = msg.format(*args, **kwargs) if args or kwargs else str(msg)
        super().__init__(printable(text, MAX_MESSAGE))


class FrameBuildError(WebSocketError):
    """A frame cannot be built from these arguments."""


class WebSocketUnavailable(WebSocketError):
    """There is no connection to send on, or the caller must not use the connection.

    The connection is not ready, or belongs to another thread or to the parent process.
    """


class WebSocketClosing(WebSocketUnavailable):
    """The closing handshake has begun; no more data may be sent (RFC 6455 section 5.5.1)."""


class WebSocketClosed(WebSocketUnavailable):
    """The connection has ended.

    :param code: the close code received: 1005 if the close frame had none, 1006 if there was no
        close frame.
    :param reason: the reason of the peer's close frame, or why the connection has ended.
    :param sent_code: the close code sent, or None.
    :param graceful: True after a closing handshake, False after a failure.
    """

    def __init__(
        self,
        msg: str = "",
        *args: object,
        code: int = Status.ABNORMAL,
        reason: str = "",
        sent_code: int | None = None,
        graceful: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(msg, *args, **kwargs)
        #: The close code received: 1005 if the close frame had none, 1006 if there was none.
        self.code: int = code
        #: The reason of the peer's close frame, or why the connection has ended.
        self.reason: str = reason
        #: The close code sent, 1005 for an empty close frame; None: no close frame was sent.
        self.sent_code: int | None = sent_code
        #: True after a closing handshake, False after a failure.
        self.graceful: bool = graceful


class HandshakeError(WebSocketError):
    """The server's answer to the opening request is not a valid upgrade (RFC 6455 section 4.1)."""


class CompressionParameterError(HandshakeError):
    """The server's parameters of permessage-deflate are invalid (RFC 7692 section 7.1)."""


class ProtocolError(WebSocketError):
    """The peer violated the protocol."""

    #: The close code that reports the error to the peer.
    code: int = Status.PROTOCOL_ERROR
    #: Whether the following bytes of the stream can no longer be trusted.
    critical: bool = False


class PayloadTooLarge(ProtocolError):
    """A message, or the length in the head of a frame, is beyond the limit."""

    code = Status.MESSAGE_TOO_LARGE


class CriticalProtocolError(WebSocketError):
    """The peer sent data that cannot be decoded: invalid UTF-8, or a broken deflate stream."""

    code: int = Status.BAD_DATA
    critical: bool = True


class ConnectFail(WebSocketError):
    """The connection could not be opened; the message names the step and the cause."""


class ProxyFail(ConnectFail):
    """The proxy could not be reached, refused, or sent an invalid reply.

    :param response: the reply with which an HTTP proxy refused.
    :param socks_code: the code with which a SOCKS proxy refused.
    """

    def __init__(
        self,
        msg: str = "",
        *args: object,
        response: Response | None = None,
        socks_code: int | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(msg, *args, **kwargs)
        #: The reply with which an HTTP proxy refused; None for any other failure.
        self.response = response
        #: The status of that reply, 407 if the proxy requires (other) credentials; else None.
        self.status_code: int | None = None if response is None else response.status_code
        #: The reason phrase of that reply; may be empty.
        self.status: str = "" if response is None else response.status
        #: The code with which a SOCKS proxy refused: 1 to 8 for SOCKS5 (RFC 1928 section 6), 91 to
        #: 93 for SOCKS4; else None.
        self.socks_code = socks_code


class Rejected(ConnectFail):
    """The server answered, but not with a valid upgrade.

    :param response: the answer.
    """

    def __init__(
        self, msg: str = "", *args: object, response: Response | None = None, **kwargs: object
    ) -> None:
        super().__init__(msg, *args, **kwargs)
        #: The answer: ``status_code``, ``status``, ``headers``, ``body`` (its first 64 KiB).
        self.response = response


class TransportFail(WebSocketError):
    """The transport failed, or accepted no more data for ``send_timeout`` seconds."""
