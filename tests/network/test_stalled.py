"""Real programs that are stopped (SIGSTOP) while a client waits for them."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

import greenws
from tests.network.conftest import Visit
from tests.support import programs
from tests.support.programs import Certificates
from tests.support.ticker import Ticker

KINDS = ["tinyproxy", "microsocks", "nginx as https proxy", "nginx as server"]


class Stopped:
    """A program that says nothing, although the kernel accepts connections for it."""

    def __init__(self, options: dict[str, Any], step: str) -> None:
        self.url = options.pop("url", "ws://localhost:1/")
        self.options = options
        #: What the client was doing.
        self.step = step
        self.stage = "tls" if "TLS" in step else "proxy"


@pytest.fixture(params=KINDS)
def stopped(
    request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates
) -> Iterator[Stopped]:
    (port,) = programs.find_ports(1)
    place = f"127.0.0.1:{port}"
    if request.param == "tinyproxy":
        config = tmp_path / "tinyproxy.conf"
        config.write_text(f"Port {port}\nListen 127.0.0.1\n")
        command = ["tinyproxy", "-d", "-c", str(config)]
        url = f"http://{place}"
        what = Stopped({"proxies": {"all": url}}, f"waiting for the tunnel of proxy {url}")
    elif request.param == "microsocks":
        command = ["microsocks", "-i", "127.0.0.1", "-p", str(port)]
        url = f"socks5h://{place}"
        what = Stopped({"proxies": {"all": url}}, f"waiting for the tunnel of proxy {url}")
    else:
        files = certificates.server
        config = tmp_path / "nginx.conf"
        stream_module = programs.find_stream_module()
        config.write_text(
            f"load_module {stream_module}; daemon off; master_process off; events {{}}"
            f" pid {tmp_path}/pid; error_log {tmp_path}/error;"
            f" stream {{ server {{ listen {place} ssl; proxy_pass 127.0.0.1:1;"
            f" ssl_certificate {files}; ssl_certificate_key {files}; }} }}"
        )
        command = ["nginx", "-p", str(tmp_path), "-c", str(config), "-e", str(tmp_path / "error")]
        if request.param == "nginx as server":
            what = Stopped({"url": f"wss://{place}/"}, "doing the TLS handshake with 127.0.0.1")
        else:
            url = f"https://{place}"
            what = Stopped({"proxies": {"all": url}}, f"doing the TLS handshake with proxy {url}")
    with programs.run_program(*command, ports=[port]) as process:
        _stop(process)
        yield what


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGSTOP)
    # Wait until it has stopped: any byte that it still answers would lead to a later step.
    stat = Path(f"/proc/{process.pid}/stat")
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        gevent.sleep(0.001)


def test_deadline_names_the_stalled_step(go: Visit, stopped: Stopped) -> None:
    report = go(stopped.url, open_timeout=0.25, **stopped.options)
    assert report["events"] == ["connecting", "connect_fail"]
    assert report["reason"] == f"timed out after 0.25 s while {stopped.step}"
    failed = [record for record in report["trace"] if "error" in record]
    assert [record["stage"] for record in failed] == [stopped.stage]
    assert failed[0]["error"] == report["reason"]
    assert 0 < failed[0]["duration"] < 5
    assert report["largest_gap"] < 0.1


def test_kill_leaves_nothing_behind(stopped: Stopped, ticking: Ticker) -> None:
    """The fixture of all tests checks that nothing is left behind."""
    connected = gevent.event.Event()

    def trace(record: dict[str, Any]) -> None:
        if record["stage"] == "connect":
            connected.set()

    client = greenws.Client(stopped.url, trace=trace, **stopped.options).start()
    assert connected.wait(5)
    gevent.sleep(0.02)
    client.kill()
    client.join()
    assert not client.is_running
