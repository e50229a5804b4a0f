"""The steps that are told: to whom, in which order, and without any secret."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

import greenws
from greenws.testing import EchoServer
from greenws.trace import Tracer

LOG = "greenws.websocket"
PATIENCE = 10.0


class Counter:
    """A meter that has counted what the test says."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, int]] = []

    def take(self) -> list[tuple[str, int]]:
        counted, self.counted = self.counted, []
        return counted


@pytest.fixture
def silent_log() -> Iterator[None]:
    """A log that is above DEBUG, whatever the test run has set."""
    log = logging.getLogger(LOG)
    before = log.level
    log.setLevel(logging.INFO)
    yield
    log.setLevel(before)


@pytest.mark.usefixtures("silent_log")
def test_nobody_listens_without_callback_and_debug_log() -> None:
    assert not Tracer("ws://h/").is_heard


@pytest.mark.usefixtures("silent_log")
def test_a_callback_listens() -> None:
    assert Tracer("ws://h/", print).is_heard


@pytest.mark.usefixtures("silent_log")
def test_the_log_listens_from_the_moment_its_level_is_debug() -> None:
    tracer = Tracer("ws://h/")
    assert not tracer.is_heard
    logging.getLogger(LOG).setLevel(logging.DEBUG)
    assert tracer.is_heard


@pytest.mark.usefixtures("silent_log")
def test_a_callback_that_is_set_later_listens() -> None:
    records: list[dict[str, Any]] = []
    tracer = Tracer("ws://h/")
    tracer.tell("first")
    tracer.callback = records.append
    tracer.tell("second", length=1)
    assert records == [{"stage": "second", "url": "ws://h/", "length": 1}]


def test_a_record_may_have_a_field_of_any_name() -> None:
    records: list[dict[str, Any]] = []
    Tracer("ws://h/", records.append).tell("step", self=1, name=2, fields=3)
    assert records == [{"stage": "step", "url": "ws://h/", "self": 1, "name": 2, "fields": 3}]


@pytest.mark.parametrize(
    "url", ["ws://user:secret@host/feed", "wss://secret@host/feed", "ws://host/feed?token=secret"]
)
def test_no_secret_of_the_url_is_told(url: str, caplog: pytest.LogCaptureFixture) -> None:
    records: list[dict[str, Any]] = []
    with caplog.at_level(logging.DEBUG, LOG):
        Tracer(url, records.append).tell("step")
    assert "host/feed" in records[0]["url"]
    assert "host/feed" in caplog.text
    assert "secret" not in records[0]["url"] and "secret" not in caplog.text


def test_what_a_meter_has_counted_is_told_before_the_next_step() -> None:
    records: list[dict[str, Any]] = []
    tracer = Tracer("ws://h/", records.append)
    meter = tracer.meter = Counter()
    meter.counted = [("bytes_received", 5), ("bytes_sent", 7)]
    tracer.tell("step")
    tracer.tell("next")
    assert [(record["stage"], record.get("length")) for record in records] == [
        ("bytes_received", 5),
        ("bytes_sent", 7),
        ("step", None),
        ("next", None),
    ]


@pytest.mark.usefixtures("silent_log")
def test_a_meter_keeps_its_counts_while_nobody_listens() -> None:
    tracer = Tracer("ws://h/")
    meter = tracer.meter = Counter()
    meter.counted = [("bytes_sent", 7)]
    tracer.tell("step")
    assert meter.counted == [("bytes_sent", 7)]


def test_exceptions_of_the_callback_are_not_swallowed() -> None:
    def fail(record: dict[str, Any]) -> None:
        raise LookupError(record["stage"])

    with pytest.raises(LookupError, match="step"):
        Tracer("ws://h/", fail).tell("step")


def test_messages_are_told_with_their_length() -> None:
    records: list[dict[str, Any]] = []
    Tracer("ws://h/", records.append).tell_message("message_text", 3)
    assert records == [{"stage": "message_text", "url": "ws://h/", "length": 3}]


def converse(server: EchoServer, trace: Any = None) -> None:
    """Send one message of each kind, and end when the last one is back."""
    websocket = greenws.WebSocket(server.url, proxies={}, trace=trace)
    with gevent.Timeout(PATIENCE):
        for event in websocket:
            if event.name == "ready":
                websocket.send_text("text")
                websocket.send_binary(b"binary")
                websocket.send_ping(b"ping")
                websocket.send_pong(b"pong")
            elif event.name == "pong":
                websocket.close()


def test_the_debug_log_has_the_records_of_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    records: list[dict[str, Any]] = []
    with EchoServer() as server:
        converse(server, records.append)
        with caplog.at_level(logging.DEBUG, LOG):
            converse(server)
    told = [record["stage"] for record in records]
    logged = [record.getMessage().split(": ")[1].split(" ")[0] for record in caplog.records]
    sizes = {"socket_send", "socket_recv"}  # as many as there were switches
    assert [stage for stage in logged if stage not in sizes] == [
        stage for stage in told if stage not in sizes
    ]
    for stage in ("send_text", "send_binary", "send_ping", "send_pong", "message_text"):
        assert logged.count(stage) == 1, stage
    assert "binary" not in [word.strip("'") for word in caplog.text.split()]


def test_a_client_is_in_the_debug_log_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    class Talker(greenws.Client):
        def on_ready(self, event: Any) -> None:
            self.send_text("text")
            self.send_binary(b"binary")

        def on_binary(self, event: Any) -> None:
            self.close()

    with EchoServer() as server, caplog.at_level(logging.DEBUG, LOG):
        client = Talker(server.url, proxies={}).start()
        client.join(PATIENCE)
        client.kill()
    for stage in ("send_text", "send_binary", "message_text", "message_binary"):
        assert f": {stage} " in caplog.text, stage
