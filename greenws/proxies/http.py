"""The CONNECT method of HTTP proxies: the request, and the meaning of the reply.

RFC 7231 section 4.3.6.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from ..constants import MAX_HEAD_SIZE, USER_AGENT
from ..errors import ProxyFail
from ..protocol.body import BodyReader
from ..protocol.head import RESPONSE_START, ForeignStart, HeadReader, HeadTooLarge, quote_bytes
from ..protocol.response import Response

# The largest number of characters that an error shows of a proxy's reason phrase.
_MAX_PHRASE = 100


def build_connect_request(
    host: str,
    port: int,
    credentials: bytes | None = None,
    headers: Sequence[tuple[bytes, bytes]] = ((b"User-Agent", USER_AGENT.encode()),),
) -> bytes:
    """Build the request for a tunnel.

    :param host: the name or address of the target; an IPv6 address has no brackets.
    :param credentials: ``user:password`` for Basic authentication (RFC 7617), or None.
    :param headers: more headers.
    """
    authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
    lines = [b"CONNECT %s HTTP/1.1" % authority, b"Host: %s" % authority]
    lines += [b"%s: %s" % field for field in headers]
    if credentials is not None:
        lines.append(b"Proxy-Authorization: Basic %s" % b64encode(credentials))
    return b"\r\n".join([*lines, b"", b""])


class ReplyReader:
    """Reads the reply to CONNECT in pieces, and skips interim replies.

    :param proxy: the name of the proxy in errors.
    :param limit: the largest size of all heads together, in bytes.
    """

    def __init__(self, proxy: str, limit: int = MAX_HEAD_SIZE) -> None:
        self._proxy = proxy
        self._most = self._limit = limit
        self._head = HeadReader(limit, RESPONSE_START)
        #: The bytes after the reply, which are the first bytes of the tunnel. Valid after
        #: :meth:`feed` has returned the reply.
        self.rest: bytes = b""

    @property
    def aside(self) -> str:
        """The end of an error's message: the first line of an unfinished reply; may be empty."""
        line = self._head.unfinished_line
        return f"; it sent {quote_bytes(line)}" if line else ""

    def feed(self, data: bytes | bytearray | memoryview) -> Response | None:
        """Take the next piece.

        :returns: the complete reply; None before the reply is complete.
        :raises ProxyFail: the reply is not HTTP, or is beyond the limit; the reader must not be
            used again.
        """
        piece = bytes(data)
        while True:
            try:
                head = self._head.feed(piece)
            except ForeignStart as error:
                message = error.describe("write https:// in the URL of the proxy")
                raise ProxyFail(f"proxy {self._proxy} {message}") from None
            except HeadTooLarge as error:
                raise ProxyFail(
                    f"proxy {self._proxy} sent a reply that is too long: its heads are larger than "
                    f"{self._most} bytes"
                ) from error
            if head is None:
                return None
            response = Response(head)
            piece = self._head.rest
            if not response.is_interim:
                self.rest = piece
                if not _is_success(response.status_code):
                    # The body of a refusal, as far as it came with the head: nobody waits for more.
                    body = BodyReader(response)
                    body.feed(piece)
                    response.body = body.body
                return response
            self._limit -= len(head)
            self._head = HeadReader(max(0, self._limit), RESPONSE_START)
            if not piece:
                return None


def check_reply(response: Response, proxy: str) -> int:
    """Return the status of a reply that opens the tunnel, which is any 2xx.

    :raises ProxyFail: the proxy refused; the message has the status and the reason phrase.
    """
    code = response.status_code
    if code is None:
        raise ProxyFail(f"proxy {proxy} sent a reply without a status")
    if not _is_success(code):
        phrase = "".join(c if c.isprintable() else "?" for c in response.status[:_MAX_PHRASE])
        message = f"proxy {proxy} refused the tunnel: {code} {phrase}".rstrip()
        if response.message:
            message += f"; it says '{response.message}'"
        raise ProxyFail(message, response=response)
    return code


def _is_success(code: int | None) -> bool:
    return code is not None and 200 <= code < 300
