"""The command ``load``: many connections at once, each exchanging messages, and a report."""

from __future__ import annotations

from .command import run_load
from .options import LoadOptions, add_load_arguments, collect_load_options

__all__ = ["LoadOptions", "add_load_arguments", "collect_load_options", "run_load"]
