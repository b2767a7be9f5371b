"""At least 20,000 adversarial logs against the laws of the fold and against the oracle. Run with ``-s`` for the figures.

``LOGS`` and ``SEED`` in the environment choose how many, and which.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random

import pytest

from tests.laws.agreement import SMALL, document_difference, events_by_task, naive_documents
from tests.laws.folding import broken_law, changed_by_folding, folded
from tests.naive.logs import random_log
from tracker.fold.event import TaskEvent
from tracker.fold.state import from_bytes, to_bytes
from tracker.model.limits import DEFAULT_LIMITS

LOGS = int(os.environ.get("LOGS", "20000"))
SEED = int(os.environ.get("SEED", "0"))
CHUNK = 250
LEAST, MOST = 8, 20
"""Events of a log: 14 on average."""


def has_tie(events: list[TaskEvent]) -> bool:
    """Whether two of one task's events have the same time (and so perhaps the same stamp)."""
    return len({event.time for event in events}) < len(events)


def has_same_stamp(events: list[TaskEvent]) -> bool:
    """Whether two of one task's events have the same stamp."""
    return len({event.stamp for event in events}) < len(events)


def checked(seed: int) -> tuple[Counter[str], list[str]]:
    """Counts, and what was found wrong, of one chunk of logs."""
    rng, counts, wrong = Random(seed), Counter[str](), []
    for _ in range(CHUNK):
        log = random_log(rng, least=LEAST, most=MOST)
        of_task = events_by_task(log)
        counts["logs"] += 1
        counts["records"] += len(log)
        counts["events"] += sum(map(len, of_task.values()))
        counts["tasks"] += len(of_task)
        counts["logs with a tie of times"] += any(map(has_tie, of_task.values()))
        counts["logs with a tie of stamps"] += any(map(has_same_stamp, of_task.values()))
        for limits in (DEFAULT_LIMITS, SMALL):
            expected = naive_documents(log, limits)
            if expected.keys() != of_task.keys():
                wrong.append(f"tasks {sorted(of_task)}, expected {sorted(expected)}")
                continue
            for task_id, events in of_task.items():
                state = from_bytes(to_bytes(folded(events, limits), limits))
                found = [document_difference(task_id, state, expected[task_id], limits), broken_law(rng, events, limits)]
                found.append(changed_by_folding(rng, events, limits))
                wrong += [f"seed {seed}, {difference}, of {events}" for difference in found if difference]
    return counts, wrong


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_thousands_of_logs_keep_the_laws_and_agree_with_the_oracle() -> None:
    """No log of 20,000 breaks a law or differs from the oracle, under the default caps and under small ones."""
    began = time.perf_counter()
    counts, wrong = Counter[str](), []
    with ProcessPoolExecutor(2) as workers:
        for of_chunk, wrong_of_chunk in workers.map(checked, range(SEED, SEED + (LOGS + CHUNK - 1) // CHUNK)):
            counts += of_chunk
            wrong += wrong_of_chunk
    print(f"\n{time.perf_counter() - began:.1f} s, 2 processes; {dict(counts)}")
    ties = counts["logs with a tie of times"] / counts["logs"]
    print(f"{ties:.0%} of the logs have two events of one task at one time, {counts['events'] / counts['logs']:.1f} events a log")

    assert wrong[:3] == []
    assert counts["logs"] >= LOGS
    assert ties >= 0.5
