"""The options of ``load``: their arguments, and which of them fit together."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...client import ClientOptions
from ...constants import MAX_MESSAGE_SIZE
from ..arguments import (
    parse_duration,
    parse_natural,
    parse_not_negative,
    parse_pause,
    parse_positive,
    parse_rate,
    parse_seconds,
    parse_size,
)
from .comparison import read_earlier
from .messages import Key, Messages, find_size, make_payload

# The messages on each connection, and the bytes of each message, if nothing else is said.
_MESSAGES = 10
_SIZE = 64

# The words of "--expect". Everything else is the name of a field.
ECHO, ANY, NONE = "echo", "any", "none"


@dataclass(frozen=True)
class LoadOptions:
    """The options of the command."""

    #: The URL of the server; None: the command starts an echo server.
    url: str | None
    connections: int
    #: The number of messages on each connection; None: as many as there is time for.
    messages: int | None
    #: The seconds of the messages; None: until all are exchanged.
    duration: float | None
    #: The text of the messages, or a template of it. Bytes: it is none, and is sent as it is.
    template: str | bytes
    #: Whether the template is the user's own.
    is_own: bool
    #: Whether messages are sent as binary messages.
    binary: bool
    #: Which messages are replies: ECHO, ANY, NONE, or the path of the field with their key.
    expect: str
    #: The messages a second on each connection; None: each follows the reply to the one before.
    message_rate: float | None
    #: The largest number of messages of a connection that wait for their replies.
    in_flight: int
    #: The least and the longest pause between a reply and the next message, in seconds; None: none.
    think: tuple[float, float] | None
    #: The connections opened a second; 0: no limit.
    rate: float
    #: The seconds in which the connections are opened, each beginning at once; None: all begin
    #: together, when all are open.
    ramp: float | None
    #: The largest number of connections being opened at the same time.
    connecting: int
    #: The seconds without a reply after which a connection has failed.
    timeout: float
    #: The number of processes.
    processes: int
    #: The files to write.
    json: str | None
    csv: str | None
    html: str | None
    #: The report of an earlier run, and the name of its file; None: there is none.
    earlier: dict[str, Any] | None
    compare: str | None
    #: The options of the clients.
    client: ClientOptions

    @property
    def largest(self) -> int:
        """The size of the largest message that the server may have to take, in bytes."""
        size = find_size(self.make_messages().build(self.connections, n) for n in (1, 10**12))
        return max(size, MAX_MESSAGE_SIZE)

    def make_messages(self) -> Messages:
        """Make what makes the messages."""
        return Messages(self.template, self.connections, self.binary)

    @property
    def size(self) -> int:
        """The size of the first message, in bytes."""
        return find_size([self.make_messages().build(0, 1)])

    def describe_messages(self) -> str:
        """Say how many messages go over each connection, and which."""
        messages = self.make_messages()
        if self.messages == 0:
            return "no messages" + ("" if self.duration is None else f", for {self.duration:g} s")
        what = f"messages of {'' if messages.fixed is not None else 'about '}{self.size:,} bytes"
        if self.messages is not None:
            what = f"{self.messages:,} {what} on each"
        if self.message_rate is not None:
            what += f", {self.message_rate:g}/s"
        if self.think is not None:
            what += f", {format_pause(self.think)} s apart"
        if self.duration is not None:
            what += f", for {self.duration:g} s"
        return what


def format_pause(pause: tuple[float, float]) -> str:
    """Return a pause as the argument that it was."""
    least, most = pause
    return f"{least:g}" if least == most else f"{least:g}-{most:g}"


def add_load_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, but for the URL and those of clients."""
    add = parser.add_argument_group("load").add_argument
    add(
        "-c",
        "--connections",
        metavar="N",
        type=parse_positive,
        default=1000,
        help="default: 1000",
    )
    add(
        "-n",
        "--messages",
        metavar="N",
        type=parse_natural,
        help="messages on each connection; default: 10, or no limit with --duration",
    )
    add(
        "--duration",
        metavar="TIME",
        type=parse_duration,
        help="end after this time: 60, 90s, 5m, 2h",
    )
    add(
        "--rate",
        metavar="N",
        type=parse_not_negative,
        default=0.0,
        help="connections opened a second; default: no limit",
    )
    add(
        "--ramp",
        metavar="TIME",
        type=parse_duration,
        help="open the connections evenly over this time, each sending as soon as it is open",
    )
    add(
        "--connecting",
        metavar="N",
        type=parse_positive,
        default=100,
        help="most connections being opened at the same time; default: 100",
    )
    add(
        "--timeout",
        metavar="SECONDS",
        type=parse_seconds,
        default=30.0,
        help="a connection whose reply takes longer has failed; default: 30",
    )
    add(
        "--processes",
        metavar="N",
        type=parse_positive,
        default=1,
        help="processes that share the connections; default: 1",
    )
    _add_message_arguments(parser)
    _add_report_arguments(parser)


