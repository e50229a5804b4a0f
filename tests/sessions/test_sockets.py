"""Connecting to the first of several addresses that answers (RFC 8305), and to unix sockets."""

from __future__ import annotations

import _socket
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenws.errors import ConnectFail
from greenws.sessions import sockets as module
from greenws.sessions.resolver import Address
from greenws.sessions.sockets import (
    ATTEMPT_DELAY,
    SocketOption,
    connect_tcp,
    connect_unix,
    interleave,
)
from tests.support.leftovers import count_descriptors
from tests.support.loopback import closed_port, full_listener, full_port
from tests.support.stopwatch import Stopwatch
from tests.support.ticker import Ticker
from tests.support.waiting import wait_until


def v4(port: int, host: str = "127.0.0.1") -> Address:
    return Address(_socket.AF_INET, (host, port))


def v6(port: int, host: str = "::1") -> Address:
    return Address(_socket.AF_INET6, (host, port, 0, 0))


def listen(family: int, address: Any, backlog: int = 100) -> _socket.socket:
    listener = _socket.socket(family, _socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(backlog)
    return listener


@pytest.fixture
def port() -> Iterator[int]:
    listener = listen(_socket.AF_INET, ("127.0.0.1", 0))
    yield listener.getsockname()[1]
    listener.close()


@pytest.fixture
def dead_port() -> Iterator[int]:
    with full_port() as port:
        yield port


has_ipv6 = pytest.mark.skipif(
    not os.path.exists("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
    or Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").read_text().strip() != "0",
    reason="IPv6 is switched off on this machine",
)


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        ("666444", "646464"),
        ("444666", "464646"),
        ("664", "646"),
        ("6444", "6444"),
        ("6664", "6466"),
        ("4", "4"),
        ("44", "44"),
        ("466", "466"),
    ],
)
def test_families_take_turns(families: str, expected: str) -> None:
    addresses = [
        v4(index + 1) if family == "4" else v6(index + 1) for index, family in enumerate(families)
    ]
    ordered = interleave(addresses)
    assert "".join("4" if a.family == _socket.AF_INET else "6" for a in ordered) == expected
    assert sorted(ordered) == sorted(addresses)
    for family in (_socket.AF_INET, _socket.AF_INET6):  # each family keeps its order
        ports = [a.sockaddr[1] for a in ordered if a.family == family]
        assert ports == sorted(ports)


def test_connected_socket_has_its_options(port: int) -> None:
    options = [(_socket.SOL_SOCKET, _socket.SO_RCVBUF, 54321)]
    sock, address = connect_tcp("t", [v4(port)], options=options)
    assert sock.getpeername() == ("127.0.0.1", port)
    assert address == v4(port)
    assert sock.gettimeout() == 0.0
    assert not os.get_inheritable(sock.fileno())
    assert sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY)
    assert sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE)
    assert sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_RCVBUF) >= 54321
    sock.close()


def test_users_options_have_the_last_word(port: int) -> None:
    options: list[SocketOption] = [
        (_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 0),
        (_socket.SOL_SOCKET, _socket.SO_KEEPALIVE, b"\0\0\0\0"),
    ]
    sock, _ = connect_tcp("t", [v4(port)], options=options)
    assert not sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY)
    assert not sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_KEEPALIVE)
    sock.close()


def test_default_timeout_of_the_application_does_not_count(port: int) -> None:
    _socket.setdefaulttimeout(10)
    try:
        sock, _ = connect_tcp("t", [v4(port)])
    finally:
        _socket.setdefaulttimeout(None)
    assert sock.gettimeout() == 0.0
    sock.close()


def test_bad_option_is_named(port: int) -> None:
    with pytest.raises(ConnectFail, match=r"socket option \(6, 9999, 1\): Protocol not available"):
        connect_tcp("t", [v4(port)], options=[(6, 9999, 1)])


def test_option_of_another_type_is_a_type_error(port: int) -> None:
    with pytest.raises(TypeError):
        connect_tcp("t", [v4(port)], options=[("a", "b", "c")])  # type: ignore[list-item]


