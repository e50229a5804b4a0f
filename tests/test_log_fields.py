"""The fields of log records: whose connection they are about, and how it has ended."""

from __future__ import annotations

import ast
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import greenws
from greenws.drain import drain_residents
from greenws.events import ConnectFail
from greenws.sessions.roster import get_roster
from greenws.testing import EchoServer, close_with, reject, silent

FIELDS = ("url", "connection", "code")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
SOURCES = sorted(Path(greenws.__path__[0]).rglob("*.py"))


def get_fields(record: logging.LogRecord) -> tuple[Any, ...]:
    return tuple(vars(record)[name] for name in FIELDS)


def find_records(caplog: pytest.LogCaptureFixture, part: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if part in record.getMessage()]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "greenws"):
        yield caplog


class Eager(greenws.Client):
    """A client that says hello; its URL has a secret."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(f"{url}feed?token=secret".replace("//", "//me:secret@", 1), **options)

    def on_ready(self, event: greenws.events.Ready) -> None:
        self.send_text("hello")


def show(server: EchoServer) -> str:
    return f"{server.url}feed?token=..."


def find_log_calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and node.func.attr in LEVELS
            ):
                yield path, node


def test_every_record_has_fields() -> None:
    calls = list(find_log_calls())
    assert len(calls) > 5
    for path, call in calls:
        assert "extra" in [keyword.arg for keyword in call.keywords], (path, call.lineno)


def test_numbers_of_connections_grow_by_one() -> None:
    with EchoServer() as server:
        websockets = [greenws.WebSocket(server.url) for _ in range(2)]
        assert websockets[0].log_fields() == {"url": server.url, "connection": None, "code": None}
        numbers: list[Any] = []
        for websocket in (*websockets, websockets[0]):
            for event in websocket:
                if event.name == "ready":
                    numbers.append(websocket.log_fields(1000)["connection"])
                    assert websocket.log_fields(1000)["code"] == 1000
                    websocket.close()
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_a_refusal_has_its_status(log: pytest.LogCaptureFixture) -> None:
    with EchoServer(opening=reject(403)) as server:
        client = Eager(server.url)
        client.run()
    (record,) = log.records
    number = client.websocket.log_fields()["connection"]
    assert number is not None
    assert get_fields(record) == (show(server), number, 403)


def test_a_failed_opening_has_no_code(log: pytest.LogCaptureFixture) -> None:
    with EchoServer(opening=silent) as server:
        Eager(server.url, open_timeout=0.02).run()
    (record,) = log.records
    assert get_fields(record)[::2] == (show(server), None)


def test_a_refusal_of_a_proxy_has_its_status(log: pytest.LogCaptureFixture) -> None:
    with EchoServer() as proxy:
        Eager("ws://example.org/", proxies={"all": proxy.url.replace("ws", "http")}).run()
    (record,) = log.records
    assert vars(record)["code"] == 400  # the server takes CONNECT for a request that is no upgrade


def test_a_session_of_others_fails_without_an_error_object(
    log: pytest.LogCaptureFixture,
) -> None:
    class Session(greenws.GeventSession):
        def run(self, *args: Any, **options: Any) -> Any:
            yield ConnectFail("for no reason")

    Eager("ws://127.0.0.1/", session_class=Session).run()
    (record,) = log.records
    assert vars(record)["code"] is None


def test_each_try_has_a_number_of_its_own(log: pytest.LogCaptureFixture) -> None:
    statuses = iter([503, 502])
    backoff = greenws.Backoff(min_wait=0.001, max_tries=2)
    with EchoServer(opening=lambda connection: connection.reject(next(statuses), "no")) as server:
        Eager(server.url, reconnect=backoff).run()
    first, second = log.records
    assert vars(second)["connection"] == vars(first)["connection"] + 1
    assert (vars(first)["code"], vars(second)["code"]) == (503, 502)


def test_a_second_failure_of_handlers_has_the_code_that_was_received(
    log: pytest.LogCaptureFixture,
) -> None:
    class Clumsy(Eager):
        def on_closing(self, event: greenws.events.Closing) -> None:
            raise ValueError("first")

        def on_close(self, event: greenws.events.Disconnected) -> None:
            raise ValueError("second")

    with EchoServer(close_with(4001)) as server:
        client = Clumsy(server.url)
        with pytest.raises(ValueError, match="first"):
            client.run()
    (record,) = find_records(log, "while closing")
    assert get_fields(record) == (show(server), client.websocket.log_fields()["connection"], 4001)
    assert "secret" not in record.getMessage()


def test_what_is_told_at_debug_has_fields_too(caplog: pytest.LogCaptureFixture) -> None:
    class Late(Eager):
        def on_text(self, event: greenws.events.Text) -> None:
            self.close()
            self.send_text("too late")

    with EchoServer() as server, caplog.at_level(logging.DEBUG, "greenws.client"):
        Late(server.url).run()
    (record,) = find_records(caplog, "sent after the end")
    assert get_fields(record)[::2] == (show(server), None)


def test_a_member_of_a_group_that_fails_is_named_by_its_fields(
    log: pytest.LogCaptureFixture,
) -> None:
    class Broken(Eager):
        def on_text(self, event: greenws.events.Text) -> None:
            raise ValueError("broken")

    def forget(client: greenws.Client) -> None:
        raise LookupError("forgotten")

    with EchoServer() as server, greenws.ClientGroup(on_end=forget) as group:
        client = group.add(Broken(server.url))
        with pytest.raises(ValueError, match="broken"):
            group.join(timeout=10)
    ended, failed = log.records
    number = client.websocket.log_fields()["connection"]
    assert ended.name == failed.name == "greenws.group"
    assert get_fields(ended) == get_fields(failed) == (show(server), number, 1011)


def test_a_drain_tells_of_many_without_a_url(log: pytest.LogCaptureFixture) -> None:
    with EchoServer(silent) as server:
        client = Eager(server.url).start()
        assert client.wait_ready(5)
        assert greenws.drain(timeout=0) == 1
        client.join()
    (record,) = find_records(log, "did not close in time")
    assert get_fields(record) == (None, None, None)


def test_one_that_cannot_be_closed_is_named_by_its_fields(log: pytest.LogCaptureFixture) -> None:
    class Stubborn(Eager):
        def close(self, *args: Any) -> None:
            raise LookupError("never")

    with EchoServer() as server:
        client = Stubborn(server.url).start()
        assert client.wait_ready(5)
        drain_residents(get_roster(), [client], 0.0, 1001, "")
        client.join()
    (record,) = find_records(log, "could not be closed")
    assert get_fields(record) == (show(server), client.websocket.log_fields()["connection"], None)


def test_records_of_the_trace_have_the_stage_and_its_facts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[dict[str, Any]] = []
    with EchoServer(close_with(4000, after=1)) as server:
        with caplog.at_level(logging.DEBUG, "greenws.websocket"):
            Eager(server.url, trace=told.append).run()
    records = [record for record in caplog.records if record.name == "greenws.websocket"]
    assert [vars(record)["stage"] for record in records] == [fact["stage"] for fact in told]
    (number,) = {vars(record)["connection"] for record in records}
    assert number is not None
    for record, fact in zip(records, told, strict=True):
        assert vars(record)["facts"].items() <= fact.items()
        assert vars(record)["url"] == fact["url"] == show(server)
    codes = {vars(record)["stage"]: vars(record)["code"] for record in records}
    assert (codes["upgrade"], codes["close"], codes["send_text"]) == (101, 4000, None)


def test_a_format_may_name_every_field(log: pytest.LogCaptureFixture) -> None:
    formatter = logging.Formatter("%(url)s %(connection)s %(code)s")
    with EchoServer(silent) as server:
        client = Eager(server.url).start()
        assert client.wait_ready(5)
        greenws.drain(timeout=0)
        client.join()
        Eager(server.url, unix_path="/nowhere").run()
    drained, failed = map(formatter.format, log.records)
    assert drained == "None None None"
    assert failed.startswith(f"{show(server)} ")
