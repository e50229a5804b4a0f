"""The replies of proxies: to CONNECT, and of SOCKS through a socket in memory."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from greenws.sessions.pysocks import load_pysocks
from tests.fuzz import heads
from tests.fuzz.builds import Build
from tests.fuzz.mutation import cut, mutate
from tests.fuzz.target import Case, Outcome, Target, require, require_visible

_VISIBLE = "an error has no control characters"


class Connect(Target):
    """The replies to CONNECT."""

    name = "connect"
    weight = 12
    is_compared = False

    def make(self, rng: random.Random) -> Case:
        stream = heads.make_interim(rng)
        kind = rng.randrange(10)
        if kind < 5:
            code = rng.choice([b"200", b"200", b"201", b"299"])
            stream += heads.make_head(rng, code, [b"Via: test"]) + heads.make_text(rng, 30)
        elif kind < 7:
            fields = [b"Proxy-Authenticate: Basic realm=" + heads.make_text(rng)]
            stream += heads.make_head(rng, b"407", fields)
        else:
            stream += heads.make_refusal(rng)
        if rng.random() < 0.5:
            stream = mutate(rng, stream)
        return Case([stream])

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        reader = build.http.ReplyReader("http://proxy:80")
        pieces = cut(case.streams[0], cuts[0])
        try:
            for number, piece in enumerate(pieces):
                reply = reader.feed(piece)
                if reply is not None:
                    status = build.http.check_reply(reply, "http://proxy:80")
                    require(200 <= status < 300, "a tunnel opens with a 2xx", status)
                    rest = reader.rest + b"".join(pieces[number + 1 :])
                    require(case.streams[0].endswith(rest), "the tunnel keeps its first bytes")
                    return [status, rest]
        except build.errors.ProxyFail as error:
            require_visible(str(error), _VISIBLE)
            require(len(str(error)) < 500, "an error is short")
            return ["refused", error.status_code]
        return ["incomplete"]


class _Reader:
    """The reading half of the socket: gives what there is of one piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [io.BytesIO(piece) for piece in pieces]
        self.taken = 0

    def read(self, size: int) -> bytes:
        while self._pieces:
            data = self._pieces[0].read(size)
            if data:
                self.taken += len(data)
                return data
            del self._pieces[0]
        return b""

    def close(self) -> None:
        pass


@lru_cache(maxsize=1)
def _load_socket_class() -> Any:
    """Return a ``socksocket`` that has no descriptor."""
    module = load_pysocks()

    class MemorySocket(module.socksocket):  # type: ignore[misc,name-defined]
        def __init__(self, pieces: list[bytes]) -> None:
            self._timeout = None
            self.proxy_sockname = self.proxy_peername = None
            self.reader = _Reader(pieces)
            self.written = io.BytesIO()

        def makefile(self, mode: str, buffering: int = -1) -> Any:
            return self.reader if "r" in mode else _Writer(self.written)

        def settimeout(self, timeout: float | None) -> None:
            pass

    return MemorySocket


class _Writer:
    def __init__(self, out: io.BytesIO) -> None:
        self.write = out.write

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def measure_socks4(reply: bytes) -> int | None:
    """Return the length of a reply of SOCKS4 that opens the tunnel; None: it does not."""
    return 8 if len(reply) >= 8 and reply[:2] == b"\0\x5a" else None


def measure_socks5(reply: bytes, has_credentials: bool) -> int | None:
    """Return the length of the replies of SOCKS5 that open the tunnel; None: they do not."""
    place = 2
    if reply[:2] == b"\x05\x02" and has_credentials:
        if reply[2:4] != b"\x01\x00":
            return None
        place = 4
    elif reply[:2] != b"\x05\x00":
        return None
    head = reply[place : place + 5]
    # The byte in reserve, the third, is not judged.
    if len(head) < 5 or head[:2] != b"\x05\x00" or head[3] not in (1, 3, 4):
        return None
    size = {1: 4, 3: head[4] + 1, 4: 16}[head[3]]
    end = place + 4 + size + 2
    return end if len(reply) >= end else None


class Socks(Target):
    """The replies of a SOCKS proxy."""

    name = "socks"
    weight = 8
    is_compared = False

    def make(self, rng: random.Random) -> Case:
        scheme = rng.choice(["socks4", "socks4a", "socks5", "socks5h"])
        user = rng.choice(["", "", "user:pw@", "u@", "%00:%ff@"])
        if scheme.startswith("socks4"):
            status = rng.choice([0x5A, 0x5A, 0x5A, 0x5B, 0x5C, 0x5D, rng.randrange(256)])
            reply = bytes((0, status)) + rng.randbytes(6)
            user = "" if "%00" in user else user
        else:
            reply = b"\x05" + rng.choice([b"\0", b"\0", b"\xff", rng.randbytes(1)])
            if user and rng.random() < 0.6:
                reply = b"\x05\x02\x01" + rng.choice([b"\0", b"\0", b"\x01", rng.randbytes(1)])
            status = rng.choice([0, 0, 0, 1, 2, 8, rng.randrange(256)])
            reply += bytes((5, status, 0)) + self._make_address(rng) + b"\x1f\x90"
        reply += rng.choice([b"", b"HTTP/1.1 101 x\r\n", rng.randbytes(4)])
        if rng.random() < 0.4:
            reply = mutate(rng, reply, [b"\0", b"\x05", b"\x05\x00", b"\x01\x00", b"\x5a", b"\xff"])
        numeric = scheme in ("socks4", "socks5")
        host = rng.choice(["127.0.0.1"] if numeric else ["a.example", "127.0.0.1", "xn--a"])
        if scheme.startswith("socks5") and rng.random() < 0.2:
            host = "::1"
        return Case([reply], {"proxy": f"{scheme}://{user}proxy:1080", "host": host})

    @staticmethod
    def _make_address(rng: random.Random) -> bytes:
        kind = rng.randrange(4)
        if kind == 0:
            return b"\x04" + rng.randbytes(16)
        if kind == 1:
            name = rng.randbytes(rng.choice([0, 1, 9, 255]))
            return bytes((3, len(name))) + name
        return b"\x01" + rng.randbytes(4)

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        proxy = build.address.parse_proxy(case.settings["proxy"])
        reply = case.streams[0]
        sock = _load_socket_class()(cut(reply, cuts[0]))
        if proxy.scheme.startswith("socks4"):
            expected = measure_socks4(reply)
        else:
            expected = measure_socks5(reply, proxy.username is not None)
        try:
            build.socks.negotiate(load_pysocks(), sock, proxy, case.settings["host"], 443)
        except build.errors.ProxyFail as error:
            require_visible(str(error), _VISIBLE)
            require(expected is None, "a valid reply opens the tunnel", str(error))
            return ["refused", error.socks_code, str(error)]
        require(expected is not None, "only a valid reply opens the tunnel")
        require(sock.reader.taken == expected, "no byte of the tunnel is read", sock.reader.taken)
        return ["open", sock.reader.taken, sock.written.getvalue()]
