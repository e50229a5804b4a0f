"""Each option once: its default, its check, and the places that have to agree about it."""

from __future__ import annotations

import http.cookiejar
import inspect
import math
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

import greenws
from greenws.client import ClientOptions
from greenws.options import (
    CHECKS,
    RUN_OPTIONS,
    TRANSPORT_OPTIONS,
    WEBSOCKET_OPTIONS,
    RequestDefaults,
    RunDefaults,
    RunOptions,
    TransportDefaults,
    WebSocketDefaults,
    WebSocketOptions,
    check_option,
)
from greenws.sessions.contract import DrivenWebSocket

URL = "ws://127.0.0.1:1/"


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(function).parameters)
    found.pop("self")
    return found


# Every place has the same options with the same defaults


def test_signature_of_websocket_has_the_options_with_their_defaults() -> None:
    found = parameters(greenws.WebSocket.__init__)
    found.pop("url")
    assert tuple(found) == WEBSOCKET_OPTIONS
    for name, parameter in found.items():
        assert parameter.default is getattr(WebSocketDefaults, name), name


def test_signature_of_connect_has_the_options_with_their_defaults() -> None:
    found = parameters(greenws.WebSocket.connect)
    assert found.pop("session_class").default is greenws.GeventSession
    assert tuple(found) == RUN_OPTIONS
    for name, parameter in found.items():
        assert parameter.default is getattr(RunDefaults, name), name


def test_signature_of_a_run_has_the_options_with_their_defaults() -> None:
    # The compiled build keeps no signature; its source is the same.
    from tests.support.pure import load_pure

    session_class = load_pure("sessions.session").GeventSession
    found = parameters(session_class.run)
    assert {name: found[name].default for name in found} == {
        name: getattr(RunDefaults, name) for name in RUN_OPTIONS
    }


