"""Who may import whom: DESIGN section 4, read off the sources."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "greenws"

# A module imports from lower rows, or on its own row from what stands left of it. A new module
# has to be given its place here.
ROWS: tuple[tuple[str, ...], ...] = (
    (
        "native.buffers",
        "native.references",
        "native.ticks",
        "native.utf8",
        "native.wholes",
        "version",
        "implementation",
        "status",
        "constants",
        "redaction",
        "errors",
        "events",
        "options",
        "trace",
        "url",
    ),
    (
        "protocol.opcode",
        "protocol.mask",
        "protocol.frame",
        "protocol.allowance",
        "protocol.slices",
        "protocol.compression",
        "protocol.stream",
        "protocol.traffic",
        "protocol.head",
        "protocol.extensions",
        "protocol.response",
        "protocol.body",
        "protocol.handshake",
        "protocol.opening",
        "protocol.client_protocol",
    ),
    ("proxies.address", "proxies.http", "proxies.socks"),
    (
        "sessions.syscalls",
        "sessions.threads",
        "sessions.clock",
        "sessions.busypoll",
        "sessions.rota",
        "sessions.crowd",
        "sessions.lifecycle",
        "sessions.forks",
        "sessions.roster",
        "sessions.wait",
        "sessions.transport",
        "sessions.plain",
        "sessions.inbox",
        "sessions.turn",
        "sessions.reactor",
        "sessions.bulk",
        "sessions.outbox",
        "sessions.mailboxes",
        "sessions.schedule",
        "sessions.contract",
        "sessions.lomond",
        "sessions.certificate",
        "sessions.resumption",
        "sessions.context",
        "sessions.tls",
        "sessions.resolver",
        "sessions.sockets",
        "sessions.pysocks",
        "sessions.tunnel",
        "sessions.dial",
        "sessions.metered",
        "sessions.approach",
        "sessions.commands",
        "sessions.session",
        "sessions.resting",
    ),
    ("cookies", "endpoint", "websocket"),
    (
        "backoff",
        "persist",
        "handlers",
        "drain",
        "replies",
        "admission",
        "herd",
        "client",
        "fragments",
        "connection",
        "group",
    ),
    (
        "testing.journal",
        "testing.wire",
        "testing.upgrade",
        "testing.openings",
        "testing.server_connection",
        "testing.behaviour",
        "testing.server",
        "testing.threaded",
        "testing.authority",
        "testing.fixtures",
        "testing",
        "cli.streams",
        "cli.units",
        "cli.arguments",
        "cli.process",
        "cli.echo",
        "cli.load.histogram",
        "cli.load.messages",
        "cli.load.comparison",
        "cli.load.options",
        "cli.load.tally",
        "cli.load.summary",
        "cli.load.report",
        "cli.load.charts",
        "cli.load.page",
        "cli.load.progress",
        "cli.load.pacer",
        "cli.load.clients",
        "cli.load.run",
        "cli.load.pipes",
        "cli.load.worker",
        "cli.load.fleet",
        "cli.load.command",
        "cli.load",
        "cli.keys",
        "cli.editor",
        "cli.terminal",
        "cli.prompt",
        "cli.readable",
        "cli.screen",
        "cli.steps",
        "cli.roundtrips",
        "cli.orders",
        "cli.connect",
        "cli.connect_options",
        "cli.pins",
        "cli.versions",
        "cli.command",
        "cli",
        "locust.base",
        "locust.failures",
        "locust.answer",
        "locust.user_connection",
        "locust.user",
        "locust",
    ),
    ("", "__main__"),  # "" is greenws itself
)
PLACES = {
    name: (row, column) for row, names in enumerate(ROWS) for column, name in enumerate(names)
}

# Their __init__ is empty, so importing them imports nothing.
FOLDERS = {"native", "protocol", "proxies", "sessions"}

NETWORK = {"socket", "_socket", "ssl", "_ssl", "select", "selectors", "asyncio", "gevent"}

# What the user's objects may have of gevent: greenlets and their signals, no hub, no socket.
GREENLETS = {
    "gevent.Greenlet",
    "gevent.GreenletExit",
    "gevent.Timeout",
    "gevent.event",
    "gevent.getcurrent",
    "gevent.greenlet",
    "gevent.lock",
    "gevent.sleep",
    "gevent.spawn",
    "gevent.timeout",
}


@dataclass(frozen=True)
class Import:
    """One imported thing: ``from a.b import c`` is ``a.b.c``."""

    target: str
    line: int
    is_typing_only: bool


def read_imports(source: str, name: str, is_package: bool = False) -> Iterator[Import]:
    """Read what a module of greenws imports, anywhere in it.

    :param name: its name within greenws; "" is greenws itself.
    :returns: absolute dotted names. An attribute of gevent counts as imported.
    """
    tree = ast.parse(source)
    parents = ["greenws", *name.split(".")] if name else ["greenws"]
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            up = node.level - is_package
            base = parents[: len(parents) - up] if node.level else []
            base += node.module.split(".") if node.module else []
            targets = [".".join([*base, alias.name]) for alias in node.names]
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "gevent"
        ):
            targets = [f"gevent.{node.attr}"]
        for target in targets:
            yield Import(target, getattr(node, "lineno", 0), id(node) in typing_only)


def own_module(target: str) -> str | None:
    """The module of greenws an imported thing is or is in, "" for greenws itself; None: foreign."""
    first, _, rest = target.partition(".")
    if first != "greenws":
        return None
    if rest in PLACES or rest in FOLDERS:
        return rest
    return rest.rpartition(".")[0]


def find_bad_edges(source: str, name: str, is_package: bool = False) -> list[str]:
    """Find the imports within greenws that do not go down, or left on their own row."""
    found = []
    for item in read_imports(source, name, is_package):
        target = own_module(item.target)
        if target is None or target in FOLDERS:
            continue
        if target not in PLACES:
            found.append(f"line {item.line}: {item.target} has no place in ROWS")
        elif PLACES[target] >= PLACES[name]:
            # An event's annotation may name the protocol's object it carries.
            if item.is_typing_only and PLACES[name][0] == 0 and PLACES[target][0] == 1:
                continue
            found.append(f"line {item.line}: {item.target} is not below {name or 'greenws'}")
    return found


def is_greenlets(target: str) -> bool:
    return target == "gevent" or any(
        target == known or target.startswith(known + ".") for known in GREENLETS
    )


def why_forbidden(name: str, item: Import) -> str | None:
    """Say why a module may not import something foreign; None: it may."""
    target = item.target
    top = target.partition(".")[0]
    row = PLACES[name][0]
    in_sessions = row == 3
    if "patch_" in target or (target.startswith("gevent.monkey") and not in_sessions):
        return "greenws patches nothing"
    if row < 3 and top in NETWORK and not item.is_typing_only:
        return "rows 0 to 2 have no sockets and no gevent"
    if row < 3 and target.startswith(("http.client", "urllib.request")):
        return "it imports socket"
    if row == 1 and top in {"threading", "_thread", "time"}:
        return "the protocol has no threads and no clock"
    allowed = {"socks"} if row == 2 else {"idna"} if name == "url" else set()
    if row < 3 and top not in sys.stdlib_module_names | allowed and not item.is_typing_only:
        return "rows 0 to 2 are stdlib only"
    if row > 3 and item.is_typing_only:
        return None  # an annotation names what the user hands in
    if row == 4 and top in NETWORK:
        return "the WebSocket does no IO of its own"
    if row == 5 and top in NETWORK and not is_greenlets(target):
        return "sockets and the hub are the sessions'"
    if row == 7 and top in NETWORK:
        return "nothing but re-exports"
    return None


def find_private_reads(source: str) -> list[str]:
    """Find the underscore attributes of a websocket that a session touches."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Attribute) or node.attr == "_emit_trace":
            continue
        if not node.attr.startswith("_") or node.attr.startswith("__"):
            continue
        owner = node.value
        owner_name = str(getattr(owner, "attr", None) or getattr(owner, "id", ""))
        if owner_name.strip("_") in {"websocket", "ws"}:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = sorted(PACKAGE.rglob("*.py"))
