"""Curves: what a message and a connection cost as their size and their number grow."""