def test_only_the_first_five_options_are_positional() -> None:
    # Those of lomond; later ones may come and go in any order.
    kinds = {name: found.kind for name, found in parameters(greenws.WebSocket.__init__).items()}
    positional = [
        name for name, kind in kinds.items() if kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert positional == ["url", "proxies", "protocols", "agent", "compress"]


def test_typed_dicts_have_every_option_and_no_other() -> None:
    classes = (RequestDefaults, TransportDefaults)
    defaults = {name for base in classes for name in base.__annotations__}
    assert set(WebSocketOptions.__annotations__) == defaults == set(WEBSOCKET_OPTIONS)
    assert set(RunOptions.__annotations__) == set(RunDefaults.__annotations__) == set(RUN_OPTIONS)
    assert set(ClientOptions.__annotations__) == {
        *WEBSOCKET_OPTIONS,
        *RUN_OPTIONS,
        "session_class",
        "reconnect",
    }
    assert not ClientOptions.__required_keys__


def test_no_option_is_both_of_the_request_and_of_the_transport() -> None:
    assert not set(RequestDefaults.__annotations__) & set(TRANSPORT_OPTIONS)
    assert not set(WEBSOCKET_OPTIONS) & set(RUN_OPTIONS)


@pytest.mark.parametrize("name", [*WEBSOCKET_OPTIONS, *RUN_OPTIONS])
def test_class_attributes_of_a_client_are_the_defaults(name: str) -> None:
    base = WebSocketDefaults if name in WEBSOCKET_OPTIONS else RunDefaults
    assert getattr(greenws.Client, name) is getattr(base, name)


@pytest.mark.parametrize("name", TRANSPORT_OPTIONS)
def test_driven_websockets_inherit_the_defaults_of_the_transport(name: str) -> None:
    assert getattr(DrivenWebSocket, name) is getattr(TransportDefaults, name)
    assert getattr(greenws.WebSocket(URL), name) is getattr(TransportDefaults, name)


# Checks


def test_each_option_has_a_check() -> None:
    assert set(CHECKS) == {*WEBSOCKET_OPTIONS, *RUN_OPTIONS, "max_queue", "reply_key"}


@pytest.mark.parametrize("name", [*WEBSOCKET_OPTIONS, *RUN_OPTIONS])
def test_each_default_passes_its_check(name: str) -> None:
    base: Any = WebSocketDefaults if name in WEBSOCKET_OPTIONS else RunDefaults
    check_option(name, getattr(base, name))


def test_an_unknown_option_has_no_check() -> None:
    with pytest.raises(KeyError):
        check_option("timeout", 1)


WRONG: list[tuple[str, Any, type[Exception]]] = [
    ("proxies", "http://proxy", TypeError),
    ("proxies", [("http", "http://proxy")], TypeError),
    ("proxies", {"http": "gopher://proxy"}, ValueError),
    ("protocols", "chat", TypeError),
    ("protocols", [b"chat"], TypeError),
    ("agent", b"greenws", TypeError),
    ("compress", 1, TypeError),
    ("compress", None, TypeError),
    ("ssl_context", "default", TypeError),
    ("ssl_verify", "no", TypeError),
    ("ssl_cafile", b"/ca.pem", TypeError),
    ("ssl_certfile", 3, TypeError),
    ("ssl_keyfile", object(), TypeError),
    ("ssl_password", 1234, TypeError),
    ("server_hostname", b"example.org", TypeError),
    ("headers", "Name: value", TypeError),
    ("headers", {"Bad Name": "value"}, ValueError),
    ("origin", b"https://example.org", TypeError),
    ("cookies", {"name": "value"}, TypeError),
    ("max_redirects", -1, ValueError),
    ("max_redirects", True, ValueError),
    ("max_redirects", 1.0, ValueError),
    ("max_size", 0, ValueError),
    ("max_size", -1, ValueError),
    ("max_size", 1.5, TypeError),
    ("max_size", True, TypeError),
    ("max_size", "1", TypeError),
    ("max_size", 1 << 62, ValueError),
    ("open_timeout", 0, ValueError),
    ("open_timeout", math.nan, ValueError),
    ("open_timeout", "1", TypeError),
    ("open_timeout", True, TypeError),
    ("send_timeout", -0.5, ValueError),
    ("send_timeout", math.inf, ValueError),
    ("write_limit", None, ValueError),
    ("write_limit", 0, ValueError),
    ("write_limit", 1e6, TypeError),
    ("source_address", "127.0.0.1", TypeError),
    ("source_address", ("127.0.0.1",), TypeError),
    ("source_address", ("127.0.0.1", "0"), TypeError),
    ("source_address", (b"127.0.0.1", 0), TypeError),
    ("unix_path", 3, TypeError),
    ("socket_options", None, TypeError),
    ("socket_options", "nodelay", TypeError),
    ("socket_options", [1, 2, 3], TypeError),
    ("socket_options", [(1, 2)], TypeError),
    ("socket_options", [("6", 1, 1)], TypeError),
    ("socket_options", [(6, "1", 1)], TypeError),
    ("socket_options", [(6, 1, "1")], TypeError),
    ("trace", "yes", TypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_wrong_options_of_a_websocket_are_named(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="header" if name == "headers" else name):
        greenws.WebSocket(URL, **{name: value})


@pytest.mark.parametrize(("name", "value", "error"), WRONG)
def test_wrong_options_of_a_client_are_named(name: str, value: Any, error: type[Exception]) -> None:
    match = "header" if name == "headers" else name
    with pytest.raises(error, match=match):
        greenws.Client(URL, **{name: value})
    if name == "trace":
        return
    with pytest.raises(error, match=match):
        type("Subclass", (greenws.Client,), {name: value})(URL)


@pytest.mark.parametrize("name", ["poll", "ping_rate", "ping_timeout", "close_timeout"])
@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), ([], TypeError), (-1, ValueError), (math.nan, ValueError)],
)
def test_wrong_numbers_of_a_run_are_named(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        greenws.WebSocket(URL).connect(**{name: value})
    with pytest.raises(error, match=name):
        greenws.Client(URL, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("auto_pong", "no"), ("auto_pong", None), ("session_class", "gevent"), ("reconnect", 3)],
)
def test_other_wrong_options_of_a_client_are_named(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=name):
        greenws.Client(URL, **{name: value})
    with pytest.raises(TypeError, match=name):
        type("Subclass", (greenws.Client,), {name: value})(URL)


