"""nginx in front of an echo server: TLS, redirects, rejections, cookies, a unix socket."""

from __future__ import annotations

import json
import os
import ssl
import uuid
from pathlib import Path
from typing import Any

import pytest

from greenws.sessions import context
from tests.network.conftest import Visit
from tests.network.test_http_proxy import stages
from tests.support.programs import Certificates, Nginx, needs_ipv6


@pytest.fixture
def mark() -> str:
    """A query that marks the requests of a test in nginx's log."""
    return uuid.uuid4().hex


WRONG_NAME = (
    "certificate is for another host (Hostname mismatch, certificate is not valid for 'localhost'; "
    "it names other.example, more.example)"
)


# TLS


@pytest.mark.parametrize("way", ["client", "websocket"])
def test_tls_connection_carries_messages(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str, way: str
) -> None:
    sends = ["hello", "x" * 1_000_000]
    url = f"wss://localhost:{nginx.tls}/?{mark}"
    report = go(url, ssl_cafile=certificates.cafile, sends=sends, way=way)
    assert report["texts"] == sends
    assert report["code"] == 1000
    (step,) = stages(report, "tls")
    assert (step["host"], step["version"]) == ("localhost", "TLSv1.3")
    (line,) = nginx.read_log(mark, 1)
    assert (line["name"], line["host"]) == ("localhost", f"localhost:{nginx.tls}")


@pytest.mark.parametrize("front", ["tls", "tls12"])
def test_tls_session_is_resumed(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str, front: str
) -> None:
    url = f"wss://localhost:{nginx.ports[front]}/?{mark}"
    report = go(url, ssl_cafile=certificates.cafile, times=4)
    assert stages(report, "tls")[0]["resumed"]
    assert [line["reused"] for line in nginx.read_log(mark, 4)][1:] == ["r"] * 3


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("127.0.0.1", None),
        pytest.param("[::1]", None, marks=needs_ipv6),
        ("127.0.0.1", "bücher.example"),
        ("127.0.0.1", "BÜCHER.example."),
    ],
)
def test_name_of_the_certificate_may_be_given(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str, host: str, name: str | None
) -> None:
    url = f"wss://{host}:{nginx.tls}/?{mark}"
    report = go(url, ssl_cafile=certificates.cafile, server_hostname=name)
    assert report["texts"] == ["hello"]
    (line,) = nginx.read_log(mark, 1)
    assert line["name"] == ("xn--bcher-kva.example" if name else "")  # no SNI for an address


@pytest.mark.parametrize(
    ("front", "cause"),
    [
        ("expired", "certificate has expired (Jan  1 00:00:00 2020 GMT)"),
        ("wrong_name", WRONG_NAME),
        ("stranger", "certificate has an unknown issuer (Testing CA"),
        ("plain", "the peer does not speak TLS"),
    ],
)
def test_failing_tls_is_explained(
    go: Visit, nginx: Nginx, certificates: Certificates, front: str, cause: str
) -> None:
    url = f"wss://localhost:{nginx.ports[front]}/"
    report = go(url, ssl_cafile=certificates.cafile)
    assert report["events"] == ["connecting", "connect_fail"]
    assert report["reason"].startswith(f"TLS handshake with localhost failed: {cause}")
    (step,) = stages(report, "tls")
    assert step["error"] == report["reason"]
    if front != "plain":
        assert go(url, ssl_verify=False)["texts"] == ["hello"]


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_environment_names_the_authority(
    go: Visit, nginx: Nginx, certificates: Certificates, tmp_path: Path, variable: str
) -> None:
    place = certificates.cafile
    if variable == "SSL_CERT_DIR":
        (tmp_path / f"{_hash(certificates.cafile)}.0").write_bytes(Path(place).read_bytes())
        place = str(tmp_path)
    url = f"wss://localhost:{nginx.tls}/"
    assert go(url, environment={variable: place})["texts"] == ["hello"]
    assert "unknown issuer" in go(url)["reason"]


