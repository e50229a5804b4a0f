"""The answers to the opening request, and whole chains of redirects, through ClientProtocol."""

from __future__ import annotations

import contextlib
import random
import re
import string
from collections.abc import Iterator, Sequence
from http.cookiejar import CookieJar
from typing import Any

from tests.fuzz import heads
from tests.fuzz.builds import Build
from tests.fuzz.frames import make_wire
from tests.fuzz.mutation import cut, mutate
from tests.fuzz.target import Case, Outcome, Target, Violated, require, require_visible

# A request as RFC 7230 has it: nothing that a peer sent may add a line to it.
_REQUEST = re.compile(
    rb"GET /[!-~]* HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*\r\n)+"
    rb"\r\n"
)
_SECRET = b"the-secret-of-the-first-origin"
# What a decoder leaves of bytes that it cannot decode.
_LOST = "\N{REPLACEMENT CHARACTER}"
# The reasons for which an answer counts as none.
_NO_HEAD = re.compile("the head is larger|not speak HTTP|not HTTP")
# The end of a line that the next one continues.
_FOLD = re.compile(rb"[ \t\r]*\n[ \t]+")
_MAX_BODY = 64 * 1024
_MAX_REDIRECTS = 4


class Conversation:
    """A driver of one opening, which follows redirects from stream to stream.

    :param streams: what the server of each connection sends.
    """

    def __init__(self, build: Build, case: Case) -> None:
        self.build = build
        self.settings = case.settings
        self.streams = case.streams
        self.outcome: Outcome = []
        self.redirects = 0
        self.received = b""
        self.jar = CookieJar()
        settings = case.settings
        self.url = build.url.parse_url(settings["url"])
        self.protocol = build.client_protocol.ClientProtocol(
            self.url,
            build.opening.RequestOptions(
                protocols=("v1", "v2") if settings["protocols"] else (),
                compress=settings["compress"],
                headers={"X-Token": _SECRET.decode(), "Authorization": "Bearer x"},
                cookies=build.cookies.Cookies(self.jar) if settings["cookies"] else None,
                max_redirects=_MAX_REDIRECTS,
            ),
            1 << 16,
            follows_redirects=settings["follows"],
            waits_for_body=settings["waits_for_body"],
            tracer=build.trace.Tracer("ws://traced", self.trace),
        )

    def trace(self, record: dict[str, Any]) -> None:
        if record["stage"] == "redirect":
            self.redirects += 1
            require_visible(record["target"], "a trace has no control characters")

    def run(self, cuts: Sequence[Sequence[int]]) -> Outcome:
        """Go from connection to connection until one is no redirect."""
        for number, (stream, places) in enumerate(zip(self.streams, cuts, strict=True)):
            require(number <= _MAX_REDIRECTS, "no more redirects are followed than allowed")
            if not self.converse(stream, places):
                break
        require(len(self.jar) <= 2000, "the jar of a connection is bounded", len(self.jar))
        return self.outcome

    def converse(self, stream: bytes, places: Sequence[int]) -> bool:
        """Feed one connection; return whether the answer leads to another one."""
        protocol = self.protocol
        target = protocol.target
        self.check_request(protocol.build_request(), target)
        accept = self.build.handshake.accept_for(protocol.key)
        stream = stream.replace(heads.ACCEPT, accept.encode())
        self.received += stream
        redirects = self.redirects
        try:
            for piece in cut(stream, places):
                self.feed(piece)
                if self.redirects > redirects and not self.settings["is_late"]:
                    break
            if self.redirects == redirects and self.settings["eof"]:
                self.feed(b"")
        except (
            self.build.errors.ProtocolError,
            self.build.errors.CriticalProtocolError,
        ) as error:
            require_visible(str(error), "an error has no control characters")
            require(len(str(error)) < 1000, "an error is short")
            # What a driver answers with.
            reason = self.build.frame.fit_close_reason(str(error))
            protocol.encode_close(error.code, reason)
            self.outcome.append((type(error).__name__, error.code))
        if self.redirects == redirects:
            return False
        require(self.redirects == redirects + 1, "an answer redirects once")
        require(protocol.is_opening and not protocol.is_closed, "a redirect is no end")
        self.check_target(target, protocol.target)
        return True

    def feed(self, piece: bytes) -> None:
        for event in self.protocol.feed(piece, 1.0):
            self.take(event)

    def check_request(self, request: bytes, target: Any) -> None:
        require(_REQUEST.fullmatch(request), "a request is made of valid lines", request)
        if target.origin != self.url.origin:
            require(_SECRET not in request, "headers stay with their origin", request)
        cookies = [
            line.partition(b": ")[2]
            for line in request.split(b"\r\n")
            if line.startswith(b"Cookie: ")
        ]
        for cookie in cookies:
            for pair in cookie.split(b"; "):
                name, _, value = pair.partition(b"=")
                received = _FOLD.sub(b" ", self.received)
                require(
                    name in received and value in received,
                    "cookies go back as they were set",
                    (pair, received),
                )
        head, _, rest = request.partition(b"\r\n")
        self.outcome.append(("request", head, target.host, target.port, target.scheme, cookies))

    def check_target(self, before: Any, after: Any) -> None:
        require(before.scheme == "ws" or after.scheme == "wss", "no redirect leads out of TLS")
        is_replaced = "%EF%BF%BD" in after.resource.upper()
        given = b"\xef\xbf\xbd" in self.received or b"%ef%bf%bd" in self.received.lower()
        require(not is_replaced or given, "a Location keeps its bytes", after.resource)

    def take(self, event: Any) -> None:
        """Note an event, and check what it brings to eyes."""
        protocol = self.protocol
        shown = repr(event)
        require_visible(shown, "a repr has no control characters")
        name = event.name
        if name in ("ready", "rejected"):
            response = event.response
            if response.status_code is not None:
                self.check_response(response)
            facts: Any = (response.status_code, response.http_ver, response.status)
            fields = list(response.fields)
            if name == "ready":
                extensions = sorted(event.extensions)
                self.outcome.append((name, facts, fields, event.protocol, extensions))
            else:
                require_visible(event.reason, "a reason has no control characters")
                require(len(event.reason) < 1000, "a reason is short")
                require(len(response.body) <= _MAX_BODY, "a body is bounded")
                wait = self.build.backoff.find_retry_after(event)
                require(wait is None or 0 <= wait <= 3600, "Retry-After is bounded", wait)
                self.outcome.append((name, facts, fields, event.reason, response.body))
            return
        content = {"text": "text", "binary": "data", "ping": "data", "pong": "data"}.get(name)
        value = getattr(event, content) if content else (event.code, event.reason)
        self.outcome.append((name, value))
        if name == "ping":
            protocol.encode(10, event.data)
        elif name == "closing":
            protocol.encode_close(event.code, event.reason if event.code else "")
        elif name == "text":
            protocol.encode(1, event.text.encode())

    def check_response(self, response: Any) -> None:
        is_lost = b"\xef\xbf\xbd" not in response.raw
        for name, value in response.fields:
            for text in (name, value):
                if "\0" in text or "\r" in text or "\n" in text:
                    raise Violated("no NUL, CR or LF in a header reaches the user", text)
                require(_LOST not in text or not is_lost, "a header keeps its bytes", text)


