"""Dialing without a WebSocket: everything that a dial is told, in one object."""

from __future__ import annotations

from typing import Any

from greenws.options import TransportDefaults
from greenws.proxies.address import ProxyAddress
from greenws.sessions import dial as dialing
from greenws.sessions.transport import Transport


class DialOptions(TransportDefaults):
    """A target, a proxy, and the options of the transport."""

    def __init__(
        self,
        host: str,
        port: int,
        is_secure: bool = False,
        proxy: ProxyAddress | None = None,
        is_traced: bool = True,
        **options: Any,
    ) -> None:
        self.host = host
        self.port = port
        self.is_secure = is_secure
        self.proxy = proxy
        self.is_traced = is_traced
        for name, value in options.items():
            setattr(self, name, value)


def dial(
    options: DialOptions,
    trace: dialing.Trace = dialing.ignore,
    last_step: list[str] | None = None,
) -> tuple[Transport, str | None]:
    """Open a connection as ``options`` say.

    :param last_step: the last step of the dial is appended to it.
    """
    one = dialing.Dial(options, options, options.proxy, trace=trace, is_traced=options.is_traced)
    try:
        return one.run()
    finally:
        if last_step is not None:
            last_step.append(one.step)
