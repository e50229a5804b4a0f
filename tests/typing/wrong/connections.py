"""Wrong arguments of a connection: each is an error on its own line."""

from __future__ import annotations

import greenws


def talk(url: str) -> None:
    greenws.connect(url, poll=1)  # error: call-arg
    greenws.connect(url, max_queue="3")  # error: arg-type
    connection = greenws.connect(url)
    connection.send(5)  # error: arg-type
    connection.send_stream([1])  # error: arg-type
    connection.receive("1")  # error: arg-type
    connection.request("x", "match")  # error: arg-type
    connection.request("x", key=[])  # error: arg-type
    connection.close("1000")  # error: arg-type
    print(connection.receive().upper().split("x"))  # error: arg-type
