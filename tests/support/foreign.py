"""Fixtures: each server of another library, over TCP and TLS, plain and with deflate.

A module takes them by their names: ``server, url, options = foreign.server, ...``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.servers import KINDS, ForeignServer


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForeignServer]:
    with ForeignServer(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(params=["ws", "wss"])
def url(request: pytest.FixtureRequest, server: ForeignServer) -> str:
    return server.secure_url if request.param == "wss" else server.url


@pytest.fixture(params=["plain", "deflate"])
def options(request: pytest.FixtureRequest, server: ForeignServer) -> dict[str, Any]:
    return {"compress": request.param == "deflate", "proxies": {}, "ssl_cafile": server.cafile}
