"""Why a certificate or a handshake was refused, in words."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest

from greenws.sessions.certificate import explain, is_end
from greenws.sessions.context import client_context
from tests.sessions.test_tls import open_tls
from tests.support.authority import Authority
from tests.support.loopback import LoopbackServer, echo_bytes

PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
FUTURE = datetime.datetime(2999, 1, 1, tzinfo=datetime.timezone.utc)


#: What to do about an issuer that is not known.
TRUST = "; ssl_cafile names whom to trust"


def refuse(authority: Authority, server_context: ssl.SSLContext, name: str = "localhost") -> str:
    context = client_context(cafile=authority.cafile)
    with LoopbackServer(echo_bytes, server_context) as server:
        with pytest.raises(ssl.SSLError) as caught:
            open_tls(server.port, context, name)
    return str(caught.value)


def test_expired_certificate_has_its_date(authority: Authority) -> None:
    message = refuse(authority, authority.server_context("localhost", not_after=PAST))
    assert message == "certificate has expired (Jan  1 00:00:00 2001 GMT)"


def test_certificate_not_yet_valid_has_its_date(authority: Authority) -> None:
    message = refuse(authority, authority.server_context("localhost", not_before=FUTURE))
    assert message == "certificate is not yet valid (Jan  1 00:00:00 2999 GMT)"


@pytest.mark.parametrize("name", ["other.example", "10.9.8.7"])
def test_wrong_host_has_the_names_of_the_certificate(authority: Authority, name: str) -> None:
    message = refuse(authority, authority.server_context("a.example", "*.b.example", "::1"), name)
    assert message.startswith("certificate is for another host (")
    assert name in message
    assert message.endswith("it names a.example, *.b.example, 0:0:0:0:0:0:0:1)")


def test_many_names_are_cut(authority: Authority) -> None:
    names = [f"h{index}.example" for index in range(100)]
    message = refuse(authority, authority.server_context(*names))
    assert "h7.example and 92 more" in message
    assert "h8.example" not in message


def test_unknown_issuer_is_named(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    message = refuse(authority, other.server_context())
    assert message.startswith("certificate has an unknown issuer (Testing CA #")


def test_self_signed_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    # The server shows the certificate of a CA as its own.
    other = Authority(tmp_path)
    key = tmp_path / "ca.key"
    other.ca.private_key_pem.write_to_path(str(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.cafile, key)
    assert refuse(authority, context) == f"certificate is self-signed: unknown issuer{TRUST}"


def make_verification_error(code: int, text: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code = code
    error.verify_message = text
    return error


@pytest.mark.parametrize(
    ("code", "certificate", "message"),
    [
        (10, None, "certificate has expired"),
        (9, None, "certificate is not yet valid"),
        (62, None, "certificate is for another host (text)"),
        (62, {"subjectAltName": ()}, "certificate is for another host (text)"),
        (20, None, f"certificate has an unknown issuer{TRUST}"),
        (19, {}, f"certificate has an unknown issuer, which is self-signed{TRUST}"),
        (23, None, "certificate was refused: text"),
        (
            62,
            {"subjectAltName": (("DNS", "a\x1b[31m\n"),)},
            "certificate is for another host (text; it names a?[31m?)",
        ),
        (
            20,
            {"issuer": ((("organizationName", "O"),),)},
            f"certificate has an unknown issuer (O){TRUST}",
        ),
    ],
)
def test_explanation_does_without_missing_details(
    code: int, certificate: Any, message: str
) -> None:
    assert explain(make_verification_error(code, "text."[:4]), certificate) == message


def make_error(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "as OpenSSL has it")
    error.reason = reason  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "the peer sent the alert 'certificate required'"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "the peer sent the alert 'handshake failure'"),
        ("TLSV1_UNRECOGNIZED_NAME", "the peer sent the alert 'unrecognized name'"),
        (
            "WRONG_VERSION_NUMBER",
            "the peer does not speak TLS: its URL begins with ws://, or http:// for a proxy",
        ),
        ("UNSUPPORTED_PROTOCOL", "the peer requires a version of TLS that is switched off here"),
        ("UNEXPECTED_EOF_WHILE_READING", "the peer closed the connection"),
        ("SOME_OTHER_REASON", "some other reason"),
        (None, "as OpenSSL has it"),
    ],
)
def test_reason_is_put_in_words(reason: str | None, message: str) -> None:
    assert explain(make_error(reason)) == message


def test_end_of_the_stream_is_recognised() -> None:
    assert is_end(ssl.SSLEOFError(8, "eof"))
    assert is_end(make_error("UNEXPECTED_EOF_WHILE_READING"))
    assert not is_end(make_error("WRONG_VERSION_NUMBER"))


@pytest.mark.parametrize("reason", ["RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"])
def test_open_connection_is_not_told_to_do_without_tls(reason: str) -> None:
    words = "bad record mac, or bytes that are no TLS"
    assert explain(make_error(reason), is_open=True) == words
    assert explain(make_error("UNEXPECTED_EOF"), is_open=True) == "the peer closed the connection"
