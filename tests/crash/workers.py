"""Worker processes under a test's control: started, watched through the store, signalled, ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

WORKER = Path(__file__).with_name("worker.py")
DEADLINE_S = 60.0
SHORT_SESSIONS = "session.timeout.ms=2000 heartbeat.interval.ms=300 metadata.max.age.ms=300"


def until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S, every_s: float = 0.01) -> None:
    """Wait for a condition; TimeoutError names it."""
    deadline = time.monotonic() + deadline_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {deadline_s:.0f} s for {what}")
        time.sleep(every_s)


class Worker:
    """One process of `worker.py`; its log goes to a file beside the store. Killed at the end of ``with`` if it still lives."""

    def __init__(self, source: str, store: Path, *options: str, name: str = "worker") -> None:
        self.log_path = store.with_name(f"{store.stem}-{name}.log")
        self._log = self.log_path.open("ab")
        command = [sys.executable, str(WORKER), source, str(store), "--config", SHORT_SESSIONS, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._log.close()

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_path.read_text()

    @property
    def is_stopped(self) -> bool:
        """Whether SIGSTOP holds it."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Its exit code (negative: the signal that ended it)."""
        return self.process.wait(deadline_s)

    def printed(self) -> bytes:
        """Its standard output, after its end."""
        assert self.process.stdout is not None
        return self.process.stdout.read()
