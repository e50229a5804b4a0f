"""The views under Flask."""

from __future__ import annotations

from feed import STREAM_HEADERS, feed
from flask import Flask, Response, jsonify
from flask.typing import ResponseReturnValue

app = Flask(__name__)


@app.get("/health")
def health() -> ResponseReturnValue:
    status, facts = feed.health()
    return jsonify(facts), status


@app.get("/quote/<symbol>")
def quote(symbol: str) -> ResponseReturnValue:
    status, answer = feed.quote(symbol)
    return jsonify(answer), status


@app.get("/events")
def events() -> ResponseReturnValue:
    return Response(feed.stream(), mimetype="text/event-stream", headers=STREAM_HEADERS)