PLACED = [path for path in MODULES if name_of(path) not in FOLDERS]


@pytest.mark.parametrize("path", PLACED, ids=name_of)
def test_module_has_a_place(path: Path) -> None:
    assert name_of(path) in PLACES


@pytest.mark.parametrize("path", PLACED, ids=name_of)
def test_module_imports_downward(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if name_of(path) in PLACES:
        assert find_bad_edges(source, name_of(path), path.name == "__init__.py") == []


@pytest.mark.parametrize("path", PLACED, ids=name_of)
def test_module_imports_nothing_forbidden(path: Path) -> None:
    name = name_of(path)
    if name not in PLACES:
        return  # test_module_has_a_place says so
    found = [
        f"line {item.line}: {item.target}: {why}"
        for item in read_imports(path.read_text(encoding="utf-8"), name)
        if own_module(item.target) is None and (why := why_forbidden(name, item))
    ]
    assert found == []


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_init_of_a_folder_is_empty(folder: str) -> None:
    body = ast.parse(PACKAGE.joinpath(folder, "__init__.py").read_text(encoding="utf-8")).body
    assert [node for node in body if not isinstance(node, ast.Expr)] == []


def test_init_defines_nothing() -> None:
    body = ast.parse(PACKAGE.joinpath("__init__.py").read_text(encoding="utf-8")).body
    others = [
        ast.unparse(node)
        for node in body
        if not isinstance(node, (ast.Expr, ast.Import, ast.ImportFrom))
    ]
    assert [line for line in others if not line.startswith("__all__ = ")] == []


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("sessions/*.py")), ids=name_of)
def test_session_reads_nothing_private_of_the_websocket(path: Path) -> None:
    assert find_private_reads(path.read_text(encoding="utf-8")) == []


