"""Explains why a TLS handshake failed, in words that a user can act on."""

from __future__ import annotations

import re
import ssl
from typing import Any

# Results of OpenSSL's verification (x509_vfy.h).
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNKNOWN_ISSUER = frozenset({2, 20, 21, 27})
_SELF_SIGNED = 18
_SELF_SIGNED_ISSUER = 19
_WRONG_NAME = frozenset({62, 64})  # wrong host name, wrong IP address

_ALERT = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?([A-Z_]+)")

_ENDED = frozenset({"UNEXPECTED_EOF_WHILE_READING", "UNEXPECTED_EOF"})

_TRUST = "; ssl_cafile names whom to trust"

#: What is said of a peer whose bytes are no TLS.
NO_TLS = "the peer does not speak TLS: its URL begins with ws://, or http:// for a proxy"

# OpenSSL 3.2 and later say RECORD_LAYER_FAILURE for either.
_BROKEN = "bad record mac, or bytes that are no TLS"

_REASONS = {
    "WRONG_VERSION_NUMBER": NO_TLS,
    "HTTP_REQUEST": NO_TLS,
    "UNKNOWN_PROTOCOL": NO_TLS,
    "RECORD_LAYER_FAILURE": NO_TLS,
    "UNSUPPORTED_PROTOCOL": "the peer requires a version of TLS that is switched off here",
    "NO_PROTOCOLS_AVAILABLE": "all versions of TLS are switched off here",
    "DH_KEY_TOO_SMALL": "the peer's DH key is too small",
    "EE_KEY_TOO_SMALL": "the key of the peer's certificate is too small",
}

# The largest number of names of a certificate that an error shows, and of characters of each name:
# the text comes from the peer.
_MAX_NAMES = 8
_MAX_NAME = 80


def is_end(error: ssl.SSLError) -> bool:
    """Tell whether the peer has ended the stream without a close_notify of TLS."""
    return isinstance(error, ssl.SSLEOFError) or error.reason in _ENDED


def explain(
    error: ssl.SSLError, certificate: dict[str, Any] | None = None, is_open: bool = False
) -> str:
    """Return the cause of a failed handshake, or of the failure of an open connection.

    :param certificate: the peer's certificate, in the form of ``getpeercert``, if known.
    :param is_open: the handshake is over, so the peer does speak TLS.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_verification(error, certificate or {})
    if is_end(error):
        return "the peer closed the connection"
    reason = error.reason or ""
    if reason in _REASONS:
        words = _REASONS[reason]
        return _BROKEN if is_open and words is NO_TLS else words
    alert = _ALERT.fullmatch(reason)
    if alert is not None:
        return f"the peer sent the alert {alert[1].replace('_', ' ').lower()!r}"
    return reason.replace("_", " ").lower() or str(error)


def read_certificate(tls: ssl.SSLObject) -> dict[str, Any] | None:
    """Read the refused certificate; None: this interpreter does not give it.

    ``getpeercert`` works only after a successful handshake. The private object of ``ssl`` knows the
    chain earlier. From Python 3.13 on, ``ssl`` has a public method, but it returns only DER.
    """
    try:
        chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        found: dict[str, Any] | None = chain[0].get_info() if chain else None
    except (AttributeError, ValueError, ssl.SSLError):
        return None  # the error is then reported without the details of the certificate
    return found


def _explain_verification(error: ssl.SSLCertVerificationError, certificate: dict[str, Any]) -> str:
    code = error.verify_code
    if code == _EXPIRED:
        when = certificate.get("notAfter")
        return f"certificate has expired ({when})" if when else "certificate has expired"
    if code == _NOT_YET_VALID:
        when = certificate.get("notBefore")
        return f"certificate is not yet valid ({when})" if when else "certificate is not yet valid"
    if code in _WRONG_NAME:
        names = _list_names(certificate)
        wrong = f"certificate is for another host ({error.verify_message.rstrip('.')}"
        return f"{wrong}; it names {names})" if names else f"{wrong})"
    if code == _SELF_SIGNED:
        return f"certificate is self-signed: unknown issuer{_TRUST}"
    if code == _SELF_SIGNED_ISSUER:
        issuer = _name_issuer(certificate)
        return f"certificate has an unknown issuer{issuer}, which is self-signed{_TRUST}"
    if code in _UNKNOWN_ISSUER:
        return f"certificate has an unknown issuer{_name_issuer(certificate)}{_TRUST}"
    return f"certificate was refused: {error.verify_message}"


def _list_names(certificate: dict[str, Any]) -> str:
    names = [_show(value) for _, value in certificate.get("subjectAltName", ())]
    more = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _name_issuer(certificate: dict[str, Any]) -> str:
    parts = {key: value for group in certificate.get("issuer", ()) for key, value in group}
    for key in ("commonName", "organizationalUnitName", "organizationName"):
        if key in parts:
            return f" ({_show(parts[key])})"
    return ""


def _show(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_MAX_NAME])
