"""A PostgreSQL store rebuilt beside itself, exchanged, taken back, verified; and copied from SQLite and back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Self

import psycopg
import pytest

from tests.naive.workload import task_id
from tests.rebuild.logs import NOW, TASKS, Stopped, log_in, stop_at
from tests.services.postgres import PASSWORD
from tracker import replay
from tracker.cli import main
from tracker.errors import StoreChanged, StoreError, StoreReplaced
from tracker.fold.state import from_bytes, to_bytes
from tracker.model.kinds import TaskType
from tracker.model.limits import Limits
from tracker.projector import Options, Projector
from tracker.projector.retention import purge
from tracker.query import connect
from tracker.rebuild.copying import copy
from tracker.rebuild.differences import content_hash
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import SEAMS, Order, Outcome, Rebuild, noted, to_text
from tracker.rebuild.verifying import verify_all, verify_some
from tracker.sources.jsonl import JsonlSource
from tracker.stores.base import Commit
from tracker.stores.open import open_contents, open_shadow, open_store

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]


def worked(url: str, log: Path) -> None:
    """A worker's run to the end of the log, in a thread of its own."""

    def run() -> None:
        with open_store(url) as opened:
            asyncio.run(Projector(lambda _: JsonlSource([str(log)]), opened).run())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def rebuilt(url: str, log: Path, *, seam: Callable[[str], None] = lambda _: None, **order: object) -> Outcome:
    """One run of a rebuild."""
    ordered = Order(logs=Logs(source=str(log)), **order)  # type: ignore[arg-type]
    return asyncio.run(Rebuild(open_shadow(url), ordered, lambda: NOW, seam=seam).run())


def hash_of(url: str) -> str:
    """Of everything that it holds."""
    with open_contents(url) as contents:
        return content_hash(contents.holdings())


def plant(url: str, tasks: list[str], progress: str = "planted") -> None:
    """Another word in a field of these tasks."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT id, registers FROM task WHERE id = ANY(%s)", (tasks,)).fetchall()
        for id, registers in rows:
            state = from_bytes(registers)
            state.fields[-1].values["progress"] = progress
            connection.execute("UPDATE task SET registers = %s, progress = %s WHERE id = %s", (to_bytes(state), progress, id))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 60 tasks."""
    return log_in(tmp_path)


@pytest.fixture
def live(database: str, log: Path) -> str:
    """The store that has read it."""
    worked(database, log)
    return database


@pytest.mark.parametrize("in_parallel", [False, True], ids=["in order", "in parallel"])
def test_a_planted_difference_is_found_and_exchanged(live: str, log: Path, monkeypatch: pytest.MonkeyPatch, in_parallel: bool) -> None:
    """One field of one task: nothing is exchanged unasked; then the content is the log's, and parked records keep their numbers."""
    monkeypatch.setattr(replay, "PARALLEL_FROM_BYTES", 0 if in_parallel else 1 << 60)
    expected = hash_of(live)
    plant(live, [task_id(7)])
    outcome = rebuilt(live, log)
    assert (outcome.note.state, [pair.id for pair in outcome.pairs]) == ("different", [task_id(7)])
    assert hash_of(live) != expected
    assert rebuilt(live, log, accept=True).note.state == "swapped"
    assert hash_of(live) == expected
    with open_store(live) as store:
        assert [each.number for each in store.parked()] == [1]
        assert store.partitions()[0].counters.balanced


@pytest.mark.parametrize("seam", [seam for seam in SEAMS if "stretch" not in seam and seam != "all is folded"])
def test_a_run_that_stopped_goes_on(live: str, log: Path, seam: str) -> None:
    """Whatever the seam, the next run ends as one that was never stopped."""
    expected = hash_of(live)
    plant(live, [task_id(7)])
    with pytest.raises(Stopped):
        rebuilt(live, log, accept=True, seam=stop_at(seam))
    assert rebuilt(live, log, accept=True).note.state == "swapped"
    assert hash_of(live) == expected
    assert open_shadow(live).has_old