def test_refusal_is_told() -> None:
    port = closed_port()
    with pytest.raises(ConnectFail) as caught:
        connect_tcp(f"127.0.0.1:{port}", [v4(port)])
    assert str(caught.value) == f"unable to connect to 127.0.0.1:{port}: Connection refused"


def test_each_failure_is_told() -> None:
    one, two = closed_port(), closed_port()
    with pytest.raises(ConnectFail) as caught:
        connect_tcp("h:1", [v4(one), v4(two, "127.0.0.2")])
    assert str(caught.value) == (
        f"unable to connect to h:1: 127.0.0.1:{one}: Connection refused; "
        f"127.0.0.2:{two}: Connection refused"
    )


def test_next_address_is_tried_at_once_after_a_failure(port: int) -> None:
    stopwatch = Stopwatch()
    sock, _ = connect_tcp("t", [v4(closed_port()), v4(closed_port()), v4(port)])
    assert stopwatch.own < ATTEMPT_DELAY
    sock.close()


def test_dead_address_costs_a_quarter_of_a_second(
    port: int, dead_port: int, ticking: Ticker
) -> None:
    before = count_descriptors()
    stopwatch = Stopwatch()
    sock, address = connect_tcp("t", [v4(dead_port), v4(port)])
    assert stopwatch.wall > 0.9 * ATTEMPT_DELAY
    assert stopwatch.own < 2 * ATTEMPT_DELAY
    assert ticking.largest_gap < 0.05
    assert address == v4(port)
    assert count_descriptors() == before + 1
    sock.close()


@has_ipv6
def test_dead_ipv6_address_gives_way_to_ipv4(port: int) -> None:
    with full_port("::1") as dead:
        addresses = [v6(dead), v6(dead), v4(port)]
        stopwatch = Stopwatch()
        sock, address = connect_tcp("t", addresses)
        assert stopwatch.own < 2 * ATTEMPT_DELAY
        assert address == v4(port)
        sock.close()


@has_ipv6
def test_ipv6_address_is_connected_to() -> None:
    listener = listen(_socket.AF_INET6, ("::1", 0))
    sock, address = connect_tcp("t", [v6(listener.getsockname()[1])])
    assert str(address).startswith("[::1]:")
    sock.close()
    listener.close()


def test_failure_during_the_wait_starts_the_next_attempt(dead_port: int, port: int) -> None:
    # The first attempt hangs. The second starts after 250 ms and is refused: the third is due.
    stopwatch = Stopwatch()
    sock, _ = connect_tcp("t", [v4(dead_port), v4(closed_port()), v4(port)])
    assert stopwatch.own < 1.8 * ATTEMPT_DELAY
    sock.close()


def accept_until_dead(listener: _socket.socket, greenlet: gevent.Greenlet[..., Any]) -> None:
    """Accept connections until the greenlet that connects is done."""
    accepted = []
    listener.setblocking(False)
    while not greenlet.dead:  # the kernel repeats its SYN within a second, and finds room then
        try:
            accepted.append(listener._accept()[0])  # type: ignore[attr-defined]
        except BlockingIOError:
            gevent.sleep(0.02)
    for fileno in accepted:
        os.close(fileno)


def test_slow_address_still_wins_over_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[_socket.socket] = []

    def new_socket(*args: Any) -> _socket.socket:
        attempts.append(genuine(*args))
        return attempts[-1]

    genuine = module.new_socket
    monkeypatch.setattr(module, "new_socket", new_socket)
    with full_listener() as listener:
        addresses = [v4(listener.getsockname()[1]), v4(closed_port())]
        greenlet = gevent.spawn(connect_tcp, "t", addresses)
        wait_until(lambda: len(attempts) == 2 and attempts[1].fileno() < 0)
        assert not greenlet.dead
        accept_until_dead(listener, greenlet)
        sock, _ = greenlet.get()
        sock.close()


