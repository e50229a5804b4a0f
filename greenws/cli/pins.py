"""Names whose addresses the user has given, in place of those that the resolver knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gevent


class _PinnedResolver:
    """Gives the addresses of some names, and asks another resolver for the others."""

    def __init__(self, inner: Any, pins: Mapping[str, Sequence[str]]) -> None:
        self._inner = inner
        self._pins = pins

    def getaddrinfo(self, host: Any, port: Any, *others: Any) -> list[Any]:
        addresses = self._pins.get(str(host).removesuffix("."))
        if addresses is None:
            found: list[Any] = self._inner.getaddrinfo(host, port, *others)
            return found
        return [
            entry
            for address in addresses
            for entry in self._inner.getaddrinfo(address, port, *others)
        ]


@contextmanager
def names_pinned(pins: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Within the block, the names have these addresses for all connections of this hub.

    :param pins: numeric addresses, by names in the form of :func:`greenws.url.encode_host`.
    """
    if not pins:
        yield
        return
    hub = gevent.get_hub()
    before = hub.resolver
    hub.resolver = _PinnedResolver(before, pins)  # type: ignore[assignment]  # no other method
    try:
        yield
    finally:
        hub.resolver = before
