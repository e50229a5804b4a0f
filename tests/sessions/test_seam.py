"""The seam between a WebSocket and its session: sessions of others that have the contract only."""

from __future__ import annotations

from typing import Any

import pytest

import greenws
from greenws import errors
from greenws.protocol.frame import build_close_payload
from greenws.sessions import contract
from greenws.sessions.contract import DrivenWebSocket
from tests.sessions.memory import CLOSE, TEXT, MemorySession, frame, make, names, run


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


# What the contract is


def test_session_has_seven_members_and_six_that_it_may_have() -> None:
    required = public(contract.Session)
    assert required == {
        "session_time",
        "run",
        "send",
        "send_compressed",
        "write",
        "close",
        "force_disconnect",
    }
    assert public(contract.FullSession) - required == {
        "is_running",
        "signals_eof",
        "follows_redirects",
        "check_send",
        "end",
        "is_forced",
    }
    assert all(hasattr(MemorySession, name) for name in required)
    assert not any(hasattr(MemorySession, name) for name in public(contract.FullSession) - required)


def test_each_member_of_a_driven_websocket_has_to_be_filled_in() -> None:
    bare = DrivenWebSocket()
    assert bare.errors is errors
    with pytest.raises(KeyboardInterrupt):
        bare.take_exit(KeyboardInterrupt())
    for name in public(DrivenWebSocket) - {"errors", "take_exit"}:
        member = getattr(DrivenWebSocket, name)
        with pytest.raises(NotImplementedError):
            if isinstance(member, property):
                getattr(bare, name)
            elif name in ("is_driven_by", "is_taken", "feed"):
                getattr(bare, name)(b"")
            else:
                getattr(bare, name)()


def test_websocket_fills_in_all_of_them() -> None:
    for name in public(DrivenWebSocket) - {"errors"}:
        assert getattr(greenws.WebSocket, name) is not getattr(DrivenWebSocket, name), name


# A session with nothing but the contract


def test_session_of_the_contract_carries_a_conversation() -> None:
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "ready":
            websocket.send_text("hello")
            websocket.send_binary(b"\0")
            websocket.send_ping(b"p")
            websocket.send_pong(b"q")
        elif event.name == "text":
            websocket.close(1000, "done")

    session_class = make(
        inbound=(frame(TEXT, b"world"), frame(CLOSE, build_close_payload(1000, "bye")))
    )
    websocket, found = run(session_class, handle)
    assert names(found) == [
        "connecting",
        "connected",
        "ready",
        "text",
        "closed",
        "disconnected",
    ]
    assert websocket.session.sent == [
        ("frame 1", b"hello"),
        ("frame 2", b"\0"),
        ("frame 9", b"p"),
        ("frame 10", b"q"),
        ("frame 8", b"\3\xe8done"),
    ]
    assert websocket.sent_close_time == 1.5
    assert websocket.state.close_code == 1000
    assert "close" in websocket.session.calls


def test_options_of_a_run_come_by_the_names_of_the_reference() -> None:
    websocket = greenws.WebSocket("ws://example.org/", proxies={})
    list(
        websocket.connect(
            make(), poll=1, ping_rate=2, ping_timeout=3, auto_pong=False, close_timeout=4
        )
    )
    assert websocket.session.options == {
        "poll": 1,
        "ping_rate": 2,
        "ping_timeout": 3,
        "auto_pong": False,
        "close_timeout": 4,
    }


def test_violation_drops_the_connection_of_a_session_that_cannot_wait() -> None:
    websocket, found = run(make(inbound=(frame(3),)))
    assert names(found)[-2:] == ["protocol_error", "disconnected"]
    ((kind, payload),) = websocket.session.sent
    assert kind == "frame 8" and payload[:2] == b"\3\xea"
    assert websocket.session.calls[0] == "force_disconnect"


def test_rejection_does_not_wait_for_its_body_where_nobody_tells_its_end() -> None:
    head = b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nhalf"
    _, found = run(make(head=head))
    assert names(found) == ["connecting", "connected", "rejected", "disconnected"]
    assert found[2].response.body == b"half"


def test_redirect_is_a_rejection_where_it_cannot_be_followed() -> None:
    head = b"HTTP/1.1 302 No\r\nLocation: ws://other.example/\r\nContent-Length: 0\r\n\r\n"
    _, found = run(make(head=head))
    assert names(found)[2] == "rejected"