# The checks above say nothing if they see nothing: each has to catch what it is for.


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("events", "from .protocol.response import Response"),
        ("status", "from .errors import WebSocketError"),
        ("protocol.mask", "from .frame import append_frame"),
        ("protocol.mask", "from . import frame"),
        ("protocol.stream", "from ..websocket import WebSocket"),
        ("protocol.stream", "def late():\n    import greenws.client"),
        ("sessions.session", "if TYPE_CHECKING:\n    from ..websocket import WebSocket"),
        ("sessions.transport", "from .. import websocket"),
        ("sessions.transport", "from greenws import WebSocket"),
        ("backoff", "from .client import Client"),
        ("client", "from .client import Client"),
        ("errors", "from .nowhere import anything"),
    ],
)
def test_bad_edge_is_found(name: str, source: str) -> None:
    assert len(find_bad_edges(source, name)) == 1


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("events", "if TYPE_CHECKING:\n    from .protocol.response import Response"),
        ("errors", "from .status import Status"),
        ("protocol.stream", "from .. import errors, events\nfrom .mask import mask"),
        ("sessions.session", "from ..protocol.stream import Stream\nfrom .dial import dial"),
        ("client", "from . import errors\nfrom .websocket import WebSocket"),
    ],
)
def test_good_edge_is_let_through(name: str, source: str) -> None:
    assert find_bad_edges(source, name) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("events", "import gevent"),
        ("url", "import certifi"),
        ("protocol.stream", "import _socket"),
        ("protocol.mask", "import threading"),
        ("protocol.compression", "from time import time"),
        ("proxies.socks", "import socket"),
        ("proxies.address", "from urllib.request import getproxies"),
        ("websocket", "import ssl"),
        ("websocket", "from gevent import sleep"),
        ("persist", "from gevent import socket"),
        ("client", "from gevent.hub import get_hub"),
        ("client", "import gevent\n\n\ndef f():\n    gevent.get_hub()"),
        ("client", "from gevent import get_hub"),
        ("cli", "from gevent import monkey"),
        ("sessions.session", "from gevent.monkey import patch_all"),
        ("", "import gevent.socket"),
    ],
)
def test_forbidden_import_is_found(name: str, source: str) -> None:
    assert [item for item in read_imports(source, name) if why_forbidden(name, item)]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("protocol.mask", "import os"),
        ("proxies.socks", "import socks"),
        ("sessions.transport", "import _socket\nfrom gevent.hub import get_hub"),
        ("websocket", "if TYPE_CHECKING:\n    import ssl"),
        ("client", "import gevent\nfrom gevent.event import Event\n\ngevent.sleep(0)"),
        ("client", "from gevent import Greenlet, Timeout"),
        ("testing", "import ssl\nfrom gevent.server import StreamServer"),
    ],
)
def test_permitted_import_is_let_through(name: str, source: str) -> None:
    assert not [item for item in read_imports(source, name) if why_forbidden(name, item)]


def test_private_read_is_found() -> None:
    assert find_private_reads("self._websocket._state\nwebsocket._stream = 1") != []
    assert find_private_reads("self.websocket._emit_trace('x')\nself._state") == []


# What a fresh ``import greenws`` does to the process.

FRESH_IMPORT = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import gevent, gevent.event, gevent.socket, gevent.ssl
middle = time.perf_counter()
import greenws
end = time.perf_counter()
import gc, ssl
print(json.dumps({
    "modules": sorted(set(sys.modules) - before),
    "patched": sorted(getattr(sys.modules.get("gevent.monkey"), "saved", {})),
    "contexts": sum(isinstance(found, ssl.SSLContext) for found in gc.get_objects()),
    "ratio": (end - middle) / (middle - start),
}))
"""

# Slow to import, and needed by nobody who only opens a connection.
HEAVY = {
    "argparse",
    "asyncio",
    "concurrent.futures",
    "email.message",
    "email.parser",
    "greenws.cli",
    "greenws.testing",
    "http.client",
    "multiprocessing",
    "unittest",
    "urllib.request",
    "xml",
}


def test_import_patches_nothing_and_stays_light(record_property: object) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FRESH_IMPORT], cwd=ROOT, capture_output=True, check=True, timeout=30
    )
    facts = json.loads(run.stdout)
    assert callable(record_property)
    # Time of importing greenws by that of importing gevent: for the report, not a limit.
    record_property("import_time_ratio", round(facts["ratio"], 2))
    assert facts["patched"] == []
    assert facts["contexts"] == 0
    assert HEAVY.intersection(facts["modules"]) == set()
