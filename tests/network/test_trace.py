"""The trace and the log of a connection have every step, and no secret."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import lomond
import pytest

import greenws
from tests.network.conftest import Visit
from tests.network.visitor import visit
from tests.support.loopback import closed_port
from tests.support.programs import PASSWORD, USER, Certificates, Nginx

SECRETS = ("s3cret", PASSWORD, "pay-load")


def make_visit(nginx: Nginx, certificates: Certificates, port: int) -> dict[str, Any]:
    """Options of a visit with every kind of secret, through a proxy, TLS and a redirect."""
    return {
        "url": f"wss://me:s3cret@localhost:{nginx.tls}/302/same?token=s3cret&plain",
        "sends": ["pay-load", "pay-load" * 50_000],
        "ssl_cafile": certificates.cafile,
        "headers": {"X-Custom": "s3cret"},
        "cookies": {},
        "proxies": {"all": f"http://{USER}:{PASSWORD}@localhost:{port}"},
    }


def test_each_step_has_a_record_without_secrets(
    go: Visit, nginx: Nginx, certificates: Certificates, tinyproxy_with_users: int
) -> None:
    options = make_visit(nginx, certificates, tinyproxy_with_users)
    trace = go(**options)["trace"]
    assert not [secret for secret in SECRETS if secret in json.dumps(trace)]
    shown = f"wss://localhost:{nginx.tls}/302/same?token=...&plain"
    assert {record["url"] for record in trace} == {shown}
    hop = ["resolve", "connect", "proxy", "tls", "socket_send", "socket_recv", "upgrade"]
    stages = [record["stage"] for record in trace]
    assert stages[: 2 * len(hop) + 3] == [
        "connect_start",
        *hop,
        "redirect",
        *hop,
        "handshake_ready",
    ]
    assert stages[-4:] == ["socket_recv", "message_close", "close", "disconnected"]
    assert {"send_text", "message_text", "close_requested"} < set(stages)
    for record in trace:
        timed = {"resolve", "connect", "proxy", "tls", "upgrade", "close"}
        assert ("duration" in record) is (record["stage"] in timed)
        assert 0 <= record.get("duration", 0) < 10
    lengths = [record["length"] for record in trace if record["stage"] == "message_text"]
    assert lengths == [8, 400_000]
    close = trace[-2]
    assert (close["code"], close["sent_code"], close["graceful"]) == (1000, 1000, True)
    assert close["sent"] > close["received"] > 400_008
    for kind, total in (("socket_send", "sent"), ("socket_recv", "received")):
        last = max(index for index, stage in enumerate(stages) if stage == "redirect")
        found = [record["length"] for record in trace[last:] if record["stage"] == kind]
        assert sum(found) == close[total]


def test_failed_step_has_its_error(go: Visit) -> None:
    port = closed_port()
    trace = go(f"ws://u:s3cret@127.0.0.1:{port}/?k=s3cret")["trace"]
    assert [record["stage"] for record in trace] == [
        "connect_start",
        "resolve",
        "connect",
        "connect_fail",
        "disconnected",
    ]
    assert trace[2]["error"] == trace[3]["reason"]
    assert "s3cret" not in json.dumps(trace)


def test_log_is_quiet_at_info(
    nginx: Nginx,
    certificates: Certificates,
    tinyproxy_with_users: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    visit(**make_visit(nginx, certificates, tinyproxy_with_users))
    visit(f"ws://localhost:{nginx.plain}/503", reconnect=True)
    visit(f"ws://localhost:{closed_port()}/", reconnect=True)
    assert not caplog.records


def test_log_at_debug_has_the_steps_and_no_payload(
    nginx: Nginx,
    certificates: Certificates,
    tinyproxy_with_users: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has the steps without a ``trace`` option, too: production is debugged that way."""
    caplog.set_level(logging.DEBUG, "greenws")
    options = make_visit(nginx, certificates, tinyproxy_with_users)
    url, sends = options.pop("url"), options.pop("sends")
    del options["cookies"]
    websocket = greenws.WebSocket(url, **options)
    for event in websocket:
        if event.name == "ready":
            for text in sends:
                websocket.send_text(text)
        elif event.name == "text" and len(event.text) > 8:
            websocket.close()
    assert {record.name for record in caplog.records} == {"greenws.websocket"}
    for stage in ("resolve", "proxy", "tls", "upgrade", "redirect", "socket_send", "message_text"):
        assert f"&plain: {stage} " in caplog.text
    assert not [secret for secret in SECRETS if secret in caplog.text]


@pytest.mark.parametrize("is_debugging", [False, True])
def test_error_of_a_handler_comes_out_and_is_not_logged(
    nginx: Nginx, caplog: pytest.LogCaptureFixture, is_debugging: bool
) -> None:
    class Faulty(greenws.Client):
        def on_ready(self, event: greenws.events.Ready) -> None:
            raise KeyError("a fault of the user's")

    caplog.set_level(logging.DEBUG if is_debugging else logging.INFO)
    with pytest.raises(KeyError):
        Faulty(f"ws://localhost:{nginx.plain}/", proxies={}).run()
    assert "a fault of the user's" not in caplog.text
    assert bool(caplog.records) is is_debugging


def test_events_show_no_secret(
    go: Visit, nginx: Nginx, certificates: Certificates, tinyproxy_with_users: int
) -> None:
    options = make_visit(nginx, certificates, tinyproxy_with_users)
    report = go(**options)
    assert "Connected(url='wss://localhost:" in str(report["shown"])
    assert not [secret for secret in SECRETS if secret in str(report["shown"])]


def test_url_of_an_event_is_that_of_the_user(nginx: Nginx) -> None:
    url = f"ws://u:p@localhost:{nginx.plain}/?a=b"
    websocket = greenws.WebSocket(url, proxies={})
    seen = []
    for event in websocket:
        if event.name in ("connecting", "connected"):
            seen.append(event.url)
        elif event.name == "ready":
            websocket.close()
    assert seen == [url, url]


def test_websocket_of_lomond_is_traced(nginx: Nginx) -> None:
    trace: list[dict[str, Any]] = []
    url = f"ws://localhost:{nginx.plain}/"
    websocket = lomond.WebSocket(url, proxies={}, trace=trace.append)
    for event in websocket.connect(session_class=greenws.GeventSession):
        if event.name == "ready":
            websocket.close()
    stages = [record["stage"] for record in trace]
    for stage in ("resolve", "connect", "close", "disconnected"):
        assert stage in stages
    close = trace[stages.index("close")]
    assert close["sent"] > 100
    assert close["received"] > 100
    assert {record["url"] for record in trace} == {url}


def test_every_stage_is_documented() -> None:
    root = Path(__file__).parents[2]
    paths = [path for path in (root / "greenws").rglob("*.py") if "cli" not in path.parts]
    sources = "".join(path.read_text() for path in paths)
    emitted = set(re.findall(r'\.(?:tell|begin)\(\s*"([a-z_]+)"', sources))
    emitted |= set(re.findall(r'"((?:message|socket)_[a-z]+)"', sources)) - {"socket_options"}
    emitted |= {
        "send_text",
        "send_binary",
        "send_ping",
        "send_pong",
    }  # whose names are put together
    table = (root / "docs/trace.rst").read_text()
    assert emitted == set(re.findall(r"^``([a-z_]+)`` {2,}", table, re.MULTILINE))
