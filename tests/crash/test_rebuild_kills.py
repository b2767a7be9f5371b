"""A rebuild that is killed at every state, beside a worker that goes on and a reader that pages on."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.crash.workers import until
from tests.naive.workload import line, lines, task_id
from tracker.fold.state import from_bytes, to_bytes
from tracker.query import connect
from tracker.rebuild.differences import content_hash
from tracker.rebuild.run import SEAMS
from tracker.replay import replay
from tracker.stores.open import open_contents

QUIET, LIVE = 1_500, 40_000
"""Tasks that get no more events, and those that may be begun while the test runs."""
PAGE = 200
PLANTED = "planted"
pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]


class Beside:
    """A live worker's process, somebody who appends events to its log, and a reader that pages through its store without stop."""

    def __init__(self, folder: Path) -> None:
        self.log, self.store = folder / "events.jsonl", folder / "status.db"
        self.url = f"sqlite:///{self.store}"
        self.log.write_bytes(b"".join(each + b"\n" for each in lines(QUIET)))
        self.walks, self.kinds, self.faults = 0, Counter[str](), list[str]()
        self._stop = threading.Event()
        self._errors = (folder / "worker.log").open("wb")
        command = [sys.executable, "-m", "tracker", "run", "--source", str(self.log), "--follow", "--store", self.url]
        self.worker = subprocess.Popen(command, stderr=self._errors)
        until(lambda: self.store.exists() and self._count() == QUIET, "the worker to have folded what was there")
        self._threads = [threading.Thread(target=self._append), threading.Thread(target=self._read)]
        for thread in self._threads:
            thread.start()

    def _count(self) -> int:
        with closing(sqlite3.connect(self.store)) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM task WHERE state = 'COMPLETED'").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    def _append(self) -> None:
        task, step = QUIET, 0
        with self.log.open("ab", buffering=0) as log:
            while not self._stop.wait(0.01) and task < QUIET + LIVE:
                for _ in range(5):
                    log.write(line(task, step, 8, 0) + b"\n")
                    task, step = (task, step + 1) if step < 7 else (task + 1, 0)

    def _read(self) -> None:
        wanted = {task_id(number) for number in range(QUIET)}
        with connect(self.url) as tasks:
            while not self._stop.is_set():
                given, cursor = Counter[str](), None
                while True:
                    page = tasks.documents_page(None, "id", PAGE, cursor)
                    self._look("page", page.items)
                    given.update(document["id"] for document in page.items)
                    if (cursor := page.next) is None:
                        break
                if missing := wanted - given.keys():
                    self.faults.append(f"{len(missing)} tasks are missing")
                if twice := [id for id, times in given.items() if times > 1]:
                    self.faults.append(f"{len(twice)} tasks come twice")
                self._look("stream", list(tasks.documents()))
                self.walks += 1

    def _look(self, what: str, documents: list[dict[str, Any]]) -> None:
        """All quiet tasks of one moment are planted, or none is."""
        kinds = {document["progress"] == PLANTED for document in documents if document["id"] < task_id(QUIET)}
        self.kinds[f"{what}, {'planted' if True in kinds else 'as folded'}"] += 1
        if len(kinds) > 1:
            self.faults.append(f"a {what} has both contents")

    def plant(self) -> None:
        """Another word in every quiet task of the live store, as if an older release had folded it so."""
        with closing(sqlite3.connect(self.store, isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = connection.execute("SELECT id, registers FROM task WHERE id < ?", (task_id(QUIET),)).fetchall()
            for id, registers in rows:
                state = from_bytes(registers)
                state.fields[-1].values["progress"] = PLANTED
                connection.execute("UPDATE task SET registers = ?, progress = ? WHERE id = ?", (to_bytes(state), PLANTED, id))
            connection.execute("COMMIT")

    def rebuild(self, *options: str) -> subprocess.CompletedProcess[str]:
        """One process of it."""
        command = [sys.executable, str(Path(__file__).with_name("rebuilder.py")), self.url, str(self.log), *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def end(self) -> None:
        """Nobody appends any more, and the worker has come to the end; then everyone stops."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        size = self.log.stat().st_size
        try:
            until(lambda: self.worker.poll() is not None or self._position() == size, "the worker to come to the end")
        finally:
            self.worker.send_signal(signal.SIGTERM)
            self.worker.wait(30)
            self._errors.close()

    def _position(self) -> int:
        with closing(sqlite3.connect(self.store)) as connection:
            return int(connection.execute("SELECT next_offset FROM position").fetchone()[0])


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """One for all tests of this file."""
    made = Beside(tmp_path_factory.mktemp("rebuild"))
    try:
        yield made
    finally:
        if made.worker.poll() is None:
            made.end()


KILLS = [(seam, 2 if seam == "a stretch is folded" else 1, False) for seam in SEAMS]
"""Each seam, at its first passing or a later one, of a rebuild in parallel; and two of one that folds record by record."""
KILLS += [("a batch is folded", 2, True), ("standing", 1, True)]


@pytest.mark.parametrize(("seam", "passing", "in_order"), KILLS)
def test_a_kill_and_another_try(beside: Beside, seam: str, passing: int, in_order: bool) -> None:
    """Killed at any seam, the next process goes on and exchanges the same content; reader and worker notice nothing but the new content."""
    options = ["--accept", *(["--in-order"] if in_order else [])]
    beside.plant()

    killed = beside.rebuild(*options, "--seam", seam, "--passing", str(passing))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = beside.rebuild(*options)
    assert resumed.returncode == 0, resumed.stderr
    walks = beside.walks
    until(lambda: beside.walks > walks + 1 or not beside._threads[1].is_alive(), "the reader to walk through the new content")

    assert json.loads(resumed.stdout)["state"] == "swapped"
    assert beside.faults == []
    assert beside.worker.poll() is None
    with connect(beside.url) as tasks:
        assert PLANTED not in {document["progress"] for document in tasks.documents()}


def test_the_end_is_the_fold_of_the_log(beside: Beside, tmp_path: Path) -> None:
    """After all kills, exchanges and live events: byte for byte what a replay of the whole log gives, and the sums are its, too."""
    beside.end()
    whole = replay([str(beside.log)], f"sqlite:///{tmp_path}/whole.db")
    with open_contents(beside.url) as live, open_contents(f"sqlite:///{tmp_path}/whole.db") as expected:
        assert content_hash(live.holdings()) == content_hash(expected.holdings())
        [partition] = live.partitions()

    assert partition.counters.balanced
    assert partition.counters.read == whole.counters.read
    assert beside.kinds["stream, planted"] > 0
    assert beside.kinds["stream, as folded"] > 0
