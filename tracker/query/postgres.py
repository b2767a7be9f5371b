"""Reading a PostgreSQL store: snapshots on read-only connections of their own, on a primary or a standby.

A commit's revision is its transaction's number. Transactions overtake each other: one with a greater number may be there while one with a
smaller is still on its way. So followers are told of revisions only up to the first transaction that is on its way in the snapshot (its
``xmin``, but for other programs' transactions); what is above it they are told later, when that has ended. Whoever has seen everything up to revision r and asks for what came after misses
nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from itertools import islice
from math import inf
from time import monotonic
from typing import Any

import psycopg
from sqlalchemy import Select, and_, or_, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from tracker.errors import TooLong
from tracker.model.limits import Limits
from tracker.query.base import Row
from tracker.query.clauses import Clause
from tracker.query.fields import FIELDS, Kind
from tracker.query.functions import Bound
from tracker.query.predicate import reader
from tracker.query.sql import Said, SqlSnapshot
from tracker.query.tree import Compare, In, Node, comparisons
from tracker.stores import postgres_schema, tables
from tracker.stores.postgres_link import Ended, Link, translated
from tracker.stores.postgres_reads import PostgresReads, writers_key
from tracker.stores.postgres_text import INEXACT, MAX_INDEXED
from tracker.stores.postgres_url import Address

_MAX_IDLE = 8
"""Connections kept for later; each is a process of the server."""
_FETCH_ROWS, _FETCH_BYTES = 500, 4_000_000
"""Of one round trip of a long listing: rows, and bytes as far as the rows before tell."""
FIRST_STEP_S, LAST_STEP_S = 0.015, 0.04
"""Between two looks for commits while they come, and while nothing comes; a look takes the server 0.1 ms."""
_DIALECT = PGDialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]
"""Without types of parameters: the database takes them from what they are compared with."""
_TASK = tables.task.c


def compiled(statement: Select[Any], address: Address) -> tuple[str, dict[str, Any]]:
    """A statement as PostgreSQL's text and values."""
    made = statement.compile(
        dialect=_DIALECT,
        schema_translate_map={None: address.schema},
        render_schema_translate=True,
        compile_kwargs={"render_postcompile": True},
    )
    return str(made), {name: _bound(value) for name, value in made.params.items()}


def _bound(value: Any) -> Any:
    """A value as the database takes it: no column has a U+0000, see `tracker.stores.postgres_text`."""
    if isinstance(value, Bound):
        return value.instant
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


_HORIZON = """
WITH locks AS MATERIALIZED (
  SELECT locktype, virtualtransaction, transactionid, mode, database, classid, objid FROM pg_catalog.pg_locks WHERE granted
), others AS (
  SELECT transactionid::text::bigint AS number FROM locks AS held WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock'
    AND NOT EXISTS (
      SELECT FROM locks WHERE locktype = 'advisory' AND classid::bigint = %s AND objid::bigint = %s
        AND locks.virtualtransaction = held.virtualtransaction
        AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    )
)
SELECT coalesce(
  min(number) FILTER (WHERE number %% 4294967296 NOT IN (SELECT number FROM others)),
  (CASE count(*) WHEN 0 THEN pg_snapshot_xmin(pg_current_snapshot()) ELSE pg_snapshot_xmax(pg_current_snapshot()) END)::text::bigint
) - 1
FROM (SELECT running::text::bigint AS number FROM pg_snapshot_xip(pg_current_snapshot()) AS running) AS running
"""
"""The last transaction before the first that is on its way in the snapshot and may write tasks.

Of those on their way some are other programs': they still run, and do not hold the lock that ours take before they have a number. Whatever has
ended since the snapshot was taken is not known to be another's. A standby's snapshot lists none of those on their way, whatever its xmin says:
there all hold it back.
"""


