"""Checks of a SOCKS request before it is made; test_tunnel.py in sessions/ has the negotiation."""

from __future__ import annotations

import pytest

from greenws.errors import ProxyFail
from greenws.proxies.address import ProxyAddress
from greenws.proxies.socks import check, octet


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255])
def test_octet_is_one_byte(number: int) -> None:
    assert octet(number).encode() == bytes((number,))


def test_fields_at_the_limit_are_taken() -> None:
    check(ProxyAddress("socks5h", "p", 1, b"u" * 255, b"p" * 255), "h" * 255)
    check(ProxyAddress("socks4", "p", 1, b"u" * 999), "10.0.0.1")
    check(ProxyAddress("socks4a", "p", 1), "::1")


@pytest.mark.parametrize(
    ("proxy", "host", "fault"),
    [
        (
            ProxyAddress("socks5", "p", 1, b"u" * 256, b"p"),
            "h",
            "user name is at most 255 bytes long",
        ),
        (
            ProxyAddress("socks5", "p", 1, b"u", b"p" * 256),
            "h",
            "password is at most 255 bytes long",
        ),
        (ProxyAddress("socks5h", "p", 1), "h" * 256, "host name is at most 255 bytes long"),
        (ProxyAddress("socks4", "p", 1, b"a\0b"), "h", "cannot contain a NUL"),
        (ProxyAddress("socks4", "p", 1), "::1", "cannot reach the IPv6 address ::1"),
    ],
)
def test_fields_beyond_the_protocol_are_refused(proxy: ProxyAddress, host: str, fault: str) -> None:
    with pytest.raises(ProxyFail, match=fault) as caught:
        check(proxy, host)
    assert str(caught.value).startswith(f"proxy {proxy.redacted}: ")
    assert "uuu" not in str(caught.value)
    assert "ppp" not in str(caught.value)
