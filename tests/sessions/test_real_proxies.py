"""Proxies as Debian ships them; each is started by its test on a free port of 127.0.0.1."""

from __future__ import annotations

import _socket
import contextlib
import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import get_hub

from greenws.errors import ProxyFail
from greenws.proxies.address import parse_proxy
from greenws.sessions.dial import DialOptions, dial
from tests.sessions.scripted import Authority, Server, closed_port, echo_through

# What tinyproxy and microsocks can be told: letters and digits, on a command line.
USER, PASSWORD = "user", "pa55word"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextlib.contextmanager
def run(program: str, *arguments: str, port: int) -> Iterator[int]:
    """Run a program until the test is done; it listens on ``port`` when this returns."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.skip(f"{program} is not installed")
    process = subprocess.Popen(
        [path, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while not _is_open(port):
            assert process.poll() is None, f"{program} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{program} does not listen"
            gevent.sleep(0.02)
        yield port
    finally:
        process.terminate()
        get_hub().threadpool.apply(process.wait)


def _is_open(port: int) -> bool:
    with contextlib.closing(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def run_tinyproxy(folder: Path, *lines: str) -> Iterator[int]:
    port = closed_port()
    config = folder / "tinyproxy.conf"
    config.write_text("\n".join([f"Port {port}", "Listen 127.0.0.1", "Timeout 60", *lines, ""]))
    with run("tinyproxy", "-d", "-c", str(config), port=port):
        yield port


@contextlib.contextmanager
def run_microsocks(*arguments: str) -> Iterator[int]:
    port = closed_port()
    with run("microsocks", "-i", "127.0.0.1", "-p", str(port), *arguments, port=port):
        yield port


@contextlib.contextmanager
def run_dante(folder: Path) -> Iterator[int]:
    port = closed_port()
    config = folder / "danted.conf"
    config.write_text(
        f"""
        logoutput: {folder}/danted.log
        internal: 127.0.0.1 port = {port}
        external: lo
        clientmethod: none
        socksmethod: none
        user.privileged: {getpass.getuser()}
        user.unprivileged: {getpass.getuser()}
        client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
        socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = 9 command: connect }}
        socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect }}
        """
    )
    with run("danted", "-f", str(config), "-p", str(folder / "pid"), port=port):
        yield port


def echo(authority: Authority, proxy: str, is_secure: bool, host: str = "localhost") -> None:
    with Server(authority.server_context() if is_secure else None) as server:
        options = DialOptions(
            host,
            server.port,
            is_secure=is_secure,
            ssl_cafile=authority.cafile,
            proxy=parse_proxy(proxy),
        )
        echo_through(options, bytes(range(256)) * 1000)


both = pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])


@both
def test_tinyproxy(authority: Authority, tmp_path: Path, is_secure: bool) -> None:
    with run_tinyproxy(tmp_path) as port:
        echo(authority, f"http://127.0.0.1:{port}", is_secure)


def test_tinyproxy_with_authentication(authority: Authority, tmp_path: Path) -> None:
    with run_tinyproxy(tmp_path, f"BasicAuth {USER} {PASSWORD}") as port:
        echo(authority, f"http://{USER}:{PASSWORD}@127.0.0.1:{port}", True)
        for userinfo in ("", f"{USER}:wrong@"):
            with pytest.raises(ProxyFail, match=r"refused the tunnel: 40[17] ") as caught:
                echo(authority, f"http://{userinfo}127.0.0.1:{port}", True)
            assert "wrong" not in str(caught.value)


def test_tinyproxy_that_cannot_connect(tmp_path: Path) -> None:
    with run_tinyproxy(tmp_path) as port:
        options = DialOptions(
            "127.0.0.1", closed_port(), proxy=parse_proxy(f"http://127.0.0.1:{port}")
        )
        with pytest.raises(ProxyFail, match=r"refused the tunnel: 50\d "):
            dial(options)


@both
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_microsocks(authority: Authority, scheme: str, is_secure: bool) -> None:
    with run_microsocks() as port:
        echo(authority, f"{scheme}://127.0.0.1:{port}", is_secure)


def test_microsocks_with_authentication(authority: Authority) -> None:
    with run_microsocks("-u", USER, "-P", PASSWORD) as port:
        echo(authority, f"socks5h://{USER}:{PASSWORD}@127.0.0.1:{port}", True)
        for userinfo in ("", f"{USER}:wrong@"):
            with pytest.raises(ProxyFail, match="refused the authentication"):
                echo(authority, f"socks5h://{userinfo}127.0.0.1:{port}", True)


def test_microsocks_that_cannot_connect() -> None:
    with run_microsocks() as port:
        proxy = parse_proxy(f"socks5://127.0.0.1:{port}")
        with pytest.raises(ProxyFail, match=r"refused the tunnel: Connection refused \(0x05\)"):
            dial(DialOptions("127.0.0.1", closed_port(), proxy=proxy))


@both
@pytest.mark.parametrize(
    ("scheme", "host"),
    [
        ("socks4", "localhost"),
        ("socks4a", "127.0.0.1"),  # dante takes SOCKS 4a's 0.0.0.1 for an address, not for a name
        ("socks5", "localhost"),
        ("socks5h", "localhost"),
    ],
)
def test_dante(
    authority: Authority, tmp_path: Path, scheme: str, host: str, is_secure: bool
) -> None:
    with run_dante(tmp_path) as port:
        echo(authority, f"{scheme}://127.0.0.1:{port}", is_secure, host)


@pytest.mark.parametrize(
    ("scheme", "reply"),
    [("socks4a", "Request rejected or failed"), ("socks5", "Connection not allowed by ruleset")],
)
def test_dante_that_refuses(tmp_path: Path, scheme: str, reply: str) -> None:
    with run_dante(tmp_path) as port:
        proxy = parse_proxy(f"{scheme}://127.0.0.1:{port}")
        with pytest.raises(ProxyFail, match=f"refused the tunnel: {reply}"):
            dial(DialOptions("127.0.0.1", 9, proxy=proxy))
