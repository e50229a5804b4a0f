"""Each option once: its default, its check, and the places that have to agree about it."""

from __future__ import annotations

import http.cookiejar
import inspect
import math
import os
import re
import ssl
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import greenws
from greenws.client import ClientOptions
from greenws.options import (
    CHECKS,
    COMPRESS_OPTIONS,
    RUN_OPTIONS,
    TRANSPORT_OPTIONS,
    WEBSOCKET_OPTIONS,
    CompressOptions,
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
    # Equal to the default, and of another type.
    ("ssl_verify", 1, TypeError),
    ("ssl_verify", 1.0, TypeError),
    ("ssl_verify", None, TypeError),
    ("compress", 0, TypeError),
    ("compress", "deflate", TypeError),
    ("compress", [("level", 1)], TypeError),
    ("compress", {1: 1}, TypeError),
    ("compress", {"levl": 1}, TypeError),
    ("compress", {"client_max_window_bits": "15"}, TypeError),
    ("compress", {"client_max_window_bits": True}, TypeError),
    ("compress", {"client_max_window_bits": None}, TypeError),
    ("compress", {"client_max_window_bits": 7}, ValueError),
    ("compress", {"server_max_window_bits": 16}, ValueError),
    ("compress", {"server_max_window_bits": 10.0}, TypeError),
    ("compress", {"client_no_context_takeover": 1}, TypeError),
    ("compress", {"server_no_context_takeover": None}, TypeError),
    ("compress", {"level": "9"}, TypeError),
    ("compress", {"level": True}, TypeError),
    ("compress", {"level": 10}, ValueError),
    ("compress", {"level": -2}, ValueError),
    ("compress", {"min_size": -1}, ValueError),
    ("compress", {"min_size": 1 << 62}, ValueError),
    ("compress", {"min_size": 1.5}, TypeError),
    ("compress", {"min_size": None}, TypeError),
    ("compress", {"min_size": False}, TypeError),
    ("max_size", float(WebSocketDefaults.max_size or 0), TypeError),
    ("write_limit", float(WebSocketDefaults.write_limit), TypeError),
    ("max_redirects", float(WebSocketDefaults.max_redirects), ValueError),
    ("ssl_context", ssl.SSLContext, TypeError),
    ("ssl_context", True, TypeError),
    ("ssl_cafile", "a\0b", ValueError),
    ("ssl_certfile", "\ud800", ValueError),
    ("unix_path", "a\0b", ValueError),
    ("unix_path", b"a\0", ValueError),
    ("unix_path", "\ud800", ValueError),
    ("unix_path", True, TypeError),
    ("server_hostname", True, TypeError),
    ("server_hostname", ["example.org"], TypeError),
    ("cookies", "a=b", TypeError),
    ("cookies", [], TypeError),
    ("cookies", http.cookiejar.CookieJar, TypeError),
    ("protocols", 5, TypeError),
    ("protocols", {"chat": 1}, TypeError),
    ("protocols", "", TypeError),
    ("protocols", False, TypeError),
    ("protocols", [None], TypeError),
    ("proxies", {1: "http://proxy"}, TypeError),
    ("proxies", {"http": 5}, TypeError),
    ("proxies", {"http": False}, TypeError),
    ("proxies", {"http": b"http://proxy"}, TypeError),
    ("proxies", {"https://": "http://proxy"}, ValueError),
    ("proxies", {"socks": "socks5h://proxy"}, ValueError),
    ("proxies", {"no": "localhost", "httpx": "http://proxy"}, ValueError),
    ("proxies", True, TypeError),
    ("source_address", ("127.0.0.1", 65536), ValueError),
    ("source_address", ("127.0.0.1", -1), ValueError),
    ("source_address", ("127.0.0.1", True), TypeError),
    ("source_address", 8080, TypeError),
    ("socket", "127.0.0.1:80", TypeError),
    ("socket", 5, TypeError),
    ("socket", True, TypeError),
    ("socket_options", [(1 << 40, 1, 1)], ValueError),
    ("socket_options", [(1, 1, 1 << 31)], ValueError),
    ("socket_options", {6: 1}, TypeError),
    ("socket_options", [(1, 2, None)], TypeError),
    ("origin", 5, TypeError),
    ("agent", True, TypeError),
    ("headers", True, TypeError),
    ("headers", ["A: b"], TypeError),
    ("headers", {"A": 5}, TypeError),
    ("trace", [], TypeError),
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


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "on",
            (
                "compress must be True or False, not 'on'; it may also be a mapping such as "
                "{'server_no_context_takeover': True}"
            ),
        ),
        ({b"level": 1}, "compress must have keys that are str, not b'level'"),
        ({"colour": 1}, "compress has no option 'colour'"),
        ({"min-size": 1}, "compress has no option 'min-size'; the option is called 'min_size'"),
        (
            {"client_max_window_bit": 9},
            (
                "compress has no option 'client_max_window_bit'; "
                "the option is called 'client_max_window_bits'"
            ),
        ),
        ({"compression_level": 9}, "the option is called 'level'"),
        ({"threshold": 9}, "the option is called 'min_size'"),
        ({"wbits": 9}, "the option is called 'client_max_window_bits'"),
        ({"level": 12}, "compress['level'] must be -1 to 9, not 12"),
        ({"level": "1"}, "compress['level'] must be an int, not '1'"),
        (
            {"server_max_window_bits": 16},
            "compress['server_max_window_bits'] must be 8 to 15, not 16",
        ),
        (
            {"client_max_window_bits": None},
            (
                "compress['client_max_window_bits'] must be an int, not None; "
                "without it, the server may choose"
            ),
        ),
        (
            {"client_no_context_takeover": "yes"},
            "compress['client_no_context_takeover'] must be True or False, not 'yes'",
        ),
        ({"min_size": -1}, "compress['min_size'] must be 0 or more"),
        ({"min_size": "1k"}, "compress['min_size'] must be an int, a number of bytes, not '1k'"),
    ],
)
@pytest.mark.parametrize("make", [greenws.WebSocket, greenws.Client, greenws.connect])
def test_wrong_mapping_of_compression_names_the_mend(make: Any, value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        make(URL, compress=value)


def test_keys_of_compression_are_those_of_the_rfc_and_two_of_ours() -> None:
    assert COMPRESS_OPTIONS == (
        "client_max_window_bits",
        "server_max_window_bits",
        "client_no_context_takeover",
        "server_no_context_takeover",
        "level",
        "min_size",
    )


def test_later_changes_of_a_mapping_of_compression_change_nothing() -> None:
    wishes: CompressOptions = {"level": 1}
    websocket = greenws.WebSocket(URL, compress=wishes)
    wishes["level"] = 9
    assert websocket.compress == {"level": 1}


@pytest.mark.parametrize("option", ["ssl_verify", "compress", "auto_pong"])
@pytest.mark.parametrize("value", ["true", "yes", "", "0", "False", 0, 1, None, []])
def test_flag_of_another_type_is_named_with_its_value(option: str, value: Any) -> None:
    is_run = option == "auto_pong"
    match = re.escape(f"{option} must be True or False, not {value!r}")
    with pytest.raises(TypeError, match=match):
        if is_run:
            greenws.WebSocket(URL).connect(**{option: value})
        else:
            greenws.WebSocket(URL, **{option: value})
    with pytest.raises(TypeError, match=match):
        greenws.Client(URL, **{option: value})
    with pytest.raises(TypeError, match=match):
        type("Subclass", (greenws.Client,), {option: value})(URL)


def test_value_in_an_error_is_cut() -> None:
    with pytest.raises(TypeError) as caught:
        greenws.WebSocket(URL, ssl_verify="x" * 10_000)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["poll", "ping_rate", "ping_timeout", "close_timeout"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("1", TypeError),
        ([], TypeError),
        (True, TypeError),
        (-1, ValueError),
        (math.nan, ValueError),
        (10**400, ValueError),
        pytest.param(10**5000, ValueError, id="without bounds"),
    ],
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
    websocket = greenws.WebSocket(URL)
    # A session can be called, but not for a session.
    for wrong in ("gevent", None, greenws.GeventSession(websocket)):
        with pytest.raises(TypeError, match="session_class"):
            websocket.connect(session_class=wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="session_class"):
            greenws.Client(URL, session_class=wrong)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("options", [{"timeout": 5}, {"on_message": print}, {"header": {}}])
def test_an_unknown_option_of_a_client_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=repr(next(iter(options)))):
        greenws.Client(URL, **options)


