"""One SQLite file as a connection: how it is opened, and what its errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TypeAlias

from tracker.errors import NotFound, StoreError, StoreFull, StoreMismatch, StoreUnavailable, TooLong, TrackerError
from tracker.model.limits import Limits
from tracker.stores import schema

BUSY_TIMEOUT_MS = 30_000
"""Several workers may write one file: each waits for the others' batches, which take well under a second each."""
BUSY_STEP_MS = 500
"""A writer waits in such steps, so that a stop need not wait for the other's transaction."""
PAGE_BYTES = 16_384
"""A state is about 1 kB: larger pages make the tree flatter (10 % faster than 4 kB)."""
CACHE_KIB = 65_536
"""Of the 400 MB that a worker may take; the operating system's cache does the rest."""
WAL_PAGES = 4_000
"""64 MB of log between checkpoints: hot pages are copied into the file once, not once a batch."""

FileId: TypeAlias = tuple[int, int]
"""Device and inode."""


@contextmanager
def translated(path: str) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, path) from error


def execute_in_turn(connection: sqlite3.Connection, statement: str, hurry: threading.Event) -> None:
    """Run a statement that needs the one write lock; SQLite's own error where it is not free in time, or not at once when in a hurry.

    SQLite's timeout alone would not do: where two connections switch a new file to WAL at once, it gives up without any waiting.
    """
    deadline = monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute(statement).fetchone()
            return
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or monotonic() >= deadline or hurry.wait(0.001):
                raise


def _code(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _translate(error: sqlite3.Error, path: str) -> TrackerError:
    code = _code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"{path} is locked by another writer")
    if code == sqlite3.SQLITE_INTERRUPT:
        return TooLong("the question took more time than it may: narrow it by a field that has an index, or ask for less at once")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"no space is left for {path}: nothing of this commit was written. Make room and start again")
    if code == sqlite3.SQLITE_NOTADB:
        return StoreMismatch(f"expected a tracker store, but {path} is no SQLite database; name another file with --store")
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreError(f"{path} is damaged ({error}): restore a copy, or fold the log again into a new store")
    return StoreError(f"{path} can't be used: {error}")


def file_id(path: str) -> FileId | None:
    """Which file stands under the path; None if none does. The number of one that is open is given to no other."""
    try:
        found = os.stat(path)  # noqa: PTH116 - before every snapshot: a Path costs as much again
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def connect(path: str, *, limits: Limits | None, synchronous: str, create: bool) -> tuple[sqlite3.Connection, Limits]:
    """A connection for the one writing thread, its store migrated and checked, and the limits in force."""
    if not Path(path).exists():
        if not create:
            raise NotFound(f"there is no store {path}: tracker run or tracker replay makes one, or name another with --store")
        if not Path(path).absolute().parent.is_dir():
            raise NotFound(f"there is no folder {Path(path).absolute().parent} for the store {path}: make it, or name another with --store")
    with translated(path):
        # One thread at a time uses it, but not always the one that opened it.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        try:
            connection.execute(f"PRAGMA busy_timeout={min(BUSY_STEP_MS, BUSY_TIMEOUT_MS)}")
            stored = schema.stored_schema(connection)
            outdated = schema.is_outdated(stored)
            if stored is not None:
                limits = schema.check(connection, limits)  # nothing was touched yet: it may be no store of ours
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
            execute_in_turn(connection, "PRAGMA journal_mode=WAL", threading.Event())
            connection.execute(f"PRAGMA synchronous={synchronous}")
            connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit={WAL_PAGES * PAGE_BYTES}")
            if outdated:
                schema.migrate(path, limits)
            return connection, schema.check(connection, limits)
        except BaseException:
            connection.close()
            raise


def connect_readonly(path: str) -> tuple[sqlite3.Connection, Limits]:
    """A connection that can't write, for readers beside the writer."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no store {path}: tracker run or tracker replay makes one, or name another with --store") from None
    except (OSError, ValueError) as error:  # no right to look, a name too long or with a null in it
        raise StoreError(f"{path[:200]!r} can't be used: {getattr(error, 'strerror', error)}; name another with --store") from error
    with translated(path):
        connection = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            if schema.stored_schema(connection) is None:
                raise StoreMismatch(f"{path} is an empty database: tracker run or tracker replay makes a store")
            return connection, schema.check(connection, None)
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_CANTOPEN and not os.access(Path(path).parent, os.W_OK):
                # SQLite's -wal and -shm are there while a worker has the store open; else a reader makes them.
                raise StoreError(
                    f"{path} can't be read in a folder where nothing may be written, while no worker has it open: "
                    f"let {Path(path).absolute().parent} be writable, or read a copy"
                ) from error
            raise
