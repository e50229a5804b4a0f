"""The TLS context of a client: what it trusts, what it shows, and who shares it."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from greenws.errors import ConnectFail
from greenws.sessions import context as module
from greenws.sessions.context import MAX_CONTEXTS, client_context
from tests.sessions.test_tls import open_tls
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer, echo_bytes
from tests.support.transports import exchange

PASSWORD = "S3cret"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    module._contexts.clear()
    yield
    module._contexts.clear()


@pytest.fixture(scope="module")
def client_files(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("client")
    issued = authority.issue("client@example.org")
    names = {name: str(folder / name) for name in ("cert", "key", "encrypted", "both")}
    issued.cert_chain_pems[0].write_to_path(names["cert"])
    issued.private_key_pem.write_to_path(names["key"])
    issued.private_key_and_cert_chain_pem.write_to_path(names["both"])
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    encryption = BestAvailableEncryption(PASSWORD.encode())
    Path(names["encrypted"]).write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    )
    return names


def count_subjects(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


def test_default_trusts_certifi_and_checks() -> None:
    context = client_context()
    assert count_subjects(context) == Path(certifi.where()).read_text().count("BEGIN CERT")
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_unverified_checks_nothing() -> None:
    context = client_context(verify=False)
    assert context.verify_mode == ssl.CERT_NONE
    assert not context.check_hostname
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert count_subjects(context) == 0


def test_same_options_share_a_context(authority: Authority) -> None:
    assert client_context() is client_context()
    assert client_context(verify=False) is client_context(verify=False)
    assert client_context(cafile=authority.cafile) is client_context(cafile=Path(authority.cafile))
    assert client_context() is not client_context(verify=False)


def test_replaced_file_makes_a_new_context(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.cafile).read_bytes())
    before = client_context(cafile=path)
    assert client_context(cafile=path) is before
    path.write_bytes(path.read_bytes() + b"\n")
    assert client_context(cafile=path) is not before


def test_contexts_are_bounded() -> None:
    for index in range(MAX_CONTEXTS + 10):
        client_context(verify=False, password=str(index))
    assert len(module._contexts) == MAX_CONTEXTS


def test_cafile_alone_is_trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    assert count_subjects(client_context(cafile=authority.cafile)) == 1


def test_certificates_of_the_environment_are_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = client_context()
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    assert client_context() is not before
    assert count_subjects(client_context()) == 1


@pytest.mark.parametrize("by_option", [True, False])
def test_directory_of_certificates_is_trusted(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    command = ["openssl", "x509", "-hash", "-noout", "-in", authority.cafile]
    try:
        run = subprocess.run(command, capture_output=True, check=True, text=True)
    except FileNotFoundError:
        pytest.skip("the openssl program is not installed")
    (tmp_path / f"{run.stdout.strip()}.0").write_bytes(Path(authority.cafile).read_bytes())
    if not by_option:
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    context = client_context(cafile=tmp_path) if by_option else client_context()
    with LoopbackServer(echo_bytes, authority.server_context()) as server:
        open_tls(server.port, context).close()


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "")
    assert count_subjects(client_context()) > 50


@pytest.mark.parametrize("verify", [True, False])
def test_keys_are_logged(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: bool
) -> None:
    path = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    with LoopbackServer(echo_bytes, authority.server_context()) as server:
        cafile = authority.cafile if verify else None
        open_tls(server.port, client_context(verify=verify, cafile=cafile)).close()
    assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET" in path.read_text()


@pytest.mark.parametrize(
    ("cert", "key", "password"),
    [
        ("both", None, None),
        ("cert", "key", None),
        ("cert", "encrypted", PASSWORD),
        ("cert", "encrypted", PASSWORD.encode()),
        ("cert", "encrypted", lambda: PASSWORD),
    ],
)
def test_client_certificate_is_shown(
    authority: Authority,
    client_files: dict[str, str],
    cert: str,
    key: str | None,
    password: str | None,
) -> None:
    server_context = authority.server_context()
    server_context.verify_mode = ssl.CERT_REQUIRED
    server_context.load_verify_locations(authority.cafile)
    context = client_context(
        cafile=authority.cafile,
        certfile=client_files[cert],
        keyfile=client_files[key] if key else None,
        password=password,
    )
    with LoopbackServer(echo_bytes, server_context) as server:
        transport = open_tls(server.port, context)
        assert exchange(transport, b"x") == b"x"
        transport.close()


def test_missing_client_certificate_is_told(authority: Authority) -> None:
    server_context = authority.server_context()
    server_context.verify_mode = ssl.CERT_REQUIRED
    with LoopbackServer(echo_bytes, server_context) as server:
        transport = open_tls(server.port, client_context(cafile=authority.cafile))
        with pytest.raises(ssl.SSLError, match="alert 'certificate required'"):
            exchange(transport, b"x")
        transport.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cafile": "/no/such"}, "the trusted certificates in /no/such: No such file"),
        ({"cafile": __file__}, f"the trusted certificates in {__file__}: no certificate"),
        ({"certfile": "/no/such"}, "the client certificate in /no/such: No such file"),
        ({"certfile": "cert"}, "cert: wrong password, or no certificate with its key in the file"),
        ({"certfile": "key"}, "key: wrong password, or no certificate with its key in the file"),
        (
            {"certfile": "cert", "keyfile": "/no/such"},
            "the key of the client certificate in /no/such: No such file",
        ),
        (
            {"certfile": "cert", "keyfile": "encrypted"},
            "the key is encrypted, and there is no ssl_password",
        ),
        ({"certfile": "cert", "keyfile": "encrypted", "password": "wr0ng"}, "wrong password"),
        ({"certfile": "cert", "keyfile": "encrypted", "password": "x" * 5000}, "password"),
        ({"keyfile": "key"}, "there is a key but no certificate"),
    ],
)
def test_bad_file_is_named(
    client_files: dict[str, str], options: dict[str, str], message: str
) -> None:
    options = {
        name: value if name == "password" else client_files.get(value, value)
        for name, value in options.items()
    }
    with pytest.raises(ConnectFail) as caught:
        client_context(**options)  # type: ignore[arg-type]
    assert str(caught.value).startswith("unable to load ")
    assert message in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_bad_file_of_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such")
    with pytest.raises(ConnectFail, match="in /no/such: No such file"):
        client_context()


PATCHED = """
import sys
from greenws.sessions.context import client_context
early = [client_context(), client_context(verify=False)]
from gevent import monkey
monkey.patch_all()
import ssl
from greenws.sessions import context as module
assert client_context() is early[0]
module._contexts.clear()
late = [client_context(), client_context(verify=False)]
assert all(type(context) is ssl.SSLContext for context in late)
assert late[0].minimum_version == ssl.TLSVersion.TLSv1_2
print("fine")
"""


def test_contexts_made_before_and_after_patching_work() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PATCHED]
    root = Path(__file__).parents[2]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stdout, run.stderr) == (0, "fine\n", "")
