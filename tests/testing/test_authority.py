"""The authority of servers with TLS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import greenws
from greenws.testing import Authority, EchoServer


def test_a_client_that_trusts_the_file_is_content(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert repr(authority) == f"<Authority {authority.cafile}>"
    with EchoServer(ssl_context=authority.server_context()) as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            with greenws.connect(url, ssl_cafile=authority.cafile) as connection:
                connection.send("hello")
                assert connection.receive(5) == "hello"
        with pytest.raises(greenws.errors.ConnectFail, match="unknown issuer"):
            greenws.connect(server.url)


def test_a_certificate_may_be_for_another_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with EchoServer(ssl_context=authority.server_context("example.org")) as server:
        with pytest.raises(greenws.errors.ConnectFail, match="another host"):
            greenws.connect(server.url, ssl_cafile=authority.cafile)
        with greenws.connect(
            server.url, ssl_cafile=authority.cafile, server_hostname="example.org"
        ) as connection:
            assert connection.is_open


def test_without_trustme_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    with pytest.raises(ImportError, match=r"pip install 'greenws\[pytest\]'"):
        Authority(tmp_path)
