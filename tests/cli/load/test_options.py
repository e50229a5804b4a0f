"""The arguments of ``load``: what they become, and which of them do not fit together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from greenws.cli import command, main
from greenws.cli.load import LoadOptions
from tests.cli.load.settings import make_options

ROOT = Path(__file__).parents[3]


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> list[LoadOptions]:
    """The options of the runs that were asked for; none runs."""
    asked: list[LoadOptions] = []

    def run_load(options: LoadOptions) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(command, "run_load", run_load)
    return asked


def collect(collected: list[LoadOptions], *arguments: str) -> LoadOptions:
    assert main(["load", *arguments]) == 0
    return collected.pop()


def test_defaults_are_ten_messages_each_after_the_echo_of_the_last(
    collected: list[LoadOptions],
) -> None:
    options = collect(collected)
    assert (options.connections, options.messages, options.duration) == (1000, 10, None)
    assert (options.size, options.expect, options.in_flight) == (64, "echo", 1)
    assert (options.processes, options.message_rate, options.think) == (1, None, None)
    assert options.client["proxies"] == {}
    assert options.client["max_size"] == 16 * 1024 * 1024
    assert options.describe_messages() == "10 messages of 64 bytes on each"


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["--duration", "2m"], "messages of 64 bytes, for 120 s"),
        (["--duration", "1.5h", "-n", "0"], "no messages, for 5400 s"),
        (["-n", "0"], "no messages"),
        (["--size", "5", "--think", "0.5"], "10 messages of 5 bytes on each, 0.5 s apart"),
        (["--think", "0.5-2", "-n", "1"], "1 messages of 64 bytes on each, 0.5-2 s apart"),
        (["--message-rate", "2", "--message", "a{n}"], "10 messages of about 2 bytes on each, 2/s"),
    ],
)
def test_messages_are_described(
    arguments: list[str], about: str, collected: list[LoadOptions]
) -> None:
    assert collect(collected, *arguments).describe_messages() == about


def test_duration_without_a_number_of_messages_has_no_limit(collected: list[LoadOptions]) -> None:
    options = collect(collected, "--duration", "90s", "--message-rate", "5")
    assert (options.messages, options.duration, options.in_flight) == (None, 90.0, 100)


@pytest.mark.parametrize(
    ("content", "template", "is_binary"),
    [
        ("zwölf {n}".encode(), "zwölf {n}", False),
        (b"\xff\x00", b"\xff\x00", True),
    ],
)
def test_message_may_come_from_a_file(
    content: bytes,
    template: str | bytes,
    is_binary: bool,
    tmp_path: Path,
    collected: list[LoadOptions],
) -> None:
    file = tmp_path / "message"
    file.write_bytes(content)
    options = collect(collected, "--message", f"@{file}")
    assert (options.template, options.binary, options.is_own) == (template, is_binary, True)


def test_server_may_send_back_what_is_larger_than_the_default_limit(
    monkeypatch: pytest.MonkeyPatch, collected: list[LoadOptions]
) -> None:
    monkeypatch.setattr("greenws.cli.load.options.MAX_MESSAGE_SIZE", 100)
    options = collect(collected, "--size", "170")
    assert options.client["max_size"] == options.largest == 170
    # The numbers of a template grow.
    assert make_options(template="{n}" + "x" * 200).largest == 213


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-c", "5", "--processes", "9"], "--processes 9 are more than the 5 connections"),
        (["--size", "3", "--message", "x"], "--size is of no use with --message"),
        (["--rate", "3", "--ramp", "4"], "--rate and --ramp exclude each other"),
        (["--ramp", "5", "--duration", "5"], "--ramp must be shorter than --duration"),
        (["--think", "1", "--message-rate", "2"], "exclude each other"),
        (["--expect", "none"], "--expect none needs --message-rate or --think"),
        (["--expect", "id"], "--expect id needs a --message that is a JSON object"),
        (
            ["--expect", "id", "--message", '{"id": 1}', "--message-rate", "5"],
            "--expect id: all messages have the same; write {id} or {n} there",
        ),
        (["--in-flight", "3"], "--in-flight needs --message-rate"),
        (["--compare", "/nonexistent"], "--compare: cannot read '/nonexistent': No such file"),
        (["--compare", __file__], "is no report of load --json"),
        (["--json", "a", "--csv", "b", "--html", "b"], "two reports cannot go to one file: 'b'"),
    ],
)
def test_options_that_do_not_fit_are_told_in_one_line(
    arguments: list[str],
    complaint: str,
    collected: list[LoadOptions],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["load", *arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, collected) == ("", [])
    assert told.err.startswith("greenws: ") and complaint in told.err
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--duration", "5x"], "must be seconds, or a time such as 90s, 5m or 2h: '5x'"),
        (["--ramp", ""], "must be seconds, or a time such as 90s, 5m or 2h: ''"),
        (["--think", "3-1"], "must be seconds, or from and to: 0.5 or 0.2-1: '3-1'"),
        (["--think", "0"], "must be seconds, or from and to"),
        (["--think", "x"], "must be a number, 0 or more: 'x'"),
        (["--message-rate", "0"], "must be a number, 0.001 or more: '0'"),
        (["--message", "@/nonexistent"], "cannot read '/nonexistent': No such file or directory"),
        (["--message", "@a\0b"], "cannot read 'a\\x00b': embedded null byte"),
        (["--message", "a\udcff"], "must be UTF-8, or @FILE: 'a\\udcff'"),
        (["--expect", "a..b"], "must be echo, any, none or a field: 'a..b'"),
        (["--processes", "0"], "must be a whole number, 1 or more: '0'"),
    ],
)
def test_wrong_argument_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["load", *arguments])
    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--expect", "none", "-n", "0"],
        ["--expect", "none", "--think", "1"],
        ["--expect", "id", "--message", '{"id": 1}'],
        ["--ramp", "5"],
    ],
)
def test_options_that_fit_are_taken(arguments: list[str], collected: list[LoadOptions]) -> None:
    collect(collected, *arguments)


def test_every_argument_is_in_the_help_and_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["load", "--help"])
    assert caught.value.code == 0
    arguments = set(
        re.findall(r"^ +(?:-\w(?: \w+)?, )?(--[\w-]+)", capsys.readouterr().out, re.MULTILINE)
    )
    assert {"--duration", "--expect", "--html", "--connections"} <= arguments
    page = (ROOT / "docs" / "cli.rst").read_text(encoding="utf-8")
    own = {f"--{name.replace('_', '-')}" for name in LoadOptions.__dataclass_fields__} & arguments
    missing = {name for name in own if f"``{name}" not in page}
    assert missing == {"--connections", "--messages"}  # there as -c and -n
