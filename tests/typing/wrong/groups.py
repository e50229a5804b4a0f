"""Wrong arguments of a group: each is an error on its own line."""

from __future__ import annotations

import greenws


def run(client: greenws.Client, connection: greenws.Connection) -> None:
    greenws.ClientGroup(100)  # error: call-arg
    greenws.ClientGroup(max_connecting="7")  # error: arg-type
    group = greenws.ClientGroup(rate="fast")  # error: arg-type
    group.start(client)  # error: arg-type
    group.add(connection)  # error: type-var
    group.add([client])  # error: type-var
    group.wait_ready("1")  # error: arg-type
    group.drain(reason=b"bytes")  # error: arg-type
    print(group.stats()["ready"].upper())  # error: attr-defined
