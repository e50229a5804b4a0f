"""The tree of errors, their messages, and what each carries."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import lomond.errors
import pytest

from greenws import errors
from greenws.protocol.response import Response

OURS = {
    name: item
    for name, item in vars(errors).items()
    if isinstance(item, type) and issubclass(item, Exception)
}


def test_errors_of_lomond_are_there_with_their_bases() -> None:
    for name, theirs in vars(lomond.errors).items():
        if not (isinstance(theirs, type) and issubclass(theirs, Exception)):
            continue
        for base in theirs.__mro__:
            if base.__module__ == "lomond.errors":
                assert issubclass(OURS[name], OURS[base.__name__])


@pytest.mark.parametrize("name", OURS)
def test_error_is_a_websocket_error_and_documented(name: str) -> None:
    assert issubclass(OURS[name], errors.WebSocketError)
    assert inspect.getdoc(OURS[name])


@pytest.mark.parametrize(
    ("name", "code"),
    [("ProtocolError", 1002), ("PayloadTooLarge", 1009), ("CriticalProtocolError", 1007)],
)
def test_violation_has_its_close_code(name: str, code: int) -> None:
    assert OURS[name]("x").code == code
    assert OURS[name].code == code


def test_data_that_cannot_be_decoded_is_critical() -> None:
    assert errors.CriticalProtocolError("x").critical is True
    assert errors.ProtocolError("x").critical is False
    assert not issubclass(errors.CriticalProtocolError, errors.ProtocolError)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("plain",), "plain"),
        (("{} and {}", 1, "two"), "1 and two"),
        (("from a peer: {0} {x} {",), "from a peer: {0} {x} {"),
        (("{}", "{not} a template"), "{not} a template"),
        ((), ""),
    ],
)
def test_message_is_composed(arguments: Any, text: str) -> None:
    assert str(errors.WebSocketError(*arguments)) == text


def test_message_takes_keywords() -> None:
    assert str(errors.WebSocketError("{a}", a=1)) == "1"


@pytest.mark.parametrize("name", OURS)
def test_error_can_be_pickled(name: str) -> None:
    error = OURS[name]("text {with} braces")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_documented_tree_is_the_tree() -> None:
    tree = errors.__doc__ or ""
    for name in OURS:
        assert name in tree


def test_proxy_fail_has_what_the_proxy_said() -> None:
    error = errors.ProxyFail("{}", "no")
    assert (str(error), error.response, error.status_code, error.status) == ("no", None, None, "")
    error = errors.ProxyFail("no", response=Response(b"HTTP/1.1 407 Who are you\r\n\r\n"))
    assert (error.status_code, error.status, error.socks_code) == (407, "Who are you", None)
    assert errors.ProxyFail("no", socks_code=5).socks_code == 5


@pytest.mark.parametrize("name", OURS)
def test_message_has_no_control_characters_of_a_peer(name: str) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\rINFO fake\x9b\u202e\u2028"
    for error in (OURS[name](hostile), OURS[name]("said {}", hostile)):
        assert str(error).isprintable()
        assert "\\x1b]0;owned\\x07" in str(error)
        assert "\\\\x1b" not in str(pickle.loads(pickle.dumps(error)))


def test_message_is_cut_at_a_limit() -> None:
    assert len(str(errors.ConnectFail("x" * 100_000))) == 2000
    assert str(errors.ConnectFail("x" * 2000)) == "x" * 2000


def test_message_of_another_type_is_its_text() -> None:
    assert str(errors.WebSocketError(ValueError("why"))) == "why"  # type: ignore[arg-type]
