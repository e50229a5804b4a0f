"""The address of a proxy, and the choice of the proxy for a connection.

The ``proxies`` argument decides; without it the environment decides, with ``no_proxy``. Credentials
are never shown: no ``repr``, ``str`` or error of this module contains credentials.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..url import encode_host

#: The schemes of a proxy's URL, with their default ports.
PROXY_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}

# Schemes that other programs take, and what to write here. Some desktops set all_proxy to socks://.
_SCHEME_HINTS = {
    "socks": (
        "; in place of socks:// write socks5h://, if the proxy is to resolve names, or socks5://, "
        "if this machine is"
    ),
    "socks4h": "; in place of socks4h:// write socks4a://",
    "socks5a": "; in place of socks5a:// write socks5h://",
}

# The keys to look up, by whether the connection is secure; the first match wins. lomond has no keys
# for ws and wss, so http and https stand for them, too.
_KEYS = {False: ("ws", "http", "all"), True: ("wss", "https", "all")}

# The dots of a host name (RFC 3490 section 3.1).
_DOTS = ".\u3002\uff0e\uff61"

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class ProxyAddress:
    """A proxy: its protocol, its address, and our credentials."""

    #: A scheme of :data:`PROXY_PORTS`.
    scheme: str
    #: The host in the form for a resolver: IDNA-encoded, IPv6 addresses without brackets.
    host: str
    port: int
    #: The percent-decoded user name; None: the URL has no credentials.
    username: bytes | None = field(default=None, repr=False)
    #: The percent-decoded password; None: the URL has no password.
    password: bytes | None = field(default=None, repr=False)

    @property
    def redacted(self) -> str:
        """The URL without credentials, for errors, logs and traces."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL with credentials, for APIs that accept only a URL."""
        if self.username is None:
            return self.redacted
        user = quote_from_bytes(self.username, safe="")
        password = "" if self.password is None else ":" + quote_from_bytes(self.password, safe="")
        return self.redacted.replace("://", f"://{user}{password}@", 1)

    @property
    def credentials(self) -> bytes | None:
        """``user:password`` in the form of Basic authentication (RFC 7617), or None."""
        if self.username is None:
            return None
        return self.username + b":" + (self.password or b"")

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS; otherwise it speaks HTTP."""
        return self.scheme.startswith("socks")

    @property
    def resolves(self) -> bool:
        """Whether the proxy resolves the names of its targets; otherwise the client does."""
        return self.scheme not in ("socks4", "socks5")

    def __str__(self) -> str:
        return self.redacted


def choose_proxy(
    is_secure: bool, host: str, port: int, proxies: Mapping[str, str | None] | None
) -> ProxyAddress | None:
    """Choose the proxy for a connection.

    :param is_secure: whether the URL is a wss URL, which decides between the keys of ``proxies``.
    :param host: the host of the target, as in :class:`greenws.url.URL`.
    :param port: the port of the target.
    :param proxies: the URLs of the proxies. The keys are ``ws``, ``http``, ``all`` for ws, and
        ``wss``, ``https``, ``all`` for wss. The first key that is present decides; None or an empty
        URL means no proxy. ``{}`` means no proxy. If ``proxies`` is None, the ``<key>_proxy``
        variables of the environment decide, unless ``no_proxy`` exempts the target.
    :returns: the proxy; None: connect directly.
    :raises ValueError: the URL of the proxy is invalid; the message names the fault and the source
        of the URL.
    """
    if proxies is not None:
        for key in _KEYS[is_secure]:
            if key in proxies:
                url = proxies[key]
                return parse_proxy(url, f"proxies[{key!r}]") if url else None
        return None
    for name, url in _find_variables(_KEYS[is_secure]):
        no_proxy = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
        return None if is_exempt(host, port, no_proxy) else parse_proxy(url, name)
    return None


def parse_proxy(url: str, source: str = "proxy") -> ProxyAddress:
    """Parse the URL of a proxy. ``host:port`` without a scheme is an HTTP proxy.

    All text before the last ``@`` is credentials, so a password with special characters works even
    if nobody has percent-encoded them.

    :param source: the name of the argument or variable with the URL, for errors.
    :raises TypeError: ``url`` is not a str.
    :raises ValueError: the URL is invalid. The message names the fault, but never shows a part of
        the URL that might be a secret.
    """
    if not isinstance(url, str):
        raise TypeError(f"{source}: the URL must be str, not {type(url).__name__}")
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "http", url.strip()
    scheme = scheme.lower()
    if scheme not in PROXY_PORTS:
        known = ", ".join(PROXY_PORTS)
        hint = _SCHEME_HINTS.get(scheme, "")
        raise ValueError(f"{source}: the scheme of a proxy's URL must be one of {known}{hint}")
    userinfo, _, location = rest.rpartition("@")
    host, port = _split_location(re.split(r"[/?#]", location, maxsplit=1)[0], source)
    user, colon, password = userinfo.partition(":")
    has_user = bool(user or password)
    return ProxyAddress(
        scheme=scheme,
        host=host,
        port=PROXY_PORTS[scheme] if port is None else port,
        username=unquote_to_bytes(user) if has_user else None,
        password=unquote_to_bytes(password) if has_user and colon else None,
    )


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Tell whether ``no_proxy`` exempts a target from going through a proxy.

    The entries are separated by commas or spaces. An entry is ``*``; a name, which covers its
    subdomains, with or without a leading ``.`` or ``*.``; an IPv4 or IPv6 address; or a network in
    CIDR notation. A name or an address may end in ``:port``. Case does not matter. Malformed
    entries are skipped, because the list was written for other programs, too.
    """
    name = (_encode_host(host) or host.lower()).rstrip(".")
    address = _parse_ip(name)
    for entry in no_proxy.replace(",", " ").split():
        if entry == "*":
            return True
        if "/" in entry:
            if address is not None and _is_in_network(address, entry):
                return True
            continue
        pattern, entry_port = _split_entry(entry)
        if entry_port is not None and entry_port != port:
            continue
        if address is not None:
            if _parse_ip(pattern) == address:
                return True
        elif _is_in_domain(name, pattern):
            return True
    return False


