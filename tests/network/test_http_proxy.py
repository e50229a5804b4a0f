"""CONNECT through tinyproxy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.network.conftest import Visit
from tests.support.loopback import closed_port
from tests.support.programs import PASSWORD, USER, Certificates, Nginx, needs_ipv6
from tests.support.servers import ForeignServer


def stages(report: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    return [record for record in report["trace"] if record["stage"] in names]


@pytest.mark.parametrize("way", ["client", "websocket"])
def test_plain_connection_goes_through_the_proxy(
    go: Visit, echo: ForeignServer, tinyproxy: int, way: str
) -> None:
    proxy = f"http://127.0.0.1:{tinyproxy}"
    report = go(echo.url, proxies={"http": proxy}, way=way, sends=["hello", "x" * 100_000])
    assert report["texts"] == ["hello", "x" * 100_000]
    assert report["events"] == ["connecting", "connected", "ready", "disconnected"]
    assert report["proxy"] == proxy
    (record,) = stages(report, "proxy")
    assert (record["proxy"], record["status_code"]) == (proxy, 200)


def test_tls_connection_goes_through_the_proxy(
    go: Visit, nginx: Nginx, certificates: Certificates, tinyproxy: int
) -> None:
    report = go(
        f"wss://localhost:{nginx.tls}/",
        ssl_cafile=certificates.cafile,
        proxies={"https": f"http://localhost:{tinyproxy}"},
    )
    assert report["texts"] == ["hello"]
    steps = stages(report, "resolve", "connect", "proxy", "tls")
    assert [step["stage"] for step in steps] == ["resolve", "connect", "proxy", "tls"]


@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
def test_credentials_are_sent_and_hidden(
    go: Visit,
    echo: ForeignServer,
    nginx: Nginx,
    certificates: Certificates,
    tinyproxy_with_users: int,
    is_secure: bool,
) -> None:
    url = f"wss://localhost:{nginx.tls}/" if is_secure else echo.url
    # A URL may percent-encode every character.
    password = "".join(f"%{ord(character):02x}" for character in PASSWORD)
    proxy = f"http://{USER}:{password}@127.0.0.1:{tinyproxy_with_users}"
    report = go(url, proxies={"all": proxy}, ssl_cafile=certificates.cafile)
    assert report["texts"] == ["hello"]
    assert report["proxy"] == f"http://127.0.0.1:{tinyproxy_with_users}"
    assert PASSWORD not in json.dumps(report)
    assert password not in json.dumps(report)


@pytest.mark.parametrize(("userinfo", "code"), [("", 407), (f"{USER}:s3cret@", 401)])
def test_refused_credentials_are_a_proxy_fail(
    go: Visit, echo: ForeignServer, tinyproxy_with_users: int, userinfo: str, code: int
) -> None:
    place = f"127.0.0.1:{tinyproxy_with_users}"
    report = go(echo.url, proxies={"http": f"http://{userinfo}{place}"})
    assert report["events"] == ["connecting", "connect_fail"]
    # The refusal is the proxy's. A refusal by the server would be a rejection.
    assert report["reason"].startswith(f"proxy http://{place} refused the tunnel: {code} ")
    assert (report["error"], report["status_code"]) == ("ProxyFail", code)
    assert "s3cret" not in json.dumps(report)


def test_target_out_of_reach_is_named(go: Visit, tinyproxy: int) -> None:
    report = go(f"ws://127.0.0.1:{closed_port()}/", proxies={"all": f"127.0.0.1:{tinyproxy}"})
    assert report["status_code"] in (500, 502, 503)
    assert "refused the tunnel: 50" in report["reason"]


def test_proxy_out_of_reach_is_named(go: Visit) -> None:
    port = closed_port()
    report = go("ws://localhost:1/", proxies={"http": f"http://127.0.0.1:{port}"})
    assert report["reason"] == (
        f"proxy http://127.0.0.1:{port}: unable to connect to 127.0.0.1:{port}: Connection refused"
    )


def test_name_the_proxy_cannot_resolve_is_refused(go: Visit, tinyproxy: int) -> None:
    report = go("ws://nohost.invalid/", proxies={"http": f"http://127.0.0.1:{tinyproxy}"})
    assert "refused the tunnel: 50" in report["reason"]


@pytest.mark.parametrize(
    "variable", ["http_proxy", "HTTP_PROXY", "ws_proxy", "ALL_PROXY", "all_proxy"]
)
def test_environment_names_the_proxy_of_ws(
    go: Visit, echo: ForeignServer, tinyproxy: int, variable: str
) -> None:
    report = go(echo.url, environment={variable: f"http://127.0.0.1:{tinyproxy}"})
    assert report["texts"] == ["hello"]
    assert report["proxy"] == f"http://127.0.0.1:{tinyproxy}"


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "WSS_PROXY", "all_proxy"])
def test_environment_names_the_proxy_of_wss(
    go: Visit, nginx: Nginx, certificates: Certificates, tinyproxy: int, variable: str
) -> None:
    report = go(
        f"wss://localhost:{nginx.tls}/",
        ssl_cafile=certificates.cafile,
        environment={variable: f"127.0.0.1:{tinyproxy}"},
    )
    assert report["texts"] == ["hello"]
    assert report["proxy"] == f"http://127.0.0.1:{tinyproxy}"


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_exempt"),
    [
        ("localhost", "*", True),
        ("localhost", "localhost", True),
        ("localhost", "example.org, .localhost", True),
        ("localhost", "localhost:{port}", True),
        ("localhost", "localhost:1", False),
        ("localhost", "host", False),
        ("localhost", "", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "10.0.0.0/8 127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1:{port}", True),
        ("127.0.0.1", "10.0.0.0/8,localhost", False),
        pytest.param("[::1]", "::/64", True, marks=needs_ipv6),
        pytest.param("[::1]", "[::1]:{port}", True, marks=needs_ipv6),
        pytest.param("[::1]", "127.0.0.1", False, marks=needs_ipv6),
    ],
)
def test_no_proxy_exempts_hosts(
    go: Visit, nginx: Nginx, tinyproxy: int, host: str, no_proxy: str, is_exempt: bool
) -> None:
    environment = {
        "http_proxy": f"http://127.0.0.1:{tinyproxy}",
        "no_proxy": no_proxy.format(port=nginx.plain),
    }
    report = go(f"ws://{host}:{nginx.plain}/", environment=environment)
    assert report["texts"] == ["hello"]
    assert report["proxy"] == (None if is_exempt else environment["http_proxy"])


def test_argument_beats_the_environment(go: Visit, echo: ForeignServer) -> None:
    environment = {"http_proxy": f"http://127.0.0.1:{closed_port()}"}
    assert go(echo.url, environment=environment, proxies={})["texts"] == ["hello"]


def test_redirect_to_an_exempt_host_leaves_the_proxy(
    go: Visit, nginx: Nginx, tinyproxy: int
) -> None:
    """Each hop of a redirect chooses its own proxy."""
    environment = {"http_proxy": f"http://127.0.0.1:{tinyproxy}", "no_proxy": "localhost"}
    report = go(f"ws://127.0.0.1:{nginx.plain}/302/other", environment=environment)
    assert report["texts"] == ["hello"]
    assert len(stages(report, "proxy")) == 1
    assert report["proxy"] is None
