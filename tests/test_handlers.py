"""The methods of a client: one for each event, none of which does anything by itself."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import gevent
import pytest

import greenws
from greenws import events
from greenws.handlers import HANDLER_NAMES, Handlers
from greenws.testing import EchoServer, close_with

PATIENCE = 10.0


def event_names() -> set[str]:
    return {cls.name for cls in get_args(events.AnyEvent)}


def test_each_event_has_a_handler_and_a_close_is_the_bookend() -> None:
    assert set(HANDLER_NAMES) == event_names() | {"close"}


def test_handlers_are_named_after_their_events() -> None:
    assert all(method == f"on_{name}" for name, method in HANDLER_NAMES.items())
    named = {name for name in vars(Handlers) if name.startswith("on_")}
    assert named == {*HANDLER_NAMES.values(), "on_error"}


def test_each_member_of_the_union_has_a_handler() -> None:
    assert {cls.name for cls in get_args(events.AnyEvent)} <= set(HANDLER_NAMES)


@pytest.mark.parametrize("method", sorted(HANDLER_NAMES.values()))
def test_handlers_do_nothing_and_say_what_they_are_for(method: str) -> None:
    function = getattr(Handlers, method)
    assert function.__doc__
    assert function(Handlers(), object()) is None
    assert list(inspect.signature(function).parameters) == ["self", "event"]


def test_an_error_is_raised_again_as_it_is() -> None:
    error = LookupError("handler")
    with pytest.raises(LookupError) as caught:
        Handlers().on_error(error)
    assert caught.value is error


def test_handlers_add_nothing_to_an_instance() -> None:
    assert not hasattr(Handlers(), "__dict__")


def test_a_client_calls_the_handler_of_each_event_once_and_in_order() -> None:
    called: list[str] = []

    def record(name: str) -> Any:
        return lambda self, event: called.append(f"{name} {event.name}")

    members = {method: record(name) for name, method in HANDLER_NAMES.items()}
    del members["on_poll"]
    cls = type("Everything", (greenws.Client,), members)
    with EchoServer(close_with(1000), compress=False) as server, gevent.Timeout(PATIENCE):
        cls(server.url, proxies={}).run()
    assert called == [
        "connecting connecting",
        "connected connected",
        "ready ready",
        "closing closing",
        "disconnected disconnected",
        "close disconnected",
    ]


def test_a_handler_of_one_instance_is_called() -> None:
    texts: list[str] = []
    with EchoServer() as server, gevent.Timeout(PATIENCE):
        client = greenws.Client(server.url, proxies={})

        def take(event: Any) -> None:
            texts.append(event.text)
            client.close()

        client.on_text = take  # type: ignore[method-assign]
        client.on_ready = lambda event: client.send_text("hello")  # type: ignore[method-assign]
        client.run()
    assert texts == ["hello"]


def test_events_of_another_session_class_without_a_handler_are_skipped() -> None:
    class Strange:
        name = "strange"

    class Session(greenws.GeventSession):
        def run(self, *args: Any, **options: Any) -> Any:
            yield Strange()
            yield from super().run(*args, **options)

    ready: list[str] = []

    class Closing(greenws.Client):
        session_class = Session

        def on_ready(self, event: Any) -> None:
            ready.append(event.name)
            self.close()

    with EchoServer() as server, gevent.Timeout(PATIENCE):
        Closing(server.url, proxies={}).run()
    assert ready == ["ready"]