HINTS = [
    ("header", "headers"),
    ("extra_headers", "headers"),
    ("timeout", "open_timeout"),
    ("subprotocols", "protocols"),
    ("sslopt", "ssl_context"),
    ("max_msg_size", "max_size"),
    ("compres", "compress"),
    ("Compress", "compress"),
    ("maxSize", "max_size"),
    ("ssl_verfiy", "ssl_verify"),
    ("server_hostnme", "server_hostname"),
    ("proxy", "proxies"),
    ("headers_", "headers"),
]


@pytest.mark.parametrize(("name", "meant"), HINTS)
def test_wrong_name_of_an_option_says_which_is_right(name: str, meant: str) -> None:
    match = rf"has no option {name!r}; the option is called {meant!r}"
    with pytest.raises(TypeError, match=rf"^WebSocket\(\) {match}"):
        greenws.WebSocket(URL, **{name: 1})
    with pytest.raises(TypeError, match=rf"^Client\(\) {match}"):
        greenws.Client(URL, **{name: 1})
    with pytest.raises(TypeError, match=rf"^Feed {match}"):
        type("Feed", (greenws.Client,), {name: 1})
    with pytest.raises(
        TypeError, match=rf"{name!r}; the option is called {meant!r}.*WebSocket\(\)"
    ):
        greenws.WebSocket(URL).connect(**{name: 1})
    with pytest.raises(
        TypeError, match=rf"{name!r}; the option is called {meant!r}.*WebSocket\(\)"
    ):
        greenws.persist(greenws.WebSocket(URL), **{name: 1})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("ping_interval", "ping_rate"), ("polll", "poll"), ("autopong", "auto_pong")],
)
def test_wrong_name_of_an_option_of_a_run_says_which_is_right(name: str, meant: str) -> None:
    for call in (greenws.WebSocket(URL).connect, lambda **options: greenws.Client(URL, **options)):
        with pytest.raises(TypeError, match=f"{name!r}; the option is called {meant!r}"):
            call(**{name: 1})
    with pytest.raises(TypeError, match=f"{name!r}.*{meant!r}"):
        greenws.persist(greenws.WebSocket(URL), **{name: 1})
    with pytest.raises(TypeError, match=rf"{name!r}.*{meant!r}, and is one of connect\(\)"):
        greenws.WebSocket(URL, **{name: 1})


