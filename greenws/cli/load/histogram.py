"""A distribution of durations, in bounded memory, exact to a stated fraction.

The bucket of a duration is the upper half of its IEEE 754 single: eight bits of exponent and seven
of the fraction. So each power of two has 128 buckets of the same width, as in an HDR histogram, and
a bucket is at most 1/128 (0.8 %) as wide as its durations are long. From a microsecond to an hour
there are 4,096 buckets, however many durations there are. Functions in C sort a list of durations
into buckets, in a twentieth of a microsecond for each.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator

# Where the upper half of each pair of half words is.
_UPPER = 1 if sys.byteorder == "little" else 0


class Histogram:
    """Durations in seconds, by buckets."""

    __slots__ = ("buckets", "count", "longest", "shortest", "total")

    def __init__(self) -> None:
        #: The number of durations in each bucket that has any.
        self.buckets: Counter[int] = Counter()
        #: The number of durations.
        self.count: int = 0
        #: The sum of the durations, in seconds.
        self.total: float = 0.0
        #: The shortest and the longest duration, in seconds; 0.0 without durations.
        self.shortest: float = 0.0
        self.longest: float = 0.0

    def add(self, seconds: list[float]) -> None:
        """Add durations."""
        if not seconds:
            return
        halves = memoryview(array("f", seconds)).cast("B").cast("H")
        self.buckets.update(halves[_UPPER::2])
        shortest = min(seconds)
        if not self.count or shortest < self.shortest:
            self.shortest = shortest
        self.longest = max(self.longest, max(seconds))
        self.count += len(seconds)
        self.total += sum(seconds)

    def merge(self, other: Histogram) -> None:
        """Add the durations of another histogram."""
        if not other.count:
            return
        self.buckets.update(other.buckets)
        if not self.count or other.shortest < self.shortest:
            self.shortest = other.shortest
        self.longest = max(self.longest, other.longest)
        self.count += other.count
        self.total += other.total

    @property
    def mean(self) -> float:
        """The mean, in seconds; 0.0 without durations."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the duration that ``percent`` of all do not exceed, too long by 0.8 % at most.

        0.0 without durations.
        """
        wanted = self.count * percent / 100
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return max(self.shortest, min(find_edge(bucket + 1), self.longest))
        return self.longest

    def ranges(self) -> Iterator[tuple[float, float, int]]:
        """Iterate over the buckets, from short to long: from, to, how many durations."""
        for bucket in sorted(self.buckets):
            yield find_edge(bucket), find_edge(bucket + 1), self.buckets[bucket]


def find_edge(bucket: int) -> float:
    """Return the shortest duration of a bucket, in seconds."""
    edge: float = struct.unpack("<f", struct.pack("<I", bucket << 16))[0]
    return edge
