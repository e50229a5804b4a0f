"""One opening handshake: the request, its redirects, and the outcome of the answer (RFC 6455
section 4).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote

from .. import constants
from ..options import CompressOptions, HeaderSource
from ..redaction import redact_url
from ..url import URL, join_url, parse_url
from . import handshake
from .body import BodyReader
from .compression import Deflate
from .extensions import OFFER, build_offer
from .head import RESPONSE_START, ForeignStart, HeadReader, HeadTooLarge, quote_bytes
from .response import Response

# Headers that the opening handshake sets itself. A user's value could only break the handshake.
_OWN_HEADERS = frozenset(
    {
        b"connection",
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    }
)
# Headers that describe the user and do not authorise anything: they may go to another origin.
_PORTABLE_HEADERS = frozenset({b"accept-language", b"origin", b"user-agent"})
# Lines of every request, or of nearly every one that offers to compress.
_VERSION_LINE = b"Sec-WebSocket-Version: %d" % constants.WS_VERSION
_EXTENSIONS = b"Sec-WebSocket-Extensions: "
_OFFER_LINE = _EXTENSIONS + OFFER.encode("ascii")
_ASCII = bytes(range(0x80))
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def check_header(name: str | bytes, value: str | bytes) -> tuple[bytes, bytes]:
    """Return a header of the user's as bytes (str as UTF-8).

    :raises TypeError: if one of the two is neither str nor bytes.
    :raises ValueError: if the name is not a token or is the handshake's own, or the value has a
        line break or a NUL.
    """
    if isinstance(name, str):
        name = name.encode("utf-8")
    if isinstance(value, str):
        value = value.encode("utf-8")
    if not isinstance(name, bytes):
        raise TypeError(f"the name of a header must be str or bytes, not {type(name).__name__}")
    if not isinstance(value, bytes):
        raise TypeError(
            f"the value of header {name[:64]!r} must be str or bytes, not {type(value).__name__}"
        )
    handshake.check_field(name, value)
    if name.lower() in _OWN_HEADERS:
        raise ValueError(f"header {name.decode()} is set by the opening handshake itself")
    return name, value


def check_headers(headers: HeaderSource) -> list[tuple[bytes, bytes]]:
    """Return the user's headers as pairs of bytes; errors as :func:`check_header`."""
    if isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(
            f"headers must be a mapping or pairs of name and value, not {type(headers).__name__}"
        )
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [check_header(*_check_pair(pair)) for pair in pairs]


def _check_pair(pair: object) -> tuple[Any, Any]:
    # No value is shown: it may be a credential.
    if isinstance(pair, (str, bytes)):
        raise TypeError(
            "headers must be pairs of name and value, such as ('Name', 'value'), and not lines "
            "such as 'Name: value'"
        )
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        size = f" of {len(pair)}" if isinstance(pair, (tuple, list)) else ""
        raise TypeError(
            f"headers must be pairs of name and value, not a {type(pair).__name__}{size}"
        )
    return pair[0], pair[1]


class CookieStore(Protocol):
    """A cookie jar, as the opening handshake uses it."""

    def build_header(self, target: URL) -> bytes:
        """Return the value of ``Cookie`` for a request to ``target``; empty: no such header."""

    def store(self, target: URL, response: Response) -> None:
        """Keep the cookies of a response from ``target``."""


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """What the user wants in the opening request. ``repr`` leaves out the headers."""

    protocols: Sequence[str] = ()
    agent: str = constants.USER_AGENT
    compress: bool | CompressOptions = False
    headers: HeaderSource | Callable[[], HeaderSource] | None = field(default=None, repr=False)
    added_headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    origin: str | None = None
    cookies: CookieStore | None = None
    max_redirects: int = constants.MAX_REDIRECTS

    def custom_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the user's own headers; a callable is called each time."""
        headers = self.headers() if callable(self.headers) else self.headers
        return [*(check_headers(headers) if headers else ()), *self.added_headers]


#: What a user wants who says nothing of it: one object for thousands of connections.
PLAIN_REQUEST = RequestOptions()


class Upgraded:
    """The connection is a WebSocket now; ``rest`` are its first bytes."""

    __slots__ = ("response", "rest")

    def __init__(self, response: Response, rest: bytes) -> None:
        self.response: Response = response
        self.rest: bytes = rest


class Refused:
    """The answer is final, and is no upgrade."""

    __slots__ = ("reason", "response")

    def __init__(self, response: Response, reason: str) -> None:
        self.response: Response = response
        self.reason: str = reason


class Redirected:
    """The request has to be made again, at :attr:`Opening.target`."""

    __slots__ = ("response",)

    def __init__(self, response: Response) -> None:
        self.response: Response = response


