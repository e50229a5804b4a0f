"""A forked child leaves the connections of its parent alone.

Each test runs a script in a process of its own, which forks.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support.loopback import LoopbackServer
from tests.support.peer import CLOSE, PING, TEXT, RawServerPeer, accept_and_echo, build, build_text
from tests.support.run import run_script
from tests.support.waiting import wait_until

# The beginning of every script. The child reports over a pipe, and leaves by os._exit(), so that it
# does not clean up what its parent has open.
PRELUDE = """
import os, sys, gevent, gevent.event, gevent.os, greenws
from greenws import errors

# After gevent's fork the hub waits for the end of the child.
fork, waitpid = {
    "os": (os.fork, os.waitpid), "gevent": (gevent.os.fork, lambda pid, flags: None)
}[sys.argv[2]]

def in_child(function):
    reading, writing = os.pipe()
    pid = fork()
    if not pid:
        try:
            os.write(writing, repr(function()).encode())
        except BaseException as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    gevent.sleep(0.3)  # the parent goes on meanwhile
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    waitpid(pid, 0)
    return said

def connect(**options):
    websocket = greenws.WebSocket(sys.argv[1], proxies={}, compress=True)
    ready = gevent.event.Event()
    names = []

    def follow():
        for event in websocket.connect(**options):
            names.append(event.name)
            if event.name == "ready":
                ready.set()

    greenlet = gevent.spawn(follow)
    assert ready.wait(5)
    return websocket, greenlet, names
