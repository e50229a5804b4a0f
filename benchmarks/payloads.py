"""The payloads, which are the same bytes for every peer."""

from __future__ import annotations

import json
from random import Random

#: The number of different JSON messages that are sent in turn over a connection that deflates.
JSON_COUNT = 64
#: The approximate size of a JSON message, in bytes.
JSON_SIZE = 1024


def text_of(size: int) -> str:
    """Return ASCII text of ``size`` bytes."""
    line = '{"symbol":"EURUSD","bid":1.08451,"ask":1.08455,"time":1733404800}'
    return (line * (size // len(line) + 1))[:size]


def data_of(size: int) -> bytes:
    """Return ``size`` bytes that do not compress."""
    return Random(size).randbytes(size)


def json_texts() -> list[str]:
    """Return JSON messages like those of a feed: similar ticks with random numbers."""
    random = Random(1)
    return [_json_text(random, number) for number in range(JSON_COUNT)]


def joined_json(size: int) -> str:
    """Return a JSON message of at least ``size`` bytes, of the same ticks."""
    texts = json_texts()
    count = size // JSON_SIZE + 1
    return "[" + ",".join((texts * (count // len(texts) + 1))[:count]) + "]"


def _json_text(random: Random, number: int) -> str:
    ticks: list[dict[str, object]] = []
    size = 0
    while size < JSON_SIZE - 40:
        ticks.append(
            {
                "symbol": random.choice(["EURUSD", "GBPUSD", "USDJPY", "AUDNZD", "CHFSEK"]),
                "bid": round(random.uniform(0.5, 150), 5),
                "ask": round(random.uniform(0.5, 150), 5),
                "volume": random.randrange(10**6),
                "venue": f"{random.getrandbits(32):08x}",
            }
        )
        size = len(json.dumps({"sequence": number, "ticks": ticks}))
    return json.dumps({"sequence": number, "ticks": ticks})
