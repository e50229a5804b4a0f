"""A charge point that speaks OCPP 1.6 by the package ``ocpp``: ``python charge_point.py URL``.

The URL is that of ``servers/central_system.py``, with the name of the charge point as its path.
"""

from __future__ import annotations

import sys
import uuid
from datetime import datetime, timezone
from typing import Any

import gevent
from gevent.lock import Semaphore
from ocpp import charge_point as casing
from ocpp import messages
from ocpp.exceptions import NotSupportedError
from ocpp.messages import Call, CallError, CallResult
from ocpp.routing import create_route_map, on
from ocpp.v16 import call, call_result

import greenws

messages.ASYNC_VALIDATION = False  # then validate_payload() waits for nothing


class ChargePoint(greenws.Client):
    """Calls the central system, and answers its calls by methods that have ``@on(action)``."""

    protocols = ("ocpp1.6",)
    reconnect = True

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._routes = create_route_map(self)
        self._turn = Semaphore()  # a call waits until the one before has its answer, says OCPP

    def call(self, payload: Any, timeout: float = 30) -> Any:
        """Call the central system; ``payload`` and the result are dataclasses of ``ocpp.v16``."""
        message = Call(str(uuid.uuid4()), type(payload).__name__, build(payload))
        with self._turn:
            reply = self.request(encode(message), key=message.unique_id, timeout=timeout)
        answer = messages.unpack(reply.message)
        if isinstance(answer, CallError):
            raise answer.to_exception()
        answer.action = message.action
        encode(answer)  # checks it
        return getattr(call_result, message.action)(**casing.camel_to_snake_case(answer.payload))

    def reply_key(self, event: greenws.events.AnyMessage) -> Any:
        return None if event.json[0] == Call.message_type_id else event.json[1]

    def on_text(self, event: greenws.events.Text) -> None:
        message = messages.unpack(event.text)
        if isinstance(message, Call):  # and not an answer that came too late
            try:
                encode(message)  # checks it
                if message.action not in self._routes:
                    raise NotSupportedError
                answer = self._routes[message.action]["_on_action"]
                payload = build(answer(**casing.camel_to_snake_case(message.payload)))
                reply = encode(message.create_call_result(payload))
            except Exception as error:
                reply = messages.pack(message.create_call_error(error))
            self.send_text(reply)


def build(payload: Any) -> Any:
    return casing.snake_to_camel_case(casing.remove_nones(casing.serialize_as_dict(payload)))


def encode(message: Call | CallResult) -> Any:
    """Return a message as text; raise an error if it breaks its schema."""
    for _ in messages.validate_payload(message, "1.6").__await__():
        pass
    return messages.pack(message)


class Demo(ChargePoint):
    def on_ready(self, event: greenws.events.Ready) -> None:
        gevent.spawn(self.boot)  # a handler cannot wait for an answer

    def boot(self) -> None:
        print("boot:", self.call(call.BootNotification("Model 1", "greenws")).status)

    @on("RemoteStartTransaction")  # type: ignore[untyped-decorator]
    def begin(self, id_tag: str, **more: Any) -> call_result.RemoteStartTransaction:
        gevent.spawn(self.charge, id_tag)
        return call_result.RemoteStartTransaction("Accepted")

    def charge(self, id_tag: str) -> None:
        now = datetime.now(timezone.utc).isoformat()
        number = self.call(call.StartTransaction(1, id_tag, 1000, now)).transaction_id
        self.call(call.StopTransaction(1500, now, number))
        self.close()


if __name__ == "__main__":
    Demo(sys.argv[1]).run()
