"""A SQLite store's shadow: a second file ``NAME.rebuild`` beside it, and how the two exchange what they hold.

The exchange is one transaction on the live file that writes the rows in which the two differ, the positions and a new name; not a rename:
a file that is renamed while others have it open leaves them on the old one, and its ``-wal`` and ``-shm``, which SQLite finds by name, would for a
moment lie beside the wrong file. So every reader, a person's ``sqlite3`` too, sees the one content or the other, and a kill leaves the one or
the other. What the live rows were is written into the shadow first, which is kept as ``NAME.old``: with its own rows it is the whole old projection.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from tracker.errors import NotFound, StoreError
from tracker.model.limits import Limits
from tracker.stores import schema, tables
from tracker.stores.base import PartitionStatus
from tracker.stores.contents import STILL_SO, Holding
from tracker.stores.sql import SqlStore
from tracker.stores.sqlite_contents import COLUMNS, SqliteContents, _Reads, changed_after, some
from tracker.stores.sqlite_file import BUSY_TIMEOUT_MS, execute_in_turn, translated

_NAMES = COLUMNS.split(", ")
_UPSERT = (
    f"INSERT INTO task ({COLUMNS}, revision) VALUES ({', '.join('?' * (len(_NAMES) + 1))}) ON CONFLICT (id) DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name}=excluded.{name}" for name in [*_NAMES[1:], "revision"])
)
_POSITION = [column.name for column in tables.position.columns]
_PARKED = [column.name for column in tables.parked.columns if column.name != "number"]
_META = ("fold_version", "limits", "made_by")
"""What a content brings with it; the revision goes on, and the name is a new one each time."""
_CHUNK = 500
Key = tuple[str, int, int]
"""Topic, partition and offset of a parked record."""


class SqliteShadow:
    """See `tracker.stores.contents.Shadow`. Raises `NotFound` where there is no live store."""

    def __init__(self, path: str) -> None:
        if not Path(path).exists():
            raise NotFound(f"there is no store {path} to rebuild: tracker run or tracker replay makes one, or name another with --store")
        self._path = str(Path(path).absolute())
        self.path, self._old = self._path + ".rebuild", self._path + ".old"
        self.folder = Path(self._path + ".rebuild-runs")
        """For what is on its way into the shadow."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A lock that ends with the process."""
        lock = Path(self._path + ".rebuild-lock")
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreError(f"another tracker rebuild works on {self._path}: let it end, or stop it") from None
            yield
            lock.unlink(missing_ok=True)

    @contextmanager
    def _connected(self, path: str) -> Iterator[sqlite3.Connection]:
        with translated(path):
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
                connection.execute("PRAGMA synchronous=FULL")
                yield connection
            finally:
                connection.close()

    @contextmanager
    def _writing(self, path: str) -> Iterator[sqlite3.Connection]:
        with self._connected(path) as connection:
            execute_in_turn(connection, "BEGIN IMMEDIATE", threading.Event())
            yield connection
            connection.execute("COMMIT")

    def note(self) -> str | None:
        """What the live store says of a rebuild."""
        with self._connected(self._path) as live:
            found = live.execute("SELECT value FROM meta WHERE name='rebuild'").fetchone()
        return None if found is None else str(found[0])

    def remember(self, note: str | None) -> None:
        """Say it in the live store."""
        with self._writing(self._path) as live:
            _set_meta(live, {"rebuild": note})

    @property
    def exists(self) -> bool:
        """Whether there is a shadow."""
        return Path(self.path).exists()

    def open(self, limits: Limits | None) -> SqlStore:
        """The shadow as a store. It is made again after a power cut, so it need not wait for the disk."""
        store = SqlStore(self.path, limits=limits, synchronous="NORMAL")
        try:
            with store.transaction() as cursor:
                for index in tables.task_indexes:
                    if index.name != "task_revision" or not store.revision():
                        cursor.execute(f"DROP INDEX IF EXISTS {index.name}")
        except BaseException:
            store.__exit__(None, None, None)
            raise
        return store

    def finish(self) -> None:
        """What changed last is asked for under the lock; no other index of the shadow is ever read."""
        with self._writing(self.path) as shadow:
            shadow.execute("CREATE INDEX IF NOT EXISTS task_revision ON task (revision)")

    def contents(self) -> SqliteContents:
        """The shadow's."""
        return SqliteContents(self.path)

    def live_contents(self) -> SqliteContents:
        """The live store's."""
        with self._connected(self._path) as live:
            outdated = schema.is_outdated(schema.stored_schema(live))
        if outdated:
            schema.migrate(self._path, None)
        return SqliteContents(self._path)

    @contextmanager
    def live_standing(self) -> Iterator[_StillLive]:
        """BEGIN IMMEDIATE: readers go on, writers wait; committed only where something was exchanged."""
        with self._connected(self._path) as live, self._connected(self.path) as shadow:
            execute_in_turn(live, "BEGIN IMMEDIATE", threading.Event())
            standing = _StillLive(live, self._path, shadow)
            yield standing
            live.execute("COMMIT" if standing.exchanged else "ROLLBACK")

    def keep_old(self) -> None:
        """The shadow is the old one from now on."""
        if self.exists:
            with self._connected(self.path) as shadow:
                shadow.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                shadow.execute("PRAGMA journal_mode=DELETE").fetchone()  # one file, without others beside it
            Path(self.path).replace(self._old)
        self.discard()

    @property
    def has_old(self) -> bool:
        """Whether an exchange can be taken back."""
        return Path(self._old).exists()

    def roll_back(self, note: str) -> None:
        """What was exchanged comes back, and what was written since is forgotten: its records are read again from the old positions."""
        with self._writing(self._path) as live, self._connected(self._old) as old:
            since = int(_meta(old, "previous_meta")["exchanged_at"])
            ids = {id for (id,) in old.execute("SELECT id FROM previous")} | changed_after(live, since)
            revision = _next_revision(live)
            for chunk in _chunks(sorted(ids)):
                marks = ",".join("?" * len(chunk))
                kept = old.execute(f"SELECT {COLUMNS} FROM previous WHERE id IN ({marks})", chunk).fetchall()  # noqa: S608 - our own names
                rows = some(old, "task", set(chunk) - {row[0] for row in kept})
                found = {row[0]: Holding(row[0], row[1], row[2:]) for row in kept if row[1] is not None} | rows
                _write(live, chunk, found, revision)
            _replace_rows(live, "position", _POSITION, old.execute(f"SELECT {', '.join(_POSITION)} FROM previous_position"))  # noqa: S608
            removed, added = _keys(old, "previous_parked"), _keys(old, "previous_added")
            wanted = (_keys(old, "parked") - added) | removed
            _take_parked(live, wanted, {"previous_parked": removed, "parked": wanted - removed}, old)
            _set_meta(live, {name: text for name, text in _meta(old, "previous_meta").items() if name != "exchanged_at"})
            _set_meta(live, {"store": secrets.token_hex(8), "rebuild": note})

    def discard(self) -> None:
        """Drop the shadow and the runs on their way into it."""
        for ending in ("", "-wal", "-shm"):
            Path(self.path + ending).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def discard_old(self) -> None:
        """Drop the old one."""
        for ending in ("", "-wal", "-shm"):
            Path(self._old + ending).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """What the disk beside the live store has left."""
        return shutil.disk_usage(os.path.dirname(self._path)).free  # noqa: PTH120 - it is a path's text


