"""What a rebuild refuses, what it leaves when it can't go on, and what it says of itself."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import Mock

import pytest

from tests.naive.workload import task_id
from tests.rebuild.logs import NOW, TASKS, Stopped, hash_of, live_in, log_in, rebuilt, stop_at, url
from tracker import replay
from tracker.errors import (
    SourceError,
    StoreError,
    StoreFull,
    TrackerError,
    Undecided,
    UsageError,
)
from tracker.query import connect
from tracker.rebuild import folding, following
from tracker.rebuild.differences import content_hash
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import Order, Rebuild
from tracker.stores.open import open_contents, open_shadow


def test_another_source_is_refused(live: Path, tmp_path: Path) -> None:
    """Where the live store has read a log that the rebuild has not, its tasks would be missing."""
    (tmp_path / "other.jsonl").write_bytes(b"")
    with pytest.raises(Undecided, match="would be missing"):
        rebuilt(live, tmp_path / "other.jsonl")


def test_two_at_once_are_refused(live: Path, log: Path) -> None:
    """One process at a time."""
    with open_shadow(url(live)).alone(), pytest.raises(StoreError, match="another tracker rebuild works"):
        rebuilt(live, log)


def test_who_comes_as_another_ends(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock on a file that its holder has just deleted is none: somebody else may have a new one by then."""
    taken = fcntl.flock

    def late(file: Any, how: int) -> None:
        Path(f"{live}.rebuild-lock").unlink()
        taken(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(StoreError, match="another tracker rebuild"), open_shadow(url(live)).alone():
        pass


def test_the_lock_leaves_nothing(live: Path) -> None:
    """Nor where what was done under it has failed."""
    with pytest.raises(Stopped), open_shadow(url(live)).alone():
        raise Stopped
    assert not Path(f"{live}.rebuild-lock").exists()


def test_a_log_that_is_not_there_leaves_no_run(live: Path, log: Path) -> None:
    """Who mistypes a name may go on with the right one; what was noted before is noted still."""
    rebuilt(live, log)
    before = open_shadow(url(live)).note()
    with pytest.raises(TrackerError):
        rebuilt(live, "none.jsonl")
    shadow = open_shadow(url(live))
    assert (shadow.note(), shadow.exists) == (before, False)
    assert rebuilt(live, log).note.state == "swapped"


@pytest.mark.parametrize("seam", ["a stretch is folded", "verifying"])
async def test_an_interrupted_run_ends_after_its_thread(live: Path, log: Path, monkeypatch: pytest.MonkeyPatch, seam: str) -> None:
    """A thread that is at work has ended before the stores are closed; the work is given up at its next step."""
    monkeypatch.setattr(replay, "PARALLEL_FROM_BYTES", 0)
    begun, go_on = threading.Event(), threading.Event()

    def at(name: str) -> None:
        if name == seam:
            begun.set()
            go_on.wait(20)

    order = Order(logs=Logs((), str(log)), jobs=1)
    running = asyncio.create_task(Rebuild(open_shadow(url(live)), order, lambda: NOW, seam=at).run())
    await asyncio.to_thread(begun.wait, 40)
    running.cancel()
    ended, _ = await asyncio.wait([running], timeout=0.5)
    go_on.set()
    assert not ended
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await asyncio.to_thread(rebuilt, live, log)).note.state == "swapped"


def test_a_full_disk_under_the_runs(live: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said so, and the next run goes on once there is room."""
    monkeypatch.setattr(replay, "PARALLEL_FROM_BYTES", 0)
    with monkeypatch.context() as full:
        full.setattr(folding, "fold_all", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(StoreFull, match="rebuild-runs"):
            rebuilt(live, log)
    assert rebuilt(live, log, jobs=1).note.state == "swapped"


def test_other_sources_than_the_run_under_way(live: Path, log: Path, tmp_path: Path) -> None:
    """Half of one log and half of another would be neither; --restart begins anew."""
    with pytest.raises(Stopped):
        rebuilt(live, log, seam=stop_at("catching-up"))
    copied = tmp_path / "copy.jsonl"
    copied.write_bytes(log.read_bytes())
    with pytest.raises(UsageError, match="--restart"):
        rebuilt(live, copied, accept=True)
    assert rebuilt(live, log, restart=True).note.state == "swapped"


def test_standard_input_is_refused(live: Path) -> None:
    """It can be read only once."""
    with pytest.raises(UsageError, match="standard input"):
        rebuilt(live, "-")


def test_a_log_that_is_too_short(live: Path, log: Path) -> None:
    """A file that was cut since has lost the live position: what is left is folded, and nothing is exchanged unasked."""
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[: 8 * 30]))
    outcome = rebuilt(live, log)
    assert outcome.note.state == "different"
    assert outcome.note.different > 0


def test_an_archive_beside_the_source(tmp_path: Path) -> None:
    """What the source has no more comes from files: together they are the whole log, and the live store loses nothing."""
    log = log_in(tmp_path)
    live = live_in(tmp_path)
    expected = hash_of(live)
    archive = tmp_path / "archive.jsonl"
    log.rename(archive)
    log_in(tmp_path, 3, first_task=TASKS)
    outcome = rebuilt(live, log, archive, accept=True)
    assert outcome.note.state == "swapped"
    with open_contents(url(live)) as contents:
        held = [each for each in contents.holdings() if each.id < task_id(TASKS)]
    assert expected == content_hash(held)


def test_the_throttle_holds(live: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """480 records in batches of 100 at 1,000 a second take no less than 0.38 s: the last batch waits for nobody."""
    monkeypatch.setattr(following, "BATCH_RECORDS", 100)
    began_s = monotonic()
    rebuilt(live, log, records_per_s=1_000.0)
    assert monotonic() - began_s > 0.38


def test_a_note_of_another_release(live: Path, log: Path) -> None:
    """A run that this release does not understand is begun anew, and status does not fall over it."""
    open_shadow(url(live)).remember('{"phase":"half"}')
    with connect(url(live)) as tasks:
        assert tasks.status().rebuild == {"phase": "half"}
    assert rebuilt(live, log).note.state == "swapped"


def test_how_it_stands_is_in_the_store(live: Path, log: Path) -> None:
    """Status tells the state, and what came of it."""
    with pytest.raises(Stopped):
        rebuilt(live, log, seam=stop_at("verifying"))
    with connect(url(live)) as tasks:
        found = tasks.status().rebuild
    assert found is not None
    assert (found["state"], found["sources"], found["notedAt"]) == ("verifying", [str(log)], NOW)


def test_a_log_of_another_kind_that_ends_early(live: Path, log: Path) -> None:
    """A log that is cut while it is followed says so instead of waiting for ever."""

    def at(name: str) -> None:
        if name == "verified":
            with closing(sqlite3.connect(live)) as connection, connection:
                connection.execute("UPDATE position SET next_offset = next_offset + 1000")

    with pytest.raises(SourceError, match="the log ends at"):
        rebuilt(live, log, seam=at)