class _StoreReads(PostgresReads):
    """The store's own reading methods, in a snapshot."""

    def __init__(self, link: Link, address: Address) -> None:
        super().__init__(address.qualifier)
        self._link, self._address = link, address

    def read(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        with reading(self._address):
            return self._link.rows(statement, values)


@contextmanager
def reading(address: Address, *, translate: bool = True) -> Iterator[None]:
    """Errors as ours; a wait that was ended is a question that took too long."""
    try:
        with translated(address) if translate else nullcontext():
            yield
    except Ended:
        raise TooLong("the question took more time than it may: narrow it by a field that has an index, or ask for less at once") from None


class PostgresSnapshot(SqlSnapshot):
    """One read transaction; see `tracker.query.base.Snapshot`."""

    def __init__(self, link: Link, address: Address, limits: Limits) -> None:
        self._link, self._address = link, address
        self._reads = _StoreReads(link, address)
        self._cursors = 0
        super().__init__(self._reads, limits)

    def _run(self, statement: Select[Any], *, few: bool = True) -> Iterator[tuple[Any, ...]]:
        made, values = compiled(statement, self._address)
        if few:
            yield from self._reads.read(made, values)
            return
        self._cursors += 1
        name = f"listing_{self._cursors}"
        self._reads_nothing(f"DECLARE {name} NO SCROLL CURSOR FOR {made}", values)
        count = 50
        while rows := self._reads.read(f"FETCH {count} FROM {name}"):
            size_bytes = sum(len(value) for row in rows for value in row if isinstance(value, bytes)) // len(rows) + 100
            yield from rows
            if len(rows) < count:
                return
            count = max(1, min(_FETCH_ROWS, _FETCH_BYTES // size_bytes))

    def _reads_nothing(self, statement: str, values: Any) -> None:
        with reading(self._address):
            self._link.execute(statement, values)

    @property
    def kept_by(self) -> str:
        """The server that answers."""
        major, minor = divmod(self._link.info.server_version, 10_000)
        return f"PostgreSQL {major}.{minor}"

    def task(self, id: str) -> Row | None:
        """The task, deleted or not."""
        if "\0" in id:
            return None
        found = self._reads.read(f"SELECT id, revision, registers FROM {self._address.qualifier}task WHERE id = %s", (id,))
        return Row(*found[0]) if found else None

    @cached_property
    def _revision(self) -> int:
        t = self._address.qualifier
        ((base, newest, horizon),) = self._reads.read(
            f"SELECT value::bigint, (SELECT coalesce(max(revision), 0) FROM {t}task), "
            f"pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 FROM {t}meta WHERE name = 'revision_base'"
        )
        if newest <= horizon + base:
            return int(newest)
        # Something is beyond it: another program's transaction, which writes no task, may take hours, and shall not hold that back.
        key = writers_key(self._address.schema) % 2**64
        ((horizon,),) = self._reads.read(_HORIZON, (key >> 32, key % 2**32))
        ((newest,),) = self._reads.read(f"SELECT coalesce(max(revision), 0) FROM {t}task WHERE revision <= %s", (horizon + base,))
        return int(newest)

    def revision(self) -> int:
        """Of the newest commit of tasks before which no other is on its way."""
        return self._revision

    def _after(self, revision: int) -> Clause:
        return and_(_TASK.revision > revision, _TASK.revision <= self.revision())

    def _said(self, where: Node | None) -> tuple[Said | None, Node | None]:
        if where is not None and any(map(_has_null_character, comparisons(where))):
            return None, where  # no column can be compared with it
        said, rest = super()._said(where)
        if said is None or where is None or not any(map(_is_of_free_text, comparisons(where))) or not self._has_inexact:
            return said, rest
        # Rows whose columns are not the document's own words are found whatever the filter, and it is decided on their documents.
        return Said(or_(said.clause, and_(text(INEXACT), _TASK.state.is_not(None))), said.of_living), where

    def children(self, ids: Sequence[str], limit: int) -> Iterator[Row]:
        """Tasks with these parents, by parent and id; the key is the parent's id."""
        if not any(map(_is_inexact, ids)):
            return super().children(ids, limit)
        parent = reader(FIELDS["parentId"])
        return islice((row for row in super().children(ids, sys.maxsize) if parent(row) == row.key[0]), limit)

    def parents_among(self, ids: Sequence[str]) -> set[str]:
        """Those of them that are a task's parent: read off an index."""
        found = super().parents_among(ids)
        return {id for id in found if not _is_inexact(id) or any(True for _ in self.children([id], 1))}

    @cached_property
    def _has_inexact(self) -> bool:
        return bool(self._reads.read(f"SELECT 1 FROM {self._address.qualifier}task WHERE {INEXACT} LIMIT 1"))


def _is_inexact(id: str) -> bool:
    """Whether a column with this text may be of a document with another."""
    return len(id) >= MAX_INDEXED or "\ufffd" in id


def _is_of_free_text(node: Compare | In) -> bool:
    """Whether it looks at a column of any text."""
    return node.field.kind in (Kind.TEXT, Kind.LABEL) or (node.field.kind is Kind.ID and node.field is not FIELDS["id"])


def _has_null_character(node: Compare | In) -> bool:
    """Whether it looks for U+0000."""
    return any(isinstance(value, str) and "\0" in value for value in (node.values if isinstance(node, In) else (node.value,)))


def _never() -> bool:
    return False


class PostgresReader:
    """A PostgreSQL store that is open for reading. Raises `NotFound`, `StoreMismatch` or `StoreError` on opening, which a ``stop`` ends as
    `TooLong`; `StoreError` later.
    """

    quick = False
    """A snapshot takes three round trips."""

    def __init__(self, address: Address, stop: threading.Event | None = None) -> None:
        self._address = address
        self._idle: list[Link] = []
        self._closed = False
        link = self._connect(stop.is_set if stop else _never)
        self._idle.append(link)

    def _connect(self, ended: Callable[[], bool] = _never) -> Link:
        with reading(self._address):
            link = Link.unless(ended, self._address)
            try:
                self.limits = postgres_schema.check(link, self._address, None)
            except BaseException:
                link.close()
                raise
        return link

    @contextmanager
    def snapshot(self, timeout_s: float | None = None, stop: threading.Event | None = None) -> Iterator[PostgresSnapshot]:
        """The store as it is now; its writers go on meanwhile. A connection is kept for the next one."""
        until = monotonic() + (inf if timeout_s is None else timeout_s)
        end = stop or threading.Event()
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        if timeout_s is not None:  # the server's own limit, should this process be gone by then
            begin += f"; SET LOCAL statement_timeout = {int(timeout_s * 1000) + 1000}"
        link = self._begun(begin, lambda: self._closed or end.is_set() or monotonic() > until)
        try:
            yield PostgresSnapshot(link, self._address, self.limits)
            with reading(self._address):
                link.execute("COMMIT")
        except BaseException:
            link.close()
            raise
        link.ended = _never
        if self._closed or len(self._idle) >= _MAX_IDLE:
            link.close()
        else:
            self._idle.append(link)

    def _begun(self, begin: str, ended: Callable[[], bool]) -> Link:
        """A connection in a new transaction: one that is idle and still good, or a new one."""
        while self._idle:
            with suppress(IndexError):
                link = self._idle.pop()
                link.ended = ended
                try:
                    with reading(self._address, translate=False):
                        link.execute(begin)
                    return link
                except psycopg.Error:  # the server was restarted meanwhile, or a proxy has closed it
                    link.close()
        link = self._connect(ended)
        with reading(self._address):
            link.execute(begin)
        return link

    def commits(self) -> PostgresCommits:
        """What waits for commits, with a connection of its own."""
        return PostgresCommits(self._connect(), self._address)

    def close(self) -> None:
        """Close what is idle; a snapshot that is still read closes on its own."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class PostgresCommits:
    """See `tracker.query.base.CommitWait`. It looks, again and again: NOTIFY would have commits wait for each other, cluster-wide, and LISTEN
    is a session's state, which PgBouncer does not keep.
    """

    def __init__(self, link: Link, address: Address) -> None:
        self._link, self._address = link, address
        t = address.qualifier
        # The newest revision, what is on its way below it (a standby knows no more than where that begins), where the logs are read to, and what is parked.
        self._look = (
            f"SELECT newest, (SELECT array_agg(running::text ORDER BY running) FROM pg_snapshot_xip(pg_current_snapshot()) AS running "
            f"WHERE running::text::bigint + value::bigint < newest), "
            f"least(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + value::bigint, newest + 1), "
            f"(SELECT array_agg(next_offset ORDER BY topic, partition) FROM {t}position), (SELECT max(number) FROM {t}parked) "
            f"FROM {t}meta, (SELECT max(revision) AS newest FROM {t}task) AS of_tasks WHERE name = 'revision_base'"
        )
        self._seen: list[tuple[Any, ...]] | None = None

    def wait(self, stop: threading.Event) -> bool:
        """Until there was a commit (at once the first time), or ``stop``. Raises `StoreUnavailable`."""
        self._link.ended = stop.is_set
        step_s = FIRST_STEP_S
        while self._seen is None or not stop.wait(step_s):
            try:
                with translated(self._address):
                    found = self._link.rows(self._look)
            except Ended:
                return False
            if found != self._seen:
                self._seen = found
                return True
            step_s = min(step_s * 1.1, LAST_STEP_S)
        return False

    def wake(self) -> None:
        """Nothing to do: ``stop`` is looked at all the time."""

    def close(self) -> None:
        """Close the connection."""
        self._link.close()
