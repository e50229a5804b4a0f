"""Names with addresses that the user has given."""

from __future__ import annotations

import gevent.socket
import pytest

from greenws.cli.pins import names_pinned


def resolve(name: str) -> list[str]:
    found = gevent.socket.getaddrinfo(name, 80, 0, gevent.socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


def test_names_have_their_addresses_within_the_block() -> None:
    hub = gevent.get_hub()
    before = hub.resolver
    with names_pinned({"name.invalid": ["127.0.0.2", "::1"]}):
        assert resolve("name.invalid") == ["127.0.0.2", "::1"]
        assert resolve("name.invalid.") == ["127.0.0.2", "::1"]
        assert resolve("127.0.0.1") == ["127.0.0.1"]
    assert hub.resolver is before
    with names_pinned({}):
        assert hub.resolver is before
    with pytest.raises(ZeroDivisionError), names_pinned({"a": []}):
        raise ZeroDivisionError
    assert hub.resolver is before
