"""Waiting for commits to a SQLite file: ``PRAGMA data_version`` is a number that changes when another connection has committed."""

from __future__ import annotations

import sqlite3
import threading

from tracker.errors import StoreChanged
from tracker.stores.sqlite_file import FileId, file_id, translated

FIRST_STEP_S = 0.01
"""Between two looks while commits come: a look costs some 5 µs, and 10 ms are little beside a batch's age of 100."""
LAST_STEP_S = 0.05
"""While nothing comes; reached within a second."""


class DataVersion:
    """See `tracker.query.base.CommitWait`. The connection is its own, and must not write."""

    def __init__(self, connection: sqlite3.Connection, path: str, file: FileId | None) -> None:
        self._connection, self._path, self._file = connection, path, file
        self._seen: int | None = None

    def wait(self, stop: threading.Event) -> bool:
        """Until there was a commit (at once the first time), or ``stop``. Raises `StoreChanged` where the file is no longer the one."""
        step_s = FIRST_STEP_S
        while self._seen is None or not stop.wait(step_s):
            if file_id(self._path) != self._file:
                raise StoreChanged(f"{self._path} was deleted, or another file was put in its place")
            with translated(self._path):
                (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            if version != self._seen:
                self._seen = version
                return True
            step_s = min(step_s * 1.1, LAST_STEP_S)
        return False

    def wake(self) -> None:
        """Nothing to do: ``stop`` is looked at all the time."""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
