"""The server with a certificate of docs/networking.rst, and the client that trusts it."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from greenws.testing import EchoServer
from tests.support.pages import ROOT, read_programs

PAGE = ROOT / "docs" / "networking.rst"
URL = "wss://localhost:8766/"


def test_client_trusts_the_certificate_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    found = re.search(
        r"^    openssl (?:.*\\\n)*.*\n", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None
    monkeypatch.chdir(tmp_path)
    subprocess.run(found[0], shell=True, check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("server.pem", "server.key")
    (block,) = [
        block for program in read_programs(PAGE) for block in program.blocks if URL in block.source
    ]
    with EchoServer(ssl_context=context) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        exec(compile(block.source.replace(URL, url), str(PAGE), "exec"), {})
    assert capsys.readouterr().out == "hello\n"
