"""What a person can type in place of a message."""

from __future__ import annotations

import pytest

from greenws.cli.orders import WORDS, BadOrder, Close, Help, Message, Order, Ping, parse_order


@pytest.mark.parametrize(
    ("line", "order"),
    [
        ("hello", Message("hello")),
        ("", Message("")),
        (" /ping", Message(" /ping")),
        ("//ping", Message("/ping")),
        ("/binary 01 fF", Message(b"\x01\xff")),
        ("/binary 01ff ", Message(b"\x01\xff")),
        ("/ping", Ping()),
        ("/help ", Help()),
        ("/close", Close()),
        ("/close 4000", Close(4000)),
        ("/close 1000  so long, and thanks ", Close(1000, "so long, and thanks")),
    ],
)
def test_line_is_an_order(line: str, order: Order) -> None:
    assert parse_order(line) == order


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("/pong", "there is no /pong; /help shows what there is, and //pong sends it"),
        ("/ping pong", "/ping takes nothing more: 'pong'"),
        ("/binary", "/binary needs bytes in hexadecimal: /binary 01 ff"),
        ("/binary xyz", "bytes must be hexadecimal, such as 01ff: 'xyz'"),
        ("/binary 0", "bytes must be hexadecimal, such as 01ff: '0'"),
        ("/binary " + "x" * 50, f"bytes must be hexadecimal, such as 01ff: '{'x' * 40}...'"),
        ("/ping\nmore", "/ping takes nothing more: 'more'"),
        ("/close bye", "/close takes a code before a reason: /close 1000 bye"),
        ("/close 1005", "1005"),
        ("/close 99999", "99999"),
        ("/close 123456", "/close takes a code before a reason"),
        ("/close 1000 " + "ü" * 62, "123"),
    ],
)
def test_order_that_is_none_is_told(line: str, complaint: str) -> None:
    with pytest.raises(BadOrder) as caught:
        parse_order(line)
    assert complaint in str(caught.value)


def test_lines_may_be_binary() -> None:
    assert parse_order("01 ff", is_binary=True) == Message(b"\x01\xff")
    assert parse_order("/ping", is_binary=True) == Ping()
    with pytest.raises(BadOrder):
        parse_order("hello", is_binary=True)


def test_help_has_all_orders() -> None:
    said = "\n".join(Help().lines)
    assert all(word in said for word in WORDS)
