"""Who else refers to an object; in the compiled build, ``references.pxd`` replaces this."""

from __future__ import annotations


def is_unshared(value: object) -> bool:
    """Whether nobody but the caller has a reference to ``value``. Plain Python cannot tell, and
    says no.
    """
    return False
