"""How the reading goes, watched while the server runs: a look at the store's counters every few seconds, the last hour of them in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from time import monotonic

import msgspec

from tracker.errors import TrackerError
from tracker.query.api import TaskQuery
from tracker.query.base import Question, Snapshot
from tracker.query.report import lag_records, lag_seconds
from tracker.web.answers import clock

SAMPLE_S = 5.0
SAMPLES = 720
"""An hour of them; 100 bytes each."""
MINUTES = 60
STALE_S = 5.0
STUCK_S = 20.0
"""Nothing committed for so long while records wait: a batch of the usual size takes less than a second."""


class Sample(msgspec.Struct, gc=False):
    """One look."""

    at_s: float
    """Of this process's own clock."""
    read: int
    """Records read so far, of all partitions."""
    lag_records: int | None
    lag_seconds: float | None


class Pulse:
    """The samples of one app."""

    def __init__(self) -> None:
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._moved_s = monotonic()
        """When records were last seen to be read, or nothing was left to read."""

    def add(self, sample: Sample) -> None:
        """One more look."""
        if not self.samples or self.samples[-1].read != sample.read or not sample.lag_records:
            self._moved_s = sample.at_s
        self.samples.append(sample)

    @property
    def stuck_s(self) -> float:
        """How long records have been waiting while none was read; 0 where that is less than `STUCK_S`."""
        still_s = self.samples[-1].at_s - self._moved_s if self.samples else 0.0
        return still_s if still_s >= STUCK_S else 0.0

    @property
    def is_stale(self) -> bool:
        """Whether it was behind at the last look already: after a rest the first new record makes a great lag for a moment."""
        return bool(self.samples) and (self.samples[-1].lag_seconds or 0.0) > STALE_S

    def per_minute(self, now_s: float) -> list[int | None]:
        """Records read in each of the last 60 minutes, the newest last; None where nobody looked."""
        found: list[int | None] = [None] * MINUTES
        held = list(self.samples)
        for before, after in pairwise(held):
            minute = MINUTES - 1 - int((now_s - after.at_s) // 60)
            if 0 <= minute < MINUTES:
                found[minute] = (found[minute] or 0) + max(0, after.read - before.read)
        return found

    def per_second(self) -> float | None:
        """Records a second over the last half minute; None before the second look."""
        recent = list(self.samples)[-7:]
        if len(recent) < 2:
            return None
        return max(0, recent[-1].read - recent[0].read) / (recent[-1].at_s - recent[0].at_s)


def _look() -> Question[Sample]:
    now = clock()

    def question(snapshot: Snapshot) -> Sample:
        partitions = snapshot.partitions()
        lags = [lag_records(each, now) for each in partitions]
        seconds = [lag_seconds(each, lag) for each, lag in zip(partitions, lags, strict=True)]
        return Sample(
            monotonic(),
            sum(each.counters.read for each in partitions),
            None if None in lags else sum(lag or 0 for lag in lags),
            max((each for each in seconds if each is not None), default=None),
        )

    return question


@asynccontextmanager
async def beating(tasks: TaskQuery) -> AsyncIterator[Pulse]:
    """Looks go on inside. A store that is away for a moment is looked at the next time."""
    pulse = Pulse()

    async def look_on() -> None:
        while True:
            with suppress(TrackerError):
                pulse.add(await tasks.ask(_look(), small=True))
            await asyncio.sleep(SAMPLE_S)

    looking = asyncio.create_task(look_on())
    try:
        yield pulse
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
