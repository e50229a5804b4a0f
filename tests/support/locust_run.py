"""A load test in the process of a script: users of Locust, and the rows that they make.

Importing it imports Locust, which patches the process. So only scripts that tests run in a process
of their own import it: see :func:`tests.support.run.run_script`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from locust import User
from locust.env import Environment

from tests.support.waiting import wait_until


class LoadTest:
    """Runs users of these classes as long as a ``with`` block.

    :param count: users of all classes together.
    """

    def __init__(self, *classes: type[User], host: str | None, count: int = 1) -> None:
        #: The arguments of each event ``request``, in their order.
        self.rows: list[dict[str, Any]] = []
        #: What came out of tasks and handlers.
        self.errors: list[BaseException] = []
        self.environment = Environment(user_classes=list(classes), host=host)
        self.environment.events.request.add_listener(lambda **row: self.rows.append(row))
        self.environment.events.user_error.add_listener(
            lambda exception, **more: self.errors.append(exception)
        )
        self.runner = self.environment.create_local_runner()
        self._count = count

    def __enter__(self) -> LoadTest:
        self.runner.start(self._count, spawn_rate=self._count)
        return self

    def __exit__(self, *error: object) -> None:
        self.runner.quit()

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        wait_until(condition)

    def wait_rows(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until there are so many rows of a type, and return them."""
        return wait_until(lambda: found if len(found := self.of(kind)) >= count else [])

    def wait_end(self) -> None:
        """Wait until no user is left."""
        wait_until(lambda: not self.runner.user_count and self.rows)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The rows of a type so far."""
        return [row for row in self.rows if row["request_type"] == kind]

    @property
    def kinds(self) -> list[str]:
        """The types of all rows."""
        return [row["request_type"] for row in self.rows]
