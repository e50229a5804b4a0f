"""What greenws.locust takes from Locust.

Locust is an extra. A type checker sees the declarations of this module in its place, so that the
types of users' programs do not depend on whether Locust is installed where they are checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gevent import Greenlet

    class User:
        """Locust's ``User``."""

        host: str | None
        wait_time: Any
        weight: float
        fixed_count: int
        tasks: list[Any]
        abstract: bool
        environment: Any

        def __init__(self, environment: Any) -> None: ...

        @property
        def greenlet(self) -> Greenlet[..., Any] | None:
            """The greenlet of the user; None without a runner."""

        def on_start(self) -> None:
            """Called when the user starts."""

        def on_stop(self) -> None:
            """Called when the user stops."""

        def context(self) -> dict[str, Any]:
            """Return the context of the user's rows."""

    class CatchResponseError(Exception):
        """A response that the user has judged a failure."""

    class InterruptTaskSet(Exception):
        """Ends a TaskSet."""

    class RescheduleTask(Exception):
        """Ends a task."""

    class RescheduleTaskImmediately(Exception):
        """Ends a task, and does not wait for the next one."""

    class StopTest(Exception):
        """Ends the test."""

    class StopUser(Exception):
        """Ends the user."""

else:
    try:
        from locust import User
    except ImportError as error:
        raise ImportError(
            f"greenws.locust needs Locust: pip install 'greenws[locust]' ({error})"
        ) from error
    from locust.exception import (
        CatchResponseError,
        InterruptTaskSet,
        RescheduleTask,
        RescheduleTaskImmediately,
        StopTest,
        StopUser,
    )

__all__ = [
    "CatchResponseError",
    "InterruptTaskSet",
    "RescheduleTask",
    "RescheduleTaskImmediately",
    "StopTest",
    "StopUser",
    "User",
]
