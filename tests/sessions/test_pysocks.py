"""The copy of PySocks that waits with gevent."""

from __future__ import annotations

import importlib.util
import socket
import sys

import gevent.socket
import pytest

from greenws.errors import ProxyFail
from greenws.sessions import pysocks
from greenws.sessions.pysocks import load_pysocks


def test_copy_is_bound_to_gevent() -> None:
    module = load_pysocks()
    assert issubclass(module.socksocket, gevent.socket.socket)
    assert module.socket is gevent.socket


def test_module_of_other_users_is_not_touched() -> None:
    original = sys.modules.get("socks")
    module = pysocks._load()
    assert sys.modules.get("socks") is original
    import socks

    assert socks is not module
    assert issubclass(socks.socksocket, socket.socket)
    assert "chr" not in vars(socks)
    assert chr(200).encode() == b"\xc3\x88"


def test_copy_is_made_once() -> None:
    assert load_pysocks() is load_pysocks()
    assert load_pysocks().__name__ not in sys.modules


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ProxyFail, match="PySocks, which is not installed"):
        pysocks._load()
