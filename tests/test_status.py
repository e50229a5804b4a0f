"""The names of close codes, and which of them may be sent."""

from __future__ import annotations

import lomond.status
import pytest

from greenws import Status
from greenws.status import is_sendable


def test_names_extend_those_of_lomond() -> None:
    for name, value in vars(lomond.status.Status).items():
        if isinstance(value, int) and not name.startswith("_"):
            assert getattr(Status, name) == value
    assert (Status.SERVICE_RESTART, Status.TRY_AGAIN_LATER, Status.BAD_GATEWAY) == (
        1012,
        1013,
        1014,
    )
    assert (Status.NO_STATUS, Status.ABNORMAL) == (1005, 1006)


def test_invalid_codes_are_those_of_lomond_but_one_registered_since() -> None:
    assert Status.invalid_codes ^ lomond.status.Status.invalid_codes == {1014}


@pytest.mark.parametrize(
    ("codes", "sendable"),
    [
        (range(-5, 1000), False),
        (range(1000, 1004), True),
        (range(1004, 1007), False),
        (range(1007, 1015), True),
        (range(1015, 3000), False),
        (range(3000, 5000), True),
        (range(5000, 5100), False),
        ([65535, 1 << 70], False),
    ],
)
def test_sendable_codes_are_those_that_may_be_sent(codes: range, sendable: bool) -> None:
    assert {is_sendable(code) for code in codes} == {sendable}