class _StillLive:
    """See `tracker.stores.contents.StillLive`."""

    def __init__(self, live: sqlite3.Connection, path: str, shadow: sqlite3.Connection) -> None:
        self._live, self._shadow = live, shadow
        self._reads = _Reads(live, path)
        self.exchanged = False

    def partitions(self) -> Sequence[PartitionStatus]:
        """The live store's positions."""
        return self._reads.partitions()

    def changed_after(self, revision: int) -> set[str]:
        """Ids of the live tasks that later commits wrote."""
        return changed_after(self._live, revision)

    def some(self, task_ids: Iterable[str]) -> Mapping[str, Holding]:
        """Those of them that the live store has."""
        return some(self._live, "task", task_ids)

    def exchange(self, differing: set[str], note: str) -> None:
        """First the shadow keeps what the live store has, then the live store gets what the shadow has."""
        live, shadow, ids = self._live, self._shadow, sorted(differing)
        revision = _next_revision(live)
        ours, theirs = _keys(live, "parked"), _keys(shadow, "parked")
        self._keep(ids, revision, ours - theirs, theirs - ours)
        for chunk in _chunks(ids):
            _write(live, chunk, some(shadow, "task", chunk), revision)
        kept = {row[:2]: row[2:] for row in live.execute(f"SELECT topic, partition, {', '.join(STILL_SO)} FROM position")}  # noqa: S608
        own = [name for name in _POSITION if name not in STILL_SO]
        rows = shadow.execute(f"SELECT {', '.join(own)} FROM position").fetchall()  # noqa: S608 - our own names
        absent = (None,) * len(STILL_SO)
        _replace_rows(live, "position", [*own, *STILL_SO], [(*row, *kept.get(row[:2], absent)) for row in rows])
        _take_parked(live, theirs, {"parked": theirs}, shadow)
        _set_meta(live, {name: text for name, text in _meta(shadow, "meta").items() if name in _META})
        _set_meta(live, {"store": secrets.token_hex(8), "rebuild": note})
        self.exchanged = True

    def _keep(self, ids: Sequence[str], revision: int, removed: set[Key], added: set[Key]) -> None:
        live, shadow = self._live, self._shadow
        shadow.execute("BEGIN IMMEDIATE")
        for table in ("", "_position", "_parked", "_added", "_meta"):
            shadow.execute(f"DROP TABLE IF EXISTS previous{table}")
        shadow.execute(f"CREATE TABLE previous ({COLUMNS}, PRIMARY KEY (id))")
        shadow.execute(f"CREATE TABLE previous_position ({', '.join(_POSITION)})")
        shadow.execute(f"CREATE TABLE previous_parked ({', '.join(_PARKED)})")
        shadow.execute("CREATE TABLE previous_added (topic, partition, offset)")
        shadow.execute("CREATE TABLE previous_meta (name, value)")
        for chunk in _chunks(ids):
            found = some(live, "task", chunk)
            absent = (None,) * (len(_NAMES) - 1)
            rows = [(found[id].id, found[id].registers, *found[id].cells) if id in found else (id, *absent) for id in chunk]
            shadow.executemany(f"INSERT INTO previous VALUES ({', '.join('?' * len(_NAMES))})", rows)  # noqa: S608 - only marks
        _insert(shadow, "previous_position", _POSITION, live.execute(f"SELECT {', '.join(_POSITION)} FROM position"))  # noqa: S608
        _insert(shadow, "previous_parked", _PARKED, _parked_rows(live, "parked", removed))
        shadow.executemany("INSERT INTO previous_added VALUES (?, ?, ?)", sorted(added))
        kept = {name: text for name, text in _meta(live, "meta").items() if name in _META} | {"exchanged_at": str(revision)}
        shadow.executemany("INSERT INTO previous_meta VALUES (?, ?)", kept.items())
        shadow.execute("COMMIT")


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    waiting = iter(ids)
    while chunk := list(islice(waiting, _CHUNK)):
        yield chunk


