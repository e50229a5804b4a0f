"""Traders that get ticks, and ask for quotes: a load test for Locust.

Run it with ``locust -f examples/locustfile.py --host wss://your.server``. docs/locust.rst has a
server for it.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count

from locust import between, task

from greenws import events
from greenws.locust import WebSocketUser


class Trader(WebSocketUser):
    wait_time = between(0.5, 1.5)
    open_timeout = 10  # any option of greenws.connect()

    def on_start(self) -> None:
        self.numbers = count(1)
        self.connect("/feed")
        self.send({"op": "subscribe", "channel": "ticks"}, name="subscribe")

    @task(3)
    def quote(self) -> None:
        number = next(self.numbers)
        with self.request(
            {"op": "quote", "id": number},
            name="quote",
            key=number,
            timeout=5,
            catch_response=True,
        ) as answer:
            if answer.json["price"] <= 0:
                answer.failure("no price")

    @task
    def visit(self) -> None:
        with self.connect("/hello", name="visit") as connection:
            connection.request("hello", timeout=5)

    def reply_key(self, event: events.Text | events.Binary) -> Hashable | None:
        return event.json.get("id") if event.name == "text" else None

    def on_text(self, event: events.Text) -> None:
        tick = event.json
        self.record("tick", since=tick["sent_at"], length=len(event.text))
