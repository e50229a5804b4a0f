"""Each option of ``connect``, as the command takes it, against a server."""

from __future__ import annotations

import io
import re
import signal
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gevent.socket
import pytest
from gevent.server import StreamServer

from greenws.backoff import Backoff
from greenws.cli import connect, connect_options, main
from greenws.testing import (
    EchoServer,
    ServerConnection,
    accept,
    close_with,
    drop,
    echo,
    in_turn,
    reject,
    respond,
    stop_reading,
)
from tests.support.authority import Authority
from tests.support.proxies import HTTPProxy, relay
from tests.support.servers import ForeignServer

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs ``connect`` in this process; ``lines`` is what stdin has, or gives read by read."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: str, lines: bytes | Callable[[], bytes] = b"") -> Done:
        pieces = iter([lines] if isinstance(lines, bytes) else [])
        read = (lambda: next(pieces, b"")) if isinstance(lines, bytes) else lines
        monkeypatch.setattr(connect, "read_stdin", read)
        try:
            status = main(["connect", *arguments])
        except SystemExit as error:
            status = int(str(error.code))
        return Done(status, *capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


def request_of(server: EchoServer) -> Any:
    return server.connections[0].request


# Messages


def test_messages_are_sent_before_the_lines(command: Command, server: EchoServer) -> None:
    done = command(server.url, "-x", "one", "--send", "two", lines=b"three\n")
    assert done == (0, "one\ntwo\nthree\n", "connected\ndisconnected: closed (code 1000)\n")
    assert server.messages == ["one", "two", "three"]


def test_one_message_is_printed(command: Command) -> None:
    with EchoServer(respond(lambda message: ["first", "second", b"third"])) as server:
        assert command(server.url, "-x", "go", "--one")[:2] == (0, "first\n")
        assert command(server.url, "--one", lines=b"go\n")[:2] == (0, "first\n")


def test_one_message_that_does_not_come_is_a_failure(command: Command) -> None:
    with EchoServer(close_with(1000)) as server:
        done = command(server.url, "--one")
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines()[-1] == "no message has come"
        server.handler = lambda connection: connection.receive()
        done = command(server.url, "--one", "--wait", "0.01", "-x", "go")
        assert (done.status, done.out) == (1, "")
        assert done.err.splitlines()[-1] == "no message has come"


def test_lines_and_messages_are_binary_in_hexadecimal(command: Command, server: EchoServer) -> None:
    done = command(server.url, "--binary", "-x", "00 01", lines=b"ff FE\n\n")
    assert done[:2] == (0, "0001\nfffe\n\n")
    assert server.messages == [b"\x00\x01", b"\xff\xfe", b""]


def test_line_that_is_no_hexadecimal_is_told(command: Command, server: EchoServer) -> None:
    done = command(server.url, "--binary", lines=b"ff\nhello\n00\n")
    assert done.status == 1
    assert "not sent: bytes must be hexadecimal, such as 01ff: 'hello'\n" in done.err
    assert server.messages == [b"\xff"]


def test_json_is_indented_and_other_text_is_not(command: Command, server: EchoServer) -> None:
    done = command(server.url, "--json", "-x", '{"a":[1]}', "-x", "{a", "-x", '"\\u001b"')
    assert done[:2] == (0, '{\n  "a": [\n    1\n  ]\n}\n{a\n"\\u001b"\n')


def test_pings_show_their_round_trips(command: Command, server: EchoServer) -> None:
    done = command(server.url, "--ping", "0.001", "--wait", "0.05")
    assert done.status == 0
    lines = done.err.splitlines()
    assert re.fullmatch(r"pong after [0-9.]+ ms", lines[1])
    assert re.fullmatch(
        r"\d+ of \d+ pings were answered: min [0-9.]+ ms, mean [0-9.]+ ms, max [0-9.]+ ms",
        lines[-1],
    )


def test_pings_that_are_not_answered_are_counted(command: Command) -> None:
    with EchoServer(stop_reading, close_timeout=0.1) as server:
        done = command(server.url, "--ping", "5", lines=lambda: server.stop() or b"")
    assert done.err.splitlines()[-1] == "0 of 1 pings were answered"


# The trace


def test_trace_shows_the_steps_with_durations(command: Command, server: EchoServer) -> None:
    url = server.url.replace("ws://", "ws://user:hidden@") + "?token=hidden"
    done = command(url, "--trace", "-x", "hidden")
    assert done[:2] == (0, "hidden\n")
    steps = [line.split()[1] for line in done.err.splitlines() if re.match(r" +\d", line)]
    assert [step for step in steps if not step.startswith(("socket", "message"))] == [
        "connect_start",
        "resolve",
        "connect",
        "upgrade",
        "handshake_ready",
        "send_text",
        "close_requested",
        "close",
        "disconnected",
    ]
    assert re.search(r"^ +\d\.\d{4} upgrade +\d+\.\d\d ms  status_code=101$", done.err, re.M)
    assert "hidden" not in done.err
    assert "    > " not in done.err


SECRETS = [
    *("--auth", "user:hidden"),
    *("-H", "Cookie: hidden"),
    *("-H", "X-Whatever: hidden"),
    *("-H", "Proxy-Authorization: hidden"),
    *("--origin", "https://example.org"),
    *("-s", "chat"),
    *("-s", "base64url.bearer.authorization.hidden-hidden-hidden"),
]


def test_headers_are_shown_without_secrets(command: Command) -> None:
    fields = [("Set-Cookie", "id=hidden"), ("X-Auth-Token", "hidden"), ("Server", "test")]

    def opening(connection: ServerConnection) -> None:
        connection.accept(subprotocol="chat", headers=fields)

    with EchoServer(opening=opening, subprotocols=["chat"]) as server:
        done = command(f"{server.url}path?token=hidden", "--trace-headers", *SECRETS)
        assert request_of(server).get("cookie") == "hidden"
    assert done.status == 0
    assert "hidden" not in done.err
    assert "    > GET /path?token=... HTTP/1.1\n" in done.err
    for line in (
        "> Host: 127.0.0.1",
        "> Authorization: ...",
        "> X-Whatever: ...",
        "> Origin: https://example.org",
        "> Sec-WebSocket-Protocol: chat, ...",
        "< HTTP/1.1 101 ",
        "< x-auth-token: ...",
        "< set-cookie: ...",
        "< server: test",
    ):
        assert f"    {line}" in done.err
    assert re.search(r"^ +\d\.\d{4} connect ", done.err, re.M)


def test_headers_of_a_rejection_are_shown(command: Command) -> None:
    head = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nX-A: \x1b[2J\r\n\r\n"
    with EchoServer(opening=lambda connection: connection.send_raw(head)) as server:
        done = command(server.url, "--trace-headers")
    assert done.status == 1
    assert "    < HTTP/1.1 401 No\n" in done.err
    assert "    < www-authenticate: Basic\n" in done.err
    assert "    < x-a: \\x1b[2J\n" in done.err


def test_headers_of_each_request_are_shown(command: Command, server: EchoServer) -> None:
    location = [("Location", f"{server.url}there?key=hidden")]
    with EchoServer(opening=reject(302, "Found", headers=location)) as first:
        done = command(first.url, "--trace-headers", "-x", "hello")
    assert done[:2] == (0, "hello\n")
    assert "    > GET / HTTP/1.1\n" in done.err
    assert "    > GET /there?key=... HTTP/1.1\n" in done.err


# The way to the server


def test_origin_and_credentials_are_sent(command: Command, server: EchoServer) -> None:
    done = command(server.url, "--origin", "https://example.org", "--auth", "us er:p:ä/@")
    assert done.status == 0
    assert request_of(server).get("origin") == "https://example.org"
    assert request_of(server).get("authorization") == "Basic dXMgZXI6cDrDpC9A"


def test_credentials_take_the_place_of_those_of_the_url(
    command: Command, server: EchoServer
) -> None:
    command(server.url.replace("ws://", "ws://a:b@"), "--auth", "c:")
    assert request_of(server).get("authorization") == "Basic Yzo="


def test_short_forms_are_taken(command: Command, authority: Authority, server: EchoServer) -> None:
    with EchoServer(ssl_context=authority.server_context(), subprotocols=["chat"]) as secure:
        assert command(secure.url).status == 1
        done = command(secure.url, "-k", "-H", "X-A: b", "-s", "other", "-s", "chat")
        assert done.err.splitlines()[0] == "connected (chat)"
        assert secure.connections[-1].request.get("x-a") == "b"


@pytest.fixture
def strict(authority: Authority) -> Iterator[EchoServer]:
    """A server that wants a certificate of its clients."""
    context = authority.server_context("localhost", "server.example")
    context.load_verify_locations(authority.cafile)
    context.verify_mode = ssl.CERT_REQUIRED
    with EchoServer(ssl_context=context, host="127.0.0.1") as server:
        yield server


def test_certificate_of_the_client_is_shown(
    command: Command, authority: Authority, strict: EchoServer
) -> None:
    url = f"wss://localhost:{strict.port}/"
    together = authority.issue_file("client.pem", "client")
    certificate, key = authority.issue_pair("apart", "client")
    trusted = ("--cafile", authority.cafile, "-x", "hello", "--one")
    assert command(url, *trusted, "--cert", together)[:2] == (0, "hello\n")
    assert command(url, *trusted, "--cert", certificate, "--key", key)[:2] == (0, "hello\n")
    assert command(url, *trusted).status == 1


def test_name_of_the_certificate_is_chosen(
    command: Command, authority: Authority, strict: EchoServer
) -> None:
    url = f"wss://127.0.0.1:{strict.port}/"
    known = ("--cafile", authority.cafile, "--cert", authority.issue_file("c.pem", "client"))
    assert command(url, *known).status == 1
    assert command(url, *known, "--sni", "server.example", "-x", "a").out == "a\n"


def test_encrypted_key_is_asked_for(
    command: Command,
    authority: Authority,
    strict: EchoServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    certificate, key = authority.issue_pair("locked", "client")
    locked = tmp_path / "locked.key"
    locked.write_bytes(encrypt(Path(key).read_bytes(), b"open"))
    arguments = (f"wss://localhost:{strict.port}/", "--cafile", authority.cafile)
    arguments += ("--cert", certificate, "--key", str(locked), "-x", "hello", "--one")
    done = command(*arguments)
    assert done.status == 2
    assert "no terminal is there to ask for its password" in done.err

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def refuse(*_: object) -> str:
        raise EOFError

    monkeypatch.setattr(sys, "stdin", Terminal())
    for answer, status in ((refuse, 2), (lambda *_: "wrong", 2), (lambda *_: "open", 0)):
        connect_options._ask_password.cache_clear()
        monkeypatch.setattr(connect_options, "getpass", answer)
        assert command(*arguments).status == status
    connect_options._ask_password.cache_clear()


def encrypt(key: bytes, password: bytes) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


def test_proxy_is_chosen(
    command: Command, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"ws://name.of.target:{server.port}/"
    with HTTPProxy(credentials=b"user:secret") as proxy:
        good = proxy.url.replace("//", "//user:secret@")
        assert command(url, "--proxy", good, "-x", "a")[:2] == (0, "a\n")
        done = command(url, "--proxy", good.replace("secret", "hidden"), "--trace")
        assert done.status == 1
        assert "407" in done.err
        assert "hidden" not in done.err
    # The environment's proxy is not there any more.
    monkeypatch.setenv("http_proxy", good)
    monkeypatch.setenv("no_proxy", "")
    assert command(server.url, "-x", "a").status == 1
    assert command(server.url, "--proxy", "none", "-x", "a")[:2] == (0, "a\n")


@contextmanager
def unix_socket(path: str, port: int) -> Iterator[None]:
    """A unix socket that leads to a port."""

    def carry(client: Any, address: object) -> None:
        with client, gevent.socket.create_connection(("127.0.0.1", port)) as upstream:
            relay(client, upstream)

    with gevent.socket.socket(gevent.socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        server = StreamServer(listener, carry)
        server.start()
        yield
        server.stop()


def test_unix_socket_is_chosen(command: Command, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with EchoServer() as server:
        with unix_socket(path, server.port):
            done = command("ws://any.name/there", "--unix", path, "-x", "a", "--one")
        assert done[:2] == (0, "a\n")
        assert request_of(server).get("host") == "any.name"
        assert request_of(server).target == "/there"
    done = command("ws://any.name/", "--unix", f"{path}.missing")
    assert done.status == 1
    assert "No such file" in done.err


def test_addresses_of_names_are_chosen(
    command: Command, authority: Authority, server: EchoServer
) -> None:
    port = server.port
    pins = ("--resolve", "Server.Example:127.0.0.1", "--resolve", "other.example:[::1]")
    assert command(f"ws://server.example:{port}/", *pins, "-x", "a")[:2] == (0, "a\n")
    assert request_of(server).get("host") == f"server.example:{port}"
    done = command(f"ws://other.example:{port}/", *pins)
    assert done.status == 1
    assert "::1" in done.err
    assert command(f"ws://server.example.:{port}/", *pins, "-x", "a")[:2] == (0, "a\n")
    # A name that is not given is looked up as ever; and several addresses are tried.
    assert command(f"ws://localhost:{port}/", *pins, "-x", "a")[:2] == (0, "a\n")
    both = ("--resolve", "s.example:::1", "--resolve", "s.example:127.0.0.1")
    assert command(f"ws://s.example:{port}/", *both, "-x", "a")[:2] == (0, "a\n")
    with EchoServer(ssl_context=authority.server_context("server.example")) as secure:
        url = f"wss://server.example:{secure.port}/"
        assert command(url, *pins, "--cafile", authority.cafile, "-x", "a").out == "a\n"


def test_size_of_messages_is_limited(command: Command) -> None:
    with EchoServer(respond(lambda message: "x" * 2000), close_timeout=0.1) as server:
        done = command(server.url, "--max-size", "1000", "-x", "a", "--wait", "5")
        assert (done.status, done.out) == (1, "")
        assert "1000" in done.err
        assert command(server.url, "--max-size", "0", "-x", "a").out == "x" * 2000 + "\n"


@pytest.mark.usefixtures("soon")
def test_connection_is_opened_again(command: Command) -> None:
    opening = in_turn(accept, reject(503, "Busy"), accept)
    handler = in_turn(close_with(1001, "restart", after=1), echo)
    with EchoServer(handler, opening=opening) as server:
        pieces = iter([b"from stdin\n", b""])

        def read() -> bytes:
            server.wait_for(lambda: server.connections and server.connections[0].is_ended)
            return next(pieces)

        done = command(server.url, "--reconnect", "-x", "again", lines=read)
    assert done[:2] == (0, "again\nagain\nfrom stdin\n")
    assert done.err.splitlines() == [
        "connected",
        "disconnected: restart (code 1001)",
        "connecting again in 0.0 s",
        "rejected: Websocket upgrade failed (code=503)",
        "connecting again in 0.0 s",
        "connected",
        "disconnected: closed (code 1000)",
    ]


@pytest.mark.usefixtures("soon")
def test_opening_that_fails_is_tried_again(command: Command, server: EchoServer) -> None:
    opening = in_turn(drop(), accept)
    with EchoServer(opening=opening) as server:
        done = command(server.url, "--reconnect", "-x", "hello", "--one")
    assert done[:2] == (0, "hello\n")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between connections that take no time."""
    monkeypatch.setattr(Backoff, "delay", lambda *_: 0.001)


# What does not fit


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--ping", "0"], "argument --ping: must be seconds, more than 0: '0'"),
        (["--ping", "x"], "argument --ping: must be seconds, more than 0: 'x'"),
        (["--wait", "-1"], "argument --wait: must be a number, 0 or more: '-1'"),
        (["--max-size", "1k"], "argument --max-size: must be a whole number, 0 or more: '1k'"),
        (["--auth", "hidden"], "argument --auth: must be USER:PASS"),
        (["--auth", ":hidden"], "argument --auth: must be USER:PASS"),
        (["--proxy", "ftp://u:hidden@h"], "argument --proxy: the scheme of a proxy's URL must be"),
        (["--proxy", ""], "argument --proxy: "),
        (["--resolve", "host"], "argument --resolve: must be a name and an IP address, HOST:ADD"),
        (["--resolve", "h:443:127.0.0.1"], "'h:443:127.0.0.1'; the port is left out here"),
        (["--resolve", "a..b:127.0.0.1"], "argument --resolve: it has an invalid host"),
        (["--resolve", ":127.0.0.1"], "argument --resolve: "),
        (["-x", "a\udcff"], "argument -x/--send: must be UTF-8"),
        (["--auth", "a:hidden\udcff"], "argument --auth: must be UTF-8"),
        (["--origin", "a\udcff"], "greenws: "),
        (["--sni", "a\udcff"], "greenws: "),
        (["-H", "a: hidden\udcff"], "argument -H/--header: "),
        (["-s", "a\udcff"], "argument -s/--protocol: "),
        (["--resolve", "a\udcff:127.0.0.1"], "argument --resolve: "),
        (["--proxy", "http://h\udcff"], "argument --proxy: "),
        (["-x"], "argument -x/--send: expected one argument"),
        (["--a\nb\x1b"], "unrecognized arguments: --a\\nb\\x1b"),
        (["--nope"], "unrecognized arguments: --nope"),
        (["--origin", "a\nb"], "greenws: "),
        (["--sni", "a b"], "greenws: "),
        (["--key", "file"], "greenws: --key needs --cert"),
        (["--unix", "x", "--proxy", "http://h"], "greenws: --unix and --proxy exclude each other"),
        (["--auth", "a:b", "-H", "authorization: c"], "greenws: --auth and a header Authorization"),
        (["--binary", "-x", "hello"], "greenws: --send with --binary: bytes must be hexadecimal"),
        (["--cert", "/missing"], "greenws: unable to load the client certificate in /missing: No "),
        (["--cert", __file__, "--key", "/missing"], "greenws: unable to load the key of the cli"),
        (["--cafile", "/missing"], "greenws: unable to load the trusted certificates in /missing"),
        (["--cert", __file__], "greenws: unable to load the client certificate in "),
        (["--unix", "a\0b"], "greenws: unix_path must be a path"),
    ],
)
def test_bad_option_is_one_line(arguments: list[str], complaint: str, command: Command) -> None:
    done = command("ws://127.0.0.1:1/", *arguments)
    assert (done.status, done.out) == (2, "")
    assert complaint in done.err
    assert done.err.count("\n") == 1
    assert "hidden" not in done.err


def test_page_has_every_option(command: Command) -> None:
    done = command("--help")
    page = (ROOT / "docs" / "cli.rst").read_text(encoding="utf-8")
    options = set(re.findall(r"(?<!\w)--?[a-zA-Z][a-z-]*", done.out)) - {"-h", "--help", "-m"}
    assert len(options) > 25
    assert sorted(option for option in options if f"``{option}" not in page) == []


# Another server


def test_server_of_another_library_is_spoken_to(command: Command, tmp_path: Path) -> None:
    with ForeignServer("websockets", tmp_path) as server:
        known = ("--cafile", server.cafile, "--compress", "--ping", "5", "--json")
        done = command(server.secure_url, *known, "-x", "[1]", "--one")
        assert done[:2] == (0, "[\n  1\n]\n")
        done = command(server.url, "--binary", "-x", "00ff", "--one", "--trace-headers")
        assert done[:2] == (0, "00ff\n")
        assert re.search("    < server: .*websockets", done.err)
        done = command(server.url, "--wait", "9", lines=b"fragments\nclose\n")
        assert done[:2] == (1, "one two three\n")
        assert "disconnected: as you wish (code 4001)" in done.err
