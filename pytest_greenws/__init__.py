"""The fixtures of greenws for pytest. docs/testing.rst says how to use them.

pytest imports this package at every start, wherever greenws is installed. So the package imports
nothing of greenws, nor gevent, before a test asks for a fixture. That is why it stands beside the
package ``greenws``: an import of anything inside that one imports all of it.

PYTEST_DONT_REWRITE: there is no assertion here.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from greenws.testing import Authority, ServerFactory, ThreadedEchoServer

__all__ = ["echo_server", "websocket_authority", "websocket_server"]


class _PlainFinder:
    """Has greenws imported as Python alone would import it.

    pytest rewrites the assertions of every module that comes with a plugin, and so compiles all of
    greenws once more: a second, at each start where bytecode cannot be written.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == "greenws" or name.startswith("greenws."):
            return PathFinder.find_spec(name, path, target)
        return None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Come before the first import of greenws, which may be a conftest's."""
    sys.meta_path.insert(0, _PlainFinder)


def pytest_unconfigure() -> None:
    """Leave the interpreter as it was: pytest may have been called by a program."""
    if _PlainFinder in sys.meta_path:  # not, if pytest has ended before
        sys.meta_path.remove(_PlainFinder)


@pytest.fixture
def echo_server(websocket_server: ServerFactory) -> ThreadedEchoServer:
    """A WebSocket server that echoes every message, and records what clients do."""
    return websocket_server()


@pytest.fixture
def websocket_server(request: pytest.FixtureRequest) -> Iterator[ServerFactory]:
    """Starts WebSocket servers: websocket_server(behaviour, tls=False, ...) returns one.

    At the end of the test they are stopped, clients that are still connected are ended, and the
    first exception that came out of a behaviour is raised.
    """
    from greenws.testing import ServerFactory  # takes a tenth of a second: see above

    def find_authority() -> Authority:
        authority: Authority = request.getfixturevalue("websocket_authority")
        return authority

    with ServerFactory(find_authority) as factory:
        yield factory


@pytest.fixture(scope="session")
def websocket_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority of the servers with tls=True. Its file is .cafile."""
    from greenws.testing import Authority

    return Authority(tmp_path_factory.mktemp("greenws"))
