"""From a URL to a transport: directly, by a socket of the caller, through every proxy."""

from __future__ import annotations

import _socket
import contextlib
import logging
import os
import socket
import ssl
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.socket
import pytest

from greenws.errors import ConnectFail, ProxyFail
from greenws.proxies.address import parse_proxy
from greenws.sessions import dial as dial_module
from greenws.sessions import wait as wait_module
from greenws.sessions.tls import TLSTransport, handshake
from tests.support.authority import Authority
from tests.support.dialing import DialOptions, dial
from tests.support.leftovers import count_descriptors
from tests.support.loopback import LoopbackServer, closed_port, echo_bytes, full_listener, full_port
from tests.support.peer import RawServerPeer
from tests.support.proxies import HTTPProxy, SocksProxy
from tests.support.stopwatch import Stopwatch
from tests.support.ticker import Ticker
from tests.support.transports import echo_through, exchange
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
NAME = "name.of.target"

Steps = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def steps() -> Steps:
    return []


@pytest.fixture
def trace(steps: Steps) -> Callable[..., None]:
    def trace(stage: str, /, **fields: Any) -> None:
        assert 0 <= fields.pop("duration") < 10
        steps.append((stage, fields))

    return trace


@pytest.fixture
def fake_resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver that knows the names in this mapping, and no others."""
    names: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: int, *args: object) -> list[tuple[Any, ...]]:
        if host == "127.0.0.1":  # the proxies resolve it, too
            return [(_socket.AF_INET, 1, 6, "", (host, port))]
        if host not in names:
            raise _socket.gaierror(-2, "Name or service not known")
        return [
            (_socket.AF_INET6, 1, 6, "", (address, port, 0, 0))
            if ":" in address
            else (_socket.AF_INET, 1, 6, "", (address, port))
            for address in names[host]
        ]

    monkeypatch.setattr("gevent.socket.getaddrinfo", getaddrinfo)
    return names


# Directly


def test_plain_connection_is_dialled(steps: Steps, trace: Any) -> None:
    with LoopbackServer(echo_bytes) as server:
        last_step: list[str] = []
        options = DialOptions("127.0.0.1", server.port)
        assert echo_through(options, trace=trace, last_step=last_step) is None
        assert last_step[0] == f"connecting to 127.0.0.1:{server.port}"
    address = f"127.0.0.1:{server.port}"
    assert steps == [
        ("resolve", {"host": "127.0.0.1", "addresses": [address]}),
        ("connect", {"address": address}),
    ]


def test_tls_connection_is_dialled_and_resumed(
    authority: Authority, steps: Steps, trace: Any
) -> None:
    with LoopbackServer(echo_bytes, authority.server_context()) as server:
        options = DialOptions("localhost", server.port, is_secure=True, ssl_cafile=authority.cafile)
        for _ in range(2):
            echo_through(options, trace=trace)
    assert [stage for stage, _ in steps] == ["resolve", "connect", "tls"] * 2
    facts = [facts for stage, facts in steps if stage == "tls"]
    assert facts[0]["host"] == "localhost"
    assert facts[0]["version"] == "TLSv1.3"
    assert facts[0]["cipher"].startswith("TLS_")
    assert [step["resumed"] for step in facts] == [False, True]


def test_tls_options_are_heeded(authority: Authority) -> None:
    server_context = authority.server_context("inner.example")
    with LoopbackServer(echo_bytes, server_context) as server:
        base: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "is_secure": True}
        cafile: dict[str, Any] = {"ssl_cafile": authority.cafile}
        echo_through(DialOptions(**base, **cafile, server_hostname="inner.example"))
        echo_through(DialOptions(**base, ssl_verify=False))
        context = ssl.create_default_context(cafile=authority.cafile)
        context.check_hostname = False
        echo_through(DialOptions(**base, ssl_context=context))
        with pytest.raises(ConnectFail, match="certificate is for another host"):
            dial(DialOptions(**base, **cafile))
        with pytest.raises(ConnectFail, match="'a b' is no host name"):
            dial(DialOptions(**base, **cafile, server_hostname="a b"))
        with pytest.raises(ConnectFail, match="unable to load the trusted certificates"):
            dial(DialOptions(**base, ssl_cafile="/no/such"))


def test_client_certificate_is_not_shown_to_a_proxy(authority: Authority) -> None:
    both = authority.issue_file("both.pem", "me@example.org")
    shown: list[Any] = []
    target_context, proxy_context = authority.server_context(), authority.server_context()
    for context in (target_context, proxy_context):
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(authority.cafile)

    def look(peer: RawServerPeer) -> None:
        shown.append(peer.sock.getpeercert())
        echo_bytes(peer)

    class LookingProxy(HTTPProxy):
        def handle(self, peer: RawServerPeer) -> None:
            shown.append(peer.sock.getpeercert())
            super().handle(peer)

    with LoopbackServer(look, target_context) as server, LookingProxy(proxy_context) as proxy:
        options = DialOptions(
            "localhost",
            server.port,
            is_secure=True,
            ssl_cafile=authority.cafile,
            ssl_certfile=both,
            proxy=parse_proxy(f"https://localhost:{proxy.port}"),
        )
        echo_through(options)
    assert [bool(certificate) for certificate in shown] == [False, True]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("nohost.invalid", "unable to resolve 'nohost.invalid': "),
        ("127.0.0.1", "unable to connect to 127.0.0.1:{port}: Connection refused"),
    ],
)
def test_failing_step_is_named(host: str, message: str, steps: Steps, trace: Any) -> None:
    port = closed_port()
    with pytest.raises(ConnectFail) as caught:
        dial(DialOptions(host, port), trace)
    assert str(caught.value).startswith(message.format(port=port))
    assert not isinstance(caught.value, ProxyFail)
    assert steps[-1][1]["error"] == str(caught.value)


def test_server_that_ends_the_tls_handshake_is_named(authority: Authority) -> None:
    with LoopbackServer(lambda peer: peer.sock.recv(100)) as server:
        options = DialOptions("127.0.0.1", server.port, is_secure=True, ssl_verify=False)
        with pytest.raises(ConnectFail) as caught:
            dial(options)
    # The server closes with bytes unread, so that its kernel may send a reset.
    assert str(caught.value).startswith("TLS handshake with 127.0.0.1 failed: ")


def test_source_address_is_resolved_and_used(fake_resolver: dict[str, list[str]]) -> None:
    seen: list[str] = []
    with LoopbackServer(lambda peer: seen.append(peer.sock.getpeername()[0])) as server:
        for source in (("127.0.0.7", 0), ("", 0)):
            transport, _ = dial(DialOptions("127.0.0.1", server.port, source_address=source))
            transport.recv_into(bytearray(1), 1)
            transport.close()
        wait_until(lambda: len(seen) == 2)
        with pytest.raises(ConnectFail, match=r"unable to resolve 'no\.where'"):
            dial(DialOptions("127.0.0.1", server.port, source_address=("no.where", 0)))
    assert seen == ["127.0.0.7", "127.0.0.1"]


def test_dead_first_address_costs_a_quarter_of_a_second(
    fake_resolver: dict[str, list[str]],
) -> None:
    with LoopbackServer(echo_bytes) as server:
        with full_listener("127.0.0.77", server.port):
            fake_resolver["dual.example"] = ["127.0.0.77", "127.0.0.1"]
            stopwatch = Stopwatch()
            echo_through(DialOptions("dual.example", server.port))
            assert stopwatch.own < 0.6


# What the caller brings


@pytest.mark.parametrize("make", [socket, gevent.socket], ids=["stdlib", "gevent"])
def test_callers_socket_is_taken_over(make: Any) -> None:
    with LoopbackServer(echo_bytes) as server:
        theirs = gevent.socket.create_connection(("127.0.0.1", server.port))
        if make is socket:
            theirs = socket.socket(fileno=theirs.detach())
        fileno = theirs.fileno()
        transport, proxy = dial(
            DialOptions("h", 1, socket=theirs, proxy=parse_proxy("http://unused"))
        )
        assert proxy is None
        assert transport.fileno() == fileno
        assert theirs.fileno() == -1
        assert exchange(transport, b"x") == b"x"
        transport.close()


def test_callers_socket_that_is_not_connected_stays_the_callers() -> None:
    theirs = socket.socket()
    with pytest.raises(ConnectFail, match="the socket given is not connected"):
        dial(DialOptions("h", 1, socket=theirs))
    assert theirs.fileno() >= 0
    theirs.close()
    with pytest.raises(ConnectFail, match="the socket given is not connected"):
        dial(DialOptions("h", 1, socket=theirs))


def test_callers_socket_that_is_none_is_refused() -> None:
    with pytest.raises(ConnectFail, match="the socket given is no socket, but a dict"):
        dial(DialOptions("h", 1, socket={}))


def test_callers_tls_socket_is_refused() -> None:
    ours, theirs = socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    wrapped = context.wrap_socket(ours, do_handshake_on_connect=False)
    with pytest.raises(ConnectFail, match="speaks TLS already"):
        dial(DialOptions("h", 1, socket=wrapped))
    assert wrapped.fileno() >= 0
    wrapped.close()
    theirs.close()


def test_callers_socket_may_carry_tls(authority: Authority) -> None:
    with LoopbackServer(echo_bytes, authority.server_context("inner.example")) as server:
        theirs = gevent.socket.create_connection(("127.0.0.1", server.port))
        echo_through(
            DialOptions(
                "inner.example",
                443,
                is_secure=True,
                ssl_cafile=authority.cafile,
                socket=theirs,
            )
        )


def test_unix_path_is_connected_to(tmp_path: Path, steps: Steps, trace: Any) -> None:
    path = str(tmp_path / "s")
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(5)
    transport, _ = dial(DialOptions("h", 1, unix_path=path), trace)
    assert steps == [("connect", {"address": path})]
    transport.close()
    listener.close()
    with pytest.raises(ConnectFail, match="unable to connect to"):
        dial(DialOptions("h", 1, unix_path=path + "x"))


# Through proxies


@contextlib.contextmanager
def make_proxy(scheme: str, authority: Authority, **kwargs: Any) -> Iterator[Any]:
    if scheme.startswith("socks"):
        user = kwargs.pop("credentials", None)
        server: Any = SocksProxy(tuple(user.split(b":", 1)) if user else None, **kwargs)
    else:
        context = authority.server_context("localhost", "127.0.0.1")
        server = HTTPProxy(context if scheme == "https" else None, **kwargs)
    with server as proxy:
        proxy.scheme = scheme
        yield proxy


SCHEMES = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
def test_proxy_of_each_scheme_is_dialled_through(
    authority: Authority, scheme: str, is_secure: bool, steps: Steps, trace: Any, ticking: Ticker
) -> None:
    resolves = scheme not in ("socks4", "socks5")
    host = NAME if resolves else "localhost"
    context = authority.server_context(host) if is_secure else None
    with LoopbackServer(echo_bytes, context) as server, make_proxy(scheme, authority) as proxy:
        options = DialOptions(
            host,
            server.port,
            is_secure=is_secure,
            proxy=parse_proxy(proxy.url),
            ssl_cafile=authority.cafile,
        )
        assert echo_through(options, bytes(range(256)) * 999, trace=trace) == proxy.url
        seen = str(proxy.requests)
        assert (NAME in seen) == resolves
    stages = ["resolve", "connect", "proxy"]
    if scheme == "https":
        stages.insert(2, "tls")
    assert [stage for stage, _ in steps] == stages + ["tls"] * is_secure
    assert dict(steps)["proxy"]["proxy"] == proxy.url
    assert "error" not in str(steps)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_tunnel_keeps_what_follows_the_reply(authority: Authority, scheme: str) -> None:
    with (
        LoopbackServer(echo_bytes) as server,
        make_proxy(scheme, authority, greeting=b"early") as proxy,
    ):
        options = DialOptions("127.0.0.1", server.port, proxy=parse_proxy(proxy.url))
        transport, _ = dial(options)
        assert exchange(transport, b"later") == b"early"
        transport.close()


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
def test_target_is_resolved_for_a_proxy_that_does_not_resolve(
    authority: Authority, scheme: str
) -> None:
    with make_proxy(scheme, authority) as proxy:
        with pytest.raises(ConnectFail, match=r"unable to resolve 'nohost\.invalid'"):
            dial(DialOptions("nohost.invalid", 1, proxy=parse_proxy(proxy.url)))
        assert proxy.requests == []


def test_socks4_takes_an_ipv4_address(
    authority: Authority, fake_resolver: dict[str, list[str]]
) -> None:
    fake_resolver["dual.example"] = ["2001:db8::1", "127.0.0.1"]
    fake_resolver["six.example"] = ["2001:db8::1"]
    fake_resolver["localhost"] = ["127.0.0.1"]
    with LoopbackServer(echo_bytes) as server, make_proxy("socks4", authority) as proxy:
        proxy_address = parse_proxy(proxy.url)
        echo_through(DialOptions("dual.example", server.port, proxy=proxy_address))
        with pytest.raises(ProxyFail, match="SOCKS4 cannot reach the IPv6 address 2001:db8::1"):
            dial(DialOptions("six.example", server.port, proxy=proxy_address))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "http://user:S3cret@nohost.invalid:3128",
            "proxy http://nohost.invalid:3128: unable to resolve 'nohost.invalid': ",
        ),
        (
            "socks5://user:S3cret@127.0.0.1:{closed}",
            "proxy socks5://127.0.0.1:{closed}: unable to connect to 127.0.0.1:{closed}: Conn",
        ),
        (
            "https://user:S3cret@127.0.0.1:{plain}",
            "TLS handshake with proxy https://127.0.0.1:{plain} failed: ",
        ),
    ],
)
def test_unreachable_proxy_is_named(url: str, message: str) -> None:
    with LoopbackServer(echo_bytes) as server:
        ports = {"closed": closed_port(), "plain": server.port}
        with pytest.raises(ProxyFail) as caught:
            dial(DialOptions("h", 1, proxy=parse_proxy(url.format(**ports))))
        assert str(caught.value).startswith(message.format(**ports))


def test_tls_failure_in_the_tunnel_is_the_targets(authority: Authority) -> None:
    with LoopbackServer(echo_bytes) as server, make_proxy("http", authority) as proxy:
        options = DialOptions(
            "127.0.0.1", server.port, is_secure=True, proxy=parse_proxy(proxy.url)
        )
        with pytest.raises(ConnectFail, match=r"^TLS handshake with 127\.0\.0\.1") as caught:
            dial(options)
        assert not isinstance(caught.value, ProxyFail)


# Secrets

USER, SECRET = "us3rnäme", "S3cr:t/ü@%"


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fault", ["none", "refused", "unreachable", "unresolvable", "nonsense"])
def test_secrets_are_nowhere(
    authority: Authority,
    scheme: str,
    fault: str,
    steps: Steps,
    trace: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from urllib.parse import quote

    caplog.set_level(logging.DEBUG)
    quoted = f"{quote(USER)}:{quote(SECRET, safe='')}"
    right = f"{USER}:{SECRET}".encode()
    wrong = b"other:" + b"x" * 5
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(LoopbackServer(echo_bytes))
        proxy = stack.enter_context(
            make_proxy(scheme, authority, credentials=wrong if fault == "refused" else right)
        )
        junk = stack.enter_context(
            LoopbackServer(lambda peer: peer.sock.sendall(b"\0\xff junk\r\n"))
        )
        place = {
            "unreachable": f"127.0.0.1:{closed_port()}",
            "unresolvable": "nohost.invalid:1",
            "nonsense": f"127.0.0.1:{junk.port}",
        }.get(fault, f"localhost:{proxy.port}")
        options = DialOptions(
            "127.0.0.1",
            server.port,
            proxy=parse_proxy(f"{scheme}://{quoted}@{place}"),
            ssl_cafile=authority.cafile,
            ssl_password=SECRET,
        )
        last_step: list[str] = []
        shown = [repr(options), str(options.proxy), repr(options.proxy)]
        try:
            transport, url = dial(options, trace, last_step)
            shown += [repr(transport), str(url)]
            transport.close()
        except ConnectFail as error:
            shown += traceback.format_exception(error, chain=True)
            while error is not None:
                shown += [repr(error), str(error)]
                error = error.__cause__ or error.__context__  # type: ignore[assignment]
    shown += [repr(steps), last_step[0], caplog.text]
    text = "\n".join(shown)
    import base64

    for secret in (USER, SECRET, quote(USER), quote(SECRET), quote(SECRET, safe=""), "S3cr"):
        assert secret not in text
    assert base64.b64encode(right).decode() not in text


# Interrupted

PHASES = [
    "resolve",
    "connect",
    "unix",
    "tls",
    "http proxy",
    "http proxy, half a reply",
    "https proxy, tls",
    "https proxy, reply",
    "socks4 proxy",
    "socks5 proxy",
    "socks5 proxy, second reply",
    "socks5 proxy, resolve",
    "tls through http proxy",
    "tls through https proxy",
    "tls through socks5h proxy",
]


class StalledDial:
    """The options of a dial that stalls, and whether it has got there."""

    def __init__(self, options: DialOptions, reached: gevent.event.Event) -> None:
        self.options = options
        self.reached = reached


@pytest.fixture(params=PHASES)
def stall(
    request: pytest.FixtureRequest,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[StalledDial]:
    """A dial that gets to one phase, and no further."""
    phase = request.param
    reached = gevent.event.Event()
    replies = {
        "http proxy, half a reply": b"HTTP/1.1 200 OK\r\n",
        "socks5 proxy, second reply": b"\x05\x00",
    }

    def be_silent(peer: RawServerPeer) -> None:
        peer.sock.recv(4096)
        peer.sock.sendall(replies.get(phase, b""))
        reached.set()
        while peer.sock.recv(4096):
            pass

    def getaddrinfo(host: str, port: int, *args: object) -> Any:
        if host == "stalls.example":
            reached.set()
            gevent.event.Event().wait()
        return [(_socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("gevent.socket.getaddrinfo", getaddrinfo)
    with contextlib.ExitStack() as stack:
        context = authority.server_context()
        proxy = None
        options: dict[str, Any] = {"is_secure": "tls" in phase, "ssl_cafile": authority.cafile}
        through_tls = phase == "https proxy, reply"
        port = stack.enter_context(LoopbackServer(be_silent, context if through_tls else None)).port
        if phase in ("resolve", "socks5 proxy, resolve"):
            options["host"] = "stalls.example"
        if phase == "connect":
            port = stack.enter_context(full_port())
            # The dial connects in its first turn, which comes before any timer.
            gevent.spawn_later(0.02, reached.set)
        elif phase == "unix":
            options["unix_path"] = str(tmp_path / "s")
            listener = stack.enter_context(contextlib.closing(_unix_listener(tmp_path / "s")))
            filler = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
            stack.callback(filler.close)
            filler.connect(listener.getsockname())
            gevent.spawn_later(0.02, reached.set)
        elif "through" in phase:
            scheme = phase.split()[2]
            proxy = stack.enter_context(make_proxy(scheme, authority)).url
        elif "proxy" in phase:
            proxy = f"{phase.split()[0]}://localhost:{port}"
        if proxy is not None:
            options["proxy"] = parse_proxy(proxy)
        options = {"host": "127.0.0.1", "port": port, **options}
        yield StalledDial(DialOptions(**options), reached)


def _unix_listener(path: Path) -> _socket.socket:
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(0)
    return listener


def test_hub_goes_on_in_each_phase(stall: StalledDial, ticking: Ticker) -> None:
    greenlet = gevent.spawn(dial, stall.options)
    assert stall.reached.wait(5)
    ticking.reset()
    ticking.wait(20)
    assert not greenlet.dead
    assert ticking.largest_gap < 0.06
    greenlet.kill()


def test_kill_in_each_phase_leaves_nothing(stall: StalledDial) -> None:
    # The servers have sockets open, too, and close them later: when they see the client go.
    greenlet = gevent.spawn(dial, stall.options)
    assert stall.reached.wait(5)
    gevent.sleep(0.01)
    before = _sockets_to_others()
    greenlet.kill()
    assert greenlet.dead
    assert isinstance(greenlet.value, gevent.GreenletExit)
    closed = before - _sockets_to_others()
    expects_socket = stall.options.host != "stalls.example" or stall.options.proxy is not None
    assert len(closed) == (1 if expects_socket else 0)


def test_timeout_in_each_phase_is_the_callers(stall: StalledDial) -> None:
    before = count_descriptors()
    last_step: list[str] = []
    with gevent.Timeout(0.1) as timeout, pytest.raises(gevent.Timeout) as caught:
        dial(stall.options, last_step=last_step)
    assert caught.value is timeout
    assert last_step[0].split()[0] in {"resolving", "connecting", "doing", "waiting"}
    wait_until(lambda: count_descriptors() <= before + 1)  # the proxy may still have its own


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("is_secure", [False, True], ids=["tcp", "tls"])
def test_kill_in_each_turn_leaves_nothing(
    is_secure: bool, turns: int, authority: Authority
) -> None:
    with LoopbackServer(echo_bytes, authority.server_context() if is_secure else None) as server:
        options = DialOptions(
            "127.0.0.1", server.port, is_secure=is_secure, ssl_cafile=authority.cafile
        )
        greenlet = gevent.spawn(dial, options)
        for _ in range(turns):
            gevent.sleep(0)
        before = _sockets_to_others()
        greenlet.kill()  # conftest.py checks that nothing is left
        assert greenlet.dead
        if isinstance(greenlet.value, gevent.GreenletExit):
            assert len(before - _sockets_to_others()) <= 1
        else:
            greenlet.value[0].close()


@pytest.mark.parametrize("is_on", [True, False])
def test_dials_of_one_turn_do_their_handshakes_together(
    is_on: bool, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def trace(stage: str, /, **fields: Any) -> None:
        steps.append(stage)

    def begin_handshake(transport: TLSTransport) -> None:
        steps.append("handshake")
        handshake(transport)

    monkeypatch.setattr(wait_module, "CATCHING_UP", is_on)
    monkeypatch.setattr(dial_module, "handshake", begin_handshake)
    with LoopbackServer(echo_bytes, authority.server_context()) as server:
        options = DialOptions(
            "127.0.0.1", server.port, is_secure=True, ssl_cafile=authority.cafile, is_traced=True
        )
        greenlets = [gevent.spawn(dial, options, trace) for _ in range(5)]
        gevent.joinall(greenlets, raise_error=True)
        for greenlet in greenlets:
            greenlet.value[0].close()
    assert steps[-1] == "tls"
    connected = steps[: steps.index("handshake")].count("connect")
    assert (connected == 5) is is_on


def _sockets_to_others() -> set[str]:
    return {
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{name}") or os.path.islink(f"/proc/self/fd/{name}")
        if os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
    }


def test_failing_trace_leaves_nothing() -> None:
    def trace(stage: str, /, **fields: Any) -> None:
        if stage == failing:
            raise RuntimeError(stage)

    with LoopbackServer(echo_bytes) as server:
        for failing in ("resolve", "connect"):
            before = count_descriptors()
            with pytest.raises(RuntimeError, match=failing):
                dial(DialOptions("127.0.0.1", server.port), trace)
            wait_until(lambda before=before: count_descriptors() == before)


def test_dial_without_a_trace_tells_failures_only(steps: Steps, trace: Any) -> None:
    with LoopbackServer(echo_bytes) as server:
        options = DialOptions("127.0.0.1", server.port, is_traced=False)
        assert echo_through(options, trace=trace) is None
    assert steps == []
    port = closed_port()
    with pytest.raises(ConnectFail) as caught:
        dial(DialOptions("127.0.0.1", port, is_traced=False), trace)
    assert [stage for stage, _ in steps] == ["connect"]
    assert steps[0][1]["error"] == str(caught.value)


def test_many_dials_leak_nothing(authority: Authority) -> None:
    with LoopbackServer(echo_bytes, authority.server_context()) as server:
        options = DialOptions("127.0.0.1", server.port, is_secure=True, ssl_cafile=authority.cafile)
        echo_through(options)
        before = count_descriptors()
        greenlets = [gevent.spawn(echo_through, options) for _ in range(100)]
        gevent.joinall(greenlets)
        assert all(greenlet.successful() for greenlet in greenlets)
        wait_until(lambda: count_descriptors() <= before)
        assert sum(server.resumed) >= 99


# Patched

PATCHED = """
import sys, tempfile, pathlib
import ssl
from tests.support.dialing import DialOptions, dial
early = ssl.create_default_context()
from gevent import monkey
monkey.patch_all()
import socket
from greenws.proxies.address import parse_proxy
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer, echo_bytes
from tests.support.proxies import HTTPProxy, SocksProxy
from tests.support.ticker import Ticker
from tests.support.transports import echo_through
ticker = Ticker()
with tempfile.TemporaryDirectory() as folder:
    authority = Authority(pathlib.Path(folder))
    early.load_verify_locations(authority.cafile)
    late = ssl.create_default_context(cafile=authority.cafile)
    with (LoopbackServer(echo_bytes) as plain,
          LoopbackServer(echo_bytes, authority.server_context()) as secure,
          HTTPProxy() as http, HTTPProxy(authority.server_context()) as https,
          SocksProxy() as socks):
        echo_through(DialOptions("localhost", plain.port))
        for tls in ({"ssl_cafile": authority.cafile}, {"ssl_context": early},
                    {"ssl_context": late}, {"ssl_verify": False}):
            for _ in range(2):
                options = DialOptions("localhost", secure.port, is_secure=True, **tls)
                echo_through(options, bytes(100000))
        # A context of the user's, who may have changed it, resumes nothing.
        assert secure.resumed == [False, True, *[False] * 5, True], secure.resumed
        for scheme, port in (("http", http.port), ("https", https.port), ("socks4", socks.port),
                             ("socks4a", socks.port), ("socks5", socks.port),
                             ("socks5h", socks.port)):
            echo_through(DialOptions("localhost", secure.port, is_secure=True,
                                     ssl_cafile=authority.cafile,
                                     proxy=parse_proxy(f"{scheme}://localhost:{port}")))
        theirs = socket.create_connection(("127.0.0.1", plain.port))
        echo_through(DialOptions("h", 1, socket=theirs))
assert ticker.ticks
ticker.stop()
print("fine")
"""


def test_every_way_of_dialling_works_under_monkey_patching() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PATCHED]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert (run.returncode, run.stdout, run.stderr) == (0, "fine\n", "")
