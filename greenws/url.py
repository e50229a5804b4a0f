"""The URL of a WebSocket, taken apart (RFC 6455 section 3, RFC 3986)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from ipaddress import IPv6Address
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from .redaction import redact_url

DEFAULT_PORTS = {"ws": 80, "wss": 443}

# RFC 3986: what a path and a query may hold as they are; "%" stays, the rest is percent-encoded
# as UTF-8.
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"
_QUERY_SAFE = _PATH_SAFE + "?"
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_BAD_IN_HOST = re.compile(r"[\x00-\x20\x7f<>\"\\^`{|}%/?#@\[\]]")
_BRACKETED = re.compile(r"\[[^\[\]]*:[^\[\]]*\](:.*)?")
_ZONE = re.compile(r"[0-9A-Za-z._~-]+")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class URL:
    """A ``ws://`` or ``wss://`` URL in its parts.

    ``repr`` leaves out the credentials.
    """

    #: ``"ws"`` or ``"wss"``.
    scheme: str
    #: The host as a resolver takes it: IDNA-encoded, IPv6 addresses without brackets.
    host: str
    port: int
    #: Path and query as the request line has them.
    resource: str
    #: ``user:password`` in bytes, percent-decoded, or None.
    userinfo: bytes | None = field(default=None, repr=False)

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme == "wss"

    @cached_property
    def host_header(self) -> str:
        """The value of ``Host``: a default port is left out, IPv6 in brackets (RFC 7230 5.4).

        The zone of an address is, too: it means nothing to another machine (RFC 6874 section 1).
        """
        host = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What has to be equal for two URLs to share credentials (RFC 6454)."""
        return self.scheme, self.host, self.port

    def with_userinfo(self, userinfo: bytes | None) -> URL:
        """The same URL with other credentials."""
        return replace(self, userinfo=userinfo)

    def redact(self) -> str:
        """The URL without its user and password. For what is shown, see :mod:`.redaction`."""
        return f"{self.scheme}://{self.host_header}{self.resource}"


def parse_url(url: str) -> URL:
    """Take the URL of a WebSocket apart.

    A fragment is dropped: RFC 6455 section 3 gives it no meaning, and it must not be sent.

    :raises TypeError: if ``url`` is no str.
    :raises ValueError: naming the fault: another scheme, no host, a bad port, spaces or controls.
    """
    if not isinstance(url, str):
        raise TypeError(f"url must be str, not {type(url).__name__}")
    return _parse(url)


# Thousands of clients have a few URLs between them.
@lru_cache(maxsize=256)
def _parse(url: str) -> URL:
    if _SPACE_OR_CONTROL.search(url):
        raise ValueError(f"url has spaces or control characters: {redact_url(url)!r}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError(f"url is malformed ({error}): {redact_url(url)!r}") from None
    scheme = parts.scheme.lower()
    if scheme not in DEFAULT_PORTS:
        raise ValueError(f"url must begin with ws:// or wss://: {redact_url(url)!r}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"url has a bad port: {redact_url(url)!r}") from None
    if port == 0:
        raise ValueError(f"url has a bad port: {redact_url(url)!r}")
    if not parts.hostname:
        raise ValueError(f"url has no host: {redact_url(url)!r}")
    address = parts.netloc.rpartition("@")[2]
    if "[" in address and not _BRACKETED.fullmatch(address):  # which urlsplit lets pass
        raise ValueError(f"url has a bad host: {address!r}")
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
        host=encode_host(parts.hostname),
        port=DEFAULT_PORTS[scheme] if port is None else port,
        resource=resource,
        userinfo=userinfo,
    )


def encode_host(host: str) -> str:
    """Encode a host name as the resolver and TLS want it: lower case, IDNA where not ASCII.

    :raises ValueError: if it is no host name.
    """
    if ":" in host:
        return _encode_ipv6(host)
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"url has a bad host ({error}): {host!r}") from None
    # After IDNA, which makes spaces and the like of their relatives beyond ASCII.
    if _BAD_IN_HOST.search(host):
        raise ValueError(f"url has a bad host: {host!r}")
    # RFC 1035 section 2.3.4; a dot at the end is the root's. The resolver would fail on it later.
    if not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        raise ValueError(f"url has a bad host (label empty or too long): {host!r}")
    return host.lower()


def _encode_ipv6(host: str) -> str:
    address, percent, zone = host.partition("%")
    if len(zone) > 2:
        zone = zone.removeprefix("25")  # RFC 6874: "%25" in a URL is "%", which many write plainly
    try:
        IPv6Address(address)
    except ValueError:
        raise ValueError(f"url has a bad host: {host!r}") from None
    if percent and not _ZONE.fullmatch(zone):
        raise ValueError(f"url has a bad host: {host!r}")
    return address.lower() + percent + zone


def join_url(base: URL, location: str) -> str:
    """Resolve the ``Location`` of a redirect; ``http`` and ``https`` stand for ``ws`` and ``wss``.

    :raises ValueError: if ``location`` is malformed.
    """
    # urllib joins the URLs of schemes it knows, and "ws" is not one of them everywhere.
    target = urljoin("http" + base.redact()[2:], location)
    scheme, colon, rest = target.partition(":")
    return {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme) + colon + rest


def _quote(text: str, safe: str) -> str:
    return quote(_STRAY_PERCENT.sub("%25", text), safe=safe)
