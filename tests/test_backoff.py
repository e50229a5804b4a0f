"""How long to wait before the next connection."""

from __future__ import annotations

import inspect
from email.utils import formatdate
from time import gmtime, strftime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenws import Backoff, errors, events
from greenws.backoff import MAX_RETRY_AFTER, find_retry_after, parse_retry_after
from greenws.protocol.response import Response


def test_options_have_their_defaults() -> None:
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(Backoff).parameters.items()
    }
    assert defaults == {
        "min_wait": 1.0,
        "max_wait": 60.0,
        "factor": 2.0,
        "jitter": 0.5,
        "max_tries": None,
        "reset_after": 30.0,
        "retry": None,
    }


def test_delays_grow_by_the_factor_up_to_the_longest() -> None:
    backoff = Backoff(min_wait=1, max_wait=10, factor=2, jitter=0)
    assert [backoff.delay(failures) for failures in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert Backoff(min_wait=3, factor=1, jitter=0).delay(50) == 3


def test_jitter_takes_a_random_part_off() -> None:
    backoff = Backoff(min_wait=8, max_wait=8, jitter=0.25)
    delays = [backoff.delay(1) for _ in range(500)]
    assert 6 <= min(delays) < 6.5
    assert 7.5 < max(delays) <= 8
    assert 0 <= min(Backoff(min_wait=1, jitter=1).delay(1) for _ in range(200)) < 0.1


@pytest.mark.parametrize("retry_after", [0.0, 0.5, 3.9])
def test_retry_after_never_shortens_a_wait(retry_after: float) -> None:
    backoff = Backoff(min_wait=4, max_wait=4, jitter=0)
    assert backoff.delay(1, retry_after) == backoff.delay(3, retry_after) == 4


def test_retry_after_is_a_least_wait_with_jitter_on_top() -> None:
    delays = [Backoff(min_wait=1, jitter=0.5).delay(1, 8.0) for _ in range(500)]
    assert 8 <= min(delays) < 8.5
    assert 11.5 < max(delays) <= 12
    assert Backoff(jitter=0).delay(1, 8.0) == 8


@pytest.mark.parametrize("failures", [1, 2, 65, 1000, 10**6])
@pytest.mark.parametrize("factor", [1, 2, 1e6, 1e300])
@pytest.mark.parametrize("min_wait", [0, 1e-9, 1])
def test_delay_after_any_number_of_failures(failures: int, factor: float, min_wait: float) -> None:
    backoff = Backoff(min_wait=min_wait, max_wait=60, factor=factor)
    assert 0 <= backoff.delay(failures) <= 60


@given(st.floats(0, 100), st.floats(0, 100), st.floats(1, 10), st.floats(0, 1), st.integers(1, 100))
def test_delay_is_within_its_bounds(
    least: float, more: float, factor: float, jitter: float, failures: int
) -> None:
    backoff = Backoff(min_wait=least, max_wait=least + more, factor=factor, jitter=jitter)
    delay = backoff.delay(failures)
    assert least * (1 - jitter) * 0.999999 <= delay <= least + more


def test_max_tries_bounds_the_tries() -> None:
    backoff = Backoff(max_tries=3)
    assert [backoff.is_exhausted(failures) for failures in (1, 2, 3, 4)] == [
        False,
        False,
        True,
        True,
    ]
    assert not Backoff().is_exhausted(10**9)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"min_wait": -1}, "min_wait"),
        ({"min_wait": 5, "max_wait": 4}, "min_wait"),
        ({"min_wait": float("nan")}, "min_wait"),
        ({"factor": 0.5}, "factor"),
        ({"factor": float("nan")}, "factor"),
        ({"jitter": -0.1}, "jitter"),
        ({"jitter": 1.1}, "jitter"),
        ({"max_tries": 0}, "max_tries"),
        ({"reset_after": -1}, "reset_after"),
        ({"reset_after": float("nan")}, "reset_after"),
    ],
)
def test_number_out_of_its_range_is_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Backoff(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"min_wait": "1"},
        {"min_wait": True},
        {"max_wait": None},
        {"factor": None},
        {"jitter": [1]},
        {"max_tries": "3"},
        {"max_tries": 1.5},
        {"reset_after": "x"},
        {"retry": True},
    ],
)
def test_option_of_another_type_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=f"^{next(iter(options))} must"):
        Backoff(**options)


