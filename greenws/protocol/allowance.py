"""How much work a parser may do before it has to pause."""

from __future__ import annotations


class Allowance:
    """Granted by the driver of a parser, which shares its thread with others. To be subclassed.

    The parser counts units of work: a frame, a slice of a message that is being inflated. It knows
    no clock. After each grant has been used up, it asks for the next one.
    """

    __slots__ = ()

    def grant(self) -> int:
        """Return how many units the parser may do now; 0: none, the parser pauses."""
        raise NotImplementedError
