"""The driver itself: on an ordinary build it finds what shows without a sanitizer."""

from __future__ import annotations

from typing import Any

import pytest

from greenws.protocol.mask import mask
from tests.fuzz import stream


def test_nothing_comes_of_anything_but_events_and_our_errors() -> None:
    assert stream.run(150, 20, seed=1) > 0


def test_a_wrong_mask_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def mask_all_but_one(payload: Any, key: bytes, offset: int = 0) -> bytes:
        masked = mask(payload, key, offset)
        return masked[:-1] + b"\0" if len(masked) > 50 else masked

    monkeypatch.setattr(stream, "mask", mask_all_but_one)
    with pytest.raises(AssertionError):
        stream.run(500, 20, seed=1)
