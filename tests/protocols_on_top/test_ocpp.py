"""A charge point by the package ocpp, with a central system of ocpp's own."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from greenws.testing import EchoServer, ServerConnection
from tests.protocols_on_top.programs import (
    Server,
    load_example,
    need,
    run_example,
    run_example_server,
)
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need("ocpp", "websockets")
    with run_example_server(tmp_path_factory.mktemp("ocpp"), "central_system.py") as server:
        yield server


@pytest.fixture(scope="module")
def example(server: Server) -> ModuleType:
    return load_example("charge_point")


def start(example: ModuleType, url: str) -> Any:
    client = example.ChargePoint(url, reconnect=False, proxies={}).start()
    assert client.wait_ready(PATIENCE)
    return client


def test_example_charges_when_the_central_system_says_so(server: Server) -> None:
    assert run_example("charge_point", server.url + "/box-1") == ["boot: Accepted"]
    server.wait_line("gone: 1000")
    told = [line for line in server.read_lines() if line.startswith("box-1")]
    assert sorted(told) == [
        "box-1: Model 1 has booted",
        "box-1: remote start Accepted",
        "box-1: transaction 7 ended at 1500 Wh",
    ]


def test_errors_of_either_side_are_told_to_the_other(server: Server, example: ModuleType) -> None:
    from ocpp import exceptions
    from ocpp.v16 import call

    client = start(example, f"{server.url}/box-2")
    with pytest.raises(exceptions.ProtocolError):  # found here, before anything is sent
        client.call(call.BootNotification("Model 1", None))
    with pytest.raises(exceptions.NotImplementedError):  # the central system has no such handler
        client.call(call.Authorize("card-1"))
    assert client.call(call.BootNotification("Model 1", "greenws")).status == "Accepted"
    assert client.call(call.Heartbeat()).current_time
    server.wait_line("box-2: remote start refused: NotSupportedError")
    client.close()
    client.join(PATIENCE)


def test_call_that_breaks_its_schema_is_answered_with_an_error(example: ModuleType) -> None:
    def ask(connection: ServerConnection) -> None:
        connection.send('[2, "1", "RemoteStartTransaction", {}]')
        connection.send('[3, "nobody has asked", {}]')
        connection.receive()

    with EchoServer(ask) as server:
        client = start(example, server.url)
        client.join(PATIENCE)
        (answer,) = server.messages
    assert '[4,"1","ProtocolError"' in answer
