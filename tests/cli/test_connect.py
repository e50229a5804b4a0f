"""The connection of the command ``connect``: lines in, messages out, an exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from greenws.cli import connect
from greenws.cli.connect import StdioClient, Talk
from greenws.cli.screen import Screen
from greenws.cli.streams import OutputError
from greenws.testing import EchoServer, close_with, drop, reject, respond

Feed = Callable[..., None]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    """What stdin gives, read by read, and then its end."""

    def feed(*pieces: bytes) -> None:
        rest = iter(pieces)
        monkeypatch.setattr(connect, "read_stdin", lambda: next(rest, b""))

    return feed


def converse(url: str, wait: float = 0.0, **options: Any) -> int:
    client = StdioClient(url, wait, options)
    client.run()
    return client.status


def test_lines_are_messages(feed: Feed) -> None:
    feed(b"one\r\ntw", "o, zwölf".encode()[:5], "o, zwölf".encode()[5:] + b"\n\nlast")
    with EchoServer() as server:
        assert converse(server.url) == 0
        assert server.messages == ["one", "two, zwölf", "", "last"]


def test_bytes_that_are_not_utf8_are_replaced(feed: Feed) -> None:
    feed(b"a\xffb\n")
    with EchoServer() as server:
        converse(server.url)
        assert server.messages == ["a\ufffdb"]


def test_bytes_of_a_character_that_stdin_cuts_off_are_replaced(feed: Feed) -> None:
    feed(b"one\nab\xe2\x82")
    with EchoServer() as server:
        converse(server.url)
        assert server.messages == ["one", "ab\ufffd"]


def test_line_may_come_in_many_pieces(feed: Feed) -> None:
    feed(*[b"x" * 1000] * 50, b"\r\nlast\n\n")
    with EchoServer() as server:
        assert converse(server.url) == 0
        assert server.messages == ["x" * 50_000, "last", ""]


def test_line_without_an_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(connect, "_MAX_LINE", 2000)
    monkeypatch.setattr(connect, "read_stdin", lambda: bytes(1000))
    with EchoServer() as server:
        assert converse(server.url) == 1
        assert server.messages == []
    assert "not sent: a line of stdin has more than 2,000 characters\n" in capsys.readouterr().err


def test_stdin_that_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> bytes:
        raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(connect, "read_stdin", fail)
    with EchoServer() as server:
        assert converse(server.url) == 1
    assert "cannot read stdin: Is a directory\n" in capsys.readouterr().err


def test_texts_are_printed_and_binary_messages_in_hex(
    feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(b"go\n")
    with EchoServer(respond(lambda message: ["grün", b"\x01\xff"])) as server:
        assert converse(server.url, wait=0.1) == 0
    told = capsys.readouterr()
    assert told.out == "grün\n01ff\n"
    assert told.err == "connected\ndisconnected: closed (code 1000)\n"


def test_agreement_is_told(feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    feed()
    with EchoServer(subprotocols=["chat"]) as server:
        converse(server.url, compress=True, protocols=["chat"])
    assert capsys.readouterr().err.startswith("connected (permessage-deflate, chat)\n")


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (close_with(1000), 0),
        (close_with(1001), 0),
        (close_with(None), 0),
        (close_with(1011), 1),
        (drop(reset=False), 1),
    ],
)
def test_status_tells_a_good_end_from_a_bad_one(
    handler: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "read_stdin", lambda: gevent.sleep(60))
    with EchoServer(handler) as server:
        assert converse(server.url) == status


def test_rejection_is_told_with_its_body(feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    feed(b"never sent\n")
    with EchoServer(opening=reject(403, "Forbidden", body=b"no entry\n")) as server:
        assert converse(server.url) == 1
    assert capsys.readouterr().err.splitlines() == [
        "rejected: Websocket upgrade failed (code=403); the server says 'no entry'",
        "no entry",
    ]


def test_failed_connection_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with EchoServer() as server:
        url = server.url
    assert converse(url) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_line_that_cannot_be_sent_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = iter([b"one\n", b"two\n"])

    def read() -> bytes:
        client.websocket.close()
        return next(pieces, b"")

    monkeypatch.setattr(connect, "read_stdin", read)
    with EchoServer() as server:
        client = StdioClient(server.url, 0.0, {})
        client.run()
        assert server.messages == []
    assert "not sent: " in capsys.readouterr().err


def test_orders_are_obeyed_without_a_prompt(feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    feed(b"/help\n/ping\n/binary ff\n/binary x\n//a\n/close 4000 bye\nnever sent\n")
    with EchoServer() as server:
        client = StdioClient(server.url, 0.0, {}, Talk(is_typed=True))
        client.run()
        assert client.status == 0
        assert server.messages == [b"\xff", "/a"]
        assert server.connections[0].close_code == 4000
    told = capsys.readouterr()
    assert told.out == "ff\n/a\n"
    assert "/close [CODE] [REASON]" in told.err
    assert "bytes must be hexadecimal" in told.err
    assert "pong after " in told.err


def test_orders_after_the_end_are_told_and_more_may_follow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = iter([b"hello\n", b"/ping\n", b"/close\n"])

    def read() -> bytes:
        client.websocket.close()
        return next(pieces)

    monkeypatch.setattr(connect, "read_stdin", read)
    with EchoServer() as server:
        client = StdioClient(server.url, 0.0, {}, Talk(is_typed=True))
        client.run()
    assert capsys.readouterr().err.count("not sent: ") == 2


def test_close_code_of_the_server_is_no_good_end(feed: Feed) -> None:
    feed(b"/close 4001\n")
    with EchoServer(close_with(4000)) as server:
        client = StdioClient(server.url, 0.0, {}, Talk(is_typed=True))
        client.run()
    assert client.status == 1


def test_screen_that_takes_no_more_ends_the_command(feed: Feed) -> None:
    class Broken(Screen):
        """A screen that fails while a line is read."""

        @property
        def prompt(self) -> Any:
            return self

        def read_line(self) -> str:
            raise OutputError(OSError(5, "Input/output error"))

    with EchoServer() as server:
        client = StdioClient(server.url, 0.0, {}, Talk(is_typed=True), Broken())
        with pytest.raises(OutputError, match="Input/output error"):
            client.run()
        server.wait_idle()
        assert server.connections[0].close_code == 1001


def test_first_message_that_cannot_be_sent_is_told(
    feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    feed()

    class Closing(StdioClient):
        def on_ready(self, event: Any) -> None:
            super().on_ready(event)
            self.websocket.close()

    with EchoServer() as server:
        Closing(server.url, 0.0, {}, Talk(messages=("hello",))).run()
        assert server.messages == []
    assert "not sent: " in capsys.readouterr().err
