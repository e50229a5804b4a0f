"""The builds of greenws that the fuzz feeds: the one that is imported, and its pure twin."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from types import ModuleType

import greenws
from tests.support.pure import load_pure


class Build:
    """The modules of one build.

    :param load: imports a module by its name within greenws.
    """

    def __init__(self, name: str, load: Callable[[str], ModuleType]) -> None:
        self.name = name
        self.backoff = load("backoff")
        self.body = load("protocol.body")
        self.client_protocol = load("protocol.client_protocol")
        self.compression = load("protocol.compression")
        self.cookies = load("cookies")
        self.errors = load("errors")
        self.frame = load("protocol.frame")
        self.handshake = load("protocol.handshake")
        self.head = load("protocol.head")
        self.http = load("proxies.http")
        self.opening = load("protocol.opening")
        self.response = load("protocol.response")
        self.socks = load("proxies.socks")
        self.stream = load("protocol.stream")
        self.address = load("proxies.address")
        self.trace = load("trace")
        self.url = load("url")


@lru_cache(maxsize=1)
def get_builds() -> list[Build]:
    """Return the build that is imported, and the pure twin if that is another one."""
    name = "compiled" if greenws.COMPILED else "pure"
    builds = [Build(name, lambda module: import_module(f"greenws.{module}"))]
    if greenws.COMPILED:
        builds.append(Build("pure", load_pure))
    return builds