def test_close_while_opening_drops_it() -> None:
    def handle(websocket: Any, event: Any) -> None:
        if event.name == "connected":
            websocket.close()

    websocket, _ = run(make(), handle)
    assert websocket.session.calls[0] == "force_disconnect"
    assert websocket.session.sent == []


class Gone(Exception):
    """An error of others."""


Gone.__name__ = "WebSocketClosed"  # lomond's sessions know it by its name


class Broken(Exception):
    """An error that says nothing of the kind."""


@pytest.mark.parametrize(
    ("error", "is_gone"),
    [
        (errors.TransportFail("gone"), True),
        (errors.WebSocketClosed("gone"), True),
        (Gone(), True),
        (errors.WebSocketUnavailable("another thread"), False),
        (Broken(), False),
    ],
)
def test_close_frame_that_finds_nobody_is_no_error(error: Exception, is_gone: bool) -> None:
    def fail(self: Any, opcode: int, payload: bytes) -> None:
        raise error

    raised: list[Exception] = []

    def handle(websocket: Any, event: Any) -> None:
        if event.name == "ready":
            try:
                websocket.close()
            except Exception as caught:
                raised.append(caught)

    websocket, _ = run(make(send=fail), handle)
    assert raised == ([] if is_gone else [error])


# Each ability that a session may have


def test_session_that_signals_the_end_has_the_body_waited_for() -> None:
    def end(self: Any) -> None:
        self.told = list(self.websocket.feed_eof())

    head = b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nhalf"
    websocket, found = run(make(head=head, signals_eof=True, inbound=(end,)))
    assert "rejected" not in names(found)
    (rejected,) = websocket.session.told
    assert rejected.response.body == b"half"


def test_session_that_follows_redirects_is_told_where_to() -> None:
    head = b"HTTP/1.1 302 No\r\nLocation: ws://other.example/there\r\nContent-Length: 0\r\n\r\n"

    def follow(self: Any) -> bytes:
        assert self.websocket.target.host == "other.example"
        assert self.websocket.home.host == "example.org"
        return self._accept(self.websocket.build_request())

    websocket, found = run(make(head=head, follows_redirects=True, inbound=(follow,)))
    assert names(found) == ["connecting", "connected", "ready", "disconnected"]
    assert websocket.target.host == "example.org"  # for the next connection


def test_session_that_checks_is_asked_before_deflating() -> None:
    refused = errors.WebSocketUnavailable("not now")

    def check(self: Any) -> None:
        self.calls.append("check")
        raise refused

    @staticmethod  # type: ignore[misc]
    def accept(request: bytes) -> bytes:
        head = MemorySession._accept(request)
        return head[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"

    raised: list[Exception] = []

    def handle(websocket: Any, event: Any) -> None:
        if event.name == "ready":
            websocket.send_text("plain", compress=False)
            try:
                websocket.send_text("deflated")
            except errors.WebSocketError as error:
                raised.append(error)

    websocket, _ = run(make(_accept=accept, check_send=check), handle, compress=True)
    assert raised == [refused]
    assert websocket.session.sent == [("frame 1", b"plain")]
    # Without that ability, it is sent and said to be deflated.
    unchecked, _ = run(
        make(_accept=accept), lambda w, e: e.name == "ready" and w.send_text("x"), compress=True
    )
    assert [kind for kind, _ in unchecked.session.sent] == ["deflated 1"]


def test_session_that_ends_gently_is_asked_to() -> None:
    def end(self: Any) -> None:
        self.calls.append("end")

    websocket, _ = run(make(inbound=(frame(3),), end=end))
    assert websocket.session.calls[0] == "end"
    assert "force_disconnect" not in websocket.session.calls


def test_function_may_make_the_session() -> None:
    made: list[Any] = []

    def factory(websocket: Any) -> MemorySession:
        made.append(MemorySession(websocket))
        return made[-1]

    websocket, found = run(factory)
    assert websocket.session is made[0]
    assert names(found)[-1] == "disconnected"


def test_users_session_is_the_session_not_its_adapter() -> None:
    session_class = make()
    websocket, _ = run(session_class)
    assert type(websocket.session) is session_class
    assert websocket.is_driven_by(websocket.session)
    assert not websocket.is_driven_by(session_class(websocket))
