"""Locust's own command with WebSocket users, and what it says at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenws.testing import EchoServer, ServerConnection, close_with
from tests.support.locusts import locusts, needs_locust
from tests.support.programs import find_ports
from tests.support.waiting import PATIENCE

pytestmark = needs_locust

# Seconds for the start of a process of Locust's on a slow machine.
START = 3 * PATIENCE

ECHO = """
    from locust import constant_pacing, task
    from greenws.locust import WebSocketUser

    class Echo(WebSocketUser):
        wait_time = constant_pacing(0.05)

        def on_start(self):
            self.connect("/stream?token=secret")

        @task
        def ask(self):
            self.request({"n": 1}, name="ask", timeout=20)

        def on_stop(self):
            print("user has stopped", flush=True)
"""

WAITING = """
    from locust import task
    from greenws.locust import WebSocketUser

    class Waiting(WebSocketUser):
        def on_start(self):
            self.connect("/a", name="a")
            self.connect("/b", name="b")

        @task
        def wait(self):
            self.request("no reply comes", name="ask")
"""


def http_host(server: EchoServer) -> str:
    return server.url.replace("ws://", "http://").rstrip("/")


def test_run_counts_every_kind_of_row_and_closes_with_1001(tmp_path: Path) -> None:
    with EchoServer() as server:
        with locusts(tmp_path, ECHO, "-u", 3, "-r", 3, "--host", http_host(server)) as run:
            server.wait_messages(12, START)
            result = run.stop()
        assert result.status == 0, result.log
        result.check_quiet()
        assert result.count("WS", "/stream") == 3
        assert result.count("WSC", "/stream") == 3
        assert 9 <= result.count("WSQ", "ask") <= server.message_count
        assert result.failures == []
        assert [each.close_code for each in server.connections] == [1001] * 3
        sizes = {row["Type"]: float(row["Average Content Size"]) for row in result.requests}
        assert sizes["WSQ"] == len('{"n": 1}')


def test_master_and_two_workers_share_the_users(tmp_path: Path) -> None:
    (port,) = find_ports(1)
    master = ["--master", "--expect-workers", 2, "--master-bind-host", "127.0.0.1"]
    worker = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    with EchoServer() as server:
        with locusts(
            tmp_path, ECHO, *master, "--master-bind-port", port, "-u", 4, "-r", 4, "--host",
            http_host(server),
        ) as run:  # fmt: skip
            run.run(*worker)
            run.run(*worker)
            server.wait_connections(4, START)
            server.wait_messages(16, START)
            result = run.stop()
        assert result.status == 0, result.log
        result.check_quiet()
        assert result.count("WS", "/stream") == result.count("WSC", "/stream") == 4
        assert result.count("WSQ", "ask") >= 12
        assert result.failures == []
        assert [each.close_code for each in server.connections] == [1001] * 4


def test_processes_of_one_command_share_the_users(tmp_path: Path) -> None:
    (port,) = find_ports(1)
    with EchoServer() as server:
        with locusts(
            tmp_path, ECHO, "--processes", 2, "-u", 4, "-r", 4, "--host", http_host(server),
            "--master-bind-port", port, "--master-port", port,
        ) as run:  # fmt: skip
            server.wait_connections(4, START)
            server.wait_messages(16, START)
            result = run.stop()
        assert result.status == 0, result.log
        result.check_quiet()
        assert result.count("WS", "/stream") == result.count("WSC", "/stream") == 4
        assert [each.close_code for each in server.connections] == [1001] * 4


@pytest.mark.parametrize("more", [(), ("--stop-timeout", "1s")], ids=["killed", "asked"])
def test_stop_in_the_midst_of_a_task_is_no_failure(tmp_path: Path, more: tuple[str, ...]) -> None:
    def read(connection: ServerConnection) -> None:
        for _message in connection:
            pass

    with EchoServer(read) as server:
        with locusts(tmp_path, WAITING, "-u", 2, "-r", 2, "--host", server.url, *more) as run:
            server.wait_messages(2, START)
            result = run.stop()
        assert result.status == 0, result.log
        result.check_quiet()
        assert result.failures == []
        assert result.count("WSQ", "ask") == 0
        assert result.count("WSC", "a") == result.count("WSC", "b") == 2
        assert [each.close_code for each in server.connections] == [1001] * 4


def test_stop_does_not_wait_for_a_silent_server_for_longer_than_close_timeout(
    tmp_path: Path,
) -> None:
    def hang(connection: ServerConnection) -> None:
        if connection.read_request().target == "/a":
            connection.receive()
        connection.wait_ended(None)

    source = WAITING.replace("class Waiting(WebSocketUser):", """class Waiting(WebSocketUser):
        close_timeout = 0.2
