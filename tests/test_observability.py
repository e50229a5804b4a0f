"""docs/observability.rst: its programs, alone and with a server, and its tables."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from gevent import subprocess

import greenws
from greenws.testing import EchoServer, close_with, silent

ROOT = Path(__file__).parents[1]
PROGRAMS = ROOT / "examples" / "observability"
PAGE = ROOT.joinpath("docs", "observability.rst").read_text(encoding="utf-8")


def run(program: str, *arguments: str) -> list[str]:
    """Run a program, which must neither fail nor complain; return the lines that it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / program), *arguments],
        capture_output=True,
        timeout=30,
        env=environment,
        cwd="/",
    )
    assert done.stderr.decode() == ""
    assert done.returncode == 0
    return str(done.stdout.decode()).splitlines()


def read_metrics(lines: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in lines:
        if line.startswith("greenws_"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def test_counters_of_groups_are_scraped() -> None:
    pytest.importorskip("prometheus_client")
    with EchoServer() as server:
        metrics = read_metrics(run("metrics.py", server.url))
    assert metrics['greenws_clients{group="feeds",state="ready"}'] == 10
    assert metrics['greenws_clients{group="orders",state="ready"}'] == 0
    assert metrics['greenws_connections_opened_total{group="feeds"}'] == 10
    for direction in ("sent", "received"):
        labels = f'{{direction="{direction}",group="feeds"}}'
        assert metrics[f"greenws_messages_total{labels}"] == 10
        assert metrics[f"greenws_bytes_total{labels}"] > 500
    names = {re.split(r"[{ ]", name)[0] for name in metrics}
    assert names == set(re.findall(r"^``(greenws_\w+)``", PAGE, re.MULTILINE))
    # Each count of a group is one of them.
    assert len([name for name in metrics if "feeds" in name]) == len(greenws.ClientGroup().stats())


def test_metrics_are_shown_without_a_server() -> None:
    pytest.importorskip("prometheus_client")
    assert run("metrics.py")[0] == "HTTP/1.1 200 OK"


def test_openings_become_spans_with_their_steps() -> None:
    pytest.importorskip("opentelemetry.sdk")
    said, *lines = run("spans.py")
    assert said == "no connection: Websocket upgrade failed (code=503)"
    for found, status in ((lines[:5], "ERROR"), (lines[5:], "OK")):
        assert found == [
            "resolve, in websocket open: UNSET",
            "connect, in websocket open: UNSET",
            "upgrade, in websocket open: UNSET",
            f"websocket open, in job: {status}",
            "job, in nothing: UNSET",
        ]


@pytest.fixture
def spans() -> Any:
    """The module of the example."""
    pytest.importorskip("opentelemetry.sdk")
    spec = importlib.util.spec_from_file_location("spans", PROGRAMS / "spans.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_spans_of_many_connections_are_kept_apart(spans: Any) -> None:
    exporter = spans.InMemorySpanExporter()
    provider = spans.TracerProvider()
    provider.add_span_processor(spans.SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with EchoServer() as server:
        clients = [
            greenws.Client(server.url, trace=spans.OpeningSpans(tracer)).start() for _ in range(5)
        ]
        for client in clients:
            assert client.wait_ready(5)
            client.send_text("hello")
        server.wait_messages(5)
        for client in clients:
            client.close()
            client.join()
    opened = [span for span in exporter.get_finished_spans() if span.name == "websocket open"]
    assert len(opened) == 5
    for span in opened:
        steps = [
            step
            for step in exporter.get_finished_spans()
            if step.parent is not None and step.parent.span_id == span.context.span_id
        ]
        assert {step.name for step in steps} == {"resolve", "connect", "upgrade"}
        for step in steps:
            assert span.start_time <= step.end_time <= span.end_time
            assert step.start_time <= step.end_time
        assert span.attributes["url.full"] == server.url


def test_a_span_of_a_killed_opening_ends_too(spans: Any) -> None:
    exporter = spans.InMemorySpanExporter()
    provider = spans.TracerProvider()
    provider.add_span_processor(spans.SimpleSpanProcessor(exporter))
    trace = spans.OpeningSpans(provider.get_tracer("test"))
    with EchoServer(opening=silent) as server:
        client = greenws.Client(server.url, trace=trace).start()
        server.wait_for(lambda: server.connections)
        client.kill()
    (span,) = [span for span in exporter.get_finished_spans() if span.parent is None]
    assert (span.name, span.status.description) == ("websocket open", "abandoned")


def test_the_log_is_json_with_the_fields_of_its_records() -> None:
    first, second, third = map(json.loads, run("logs.py"))
    assert (first["code"], second["code"], third["code"]) == (503, 4000, 403)
    assert (second["logger"], second["message"]) == ("feed", "lost: enough")
    assert third["connection"] == second["connection"] + 1 == first["connection"] + 2
    assert first["url"] == second["url"] == third["url"]
    assert first["url"].endswith("/feed?token=...")


def test_the_log_of_a_server_that_closes() -> None:
    with EchoServer(close_with(4000, "no")) as server:
        lines = [json.loads(line) for line in run("logs.py", server.url)]
    assert {line["message"] for line in lines} == {"lost: no"}


def test_page_names_every_logger_and_every_program() -> None:
    source = "".join(
        path.read_text(encoding="utf-8") for path in Path(greenws.__path__[0]).rglob("*.py")
    )
    loggers = set(re.findall(r'^log: .* = logging\.getLogger\("(greenws\.\w+)"\)', source, re.M))
    assert loggers == set(re.findall(r"^``(greenws\.\w+)``  ", PAGE, re.MULTILINE))
    shown = re.findall(r"literalinclude:: \.\./examples/observability/(\S+)", PAGE)
    assert sorted(shown) == sorted(path.name for path in PROGRAMS.glob("*.py"))
