"""Parses the URL of a WebSocket (RFC 6455 section 3, RFC 3986)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from .redaction import MAX_QUOTED, printable, redact_url

#: The schemes of a WebSocket's URL, with their default ports.
DEFAULT_PORTS = {"ws": 80, "wss": 443}

# The characters that a path and a query may contain as they are (RFC 3986), and "%". All other
# characters are percent-encoded as UTF-8.
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"
_QUERY_SAFE = _PATH_SAFE + "?"
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD_IN_HOST = re.compile(r"[\x00-\x20\x7f<>\"\\^`{|}%/?#@\[\]]")
_BRACKETED = re.compile(r"\[[^\[\]]*:[^\[\]]*\](:.*)?")
_ZONE = re.compile(r"[0-9A-Za-z._~-]+")
# The largest number of characters of a name, without the dot of the root (RFC 1035 section 2.3.4).
_MAX_NAME = 253
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, repr=False)
class URL:
    """A ``ws://`` or ``wss://`` URL in its parts.

    ``repr`` leaves out the credentials, those of the query included.
    """

    #: ``"ws"`` or ``"wss"``.
    scheme: str
    #: The host in the form for a resolver: IDNA-encoded, IPv6 addresses without brackets.
    host: str
    port: int
    #: Path and query, in the form for the request line.
    resource: str
    #: ``user:password`` in bytes, percent-decoded, or None.
    userinfo: bytes | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redact_url(self.redact())!r})"

    @property
    def is_secure(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme == "wss"

    @cached_property
    def host_header(self) -> str:
        """The value of ``Host`` (RFC 7230 section 5.4); an IPv6 address has brackets.

        A default port is left out, and so is the zone of an address: a zone has no meaning on
        another machine (RFC 6874 section 1).
        """
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """The origin: URLs of the same origin share credentials (RFC 6454)."""
        return self.scheme, self.host, self.port

    def with_userinfo(self, userinfo: bytes | None) -> URL:
        """Return the same URL with other credentials."""
        return replace(self, userinfo=userinfo)

    def redact(self) -> str:
        """Return the URL without user and password. To show a URL, use :mod:`.redaction`."""
        return f"{self.scheme}://{self.host_header}{self.resource}"


def parse_url(url: str) -> URL:
    """Parse the URL of a WebSocket.

    A fragment is dropped: a fragment has no meaning here and must not be sent (RFC 6455 section 3).

    :raises TypeError: ``url`` is not a str.
    :raises ValueError: the URL has another scheme, no host, an invalid host or port, spaces or
        control characters. The message names the fault.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be str, not {type(url).__name__}")
    return _parse(url)


# Thousands of clients use few different URLs.
@lru_cache(maxsize=256)
def _parse(url: str) -> URL:
    if _SPACE_OR_CONTROL.search(url):
        raise ValueError(f"url has spaces or control characters: {redact_url(url)!r}")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The text of this error may have the password, and is left out.
        raise ValueError(f"url has a malformed host: {redact_url(url)!r}") from None
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"url must begin with ws:// or wss://: {redact_url(url)!r}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"url has an invalid port: {redact_url(url)!r}") from None
    if port == 0:
        raise ValueError(f"url has an invalid port: {redact_url(url)!r}")
    if not parts.hostname:
        raise ValueError(f"url has no host: {redact_url(url)!r}")
    address = parts.netloc.rpartition("@")[2]
    if "[" not in address:
        # The attribute "hostname" is in lower case as Python has it, which makes another letter of
        # a Greek sigma at the end of a word than UTS 46 does.
        host = address.partition(":")[0]
    elif _BRACKETED.fullmatch(address):
        host = parts.hostname
    else:  # urlsplit() accepts it
        raise ValueError(f"url has an invalid host: {address[:MAX_QUOTED]!r}")
    if _SURROGATE.search(parts.path + parts.query + parts.netloc.rpartition("@")[0]):
        raise ValueError(f"url has surrogates, which are no text: {redact_url(url)!r}")
    resource = _quote(parts.path, _PATH_SAFE) or "/"
    if parts.query:
        resource += "?" + _quote(parts.query, _QUERY_SAFE)
    userinfo = None
    if "@" in parts.netloc:
        user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
        if user or password:
            userinfo = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return URL(
        scheme=scheme,
        host=encode_host(host),
        port=DEFAULT_PORTS[scheme] if port is None else port,
        resource=resource,
        userinfo=userinfo,
    )


