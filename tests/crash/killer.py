"""Kills a run over and over, and starts it again, until it has been killed often enough; then lets it end."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.crash.outcome import records_read
from tests.crash.workers import Worker, until
from tracker.projector import SEAMS

AFTER_COMMIT = SEAMS[2:]
"""At their first passing something is committed; at the first of the others, nothing."""
GROUP, INSTANCE = "killed", "worker-1"


@dataclass
class Kills:
    """What was done to one run."""

    by_kind: Counter[str] = field(default_factory=Counter)
    """How and where it was killed, in a group or alone, of the kills that count."""
    idle: int = 0
    """Kills that do not count, as the process had committed nothing."""

    @property
    def counted(self) -> int:
        """Kills of a process that had committed something, with records left."""
        return self.by_kind.total()


@dataclass
class Killer:
    """One run into ``store``: ``kills`` kills, every other one of a worker in a group with a static name."""

    source: str
    store: Path
    records: int
    """How many the log has for a reader of committed transactions."""
    batch_records: int
    rng: Random
    done: Kills = field(default_factory=Kills)

    def run(self, kills: int) -> Kills:
        """Kill, start again, and end the run; AssertionError if the log was too short for so many kills."""
        while self.done.counted < kills:
            left = self._left()
            assert left > 2 * self.batch_records, f"the log ended after {self.done.counted} kills ({self.done.by_kind})"
            self._kill_one(max(1.0, left / (kills - self.done.counted)))
        self.finish()
        return self.done

    def finish(self) -> None:
        """The rest of the log, unhurt."""
        with Worker(self.source, self.store, "--until-end", "--max-batch-records", str(self.batch_records)) as worker:
            assert worker.wait(900) == 0, worker.log

    def _left(self) -> int:
        return self.records - records_read(self.store)

    def _kill_one(self, budget_records: float) -> None:
        """One worker, killed before it has read about ``budget_records``: half of them at a seam, half when a moment has come."""
        number = self.done.counted + self.done.idle
        in_group = number % 2 == 1
        kind = (*SEAMS, *("random moment",) * len(SEAMS))[number // 2 % (2 * len(SEAMS))]
        source = f"{self.source}?group={GROUP}" if in_group else self.source
        options = ["--max-batch-records", str(self.batch_records)]
        if in_group:
            options += ["--instance", INSTANCE]
        if kind in SEAMS:
            most = max(1, int(budget_records / self.batch_records))
            passing = self.rng.randint(1, most) + (kind not in AFTER_COMMIT)
            options += ["--seam", kind, "--passing", str(passing)]
        before = records_read(self.store)
        with Worker(source, self.store, *options) as worker:
            if kind not in SEAMS:
                self._wait_for_a_moment(worker, before, budget_records)
                worker.process.send_signal(signal.SIGKILL)
            code = worker.wait()
            assert code == -signal.SIGKILL, f"ended with {code} by itself: {worker.log[-2000:]}"
        if before < records_read(self.store) < self.records:
            self.done.by_kind[f"{kind}, {'group and instance' if in_group else 'alone'}"] += 1
        else:
            self.done.idle += 1

    def _wait_for_a_moment(self, worker: Worker, before: int, budget_records: float) -> None:
        """Until this process has committed something, and then until any moment before its budget is used up."""
        enough = before + self.rng.uniform(0, budget_records)

        def moved() -> bool:
            return worker.process.poll() is not None or records_read(self.store) > max(before, enough)

        until(moved, "a commit of a worker that is to be killed", every_s=0.002)
        moment = time.monotonic() + self.rng.uniform(0, 0.03)
        while time.monotonic() < moment:
            os.sched_yield()
