"""What a run says of itself: the last state, the rate, and a log line once in a while."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from tracker import telemetry
from tracker.telemetry import say

if TYPE_CHECKING:
    from tracker.projector import Progress

RATE_S = 5.0
"""Rates are over so long."""
LOG_EVERY_S = 10.0
"""A line about the progress so often, where something was read."""


class Reporter:
    """Takes the projector's progress after each commit: keeps the last one for the live view, and logs one in a while."""

    def __init__(self) -> None:
        self.last: Progress | None = None
        self.logs = True
        self._logged_at_s = 0.0
        self._logged_read = 0
        self._seen: deque[tuple[float, int]] = deque()
        """Seconds, and records read by then, of the last RATE_S."""

    def __call__(self, progress: Progress) -> None:
        """Take the state after a commit."""
        self.last = progress
        now_s, counters = monotonic(), progress.counters
        self._seen.append((now_s, counters.read))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > RATE_S:
            self._seen.popleft()
        if self.logs and now_s - self._logged_at_s >= LOG_EVERY_S and counters.read > self._logged_read:
            self._logged_at_s, self._logged_read = now_s, counters.read
            say(
                telemetry.RUN_PROGRESS,
                read=counters.read,
                applied=counters.applied,
                unchanged=counters.unchanged,
                ignored=counters.ignored,
                parked=counters.parked,
                records_per_second=self.records_per_second,
                positions=positions_text(progress),
            )

    @property
    def records_per_second(self) -> float:
        """Over the last seconds; 0 when nothing came."""
        if self.last is None:
            return 0.0
        now_s = monotonic()
        recent = [each for each in self._seen if now_s - each[0] <= RATE_S]
        if len(recent) < 2:  # a first commit: what it brought, since the run began
            return self.last.counters.read / self.last.seconds if recent and self.last.seconds else 0.0
        return (recent[-1][1] - recent[0][1]) / (now_s - recent[0][0])


def positions_text(progress: Progress) -> str:
    """Where the reading stands, the first few partitions."""
    at = [f"{topic}/{partition}:{position.next_offset}" for (topic, partition), position in sorted(progress.positions.items())]
    return ", ".join(at[:4]) + (f" and {len(at) - 4} more" if len(at) > 4 else "")