def test_option_of_another_call_is_named_with_the_call() -> None:
    with pytest.raises(TypeError, match=r"no option 'ping_rate'; it is an option of connect\(\)"):
        greenws.WebSocket(URL, ping_rate=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"no option 'compress'; it is an option of WebSocket\(\)"):
        greenws.WebSocket(URL).connect(compress=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"no option 'compress'; it is an option of WebSocket\(\)"):
        greenws.persist(greenws.WebSocket(URL), compress=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["colour", "x", "_x", "only_text"])
def test_name_that_is_like_no_option_gets_no_hint(name: str) -> None:
    with pytest.raises(TypeError, match=f"has no option {name!r}$"):
        greenws.WebSocket(URL, **{name: 1})


# Headers, which have a grammar of their own


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (["Authorization: s3cret"], "pairs of name and value, .* not lines"),
        ([b"Authorization: s3cret"], "pairs of name and value, .* not lines"),
        (["ab"], "pairs of name and value, .* not lines"),  # two letters are no pair
        ([("Authorization", "s3cret", "x")], "pairs of name and value, not a tuple of 3"),
        ([{"Authorization": "s3cret"}], "pairs of name and value, not a dict"),
        ([5], "pairs of name and value, not a int"),
        (5, "a mapping or pairs of name and value, not int"),
        ("Authorization: s3cret", "a mapping or pairs of name and value, not str"),
        ({"A": 5}, "the value of header b'A' must be str or bytes, not int"),
        ({"A": None}, "the value of header b'A' must be str or bytes, not NoneType"),
        ({5: "s3cret"}, "the name of a header must be str or bytes, not int"),
    ],
)
def test_wrong_headers_get_the_right_words(headers: Any, words: str) -> None:
    for call in (greenws.WebSocket, greenws.Client):
        with pytest.raises(TypeError, match=words) as caught:
            call(URL, headers=headers)
        assert "s3cret" not in str(caught.value)


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
    ("compress", {}),
    ("compress", MappingProxyType({"level": 9})),
    ("compress", {"client_max_window_bits": 8, "server_max_window_bits": 15, "min_size": 0}),
    ("compress", {"server_no_context_takeover": True, "level": -1}),
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


# Text that is none, and numbers beyond any time


@pytest.mark.parametrize("name", ["agent", "origin", "server_hostname"])
@pytest.mark.parametrize("make", [greenws.WebSocket, greenws.Client, greenws.connect])
def test_text_with_surrogates_is_named(make: Any, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be text"):
        make(URL, **{name: "\udcff"})


@pytest.mark.parametrize("url", ["ws://h/\udcff", "ws://h/?\ud800", "ws://\udcff:x@h/"])
@pytest.mark.parametrize("make", [greenws.WebSocket, greenws.Client, greenws.connect])
def test_url_with_surrogates_says_so(make: Any, url: str) -> None:
    with pytest.raises(ValueError, match=r"^url has surrogates"):
        make(url)


CALLS: dict[str, Any] = {
    "join": lambda timeout: greenws.Client(URL).join(timeout),
    "wait_ready": lambda timeout: greenws.Client(URL).wait_ready(timeout),
    "drain": lambda timeout: greenws.drain(timeout),
    "group": lambda timeout: greenws.ClientGroup().join(timeout),
    "draining a group": lambda timeout: greenws.ClientGroup().drain(timeout),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("value", ["1", [], True, -1, math.nan, 10**400])
def test_wrong_timeout_of_a_call_is_named(call: str, value: Any) -> None:
    error = ValueError if type(value) in (int, float) else TypeError
    with pytest.raises(error, match=r"^timeout must"):
        CALLS[call](value)


def test_drain_has_a_limit() -> None:
    with pytest.raises(TypeError, match=r"^timeout must"):
        greenws.drain(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["max_size", "open_timeout", "write_limit", "ssl_verify"])
def test_number_that_python_cannot_print_is_an_error_with_the_name(name: str) -> None:
    for value in (10**5000, -(10**5000)):
        with pytest.raises((TypeError, ValueError), match=name):
            greenws.WebSocket(URL, **{name: value})  # type: ignore[arg-type]
