"""Percentiles of any number of lengths of time in bounded memory: exact while few of them differ, within 0.1 % beyond that."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

PERCENTILES = (50, 90, 95, 99)
MAX_DIFFERENT = 5_000
"""Different lengths that are counted one by one, 0.5 MB; more of them are counted by their first digits."""
_BITS = 10
"""Binary digits that are kept then: 512 steps for each doubling. A length is told as the middle of its step, so at most 1/1024 beside it."""
_STEPS = (64 - _BITS) * 2 ** (_BITS - 1) + 2**_BITS
"""Of lengths of 64 binary digits, many more than lie between the years 1 and 9999: 0.2 MB."""
_AT_ONCE = 500
"""Lengths that are counted together, which takes half the time."""


class Lengths(msgspec.Struct, frozen=True):
    """What is told of some lengths of time, in microseconds; all but the number are None of no task."""

    tasks: int
    least: int | None = None
    p50: int | None = None
    """The least length that at least half of the tasks do not exceed: one that a task had. Likewise the others."""
    p90: int | None = None
    p95: int | None = None
    p99: int | None = None
    greatest: int | None = None
    exact: bool = True
    """Whether the percentiles are; else they are within 0.1 % of it. The least and the greatest always are."""


class Tally:
    """Takes lengths in any order and any parts: what it tells depends on which they were alone."""

    def __init__(self) -> None:
        self._waiting: list[int] = []
        self.counts: Counter[int] = Counter()
        """By length, as long as that is exact."""
        self.steps: array[int] | None = None
        """By step, from then on."""
        self.tasks = 0
        self.least, self.greatest = 2**63, -1

    @classmethod
    def union(cls, parts: Iterable[Tally]) -> Tally:
        """Of all lengths that these have taken."""
        whole = cls()
        for part in parts:
            part.count()
            whole.tasks += part.tasks
            whole.least, whole.greatest = min(whole.least, part.least), max(whole.greatest, part.greatest)
            if part.steps is None:
                whole.take(part.counts)
            else:
                steps = whole.coarse()
                for step, count in part.filled():
                    steps[step] += count
        return whole

    def add(self, length_us: int) -> None:
        """Count one, of 0 microseconds or more."""
        self._waiting.append(length_us)
        if len(self._waiting) == _AT_ONCE:
            self.count()

    def count(self) -> None:
        """Count what was added since the last time."""
        if self._waiting:
            self.tasks += len(self._waiting)
            self.least, self.greatest = min(self.least, *self._waiting), max(self.greatest, *self._waiting)
            self.take(Counter(self._waiting))
            self._waiting.clear()

    def take(self, counts: Counter[int]) -> None:
        """Lengths, each with how often it was there."""
        if self.steps is None:
            self.counts.update(counts)
            if len(self.counts) > MAX_DIFFERENT:
                self.coarse()
            return
        steps = self.steps
        for length_us, count in counts.items():
            cut = max(0, length_us.bit_length() - _BITS)
            steps[(cut << _BITS - 1) + (length_us >> cut)] += count

    def coarse(self) -> array[int]:
        """The counts by step; there is no way back."""
        if self.steps is None:
            self.steps = array("Q", bytes(8 * _STEPS))
            self.take(self.counts)
            self.counts = Counter()
        return self.steps

    def filled(self) -> Iterator[tuple[int, int]]:
        """The steps with a length in them, and how many; ascending."""
        assert self.steps is not None
        return ((step, count) for step, count in enumerate(self.steps) if count)

    def told(self) -> Lengths:
        """The percentiles by nearest rank."""
        self.count()
        if not self.tasks:
            return Lengths(0)
        is_exact = self.steps is None
        ordered = sorted(self.counts.items()) if is_exact else list(self.filled())
        found: list[int] = []
        place = below = 0
        for percent in PERCENTILES:
            rank = -(-percent * self.tasks // 100)
            while below + ordered[place][1] < rank:
                below += ordered[place][1]
                place += 1
            at = ordered[place][0]
            found.append(at if is_exact else min(max(_middle(at), self.least), self.greatest))
        p50, p90, p95, p99 = found
        return Lengths(self.tasks, self.least, p50, p90, p95, p99, self.greatest, is_exact)


def _middle(step: int) -> int:
    """Of the lengths that are counted in a step."""
    cut = max(0, (step >> _BITS - 1) - 1)
    return (step - (cut << _BITS - 1) << cut) + (1 << cut) // 2