@contextlib.contextmanager
def _fixed_key(build: Build) -> Iterator[None]:
    """Have each request use the same key, so that an input always has the same bytes."""
    genuine = build.handshake.urandom
    build.handshake.urandom = bytes  # bytes(16) are sixteen zeros
    try:
        yield
    finally:
        build.handshake.urandom = genuine


class Answers(Target):
    """What comes of one answer to the opening request, and of the bytes after it."""

    name = "answers"
    weight = 12

    def make(self, rng: random.Random) -> Case:
        kind = rng.randrange(10)
        stream = heads.make_interim(rng)
        if kind < 6:
            stream += heads.make_upgrade(rng) + make_wire(rng, True)[:2000]
        elif kind < 9:
            stream += heads.make_refusal(rng)
        else:
            stream += heads.make_redirect(rng)
        if rng.random() < 0.5:
            stream = mutate(rng, stream)
        return Case([stream], _make_settings(rng, follows=False))

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        with _fixed_key(build):
            return Conversation(build, case).run(cuts)

    def essence(self, outcome: Outcome) -> Any:
        """Leave out what may depend on how much had arrived when it was clear."""
        kept = []
        for fact in outcome:
            if fact[0] == "rejected":
                # Of what is no head, or too large a one, the response has some bytes; and a body
                # may end early.
                is_head = fact[1][0] is not None and not _NO_HEAD.search(fact[3])
                kept.append(("rejected", *fact[1:3]) if is_head else ("rejected",))
                continue
            kept.append(fact)
            if fact[0] == "ready" and any("window_bits" in value for _, value in fact[2]):
                # zlib judges a reference beyond a small window by the cuts: within one call it
                # looks back into its output.
                break
        return kept


class Redirects(Answers):
    """Chains of redirects, which end in any answer."""

    name = "redirects"
    weight = 12

    def make(self, rng: random.Random) -> Case:
        streams = []
        for _ in range(rng.choice([1, 1, 2, 3, 5, 7])):
            stream = heads.make_interim(rng) if rng.random() < 0.2 else b""
            stream += heads.make_redirect(rng)
            if rng.random() < 0.2:
                stream = mutate(rng, stream)
            streams.append(stream)
        if rng.random() < 0.3:  # the same answer for ever
            streams = [streams[0]] * len(streams)
        streams.append(heads.make_upgrade(rng) if rng.random() < 0.7 else heads.make_refusal(rng))
        return Case(streams, _make_settings(rng, follows=True))


