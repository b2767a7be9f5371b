"""How long nothing was committed, partition by partition, and after which fault: seen from outside, in the store's positions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from tracker.model.records import TopicPartition

NOTED_S = 1.0
"""Shorter pauses are a batch's age, a sample's distance and this machine's breath."""
AFTER_S = 1.5
"""A stall that begins so long after a fault's end may be its own: records of before it were still on their way."""


@dataclass
class Span:
    """A fault, from its begin to its end on the monotonic clock."""

    kind: str
    began: float
    ended: float = inf


@dataclass
class Stalls:
    """Told of each fault and each look at the positions; the log must get new records in every partition meanwhile."""

    began: dict[TopicPartition, float] = field(default_factory=dict)
    """When each partition has moved last."""
    _offsets: dict[TopicPartition, int] = field(default_factory=dict)
    faults: list[Span] = field(default_factory=list)
    _found: list[tuple[float, float]] = field(default_factory=list)

    def look(self, offsets: dict[TopicPartition, int], at: float) -> None:
        """The positions at a time."""
        for partition, offset in offsets.items():
            if self._offsets.get(partition) != offset:
                if partition in self.began and at - self.began[partition] > NOTED_S:
                    self._found.append((self.began[partition], at))
                self._offsets[partition], self.began[partition] = offset, at

    def table(self) -> str:
        """A line for each kind of fault: how often, and the longest stalls, alone and where others fell into the same stall."""
        alone, among = defaultdict[str, float](float), defaultdict[str, float](float)
        for began, ended in self._found:
            inside = [each.kind for each in self.faults if each.began <= ended and began <= each.ended + AFTER_S]
            if len(inside) == 1:
                alone[inside[0]] = max(alone[inside[0]], ended - began)
            for kind in inside if len(inside) > 1 else ():
                among[kind] = max(among[kind], ended - began)
            if not inside:
                alone["(no fault)"] = max(alone["(no fault)"], ended - began)
        counts = Counter(each.kind for each in self.faults)
        lines = [f"{'fault':34} {'times':>5} {'longest stall, alone':>21} {'among others':>13}"]
        lines += [
            f"{kind:34} {counts[kind]:5} {_seconds(alone.get(kind)):>21} {_seconds(among.get(kind)):>13}"
            for kind in sorted({*counts, *alone})
        ]
        return "\n".join(lines)

    @property
    def kinds(self) -> Iterable[str]:
        """The faults that there were."""
        return {each.kind for each in self.faults}


def _seconds(value: float | None) -> str:
    return "under 1 s" if value is None else f"{value:.1f} s"