def test_a_session_class_that_cannot_be_called_is_named() -> None:
    with pytest.raises(TypeError, match="session_class"):
        greenws.WebSocket(URL).connect(session_class="gevent")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"timeout": 5}, {"on_message": print}, {"header": {}}])
def test_an_unknown_option_of_a_client_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=repr(next(iter(options)))):
        greenws.Client(URL, **options)


def test_a_client_needs_a_url() -> None:
    with pytest.raises(TypeError, match="url"):
        greenws.Client()


RIGHT: list[tuple[str, Any]] = [
    ("ssl_context", ssl.create_default_context()),
    ("ssl_verify", False),
    ("ssl_cafile", "ca.pem"),
    ("ssl_cafile", Path("ca.pem")),
    ("ssl_certfile", Path("client.pem")),
    ("ssl_keyfile", "client.key"),
    ("ssl_password", "secret"),
    ("ssl_password", b"secret"),
    ("ssl_password", lambda: "secret"),
    ("server_hostname", "example.org"),
    ("max_size", 1),
    ("max_size", (1 << 62) - 1),
    ("max_size", None),
    ("open_timeout", 0.001),
    ("open_timeout", None),
    ("send_timeout", 1),
    ("write_limit", 1),
    ("source_address", ("", 0)),
    ("source_address", ["::1", 0]),
    ("unix_path", "/socket"),
    ("unix_path", b"\0abstract"),
    ("unix_path", Path("/socket")),
    ("socket_options", [(6, 1, 1), (1, 13, b"\0" * 8)]),
    ("protocols", ["chat", "rpc"]),
    ("agent", "robot/1"),
    ("compress", True),
    ("proxies", {}),
    ("trace", print),
]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_a_given_option_is_read_back(name: str, value: Any) -> None:
    assert getattr(greenws.WebSocket(URL, **{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_class_attributes_of_a_subclass_reach_the_websocket(name: str, value: Any) -> None:
    if callable(value):
        value = staticmethod(value)
    client = type("Subclass", (greenws.Client,), {name: value})(URL)
    assert getattr(client.websocket, name) == getattr(client, name)


def test_proxies_of_the_environment_are_shown_with_their_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://us%40er:pass@proxy.example:3128")
    websocket = greenws.WebSocket("ws://example.org/")
    assert websocket.given_proxies is None
    assert websocket.proxies["http"] == "http://us%40er:pass@proxy.example:3128"
    assert websocket.proxies["https"] is None
    monkeypatch.setenv("http_proxy", "http://user@proxy.example:3128")
    assert websocket.proxies["http"] == "http://user@proxy.example:3128"


def test_a_jar_of_cookies_is_no_wrong_option() -> None:
    jar = http.cookiejar.CookieJar()
    client = type("Subclass", (greenws.Client,), {"cookies": jar})(URL)
    assert client.cookies is jar


def test_keywords_win_over_class_attributes() -> None:
    class Subclass(greenws.Client):
        max_size = 5

    assert Subclass(URL).websocket.max_size == 5
    assert Subclass(URL, max_size=6).websocket.max_size == 6
    # Also where the keyword is the default of all.
    given = Subclass(URL, max_size=greenws.Client.max_size)
    assert given.websocket.max_size == greenws.WebSocket(URL).max_size


def test_path_likes_are_paths() -> None:
    class Somewhere(os.PathLike[str]):
        def __fspath__(self) -> str:
            return "/socket"

    somewhere = Somewhere()
    assert greenws.WebSocket(URL, unix_path=somewhere).unix_path is somewhere


# What an instance holds


def test_an_instance_with_default_options_holds_none_of_them() -> None:
    assert not vars(greenws.WebSocket(URL))
    given = {name: getattr(WebSocketDefaults, name) for name in WEBSOCKET_OPTIONS}
    assert not vars(greenws.WebSocket(URL, **given))


def test_an_instance_holds_only_what_differs() -> None:
    websocket = greenws.WebSocket(URL, max_size=7, ssl_verify=True)
    assert vars(websocket) == {"max_size": 7}


def test_options_of_one_instance_are_no_others() -> None:
    greenws.WebSocket(URL, max_size=7)
    assert greenws.WebSocket(URL).max_size == WebSocketDefaults.max_size
