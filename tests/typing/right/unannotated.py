# mypy: allow-untyped-defs, allow-untyped-calls
"""The same without annotations, as a script is written."""

from __future__ import annotations

import greenws


class Ticker(greenws.Client):
    compress = True
    reconnect = True

    def headers(self):
        return {"X-Name": "one"}

    def trace(self, step):
        print(step)

    def on_ready(self, event):
        self.send_json(op="subscribe")

    def on_text(self, event):
        print(event.json["price"])

    def on_close(self, event):
        print(event.code, event.reason)


Ticker("wss://example.org/feed", ping_rate=5).run()
