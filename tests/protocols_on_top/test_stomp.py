"""STOMP, with the broker of npm's stomp-broker-js."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import gevent
import pytest

from greenws.testing import EchoServer, ServerConnection
from tests.protocols_on_top.programs import (
    Server,
    load_example,
    need_node,
    run_example,
    run_example_server,
)
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need_node("stomp-broker-js")
    with run_example_server(tmp_path_factory.mktemp("stomp"), "stomp_server.js") as server:
        yield server


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return load_example("stomp_client")


def test_example_prints_the_answer(server: Server) -> None:
    assert run_example("stomp_client", server.url) == ["42"]
    server.wait_line("gone")


def test_message_of_one_connection_reaches_another(server: Server, example: ModuleType) -> None:
    listener, speaker = (example.Stomp(server.url, proxies={}) for _ in range(2))
    listener.tell("SUBSCRIBE", id="a", destination="/topic/talk")
    listener.connection.ping(PATIENCE)  # the broker has read what was sent before
    text = "two\n\nparagraphs, ä"
    speaker.tell("SEND", text.encode(), destination="/topic/talk", colour="blue")
    frame = listener.receive(PATIENCE)
    assert (frame.command, frame.headers["subscription"]) == ("MESSAGE", "a")
    assert frame.headers["colour"] == "blue"
    # This broker joins the paragraphs of a body by commas.
    assert frame.body.decode() == text.replace("\n\n", ",")
    speaker.close()
    listener.close()


def test_close_takes_the_messages_that_are_under_way(server: Server, example: ModuleType) -> None:
    stomp = example.Stomp(server.url, proxies={})
    stomp.tell("SUBSCRIBE", id="1", destination="/topic/answers")
    for number in range(100):
        stomp.tell("SEND", f"{number} * 2".encode(), destination="/topic/questions")
    stomp.close()
    assert stomp.connection.close_code == 1000


def test_frames_survive_any_headers_and_bodies(example: ModuleType) -> None:
    headers = {"a:b": "x\\y\r\nz:", "empty": ""}
    body = b"\0 and \xff\n\n\0"
    assert example.decode(example.encode("SEND", headers, body)) == ("SEND", headers, body)
    assert example.decode("MESSAGE\r\na:1\r\na:2\r\n\r\nx\0\n") == ("MESSAGE", {"a": "1"}, b"x")


@contextlib.contextmanager
def run_broker(*answers: str) -> Iterator[str]:
    """Run a broker that answers the first frames, in this order."""

    def serve(connection: ServerConnection) -> None:
        for answer in answers:
            connection.receive()
            connection.send(answer)
        connection.receive()

    with EchoServer(serve) as server:
        yield server.url


def test_receipts_find_their_senders(example: ModuleType) -> None:
    receipts = ("RECEIPT\nreceipt-id:2\n\n\0", "RECEIPT\nreceipt-id:1\n\n\0")
    with run_broker("CONNECTED\nversion:1.2\n\n\0", *receipts) as url:
        stomp = example.Stomp(url, proxies={})
        both = [gevent.spawn(stomp.confirm, "SEND", destination="/queue/a") for _ in range(2)]
        gevent.joinall(both, timeout=PATIENCE, raise_error=True)
        assert all(each.ready() for each in both)
        stomp.connection.close()


def test_broker_may_close_in_place_of_the_last_receipt(example: ModuleType) -> None:
    with run_broker("CONNECTED\nversion:1.2\n\n\0", "MESSAGE\n\nlate\0") as url:
        stomp = example.Stomp(url, proxies={})
        stomp.tell("SUBSCRIBE", id="1", destination="/queue/a")
        stomp.close()
        assert stomp.connection.close_code == 1000


@pytest.mark.parametrize("step", ["login", "send"])
def test_error_of_the_broker_is_raised(example: ModuleType, step: str) -> None:
    error = "ERROR\nmessage:no\nreceipt-id:1\n\nnot for you\0"
    before = [] if step == "login" else ["CONNECTED\nversion:1.2\n\n\0"]
    with run_broker(*before, error) as url:
        with pytest.raises(example.StompError, match=r"no.*not for you"):
            stomp: Any = example.Stomp(url, headers={"login": "me"}, proxies={})
            stomp.confirm("SEND", destination="/queue/a")
