"""Workers as processes of the command line, kept up by a supervisor: whoever ends is started again, and an end that was not asked for is noted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.crash import clock

STOP_S = 15.0
ENDS_OF_SIGTERM = (0, -signal.SIGTERM)
"""In order; or as any process, in the second before it listens to signals."""


@dataclass
class Worker:
    """One place in the fleet, and the process that fills it now."""

    name: str
    source: str
    store: str
    folder: Path
    options: list[str] = field(default_factory=list)
    static: bool = False
    """Whether the next process joins under the place's name."""
    process: subprocess.Popen[bytes] | None = None
    start_at: float = 0.0
    """When the next process is due; while it is 0, one is there or none is wanted."""
    expected: set[int] = field(default_factory=set)
    """The exit codes that somebody has asked for, of the process that is there."""
    excused_until: float = 0.0
    """Until then exit code 1 is no news: it is started, over and over, while its store is away."""
    stops_s: list[float] = field(default_factory=list)
    """How long each end in order took."""
    starts: int = 0
    ends: list[str] = field(default_factory=list)
    """Ends that nobody had asked for."""

    @property
    def log_path(self) -> Path:
        """All that its processes have said."""
        return self.folder / f"{self.name}.log"

    @property
    def clock_path(self) -> Path:
        """How far the worker's wall clock is ahead; see `tests.crash.clock`."""
        return self.folder / f"{self.name}.clock"

    @property
    def is_up(self) -> bool:
        """Whether a process is there."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Now."""
        command = [sys.executable, "-m", "tracker", "run", "--source", self.source, "--store", self.store, "--log-format", "json"]
        command += ["--max-parked-ratio", "0", *self.options, *(["--instance", self.name] if self.static else [])]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
        environment |= clock.environment(self.clock_path)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.start_at, self.expected = 0.0, set()
        self.starts += 1

    def signal(self, number: signal.Signals, *expected: int) -> None:
        """To the process that is there; ``expected`` are the exit codes that this may bring."""
        if self.process is not None and self.process.poll() is None:
            self.expected |= set(expected)
            self.process.send_signal(number)
            if number is signal.SIGTERM:
                threading.Thread(target=self._time_stop, args=(self.process, time.monotonic()), daemon=True).start()

    def _time_stop(self, process: subprocess.Popen[bytes], asked_at: float) -> None:
        process.wait()
        self.stops_s.append(time.monotonic() - asked_at)

    def step_clock(self, seconds: int) -> None:
        """Its wall clock jumps; monotonic time goes on."""
        clock.set_step(self.clock_path, seconds)

    def messages(self) -> list[dict[str, Any]]:
        """Its log as documents; a line that is none (a traceback) as its text."""
        if not self.log_path.exists():
            return []
        found = []
        for line in self.log_path.read_text(errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"level": "none", "event": None, "message": line})
        return found

    def last_words(self) -> str:
        """What its log ends with; where it hangs, if its stop does."""
        return " | ".join(each["message"] for each in self.messages()[-3:])[-6000:]


class Fleet:
    """All workers. `tend` is to be called a few times a second."""

    def __init__(self, workers: list[Worker]) -> None:
        self.workers = workers
        self.tolerated: set[int] = set()
        """Exit codes that are no news while a fault lasts, such as 1 while the disk is full."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.kill()
                worker.process.wait()

    def start(self) -> None:
        """All of them."""
        for worker in self.workers:
            worker.start()

    def tend(self) -> None:
        """Start whoever is due, and note who has ended by itself."""
        now = time.monotonic()
        for worker in self.workers:
            if worker.process is not None and (code := worker.process.poll()) is not None:
                worker.process = None
                excused = {1} if now < worker.excused_until else set()
                if code not in worker.expected | self.tolerated | excused:
                    worker.ends.append(f"{worker.name} ended by itself with {code}: {worker.last_words()}")
                if not worker.start_at:
                    worker.start_at = now + 1.0
            if worker.process is None and worker.start_at and now >= worker.start_at:
                worker.start()

    def stop(self) -> list[str]:
        """End all in order; what was wrong on the way."""
        wrong = []
        for worker in self.workers:
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            if worker.process is not None:
                try:
                    code = worker.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    wrong.append(f"{worker.name} did not end within {STOP_S:.0f} s of SIGTERM: {worker.last_words()}")
                    continue
                if code not in ENDS_OF_SIGTERM:
                    wrong.append(f"{worker.name} ended with {code} on SIGTERM: {worker.last_words()}")
        return wrong

    def complaints(self) -> list[str]:
        """What no fault may bring: tracebacks, ends that nobody asked for, and those that were asked for and took too long."""
        found = [end for worker in self.workers for end in worker.ends]
        found += [f"a stop of {worker.name} took {took:.0f} s" for worker in self.workers for took in worker.stops_s if took > STOP_S]
        for worker in self.workers:
            lines = [each["message"] for each in worker.messages() if each["level"] == "none"]
            if lines and any("Traceback" in line for line in lines):
                found.append(f"{worker.name} showed a traceback: " + "\n".join(lines[-40:]))
        return found

    def said(self, event: str) -> list[str]:
        """The messages of all workers that carry an event's name."""
        return [f"{worker.name}: {each['message']}" for worker in self.workers for each in worker.messages() if each["event"] == event]