class Locations(Target):
    """Where a Location leads from a URL."""

    name = "locations"
    weight = 8
    is_compared = False

    def make(self, rng: random.Random) -> Case:
        location = heads.make_url(rng)
        if rng.random() < 0.4:
            location = mutate(rng, location)
        return Case([], {"base": _make_base(rng), "location": location})

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        base = build.url.parse_url(case.settings["base"])
        location: bytes = case.settings["location"]
        try:
            joined = build.url.join_url(base, location.decode("latin-1"))
            url = build.url.parse_url(joined)
        except ValueError as error:
            require_visible(str(error), "an error has no control characters")
            return ["refused"]
        require_visible(repr(url), "a repr has no control characters")
        for text in (url.resource, url.host_header, url.redact()):
            require(text.isascii() and text.isprintable(), "a request has visible ASCII", text)
            require(" " not in text, "a request has no spaces", text)
        require(url.resource.startswith("/"), "a resource begins with a slash", url.resource)
        require(0 < url.port < 65536, "a port is a port", url.port)
        again = build.url.parse_url(url.redact())
        require(
            (again.origin[0], again.host_header, again.resource)
            == (url.origin[0], url.host_header, url.resource),
            "a URL stays as it is when it is parsed again",
            (again, url),
        )
        if location[:1] == b"/" and location[1:2].isalnum():
            # A zone has no place in a URL that is joined; the opening puts it back.
            kept = (url.scheme, url.host_header) == (base.scheme, base.host_header)
            require(kept, "a relative redirect keeps its origin", (base, url))
        return [url.scheme, url.host, url.port, url.resource, url.userinfo]


class Bodies(Target):
    """The body of a response, and the reader of heads on its own."""

    name = "bodies"
    weight = 8
    is_compared = False

    def make(self, rng: random.Random) -> Case:
        stream = heads.make_refusal(rng)
        if rng.random() < 0.5:
            stream = mutate(rng, stream)
        return Case([stream], {"limit": rng.choice([0, 1, 20, 1 << 16])})

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        reader = build.head.HeadReader()
        pieces = iter(cut(case.streams[0], cuts[0]))
        try:
            raw = _read_head(reader, pieces)
        except build.head.HeadTooLarge:
            return ["too large"]
        if raw is None:
            return ["no head"]
        require(len(raw) <= 1 << 16, "a head is bounded")
        response = build.response.Response(raw)
        body = build.body.BodyReader(response, case.settings["limit"])
        body.feed(reader.rest)
        for piece in pieces:
            body.feed(piece)
        require(len(body.body) <= case.settings["limit"], "a body is bounded")
        return [raw, response.status_code, response.headers, body.body, body.is_complete]


def _read_head(reader: Any, pieces: Iterator[bytes]) -> bytes | None:
    for piece in pieces:
        raw: bytes | None = reader.feed(piece)
        if raw is not None:
            return raw
    return None


def _make_base(rng: random.Random) -> str:
    scheme = rng.choice(["ws", "ws", "ws", "wss"])
    host = rng.choice([*heads.HOSTS, heads.HOSTS[0], heads.HOSTS[0]]).decode()
    user = rng.choice(["", "", "user:pw@"])
    path = "".join(rng.choices(string.ascii_letters + "/?=", k=rng.randint(0, 8)))
    return f"{scheme}://{user}{host}{rng.choice(['', '', ':9001'])}/{path}"


def _make_compress(rng: random.Random) -> bool | dict[str, Any]:
    if rng.random() < 0.7:
        return rng.random() < 0.7
    wishes: dict[str, Any] = {
        "client_max_window_bits": rng.randint(8, 15),
        "server_max_window_bits": rng.randint(8, 15),
        "client_no_context_takeover": rng.random() < 0.5,
        "server_no_context_takeover": rng.random() < 0.5,
        "level": rng.randint(-1, 9),
        "min_size": rng.randint(0, 100),
    }
    return {name: wishes[name] for name in wishes if rng.random() < 0.4}


def _make_settings(rng: random.Random, follows: bool) -> dict[str, Any]:
    return {
        "url": _make_base(rng),
        "follows": follows,
        "protocols": rng.random() < 0.5,
        "compress": _make_compress(rng),
        "cookies": rng.random() < 0.7,
        "waits_for_body": rng.random() < 0.8,
        "eof": rng.random() < 0.8,
        # Whether the driver reads to the end before it sees that the answer is a redirect.
        "is_late": rng.random() < 0.3,
    }
