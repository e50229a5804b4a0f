"""Where a connection is when its end comes.

Each place is a context manager: it makes the servers of one end, and sets ``url``, ``options`` and
``activity`` of its plan.
"""

from __future__ import annotations

import _socket
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import gevent.ssl
from gevent.exceptions import ConcurrentObjectUseError

from greenws import Backoff
from greenws.constants import SHORTEST_WAIT
from tests.chaos.plan import Plan
from tests.support.loopback import LoopbackServer, closed_port, full_port
from tests.support.peer import CLOSE, PING, PONG, TEXT, RawServerPeer, build, build_text
from tests.support.proxies import HTTPProxy, SocksProxy
from tests.support.waiting import PATIENCE

_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
_SOCKS = ["socks4a", "socks5", "socks5h"]
#: A name that the resolver of :func:`slow_names` knows, after a while.
SLOW_NAME = "slow.invalid"


@contextlib.contextmanager
def slow_names(rng: random.Random) -> Iterator[None]:
    """Have the resolver's threads take some milliseconds for :data:`SLOW_NAME`."""
    genuine: Any = _socket.getaddrinfo

    def look_up(host: Any, *args: Any) -> Any:
        if host not in (SLOW_NAME, SLOW_NAME.encode()):
            return genuine(host, *args)
        time.sleep(rng.uniform(0, 0.02))
        if rng.random() < 0.5:
            raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")
        return genuine("127.0.0.1", *args)

    _socket.getaddrinfo = look_up
    try:
        yield
    finally:
        gevent.get_hub().threadpool.join()
        _socket.getaddrinfo = genuine


@contextlib.contextmanager
def _serve(plan: Plan, script: Callable[[RawServerPeer], object]) -> Iterator[LoopbackServer]:
    """Serve at ``plan.url``, with TLS if the plan has it."""

    def run(peer: RawServerPeer) -> None:
        plan.peer = peer
        script(peer)

    context = plan.tools.server_context if plan.is_secure else None
    with LoopbackServer(_tolerant(run), context) as server:
        plan.url = server.url
        yield server


def _tolerant(script: Callable[[RawServerPeer], object]) -> Callable[[RawServerPeer], None]:
    """Let a script meet that a deed closes, or uses, its socket meanwhile."""

    def run(peer: RawServerPeer) -> None:
        try:
            script(peer)
        except ConcurrentObjectUseError:
            pass
        except ValueError as error:
            if "closed or unwrapped SSL socket" not in str(error):
                raise

    return run


def _accept(plan: Plan, peer: RawServerPeer, then: bytes = b"") -> None:
    peer.accept(_DEFLATE if plan.is_compressed else b"", then)


def _echo(peer: RawServerPeer) -> None:
    """Echo frames as they are, so that deflated ones stay what they are."""
    while True:
        frame = peer.read_frame()
        if frame.opcode == PING:
            peer.send(build(PONG, frame.payload))
        elif frame.opcode != PONG:
            peer.send(build(frame.opcode, frame.payload, frame.fin, 4 if frame.rsv1 else 0))
        if frame.opcode == CLOSE:
            return


@contextlib.contextmanager
def names(plan: Plan) -> Iterator[None]:
    """The name is looked up."""
    with _serve(plan, lambda peer: (_accept(plan, peer), _echo(peer))) as server:
        scheme = "wss" if plan.is_secure else "ws"
        plan.url = f"{scheme}://{SLOW_NAME}:{server.port}/"
        plan.options["server_hostname"] = "localhost"
        plan.reached.set()
        yield


@contextlib.contextmanager
def tcp(plan: Plan) -> Iterator[None]:
    """The server does not answer the connect."""
    with full_port() as port:
        plan.url = f"ws://127.0.0.1:{port}/"
        plan.reached.set()
        yield


@contextlib.contextmanager
def http_proxy(plan: Plan) -> Iterator[None]:
    """The proxy, with TLS or without, does not answer CONNECT, or only in part."""
    is_secure = plan.rng.random() < 0.5
    part = plan.rng.choice([b"", b"HTTP/1.1 200 OK\r\nVia"])

    def script(peer: RawServerPeer) -> None:
        plan.peer = peer
        peer.sock.recv(65536)
        peer.send(part)
        plan.reached.set()
        peer.read_until_end()

    with LoopbackServer(
        _tolerant(script), plan.tools.server_context if is_secure else None
    ) as server:
        plan.url = f"{'wss' if plan.is_secure else 'ws'}://target.invalid/"
        scheme = "https" if is_secure else "http"
        plan.options["proxies"] = {"all": f"{scheme}://localhost:{server.port}"}
        yield


@contextlib.contextmanager
def socks_proxy(plan: Plan) -> Iterator[None]:
    """The SOCKS proxy does not answer, or only in part."""
    part = plan.rng.choice([b"", b"\x05", b"\x05\0", b"\x05\0\x05\0\0\x03\xff"])

    def script(peer: RawServerPeer) -> None:
        plan.peer = peer
        peer.sock.recv(65536)
        peer.send(part)
        plan.reached.set()
        peer.read_until_end()

    with LoopbackServer(_tolerant(script)) as server:
        plan.url = f"{'wss' if plan.is_secure else 'ws'}://target.invalid/"
        plan.options["proxies"] = {"all": f"socks5h://127.0.0.1:{server.port}"}
        yield


