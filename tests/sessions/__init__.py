"""Tests of the session.

Eight files hold promises of the design, one each: ``backpressure``, ``contract``, ``ending``,
``fairness``, ``foreign_servers``, ``fork``, ``liveness`` and ``writers``. ``session_surface`` goes
with ``session``. Every other file is the mirror of a module.
"""
