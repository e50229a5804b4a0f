"""The reply to a request whose success the user judges: ``catch_response``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .base import (
    CatchResponseError,
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from .failures import quieten

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ..events import Binary, Text

#: The exceptions by which a task tells Locust what to do next: no failures.
STEERING: tuple[type[Exception], ...] = (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)


class Answer:
    """A reply, or that there was none. Use it as a context manager: its end makes the row.

    Without a word of the user's, a reply is a success, and none is a failure. An exception that
    leaves the block is a failure, and goes on its way.
    """

    def __init__(
        self,
        event: Text | Binary | None,
        error: Exception | None,
        report: Callable[[Exception | None], None],
    ) -> None:
        #: The event of the reply, or None.
        self.event: Text | Binary | None = event
        #: Why there is no reply, or None.
        self.error: Exception | None = error
        self._report: Callable[[Exception | None], None] | None = report
        self._verdict: Exception | None = error
        self._is_judged = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if (
            not self._is_judged
            and self.error is None
            and isinstance(error, Exception)
            and not isinstance(error, STEERING)
        ):
            self._verdict = error
        report, self._report = self._report, None
        if report is not None:
            report(self._verdict)

    @property
    def text(self) -> str:
        """The text of the reply.

        :raises Exception: there is no reply: the failure.
        :raises ValueError: it is binary.
        """
        event = self._get_event()
        if event.name != "text":
            raise ValueError("the reply is a binary message")
        return event.text

    @property
    def data(self) -> bytes:
        """The bytes of the reply; of a text in UTF-8. Errors as of :attr:`text`."""
        event = self._get_event()
        return event.text.encode("utf-8") if event.name == "text" else event.data

    @property
    def json(self) -> Any:
        """The reply, decoded as JSON.

        :raises Exception: there is no reply: the failure.
        :raises ValueError: it is not JSON.
        """
        event = self._get_event()
        return event.json

    def success(self) -> None:
        """Make it a success."""
        self._verdict, self._is_judged = None, True

    def failure(self, reason: str | Exception) -> None:
        """Make it a failure; rows with the same reason count as one in Locust's table."""
        self._verdict = CatchResponseError(reason) if isinstance(reason, str) else reason
        self._is_judged = True

    def _get_event(self) -> Text | Binary:
        if self.event is None:
            assert self.error is not None
            raise quieten(self.error)
        return self.event
