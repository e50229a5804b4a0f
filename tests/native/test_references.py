from __future__ import annotations

from greenws.native import references


def test_plain_python_knows_nothing_to_be_unshared() -> None:
    assert not references.is_unshared(object())