def encode_host(host: str, subject: str = "url") -> str:
    """Encode a host name for the resolver and for TLS: lower case, IDNA if beyond ASCII.

    The encoding is IDNA 2008 (RFC 5891) after the mapping of UTS 46, as browsers have it. A label
    of ASCII stays as it is, because ``_`` and the like are in use.

    :param subject: the origin of the name, for errors.
    :raises ValueError: ``host`` is not a host name; the message names it.
    """
    if ":" in host:
        return _encode_ipv6(host, subject)
    name = host if host.isascii() else _encode_labels(host, subject)
    # The check comes after IDNA, which turns some characters beyond ASCII into spaces and the like.
    if _BAD_IN_HOST.search(name):
        raise ValueError(f"{subject} has an invalid host: {host[:MAX_QUOTED]!r}")
    _check_lengths(name, host, subject)
    return name.lower()


def _encode_labels(host: str, subject: str) -> str:
    # Imported here, because few programs need these tables, which take a megabyte.
    import idna

    try:
        name = idna.uts46_remap(host, std3_rules=False, transitional=False)
        _check_lengths(name, host, subject)  # first, as the rules take their time for a long label
        labels = [
            label if label.isascii() else idna.alabel(label).decode("ascii")
            for label in name.split(".")
        ]
    except UnicodeError as error:
        why = printable(str(error))
        raise ValueError(f"{subject} has an invalid host ({why}): {host[:MAX_QUOTED]!r}") from None
    return ".".join(labels)


def _check_lengths(name: str, host: str, subject: str) -> None:
    # RFC 1035 section 2.3.4. A dot at the end stands for the root. Without this check, the resolver
    # would fail later.
    labels = name.removesuffix(".").split(".")
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(
            f"{subject} has an invalid host (label empty or too long): {host[:MAX_QUOTED]!r}"
        )
    if len(name.removesuffix(".")) > _MAX_NAME:
        raise ValueError(f"{subject} has an invalid host (name too long): {host[:MAX_QUOTED]!r}")


def _encode_ipv6(host: str, subject: str) -> str:
    address, percent, zone = host.partition("%")
    if len(zone) > 2:
        # RFC 6874: "%25" in a URL stands for "%". Many users write a plain "%".
        zone = zone.removeprefix("25")
    try:
        IPv6Address(address)
    except ValueError:
        raise ValueError(f"{subject} has an invalid host: {host[:MAX_QUOTED]!r}") from None
    if percent and not _ZONE.fullmatch(zone):
        raise ValueError(f"{subject} has an invalid host: {host[:MAX_QUOTED]!r}")
    return address.lower() + percent + zone


def join_url(base: URL, location: str) -> str:
    """Resolve the ``Location`` of a redirect; ``http`` and ``https`` stand for ``ws`` and ``wss``.

    :raises ValueError: ``location`` is malformed.
    """
    # urllib joins only URLs of known schemes, and not every version of Python knows "ws".
    here = "http" + base.redact()[2:]
    zone = base.host.partition("%")[2]
    if zone:
        # Without its zone, a link-local address leads nowhere. "%25" stands for "%" (RFC 6874
        # section 2).
        here = here.replace("]", f"%25{zone}]", 1)
    target = urljoin(here, location)
    scheme, colon, rest = target.partition(":")
    return {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme) + colon + rest


def _quote(text: str, safe: str) -> str:
    return quote(_STRAY_PERCENT.sub("%25", text), safe=safe)
