"""No opening fails in silence, and ``Backoff.retry`` may end the reconnecting."""

from __future__ import annotations

import logging
from typing import Any

import gevent
import gevent.event
import pytest

from greenws import Backoff, Client
from greenws.testing import EchoServer, accept, close_with, drop, in_turn, reject, silent
from tests.client.recorders import NOWHERE, FullRecorder, scripted
from tests.support.loopback import LoopbackServer
from tests.support.peer import RawServerPeer
from tests.support.waiting import PATIENCE

SHORT: dict[str, Any] = {"min_wait": 0.001, "max_wait": 0.001}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [record for record in caplog.records if record.name == "greenws.client"]
    assert all(record.levelno == logging.WARNING for record in found)
    return [record.getMessage() for record in found]


class Quiet(Client):
    """Takes no failure of an opening."""

    def on_disconnected(self, event: Any) -> None:
        """An end is no failure of an opening."""


def test_dead_port_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    Quiet(NOWHERE).run()
    (text,) = warnings(caplog)
    assert text.startswith(f"<Quiet WebSocket('{NOWHERE}')> could not connect: ")
    assert "refused" in text


def test_rejection_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with EchoServer(opening=reject(401)) as server:
        Quiet(server.url).run()
    (text,) = warnings(caplog)
    assert "401" in text


@pytest.mark.parametrize("opening", [drop(), reject(503)])
def test_failure_that_a_handler_takes_is_not_logged(
    opening: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with EchoServer(opening=opening) as server:
        FullRecorder(server.url, reconnect=Backoff(**SHORT, max_tries=2)).run()
    assert warnings(caplog) == []


def test_handler_of_the_instance_takes_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    client = Quiet(NOWHERE)
    seen: list[Any] = []
    client.on_connect_fail = seen.append  # type: ignore[method-assign, assignment]
    client.run()
    assert len(seen) == 1
    assert warnings(caplog) == []


def test_handler_of_one_kind_does_not_take_the_other(caplog: pytest.LogCaptureFixture) -> None:
    class Feed(Client):
        def on_connect_fail(self, event: Any) -> None:
            pass

    with EchoServer(opening=reject(403)) as server:
        Feed(server.url).run()
    assert len(warnings(caplog)) == 1


def test_each_cause_is_logged_once_while_reconnecting(caplog: pytest.LogCaptureFixture) -> None:
    opening = in_turn(reject(401), reject(401), drop(), drop(), reject(503), reject(401))
    with EchoServer(opening=opening) as server:
        Quiet(server.url, reconnect=Backoff(**SHORT, max_tries=6)).run()
    texts = warnings(caplog)
    assert len(texts) == 3
    assert "401" in texts[0]
    assert "503" in texts[2]
    assert all("goes on trying" in text for text in texts)


def test_cause_is_logged_again_after_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    opening = in_turn(reject(401), accept, reject(401), reject(401))
    with EchoServer(close_with(1001), opening=opening) as server:
        Quiet(server.url, reconnect=Backoff(**SHORT, max_tries=4)).run()
    assert len(warnings(caplog)) == 2


@pytest.mark.parametrize("how", ["close", "kill"])
def test_end_that_was_asked_for_is_not_logged(how: str, caplog: pytest.LogCaptureFixture) -> None:
    connected = gevent.event.Event()

    class Feed(Quiet):
        def on_connected(self, event: Any) -> None:
            connected.set()

    with EchoServer(opening=silent) as server:
        client = Feed(server.url).start()
        assert connected.wait(PATIENCE)
        getattr(client, how)()
        client.join(PATIENCE)
        assert not client.is_running
    assert warnings(caplog) == []


def test_password_and_control_characters_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(peer: RawServerPeer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 403 No \x1b[31m\r\nContent-Length: 0\r\n\r\n")

    with LoopbackServer(refuse) as server:
        Quiet(server.url.replace("//", "//user:secret@") + "?token=hidden").run()
    (text,) = warnings(caplog)
    assert "secret" not in text
    assert "hidden" not in text
    assert text.isprintable()


# retry


def test_retry_is_asked_with_the_event_of_each_kind() -> None:
    asked: list[Any] = []

    def retry(event: Any) -> bool:
        asked.append(event.name)
        return len(asked) < 3

    opening = in_turn(drop(), reject(401), accept)
    with EchoServer(close_with(4004), opening=opening) as server:
        feed = FullRecorder(server.url, reconnect=Backoff(**SHORT, retry=retry))
        feed.run()
        assert server.connection_count == 3
    assert asked == ["connect_fail", "rejected", "disconnected"]
    assert feed.calls.count("back_off") == 2
    assert not feed.is_running


def test_retry_may_end_the_reconnecting_by_the_status() -> None:
    def retry(event: Any) -> bool:
        return not (event.name == "rejected" and event.response.status_code == 401)

    with EchoServer(opening=in_turn(reject(503), reject(401))) as server:
        feed = FullRecorder(server.url, reconnect=Backoff(**SHORT, retry=retry)).start()
        feed.join(PATIENCE)
        assert not feed.is_running
        assert server.connection_count == 2


def test_retry_that_raises_ends_the_client_with_its_exception() -> None:
    def retry(event: Any) -> bool:
        raise LookupError("retry")

    feed = FullRecorder(NOWHERE, reconnect=Backoff(**SHORT, retry=retry))
    with pytest.raises(LookupError, match="retry"):
        feed.run()
    with pytest.raises(LookupError, match="retry"):
        feed.join()
    assert not feed.is_running


def test_retry_that_raises_is_shown_to_on_error() -> None:
    class Feed(FullRecorder):
        def on_error(self, error: Exception) -> None:
            self.note("error", error)

    def retry(event: Any) -> bool:
        raise LookupError("retry")

    feed = Feed(NOWHERE, reconnect=Backoff(**SHORT, retry=retry, max_tries=3))
    feed.run()
    assert feed.calls.count("error") == 2
    assert feed.calls.count("connecting") == 3


@pytest.mark.parametrize("how", ["close", "kill"])
def test_retry_may_close_the_client(how: str) -> None:
    def retry(event: Any) -> bool:
        getattr(feed, how)()
        return True

    feed = FullRecorder(NOWHERE, reconnect=Backoff(min_wait=50, retry=retry))
    feed.run()
    assert "back_off" not in feed.calls


def test_retry_may_wait_and_be_killed() -> None:
    asked = gevent.event.Event()

    def retry(event: Any) -> bool:
        asked.set()
        gevent.sleep(1000)
        return True

    feed = FullRecorder(NOWHERE, reconnect=Backoff(**SHORT, retry=retry)).start()
    assert asked.wait(PATIENCE)
    feed.kill()
    assert not feed.is_running


def test_retry_is_asked_about_a_session_that_ends_without_a_word() -> None:
    asked: list[Any] = []

    def retry(event: Any) -> bool:
        asked.append(event)
        return False

    feed = FullRecorder(
        NOWHERE,
        session_class=scripted(),
        reconnect=Backoff(**SHORT, retry=retry),
    )
    feed.run()
    assert [event.name for event in asked] == ["disconnected"]