def _hash(cafile: str) -> str:
    """The file name under which OpenSSL looks for an issuer."""
    run = os.popen(f"openssl x509 -subject_hash -noout -in {cafile}")
    with run:
        return run.read().strip() or pytest.skip("openssl is not installed")


def test_keys_are_logged(
    go: Visit, nginx: Nginx, certificates: Certificates, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    go(
        f"wss://localhost:{nginx.tls}/",
        ssl_cafile=certificates.cafile,
        environment={"SSLKEYLOGFILE": str(keys)},
    )
    assert "CLIENT_TRAFFIC_SECRET_0 " in keys.read_text()
    context._contexts.clear()  # a context keeps the file of keys open


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("ssl_cafile", "unable to load the trusted certificates in {}: No such file"),
        ("ssl_certfile", "unable to load the client certificate in {}: No such file"),
        ("ssl_keyfile", "unable to load the key of the client certificate in {}: No such file"),
    ],
)
def test_missing_file_is_named(
    go: Visit, nginx: Nginx, certificates: Certificates, tmp_path: Path, option: str, reason: str
) -> None:
    files = {
        "ssl_cafile": certificates.cafile,
        "ssl_certfile": certificates.client,
        "ssl_keyfile": certificates.client_key,
        option: str(tmp_path / "missing.pem"),
    }
    report = go(f"wss://localhost:{nginx.mutual}/", **files)
    assert report["reason"].startswith(reason.format(files[option]))


def test_client_certificate_is_shown_and_resumed(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str
) -> None:
    url = f"wss://localhost:{nginx.mutual}/?{mark}"
    mine = {"ssl_certfile": certificates.client, "ssl_keyfile": certificates.client_key}
    report = go(url, ssl_cafile=certificates.cafile, times=2, **mine)
    assert report["texts"] == ["hello"]
    lines = nginx.read_log(mark, 2)
    assert ["CN=a client" in line["client"] for line in lines] == [True, True]
    assert lines[1]["reused"] == "r"


def test_missing_client_certificate_is_a_rejection(
    go: Visit, nginx: Nginx, certificates: Certificates
) -> None:
    report = go(f"wss://localhost:{nginx.mutual}/", ssl_cafile=certificates.cafile)
    assert report["events"] == ["connecting", "connected", "rejected", "disconnected"]
    assert report["status_code"] == 400
    assert "No required SSL certificate was sent" in report["body"]


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["same", "other", "tls"])
def test_redirect_is_followed_without_secrets(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str, code: int, target: str
) -> None:
    """A redirect may stay on its origin, lead to another one, or lead from ws into TLS."""
    secrets = {"X-Custom": "s3cret", "Authorization": "Bearer s3cret", "Cookie": "c=s3cret"}
    report = go(
        f"ws://localhost:{nginx.plain}/{code}/{target}?{mark}",
        ssl_cafile=certificates.cafile,
        headers=secrets,
    )
    assert report["texts"] == ["hello"]
    assert [record["status_code"] for record in stages(report, "upgrade")] == [code, 101]
    (hop,) = stages(report, "redirect")
    assert hop["status_code"] == code
    first, second = nginx.read_log(mark, 2)
    sent = ("s3cret", "Bearer s3cret", "c=s3cret")
    assert (first["custom"], first["authorization"], first["cookie"]) == sent
    sent = sent if target == "same" else ("", "", "")
    assert (second["custom"], second["authorization"], second["cookie"]) == sent
    assert "s3cret" not in json.dumps(report)


def test_redirect_to_another_port_takes_no_secrets_along(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str
) -> None:
    """Another port is another origin: it gets neither userinfo nor headers."""
    report = go(
        f"wss://user:s3cret@localhost:{nginx.tls}/302/other_tls?{mark}",
        ssl_cafile=certificates.cafile,
        headers={"X-Custom": "mine"},
    )
    assert report["texts"] == ["hello"]
    first, second = nginx.read_log(mark, 2)
    assert first["authorization"] == "Basic dXNlcjpzM2NyZXQ="
    assert (second["authorization"], second["custom"]) == ("", "")
    assert "s3cret" not in json.dumps(report)


