"""SOCKS through microsocks, dante and ``ssh -D``."""

from __future__ import annotations

import json

import pytest

from tests.network.conftest import Visit
from tests.support.loopback import closed_port
from tests.support.programs import PASSWORD, USER, Certificates, Nginx, needs_ipv6
from tests.support.servers import ForeignServer


@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize(
    ("socks", "scheme", "host"),
    [
        ("microsocks", "socks5", "localhost"),
        ("microsocks", "socks5h", "localhost"),
        ("dante", "socks4", "localhost"),
        ("dante", "socks4a", "127.0.0.1"),  # dante takes SOCKS 4a's 0.0.0.1 for an address
        ("dante", "socks5", "localhost"),
        ("dante", "socks5h", "localhost"),
        ("ssh", "socks4", "localhost"),
        ("ssh", "socks4a", "localhost"),
        ("ssh", "socks5", "localhost"),
        ("ssh", "socks5h", "localhost"),
    ],
    indirect=["socks"],
)
def test_tunnel_stands_through_each_proxy(
    go: Visit,
    nginx: Nginx,
    certificates: Certificates,
    socks: int,
    scheme: str,
    host: str,
    is_secure: bool,
) -> None:
    url = f"wss://{host}:{nginx.tls}/" if is_secure else f"ws://{host}:{nginx.plain}/"
    sends = ["hello", "x" * 100_000]
    proxies = {"all": f"{scheme}://127.0.0.1:{socks}"}
    report = go(url, ssl_cafile=certificates.cafile, proxies=proxies, sends=sends)
    assert report["texts"] == sends
    assert report["proxy"] == proxies["all"]
    steps = [r["stage"] for r in report["trace"] if "duration" in r]
    assert steps == ["resolve", "connect", "proxy", *["tls"] * is_secure, "upgrade", "close"]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_credentials_are_sent_and_hidden(
    go: Visit, echo: ForeignServer, microsocks_with_users: int, scheme: str
) -> None:
    place = f"127.0.0.1:{microsocks_with_users}"
    report = go(echo.url, proxies={"http": f"{scheme}://{USER}:{PASSWORD}@{place}"})
    assert report["texts"] == ["hello"]
    assert PASSWORD not in json.dumps(report)


@pytest.mark.parametrize("userinfo", ["", f"{USER}:s3cret@"])
def test_refused_credentials_are_a_proxy_fail(
    go: Visit, echo: ForeignServer, microsocks_with_users: int, userinfo: str
) -> None:
    place = f"127.0.0.1:{microsocks_with_users}"
    report = go(echo.url, proxies={"http": f"socks5h://{userinfo}{place}"})
    assert report["error"] == "ProxyFail"
    assert f"proxy socks5h://{place} refused the authentication: " in report["reason"]
    assert "s3cret" not in json.dumps(report)


@pytest.mark.parametrize(
    ("socks", "scheme", "reply", "code"),
    [
        ("microsocks", "socks5", "Connection refused (0x05)", 5),
        ("dante", "socks5", "Connection refused (0x05)", 5),
        ("dante", "socks4", "Request rejected or failed (0x5b)", 0x5B),
    ],
    indirect=["socks"],
)
def test_target_out_of_reach_has_the_reply_of_the_proxy(
    go: Visit, socks: int, scheme: str, reply: str, code: int
) -> None:
    proxy = f"{scheme}://127.0.0.1:{socks}"
    report = go(f"ws://127.0.0.1:{closed_port()}/", proxies={"all": proxy})
    assert report["reason"] == f"proxy {proxy} refused the tunnel: {reply}"
    assert (report["error"], report["socks_code"]) == ("ProxyFail", code)


def test_target_out_of_reach_of_ssh_breaks_off(go: Visit, ssh: int) -> None:
    """ssh closes the connection without a SOCKS reply."""
    proxy = f"socks4a://127.0.0.1:{ssh}"
    report = go(f"ws://127.0.0.1:{closed_port()}/", proxies={"all": proxy})
    assert report["reason"].startswith(f"proxy {proxy}: ")
    assert (report["error"], report["socks_code"]) == ("ProxyFail", None)


@pytest.mark.parametrize(
    ("scheme", "reply"),
    [("socks4a", "Request rejected or failed"), ("socks5", "Connection not allowed by ruleset")],
)
def test_target_the_proxy_forbids_is_refused(
    go: Visit, dante: int, scheme: str, reply: str
) -> None:
    report = go("ws://127.0.0.1:9/", proxies={"all": f"{scheme}://127.0.0.1:{dante}"})
    assert f"refused the tunnel: {reply}" in report["reason"]


@pytest.mark.parametrize(
    ("scheme", "is_ours"), [("socks5", True), ("socks5h", False), ("socks4", True)]
)
def test_scheme_decides_who_resolves(go: Visit, ssh: int, scheme: str, is_ours: bool) -> None:
    report = go("ws://nohost.invalid/", proxies={"all": f"{scheme}://127.0.0.1:{ssh}"})
    assert ("unable to resolve 'nohost.invalid'" in report["reason"]) is is_ours
    assert "connect_fail" in report["events"]


@needs_ipv6
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_ipv6_target_is_reached(go: Visit, nginx: Nginx, ssh: int, scheme: str) -> None:
    report = go(f"ws://[::1]:{nginx.plain}/", proxies={"all": f"{scheme}://127.0.0.1:{ssh}"})
    assert report["texts"] == ["hello"]


def test_environment_names_the_proxy(go: Visit, echo: ForeignServer, microsocks: int) -> None:
    report = go(echo.url, environment={"ALL_PROXY": f"socks5h://127.0.0.1:{microsocks}"})
    assert report["texts"] == ["hello"]
    assert report["proxy"] == f"socks5h://127.0.0.1:{microsocks}"
