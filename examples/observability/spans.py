"""OpenTelemetry spans of openings: ``python examples/observability/spans.py [URL]``.

Without a URL, the script starts a server that refuses the first connection. A program would give
its provider an exporter that sends; this one keeps the spans, and prints their names.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

import greenws
from greenws.testing import EchoServer, accept, in_turn, reject

STEPS = {"resolve", "connect", "proxy", "tls", "upgrade"}
FAILURES = {"connect_fail", "handshake_rejected"}


class OpeningSpans:
    """For the option ``trace`` of one client: a span of each opening, with a child for each step.

    The parent of the span is the span that is current where the connection is opened.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._span: Span | None = None  # of the opening under way

    def __call__(self, record: dict[str, Any]) -> None:
        stage, span = record["stage"], self._span
        if stage == "connect_start":
            self._span = self._tracer.start_span(
                "websocket open", kind=SpanKind.CLIENT, attributes={"url.full": record["url"]}
            )
        elif span is None:
            return  # it is open: a message, say
        elif stage in STEPS:
            self._add_step(span, record)
        elif stage == "redirect":
            span.add_event("redirect", {"url.full": record["target"]})
        elif stage == "handshake_ready":
            self._end(span, StatusCode.OK)
        elif stage in FAILURES:
            self._end(span, StatusCode.ERROR, record["reason"])
        elif stage == "disconnected":  # it was killed
            self._end(span, StatusCode.ERROR, "abandoned")

    def _add_step(self, span: Span, record: dict[str, Any]) -> None:
        now = time.time_ns()
        step = self._tracer.start_span(
            record["stage"],
            context=set_span_in_context(span),
            start_time=now - int(record["duration"] * 1e9),
        )
        if "status_code" in record:
            step.set_attribute("http.response.status_code", record["status_code"])
        if "error" in record:
            step.set_status(StatusCode.ERROR, record["error"])
        step.end(now)

    def _end(self, span: Span, status: StatusCode, reason: str | None = None) -> None:
        self._span = None
        span.set_status(status, reason)
        span.end()


def run(url: str) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("feed")
    for _ in range(2):
        with tracer.start_as_current_span("job"):
            try:
                with greenws.connect(
                    url, trace=OpeningSpans(tracer), open_timeout=10
                ) as connection:
                    connection.send("hello")
            except greenws.errors.ConnectFail as error:
                print("no connection:", error)
    names = {span.context.span_id: span.name for span in exporter.get_finished_spans()}
    for span in exporter.get_finished_spans():
        parent = names[span.parent.span_id] if span.parent else "nothing"
        print(f"{span.name}, in {parent}: {span.status.status_code.name}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:
        with EchoServer(opening=in_turn(reject(503, "Busy"), accept)) as server:
            run(server.url)