@pytest.mark.crash
@pytest.mark.parametrize("seam", ["a stretch is folded", "all is folded", "a batch is folded", "verified", "standing", "swapped"])
def test_a_kill_and_another_try(live: str, log: Path, seam: str) -> None:
    """A process that is killed there leaves nothing in the way of the next one, which ends with the log's content."""
    expected = hash_of(live)
    plant(live, [task_id(7)])
    script = Path(__file__).parents[1] / "crash" / "rebuilder.py"
    command = [sys.executable, str(script), live, str(log), "--accept", *(["--in-order"] if seam == "a batch is folded" else [])]
    killed = subprocess.run([*command, "--seam", seam], capture_output=True, text=True, timeout=100, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert hash_of(live) == expected


def test_a_rollback_brings_the_old_content(live: str, log: Path) -> None:
    """All that the exchange changed, and all that was written since; workers then read what came since again."""
    plant(live, [task_id(7)])
    with psycopg.connect(live) as connection:
        connection.execute("UPDATE task SET id = 'nobody' WHERE id = %s", (task_id(5),))
    before = hash_of(live)
    rebuilt(live, log, accept=True)
    log_in(log.parent, 5, first_task=TASKS)
    worked(live, log)
    shadow = open_shadow(live)
    note = noted(shadow)
    assert note is not None
    shadow.roll_back(to_text(note))
    assert hash_of(live) == before
    worked(live, log)
    with connect(live) as tasks:
        assert tasks.count() == TASKS + 5
        assert tasks.status().counters.read == 8 * (TASKS + 5) + 4
    shadow.discard_old()
    assert not shadow.has_old


def test_what_was_loaded_before_is_not_committed(live: str, log: Path) -> None:
    """A worker's commit of before the exchange is refused until it has claimed again, and then is under the new limits."""
    with open_store(live) as store, connect(live) as tasks:
        token = tasks.token()
        rebuilt(live, log, accept=True, limits=Limits(attributes=2))
        with pytest.raises(StoreReplaced):
            store.commit(Commit())
        store.claim([])
        assert store.limits == Limits(attributes=2)
        store.commit(Commit())
        with pytest.raises(StoreChanged):
            list(tasks.changes(token))


def test_two_at_once_are_refused(live: str, log: Path) -> None:
    """One process at a time."""
    with open_shadow(live).alone(), pytest.raises(StoreError, match="another tracker rebuild works"):
        rebuilt(live, log)


class Beside:
    """A reader that pages through the store without stop, a worker that follows its log, and somebody who writes to that."""

    def __init__(self, url: str, log: Path) -> None:
        self._url, self._log = url, log
        self.quiet = [task_id(number) for number in range(TASKS)]
        self.faults, self.kinds = list[str](), Counter[str]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=target) for target in (self._read, self._work, self._write)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self) -> None:
        with connect(self._url) as tasks:
            while not self._stop.is_set():
                given, cursor = Counter[str](), None
                while True:
                    page = tasks.documents_page(None, "id", 7, cursor)
                    self._look(page.items)
                    given.update(document["id"] for document in page.items)
                    if (cursor := page.next) is None:
                        break
                if set(self.quiet) - given.keys() or max(given.values()) > 1:
                    self.faults.append("a task is missing, or comes twice")
                self._look(list(tasks.documents()))

    def _look(self, documents: list[dict[str, Any]]) -> None:
        found = {document["progress"] == "planted" for document in documents if document["id"] in self.quiet}
        self.kinds.update("planted" if each else "as folded" for each in found)
        if len(found) > 1:
            self.faults.append("both contents in one snapshot")

    def _work(self) -> None:
        with open_store(self._url) as store:
            projector = Projector(lambda _: JsonlSource([str(self._log)], follow=True), store, options=Options(max_batch_age_s=0.01))

            def stop() -> None:
                self._stop.wait()
                projector.stop()

            stopping = threading.Thread(target=stop)
            stopping.start()
            asyncio.run(projector.run())
            stopping.join()

    def _write(self) -> None:
        first = TASKS
        while not self._stop.wait(0.02):
            log_in(self._log.parent, 1, first_task=first)
            first += 1


def test_readers_and_a_worker_go_on(live: str, log: Path) -> None:
    """While a worker follows the log and the content is exchanged, each page and each stream is of one content, no task is missing or twice."""
    with Beside(live, log) as beside:
        for _ in range(3):
            plant(live, beside.quiet)
            assert rebuilt(live, log, accept=True).note.state == "swapped"
    worked(live, log)
    assert beside.faults == []
    assert beside.kinds.keys() == {"planted", "as folded"}
    assert asyncio.run(verify_all(lambda: open_contents(live), Logs(source=str(log)))).different == 0


