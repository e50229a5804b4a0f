"""TLS to the proxy: nginx, which terminates it, in front of tinyproxy."""

from __future__ import annotations

import json

import pytest

from tests.network.conftest import Visit
from tests.support.programs import PASSWORD, USER, Certificates, Nginx
from tests.support.servers import ForeignServer


@pytest.mark.parametrize("kind", ["ws", "wss", "wss12"])
def test_tunnel_stands_over_tls(
    go: Visit, echo: ForeignServer, nginx: Nginx, certificates: Certificates, kind: str
) -> None:
    """A wss URL behind such a proxy needs TLS in TLS."""
    urls = {"ws": echo.url, "wss": f"wss://localhost:{nginx.tls}/"}
    urls["wss12"] = f"wss://localhost:{nginx.tls12}/"
    proxy = f"https://localhost:{nginx.https_proxy}"
    sends = ["hello", "x" * 100_000]
    report = go(
        urls[kind], ssl_cafile=certificates.cafile, proxies={"all": proxy}, sends=sends, times=2
    )
    assert report["texts"] == sends
    assert report["proxy"] == proxy
    steps = [r for r in report["trace"] if r["stage"] in ("connect", "tls", "proxy")]
    stages = [step["stage"] for step in steps]
    assert stages == ["connect", "tls", "proxy"] + ["tls"] * (kind != "ws")
    # The second visit resumes both TLS sessions.
    assert all(step["resumed"] for step in steps if step["stage"] == "tls")


def test_credentials_are_sent_and_hidden(
    go: Visit, nginx: Nginx, certificates: Certificates
) -> None:
    place = f"localhost:{nginx.https_auth_proxy}"
    url = f"wss://localhost:{nginx.tls}/"
    options = {"ssl_cafile": certificates.cafile}
    report = go(url, proxies={"all": f"https://{USER}:{PASSWORD}@{place}"}, **options)
    assert report["texts"] == ["hello"]
    assert PASSWORD not in json.dumps(report)
    report = go(url, proxies={"all": f"https://{USER}:s3cret@{place}"}, **options)
    assert report["reason"].startswith(f"proxy https://{place} refused the tunnel: 401 ")
    assert "s3cret" not in json.dumps(report)


def test_proxy_of_an_unknown_issuer_is_refused(
    go: Visit, echo: ForeignServer, nginx: Nginx
) -> None:
    report = go(echo.url, proxies={"all": f"https://localhost:{nginx.https_proxy}"})
    assert report["error"] == "ProxyFail"
    assert report["reason"].startswith(
        f"TLS handshake with proxy https://localhost:{nginx.https_proxy} failed: "
        "certificate has an unknown issuer (Testing CA"
    )


def test_proxy_without_tls_is_named(go: Visit, echo: ForeignServer, nginx: Nginx) -> None:
    report = go(echo.url, proxies={"all": f"https://localhost:{nginx.plain}"})
    assert report["error"] == "ProxyFail"
    assert "the peer does not speak TLS" in report["reason"]


def test_proxy_with_tls_spoken_to_in_plain_is_named(
    go: Visit, echo: ForeignServer, nginx: Nginx
) -> None:
    report = go(echo.url, proxies={"all": f"http://localhost:{nginx.https_proxy}"})
    assert report["error"] == "ProxyFail"
    assert f"proxy http://localhost:{nginx.https_proxy} " in report["reason"]


def test_certificate_of_the_client_is_for_the_server_only(
    go: Visit, nginx: Nginx, certificates: Certificates
) -> None:
    report = go(
        f"wss://localhost:{nginx.mutual}/?tunnelled",
        ssl_cafile=certificates.cafile,
        ssl_certfile=certificates.client,
        ssl_keyfile=certificates.client_key,
        proxies={"all": f"https://localhost:{nginx.https_proxy}"},
    )
    assert report["texts"] == ["hello"]
