"""A rebuild beside a worker that gets live events and a reader that pages without stop: what it takes, and how long the worker waits.

What must hold is that no walk misses a task that existed throughout, or gives one twice, that the exchange is made, and that the store is in the
end what its log says. The rate is told beside that of the live path, measured in the same run on a part of the same log.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from time import perf_counter, sleep

from tests.naive.workload import line, lines, task_id
from tracker.query import connect
from tracker.replay import replay

EVENTS_PER_TASK = 8
LIVE_SHARE = 40
"""One of so many tasks is folded by the live path alone, to have its rate."""
PAGE = 250
TICK_S = 0.02


class _Live:
    """A worker's process on the log, somebody who appends to that, and a reader."""

    def __init__(self, folder: Path, tasks: int, events_per_s: int) -> None:
        self.log, self.url, self._tasks, self._events_per_s = folder / "events.jsonl", f"sqlite:///{folder}/status.db", tasks, events_per_s
        self.pages = self.walks = self.appended = 0
        self.slowest_page_s = 0.0
        self.faults: list[str] = []
        self._stop = threading.Event()
        self._worker = subprocess.Popen(
            [sys.executable, "-m", "tracker", "run", "--follow", "--source", str(self.log), "--store", self.url, "--log-level", "warning"]
        )
        self._threads = [threading.Thread(target=self._append), threading.Thread(target=self._read)]
        for thread in self._threads:
            thread.start()

    def _append(self) -> None:
        began_s, task, step = perf_counter(), self._tasks, 0
        with self.log.open("ab", buffering=0) as log:
            while not self._stop.wait(TICK_S):
                due, block = int((perf_counter() - began_s) * self._events_per_s), []
                while self.appended < due:
                    block.append(line(task, step, EVENTS_PER_TASK, 0) + b"\n")
                    task, step = (task, step + 1) if step < EVENTS_PER_TASK - 1 else (task + 1, 0)
                    self.appended += 1
                log.write(b"".join(block))

    def _read(self) -> None:
        wanted = {task_id(number) for number in range(self._tasks)}
        with connect(self.url) as tasks:
            while not self._stop.is_set():
                given, cursor = Counter[str](), None
                while not self._stop.is_set():
                    began_s = perf_counter()
                    page = tasks.documents_page(None, "id", PAGE, cursor)
                    self.slowest_page_s = max(self.slowest_page_s, perf_counter() - began_s)
                    given.update(document["id"] for document in page.items)
                    self.pages += 1
                    if (cursor := page.next) is None:
                        self.walks += 1
                        self.faults += [f"{len(missing)} tasks missing" for missing in [wanted - given.keys()] if missing]
                        break
                self.faults += [f"{id} twice" for id, times in given.items() if times > 1]

    def rebuild(self) -> dict[str, object]:
        """In a process of its own; what it says."""
        command = [sys.executable, "-m", "tracker", "rebuild", "--source", str(self.log), "--store", self.url, "--json", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said: dict[str, object] = json.loads(done.stdout)
        return said

    def end(self) -> None:
        """Nobody appends any more; the worker comes to the end of the log."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        size = self.log.stat().st_size
        with connect(self.url) as tasks:
            while tasks.status().partitions[0].next_offset < size:
                assert self._worker.poll() is None, "the worker has ended"
                sleep(0.1)
        self._worker.terminate()
        self._worker.wait(30)


def _live_rate(folder: Path, tasks: int) -> float:
    """Events a second of one worker in batches, into an empty store."""
    log = folder / "part.jsonl"
    with log.open("wb") as file:
        file.writelines(each + b"\n" for each in lines(tasks))
    command = [sys.executable, "-m", "tracker", "run", "--until-end", "--json", "--source", str(log), "--log-level", "warning"]
    done = subprocess.run([*command, "--store", f"sqlite:///{folder}/part.db"], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    return float(said["read"] / said["seconds"])


def run(tasks: int, events_per_s: int) -> list[str]:
    """Rebuild a store of so many tasks while so many events a second arrive, and print; the names of what does not hold."""
    over = []
    with tempfile.TemporaryDirectory(prefix="tracker-bench-") as name:
        folder = Path(name)
        with (folder / "events.jsonl").open("wb") as file:
            file.writelines(each + b"\n" for each in lines(tasks))
        replay([str(folder / "events.jsonl")], f"sqlite:///{folder}/status.db")
        live_rate = _live_rate(folder, max(1_000, tasks // LIVE_SHARE))
        live = _Live(folder, tasks, events_per_s)
        sleep(2)  # the worker has begun
        began_s = perf_counter()
        said = live.rebuild()
        seconds = perf_counter() - began_s
        live.end()
        verified = subprocess.run(
            [sys.executable, "-m", "tracker", "verify", "--source", str(live.log), "--store", live.url, "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        if verified.returncode:
            over.append("verify after the rebuild")
        if live.faults:
            over.append("paging beside a rebuild")
        rate = float(str(said["read"])) / seconds
        print(
            f"rebuild of {tasks:,} tasks ({tasks * EVENTS_PER_TASK:,} events) beside {events_per_s:,} live events/s: {seconds:.1f} s, {rate:,.0f} "
            f"events/s, {rate / live_rate:.2f} of the live path's {live_rate:,.0f}; writers waited {said['lockSeconds']} s\n"
            f"    {said['different']} of {said['tasks']:,} tasks different; a reader's {live.pages:,} pages, {live.walks} walks, the slowest page "
            f"{live.slowest_page_s * 1e3:.0f} ms: {'OVER: ' + '; '.join(live.faults[:3]) if live.faults else 'no task missing, none twice: ok'}",
            flush=True,
        )
    return over
