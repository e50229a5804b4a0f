"""SOCKS, through PySocks (SOCKS 4 and 4a; SOCKS5: RFC 1928, RFC 1929).

The module PySocks is an argument, because its code must be bound to the socket module of the
caller, who does the IO. This module translates the errors of PySocks, and checks or corrects the
arguments that PySocks would send wrongly.
"""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

from ..errors import ProxyFail
from .address import ProxyAddress

# PySocks begins the message about a reply with the code of the reply.
_CODE = re.compile(r"0x[0-9a-fA-F]+")

#: The largest size of a user name, a password or a host name in SOCKS5, in bytes (RFC 1928 section
#: 4, RFC 1929).
MAX_FIELD = 255


class _Field(bytes):
    """A user name or password that is always true, even if empty.

    PySocks sends neither of the two if one of them is false.
    """

    def __bool__(self) -> bool:
        return True


class _Octet(str):
    """A character that always encodes to one byte; PySocks encodes characters as UTF-8."""

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:
        return super().encode("latin-1", errors)


def octet(number: int) -> str:
    """Replace ``chr`` in PySocks.

    PySocks writes a length as ``chr(n).encode()``, which is two bytes for a length of 128 or more.
    """
    return _Octet(chr(number))


def check(proxy: ProxyAddress, host: str) -> None:
    """Check that the proxy's protocol can express the target and the credentials.

    :param host: the name or address of the target.
    :raises ProxyFail: the protocol cannot express them; the message names the fault.
    """
    name = f"proxy {proxy.redacted}"
    fields = (("user name", proxy.username), ("password", proxy.password))
    if proxy.scheme.startswith("socks4"):
        if proxy.username is not None and b"\0" in proxy.username:
            raise ProxyFail(f"{name}: a SOCKS4 user name cannot contain a NUL")
        if ":" in host and not proxy.resolves:
            raise ProxyFail(f"{name}: SOCKS4 cannot reach the IPv6 address {host}")
        return
    for label, value in (*fields, ("host name", host.encode("utf-8"))):
        if value is not None and len(value) > MAX_FIELD:
            raise ProxyFail(f"{name}: a SOCKS5 {label} is at most {MAX_FIELD} bytes long")


def negotiate(module: ModuleType, sock: Any, proxy: ProxyAddress, host: str, port: int) -> None:
    """Make the proxy connect to a target.

    The negotiation reads exactly its own bytes, and none of the tunnel.

    :param module: PySocks.
    :param sock: a ``socksocket`` of the module, connected to the proxy; the caller keeps it.
    :param host: the address of the target, or the name if the proxy resolves.
    :raises ProxyFail: the proxy refused or closed the connection; the message explains the reply.
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
        raise ProxyFail(f"{name}: {host!r} is not a host name ({error})") from error
    except OSError as error:
        raise ProxyFail(f"{name}: {error.strerror or error}") from error
