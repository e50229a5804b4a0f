"""SOCKS, spoken by PySocks (SOCKS 4 and 4a; RFC 1928, RFC 1929).

PySocks comes in as an argument, as its module has to be bound to the sockets of whoever does the
IO. Its errors are translated here, and what it would get wrong is checked or put right.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from ..errors import ProxyFail
from .address import ProxyAddress

# How PySocks begins the message about a reply.
_CODE = re.compile(r"0x[0-9a-fA-F]+")

#: Bytes of a user name, a password or a host name in SOCKS5 (RFC 1928 section 4, RFC 1929).
MAX_FIELD = 255


class _Field(bytes):
    """A user name or password; PySocks leaves out the pair if either is false."""

    def __bool__(self) -> bool:
        return True


class _Octet(str):
    """A character that PySocks encodes as UTF-8 where it has to be one byte."""

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        return super().encode("latin-1", errors)


def octet(number: int) -> str:
    """Stand in for ``chr`` in PySocks, which writes lengths as ``chr(n).encode()``.

    From 128 on that would be two bytes.
    """
    return _Octet(chr(number))


def check(proxy: ProxyAddress, host: str) -> None:
    """Check that the proxy's protocol can express what it is asked.

    :param host: of the target, a name or an address.
    :raises ProxyFail: it cannot; it says what.
    """
    name = f"proxy {proxy.redacted}"
    fields = (("user name", proxy.username), ("password", proxy.password))
    if proxy.scheme.startswith("socks4"):
        if proxy.username is not None and b"\0" in proxy.username:
            raise ProxyFail(f"{name}: a SOCKS4 user name cannot have a NUL")
        if ":" in host and not proxy.resolves:
            raise ProxyFail(f"{name}: SOCKS4 cannot reach the IPv6 address {host}")
        return
    for label, value in (*fields, ("host name", host.encode("utf-8"))):
        if value is not None and len(value) > MAX_FIELD:
            raise ProxyFail(f"{name}: a SOCKS5 {label} has {MAX_FIELD} bytes at most")


def negotiate(module: ModuleType, sock: Any, proxy: ProxyAddress, host: str, port: int) -> None:
    """Have the proxy connect to a target.

    Exactly the bytes of the negotiation are read.

    :param module: PySocks.
    :param sock: its ``socksocket``, connected to the proxy; it stays the caller's.
    :param host: an address, or a name if the proxy resolves.
    :raises ProxyFail: the proxy refused, or broke off; with its reply by name.
    """
    check(proxy, host)
    name = f"proxy {proxy.redacted}"
    is_socks4 = proxy.scheme.startswith("socks4")
    user = password = None
    if proxy.username is not None:
        user, password = _Field(proxy.username), _Field(proxy.password or b"")
    kind = module.SOCKS4 if is_socks4 else module.SOCKS5
    sock.proxy = (kind, proxy.host, proxy.port, proxy.resolves, user, password)
    try:
        if is_socks4:
            sock._negotiate_SOCKS4(host, port)
        else:
            sock._negotiate_SOCKS5(host, port)
    except module.SOCKS5AuthError as error:
        raise ProxyFail(f"{name} refused the authentication: {error}") from error
    except (module.SOCKS4Error, module.SOCKS5Error) as error:
        code, _, reply = str(error).partition(": ")
        number = int(code, 16) if _CODE.fullmatch(code) else None
        message = f"{name} refused the tunnel: {reply} ({code})"
        raise ProxyFail(message, socks_code=number) from error
    except module.ProxyError as error:
        raise ProxyFail(f"{name}: {error}") from error
    except UnicodeError as error:
        raise ProxyFail(f"{name}: {host!r} is no host name ({error})") from error
    except OSError as error:
        raise ProxyFail(f"{name}: {error.strerror or error}") from error
