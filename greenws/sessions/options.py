"""Where and how a websocket, ours or lomond's, wants to be connected."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ConnectFail
from ..proxies.address import choose_proxy
from .dial import DialOptions


def dial_options(websocket: Any, target: Any) -> DialOptions:
    """Gather what a websocket says of where and how to connect.

    :param target: what has the host, the port and the security: the websocket, or a URL.
    :raises ConnectFail: if the proxy of the environment cannot be understood.
    """

    def get(name: str, default: Any = None) -> Any:
        return getattr(websocket, name, default)

    proxies = get("given_proxies", websocket)
    if proxies is websocket:  # lomond has detected its own
        proxies = websocket.proxies
    try:
        proxy = choose_proxy(target.is_secure, target.host, target.port, proxies)
    except ValueError as error:
        raise ConnectFail(str(error)) from None
    # Where a redirect has led to another origin, the name to check is that one's own, and the
    # certificate is not shown: it is a credential as good as a password.
    is_home = (target.host, target.port) == (websocket.host, websocket.port)
    return DialOptions(
        host=target.host,
        port=target.port,
        is_secure=target.is_secure,
        proxy=proxy,
        ssl_context=get("ssl_context"),
        ssl_verify=get("ssl_verify", True),
        ssl_cafile=_path(get("ssl_cafile")),
        ssl_certfile=_path(get("ssl_certfile")) if is_home else None,
        ssl_keyfile=_path(get("ssl_keyfile")) if is_home else None,
        ssl_password=get("ssl_password") if is_home else None,
        server_hostname=get("server_hostname") if is_home else None,
        source_address=get("source_address"),
        socket=get("socket"),
        unix_path=_path(get("unix_path")),
        socket_options=get("socket_options", ()),
    )


def _path(path: Any) -> Any:
    return None if path is None else os.fspath(path)
