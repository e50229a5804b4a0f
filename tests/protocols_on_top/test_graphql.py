"""GraphQL by graphql-transport-ws, with the server of npm's graphql-ws."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from greenws.errors import WebSocketClosed
from tests.protocols_on_top.programs import (
    Server,
    load_example,
    need_node,
    run_example,
    run_example_server,
)
from tests.support.waiting import PATIENCE, wait_until

ADD = "query Add($left: Int!, $right: Int!) { add(left: $left, right: $right) }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    need_node("graphql-ws", "graphql", "ws")
    with run_example_server(tmp_path_factory.mktemp("graphql"), "graphql_server.js") as server:
        yield server


@pytest.fixture(scope="module")
def example(server: Server) -> ModuleType:
    return load_example("graphql_client")


@pytest.fixture
def client(server: Server, example: ModuleType) -> Iterator[Any]:
    client = example.GraphQL(server.url, proxies={})
    client.open(token="secret")
    yield client
    client.close()
    client.join(PATIENCE)


def test_example_prints_what_the_server_answers(server: Server) -> None:
    assert run_example("graphql_client", server.url) == [
        "2 + 3 = 5",
        "{'countdown': 3}",
        "{'countdown': 2}",
        "{'countdown': 1}",
        "{'countdown': 0}",
    ]


def test_wrong_token_is_told_with_the_close_code_of_the_server(
    server: Server, example: ModuleType
) -> None:
    client = example.GraphQL(server.url, proxies={})
    with pytest.raises(WebSocketClosed) as caught:
        client.open(token="another")
    assert (caught.value.code, caught.value.reason) == (4403, "Forbidden")
    client.join(PATIENCE)


def test_queries_go_on_beside_subscriptions(client: Any) -> None:
    ticks = [client.subscribe("subscription { ticks }") for _ in range(2)]
    for number in range(1, 6):
        assert [next(each) for each in ticks] == [{"ticks": number}] * 2
        assert client.query(ADD, left=number, right=1) == {"add": number + 1}


def test_subscription_that_is_left_ends_at_the_server(server: Server, client: Any) -> None:
    before = server.read_lines().count("ticks: unsubscribed")
    for result in client.subscribe("subscription { ticks }"):
        if result["ticks"] == 3:
            break
    while server.read_lines().count("ticks: unsubscribed") == before:
        assert client.query(ADD, left=1, right=1) == {"add": 2}
    assert client._subscriptions == {}


def test_subscriber_that_is_slow_loses_nothing(client: Any) -> None:
    results = client.subscribe("subscription { countdown(start: 500) }")
    assert next(results) == {"countdown": 500}
    wait_until(lambda: all(each.full() for each in client._subscriptions.values()))
    assert [result["countdown"] for result in results] == list(range(499, -1, -1))


def test_faulty_operations_raise_the_errors_of_the_server(client: Any, example: ModuleType) -> None:
    with pytest.raises(example.GraphQLError, match="Cannot query field"):
        client.query("{ nothing }")
    with pytest.raises(example.GraphQLError, match="Cannot query field"):
        next(client.subscribe("subscription { nothing }"))
    assert client.query(ADD, left=2, right=2) == {"add": 4}


def test_end_of_the_connection_ends_subscriptions_with_an_error(
    client: Any, example: ModuleType
) -> None:
    results = client.subscribe("subscription { ticks }")
    assert next(results) == {"ticks": 1}
    client.close(4000)
    with pytest.raises(example.GraphQLError, match="closed: 4000"):
        for _ in results:
            pass


def test_client_ends_although_a_subscriber_has_stopped_taking(client: Any) -> None:
    results = client.subscribe("subscription { countdown(start: 1000) }")
    next(results)
    wait_until(lambda: all(each.full() for each in client._subscriptions.values()))
    client.kill()
    assert not client.is_running
    results.close()
