"""Programs as Debian ships them: proxies, nginx, ssh. Each runs as long as a ``with`` block."""

from __future__ import annotations

import _socket
import contextlib
import getpass
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.authority import LOCAL_NAMES, Authority
from tests.support.waiting import PATIENCE

# tinyproxy and microsocks take letters and digits only.
USER, PASSWORD = "user", "pa55word"

# Below the ports that Linux and the BSDs give to outgoing connections.
_PORTS = (15_000, 32_000)

_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def find(program: str) -> str:
    """Find a program, or skip the test without it."""
    path = shutil.which(program, path=_PATH)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


#: Flags of Chromium: no window, no traffic of its own, and a start that is as quick as can be.
CHROMIUM_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def find_stream_module() -> Path:
    """Find nginx's stream module, a package of its own, or skip the test without it."""
    prefix = Path(find("nginx")).parents[1]
    for folder in (prefix / "lib", Path("/usr/lib"), Path("/usr/lib64"), Path("/usr/share")):
        module = folder / "nginx/modules/ngx_stream_module.so"
        if module.exists():
            return module
    return pytest.skip("nginx's stream module is not installed (libnginx-mod-stream)")


@contextlib.contextmanager
def run_program(
    program: str, *arguments: str, ports: list[int]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, and wait until it listens on all of the ports."""
    process = subprocess.Popen(
        [find(program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not all(_is_open(port) for port in ports):
            assert process.poll() is None, f"{program} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{program} does not listen"
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)  # a test may have stopped it
        process.terminate()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:  # tinyproxy may miss a signal as it goes to sleep
            process.kill()
            process.wait()


def find_ports(count: int) -> list[int]:
    """Find free ports of 127.0.0.1, for programs that cannot take port 0.

    The system must not give them to outgoing connections before the program has started, so they
    are outside of its range.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*_PORTS)
        with contextlib.closing(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue  # the port is in use
        if port not in found:
            found.append(port)
    return found


def _is_open(port: int) -> bool:
    with contextlib.closing(_socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def run_tinyproxy(folder: Path, *lines: str) -> Iterator[int]:
    """Run an HTTP proxy, with more lines of configuration from the caller."""
    (port,) = find_ports(1)
    config = folder / f"tinyproxy-{port}.conf"
    config.write_text("\n".join([f"Port {port}", "Listen 127.0.0.1", "Timeout 60", *lines, ""]))
    with run_program("tinyproxy", "-d", "-c", str(config), ports=[port]):
        yield port


@contextlib.contextmanager
def run_microsocks(*arguments: str) -> Iterator[int]:
    """Run a SOCKS5 proxy."""
    (port,) = find_ports(1)
    with run_program("microsocks", "-i", "127.0.0.1", "-p", str(port), *arguments, ports=[port]):
        yield port


@contextlib.contextmanager
def run_dante(folder: Path) -> Iterator[int]:
    """Run a SOCKS4 and SOCKS5 proxy that refuses port 9."""
    (port,) = find_ports(1)
    config = folder / f"danted-{port}.conf"
    config.write_text(
        f"""
        logoutput: {folder}/danted.log
        internal: 127.0.0.1 port = {port}
        external: lo
        clientmethod: none
        socksmethod: none
        user.privileged: {getpass.getuser()}
        user.unprivileged: {getpass.getuser()}
        client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
        socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = 9 command: connect }}
        socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect }}
        """
    )
    with run_program("danted", "-f", str(config), "-p", str(folder / "pid"), ports=[port]):
        yield port


@contextlib.contextmanager
def run_ssh(folder: Path) -> Iterator[int]:
    """Run ``ssh -D``, a proxy for SOCKS 4, 4a and 5 that resolves names, with its own sshd."""
    server = find("sshd")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd separates privileges there
    for name in ("host", "user"):
        command = [
            find("ssh-keygen"),
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            f"{folder}/{name}-key",
        ]
        subprocess.run(command, check=True)
    config = folder / "sshd.conf"
    config.write_text(
        f"HostKey {folder}/host-key\nAuthorizedKeysFile {folder}/user-key.pub\nStrictModes no\n"
        "UsePAM no\nPidFile none\nPermitRootLogin prohibit-password\n"
    )
    (port,) = find_ports(1)
    options = [
        f"ProxyCommand={server} -i -f {config}",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "BatchMode=yes",
        "ExitOnForwardFailure=yes",
    ]
    arguments = [part for option in options for part in ("-o", option)]
    arguments += ["-F", "none", "-i", f"{folder}/user-key", "-N", "-D", f"127.0.0.1:{port}"]
    with run_program("ssh", *arguments, "localhost", ports=[port]):
        yield port


class Certificates:
    """The files of a certificate authority, and of every certificate that the tests need."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder)
        self.cafile = authority.cafile
        names = (*LOCAL_NAMES, "bücher.example")
        self.server = authority.issue_file("server.pem", *names)
        self.client, self.client_key = authority.issue_pair(
            "client", "client@example.org", common_name="a client"
        )
        self.expired = authority.issue_file(
            "expired.pem", "localhost", not_after=_at(2020), not_before=_at(2019)
        )
        self.other = authority.issue_file("other.pem", "other.example", "more.example")
        stranger = Authority(folder, "stranger")
        self.stranger_cafile = stranger.cafile
        self.stranger = stranger.issue_file("server.pem", "localhost")


def _at(year: int) -> Any:
    return datetime(year, 1, 1, tzinfo=timezone.utc)


def _has_ipv6() -> bool:
    try:
        with contextlib.closing(_socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM)) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = _has_ipv6()
needs_ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")

#: The fields of nginx's log, which is JSON, and the variables of nginx in them.
LOGGED = {
    "port": "server_port",
    "uri": "request_uri",
    "host": "http_host",
    "authorization": "http_authorization",
    "cookie": "http_cookie",
    "custom": "http_x_custom",
    "client": "ssl_client_s_dn",
    "reused": "ssl_session_reused",
    "name": "ssl_server_name",
    "status": "status",
}


class Nginx:
    """One nginx in front of an echo server, with every kind of front that the tests need.

    :param upstream: port of the echo server.
    :param proxies: ports of two HTTP proxies: the one behind ``https_proxy``, and one that wants
        credentials, behind ``https_auth_proxy``.
    """

    PORTS = ("plain", "other", "tls", "other_tls", "tls12", "mutual", "expired", "wrong_name",
             "stranger", "busy_429", "busy_503", "https_proxy", "https_auth_proxy")  # fmt: skip

    def __init__(
        self, folder: Path, certificates: Certificates, upstream: int, proxies: tuple[int, int]
    ) -> None:
        self._stream_module = find_stream_module()
        self.ports = dict(zip(self.PORTS, find_ports(len(self.PORTS)), strict=True))
        self.unix_path = str(folder / "nginx.sock")
        self.log = folder / "access.log"
        self._folder = folder
        self._certificates = certificates
        self._upstream = upstream
        self._proxies = proxies

    def __getattr__(self, name: str) -> int:
        try:
            return self.ports[name]
        except KeyError:
            raise AttributeError(name) from None

    @contextlib.contextmanager
    def run(self) -> Iterator[Nginx]:
        config = self._folder / "nginx.conf"
        config.write_text(self._build_config())
        arguments = ["-p", str(self._folder), "-c", str(config), "-e", str(self._folder / "error")]
        with run_program("nginx", *arguments, ports=list(self.ports.values())):
            yield self

    def read_log(self, mark: str, count: int) -> list[dict[str, str]]:
        """Read the lines of requests with a mark in their query, as soon as there are ``count``.

        nginx logs an upgraded connection when it ends, which may be after the client has ended.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = [json.loads(line) for line in self.log.read_text().splitlines()]
            found = [line for line in lines if line["uri"].endswith(f"?{mark}")]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.005)

    def _build_config(self) -> str:
        files, ports, folder = self._certificates, self.ports, self._folder
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        fronts = "".join(
            _build_server(
                f"{ports[name]} ssl",
                _certificate(certificate) + more + self._listen_too(name),
                self._locations(),
            )
            for name, certificate, more in (
                ("tls", files.server, ""),
                ("other_tls", files.server, ""),
                ("tls12", files.server, "ssl_protocols TLSv1.2;"),
                ("expired", files.expired, ""),
                ("wrong_name", files.other, ""),
                ("stranger", files.stranger, ""),
                (
                    "mutual",
                    files.server,
                    f"ssl_verify_client on; ssl_client_certificate {files.cafile};",
                ),
            )
        )
        more = f"listen unix:{self.unix_path};" + self._listen_too("plain")
        plain = _build_server(str(ports["plain"]), more, self._locations())
        other = _build_server(str(ports["other"]), "", self._locations())
        tunnels = "".join(
            f"server {{ listen 127.0.0.1:{ports[name]} ssl; {_certificate(files.server)}"
            f" proxy_pass 127.0.0.1:{port}; }}\n"
            for name, port in zip(("https_proxy", "https_auth_proxy"), self._proxies, strict=True)
        )
        busy = "".join(
            f"server {{ listen 127.0.0.1:{ports[f'busy_{code}']}; "
            f"error_page 400 405 = /busy; return {code}; "
            f"add_header Retry-After 7 always; }}\n"
            for code in (429, 503)
        )
        # A header of the client may be anything, and is escaped.
        facts = ",".join(f'"{name}":"${variable}"' for name, variable in LOGGED.items())
        log = f"log_format seen escape=json '{{{facts}}}';"
        return f"""
            load_module {self._stream_module};
            daemon off; master_process off; worker_processes 1;
            pid {folder}/nginx.pid; error_log {folder}/error info;
            events {{ worker_connections 512; }}
            http {{
                {temporary}
                {log}
                access_log {self.log} seen;
                ssl_session_cache shared:tls:1m; ssl_protocols TLSv1.2 TLSv1.3;
                {plain}{other}{fronts}{busy}
            }}
            stream {{ ssl_protocols TLSv1.2 TLSv1.3; {tunnels} }}
        """

    def _listen_too(self, name: str) -> str:
        if not HAS_IPV6:
            return ""
        return f" listen [::1]:{self.ports[name]}{'' if name == 'plain' else ' ssl'};"

    def _locations(self) -> str:
        ports = self.ports
        forward = (
            f"proxy_pass http://127.0.0.1:{self._upstream}/; proxy_http_version 1.1;"
            " proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
        )
        # Longer than any body that nginx makes itself.
        body = "no" * 100
        moves = {
            "same": "/",
            "plain": f"ws://localhost:{ports['plain']}/",
            "other": f"http://localhost:{ports['other']}/",
            "tls": f"https://localhost:{ports['tls']}/",
            "other_tls": f"wss://localhost:{ports['other_tls']}/",
            "mutual": f"https://localhost:{ports['mutual']}/",
            "loop": "/302/loop",
            "twice": "/307/same",
            "away": "ftp://example.org/",
        }
        locations = [f"location / {{ {forward} }}"]
        for code in (301, 302, 303, 307, 308):
            for name, target in moves.items():
                locations.append(
                    f"location = /{code}/{name} {{ add_header Set-Cookie"
                    f' "hop={code}; Path=/" always; return {code} {target}$is_args$args; }}'
                )
        for code in (401, 403, 407, 429, 503):
            locations.append(
                f"location = /{code} {{ add_header Retry-After 7 always;"
                f" add_header Retry-Text sure always; return {code} {body}; }}"
            )
        locations.append(
            f'location = /cookies {{ add_header Set-Cookie "a=1; Path=/" always;'
            f' add_header Set-Cookie "b=2; HttpOnly" always; {forward} }}'
        )
        return "\n".join(locations)


def _certificate(path: str) -> str:
    return f"ssl_certificate {path}; ssl_certificate_key {path};"


def _build_server(listen: str, more: str, locations: str) -> str:
    return f"server {{ listen 127.0.0.1:{listen}; {more} {locations} }}\n"
