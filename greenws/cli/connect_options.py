"""The arguments that only ``connect`` has: their parser, and what they come to."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from functools import cache
from getpass import getpass
from ipaddress import ip_address
from urllib.parse import quote, urlsplit, urlunsplit

from ..client import ClientOptions
from ..proxies.address import parse_proxy
from ..sessions.context import client_context
from ..url import encode_host
from .arguments import WrongOption, parse_natural, parse_not_negative, parse_seconds
from .connect import Talk
from .orders import BadOrder, parse_hex

_PIN_OF_CURL = re.compile(r"[^:]+:[0-9]+:.")


def add_connect_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, but for the URL and those of clients."""
    add = parser.add_argument_group("messages").add_argument
    add(
        "-x",
        "--send",
        metavar="TEXT",
        type=_text,
        action="append",
        default=[],
        help="send a message once connected, before the lines of stdin; may be repeated",
    )
    add("--one", action="store_true", help="print one message and end")
    add(
        "--wait",
        metavar="SECONDS",
        type=parse_not_negative,
        help="time to go on receiving after the end of stdin; default: 0, with --one: no limit",
    )
    add("--binary", action="store_true", help="lines and TEXT are binary messages in hexadecimal")
    add("--json", action="store_true", help="indent the messages that are JSON")
    add(
        "--ping",
        metavar="SECONDS",
        type=parse_seconds,
        help="send pings at this interval, and show their round trips",
    )
    add("--trace", action="store_true", help="show the steps of the connection, with durations")
    add(
        "--trace-headers",
        action="store_true",
        help="like --trace, and show the headers of the opening, without secrets",
    )
    add = parser.add_argument_group("server").add_argument
    add("--origin", metavar="ORIGIN", help="the header Origin, such as https://example.org")
    add(
        "--auth",
        metavar="USER:PASS",
        type=_credentials,
        help="credentials of Basic authentication; other users of this machine can see them",
    )
    add("--cert", metavar="PEM", help="certificate of the client, with its chain")
    add("--key", metavar="PEM", help="key of that certificate, if it is in another file")
    add("--sni", metavar="NAME", help="name to ask for, and to find in the server's certificate")
    add(
        "--proxy",
        metavar="URL",
        type=_proxy,
        help="proxy to connect through (http, https, socks4, socks4a, socks5, socks5h), or none; "
        "default: the environment's",
    )
    add("--unix", metavar="PATH", help="unix socket to connect to, in place of the URL's host")
    add(
        "--resolve",
        metavar="HOST:ADDRESS",
        type=_pin,
        action="append",
        default=[],
        help="address of a name, in place of the resolver's; may be repeated",
    )
    add(
        "--max-size",
        metavar="BYTES",
        type=parse_natural,
        help="largest message to receive; 0: no limit; default: 16 MiB",
    )
    add("--reconnect", action="store_true", help="connect again whenever the connection has ended")


def choose_url(options: argparse.Namespace) -> str:
    """Return the URL, with the credentials of ``--auth``.

    :raises WrongOption: there is another header with credentials.
    """
    url: str = options.url
    if options.auth is None:
        return url
    if any(name.lower() == "authorization" for name, _ in options.header):
        raise WrongOption("--auth and a header Authorization exclude each other")
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user, password = (quote(part, safe="") for part in options.auth)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{host}"))


def choose_client_options(options: argparse.Namespace) -> ClientOptions:
    """Return the options of the client that the arguments of ``connect`` come to.

    :raises WrongOption: arguments do not fit together.
    """
    if options.key is not None and options.cert is None:
        raise WrongOption("--key needs --cert")
    if options.unix is not None and options.proxy:
        raise WrongOption("--unix and --proxy exclude each other")
    client: ClientOptions = {
        "origin": options.origin,
        "ssl_certfile": options.cert,
        "ssl_keyfile": options.key,
        "ssl_password": None if options.cert is None else _ask_password,
        "server_hostname": options.sni,
        "unix_path": options.unix,
        "reconnect": options.reconnect,
    }
    if options.proxy is not None:
        client["proxies"] = {"all": options.proxy} if options.proxy else {}
    if options.max_size is not None:
        client["max_size"] = options.max_size or None
    if options.ping is not None:
        client["ping_rate"] = 0  # these pings are enough
    return client


def check_files(client: ClientOptions) -> None:
    """Load the files of certificates once, before anything else.

    :raises ConnectFail: a file is missing or invalid.
    """
    cafile, certfile = client.get("ssl_cafile"), client.get("ssl_certfile")
    if cafile is not None or certfile is not None:
        client_context(
            verify=client.get("ssl_verify", True),
            cafile=cafile,
            certfile=certfile,
            keyfile=client.get("ssl_keyfile"),
            password=client.get("ssl_password"),
        )


@cache  # it is asked for whenever a file is loaded
def _ask_password() -> str:
    """Ask for the password of the key. Waits in the system: no connection has begun."""
    if not sys.stdin.isatty():
        raise ValueError("the key is encrypted, and no terminal is there to ask for its password")
    try:
        return getpass("Password of the key: ", sys.stderr)
    except EOFError:
        raise ValueError("there is no password for the key") from None


def choose_talk(options: argparse.Namespace) -> Talk:
    """Return what the arguments say of messages.

    :raises WrongOption: a message is not what ``--binary`` says.
    """
    if options.binary:
        for message in options.send:
            try:
                parse_hex(message)
            except BadOrder as error:
                raise WrongOption(f"--send with --binary: {error}") from None
    return Talk(
        messages=tuple(options.send),
        one=options.one,
        binary=options.binary,
        json=options.json,
        ping=options.ping,
        trace=options.trace or options.trace_headers,
        trace_headers=options.trace_headers,
    )


def gather_pins(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the addresses that were given, by their names."""
    pins: dict[str, list[str]] = {}
    for name, address in options.resolve:
        pins.setdefault(name, []).append(address)
    return pins


# The types of the arguments; see greenws/cli/command.py.


def _text(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # bytes that are not UTF-8 are surrogates in an argument
        raise argparse.ArgumentTypeError("must be UTF-8") from None
    return text


def _credentials(text: str) -> Sequence[str]:
    user, colon, password = text.partition(":")
    if not colon or not user:
        # The text is left out: it may be the password alone.
        raise argparse.ArgumentTypeError("must be USER:PASS")
    return _text(user), _text(password)


def _proxy(text: str) -> str:
    """Return the URL; an empty one is no proxy."""
    if text.lower() == "none":
        return ""
    try:
        parse_proxy(text, "it")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("it: ")) from None
    return text


def _pin(text: str) -> tuple[str, str]:
    name, _, address = text.partition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ip_address(address)
    except ValueError:
        hint = "; the port is left out here" if _PIN_OF_CURL.match(text) else ""
        raise argparse.ArgumentTypeError(
            f"must be a name and an IP address, HOST:ADDRESS: {text!r}{hint}"
        ) from None
    try:
        return encode_host(name, "it").removesuffix("."), address
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
