"""Measuring: each figure is a ratio to a bare loop of ``orjson.loads`` over the same lines, in the same run, median of the rounds.

These machines drift by tens of per cent within minutes, so the bare loop runs right before and right after what is measured.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import orjson


@dataclass
class Figure:
    """One line of the report."""

    name: str
    at_most: float | None
    """The ratio that must hold; None: only told."""
    ratios: list[float] = field(default_factory=list)
    micros: list[float] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.ratios)

    def line(self) -> str:
        """As it is printed: microseconds an event, the ratio, its spread, and the bound."""
        spread = f"{min(self.ratios):.1f} to {max(self.ratios):.1f}"
        bound = "" if self.at_most is None else f"at most {self.at_most:g}: {'ok' if self.ratio <= self.at_most else 'TOO SLOW'}"
        shares = "  ".join(f"{name} {share:.0%}" for name, share in self.notes.items())
        events = 1e6 / statistics.median(self.micros)
        micros = statistics.median(self.micros)
        return f"{self.name:<52} {micros:6.2f} µs {events:>9,.0f}/s {self.ratio:6.2f} b ({spread})  {bound}  {shares}".rstrip()


def bare(lines: Sequence[bytes]) -> float:
    """Seconds that the bare loop takes."""
    gc.collect()
    gc.disable()
    started = perf_counter()
    for line in lines:
        orjson.loads(line)
    seconds = perf_counter() - started
    gc.enable()
    return seconds


def rounds(figure: Figure, count: int, lines: Sequence[bytes], work: Callable[[], Any]) -> Figure:
    """Run ``work`` (which returns its own seconds, or None to be timed) so often, each between two bare loops."""
    for _ in range(count):
        before = bare(lines)
        started = perf_counter()
        own = work()
        seconds = own if isinstance(own, float) else perf_counter() - started
        after = bare(lines)
        figure.ratios.append(seconds / ((before + after) / 2))
        figure.micros.append(seconds / len(lines) * 1e6)
    print(figure.line(), flush=True)
    return figure