def test_redirect_takes_no_client_certificate_along(
    go: Visit, nginx: Nginx, certificates: Certificates
) -> None:
    mine = {"ssl_certfile": certificates.client, "ssl_keyfile": certificates.client_key}
    url = f"wss://localhost:{nginx.tls}/302/mutual"
    report = go(url, ssl_cafile=certificates.cafile, server_hostname="bücher.example", **mine)
    assert "No required SSL certificate was sent" in report["body"]
    assert [step["host"] for step in stages(report, "tls")] == ["bücher.example", "localhost"]


def test_redirect_out_of_tls_is_not_followed(
    go: Visit, nginx: Nginx, certificates: Certificates
) -> None:
    for target in ("plain", "other"):
        url = f"wss://localhost:{nginx.tls}/302/{target}"
        report = go(url, ssl_cafile=certificates.cafile)
        assert report["events"] == ["connecting", "connected", "rejected", "disconnected"]
        assert report["reason"] == (
            "Websocket upgrade failed (code=302); the redirect leads out of TLS, "
            f"to ws://localhost:{nginx.ports[target]}/"
        )


@pytest.mark.parametrize(
    ("path", "limit", "hops", "why"),
    [
        ("302/loop", 10, 10, "more than 10 redirects"),
        ("302/loop", 2, 2, "more than 2 redirects"),
        ("302/same", 0, 0, "redirects are switched off"),
        ("302/away", 10, 0, "the redirect leads to no WebSocket"),
    ],
)
def test_redirect_beyond_the_rules_is_a_rejection(
    go: Visit, nginx: Nginx, path: str, limit: int, hops: int, why: str
) -> None:
    report = go(f"ws://localhost:{nginx.plain}/{path}", max_redirects=limit)
    assert (report["events"][-2], report["status_code"]) == ("rejected", 302)
    assert report["reason"] == f"Websocket upgrade failed (code=302); {why}"
    assert len(stages(report, "redirect")) == hops


def test_redirects_in_a_row_are_followed(go: Visit, nginx: Nginx) -> None:
    report = go(f"ws://localhost:{nginx.plain}/301/twice", max_redirects=2)
    assert report["texts"] == ["hello"]
    assert len(stages(report, "redirect")) == 2


# Rejections


@pytest.mark.parametrize("code", [401, 403, 407, 429, 503])
def test_rejection_has_status_headers_and_body(go: Visit, nginx: Nginx, code: int) -> None:
    report = go(f"ws://localhost:{nginx.plain}/{code}")
    assert report["events"] == ["connecting", "connected", "rejected", "disconnected"]
    assert report["status_code"] == code
    assert report["headers"]["retry-after"] == "7"
    assert report["body"] == "no" * 100
    assert report["reason"] == f"Websocket upgrade failed (code={code})"


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("way", ["client", "persist"])
def test_retry_after_is_honoured(go: Visit, nginx: Nginx, code: int, way: str) -> None:
    options: dict[str, Any] = {"reconnect": True} if way == "client" else {}
    report = go(f"ws://localhost:{nginx.plain}/{code}", way=way, **options)
    assert 7 <= report["delay"] <= 7 * 1.5  # a least wait, with jitter on top


@pytest.mark.parametrize("code", [429, 503])
@pytest.mark.parametrize("way", ["client", "persist"])
def test_retry_after_of_a_proxy_is_honoured(go: Visit, nginx: Nginx, code: int, way: str) -> None:
    """nginx does not know CONNECT, but these fronts answer anything with their code."""
    options: dict[str, Any] = {"reconnect": True} if way == "client" else {}
    proxies = {"all": f"http://localhost:{nginx.ports[f'busy_{code}']}"}
    report = go("ws://example.invalid/", proxies=proxies, way=way, **options)
    assert (report["error"], report["status_code"]) == ("ProxyFail", code)
    assert 7 <= report["delay"] <= 7 * 1.5  # a least wait, with jitter on top


