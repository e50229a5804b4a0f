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
    proxies = getattr(websocket, "given_proxies", websocket)
    if proxies is websocket:  # lomond has detected its own
        proxies = websocket.proxies
    host, port, is_secure = target.host, target.port, target.is_secure
    try:
        proxy = choose_proxy(is_secure, host, port, proxies)
    except ValueError as error:
        raise ConnectFail(str(error)) from None
    options = DialOptions(host, port, is_secure, proxy)
    options.source_address = getattr(websocket, "source_address", None)
    options.socket = getattr(websocket, "socket", None)
    options.unix_path = _path(getattr(websocket, "unix_path", None))
    options.socket_options = getattr(websocket, "socket_options", ())
    options.is_traced = getattr(websocket, "is_traced", True)
    if is_secure or proxy is not None:
        _add_tls(options, websocket)
    return options


def _add_tls(options: DialOptions, websocket: Any) -> None:
    def get(name: str, default: Any = None) -> Any:
        return getattr(websocket, name, default)

    options.ssl_context = get("ssl_context")
    options.ssl_verify = get("ssl_verify", True)
    options.ssl_cafile = _path(get("ssl_cafile"))
    # Where a redirect has led to another origin, the name to check is that one's own, and the
    # certificate is not shown: it is a credential as good as a password.
    if (options.host, options.port) == (websocket.host, websocket.port):
        options.ssl_certfile = _path(get("ssl_certfile"))
        options.ssl_keyfile = _path(get("ssl_keyfile"))
        options.ssl_password = get("ssl_password")
        options.server_hostname = get("server_hostname")


def _path(path: Any) -> Any:
    return None if path is None else os.fspath(path)
