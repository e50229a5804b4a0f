"""The fuzz itself: short runs of all targets, and planted faults that it has to find."""

from __future__ import annotations

import os
import random
import signal
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from greenws.protocol import body
from greenws.protocol.compression import Deflate
from greenws.protocol.mask import mask
from tests.fuzz import campaign, stream
from tests.fuzz.__main__ import main
from tests.fuzz.builds import Build
from tests.fuzz.mutation import cut, plan_cuts
from tests.fuzz.target import Case, Outcome, Target, require


def run_target(name: str, inputs: int = 150, seed: int = 1) -> campaign.Report:
    report = campaign.Report()
    campaign.run_numbers(campaign.TARGETS[name], seed, range(inputs), report)
    return report


@pytest.mark.parametrize("name", [name for name in campaign.TARGETS if name != "rounds"])
def test_nothing_is_found(name: str) -> None:
    report = run_target(name)
    assert report.findings == []
    assert report.inputs == 150


def test_nothing_comes_of_anything_but_events_and_our_errors() -> None:
    assert stream.run(150, 20, seed=1) > 0


def test_a_wrong_mask_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def mask_all_but_one(payload: Any, key: bytes, offset: int = 0) -> bytes:
        masked = mask(payload, key, offset)
        return masked[:-1] + b"\0" if len(masked) > 50 else masked

    monkeypatch.setattr(stream, "mask", mask_all_but_one)
    with pytest.raises(AssertionError):
        stream.run(500, 20, seed=1)


def test_a_foreign_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def decompress(self: Deflate, data: bytes, max_length: int, final: bool) -> bytes:
        raise OverflowError("planted")

    monkeypatch.setattr(Deflate, "decompress", decompress)
    (kind,) = run_target("deflate", 20).kinds
    assert kind == "deflate: OverflowError (test_fuzz.py, decompress)"


def test_a_dependence_on_cuts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = body.BodyReader.feed

    def feed(self: body.BodyReader, data: bytes) -> bool:
        return genuine(self, data[:7])

    monkeypatch.setattr(body.BodyReader, "feed", feed)
    assert list(run_target("bodies", 60).kinds) == ["bodies: cuts do not matter"]


class Planted(Target):
    """Returns what ``act`` returns for the bytes of an input."""

    name = "planted"

    def __init__(self, act: Callable[[Build, int], Any], compare: bool = False) -> None:
        self.act = act
        self.is_compared = compare

    def make(self, rng: random.Random) -> Case:
        return Case([b"x"], {"number": rng.random()})

    def run(self, build: Build, case: Case, cuts: Sequence[Sequence[int]]) -> Outcome:
        return [self.act(build, case.settings["number"])]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., campaign.Report]:
    """Run twenty inputs of a planted target in a process of their own."""

    def run(act: Callable[[Build, int], Any], compare: bool = False) -> campaign.Report:
        monkeypatch.setitem(campaign.TARGETS, "planted", Planted(act, compare))
        return campaign.run(["planted"], 20, seed=3, jobs=1, show=False)["planted"]

    return run


def test_a_crash_is_found_and_the_other_inputs_run(plant: Any) -> None:
    def act(build: Build, number: float) -> None:
        if number < 0.2:
            os.kill(os.getpid(), signal.SIGKILL)

    report = plant(act)
    crashes = sum(random.Random(f"planted/3/{number}").random() < 0.2 for number in range(20))
    assert crashes > 1
    assert report.kinds == {"planted: the process has ended by SIGKILL": crashes}
    assert report.inputs == 20


def test_an_endless_input_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "ENDLESS", 0.02)

    def act(build: Build, number: float) -> None:
        while number < 0.1:
            pass

    (kind,) = plant(act).kinds
    assert kind == "planted: Endless (campaign.py, _interrupt)"


def test_a_slow_input_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planted, "slow", -1.0)
    assert list(plant(lambda build, number: None).kinds) == [
        "planted: an input is fed in bounded time"
    ]


def test_an_input_that_takes_all_memory_is_found(plant: Any) -> None:
    (kind,) = plant(lambda build, number: bytearray(2 * campaign.MEMORY) and None).kinds
    assert kind.startswith("planted: MemoryError")


def test_a_difference_of_the_builds_is_found(plant: Any) -> None:
    report = plant(lambda build, number: build.name, compare=True)
    expected = ["planted: both builds agree"] if len(campaign.get_builds()) > 1 else []
    assert list(report.kinds) == expected


def test_a_broken_promise_is_found(plant: Any) -> None:
    report = plant(lambda build, number: require(number < 0.5, "numbers are small", number))
    assert list(report.kinds) == ["planted: numbers are small"]
    assert len(report.findings) == 3  # the first of them


def test_a_seed_gives_the_same_inputs_to_any_number_of_jobs() -> None:
    names = ["socks", "locations"]
    one, two = (campaign.run(names, 300, 5, jobs, show=False) for jobs in (1, 2))
    other = campaign.run(names, 300, 6, 1, show=False)
    for name in names:
        assert one[name].digest == two[name].digest != other[name].digest


def test_cuts_begin_with_the_whole_and_stay_within() -> None:
    rng = random.Random(1)
    for size in [0, 1, 2, 3, 50, 399, 1000] * 30:
        plans = list(plan_cuts(rng, size))
        assert plans[0] == []
        for places in plans:
            assert b"".join(cut(bytes(size), places)) == bytes(size)
            assert len(cut(bytes(size), places)) == len(places) + (size > 0)


def test_the_command_says_how_to_repeat_a_finding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Planted(lambda build, number: require(number < 0.5, "numbers are small"))
    monkeypatch.setitem(campaign.TARGETS, "planted", target)
    with warnings.catch_warnings():
        assert main(["--inputs", "20", "--seed", "3", "--target", "planted", "--jobs", "1"]) == 1
    shown = capsys.readouterr().out
    line = next(line for line in shown.splitlines() if "--number" in line)
    with warnings.catch_warnings(), pytest.raises(AssertionError, match="numbers are small"):
        main(line.split()[3:])
    with warnings.catch_warnings():
        assert main(["--inputs", "20", "--seed", "3", "--target", "socks", "--jobs", "1"]) == 0
    assert "20 inputs" in capsys.readouterr().out
