"""What other systems lack: modules, signals, kinds of sockets."""

from __future__ import annotations

import sys

import pytest

from greenws.errors import ConnectFail
from greenws.sessions.sockets import connect_unix
from tests.support.run import run_script

LACKING = """
import os, signal, sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name in missing:
            raise ModuleNotFoundError(name, name=name)

missing = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
for name in missing:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Lacking())
everywhere = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
"""

NO_SIGNALS = """
for name in list(vars(signal)):
    # gevent itself asks for SIGCHLD wherever os.fork is.
    if name.startswith("SIG") and name.isalnum() and name not in everywhere | {"SIGCHLD"}:
        delattr(signal, name)
"""


@pytest.mark.parametrize("module", ["greenws", "greenws.cli", "greenws.testing"])
def test_module_is_imported_where_modules_and_signals_are_missing(module: str) -> None:
    said = run_script(f"""{LACKING}{NO_SIGNALS}
import {module}
print(sorted(missing & set(sys.modules)))
""")
    assert said == "[]\n"


def test_every_module_is_imported_where_a_system_lacks_much() -> None:
    # Taken away after gevent, which asks for some of it by itself.
    said = run_script(f"""
import _socket, pkgutil, select, socket
import gevent, gevent.monkey, gevent.os, gevent.server, gevent.ssl, gevent.subprocess, socks
{LACKING}{NO_SIGNALS}
for module, names in {{
    os: "fork register_at_fork sched_getaffinity getuid killpg setsid readv writev uname",
    select: "poll epoll kqueue",
    socket: "AF_UNIX MSG_NOSIGNAL MSG_DONTWAIT SO_REUSEPORT socketpair",
    _socket: "AF_UNIX MSG_NOSIGNAL MSG_DONTWAIT SO_REUSEPORT socketpair",
}}.items():
    for name in names.split():
        if name in vars(module):
            delattr(module, name)
import greenws
found = [m.name for m in pkgutil.walk_packages(greenws.__path__, "greenws.")
         if not m.name.startswith("greenws.locust") and m.name != "greenws.__main__"]
for name in found:
    __import__(name)
print(len(found) > 80, sorted(missing & set(sys.modules)))
""")
    assert said == "True []\n"


def test_commands_work_without_resource() -> None:
    said = run_script(f"""{LACKING}
from greenws.cli import main
from greenws.testing import EchoServer
with EchoServer() as server:
    print(main(["load", server.url, "-c2", "-n2"]))
    print(main(["load", "-c2", "-n2"]))
""")
    assert "messages    4 of 4 in " in said
    assert "memory" not in said
    # Here gevent cannot start a process without fcntl.
    assert said.endswith(" starts no process for an echo server: fcntl\n1\n")


def test_commands_work_without_unix_signals() -> None:
    said = run_script(f"""{LACKING}{NO_SIGNALS}
from greenws.cli import main
from greenws.testing import EchoServer
def serve(connection):
    connection.send("hello")
with EchoServer(serve) as server:
    print(main(["connect", server.url, "--wait=5"]))
""")
    assert "hello\n" in said
    assert said.endswith("\n0\n")


def test_unix_socket_on_windows_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ConnectFail, match="'/run/x': Python has no unix sockets on Windows"):
        connect_unix("/run/x")
