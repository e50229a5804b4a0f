"""``connect()``: what it returns, what it raises, and what it leaves when it fails."""

from __future__ import annotations

import _socket
import threading
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
from gevent.server import StreamServer

import greenws
from greenws import errors
from greenws.connection import ConnectionOptions
from greenws.options import RUN_OPTIONS, WEBSOCKET_OPTIONS
from greenws.testing import EchoServer, reject, silent
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer, closed_port
from tests.support.peer import RawServerPeer, build_text
from tests.support.proxies import HTTPProxy
from tests.support.waiting import PATIENCE, wait_until

URL = "ws://127.0.0.1:1/"


def test_connection_tells_what_it_is() -> None:
    with EchoServer(subprotocols=["v2"]) as server:
        connection = greenws.connect(server.url, protocols=["v1", "v2"])
        assert connection.is_open
        assert connection.url == server.url
        assert connection.protocol == "v2"
        assert connection.response.status_code == 101
        assert isinstance(connection.session, greenws.GeventSession)
        assert connection.websocket.session is connection.session
        assert connection.close_code is connection.close_reason is connection.sent_code is None
        assert connection.latency is None
        assert repr(connection) == f"<Connection WebSocket('{server.url}') open>"
        connection.close()
        assert not connection.is_open
        assert (connection.close_code, connection.close_reason) == (1000, "")
        assert connection.sent_code == 1000
        assert repr(connection).endswith("closed>")


@pytest.mark.parametrize("compress", [False, True])
def test_connection_by_tls(compress: bool, authority: Authority) -> None:
    with EchoServer(ssl_context=authority.server_context("localhost")) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        options: Any = {"ssl_cafile": authority.cafile, "compress": compress}
        with greenws.connect(url, **options) as connection:
            connection.send("x" * 100_000)
            assert connection.receive(PATIENCE) == "x" * 100_000
            assert connection.websocket.supports_compression is compress


def test_connection_by_a_proxy(server: EchoServer) -> None:
    with HTTPProxy() as proxy:
        with greenws.connect(server.url, proxies={"all": proxy.url}) as connection:
            connection.send(b"through")
            assert connection.receive(PATIENCE) == b"through"


def test_connection_by_a_unix_socket(tmp_path: Path) -> None:
    def serve(sock: Any, address: object) -> None:
        peer = RawServerPeer(sock)
        peer.accept()
        peer.echo()
        sock.close()

    path = str(tmp_path / "socket")
    listener = gevent.socket.socket(_socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    server = StreamServer(listener, serve)
    server.start()
    with greenws.connect("ws://localhost/", unix_path=path) as connection:
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"
    server.stop()
    listener.close()


def test_refused_port_is_a_connect_fail() -> None:
    with pytest.raises(errors.ConnectFail, match="refused"):
        greenws.connect(f"ws://127.0.0.1:{closed_port()}/")


def test_refusal_of_the_server_has_its_response() -> None:
    with EchoServer(opening=reject(401, "No", body=b"who are you?")) as server:
        with pytest.raises(errors.Rejected) as caught:
            greenws.connect(server.url)
    assert isinstance(caught.value, errors.ConnectFail)
    assert caught.value.response is not None
    assert caught.value.response.status_code == 401
    assert caught.value.response.body == b"who are you?"
    assert "401" in str(caught.value)


def test_refusal_of_a_proxy_is_a_proxy_fail() -> None:
    with pytest.raises(errors.ProxyFail):
        greenws.connect(URL, proxies={"all": f"http://127.0.0.1:{closed_port()}"})


def test_silent_server_is_a_connect_fail_after_open_timeout() -> None:
    with EchoServer(opening=silent) as server:
        with pytest.raises(errors.ConnectFail, match=r"timed out after 0\.05 s"):
            greenws.connect(server.url, open_timeout=0.05)


@pytest.mark.parametrize("last", [None, greenws.events.Disconnected("gone")])
def test_session_that_ends_before_it_is_ready_is_a_connect_fail(last: Any) -> None:
    class Ending(greenws.GeventSession):
        def run(self, *args: Any, **options: Any) -> Any:
            if last is not None:
                yield last

    with pytest.raises(errors.ConnectFail, match="gone" if last else "without a word"):
        greenws.connect(URL, session_class=Ending)


@pytest.mark.parametrize("way", ["kill", "timeout"])
def test_end_of_the_caller_ends_the_opening(way: str) -> None:
    with EchoServer(opening=silent) as server:
        if way == "timeout":
            with pytest.raises(gevent.Timeout), gevent.Timeout(0.05):
                greenws.connect(server.url)
        else:
            greenlet = gevent.spawn(greenws.connect, server.url)
            server.wait_for(lambda: server.connection_count)
            greenlet.kill()
        server.connections[0].wait_ended()


def test_messages_in_the_same_piece_as_the_answer_are_received() -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=build_text("one") + build_text("two"))
        peer.echo()

    with LoopbackServer(script) as server, greenws.connect(server.url) as connection:
        assert connection.receive(PATIENCE) == "one"
        assert connection.receive(PATIENCE) == "two"