# Cookies


def test_cookies_of_the_upgrade_come_back(go: Visit, nginx: Nginx, mark: str) -> None:
    report = go(f"ws://localhost:{nginx.plain}/cookies?{mark}", cookies={}, times=2)
    assert report["cookies"] == {"a": "1", "b": "2"}
    first, second = nginx.read_log(mark, 2)
    assert first["cookie"] == ""
    assert sorted(second["cookie"].split("; ")) == ["a=1", "b=2"]


def test_cookies_of_a_redirect_are_sent_to_the_target(go: Visit, nginx: Nginx, mark: str) -> None:
    report = go(f"ws://localhost:{nginx.plain}/307/same?{mark}", cookies={})
    assert report["texts"] == ["hello"]
    first, second = nginx.read_log(mark, 2)
    assert (first["cookie"], second["cookie"]) == ("", "hop=307")


def test_cookies_stay_with_their_host(
    go: Visit, nginx: Nginx, certificates: Certificates, mark: str
) -> None:
    """Cookies of 127.0.0.1 do not go to localhost. Ports do not matter (RFC 6265 section 8.5)."""
    report = go(f"ws://127.0.0.1:{nginx.plain}/302/other?{mark}", cookies={})
    assert report["cookies"] == {"hop": "302"}
    assert [line["cookie"] for line in nginx.read_log(mark, 2)] == ["", ""]


# Sockets


def test_unix_socket_needs_no_resolving(go: Visit, nginx: Nginx) -> None:
    report = go("ws://any.name/", unix_path=nginx.unix_path)
    assert report["texts"] == ["hello"]
    (step,) = stages(report, "connect")
    assert step["address"] == nginx.unix_path
    assert not stages(report, "resolve")


def test_redirect_over_a_unix_socket_is_not_followed(go: Visit, nginx: Nginx) -> None:
    report = go("ws://any.name/302/same", unix_path=nginx.unix_path)
    assert report["reason"].endswith("(code=302); redirects are not followed here")


def test_unix_socket_without_a_listener_is_named(go: Visit, tmp_path: Path) -> None:
    path = str(tmp_path / "none")
    report = go("ws://any.name/", unix_path=path)
    assert report["reason"] == f"unable to connect to {path!r}: No such file or directory"


def test_source_address_is_used(go: Visit, nginx: Nginx) -> None:
    report = go(f"ws://127.0.0.1:{nginx.plain}/", source_address=["127.0.0.1", 0])
    assert report["texts"] == ["hello"]


@pytest.mark.parametrize("is_secure", [False, True], ids=["ws", "wss"])
def test_socket_of_the_user_is_used(
    go: Visit, nginx: Nginx, certificates: Certificates, is_secure: bool
) -> None:
    port = nginx.tls if is_secure else nginx.plain
    url = f"{'wss' if is_secure else 'ws'}://localhost:{port}/"
    report = go(url, connected=["127.0.0.1", port], ssl_cafile=certificates.cafile)
    assert report["texts"] == ["hello"]
    assert not stages(report, "resolve")
    assert stages(report, "connect")[0]["address"] == f"127.0.0.1:{port}"


def test_context_of_the_user_is_used(nginx: Nginx, certificates: Certificates) -> None:
    """The context may be one of the standard library, in a process that is not patched."""
    from tests.network.visitor import visit

    context = ssl.create_default_context(cafile=certificates.cafile)
    report = visit(f"wss://localhost:{nginx.tls}/", ssl_context=context, times=2)
    assert report["texts"] == ["hello"]
    assert not stages(report, "tls")[0]["resumed"]  # the user may have changed it
