"""The server that most tests of groups talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from greenws.testing import EchoServer


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        yield running
