"""Benchmarks of greenws beside its peers: ``python -m benchmarks``; see docs/benchmarks.rst."""