@contextlib.contextmanager
def tunnel(plan: Plan) -> Iterator[None]:
    """Messages go there and back through a proxy."""
    with echoing(plan), plan.rng.choice([HTTPProxy, SocksProxy])() as proxy:
        proxy.hosts["localhost"] = "127.0.0.1"
        scheme = "http" if isinstance(proxy, HTTPProxy) else plan.rng.choice(_SOCKS)
        plan.options["proxies"] = {"all": f"{scheme}://localhost:{proxy.port}"}
        yield


@contextlib.contextmanager
def tls(plan: Plan) -> Iterator[None]:
    """The TLS handshake stands still, or is late."""
    is_silent = plan.rng.random() < 0.5

    def script(peer: RawServerPeer) -> None:
        sock = peer.sock
        plan.peer = peer
        plan.reached.set()
        if is_silent:
            peer.read_until_end()
            return
        gevent.sleep(plan.rng.uniform(SHORTEST_WAIT, 0.01))
        context = plan.tools.server_context
        secure = gevent.ssl.SSLSocket(sock, server_side=True, _context=context)
        with contextlib.closing(secure):
            peer = plan.peer = RawServerPeer(secure)
            _accept(plan, peer)
            _echo(peer)

    plan.is_secure = True
    with LoopbackServer(_tolerant(script)) as server:
        plan.url = f"wss://localhost:{server.port}/"
        yield


@contextlib.contextmanager
def upgrade(plan: Plan) -> Iterator[None]:
    """The answer to the request comes late, byte by byte, or never."""
    how = plan.rng.choice(["never", "dribble", "body", "redirect"])

    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        plan.reached.set()
        if how == "dribble":
            peer.dribble(peer.answer(_DEFLATE if plan.is_compressed else b""))
            _echo(peer)
        elif how == "body":
            peer.send(b"HTTP/1.1 503 x\r\nContent-Length: 100\r\n\r\nso far")
        elif how == "redirect":
            peer.send(b"HTTP/1.1 302 x\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
        peer.read_until_end()

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def idle(plan: Plan) -> Iterator[None]:
    """The connection is ready, and nothing happens."""

    def script(peer: RawServerPeer) -> None:
        _accept(plan, peer)
        plan.reached.set()
        _echo(peer)

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def echoing(plan: Plan) -> Iterator[None]:
    """Messages go there and back."""
    plan.activity = "echo"
    with idle(plan):
        yield


@contextlib.contextmanager
def flooded(plan: Plan) -> Iterator[None]:
    """The server sends as fast as it can."""
    frames = b"".join(build_text("x" * size) for size in (10, 64, 500)) * 30

    def script(peer: RawServerPeer) -> None:
        _accept(plan, peer, frames)
        plan.reached.set()
        while True:
            peer.send(frames)
            gevent.sleep(0)

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def writing(plan: Plan) -> Iterator[None]:
    """A sender waits, as the server does not read."""
    plan.activity = "send much"

    def script(peer: RawServerPeer) -> None:
        _accept(plan, peer)
        plan.reached.set()
        gevent.sleep(PATIENCE)

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def reading(plan: Plan) -> Iterator[None]:
    """A message has come in part."""
    whole = plan.rng.choice(
        [
            build(TEXT, b"x" * 70_000),
            build(TEXT, b"fragment", fin=False) + build(PING, b"between") + build(0, b"y" * 300),
            build(TEXT, b"", fin=False) + build(0, b"", fin=False) * 50 + b"\x80\x7f",
            b"\x81",
        ]
    )
    part = whole[: plan.rng.randint(1, len(whole) - 1)] if len(whole) > 1 else whole

    def script(peer: RawServerPeer) -> None:
        _accept(plan, peer, part)
        plan.reached.set()
        _echo(peer)

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def handling(plan: Plan) -> Iterator[None]:
    """A handler waits."""
    plan.activity = "wait"

    def script(peer: RawServerPeer) -> None:
        _accept(plan, peer, build_text("one") + build_text("two"))
        _echo(peer)

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def closing(plan: Plan) -> Iterator[None]:
    """The closing handshake has begun, by either side, and is not answered."""
    is_ours = plan.rng.random() < 0.5
    plan.activity = "close" if is_ours else ""

    def script(peer: RawServerPeer) -> None:
        _accept(plan, peer)
        if is_ours:
            while peer.read_frame().opcode != CLOSE:
                pass
        else:
            peer.send(build(CLOSE, b"\x03\xe9bye"))
        plan.reached.set()
        peer.read_until_end()

    with _serve(plan, script):
        yield


@contextlib.contextmanager
def back_off(plan: Plan) -> Iterator[None]:
    """The client waits to connect again."""
    plan.kind = "client"
    plan.options["reconnect"] = Backoff(min_wait=0.005, max_wait=PATIENCE, jitter=1.0)
    plan.is_secure = False
    how = plan.rng.choice(["refused", "rejected", "dropped"])

    def script(peer: RawServerPeer) -> None:
        if how == "rejected":
            peer.read_head()
            peer.send(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")
        else:
            _accept(plan, peer)

    if how == "refused":
        plan.url = f"ws://127.0.0.1:{closed_port()}/"
        yield
    else:
        with _serve(plan, script):
            yield


PLACES: dict[str, Callable[[Plan], contextlib.AbstractContextManager[None]]] = {
    place.__name__: place
    for place in (
        names,
        tcp,
        http_proxy,
        socks_proxy,
        tunnel,
        tls,
        upgrade,
        idle,
        echoing,
        flooded,
        writing,
        reading,
        handling,
        closing,
        back_off,
    )
}
