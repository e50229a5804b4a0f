"""The CONNECT method: what to ask an HTTP proxy, and what its reply means (RFC 7231 4.3.6)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from ..constants import MAX_HEAD_SIZE, USER_AGENT
from ..errors import ProxyFail
from ..protocol.head import HeadReader, HeadTooLarge
from ..protocol.response import Response

_START = b"HTTP/"
# Characters of a proxy's reason phrase that are shown.
_MAX_PHRASE = 100


def build_connect_request(
    host: str,
    port: int,
    credentials: bytes | None = None,
    headers: Sequence[tuple[bytes, bytes]] = ((b"User-Agent", USER_AGENT.encode()),),
) -> bytes:
    """Build the request for a tunnel.

    :param host: of the target: a name, or an address, IPv6 without brackets.
    :param credentials: ``user:password`` for Basic authentication (RFC 7617), or None.
    :param headers: further header fields.
    """
    authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode("ascii")
    lines = [b"CONNECT %s HTTP/1.1" % authority, b"Host: %s" % authority]
    lines += [b"%s: %s" % field for field in headers]
    if credentials is not None:
        lines.append(b"Proxy-Authorization: Basic %s" % b64encode(credentials))
    return b"\r\n".join([*lines, b"", b""])


class ReplyReader:
    """Reads the reply to CONNECT in pieces, past interim ones.

    :param proxy: how errors name the proxy.
    :param limit: bytes of all heads together.
    """

    def __init__(self, proxy: str, limit: int = MAX_HEAD_SIZE) -> None:
        self._proxy = proxy
        self._limit = limit
        self._start = b""
        self._head = HeadReader(limit)
        #: What followed the reply: the first bytes of the tunnel. Valid once it is complete.
        self.rest: bytes = b""

    def feed(self, data: bytes | bytearray | memoryview) -> Response | None:
        """Take the next piece; the reply once it is complete, else None.

        :raises ProxyFail: it is no HTTP, or beyond the limit; the reader is of no further use.
        """
        piece = bytes(data)
        while True:
            self._check_start(piece)
            try:
                head = self._head.feed(piece)
            except HeadTooLarge as error:
                raise ProxyFail(f"proxy {self._proxy} sent too long a reply: {error}") from error
            if head is None:
                return None
            response = Response(head)
            piece = self._head.rest
            if not response.is_interim:
                self.rest = piece
                return response
            self._limit -= len(head)
            self._start = b""
            self._head = HeadReader(max(0, self._limit))
            if not piece:
                return None

    def _check_start(self, piece: bytes) -> None:
        # At once, as what is not HTTP may wait for us to speak instead of ending its line.
        if len(self._start) < len(_START):
            self._start = (self._start + piece[: len(_START)]).lstrip(b"\r\n")[: len(_START)]
            if not _START.startswith(self._start):
                raise ProxyFail(f"proxy {self._proxy} does not speak HTTP")


def check_reply(response: Response, proxy: str) -> int:
    """Return the status if the tunnel stands: any 2xx.

    :raises ProxyFail: the proxy refused; with its status and phrase.
    """
    code = response.status_code
    if code is None:
        raise ProxyFail(f"proxy {proxy} sent a reply without a status")
    if not 200 <= code < 300:
        phrase = "".join(c if c.isprintable() else "?" for c in response.status[:_MAX_PHRASE])
        message = f"proxy {proxy} refused the tunnel: {code} {phrase}".rstrip()
        raise ProxyFail(message, response=response)
    return code