def _find_variables(keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield name and value of the variables that are set and not empty, by precedence."""
    for key in keys:
        lower, upper = f"{key}_proxy", f"{key.upper()}_PROXY"
        names = [lower, upper]
        if key == "http" and "REQUEST_METHOD" in os.environ:
            # In a CGI script HTTP_PROXY is the client's "Proxy:" header (CVE-2016-5385).
            names.remove(upper)
        # If the variable in lower case is set but empty, the variable in upper case is ignored.
        name = next((name for name in names if name in os.environ), None)
        if name is not None and os.environ[name].strip():
            yield name, os.environ[name]


def _split_location(location: str, source: str) -> tuple[str, int | None]:
    if location.startswith("["):
        host, bracket, rest = location[1:].partition("]")
        if not bracket or _parse_ip(host) is None or (rest and not rest.startswith(":")):
            raise ValueError(f"{source}: the URL of the proxy has an invalid IPv6 address")
        digits = rest[1:]
    else:
        host, _, digits = location.partition(":")
    port: int | None = None
    if digits:
        # int() must not see these characters before the check: its error would quote them, and in
        # a URL with a misplaced "@" they are a part of the password.
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= 5
        port = int(digits) if is_number else 0
        if not 0 < port < 65536:
            raise ValueError(f"{source}: the URL of the proxy has an invalid port")
    if not host:
        raise ValueError(f"{source}: the URL of the proxy has no host")
    encoded = _encode_host(host)
    if encoded is None:
        raise ValueError(f"{source}: the URL of the proxy has an invalid host")
    return encoded, port


def _encode_host(host: str) -> str | None:
    try:
        return encode_host(host)
    except ValueError:
        return None


def _split_entry(entry: str) -> tuple[str, int | None]:
    """Split an entry of ``no_proxy`` into its host and its port."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        digits = rest[1:]
    elif entry.count(":") == 1:
        host, _, digits = entry.partition(":")
    else:
        return entry, None
    return host, int(digits) if digits.isascii() and digits.isdigit() else None


def _parse_ip(text: str) -> _IPAddress | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _is_in_network(address: _IPAddress, entry: str) -> bool:
    try:
        network = ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    return address in network


def _is_in_domain(name: str, pattern: str) -> bool:
    domain = _encode_host(pattern.lstrip("*").strip(_DOTS))
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))
