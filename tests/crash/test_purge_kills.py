"""A purge that is killed, again and again: each task is whole or purged, and another purge ends it as if nothing had been."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from tests.naive.workload import lines
from tracker.fold.state import Purged, from_bytes
from tracker.projector.retention import TYPES, purge
from tracker.replay import replay
from tracker.stores.base import Loaded
from tracker.stores.open import open_store

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]
TASKS, KILLS, SEED = 6_000, 12, 5
PURGE = [sys.executable, "-m", "tracker", "purge", "--keep-completed", "1s", "--quiet"]


def test_a_purge_is_killed_at_random_moments(tmp_path: Path) -> None:
    """After each SIGKILL the file is sound, no task is lost, and what is not purged has the bytes that it had; the last purge leaves
    the marks that one undisturbed leaves, and the counters that the replay left.
    """
    log, url = tmp_path / "events.jsonl", f"sqlite:///{tmp_path}/status.db"
    log.write_bytes(b"".join(line + b"\n" for line in lines(TASKS)))
    replay([str(log)], url, jobs=1)
    before, counters = everything(url)
    rng, killed = Random(SEED), 0
    for _ in range(20 * KILLS):
        left = TASKS - marks(url)
        process = subprocess.Popen([*PURGE, "--store", url], stderr=subprocess.PIPE)
        moment = rng.randint(1, max(1, left // KILLS))
        while process.poll() is None and TASKS - marks(url) > left - moment:
            time.sleep(0.0005)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        process.communicate()
        now, counted = everything(url)
        assert counted == counters
        assert now.keys() == before.keys()
        assert all(is_mark(held) or held == before[id] for id, held in now.items())
        with closing(sqlite3.connect(tmp_path / "status.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        killed += code == -signal.SIGKILL and TASKS - marks(url) < left
        if killed == KILLS or not TASKS - marks(url):
            break
    print(f"seed {SEED}: {killed} kills inside a purge, {marks(url):,} of {TASKS:,} tasks purged by then")
    assert killed >= KILLS // 2
    with open_store(url) as store:
        purge(store, dict.fromkeys(TYPES, 1.0), datetime.now(UTC))
    after, counted = everything(url)
    assert counted == counters
    assert {id: ending(after[id]) for id in after} == {id: ended(before[id]) for id in before}


def marks(url: str) -> int:
    """How many tasks are purged by now."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM task WHERE purged_at IS NOT NULL").fetchone()
    return int(count)


def everything(url: str) -> tuple[Mapping[str, Loaded], object]:
    """All tasks as they are stored, and all counters."""
    with open_store(url, create=False) as store:
        return store.load([f"task-{number:08}" for number in range(TASKS)]), [each.counters for each in store.partitions()]


def is_mark(loaded: Loaded) -> bool:
    """Whether the task is purged."""
    return from_bytes(loaded.registers).purged is not None


def ending(loaded: Loaded) -> tuple[int, str, str]:
    """How a purged task had ended, as its mark says."""
    mark = from_bytes(loaded.registers).purged
    assert isinstance(mark, Purged)
    return mark.attempt, mark.status, mark.completed


def ended(loaded: Loaded) -> tuple[int, str, str]:
    """How a task has ended, as its state says."""
    last = from_bytes(loaded.registers).attempts[-1]
    return last.number, last.status, last.completed
