"""The constants and the public names."""

from __future__ import annotations

import lomond.constants

import greenws
from greenws import constants


def test_constants_are_those_of_the_protocol() -> None:
    assert constants.WS_KEY == lomond.constants.WS_KEY
    assert constants.WS_VERSION == lomond.constants.WS_VERSION == 13
    assert constants.MAX_CONTROL_PAYLOAD == 125
    assert constants.MAX_CLOSE_REASON == 123


def test_limits_are_those_of_the_design() -> None:
    assert constants.MAX_MESSAGE_SIZE == 16 * 1024 * 1024
    assert constants.MAX_BODY_SIZE == constants.MAX_HEAD_SIZE == 64 * 1024
    assert constants.OPEN_TIMEOUT == constants.SEND_TIMEOUT == 30.0


def test_user_agent_names_us() -> None:
    assert constants.USER_AGENT.startswith(f"greenws/{greenws.__version__} ")
    assert constants.USER_AGENT.isascii()
    assert constants.USER_AGENT.isprintable()


def test_public_names_are_all_there() -> None:
    assert set(greenws.__all__) == {
        "COMPILED",
        "Backoff",
        "Client",
        "ClientGroup",
        "Connection",
        "GeventSession",
        "Status",
        "WebSocket",
        "__version__",
        "connect",
        "constants",
        "drain",
        "errors",
        "events",
        "persist",
    }
    for name in greenws.__all__:
        assert hasattr(greenws, name)
    assert isinstance(greenws.COMPILED, bool)
