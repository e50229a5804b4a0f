"""The views under Pyramid."""

from __future__ import annotations

from feed import STREAM_HEADERS, feed
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response


def health(request: Request) -> Response:
    status, facts = feed.health()
    return Response(json=facts, status=status)


def quote(request: Request) -> Response:
    status, answer = feed.quote(request.matchdict["symbol"])
    return Response(json=answer, status=status)


def events(request: Request) -> Response:
    return Response(
        app_iter=feed.stream(),
        content_type="text/event-stream",
        headerlist=[("Content-Type", "text/event-stream"), *STREAM_HEADERS.items()],
    )


with Configurator() as config:
    for pattern, view in {"/health": health, "/quote/{symbol}": quote, "/events": events}.items():
        config.add_route(view.__name__, pattern)
        config.add_view(view, route_name=view.__name__)
    app = config.make_wsgi_app()
