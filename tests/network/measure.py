"""Figures of the network layer: ``python -m tests.network.measure [--patched]``.

They are the CPU time of a connect with and without TLS resumption, against nginx, and the time to
connect when the first address of a name is dead. Nothing is asserted.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and "--patched" in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import _socket
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import trustme

import greenws
from greenws.sessions import tls
from tests.support.dialing import DialOptions, dial
from tests.support.programs import Certificates, Nginx
from tests.support.servers import ForeignServer

CONNECTS = 200
ROUNDS = 5


def report(what: str, figure: str) -> None:
    print(f"{what:<72} {figure}", flush=True)


@contextlib.contextmanager
def without_resumption() -> Iterator[None]:
    keeper_for = tls.keeper_for
    tls.keeper_for = lambda *_: None  # type: ignore[assignment]
    try:
        yield
    finally:
        tls.keeper_for = keeper_for


def dial_once(port: int, cafile: str) -> None:
    options = DialOptions("127.0.0.1", port, is_secure=True, ssl_cafile=cafile)
    dial(options)[0].close()


def converse_once(port: int, cafile: str) -> None:
    websocket = greenws.WebSocket(f"wss://127.0.0.1:{port}/", proxies={}, ssl_cafile=cafile)
    for event in websocket.connect(poll=0, ping_rate=0):
        if event.name == "ready":
            websocket.send_text("hello")
        elif event.name == "text":
            websocket.close()


def measure_cpu(function: Callable[[int, str], None], port: int, cafile: str) -> float:
    """Measure the CPU time of one call, milliseconds."""
    for _ in range(20):
        function(port, cafile)
    started = time.process_time()
    for _ in range(CONNECTS):
        function(port, cafile)
    return (time.process_time() - started) / CONNECTS * 1000


def use_rsa(certificates: Certificates) -> None:
    """Replace the certificates by RSA ones with an intermediate authority, as on the web."""
    root = trustme.CA(key_type=trustme.KeyType.RSA)
    leaf = root.create_child_ca(trustme.KeyType.RSA).issue_cert(
        "127.0.0.1", key_type=trustme.KeyType.RSA
    )
    root.cert_pem.write_to_path(certificates.cafile)
    leaf.private_key_and_cert_chain_pem.write_to_path(certificates.server)


def measure_resumption(kind: str, nginx: Nginx, certificates: Certificates) -> None:
    cafile = certificates.cafile
    for front, version in (("tls", "TLS 1.3"), ("tls12", "TLS 1.2")):
        port = nginx.ports[front]
        # Tickets of TLS 1.3 follow the handshake, so the first visit has to be a whole one.
        converse_once(port, cafile)
        for name, function in (("dial", dial_once), ("connect, echo, close", converse_once)):
            full, resumed = [], []
            for _ in range(ROUNDS):  # alternating, as the speed of the machine varies
                with without_resumption():
                    full.append(measure_cpu(function, port, cafile))
                resumed.append(measure_cpu(function, port, cafile))
            a, b = statistics.median(full), statistics.median(resumed)
            report(
                f"{kind}, {version}, {name}: CPU full / resumed",
                f"{a:.2f} ms / {b:.2f} ms = {a / b:.2f}",
            )


class Resolver:
    """Gives one name two addresses."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    def getaddrinfo(self, host: str, port: int, *_: Any) -> list[tuple[Any, ...]]:
        return [
            (_socket.AF_INET6, 1, 6, "", (address, port, 0, 0))
            if ":" in address
            else (_socket.AF_INET, 1, 6, "", (address, port))
            for address in self._addresses
        ]

    def close(self) -> None:
        pass


@contextlib.contextmanager
def dead(address: str, port: int) -> Iterator[None]:
    """Make an address that does not answer, as the queue of its listener is full."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    listener = _socket.socket(family, _socket.SOCK_STREAM)
    fillers = []
    try:
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(8):
            filler = _socket.socket(family, _socket.SOCK_STREAM)
            filler.setblocking(False)
            fillers.append(filler)
            filler.connect_ex((address, port))
        yield
    finally:
        for filler in fillers:
            filler.close()
        listener.close()


def measure_happy_eyeballs(nginx: Nginx) -> None:
    hub = gevent.get_hub()
    before = hub.resolver
    try:
        for addresses in (["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.1"]):
            hub.resolver = Resolver(addresses)
            with contextlib.ExitStack() as stack:
                if len(addresses) > 1:
                    stack.enter_context(dead(addresses[0], nginx.other))
                times = [time_to_ready(f"ws://two.addresses:{nginx.other}/") for _ in range(5)]
            what = "all alive" if len(addresses) == 1 else f"{addresses[0]} dead"
            times.sort()
            report(
                f"time to ready, {', '.join(addresses)} ({what})",
                f"{times[2] * 1000:.1f} ms ({times[0] * 1000:.1f} to {times[-1] * 1000:.1f})",
            )
    finally:
        hub.resolver = before


def time_to_ready(url: str) -> float:
    started = time.perf_counter()
    seconds = 0.0
    websocket = greenws.WebSocket(url, proxies={})
    for event in websocket:
        if event.name == "ready":
            seconds = time.perf_counter() - started
            websocket.close()
    assert seconds
    return seconds


def main() -> None:
    from gevent import monkey

    build = "compiled" if greenws.COMPILED else "pure Python"
    patched = "patched" if monkey.is_module_patched("socket") else "unpatched"
    print(f"greenws {greenws.__version__} ({build}), {patched}, Python {sys.version.split()[0]}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificates = Certificates(folder)
        echo = stack.enter_context(ForeignServer("websockets", folder))
        for kind in ("P-256", "RSA, intermediate"):
            if kind != "P-256":
                use_rsa(certificates)
            # The fronts of proxies get port 1, as nothing here uses them.
            with Nginx(folder, certificates, echo.port, (1, 1)).run() as nginx:
                measure_resumption(kind, nginx, certificates)
                if kind == "P-256":
                    measure_happy_eyeballs(nginx)


if __name__ == "__main__":
    main()
