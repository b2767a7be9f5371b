"""``python -m tracker.analytics.spark`` in a process of its own, and a standalone cluster for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tracker.errors import TrackerError
from tracker.rebuild.run import noted
from tracker.stores.open import open_shadow

SMALL = [
    f"--conf={name}={value}"
    for name, value in {"spark.ui.enabled": "false", "spark.driver.memory": "1g", "spark.sql.shuffle.partitions": "3"}.items()
]
START_S = 120
RUN_S = 600


def environment() -> dict[str, str]:
    """What Spark's processes need: this Python, and no name of this machine that leads elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "SPARK_", "PYSPARK_"))}
    return {**kept, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


def command(*arguments: object, master: str = "local[2]") -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "tracker.analytics.spark", "--master", master, *SMALL, *map(str, arguments)]


def ran(*arguments: object, master: str = "local[2]", code: int = 0) -> tuple[Any, str]:
    """What it said as JSON (None: nothing), and for people; AssertionError for another exit code."""
    done = subprocess.run(
        [*command(*arguments, master=master), "--json"], env=environment(), capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return (json.loads(done.stdout) if done.stdout.strip() else None), done.stderr


@contextmanager
def begun(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """The command while inside; it and all that it has started are killed at the end."""
    process = subprocess.Popen(
        command(*arguments), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        killed(process)


def has_begun(url: str) -> bool:
    """Whether a load into the store has found its log, and folds."""
    try:
        note = noted(open_shadow(url))
    except TrackerError:
        return False  # no store yet
    return note is not None and note.state == "building" and note.total > 0


def killed(process: subprocess.Popen[bytes]) -> None:
    """With its JVM and its Pythons."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait(30)


class Cluster:
    """A master and workers, each a process; ``spark_url`` is what ``--master`` takes."""

    def __init__(self, folder: Path, workers: int) -> None:
        import pyspark

        self._home, self._folder = Path(pyspark.__file__).parent, folder
        self._processes: list[subprocess.Popen[bytes]] = []
        port, self._ui = free_port(), free_port()
        self.spark_url = f"spark://127.0.0.1:{port}"
        try:
            self._start("master.Master", "master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(self._ui))
            self._wait(0)
            self.folders = [folder / f"worker-{number}" for number in range(workers)]
            for each in self.folders:
                each.mkdir()
                size = ["--cores", "1", "--memory", "1g", "--work-dir", str(each), "--webui-port", str(free_port())]
                self._start("worker.Worker", each.name, "--host", "127.0.0.1", *size, self.spark_url)
            self._wait(workers)
        except BaseException:
            self.stop()
            raise

    def _start(self, kind: str, name: str, *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [str(self._home / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *arguments],
                    env={**environment(), "SPARK_HOME": str(self._home), "SPARK_DAEMON_MEMORY": "256m"},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _wait(self, workers: int) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._ui}/json/", timeout=5) as answer:
                    if json.load(answer)["aliveworkers"] >= workers:
                        return
            except (OSError, ValueError):
                pass
            assert all(each.poll() is None for each in self._processes), "a process of the cluster has ended"
            time.sleep(0.2)
        raise TimeoutError(f"no cluster of {workers} workers after {START_S} s")

    def stop(self) -> None:
        """All of it."""
        for each in reversed(self._processes):
            killed(each)
