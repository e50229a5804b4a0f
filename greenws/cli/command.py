"""The command line: its commands, their arguments, and the checks of the arguments."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..client import Client, ClientOptions
from ..constants import MAX_MESSAGE_SIZE, OPEN_TIMEOUT
from ..errors import ConnectFail, WebSocketError
from ..protocol.handshake import check_field, check_protocols
from ..url import parse_url
from .arguments import WrongOption, parse_natural, parse_port, parse_seconds
from .connect import choose_lines, run_connect
from .connect_options import (
    add_connect_arguments,
    check_files,
    choose_client_options,
    choose_talk,
    choose_url,
    gather_pins,
)
from .echo import EchoOptions, run_echo
from .load import add_load_arguments, collect_load_options, run_load
from .pins import names_pinned
from .streams import (
    OutputError,
    escape,
    escape_line,
    provide_streams,
    report,
    write_output,
    write_quietly,
)
from .versions import describe_platform, describe_version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    :param arguments: the arguments of the command line; None: those of this process.
    :returns: the exit status.
    :raises SystemExit: the arguments are wrong, or ask for help.
    """
    provide_streams()
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # before the command had begun to handle it
        return 128 + signal.SIGINT
    except OutputError as error:
        if not error.is_reader_gone:
            report(f"greenws: {error}")
        return 1
    except MemoryError:
        report("greenws: not enough memory")
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    parser = _build_parser()
    options = parser.parse_args(arguments)
    if options.version:
        write_output(f"{describe_platform() if options.details else describe_version()}\n")
        return 0
    if options.run is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except WrongOption as error:
        report(f"greenws: {error}")
        return 2


class _Parser(argparse.ArgumentParser):
    """A parser whose help and complaints go where everything else of the command goes."""

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse prints everything by this method, and has no public one for its help.
        if file is sys.stdout:
            write_output(message)
        else:
            write_quietly(sys.stderr, escape(message))

    def error(self, message: str) -> NoReturn:
        # Without the usage, which has many lines and hides the complaint.
        told = escape_line(f"{self.prog}: error: {message}; --help lists the options")
        self.exit(2, f"{told}\n")


def _build_parser() -> _Parser:
    parser = _Parser(
        prog="python -m greenws", description="WebSockets on gevent.", allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument(
        "--verbose",
        dest="details",
        action="store_true",
        help="with --version: also what greenws runs on, for a bug report",
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_load(commands)
    _add_echo(commands)
    _add_connect(commands)
    return parser


def _add_load(commands: argparse._SubParsersAction[_Parser]) -> None:
    about = "Open many connections, exchange messages, and report."
    parser = commands.add_parser(
        "load",
        help=about,
        description=about,
        parents=[_build_client_options()],
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run_load)
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        type=_url,
        help="the server; without a URL, the command starts an echo server",
    )
    add_load_arguments(parser)


def _add_echo(commands: argparse._SubParsersAction[_Parser]) -> None:
    about = "Run an echo server. The first line on stdout is its URL."
    parser = commands.add_parser("echo", help=about, description=about, allow_abbrev=False)
    parser.set_defaults(run=_run_echo)
    add = parser.add_argument
    add("--host", type=_host, default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    add(
        "--port",
        type=parse_port,
        default=8765,
        help="port to listen on; 0: a free port; default: 8765",
    )
    add("--certfile", metavar="PEM", help="certificate of the server, for wss")
    add("--keyfile", metavar="PEM", help="key of the certificate, if it is in another file")
    add(
        "--max-size",
        metavar="BYTES",
        type=parse_natural,
        default=MAX_MESSAGE_SIZE,
        help="largest message; 0: no limit; default: 16 MiB",
    )
    add("--until-eof", action="store_true", help="end when stdin ends")


def _add_connect(commands: argparse._SubParsersAction[_Parser]) -> None:
    about = "Send the lines of stdin as text messages, and print the received messages."
    parser = commands.add_parser(
        "connect",
        help=about,
        description=f"{about} Binary messages are printed in hexadecimal. On a terminal, lines are "
        "typed at a prompt.",
        parents=[_build_client_options()],
        allow_abbrev=False,
    )
    parser.set_defaults(run=_run_connect)
    parser.add_argument("url", metavar="URL", type=_url)
    add_connect_arguments(parser)


def _build_client_options() -> _Parser:
    parser = _Parser(add_help=False)
    add = parser.add_argument_group("connection").add_argument
    add("--compress", action="store_true", help="offer permessage-deflate")
    add("-k", "--insecure", action="store_true", help="do not verify the server's certificate")
    add("--cafile", metavar="PEM", help="authorities to trust instead of certifi's")
    add(
        "-H",
        "--header",
        metavar="'NAME: VALUE'",
        type=_header,
        action="append",
        default=[],
        help="add a header to the request; may be repeated",
    )
    add(
        "-s",
        "--protocol",
        metavar="NAME",
        type=_protocol,
        action="append",
        default=[],
        help="offer a subprotocol; may be repeated",
    )
    add(
        "--open-timeout",
        metavar="SECONDS",
        type=parse_seconds,
        default=OPEN_TIMEOUT,
        help="time from the name lookup to the end of the handshake; default: 30",
    )
    return parser


def _collect_client_options(
    options: argparse.Namespace, others: ClientOptions | None = None
) -> ClientOptions:
    """Collect the options of the clients.

    :param others: the options that only this command has.
    :raises WrongOption: a client does not take them.
    """
    client: ClientOptions = {
        "compress": options.compress,
        "ssl_verify": not options.insecure,
        "ssl_cafile": options.cafile,
        "headers": options.header,
        "protocols": options.protocol,
        "open_timeout": options.open_timeout,
        **(others or {}),
    }
    try:
        Client(options.url or "ws://localhost/", **client)
    except (TypeError, ValueError, OSError, WebSocketError) as error:
        raise WrongOption(str(error)) from error
    return client


def _run_load(options: argparse.Namespace) -> int:
    client = _collect_client_options(options)
    if options.url is None:
        client["proxies"] = {}  # the server is on this machine, whatever the environment says
    try:
        load = collect_load_options(options, client)
    except ValueError as error:
        raise WrongOption(str(error)) from error
    return run_load(load)


def _run_echo(options: argparse.Namespace) -> int:
    if options.keyfile is not None and options.certfile is None:
        raise WrongOption("--keyfile needs --certfile")
    given = vars(options)
    names = [field.name for field in dataclasses.fields(EchoOptions)]
    return run_echo(EchoOptions(**{name: given[name] for name in names}))


def _run_connect(options: argparse.Namespace) -> int:
    talk = choose_lines(options.wait, choose_talk(options))
    options.url = choose_url(options)
    client = _collect_client_options(options, choose_client_options(options))
    try:
        check_files(client)
    except ConnectFail as error:
        raise WrongOption(str(error)) from error
    with names_pinned(gather_pins(options)):
        return run_connect(options.url, options.wait, client, talk)


# The types of the arguments. argparse shows the message of an ArgumentTypeError, but not the
# message of any other error.


def _url(text: str) -> str:
    try:
        parse_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _host(text: str) -> str:
    try:
        text.encode("idna")
    except UnicodeError:
        raise argparse.ArgumentTypeError(f"must be a name or an address: {text!r}") from None
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError("a header must have a colon: 'Name: value'")
    try:
        check_field(name.strip().encode("utf-8"), value.strip().encode("utf-8"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name.strip(), value.strip()


def _protocol(text: str) -> str:
    try:
        check_protocols([text])
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