""")  # fmt: skip
    with EchoServer(hang) as server:
        with locusts(tmp_path, source, "-u", 1, "-r", 1, "--host", server.url) as run:
            server.wait_messages(1, START)
            result = run.stop()
        result.check_quiet()
        assert result.count("WSC", "a", "Failure Count") == 1
        assert result.count("WSC", "b", "Failure Count") == 1
        for row in result.failures:
            assert "code 1006" in row["Error"]
            assert "0.2 s" in row["Error"] or "0.2s" in row["Error"]


def test_server_that_dies_is_one_failure_a_connection(tmp_path: Path) -> None:
    with EchoServer() as server:
        with locusts(tmp_path, ECHO, "-u", 3, "-r", 3, "--host", server.url) as run:
            server.wait_connections(3, START)
            server.wait_messages(6, START)
            for connection in server.open_connections:
                connection.drop()
            # A user that comes back to its dead connection is stopped.
            run.wait_log("user has stopped", 3)
            result = run.stop()
        assert result.status == 1, result.log
        result.check_quiet()
        assert result.count("WSC", "/stream", "Failure Count") == 3
        assert sum(int(row["Occurrences"]) for row in result.failures) == 3
        for row in result.failures:
            assert (row["Method"], row["Name"]) == ("WSC", "/stream")
            assert "code 1006" in row["Error"]


def test_close_of_the_server_is_a_failure_with_its_code_and_reason(tmp_path: Path) -> None:
    with EchoServer(close_with(4002, "no more", after=2)) as server:
        with locusts(tmp_path, ECHO, "-u", 2, "-r", 2, "--host", server.url) as run:
            run.wait_log("user has stopped", 2)
            result = run.stop()
        assert result.status == 1, result.log
        result.check_quiet()
        (failure,) = result.failures
        assert (failure["Method"], failure["Occurrences"]) == ("WSC", "2")
        assert "code 4002" in failure["Error"]
        assert "no more" in failure["Error"]


def test_refused_connection_is_a_failure_that_names_the_cause(tmp_path: Path) -> None:
    (port,) = find_ports(1)
    with locusts(tmp_path, ECHO, "-u", 1, "-r", 1, "--host", f"ws://127.0.0.1:{port}") as run:
        run.wait_log("user has stopped")
        result = run.stop()
    assert result.status == 1, result.log
    result.check_quiet()
    (failure,) = result.failures
    assert (failure["Method"], failure["Name"], failure["Occurrences"]) == ("WS", "/stream", "1")
    assert "Connection refused" in failure["Error"]


@pytest.mark.parametrize("base", ["HttpUser", "FastHttpUser"])
def test_user_of_http_may_have_a_websocket_too(tmp_path: Path, base: str) -> None:
    source = f"""
        from locust import {base}, constant_pacing, task
        from greenws.locust import WebSocketUser

        class Both(WebSocketUser, {base}):
            wait_time = constant_pacing(0.05)

            def on_start(self):
                self.connect("/ws")

            @task
            def both(self):
                with self.client.get("/page", catch_response=True) as page:
                    if page.status_code == 426:  # what it says without an upgrade
                        page.success()
                self.request("hello", timeout=20)
    """

    with EchoServer() as server:
        with locusts(tmp_path, source, "-u", 1, "-r", 1, "--host", http_host(server)) as run:
            server.wait_messages(3, START)
            result = run.stop()
        result.check_quiet()
        assert result.count("WSQ", "/ws") >= 2
        assert result.count("GET", "/page") >= 2
