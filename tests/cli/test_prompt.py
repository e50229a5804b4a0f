"""The prompt of ``connect``, in a real terminal."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent.event import Event

from greenws.testing import EchoServer, ServerConnection, close_with, in_turn, respond, send_raw
from tests.support.typist import Typist

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")

# What a prompt writes beside characters: the row, colours, and the marks of what is pasted.
OURS = re.compile(r"\r\n|\r|\x1b\[K|\x1b\[\d+C|\x1b\[\d*m|\x1b\[\?2004[hl]")

HOSTILE = "\x1b]0;owned\x07\x1b[2J\rfake\x08\x9b6n\x7f\u202eevil\u2066\u200f\u2028\ufeff\x00"


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


def test_lines_are_edited_and_sent_and_answers_come_above(server: EchoServer) -> None:
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        assert not typist.has_modes_of_before()
        typist.type("hellö wrld\x1b[D\x1b[D\x1b[Do\r")
        typist.wait_for("< hellö world")
        typist.type("\x1b[A!\r")
        typist.wait_for("< hellö world!")
        typist.type("\x12hel\r\x04")
        assert typist.end() == 0
        assert typist.has_modes_of_before()
    assert server.messages == ["hellö world", "hellö world!", "hellö world!"]
    assert typist.rows[:5] == [
        "connected; /help shows what can be typed",
        "> hellö world",
        "< hellö world",
        "> hellö world!",
        "< hellö world!",
    ]
    assert typist.rows[-1] == "disconnected: closed (code 1000)"
    assert "\x1b[36m< hellö world\x1b[0m" in typist.written
    assert "\x1b[1m> \x1b[0m" in typist.written


def test_messages_come_while_a_line_is_typed_and_leave_it_alone(server: EchoServer) -> None:
    with Typist("connect", server.url, env={"NO_COLOR": "1"}) as typist:
        typist.wait_prompt()
        typist.type("half a l")
        typist.wait_for("> half a l")
        (connection,) = server.connections
        connection.send("late\nnews")
        connection.send_ping(b"?")
        server.wait_for(lambda: connection.pongs)
        typist.wait_for("< late\nnews\n> half a l")
        typist.type("ine\r")
        server.wait_for(lambda: server.messages == ["half a line"])
        typist.type("begun")
        typist.wait_for("> begun")
        connection.close(1001, "restart")
        assert typist.end() == 0
    assert typist.rows[-2:] == ["disconnected: restart (code 1001)", "> begun"]
    assert not re.search(r"\x1b\[[0-9;]*m", typist.written)


def test_orders_are_obeyed(server: EchoServer) -> None:
    with Typist("connect", server.url, "--json") as typist:
        typist.wait_prompt()
        typist.type('/he\t\r/ping\r/binary 01 ff\r//ping\r{"a":1}\r')
        typist.wait_for("\n}\n")
        typist.type("/nothing\r/close bye\r/close 4000 so long\r")
        assert typist.end() == 0
    assert server.messages == [b"\x01\xff", "/ping", '{"a":1}']
    assert server.connections[0].close_code == 4000
    rows = typist.rows
    assert any(row.startswith("/close [CODE] [REASON] ") for row in rows)
    assert any(re.fullmatch(r"pong after \d+\.\d\d ms", row) for row in rows)
    assert "< (2 bytes) 01ff" in rows
    assert [rows[rows.index("< {") + place] for place in (1, 2)] == ['  "a": 1', "}"]
    assert "there is no /nothing; /help shows what there is, and //nothing sends it" in rows
    assert "/close takes a code before a reason: /close 1000 bye" in rows
    assert '\x1b[34m"a"\x1b[0m: \x1b[33m1\x1b[0m' in typist.written


def test_what_is_pasted_is_one_message(server: EchoServer) -> None:
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.type('\x1b[200~{\r\t"a": 1\r}\r\x1b[201~')
        typist.wait_for('> {\\n\\t"a": 1\\n}')
        typist.type("\r")
        server.wait_for(lambda: server.messages == ['{\n\t"a": 1\n}'])
        typist.type("\x04")
        assert typist.end() == 0


@pytest.mark.parametrize("columns", [80, 6])
def test_no_control_of_the_server_reaches_the_terminal(columns: int) -> None:
    body = b"HTTP/1.1 403 \x1b[2J\x07\r\n\r\n" + HOSTILE.encode()
    handler = in_turn(
        lambda connection: (connection.send(HOSTILE), connection.send(f'["{HOSTILE!r}"]')),
    )
    with EchoServer(handler) as server:
        with Typist("connect", server.url, "--json", columns=columns) as typist:
            typist.wait_for("disconnected")
            assert typist.end() == 0
        written = OURS.sub("", typist.written).replace("\n", "")
        assert written.isprintable(), ascii(written)
        assert "\\x1b]0;owned\\x07\\x1b[2J\\rfake" in typist.plain
        server.opening = send_raw(body)
        with Typist("connect", server.url, "--trace-headers") as typist:
            assert typist.end() == 1
        assert OURS.sub("", typist.written).replace("\n", "").isprintable(), typist.written


@pytest.mark.parametrize("term", ["dumb", None])
def test_terminal_without_sequences_gets_none(term: str | None, server: EchoServer) -> None:
    with Typist("connect", server.url, env={"TERM": term}) as typist:
        typist.wait_for("connected")
        assert typist.has_modes_of_before()
        typist.type("hello\n/binary ff\n")
        typist.wait_for("\nff\n")
        typist.type("/nope\n\x04")
        assert typist.end() == 0
    assert "\x1b" not in typist.written
    assert "\nhello\n" in typist.plain
    assert "there is no /nope; " in typist.plain
    assert server.messages == ["hello", b"\xff"]


def test_keyboard_is_read_in_lines_where_stdout_is_no_terminal(
    server: EchoServer, tmp_path: Path
) -> None:
    file = tmp_path / "out"
    with Typist("connect", server.url, redirects=f">{file}") as typist:
        typist.wait_for("connected\n")
        typist.type("hello\n")
        typist.wait_for(lambda: file.read_text() == "hello\n")
        typist.type("\x04")
        assert typist.end() == 0
    assert "\x1b" not in typist.written


def test_stderr_may_be_a_file(server: EchoServer, tmp_path: Path) -> None:
    file = tmp_path / "err"
    with Typist("connect", server.url, redirects=f"2>{file}") as typist:
        typist.wait_for("> ")
        typist.type("hello\r")
        typist.wait_for("< hello")
        typist.type("\x04")
        assert typist.end() == 0
    assert file.read_text().splitlines()[-1] == "disconnected: closed (code 1000)"
    assert "connected" not in typist.plain


def test_nothing_is_typed_where_all_is_said(server: EchoServer) -> None:
    with Typist("connect", server.url, "-x", "hello", "--one") as typist:
        assert typist.end() == 0
    assert "\x1b" not in typist.written
    assert typist.rows == ["connected", "hello", "disconnected: closed (code 1000)"]
    with Typist("connect", server.url, "-x", "hello", "--wait", "0.1") as typist:
        assert typist.end() == 0
    assert "hello" in typist.rows


# The end


def test_key_of_interruption_closes_the_connection(server: EchoServer) -> None:
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.type("begun\x03")
        assert typist.end() == 0
        assert typist.has_modes_of_before()
    server.wait_idle()
    assert server.connections[0].close_code == 1000
    assert typist.written.count("\x1b[?2004h") == typist.written.count("\x1b[?2004l") == 1
    assert typist.rows[-1] == "disconnected: closed (code 1000)"


def test_second_interruption_ends_the_command_and_leaves_the_terminal_as_it_was() -> None:
    ended = Event()

    def serve(connection: ServerConnection) -> None:
        connection.receive_raw()
        ended.wait()

    with EchoServer(serve) as server, Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.type("\x03")
        typist.wait_for(typist.has_modes_of_before)
        typist.type("\x03")
        assert typist.end() == -signal.SIGINT
        assert typist.has_modes_of_before()
        ended.set()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM])
def test_signal_leaves_the_terminal_as_it_was(number: signal.Signals, server: EchoServer) -> None:
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.signal(number)
        assert typist.end() == (0 if number == signal.SIGTERM else -number)
        assert typist.has_modes_of_before()


def test_signal_that_was_ignored_stays_ignored(server: EchoServer) -> None:
    with Typist("connect", server.url, script='trap "" HUP; exec "$@"') as typist:
        typist.wait_prompt()
        typist.signal(signal.SIGHUP)
        typist.type("hello\r")
        typist.wait_for("< hello")
        typist.type("\x04")
        assert typist.end() == 0


def test_terminal_that_is_hung_up_ends_the_command(server: EchoServer, tmp_path: Path) -> None:
    file = tmp_path / "err"
    options = {"redirects": f"2>{file}", "is_controlling": False}
    with Typist("connect", server.url, **options) as typist:  # type: ignore[arg-type]
        typist.wait_for("> ")
        typist.hang_up()
        assert typist.end() in (0, 1)
    assert "Traceback" not in file.read_text()
    assert file.read_text().splitlines()[1].startswith("disconnected: ")
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.hang_up()
        assert typist.end() == -signal.SIGHUP
    server.wait_idle()


def test_terminal_that_nobody_reads_holds_up_messages_only() -> None:
    pings, is_over = 0, False

    def flood(connection: ServerConnection) -> None:
        nonlocal pings
        connection.receive()
        connection.send("x" * 200_000)
        while not is_over and connection.receive_raw():
            pings += 1

    with EchoServer(flood, close_timeout=0.1) as server:
        with Typist("connect", server.url, "--ping", "0.01") as typist:
            typist.wait_prompt()
            typist.stop_reading()
            typist.type("go\r")
            typist.wait_for(lambda: pings > 5)
            is_over = True
            typist.signal(signal.SIGINT)
            assert typist.end() == 1


# Stops, and the window


SHELL = 'set -m; "$@"; echo stopped; read word; echo "got $word"; fg >/dev/null; echo "left $?"'


def test_command_that_was_stopped_goes_on(server: EchoServer) -> None:
    with Typist("connect", server.url, script=SHELL) as typist:
        typist.wait_prompt()
        typist.type("begun")
        typist.wait_for("> begun")
        typist.type("\x1a")  # which drops what nobody has read
        typist.wait_for("stopped\n")
        typist.wait_for(typist.has_modes_of_before)
        server.connections[0].send("meanwhile")
        typist.type("word\n")
        typist.wait_for("got word")
        typist.wait_for("< meanwhile")
        typist.wait_for(lambda: not typist.has_modes_of_before())
        typist.type(" and done\r")
        typist.wait_for("< begun and done")
        typist.type("\x04")
        typist.wait_for("left 0")
        assert typist.end() == 0
        assert typist.has_modes_of_before()


def test_stop_that_nobody_could_undo_is_ignored(server: EchoServer) -> None:
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.type("begun")
        typist.wait_for("> begun")
        typist.type("\x1a")
        typist.wait_for(lambda: typist.written.count("\x1b[?2004h") == 2)
        typist.type(" and done\r")
        typist.wait_for("< begun and done")
        typist.type("\x04")
        assert typist.end() == 0


def test_line_fits_the_window_whatever_its_size(server: EchoServer) -> None:
    line = "0123456789" * 5
    with Typist("connect", server.url) as typist:
        typist.wait_prompt()
        typist.type(line)
        typist.wait_for(f"> {line}")
        typist.resize(20)
        typist.wait_for(lambda: typist.plain.endswith("> 34567890123456789"))
        typist.resize(80)
        typist.wait_for(lambda: typist.plain.endswith(f"> {line}"))
        typist.type("\x0c")
        typist.wait_for(lambda: "\x1b[H\x1b[2J" in typist.written)
        typist.type("\r")
        server.wait_for(lambda: server.messages == [line])
        typist.type("\x04")
        assert typist.end() == 0


def test_lines_between_two_connections_are_not_sent() -> None:
    handler = in_turn(close_with(1001), respond(lambda message: message))
    with EchoServer(handler) as server:
        with Typist("connect", server.url, "--reconnect") as typist:
            typist.wait_for("connecting again in ")
            typist.type("early\r")
            typist.wait_for("not sent: ")
            typist.wait_for(lambda: "connected" in typist.rows[1:])
            typist.type("late\r")
            typist.wait_for("< late")
            typist.type("\x04")
            assert typist.end() == 0
        assert server.messages == ["late"]