def test_hub_itself_cannot_connect_and_says_so() -> None:
    said: list[str] = []

    def call() -> None:
        try:
            greenws.connect(URL)
        except RuntimeError as error:
            said.append(str(error))

    gevent.get_hub().loop.run_callback(call)
    wait_until(lambda: said)
    assert "hub" in said[0]


# Options


def test_options_are_those_of_the_websocket_and_of_its_connect_but_poll() -> None:
    assert set(ConnectionOptions.__annotations__) == {
        *WEBSOCKET_OPTIONS,
        *RUN_OPTIONS,
        "session_class",
        "max_queue",
        "reply_key",
    } - {"poll"}
    assert not ConnectionOptions.__required_keys__


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("poll", ""),
        ("timeout", "open_timeout"),
        ("header", "headers"),
        ("ping_interval", "ping_rate"),
        ("subprotocols", "protocols"),
        ("max_queu", "max_queue"),
        ("reconnect", ""),
    ],
)
def test_unknown_option_is_a_type_error_that_names_the_right_one(name: str, hint: str) -> None:
    with pytest.raises(TypeError, match=f"no option '{name}'") as caught:
        greenws.connect(URL, **{name: 1})  # type: ignore[arg-type]
    assert (f"{hint!r}" in str(caught.value)) is bool(hint)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("max_queue", 0, ValueError),
        ("max_queue", -1, ValueError),
        ("max_queue", None, ValueError),
        ("max_queue", 1.5, TypeError),
        ("max_queue", True, TypeError),
        ("reply_key", "id", TypeError),
        ("ping_rate", "1", TypeError),
        ("close_timeout", -1, ValueError),
        ("auto_pong", None, TypeError),
        ("open_timeout", 0, ValueError),
        ("session_class", "gevent", TypeError),
        ("compress", 1, TypeError),
    ],
)
def test_wrong_option_is_named(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        greenws.connect(URL, **{name: value})


def test_trace_and_subclass_of_the_session_are_heard(server: EchoServer) -> None:
    sent: list[Any] = []

    class Counting(greenws.GeventSession):
        def send_text(self, text: str) -> None:
            raise AssertionError("not the way of a subclass")

        def send(self, opcode: int, payload: Any) -> None:
            sent.append(payload)
            super().send(opcode, payload)

    stages: list[str] = []
    options: Any = {"trace": lambda step: stages.append(step["stage"])}
    with greenws.connect(server.url, session_class=Counting, **options) as connection:
        connection.send("x")
        assert connection.receive(PATIENCE) == "x"
    assert sent[0] == b"x"
    assert {"connect_start", "send_text", "message_text"} <= set(stages)


def test_thread_of_its_own_has_connections_of_its_own(server: EchoServer) -> None:
    found: list[Any] = []

    def run() -> None:
        with greenws.connect(server.url) as connection:
            connection.send("x")
            found.append(connection.receive(PATIENCE))
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        gevent.sleep(0.01)
    assert found == ["x"]
