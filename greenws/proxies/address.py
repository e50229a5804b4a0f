"""Which proxy a connection goes through, and where that is.

The ``proxies`` argument decides when there is one, else the environment, with ``no_proxy``.
Credentials are kept apart from everything that is shown: no ``repr``, ``str`` or error of this
module holds any.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ..url import encode_host

#: Schemes of a proxy's URL, with their default ports.
PROXY_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}

# What is looked up, first match wins, by whether the connection is secure. WebSockets had no
# keys of their own in the reference, so http and https stand for ws and wss.
_KEYS = {False: ("ws", "http", "all"), True: ("wss", "https", "all")}

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class ProxyAddress:
    """A proxy: how to speak to it, where it is, and who we are there."""

    #: One of :data:`PROXY_PORTS`.
    scheme: str
    #: As a resolver takes it: IDNA-encoded, IPv6 addresses without brackets.
    host: str
    port: int
    #: Percent-decoded; None: no credentials at all.
    username: bytes | None = field(default=None, repr=False)
    #: Percent-decoded; None: there was none in the URL.
    password: bytes | None = field(default=None, repr=False)

    @property
    def redacted(self) -> str:
        """The URL without credentials: what errors, logs and traces show."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL with credentials, for those that take nothing else."""
        if self.username is None:
            return self.redacted
        user = quote_from_bytes(self.username, safe="")
        password = "" if self.password is None else ":" + quote_from_bytes(self.password, safe="")
        return self.redacted.replace("://", f"://{user}{password}@", 1)

    @property
    def credentials(self) -> bytes | None:
        """``user:password`` as Basic authentication has it (RFC 7617), or None."""
        if self.username is None:
            return None
        return self.username + b":" + (self.password or b"")

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS rather than HTTP."""
        return self.scheme.startswith("socks")

    @property
    def resolves(self) -> bool:
        """Whether the proxy resolves the names of its targets, rather than we."""
        return self.scheme not in ("socks4", "socks5")

    def __str__(self) -> str:
        return self.redacted


def choose_proxy(
    is_secure: bool, host: str, port: int, proxies: Mapping[str, str | None] | None
) -> ProxyAddress | None:
    """Choose the proxy for a connection; None: connect directly.

    :param is_secure: for ``wss``; decides which keys or variables count.
    :param host: of the target, as in :class:`greenws.url.URL`.
    :param port: of the target.
    :param proxies: URLs by ``ws``, ``http``, ``all`` or ``wss``, ``https``, ``all``, the first
        that is there decides, also when it is None or empty (no proxy). None: the environment's
        ``<key>_proxy`` variables, unless ``no_proxy`` exempts the target. ``{}``: no proxy.
    :raises ValueError: the URL of the proxy is bad; it names the fault and where it came from.
    """
    if proxies is not None:
        for key in _KEYS[is_secure]:
            if key in proxies:
                url = proxies[key]
                return parse_proxy(url, f"proxies[{key!r}]") if url else None
        return None
    for name, url in _environment(_KEYS[is_secure]):
        no_proxy = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
        return None if is_exempt(host, port, no_proxy) else parse_proxy(url, name)
    return None


def parse_proxy(url: str, source: str = "proxy") -> ProxyAddress:
    """Take the URL of a proxy apart; without a scheme, ``host:port``, it is an HTTP proxy.

    Whatever stands before the last ``@`` is credentials, so that a password whose special
    characters nobody has encoded still works.

    :param source: where the URL came from, for errors.
    :raises TypeError: if it is no str.
    :raises ValueError: naming the fault, never a part of the URL that might be a secret.
    """
    if not isinstance(url, str):
        raise TypeError(f"{source}: the url must be str, not {type(url).__name__}")
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "http", url.strip()
    scheme = scheme.lower()
    if scheme not in PROXY_PORTS:
        known = ", ".join(PROXY_PORTS)
        raise ValueError(f"{source}: the url of a proxy must begin with one of {known}")
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

    Entries are separated by commas or spaces: ``*``; a name, which covers its subdomains, with
    or without a leading ``.`` or ``*.``; an IPv4 or IPv6 address; a network in CIDR notation.
    Each but a network may end in ``:port``. Case does not matter; what is malformed is skipped,
    as the list was hardly written for us.
    """
    name = host.lower().rstrip(".")
    address = _parse_ip(name)
    for entry in no_proxy.replace(",", " ").lower().split():
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


def _environment(keys: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the variables that are set, and not empty, by precedence."""
    for key in keys:
        lower, upper = f"{key}_proxy", f"{key.upper()}_PROXY"
        names = [lower, upper]
        if key == "http" and "REQUEST_METHOD" in os.environ:
            # In a CGI script HTTP_PROXY is the client's "Proxy:" header (CVE-2016-5385).
            names.remove(upper)
        # Set but empty, the lower one switches the upper one off.
        name = next((name for name in names if name in os.environ), None)
        if name is not None and os.environ[name].strip():
            yield name, os.environ[name]


def _split_location(location: str, source: str) -> tuple[str, int | None]:
    if location.startswith("["):
        host, bracket, rest = location[1:].partition("]")
        if not bracket or _parse_ip(host) is None or (rest and not rest.startswith(":")):
            raise ValueError(f"{source}: the url of the proxy has a bad IPv6 address")
        digits = rest[1:]
    else:
        host, _, digits = location.partition(":")
    port: int | None = None
    if digits:
        # No int() of what a URL with a misplaced "@" has here: its error would quote it.
        is_number = digits.isascii() and digits.isdigit() and len(digits) <= 5
        port = int(digits) if is_number else 0
        if not 0 < port < 65536:
            raise ValueError(f"{source}: the url of the proxy has a bad port")
    if not host:
        raise ValueError(f"{source}: the url of the proxy has no host")
    encoded = _encode_host(host)
    if encoded is None:
        raise ValueError(f"{source}: the url of the proxy has a bad host")
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
    domain = _encode_host(pattern.lstrip("*").strip("."))
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))