@pytest.mark.parametrize("name", ["min_wait", "max_wait", "factor", "reset_after", "max_tries"])
def test_number_too_large_for_a_float_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        Backoff(**{name: 10**400})  # type: ignore[arg-type]


def test_unknown_option_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="maximum"):
        Backoff(maximum=3)  # type: ignore[call-arg]


def test_backoff_is_a_value() -> None:
    backoff = Backoff(min_wait=2)
    assert backoff == Backoff(min_wait=2)
    assert hash(backoff) == hash(Backoff(min_wait=2))
    with pytest.raises(AttributeError):
        backoff.min_wait = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("soon", None),
        ("nan", None),
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("007", 7.0),
        ("0" * 5000 + "7", 7.0),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("999999999", MAX_RETRY_AFTER),
        # Neither digits nor a date.
        ("2.5", None),
        ("-5", None),
        ("+5", None),
        (" 5x", None),
        ("5 s", None),
        ("5, 6", None),
        ("1e3", None),
        ("1_0", None),
        ("0x10", None),
        ("inf", None),
        ("-inf", None),
        ("\u0665", None),
        ("\xb2", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("Fri Dec 31 23:59:60 9999", MAX_RETRY_AFTER),
        ("Mon, 99 Foo 2015 99:99:99 GMT", None),
        ("Mon, 01 Foo 2115 00:00:00 GMT", None),
        ("Wed, 21 Oct 2115 24:00:00 GMT", None),
        ("Wed, 21 Oct 2115 07:28:61 GMT", None),
        ("Wed, 21 Oct 2115 072:8:00 GMT", None),
        ("Wed, 31 Sep 2115 07:28:00 GMT", None),
        ("Wed, 21 Oct 2115 07:28:00 +0200", None),
        ("Wed, 21 Oct 2115 07:28:00 GMT, again", None),
        ("2115-10-21T07:28:00Z", None),
    ],
)
def test_retry_after_gives_seconds(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    seconds = parse_retry_after(formatdate(time() + 100, usegmt=True))
    assert seconds is not None
    assert 97 < seconds <= 100


def test_year_of_two_digits_is_the_nearest_one() -> None:
    ahead = time() + 100
    # The day of the week is not compared with the date.
    seconds = parse_retry_after(strftime("Monday, %d-%b-%y %H:%M:%S GMT", gmtime(ahead)))
    assert seconds is not None
    assert 97 < seconds <= 100


@given(st.text(max_size=40))
def test_any_retry_after_gives_seconds_or_none(value: str) -> None:
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


@given(st.lists(st.integers(0, 99999), min_size=4, max_size=6), st.sampled_from(["GMT", "-9999"]))
def test_any_date_gives_seconds_or_none(numbers: list[int], zone: str) -> None:
    day, year, hour, minute, *_ = numbers
    seconds = parse_retry_after(f"Wed, {day} Oct {year} {hour}:{minute}:00 {zone}")
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


def test_find_retry_after_looks_at_rejections_and_proxies() -> None:
    response = Response(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n")
    other = Response(b"HTTP/1.1 503 Busy\r\n\r\n")
    refusal = errors.ProxyFail("no", response=response)
    assert find_retry_after(events.Rejected(response, "no")) == 7
    assert find_retry_after(events.Rejected(other, "no")) is None
    assert find_retry_after(events.ConnectFail("no", refusal)) == 7
    assert find_retry_after(events.ConnectFail("no", errors.ConnectFail("no"))) is None
    assert find_retry_after(events.ConnectFail("no")) is None
