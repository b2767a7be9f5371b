"""A small log, the live store that has read it, and what rebuilds it, for the tests of this folder."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.naive.workload import lines
from tracker.fold.state import from_bytes, to_bytes
from tracker.model.limits import Limits
from tracker.projector import Projector
from tracker.rebuild.differences import content_hash
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import Order, Outcome, Rebuild
from tracker.replay import replay
from tracker.sources.jsonl import JsonlSource
from tracker.stores.open import open_contents, open_shadow, open_store

TASKS = 60
NOW = "2026-01-01T00:00:00Z"


def url(path: Path) -> str:
    """A store's."""
    return f"sqlite:///{path}"


def log_in(folder: Path, tasks: int = TASKS, *, first_task: int = 0) -> Path:
    """``events.jsonl`` with 8 events a task, one ignored and one refused record; more of them where it is there already."""
    path = folder / "events.jsonl"
    with path.open("ab") as file:
        file.writelines(each + b"\n" for each in lines(tasks, first_task=first_task))
        file.write(b'{"type":"com.example.other"}\nnot JSON\n')
    return path


def live_in(folder: Path, **options: Any) -> Path:
    """``status.db`` that has read the log in the folder."""
    path = folder / "status.db"
    replay([str(folder / "events.jsonl")], url(path), **options)
    return path


def worked(store: Path, log: Path) -> None:
    """A worker's run to the end of the log, in a thread of its own: a rebuild may be at one of its seams."""

    def run() -> None:
        with open_store(url(store)) as opened:
            asyncio.run(Projector(lambda _: JsonlSource([str(log)]), opened).run())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def rebuilt(store: Path, log: Path | str, *files: Path, seam: Callable[[str], None] = lambda _: None, **order: Any) -> Outcome:
    """One run of a rebuild."""
    ordered = Order(logs=Logs(tuple(map(str, files)), str(log)), **order)
    return asyncio.run(Rebuild(open_shadow(url(store)), ordered, lambda: NOW, seam=seam).run())


def hash_of(store: Path) -> str:
    """Of everything that it holds."""
    with open_contents(url(store)) as contents:
        return content_hash(contents.holdings())


def plant(store: Path, task: str, progress: str = "planted") -> None:
    """Another word in one field of one task, in state and column, as a fold that was wrong would have left it."""
    with closing(sqlite3.connect(store)) as connection, connection:
        (registers,) = connection.execute("SELECT registers FROM task WHERE id = ?", (task,)).fetchone()
        state = from_bytes(registers)
        state.fields[-1].values["progress"] = progress
        connection.execute("UPDATE task SET registers = ?, progress = ? WHERE id = ?", (to_bytes(state), progress, task))


def smaller(**limits: int) -> Limits:
    """Limits that are not the usual ones."""
    return Limits(**limits)


class Stopped(Exception):
    """A run that ends at a seam, as if its process had been killed, but for open files."""


def stop_at(seam: str) -> Callable[[str], None]:
    """What ends a run there."""

    def at(name: str) -> None:
        if name == seam:
            raise Stopped(seam)

    return at