Outcome = Upgraded | Refused | Redirected


class Opening:
    """The opening handshake of one connection.

    :param url: the URL of the WebSocket.
    :param follows_redirects: whether the session can connect elsewhere.
    :param waits_for_body: whether the session calls :meth:`end` at the end of the stream; if not, a
        rejection is complete with its head.
    """

    __slots__ = (
        "_body",
        "_head",
        "_is_answered",
        "_obstacle",
        "_response",
        "_url",
        "follows_redirects",
        "hops",
        "is_at_end",
        "key",
        "options",
        "rejection",
        "requested_at",
        "target",
        "unread",
        "waits_for_body",
    )

    def __init__(
        self,
        url: URL,
        options: RequestOptions,
        follows_redirects: bool,
        waits_for_body: bool = True,
    ) -> None:
        self._url = url
        # Whether the request has its answer: bytes behind the answer mean nothing.
        self._is_answered = False
        # The reader of the answer's head; None: no byte of the answer has come yet.
        self._head: HeadReader | None = None
        self._response: Response | None = None
        self._body: BodyReader | None = None
        # Why a redirect is not followed; empty if the answer is no redirect.
        self._obstacle = ""
        #: What the user wants in the requests to come.
        self.options: RequestOptions = options
        #: Whether the session can connect elsewhere.
        self.follows_redirects: bool = follows_redirects
        #: Whether a rejection is held back until its body has ended.
        self.waits_for_body: bool = waits_for_body
        #: Whether the server has ended the stream on which it answers.
        self.is_at_end: bool = False
        #: Received bytes of the answer that were not given to :meth:`feed` yet.
        self.unread: bytes = b""
        #: When the request was made, by the clock of the tracer; 0.0: nobody listens to the trace.
        self.requested_at: float = 0.0
        #: Where the request goes.
        self.target: URL = url
        #: The number of redirects that were followed. A redirect may lead to where it came from, so
        #: this number tells of it, and :attr:`target` does not.
        self.hops: int = 0
        #: The Sec-WebSocket-Key of the request.
        self.key: bytes = b""
        #: What the answer was, if it was no upgrade; empty: there is no such answer.
        self.rejection: str = ""

    def build_request(self) -> bytes:
        """Return the request (RFC 6455 section 4.1), with a key of its own.

        What is left of the answer to an earlier request is forgotten.
        """
        key = self.key = handshake.new_handshake_key()
        self._head = self._response = self._body = None
        self._obstacle = ""
        self._is_answered = self.is_at_end = False
        self.unread = b""
        options = self.options
        target = self.target
        before, after = _common_lines(target.resource, target.host_header, options.agent)
        lines = [*before, b"Sec-WebSocket-Key: " + key, *after]
        if options.origin is not None:
            lines.append(b"Origin: " + options.origin.encode("utf-8"))
        if target.userinfo is not None:
            lines.append(b"Authorization: Basic " + b64encode(target.userinfo))
        if options.protocols:
            protocols = ", ".join(options.protocols)
            lines.append(b"Sec-WebSocket-Protocol: " + protocols.encode("ascii"))
        if options.compress is True:
            lines.append(_OFFER_LINE)
        elif options.compress is not False:
            lines.append(_EXTENSIONS + build_offer(options.compress).encode("ascii"))
        if options.cookies is not None:
            cookie = options.cookies.build_header(target)
            if cookie:
                handshake.check_field(b"Cookie", cookie)
                lines.append(b"Cookie: " + cookie)
        if options.headers is not None or options.added_headers:
            custom = options.custom_headers()
            if target.origin != self._url.origin:
                # RFC 6454: a header that was meant for one origin is not for another.
                custom = [pair for pair in custom if pair[0].lower() in _PORTABLE_HEADERS]
            # The user's own headers take the place of ours.
            given = {name.lower() for name, _ in custom}
            # The request line stays: it has a blank, and no name has.
            lines = [line for line in lines if line.partition(b":")[0].lower() not in given]
            lines += [b"%b: %b" % pair for pair in custom]
        # Every part has been checked where it came in.
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

    def feed(self, data: bytes) -> Outcome | None:
        """Take bytes of the answer; return the outcome, or None while the answer is incomplete.

        Bytes behind an answer that has its outcome are dropped, until the next request.
        """
        if self._is_answered:
            return None
        outcome = self._read_answer(data)
        if outcome is not None:
            self._is_answered = True
        return outcome

    def _read_answer(self, data: bytes) -> Outcome | None:
        while self._body is None:
            reader = self._head
            if reader is None:
                reader = self._head = HeadReader(start=RESPONSE_START)
            try:
                head = reader.feed(data)
            except ForeignStart as error:
                cure = "" if self.target.is_secure else "use wss://"
                response = Response(error.data[: constants.MAX_HEAD_SIZE])
                return self._refuse(response, "the server " + error.describe(cure))
            except HeadTooLarge as error:
                return self._refuse(Response(data[: constants.MAX_HEAD_SIZE]), str(error))
            if head is None:
                return None
            data = reader.rest
            response = Response(head)
            code = response.status_code
            if code is None:
                line = quote_bytes(response.start_line.encode("latin-1"))
                return self._refuse(response, f"the status line of the answer is malformed: {line}")
            if response.is_interim:  # RFC 7231 section 6.2: any number, before the answer
                self._head = None
                continue
            if self.options.cookies is not None:
                self.options.cookies.store(self.target, response)
            if code == 101:
                return Upgraded(response, data)
            location = response.get("location")
            if code in _REDIRECTS and location:
                self._obstacle = self._redirect(location)
                if not self._obstacle:
                    return Redirected(response)
            self._response = response
            self._body = BodyReader(response)
        return self.end() if self._body.feed(data) else None

    def end(self) -> Refused | None:
        """Take the end of the stream, or the decision not to wait for more of a body.

        :returns: the rejection, if the answer is one; None: there is no whole head yet.
        """
        response = self._response
        if response is None or self._body is None:
            return None
        response.body = self._body.body
        self._response = None
        self._is_answered = True
        reason = f"Websocket upgrade failed (code={response.status_code})"
        if self._obstacle:
            return Refused(response, f"{reason}; {self._obstacle}")
        return self._refuse(response, reason)

    def _refuse(self, response: Response, reason: str) -> Refused:
        return Refused(response, reason + self.detour)

    @property
    def detour(self) -> str:
        """The end of an error's message: where redirects have led; empty: there were none."""
        return f"; redirected to {redact_url(self.target.redact())}" if self.hops else ""

    @property
    def compress(self) -> bool | CompressOptions:
        """Whether permessage-deflate is offered, or what is offered of it."""
        return self.options.compress

    @property
    def awaits_body(self) -> bool:
        """Whether the answer is a rejection whose body has not ended."""
        return self._response is not None

    @property
    def aside(self) -> str:
        """What is known beside the reason why there is no whole answer: what there is of its first
        line, and :attr:`detour`. The further lines may have secrets.
        """
        line = b"" if self._head is None else self._head.unfinished_line
        return (f"; the server sent {quote_bytes(line)}" if line else "") + self.detour

    def check_response(self, response: Response) -> tuple[str | None, set[str], Deflate | None]:
        """Check an answer of 101; see :func:`greenws.protocol.handshake.check_response`."""
        return handshake.check_response(
            response, self.key, self.options.protocols, self.options.compress
        )

    def _redirect(self, location: str) -> str:
        """Set the new target and return "", or return why the redirect must not be followed."""
        limit = self.options.max_redirects
        if not self.follows_redirects:
            return "redirects are not followed here"
        if self.hops >= limit:
            return f"more than {limit} redirects" if limit else "redirects are switched off"
        try:
            target = parse_url(join_url(self.target, _decode_location(location)))
        except ValueError:
            return "the redirect leads to no WebSocket"
        if target.host == self.target.host.partition("%")[0]:
            # A server does not know by which zone it is reached (RFC 6874 section 1): its address
            # without a zone means itself.
            target = replace(target, host=self.target.host)
        if self.target.is_secure and not target.is_secure:
            return f"the redirect leads out of TLS, to {redact_url(target.redact())}"
        if target.userinfo is None and target.origin == self._url.origin:
            target = target.with_userinfo(self._url.userinfo)
        self.hops += 1
        self.target = target
        return ""


# Thousands of clients use few different URLs.
@lru_cache(maxsize=256)
def _common_lines(
    resource: str, host_header: str, agent: str
) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return the lines of a request before its key, and those after it that each request has."""
    return (
        (
            b"GET %b HTTP/1.1" % resource.encode("ascii"),
            b"Host: " + host_header.encode("ascii"),
            b"Upgrade: websocket",
            b"Connection: Upgrade",
        ),
        (_VERSION_LINE, b"User-Agent: " + agent.encode("utf-8")),
    )


def _decode_location(location: str) -> str:
    """Return a ``Location`` as the text of a URL: its bytes beyond ASCII as the server meant them.

    The path and the query of a URL are percent-encoded as UTF-8, so the bytes of UTF-8 stay as they
    are, and a host is a name beyond ASCII. Bytes that are not UTF-8 can be percent-encoded only.
    """
    if location.isascii():
        return location
    raw = location.encode("latin-1")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return quote(raw, safe=_ASCII)