"""


def run(source: str, *args: object) -> str:
    return run_script(PRELUDE + textwrap.dedent(source), *args)


@pytest.fixture(params=["os", "gevent"])
def fork(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Recorder:
    """The script of a server that keeps every frame."""

    def __init__(self) -> None:
        self.frames: list[Any] = []

    def __call__(self, peer: RawServerPeer) -> None:
        peer.accept()
        while True:
            frame = peer.read_frame()
            self.frames.append((frame.opcode, frame.payload))
            if frame.opcode == CLOSE:
                peer.send(build(CLOSE, frame.payload))
                return


def test_send_in_the_child_raises(fork: str) -> None:
    recorder = Recorder()
    with LoopbackServer(recorder) as server:
        said = run(
            """
            websocket, greenlet, names = connect(ping_rate=0, poll=0)
            print(in_child(lambda: websocket.send_text("from the child")))
            websocket.send_text("from the parent")
            websocket.close()
            greenlet.join(5)
            print(names)
            """,
            server.url,
            fork,
        )
    assert "WebSocketUnavailable" in said
    assert "parent process" in said
    assert recorder.frames == [(TEXT, b"from the parent"), (CLOSE, b"\x03\xe8goodbye")]
    assert "'closed', 'disconnected'" in said


def test_close_in_the_child_writes_nothing(fork: str) -> None:
    recorder = Recorder()
    with LoopbackServer(recorder) as server:
        said = run(
            """
            websocket, greenlet, names = connect(ping_rate=0)

            def close():
                refused = []
                for function in (websocket.close, websocket.force_disconnect, websocket.send_ping):
                    try:
                        function()
                    except errors.WebSocketUnavailable:
                        refused.append(function.__name__)
                gevent.sleep(0.1)
                return refused

            print(in_child(close))
            websocket.close(4000)
            greenlet.join(5)
            """,
            server.url,
            fork,
        )
    assert "'close', 'force_disconnect', 'send_ping'" in said
    assert recorder.frames == [(CLOSE, b"\x0f\xa0goodbye")]


def test_child_whose_hub_goes_on_writes_nothing(fork: str) -> None:
    # Both processes have pings due and frames queued. Only those of the parent may arrive.
    recorder = Recorder()
    with LoopbackServer(recorder) as server:
        run(
            """
            websocket, greenlet, names = connect(ping_rate=0.1)
            websocket.send_text("queued")
            print(in_child(lambda: gevent.sleep(0.5)))
            websocket.send_text("alive")
            websocket.close()
            greenlet.join(5)
            """,
            server.url,
            fork,
        )
    frames = [frame for frame in recorder.frames if frame[0] != PING]
    assert [payload for _, payload in frames] == [b"queued", b"alive", b"\x03\xe8goodbye"]
    # The parent pings ten times a second, for about half a second; the child would double that.
    assert 2 <= len(recorder.frames) - len(frames) <= 6


def test_iteration_raises_in_a_child_forked_by_its_handler(fork: str) -> None:
    recorder = Recorder()

    def script(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(peer.answer() + b"".join(build_text(str(n)) for n in range(5)))
        peer.read_frame()
        peer.send(build(CLOSE, b"\x03\xe8"))
        recorder.frames.append(peer.read_frame().opcode)
        recorder.frames.append(peer.read_until_end())

    with LoopbackServer(script) as server:
        said = run(
            """
            websocket = greenws.WebSocket(sys.argv[1], proxies={})
            pid = None
            texts = []
            try:
                for event in websocket.connect(ping_rate=0):
                    if event.name == "text":
                        texts.append(event.text)
                        if event.text == "1":
                            reading, writing = os.pipe()
                            pid = fork()
                        if event.text == "4":
                            websocket.send_text("done")
            except errors.WebSocketUnavailable as error:
                assert pid == 0
                os.write(writing, repr((texts, str(error))).encode())
                os._exit(0)
            os.close(writing)
            print(os.read(reading, 1000).decode(), texts, event.graceful)
            waitpid(pid, 0)
            """,
            server.url,
            fork,
        )
        server.join()
    assert "(['0', '1'], 'the connection belongs to the parent process')" in said
    assert "['0', '1', '2', '3', '4'] True" in said
    assert recorder.frames == [CLOSE, b""]


def test_client_that_forks_in_a_handler_handles_no_more_in_the_child(fork: str) -> None:
    def script(peer: RawServerPeer) -> None:
        peer.accept(then=b"".join(build_text(str(n)) for n in range(5)) + build(CLOSE, b"\x03\xe8"))
        peer.expect(CLOSE)
        assert peer.read_until_end() == b""

    with LoopbackServer(script) as server:
        said = run(
            """
            class Forker(greenws.Client):
                pid = None
                texts = ()

                def on_text(self, event):
                    self.texts += (event.text,)
                    if event.text == "1":
                        self.pipe = os.pipe()
                        self.pid = fork()

            client = Forker(sys.argv[1], proxies={}, ping_rate=0)
            try:
                client.run()
            finally:
                if client.pid == 0:
                    os.write(client.pipe[1], repr(client.texts).encode())
                    os._exit(0)
            os.close(client.pipe[1])
            print("child", os.read(client.pipe[0], 1000).decode(), "parent", len(client.texts))
            waitpid(client.pid, 0)
            """,
            server.url,
            fork,
        )
        server.join()
    assert "child ('0', '1') parent 5" in said


@pytest.mark.parametrize("secure", [False, True], ids=["upgrade", "tls"])
def test_child_forked_while_connecting_does_not_go_on(
    fork: str, secure: bool, tmp_path: Path
) -> None:
    got: list[bytes] = []
    # Files by which the server and the script wait for each other.
    waiting, forked = tmp_path / "waiting", tmp_path / "forked"

    def script(peer: RawServerPeer) -> None:
        got.append(peer.sock.recv(65536))
        waiting.touch()
        wait_until(forked.exists)
        # A client that goes on with the handshake answers this alert, or closes, or fails.
        peer.send(b"\x15\x03\x03\x00\x02\x02\x28" if secure else REFUSAL)
        got.append(peer.read_until_end())

    with LoopbackServer(script) as server:
        url = server.url.replace("ws:", "wss:") if secure else server.url
        said = run(
            """
            names = []
            errors_seen = []

            def follow():
                try:
                    for event in greenws.WebSocket(sys.argv[1], proxies={}, open_timeout=5):
                        names.append(event.name)
                except errors.WebSocketUnavailable as error:
                    errors_seen.append(error)

            greenlet = gevent.spawn(follow)
            while not os.path.exists(sys.argv[3]):
                gevent.sleep(0.005)

            def child():
                open(sys.argv[4], "x").close()
                gevent.sleep(0.6)  # long enough to go on, if the child would
                return names, errors_seen

            print(in_child(child))
            greenlet.join(5)
            print(names)
            """,
            url,
            fork,
            waiting,
            forked,
        )
        server.join()
    child, parent = said.strip().splitlines()
    # The parent writes one TLS alert at most. A second one would be the child's.
    assert len(re.findall(b"\x15\x03", got[1])) <= 1
    assert "connect_fail" not in child
    assert "connect_fail" in parent or "rejected" in parent


@pytest.mark.parametrize("first", ["fork", "dial"])
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_child_forked_while_the_answer_is_pending_does_not_go_on(scheme: str, first: str) -> None:
    # One look of the loop at its descriptors finds both: the byte that wakes the greenlet that
    # forks, and the answer that wakes the greenlet that connects.
    said = run_script(
        """
        import contextlib, os, socket, sys, time, gevent, gevent.hub, greenws

        of_parent = []
        of_child = []

        def take(what_came):
            with contextlib.suppress(BlockingIOError):
                what_came.append(theirs.recv(65536))

        def let_the_child_go_first():
            time.sleep(0.2)  # the child reads the answer, if it would go on
            take(of_child)

        # The parent itself may have gone on before the fork.
        os.register_at_fork(
            before=lambda: take(of_parent), after_in_parent=let_the_child_go_first
        )
        server = socket.create_server(("127.0.0.1", 0))
        proxy = "%s://127.0.0.1:%d" % (sys.argv[2], server.getsockname()[1])
        request, answer, next_request = {
            "http": (b"CONNECT ", b"HTTP/1.1 200 OK\\r\\n\\r\\n", b"GET /"),
            "socks5h": (b"\\x05\\x01\\x00", b"\\x05\\x00", b"\\x05\\x01\\x00\\x03"),
        }[sys.argv[2]]

        def follow():
            with contextlib.suppress(greenws.errors.WebSocketUnavailable):
                list(greenws.WebSocket("ws://localhost/", proxies={"http": proxy}))

        def fork():
            loop = gevent.get_hub().loop
            gevent.get_hub().wait(loop.io(reading, 1))
            pids.append(os.fork())

        pids = []
        reading, writing = os.pipe()
        if sys.argv[1] == "fork":
            greenlets = [gevent.spawn(fork), gevent.spawn(follow)]
        else:
            greenlets = [gevent.spawn(follow), gevent.spawn(fork)]
        def poll(function, *args):
            while True:
                with contextlib.suppress(BlockingIOError):
                    return function(*args)
                gevent.sleep(0.005)

        server.setblocking(False)
        theirs = poll(server.accept)[0]
        theirs.setblocking(False)
        assert poll(theirs.recv, 65536).startswith(request)
        # The hub stands still between these two.
        theirs.send(answer)
        os.write(writing, b"!")
        while not pids:
            gevent.sleep(0.01)
        if not pids[0]:
            gevent.sleep(0.2)  # long enough to go on, if the child would
            os._exit(0)
        if not of_parent:
            of_parent.append(poll(theirs.recv, 65536))
        os.waitpid(pids[0], 0)
        take(of_parent)
        print(of_child, b"".join(of_parent).count(next_request))
        os._exit(0)
        """,
        first,
        scheme,
    )
    assert said == "[] 1\n"


def test_child_does_not_look_for_its_parents_answers(fork: str) -> None:
    with LoopbackServer(accept_and_echo) as server:
        said = run(
            """
            from greenws.sessions import busypoll
            from greenws.sessions.reactor import get_reactor
            # The clock stands still, so that no look ever ends.
            busypoll.monotonic = busypoll.thread_time = lambda: 0.0

            class Pinger(greenws.Client):
                count = 0

                def on_text(self, event):
                    self.count += 1
                    self.send_text("again")

            def is_looking():
                return get_reactor().busy_poll.is_looking

            def look_on():
                turns = []
                watcher = gevent.get_hub().loop.check()
                watcher.start(lambda: turns.append(1))
                gevent.sleep(0.05)
                return is_looking(), len(turns) < 20

            client = Pinger(sys.argv[1], proxies={}, ping_rate=0).start()
            client.wait_ready()
            client.send_text("first")
            while not is_looking():
                gevent.sleep(0)
            print(in_child(look_on))
            count = client.count
            # The hub sleeps now and then, to compare.
            while client.count < count + 100 or not is_looking():
                gevent.sleep(0)
            print("goes on")
            client.kill()
            """,
            server.url,
            fork,
        )
    assert said.split("\n")[:2] == ["(False, True)", "goes on"]
