"""A central system for charge points, OCPP 1.6: ``python central_system.py [PORT]``.

It accepts every charge point, and starts a charge when one has booted.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timezone
from typing import Any

from ocpp.exceptions import OCPPError
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.datatypes import IdTagInfo
from ocpp.v16.enums import Action, AuthorizationStatus, RegistrationStatus
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol


def read_clock() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


class Station(ChargePoint):  # type: ignore[misc]  # ocpp has no annotations
    """The central system's side of one charge point."""

    @on(Action.boot_notification)  # type: ignore[untyped-decorator]
    def boot(self, charge_point_model: str, **more: Any) -> call_result.BootNotification:
        print(f"{self.id}: {charge_point_model} has booted", flush=True)
        accepted = RegistrationStatus.accepted
        return call_result.BootNotification(read_clock(), interval=300, status=accepted)

    @after(Action.boot_notification)  # type: ignore[untyped-decorator]
    async def start_charge(self, **more: Any) -> None:
        request = call.RemoteStartTransaction(id_tag="card-1", connector_id=1)
        try:
            answer = (await self.call(request, suppress=False)).status
        except OCPPError as error:
            answer = f"refused: {type(error).__name__}"
        print(f"{self.id}: remote start {answer}", flush=True)

    @on(Action.start_transaction)  # type: ignore[untyped-decorator]
    def begin(self, id_tag: str, meter_start: int, **more: Any) -> call_result.StartTransaction:
        accepted = IdTagInfo(status=AuthorizationStatus.accepted)
        return call_result.StartTransaction(transaction_id=7, id_tag_info=accepted)

    @on(Action.stop_transaction)  # type: ignore[untyped-decorator]
    def end(self, transaction_id: int, meter_stop: int, **more: Any) -> call_result.StopTransaction:
        print(f"{self.id}: transaction {transaction_id} ended at {meter_stop} Wh", flush=True)
        return call_result.StopTransaction()

    @on(Action.heartbeat)  # type: ignore[untyped-decorator]
    def beat(self) -> call_result.Heartbeat:
        return call_result.Heartbeat(current_time=read_clock())


async def attend(connection: ServerConnection) -> None:
    """Serve one charge point, whose name is the end of the path."""
    assert connection.request is not None
    try:
        await Station(connection.request.path.rpartition("/")[2], connection).start()
    except ConnectionClosed as end:
        print(f"gone: {end.rcvd.code if end.rcvd else 1006}", flush=True)


async def main(port: int) -> None:
    protocols = [Subprotocol("ocpp1.6")]
    async with serve(attend, "127.0.0.1", port, subprotocols=protocols) as server:
        (listener,) = server.sockets
        print(f"ws://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