@pytest.mark.parametrize("attempts", [1, 2])
def test_kill_closes_all_attempts(dead_port: int, attempts: int) -> None:
    before = count_descriptors()
    greenlet = gevent.spawn(connect_tcp, "t", [v4(dead_port), v4(dead_port), v4(dead_port)])
    wait_until(lambda: count_descriptors() == before + attempts)
    greenlet.kill()
    assert count_descriptors() == before


def test_kill_closes_the_only_attempt(dead_port: int) -> None:
    before = count_descriptors()
    greenlet = gevent.spawn(connect_tcp, "t", [v4(dead_port)])
    wait_until(lambda: count_descriptors() == before + 1)
    greenlet.kill()
    assert count_descriptors() == before


def test_single_address_is_waited_for() -> None:
    with full_listener() as listener:
        address = listener.getsockname()
        before = count_descriptors()
        greenlet = gevent.spawn(connect_tcp, "t", [v4(address[1])])
        wait_until(lambda: count_descriptors() == before + 1)
        assert not greenlet.dead
        accept_until_dead(listener, greenlet)
        sock, found = greenlet.get()
        assert sock.getpeername() == found.sockaddr == address
        sock.close()


def test_source_address_is_bound(port: int) -> None:
    sock, _ = connect_tcp("t", [v4(port)], source=[v4(0, "127.0.0.9")])
    assert sock.getsockname()[0] == "127.0.0.9"
    sock.close()


def test_source_address_that_cannot_be_bound_is_an_error(port: int) -> None:
    with pytest.raises(ConnectFail, match="Cannot assign requested address"):
        connect_tcp("t", [v4(port)], source=[v4(0, "192.0.2.1")])


def test_source_address_leaves_out_other_families(port: int) -> None:
    sock, address = connect_tcp("t", [v6(port), v4(port)], source=[v4(0)])
    assert address == v4(port)
    sock.close()
    with pytest.raises(ConnectFail, match="no address has the family of source_address"):
        connect_tcp("t", [v6(port)], source=[v4(0)])


def test_connection_to_itself_counts_as_refused() -> None:
    port = closed_port()
    with pytest.raises(ConnectFail, match="Connection refused"):
        connect_tcp("t", [v4(port)], source=[v4(port)])


def test_lack_of_descriptors_is_told(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(module, "new_socket", refuse)
    with pytest.raises(ConnectFail, match="Too many open files"):
        connect_tcp("t", [v4(port)])


def test_loopback_costs_no_turn_of_the_loop(port: int, ticking: Ticker) -> None:
    ticking.wait(1)
    ticking.reset()
    sock, _ = connect_tcp("t", [v4(port)])
    assert ticking.ticks == 0
    sock.close()


@pytest.mark.parametrize("kind", ["path", "bytes", "abstract"])
def test_unix_socket_is_connected_to(tmp_path: Path, kind: str) -> None:
    path = f"\0greenws-test-{os.getpid()}" if kind == "abstract" else str(tmp_path / "s")
    listener = listen(_socket.AF_UNIX, path)
    sock = connect_unix(path.encode() if kind == "bytes" else path)
    assert sock.gettimeout() == 0.0
    sock.close()
    listener.close()


def test_unix_socket_nobody_listens_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConnectFail, match=r"unable to connect to '.*/none': No such file"):
        connect_unix(str(tmp_path / "none"))


def test_long_unix_path_is_an_error() -> None:
    with pytest.raises(ConnectFail, match="too long"):
        connect_unix("/" + "x" * 500)


def test_full_unix_socket_is_waited_for(tmp_path: Path, ticking: Ticker) -> None:
    path = str(tmp_path / "s")
    listener = listen(_socket.AF_UNIX, path, 0)
    first = connect_unix(path)
    greenlet = gevent.spawn(connect_unix, path)
    ticking.wait(20)
    assert not greenlet.dead
    assert ticking.largest_gap < 0.05
    os.close(listener._accept()[0])  # type: ignore[attr-defined]
    greenlet.get(timeout=5).close()
    first.close()
    listener.close()
