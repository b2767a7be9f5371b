"""The command line as a user has it: an own folder, no settings from outside, each command by its arguments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tracker.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


Cli = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and an environment without settings of tracker."""
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process and gives its exit code and what it wrote."""
    assert folder == Path.cwd()

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def write_log(folder: Path) -> Callable[..., Path]:
    """Writes events to ``events.jsonl``: dicts are events, bytes are lines as they are."""

    def write(*lines: dict[str, Any] | bytes, name: str = "events.jsonl") -> Path:
        path = folder / name
        with path.open("ab") as file:
            for line in lines:
                file.write((line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()) + b"\n")
        return path

    return write


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """Makes one event: ``event("created", "t1", 3, uniqueName="x")`` happens at second 3."""

    def make(kind: str, task: str, second: int = 0, *, attributes_of_event: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": f"{kind}-{task}-{second}",
            "source": "/test",
            "type": f"io.tracker.task.{kind}",
            "subject": task,
            "time": f"2026-01-31T09:00:{second:02d}Z",
            **(attributes_of_event or {}),
            **({"data": data} if data else {}),
        }

    return make


@pytest.fixture
def filled(cli: Cli, write_log: Callable[..., Path], event: Callable[..., dict[str, Any]]) -> Path:
    """``status.db`` with t1 (ended), t2 (running), é (pending), one deleted, one ignored, one parked and one doubled event."""
    path = write_log(
        event("created", "t1", 1, uniqueName="Nightly sweep", launcher="sweep", attributes={"b": 1e16, "a": [1, 2.5, None]}),
        event("launched", "t1", 2),
        event("completed", "t1", 3, completionStatus="SUCCESS"),
        event("created", "t2", 4, uniqueName="Refresh, weekly"),
        event("launched", "t2", 5),
        event("progressed", "t2", 6, percentComplete=40, progress='Read "400"'),
        event("created", "é", 7, uniqueName="Übung"),
        event("created", "gone", 8),
        event("deleted", "gone", 9),
        {"specversion": "1.0", "id": "1", "source": "/x", "type": "com.example.other"},
        b'{"not": "an event"}',
        event("launched", "t1", 2),
    )
    assert cli("replay", path, "--quiet").code == 0
    return path
