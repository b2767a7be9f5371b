"""Timings of single calls as percentiles, and the lines that are printed of them."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")
READ_AT_MOST = 2.0
"""A read's p99, without serialisation, over that of the bare SQL."""
DEPTH_AT_MOST = 1.5
"""A deep page over the first one, medians."""


@dataclass
class Timings:
    """Seconds of many takes of one thing, printed as p50/p95/p99."""

    seconds: list[float] = field(default_factory=list)

    def at(self, percent: int) -> float:
        """A percentile, in seconds."""
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def __str__(self) -> str:
        return "/".join(_duration(self.at(percent)) for percent in (50, 95, 99))


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f}µs" if seconds < 1e-3 else f"{seconds * 1e3:,.1f}ms"


async def in_turns(arguments: Iterable[T], steps: Iterable[tuple[Timings, Callable[[T], Awaitable[Any]]]]) -> None:
    """Time every step with every argument. Each comes first as often as the others: who reads a row first warms it for those after."""
    steps = list(steps)
    for turn, argument in enumerate(arguments):
        first = turn % len(steps)
        for timings, step in [*steps[first:], *steps[:first]]:
            started = perf_counter()
            await step(argument)
            timings.seconds.append(perf_counter() - started)


@dataclass
class Read:
    """A read, the bare SQL for the same rows, and the serialisation of them (None: there is nearly none)."""

    name: str
    read: Timings = field(default_factory=Timings)
    bare: Timings = field(default_factory=Timings)
    serialisation: Timings | None = None
    told: dict[str, Timings] = field(default_factory=dict)
    """Other things timed in the same turns, for information."""

    @property
    def ratio(self) -> float:
        """The p99 of the read without that of serialisation, over the p99 of the bare SQL."""
        serialisation = self.serialisation.at(99) if self.serialisation else 0.0
        return (self.read.at(99) - serialisation) / self.bare.at(99)

    @property
    def holds(self) -> bool:
        """Whether the bound does."""
        return self.ratio <= READ_AT_MOST

    def __str__(self) -> str:
        parts = [f"read {self.read}", f"bare {self.bare}"]
        if self.serialisation:
            parts.append(f"serialisation {self.serialisation}")
        bound = f"{self.ratio:.2f} x bare at p99 [at most {READ_AT_MOST:g}] {'ok' if self.holds else 'OVER'}"
        told = "".join(f"\n    {name + ':':<48} {timings}" for name, timings in self.told.items())
        return f"{self.name:<44} {'  '.join(parts)}  {bound}{told}"


@dataclass
class Depth:
    """The first page of a listing and a deep one."""

    name: str
    page: int
    first: Timings = field(default_factory=Timings)
    deep: Timings = field(default_factory=Timings)

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self.deep.at(50) / self.first.at(50)

    @property
    def holds(self) -> bool:
        """Whether the bound does."""
        return self.ratio <= DEPTH_AT_MOST

    def __str__(self) -> str:
        bound = f"{self.ratio:.2f} x page 1 [at most {DEPTH_AT_MOST:g}] {'ok' if self.holds else 'OVER'}"
        return f"{self.name:<44} page 1 {self.first}  page {self.page:,} {self.deep}  {bound}"
