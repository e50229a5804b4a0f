"""The report of ``--version --verbose``, for a bug report: what greenws runs on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import ssl
import zlib

import gevent

from ..implementation import COMPILED
from ..protocol.compression import find_zlib
from ..version import __version__

_BUILD = "compiled core" if COMPILED else "pure Python"
_PYTHON = f"{platform.python_implementation()} {platform.python_version()}"

# What greenws needs, and what else changes how it behaves.
_DISTRIBUTIONS = ("gevent", "greenlet", "PySocks", "certifi", "idna", "zlib-ng", "locust")

# Variables of the environment that decide about the build and the hub.
_VARIABLES = ("GREENWS_PURE_PYTHON", "GEVENT_LOOP", "GEVENT_RESOLVER")


def describe_version() -> str:
    """Return the versions of greenws, gevent and Python, in a line."""
    return f"greenws {__version__} ({_BUILD}), gevent {gevent.__version__}, {_PYTHON}"


def describe_platform() -> str:
    """Return a table of everything below greenws, a line for each."""
    loop, resolver = gevent.config.loop, gevent.config.resolver
    rows = [
        ("greenws", __version__),
        ("build", _BUILD),
        ("Python", _PYTHON),
        ("compiler", platform.python_compiler()),
        ("platform", platform.platform()),
        ("loop", f"{loop.__module__}.{loop.__name__}"),
        ("resolver", f"{resolver.__module__}.{resolver.__name__}"),
        ("OpenSSL", ssl.OPENSSL_VERSION),
        ("zlib", f"{find_zlib().__name__}; the interpreter's is {zlib.ZLIB_RUNTIME_VERSION}"),
        *((name, _find_version(name)) for name in _DISTRIBUTIONS),
        *((name, os.environ.get(name, "not set")) for name in _VARIABLES),
    ]
    return "\n".join(f"{name:20}{value}" for name, value in rows)


def _find_version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
