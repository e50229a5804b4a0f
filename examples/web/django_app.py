"""The views under Django, and all else that a project of Django's needs, in one file."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path
from feed import STREAM_HEADERS, feed


def health(request: HttpRequest) -> HttpResponseBase:
    status, facts = feed.health()
    return JsonResponse(facts, status=status)


def quote(request: HttpRequest, symbol: str) -> HttpResponseBase:
    status, answer = feed.quote(symbol)
    return JsonResponse(answer, status=status)


def events(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(
        feed.stream(), content_type="text/event-stream", headers=STREAM_HEADERS
    )


urlpatterns = [path("health", health), path("quote/<str:symbol>", quote), path("events", events)]

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
app = get_wsgi_application()
