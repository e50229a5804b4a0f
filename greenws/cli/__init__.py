"""The command line of greenws: ``python -m greenws``."""

from __future__ import annotations

from .command import main

__all__ = ["main"]
