"""Counters of groups for Prometheus: ``python examples/observability/metrics.py [URL]``.

The URL is that of an echo server. Without a URL, the script starts an echo server. It serves
``/metrics`` on a free port, as a program would on a fixed one, asks itself once, and ends.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack

from gevent import socket
from gevent.pywsgi import WSGIServer
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import greenws
from greenws.testing import EchoServer

STATES = ("connecting", "ready", "waiting")
OUTCOMES = ("ended", "failed")


class GroupCollector(Collector):  # type: ignore[misc]  # the package may be missing
    """Reads the counters of groups when Prometheus asks for them; costs nothing before.

    :param groups: the groups, each by the value of its label ``group``.
    """

    def __init__(self, **groups: greenws.ClientGroup) -> None:
        self.groups = groups

    def collect(self) -> Iterator[Metric]:
        clients = GaugeMetricFamily(
            "greenws_clients", "Clients that run, by what they do.", labels=["group", "state"]
        )
        ended = CounterMetricFamily(
            "greenws_clients_ended", "Clients that have ended.", labels=["group", "outcome"]
        )
        opened = CounterMetricFamily(
            "greenws_connections_opened", "Connections that became ready.", labels=["group"]
        )
        reconnects = CounterMetricFamily(
            "greenws_reconnects", "Those that were not the first of a client.", labels=["group"]
        )
        messages = CounterMetricFamily(
            "greenws_messages", "Text and binary messages.", labels=["group", "direction"]
        )
        octets = CounterMetricFamily(
            "greenws_bytes", "Bytes before encryption.", labels=["group", "direction"]
        )
        for name, group in self.groups.items():
            stats = group.stats()
            for state in STATES:
                clients.add_metric([name, state], stats[state])
            for outcome in OUTCOMES:
                ended.add_metric([name, outcome], stats[outcome])
            opened.add_metric([name], stats["opened"])
            reconnects.add_metric([name], stats["reconnects"])
            for direction in ("sent", "received"):
                messages.add_metric([name, direction], stats[f"messages_{direction}"])
                octets.add_metric([name, direction], stats[f"bytes_{direction}"])
        yield from (clients, ended, opened, reconnects, messages, octets)


def fetch(address: tuple[str, int]) -> str:
    with socket.create_connection(address) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(4096), b"")).decode()


def run(url: str) -> None:
    registry = CollectorRegistry()
    with greenws.ClientGroup() as feeds, greenws.ClientGroup() as orders:
        registry.register(GroupCollector(feeds=feeds, orders=orders))
        web = WSGIServer(("127.0.0.1", 0), make_wsgi_app(registry), log=None)
        web.start()
        try:
            clients = [feeds.add(greenws.Client(url)) for _ in range(10)]
            feeds.wait_ready(timeout=10)
            for client in clients:
                client.request("hello", match=lambda event: True, timeout=10)
            print(fetch(web.socket.getsockname()))
        finally:
            web.stop()


if __name__ == "__main__":
    with ExitStack() as stack:
        run(sys.argv[1] if len(sys.argv) > 1 else stack.enter_context(EchoServer()).url)
