"""The messages of a load run: templates, payloads, and the keys of replies."""

from __future__ import annotations

import json
import zlib

import pytest

from greenws.cli.load.messages import Key, Messages, find_size, make_payload


def test_template_is_filled_in_and_other_braces_stay() -> None:
    messages = Messages(
        '{"id": {id}, "x": {"n": {n}}, "of": "{connection}", "100 %": {}}', 10, False
    )
    assert messages.fixed is None
    text = messages.build(3, 2)
    assert text == '{"id": 14, "x": {"n": 2}, "of": "4", "100 %": {}}'
    assert json.loads(text)


def test_no_two_messages_of_a_run_have_the_same_id() -> None:
    messages = Messages("{id}", 7, False)
    texts = {messages.build(connection, n) for connection in range(7) for n in range(1, 9)}
    assert texts == {str(number) for number in range(1, 57)}


@pytest.mark.parametrize(
    ("template", "is_binary", "message"),
    [
        ("100 % {x}", False, "100 % {x}"),
        ("zwölf", True, "zwölf".encode()),
        (b"\xff{n}%", False, b"\xff{n}%"),
    ],
)
def test_text_without_a_name_is_sent_as_it_is(
    template: str | bytes, is_binary: bool, message: str | bytes
) -> None:
    messages = Messages(template, 5, is_binary)
    assert messages.fixed == message
    assert messages.build(1, 1) == message


def test_template_may_become_binary_messages() -> None:
    assert Messages("ü{n}", 5, True).build(0, 3) == "ü3".encode()


def test_payload_has_its_size_and_does_not_compress() -> None:
    for size in (0, 1, 5000):
        payload = make_payload(size)
        assert len(payload) == size
        assert payload == make_payload(size)
    assert len(zlib.compress(payload.encode())) > 0.7 * size


def test_size_is_that_of_the_largest_in_bytes() -> None:
    assert find_size(["a", "ü", b"xyz"]) == 3


@pytest.mark.parametrize(
    ("path", "message", "value"),
    [
        ("id", '{"id": 7}', 7),
        ("id", b'{"id": "seven"}', "seven"),
        ("params.id", '{"params": {"id": 7}}', 7),
        ("params.id", '{"params": 7}', None),
        ("id", '{"id": [7]}', None),
        ("id", '{"id": {"a": 7}}', None),
        ("id", "{}", None),
        ("id", "[7]", None),
        ("id", "no JSON", None),
        ("id", b"\xff", None),
        pytest.param("id", "[" * 200_000, None, id="too deep"),
    ],
)
def test_key_is_found(path: str, message: str | bytes, value: object) -> None:
    assert Key(path).find(message) == value
