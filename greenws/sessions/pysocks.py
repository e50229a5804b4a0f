"""A private copy of PySocks that uses gevent's sockets.

The ordinary module ``socks`` is bound to the standard library's sockets, and would block the hub in
a process that is not patched. A change to that module would change it for the whole process. So
this module runs the code of ``socks`` a second time, under another name, where ``import socket``
gives ``gevent.socket``. ``sys.modules`` does not change.
"""

from __future__ import annotations

import builtins
import importlib.util
from types import ModuleType
from typing import Any

import gevent.socket

from ..errors import ProxyFail
from ..proxies.socks import octet
from .wait import wait_read

_NAME = "greenws.sessions._pysocks"
_loaded: list[ModuleType] = []


def load_pysocks() -> ModuleType:
    """Get the copy of PySocks; the first call loads it.

    The copy has a class more, ``WaitingSocket``: a ``socksocket`` that waits in :mod:`.wait`.

    :raises ProxyFail: PySocks is not installed.
    """
    if not _loaded:
        _loaded.append(_load())
    return _loaded[0]


def _load() -> ModuleType:
    spec = importlib.util.find_spec("socks")
    loader: Any = None if spec is None else spec.loader
    if loader is None:
        raise ProxyFail("SOCKS proxies require the package PySocks, which is not installed")
    module = ModuleType(_NAME)
    namespace = vars(module)
    namespace["__builtins__"] = {**vars(builtins), "__import__": _import, "chr": octet}
    exec(loader.get_code("socks"), namespace)
    namespace["WaitingSocket"] = _derive_socket(module.socksocket)
    return module


def _derive_socket(base: Any) -> type:
    class WaitingSocket(base):  # type: ignore[misc]
        # Why a send has failed. The proxy may have said before why it has closed, so the failure
        # counts only when nothing more can be read.
        failure: OSError | None = None

        # PySocks sends by send only.
        def send(self, data: Any, *args: Any) -> int:
            try:
                sent: int = super().send(data, *args)
            except OSError as error:
                self.failure = error
                return memoryview(data).nbytes
            return sent

        # PySocks reads by recv_into only. gevent's own wait would go on in a forked child.
        def recv_into(self, *args: Any) -> Any:
            wait_read(self.fileno())
            try:
                count = super().recv_into(*args)
            except OSError as error:
                raise self.failure or error from None
            if not count and self.failure is not None:
                raise self.failure
            return count

    return WaitingSocket


def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    return gevent.socket if name == "socket" else builtins.__import__(name, *args, **kwargs)
