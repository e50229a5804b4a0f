"""Tests of the session.

Six files hold promises of the design, one each: ``contract``, ``ending``, ``fairness``,
``foreign_servers``, ``fork`` and ``liveness``. Every other file is the mirror of a module.
"""
