"""Benchmarks of greenws beside other clients: ``python -m benchmarks``; see docs/benchmarks.rst."""
