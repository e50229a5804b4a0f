# pyright: reportUnnecessaryComparison=true
"""Wrong use of a WebSocket and of its events: each is an error on its own line."""

from __future__ import annotations

import greenws
from greenws import events

websocket = greenws.WebSocket("ws://example.org/")

greenws.WebSocket()  # error: call-arg
greenws.WebSocket("ws://example.org/", pingrate=5)  # error: call-arg
greenws.WebSocket("ws://example.org/", compress="yes")  # error: arg-type
greenws.WebSocket("ws://example.org/", compress={"levle": 1})  # error: arg-type
greenws.WebSocket("ws://example.org/", compress={"level": "1"})  # error: arg-type
greenws.WebSocket("ws://example.org/", headers={"X-Count": 1})  # error: arg-type
greenws.WebSocket("ws://example.org/", trace=lambda: None)  # error: arg-type, misc
websocket.connect(pingrate=5)  # error: call-arg
websocket.connect(ping_rate="5")  # error: arg-type
websocket.connect(auto_pong=None)  # error: arg-type
websocket.send_text(b"text")  # error: arg-type
websocket.send_binary("binary")  # error: arg-type
websocket.send_ping("ping")  # error: arg-type
websocket.add_header("X-Name", b"one")  # error: arg-type
websocket.close("1000")  # error: arg-type
websocket.session.close()  # error: union-attr
greenws.persist(websocket, session=greenws.GeventSession)  # error: call-arg
greenws.persist(websocket, auto_pong="no")  # error: arg-type
greenws.persist("ws://example.org/")  # error: arg-type

for event in websocket:
    print(event.text)  # error: union-attr
    if event.name == "txt":  # error: comparison-overlap
        pass
    if event.name == "text":
        print(event.tex)  # error: attr-defined
        print(event.data)  # error: attr-defined
    if isinstance(event, events.Closing):
        print(event.code + 1)  # error: operator
    if event.name == "binary":
        print(event.data.encode())  # error: attr-defined

for lasting in greenws.persist(websocket):
    if lasting.name == "back_off":
        print(lasting.delay.upper())  # error: attr-defined