def test_a_sample_is_verified(live: str, log: Path) -> None:
    """Some of the tasks are folded again, and a planted one is found among all."""
    found = asyncio.run(verify_some(lambda: open_contents(live), Logs(source=str(log)), 10, Random(1)))
    assert (found.tasks, found.different, found.whole) == (10, 0, True)
    plant(live, [task_id(9)])
    found = asyncio.run(verify_some(lambda: open_contents(live), Logs(source=str(log)), 1_000, Random(1)))
    assert [pair.id for pair in found.pairs] == [task_id(9)]


def test_no_password_is_shown(live: str, log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Rebuild, diff, verify and copy name the store without it."""
    copied = f"sqlite:///{tmp_path}/copy.db"
    assert main(["rebuild", "--source", str(log), "--store", live]) == 0
    assert main(["copy", "--from", live, "--to", copied]) == 0
    assert main(["diff", live, copied]) == 0
    plant(live, [task_id(7)])
    assert main(["diff", live, copied, "--why"]) == 3
    assert main(["verify", "--source", str(log), "--store", live]) == 3
    assert main(["rebuild", "--source", str(log), "--store", live]) == 3
    assert main(["status", "--store", live]) == 0
    shown = "".join(capsys.readouterr())
    assert "postgresql://" in shown
    assert PASSWORD not in shown


def test_a_copy_from_sqlite_and_back(database: str, log: Path, tmp_path: Path) -> None:
    """The same states, positions, counters, parked records and jumps in either; and a worker goes on with the copy where the store was."""
    there, back = f"sqlite:///{tmp_path}/there.db", f"sqlite:///{tmp_path}/back.db"
    worked(there, log)
    for source, target in ((there, database), (database, back)):
        with open_contents(source) as contents, open_store(target, limits=contents.about().limits) as store:
            copy(contents, store)
    with open_contents(there) as one, open_contents(database) as two, open_contents(back) as three:
        assert content_hash(one.holdings()) == content_hash(two.holdings()) == content_hash(three.holdings())
        assert list(one.holdings()) == list(three.holdings())
        for other in (two, three):
            assert [(each.position, each.counters) for each in other.partitions()] == [
                (each.position, each.counters) for each in one.partitions()
            ]
            assert list(other.parked_records()) == list(one.parked_records())
    log_in(tmp_path, 2, first_task=TASKS)
    worked(database, log)
    worked(there, log)
    assert hash_of(database) == hash_of(there)


def test_purged_tasks_stay_purged_and_are_copied(live: str, log: Path, tmp_path: Path) -> None:
    """Purged before a rebuild and during it, opened again or not: no difference, no byte changed, left out where the log is asked; copies have them."""
    ages_s: dict[TaskType, float] = {"QPOC": 1.0}
    later = datetime(2100, 1, 1, tzinfo=UTC)
    with open_store(live) as store:
        purge(store, ages_s, later)
    before: list[str] = []

    def purge_more(seam: str) -> None:
        if seam == "swapping":
            with open_store(live) as store:
                purge(store, {"QUARTZ": 1.0}, later)
            before.append(hash_of(live))

    note = rebuilt(live, log, seam=purge_more).note
    assert (note.state, note.different, note.left_out) == ("swapped", 0, 0)
    assert [hash_of(live)] == before
    with open_contents(live) as contents:
        purged = contents.purged()
    assert 0 < note.purged < len(purged) < TASKS
    found = asyncio.run(verify_all(lambda: open_contents(live), Logs(source=str(log))))
    assert (found.tasks, found.left_out, found.different) == (TASKS - len(purged), len(purged), 0)
    found = asyncio.run(verify_some(lambda: open_contents(live), Logs(source=str(log)), 1_000, Random(1)))
    assert (found.tasks, found.left_out, found.different) == (TASKS - len(purged), len(purged), 0)
    file = f"sqlite:///{tmp_path / 'copy.db'}"
    back = f"{live}?schema=back"
    for one, other in ((live, file), (file, back)):
        with open_contents(one) as contents, open_store(other) as target:
            copy(contents, target)
            assert list(target.purged()) == list(purged)
    assert hash_of(live) == hash_of(file) == hash_of(back)
    with psycopg.connect(live) as connection:
        rows = "SELECT id, deleted, purged_at FROM {}.task ORDER BY id"
        assert connection.execute(rows.format("public")).fetchall() == connection.execute(rows.format("back")).fetchall()
    assert rebuilt(live, log, forget_purged=True).note.left_out == len(purged)
    assert asyncio.run(verify_all(lambda: open_contents(live), Logs(source=str(log)))).left_out == 0