def _next_revision(live: sqlite3.Connection) -> int:
    (revision,) = live.execute("UPDATE meta SET value=value+1 WHERE name='revision' RETURNING CAST(value AS INTEGER)").fetchone()
    return int(revision)


def _write(live: sqlite3.Connection, ids: Sequence[str], found: Mapping[str, Holding], revision: int) -> None:
    live.executemany("DELETE FROM task WHERE id=?", [(id,) for id in ids if id not in found])
    live.executemany(_UPSERT, [(each.id, each.registers, *each.cells, revision) for each in found.values()])


def _insert(to: sqlite3.Connection, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    to.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)  # noqa: S608 - our own names


def _replace_rows(live: sqlite3.Connection, table: str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    live.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
    _insert(live, table, names, rows)


def _keys(connection: sqlite3.Connection, table: str) -> set[Key]:
    return set(connection.execute(f"SELECT topic, partition, offset FROM {table}"))  # noqa: S608 - our own names


def _parked_rows(connection: sqlite3.Connection, table: str, keys: set[Key]) -> Iterator[Sequence[Any]]:
    for key in sorted(keys):
        names = ", ".join(_PARKED)
        yield from connection.execute(f"SELECT {names} FROM {table} WHERE topic=? AND partition=? AND offset=?", key)  # noqa: S608


def _take_parked(live: sqlite3.Connection, wanted: set[Key], homes: Mapping[str, set[Key]], other: sqlite3.Connection) -> None:
    """The live store's parked records become those of ``wanted``; those that it has keep their numbers, and stay dropped if they are."""
    held = _keys(live, "parked")
    live.executemany("DELETE FROM parked WHERE topic=? AND partition=? AND offset=?", sorted(held - wanted))
    for table, keys in homes.items():
        _insert(live, "parked", _PARKED, _parked_rows(other, table, keys & (wanted - held)))


def _meta(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    return dict(connection.execute(f"SELECT name, value FROM {table}").fetchall())  # noqa: S608 - our own names


def _set_meta(live: sqlite3.Connection, values: Mapping[str, str | None]) -> None:
    for name, text in values.items():
        if text is None:
            live.execute("DELETE FROM meta WHERE name=?", (name,))
        else:
            live.execute("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value=excluded.value", (name, text))
