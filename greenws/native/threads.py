"""Which thread runs; in the compiled build, ``threads.pxd`` replaces this."""

from __future__ import annotations

from _thread import get_ident

__all__ = ["get_ident"]
