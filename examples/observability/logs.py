"""The log as JSON, a line for each record: ``python examples/observability/logs.py [URL]``.

Without a URL, the script starts a server that refuses a connection, closes one, and then refuses
every one.
"""

from __future__ import annotations

import json
import logging
import sys

import greenws
from greenws.testing import EchoServer, accept, close_with, in_turn, reject

FIELDS = ("url", "connection", "code")


class JsonFormatter(logging.Formatter):
    """Makes an object of each record, with the fields that the record has."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        found = vars(record)  # other libraries have no such fields
        line.update({name: found[name] for name in FIELDS if found.get(name) is not None})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Feed(greenws.Client):
    reconnect = greenws.Backoff(min_wait=0.01, max_tries=3)

    def on_close(self, event: greenws.events.Disconnected) -> None:
        fields = self.websocket.log_fields(event.code)
        logging.getLogger("feed").warning("lost: %s", event.reason, extra=fields)


if __name__ == "__main__":
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if len(sys.argv) > 1:
        Feed(sys.argv[1]).run()
    else:
        opening = in_turn(reject(503, "Busy"), accept, reject(403))
        with EchoServer(close_with(4000, "enough"), opening=opening) as server:
            Feed(f"{server.url}feed?token=secret").run()