def _add_message_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("messages of load").add_argument
    add("--size", metavar="BYTES", type=parse_size, help="random letters; default: 64")
    add(
        "--message",
        metavar="TEXT|@FILE",
        type=_read_message,
        help="the message; {n}: its number on its connection, {id}: its number in the whole run, "
        "{connection}: the number of the connection",
    )
    add("--binary", action="store_true", help="send binary messages")
    add(
        "--expect",
        metavar="echo|any|none|FIELD",
        type=_parse_expect,
        default=ECHO,
        help="the reply: the same message, any message, none, or a JSON object whose FIELD (a.b: "
        "b in a) is that of the message; default: echo",
    )
    add(
        "--message-rate",
        metavar="N",
        type=parse_rate,
        help="messages a second on each connection; a latency then counts from when its message "
        "was due; default: each message follows the reply to the one before",
    )
    add(
        "--in-flight",
        metavar="N",
        type=parse_positive,
        help="with --message-rate, most messages of a connection without a reply; default: 100",
    )
    add(
        "--think",
        metavar="SECONDS|FROM-TO",
        type=parse_pause,
        help="pause between a reply and the next message",
    )


def _add_report_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("reports of load").add_argument
    add("--json", metavar="FILE", help="write all figures")
    add("--csv", metavar="FILE", help="write a line a second, as the run goes on")
    add("--html", metavar="FILE", help="write a page with pictures")
    add("--compare", metavar="OLD.json", help="compare with what --json of an earlier run wrote")


def _read_message(text: str) -> str | bytes:
    if not text.startswith("@"):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise argparse.ArgumentTypeError(f"must be UTF-8, or @FILE: {text!r}") from None
        return text
    try:
        data = Path(text[1:]).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise argparse.ArgumentTypeError(f"cannot read {text[1:]!r}: {reason}") from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _parse_expect(text: str) -> str:
    if not all(text.split(".")):
        raise argparse.ArgumentTypeError(f"must be echo, any, none or a field: {text!r}")
    return text


def collect_load_options(arguments: argparse.Namespace, client: ClientOptions) -> LoadOptions:
    """Collect the options out of the arguments.

    :param client: the options of the clients.
    :raises ValueError: they do not fit together, or a file cannot be read; the message is for the
        user.
    """
    given = vars(arguments)
    names = {field.name for field in dataclasses.fields(LoadOptions)}
    fields = {name: given[name] for name in names & given.keys()}
    if given["message"] is not None:
        if given["size"] is not None:
            raise ValueError("--size is of no use with --message")
        template = given["message"]
    else:
        template = make_payload(_SIZE if given["size"] is None else given["size"])
    if given["messages"] is None and given["duration"] is None:
        fields["messages"] = _MESSAGES
    if given["in_flight"] is None:
        fields["in_flight"] = 100 if given["message_rate"] is not None else 1
    elif given["message_rate"] is None:
        raise ValueError("--in-flight needs --message-rate")
    options = LoadOptions(
        **fields,
        template=template,
        is_own=given["message"] is not None,
        earlier=None if given["compare"] is None else read_earlier(given["compare"]),
        client=client,
    )
    _check(options)
    client["max_size"] = options.largest
    if isinstance(template, bytes):
        options = dataclasses.replace(options, binary=True)
    return options


def _check(options: LoadOptions) -> None:
    if options.processes > options.connections:
        raise ValueError(
            f"--processes {options.processes} are more than the {options.connections} connections"
        )
    if options.ramp is not None:
        if options.rate:
            raise ValueError("--rate and --ramp exclude each other")
        if options.duration is not None and options.ramp >= options.duration:
            raise ValueError("--ramp must be shorter than --duration, which begins with it")
    if options.think is not None and options.message_rate is not None:
        raise ValueError("--think and --message-rate exclude each other")
    if options.expect == NONE:
        if options.message_rate is None and options.think is None and options.messages != 0:
            raise ValueError(
                "--expect none needs --message-rate or --think: nothing else holds it back"
            )
    elif options.expect not in (ECHO, ANY):
        _check_key(options)
    files = [name for name in (options.json, options.csv, options.html) if name is not None]
    for name in files:
        if files.count(name) > 1:
            raise ValueError(f"two reports cannot go to one file: {name!r}")


def _check_key(options: LoadOptions) -> None:
    key, messages = Key(options.expect), options.make_messages()
    values = [key.find(messages.build(0, n)) for n in (1, 2)]
    if None in values:
        raise ValueError(
            f"--expect {options.expect} needs a --message that is a JSON object with this field"
        )
    if values[0] == values[1] and options.in_flight > 1:
        raise ValueError(
            f"--expect {options.expect}: all messages have the same; write {{id}} or {{n}} there"
        )
