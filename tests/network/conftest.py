"""The programs that the tests of this folder talk to. The first test that needs one starts it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.network.visitor import PatchedVisitor, visit
from tests.support import programs
from tests.support.servers import ForeignServer

Visit = Callable[..., dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("network")


@pytest.fixture(scope="session")
def certificates(folder: Path) -> programs.Certificates:
    return programs.Certificates(folder)


@pytest.fixture(scope="session")
def echo(folder: Path) -> Iterator[ForeignServer]:
    """The server of the library ``websockets``."""
    with ForeignServer("websockets", folder) as server:
        yield server


@pytest.fixture(scope="session")
def tinyproxy(folder: Path) -> Iterator[int]:
    with programs.run_tinyproxy(folder) as port:
        yield port


@pytest.fixture(scope="session")
def tinyproxy_with_users(folder: Path) -> Iterator[int]:
    with programs.run_tinyproxy(folder, f"BasicAuth {programs.USER} {programs.PASSWORD}") as port:
        yield port


@pytest.fixture(scope="session")
def microsocks() -> Iterator[int]:
    with programs.run_microsocks() as port:
        yield port


@pytest.fixture(scope="session")
def microsocks_with_users() -> Iterator[int]:
    with programs.run_microsocks("-u", programs.USER, "-P", programs.PASSWORD) as port:
        yield port


@pytest.fixture(scope="session")
def dante(folder: Path) -> Iterator[int]:
    with programs.run_dante(folder) as port:
        yield port


@pytest.fixture(scope="session")
def ssh(folder: Path) -> Iterator[int]:
    with programs.run_ssh(folder) as port:
        yield port


@pytest.fixture(scope="session")
def nginx(
    folder: Path,
    certificates: programs.Certificates,
    echo: ForeignServer,
    tinyproxy: int,
    tinyproxy_with_users: int,
) -> Iterator[programs.Nginx]:
    proxies = (tinyproxy, tinyproxy_with_users)
    with programs.Nginx(folder, certificates, echo.port, proxies).run() as front:
        yield front


@pytest.fixture(scope="session")
def patched_visitor() -> Iterator[PatchedVisitor]:
    with contextlib.closing(PatchedVisitor()) as visitor:
        yield visitor


@pytest.fixture(params=["unpatched", "patched"])
def go(request: pytest.FixtureRequest, patched_visitor: PatchedVisitor) -> Visit:
    """Make a visit as :func:`~tests.network.visitor.visit`, here and in a patched process."""
    return visit if request.param == "unpatched" else patched_visitor


@pytest.fixture(scope="session")
def socks(request: pytest.FixtureRequest) -> int:
    """The port of the SOCKS proxy that the test names as its parameter."""
    port: int = request.getfixturevalue(request.param)
    return port
