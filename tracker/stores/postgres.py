"""The PostgreSQL store: the same promises as SQLite's, for any number of workers.

A commit is two round trips: the transaction with all its statements in one pipeline, each of them over arrays, and the COMMIT. Both fences are
row counts, as in SQLite; rows are written in id order, so that two workers never wait for each other in a circle. The revision is the
transaction's own number, for a counter's row would have workers wait for each other; `tracker.query.postgres` says what readers make of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from psycopg import errors

from tracker.errors import PositionConflict, StateConflict, StoreReplaced, StoreUnavailable, TooLong
from tracker.model.limits import Limits
from tracker.model.records import Position, TopicPartition
from tracker.stores import postgres_schema
from tracker.stores.base import OUTCOMES, Commit, Loaded, Retried, Write
from tracker.stores.postgres_link import Ended, Link, is_passing, translated, translation
from tracker.stores.postgres_reads import PostgresReads, to_text, writers_key
from tracker.stores.postgres_rows import ADVANCE, JUMP, MOVE_COUNT, PARK, UPSERT, headers_to_bytes, parked_values, task_arrays
from tracker.stores.postgres_url import Address, address

LOCK_STEP_MS = 500
"""A commit waits for another's rows in such steps, so that a stop need not wait for the other's transaction."""
LOCK_TIMEOUT_S = 30.0
FROZEN_MS = 5_000
"""A worker that is frozen, or whose cable is out, between a transaction's statements and its COMMIT holds rows that all the others' batches
may have: its session is ended after this. TCP alone would let it hold them for two hours."""
CONNECT_PATIENCE_S = 30.0
"""A server that starts, or has no connection to spare, is asked again for so long when a store is opened."""
_DURABLE = "set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)"
"""A commit that a crash of the server forgets has its number given to another: a follower that has seen it would miss that one."""
_OTHER = "of another server"
"""No store's name."""
_HISTORY = "SELECT system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system()"
"""The cluster, and its timeline: a standby that is promoted begins another. Something like PostgreSQL may not tell."""
T = TypeVar("T")


class PostgresStore(PostgresReads):
    """A store in one schema of a PostgreSQL database; see `tracker.stores.base.StatusStore` for its promises."""

    def __init__(
        self, url: str | Address, *, limits: Limits | None = None, create: bool = True, hurry: threading.Event | None = None
    ) -> None:
        self.address = url if isinstance(url, Address) else address(url)
        super().__init__(self.address.qualifier)
        self._key = writers_key(self.address.schema)
        self.hurry = hurry or threading.Event()
        self._limits = limits
        """Those that were asked for: a rebuild may have given the store others since."""
        self._this_name = f"SELECT value FROM {self.qualifier}meta WHERE name = 'store'"
        self._name = ""
        """The store's own, when it was claimed last: a rebuild's exchange gives it another."""
        self._history: list[tuple[Any, ...]] = []
        """The server's: where it is another's, the last commits of before may be gone, and their numbers given to others."""
        self._link: Link | None = self._patiently_connected(create=create)
        self._refused = 0
        """Commits in a row that met another writer's change."""
        self._wanted: list[str] = []
        """Ids of the last one that was refused."""

    @property
    def path(self) -> str:
        """The store's name in messages."""
        return self.address.shown

    def _patiently_connected(self, *, create: bool) -> Link:
        deadline, wait_s = monotonic() + CONNECT_PATIENCE_S, 0.1
        while True:
            try:
                return self._connected(create=create, opening=True)
            except psycopg.OperationalError as error:
                if not is_passing(error) or monotonic() > deadline or self.hurry.is_set():
                    raise translation(error, self.address) from error
            except Ended:
                raise StoreUnavailable(f"{self.address.shown} was waited for, and then no more") from None
            except psycopg.Error as error:
                raise translation(error, self.address) from error
            self.hurry.wait(wait_s)
            wait_s = min(2 * wait_s, 2.0)

    def _connected(self, *, create: bool = False, opening: bool = False) -> Link:
        """A new connection, its store checked again: it may be another server by now."""
        link = Link.unless(self.hurry.is_set, self.address)
        try:
            self.limits = postgres_schema.prepare(link, self.address, self._limits, create=create, opening=opening)
            history = []
            with suppress(errors.FeatureNotSupported, errors.InsufficientPrivilege, errors.UndefinedFunction):
                history = link.rows(_HISTORY)
            if history != self._history and self._name:
                self._name = _OTHER
            self._name, self._history = self._name or _named(link.rows(self._this_name)), history
            postgres_schema.raise_base(link, self.address)
        except BaseException:
            link.close()
            raise
        return link

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _on_link(self, work: Callable[[Link], T]) -> T:
        """What the work gives on the connection, a new one where the last was lost. A transaction it leaves open on an error is ended."""
        try:
            with translated(self.address):
                if self._link is None or self._link.closed:
                    self._link = self._connected()
                return work(self._link)
        except BaseException as error:
            link = self._link
            if link is not None and (link.closed or link.info.transaction_status != psycopg.pq.TransactionStatus.IDLE):
                with suppress(psycopg.Error, Ended):
                    link.execute("ROLLBACK")
                if link.closed or link.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    self._drop()
            if isinstance(error, TooLong):
                raise StoreUnavailable(f"{self.address.shown}: a statement was cancelled ({error.__cause__})") from error
            if isinstance(error, Ended):
                raise StoreUnavailable(f"{self.address.shown} was waited for, and then no more: the work was given up") from None
            raise

    def transact(self, work: Callable[[Link], T]) -> T:
        """One write transaction around the work, which begins it (see `begin`); tried again while another holds its rows."""
        deadline = monotonic() + LOCK_TIMEOUT_S

        def all_of_it(link: Link) -> T:
            result = work(link)
            link.execute("COMMIT")
            return result

        while True:
            try:
                return self._on_link(all_of_it)
            except StoreUnavailable as away:
                if not isinstance(away.__cause__, errors.LockNotAvailable) or self.hurry.is_set() or monotonic() > deadline:
                    raise

    def begin(self, link: Link) -> None:
        """The first statements of a transaction, before any that gives it a number: locking a row does."""
        if link.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            link.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
        link.execute(
            f"SELECT {link.untimed}, {_DURABLE}, set_config('lock_timeout', '{LOCK_STEP_MS}', true), "
            f"set_config('idle_in_transaction_session_timeout', '{FROZEN_MS}', true), pg_advisory_xact_lock_shared(%s)",
            (self._key,),
        )

    def read(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a reading statement."""
        self._unlock()
        return self._on_link(lambda link: link.rows(statement, values))

    def _unlock(self) -> None:
        """End a transaction that `load` began to hold rows, where no commit followed."""
        if self._link is not None and not self._link.closed and self._link.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._on_link(lambda link: link.execute("ROLLBACK"))

    def claim(self, beginnings: Iterable[Position], worker: str = "") -> Mapping[TopicPartition, Position]:
        """The stored position of each partition, seeded with the given beginning where there is none; held by ``worker`` from now on."""
        self._unlock()
        wanted = sorted(beginnings, key=lambda each: each.at)
        t = self.qualifier

        def work(link: Link) -> list[tuple[Any, ...]]:
            self._name = _named(link.rows(self._this_name))
            self.limits = postgres_schema.check(link, self.address, self._limits)
            with link.pipeline():
                self.begin(link)
                for at in wanted:
                    link.execute(
                        f"INSERT INTO {t}position (topic, partition, next_offset, identity) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                        (at.topic, at.partition, at.next_offset, at.identity),
                    )
                    if at.identity:
                        # A store may have been seeded before the log's identity was known (an empty file): it is learnt now.
                        link.execute(
                            f"UPDATE {t}position SET identity = %s WHERE topic = %s AND partition = %s AND identity = '' AND next_offset = %s",
                            (at.identity, at.topic, at.partition, at.next_offset),
                        )
                    if worker:
                        link.execute(
                            f"UPDATE {t}position SET worker = %s, claimed_at = clock_timestamp() WHERE topic = %s AND partition = %s",
                            (worker, at.topic, at.partition),
                        )
            return link.rows(
                f"SELECT topic, partition, next_offset, identity FROM {t}position WHERE topic = ANY(%s)",
                (sorted({at.topic for at in wanted}),),
            )

        ats = {at.at for at in wanted}
        return {position.at: position for position in (Position(*row) for row in self.transact(work)) if position.at in ats}

    def load(self, task_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """The states that the store has; ids that it does not have are absent.

        After two refused commits in a row the rows of the last one are locked first, in id order, so that the third can be refused
        only for what was changed between the two; the transaction stays open for the commit that follows.
        """
        self._unlock()
        statement = f"SELECT id, registers, revision FROM {self.qualifier}task WHERE id = ANY(%s)"
        if self._refused < 2 or not task_ids:
            rows = self.read(statement, (list(task_ids),))
        else:
            rows = self._on_link(lambda link: self._locked(link, statement, task_ids))
        return {task_id: Loaded(registers, revision) for task_id, registers, revision in rows}

    def _locked(self, link: Link, statement: str, task_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        with link.pipeline():
            self.begin(link)
            link.execute(f"SELECT FROM {self.qualifier}task WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (self._wanted,))
        return link.rows(statement, (list(task_ids),))

    def commit(self, commit: Commit) -> int:
        """Write all or nothing; raises `PositionConflict` or `StateConflict` where the store is not as expected."""
        for retried in commit.retried:
            if retried.outcome not in OUTCOMES:
                raise ValueError(f"a retried record becomes applied, unchanged or ignored, not {retried.outcome}")
        try:
            revision = self.transact(lambda link: self.write(link, commit))
        except StateConflict:
            self._refused += 1
            self._wanted = sorted(write.task_id for write in commit.writes)
            raise
        self._refused = 0
        return revision

    def write(self, link: Link, commit: Commit) -> int:
        """Begin the transaction, and write a commit's rows; returns its revision."""
        t = self.qualifier
        # Rows in id order, always: so two transactions with the same tasks wait for one another at the first of them.
        writes = sorted(commit.writes, key=lambda write: write.task_id)
        arrays = task_arrays(writes) if writes else None  # before the server waits for them
        with link.pipeline():
            self.begin(link)
            advances = sorted(commit.advances, key=lambda advance: advance.expected.at)
            advanced = [link.execute(ADVANCE.format(t), _advance_values(advance)) for advance in advances]
            # After the positions, whose rows keep a rebuild's exchange out: what is read here holds until the end.
            name = link.execute(self._this_name)
            revision = link.execute(self.this_revision)
            upserted = None if arrays is None else link.execute(UPSERT.format(t), arrays, binary=True)
            for parked in commit.parked:
                link.execute(PARK.format(t), parked_values(parked))
            unparked = [(each, self._unpark(link, each)) for each in sorted(commit.retried, key=lambda each: each.number)]
            for jump in commit.jumps:
                link.execute(JUMP.format(t), (*jump.at, jump.stored, jump.chosen, jump.policy, jump.when))
        if _named(name.fetchall()) != self._name:
            what = "another server has it now" if self._name == _OTHER else "it was rebuilt meanwhile"
            raise StoreReplaced(f"{what}, and nothing was written: what was read of the store before is of the one before it")
        for advance, cursor in zip(advances, advanced, strict=True):
            if cursor.rowcount != 1:
                expected = advance.expected
                raise PositionConflict(
                    f"{expected.topic}, partition {expected.partition}: the store is no longer at offset {expected.next_offset}; "
                    f"another worker has it, or this one's own commit landed although its answer was lost"
                )
        ((number,),) = revision.fetchall()
        if upserted is not None:
            self._compare(link, writes, upserted.fetchall()[0], number)
        for retried, cursors in unparked:
            if any(cursor.rowcount != 1 for cursor in cursors):
                raise PositionConflict(f"parked record {retried.number} is gone: another retry was faster")
        return int(number)

    def _compare(self, link: Link, writes: Sequence[Write], counts: tuple[int, int], revision: int) -> None:
        new = sum(write.loaded_revision is None for write in writes)
        if counts != (len(writes), new):
            rows = dict(
                link.rows(f"SELECT id, revision FROM {self.qualifier}task WHERE id = ANY(%s)", ([write.task_id for write in writes],))
            )
            raise StateConflict([write.task_id for write in writes if rows.get(write.task_id) != revision])

    def _unpark(self, link: Link, retried: Retried) -> tuple[psycopg.Cursor[Any], psycopg.Cursor[Any]]:
        removed = link.execute(f"DELETE FROM {self.qualifier}parked WHERE number = %s", (retried.number,))
        return removed, link.execute(MOVE_COUNT[retried.outcome].format(self.qualifier), retried.at)

    def report_ends(self, ends: Iterable[Position], seen_at: str) -> None:
        """Remember where the logs ended at ``seen_at`` (RFC 3339)."""
        self._unlock()

        def work(link: Link) -> None:
            with link.pipeline():
                self.begin(link)
                for end in sorted(ends, key=lambda each: each.at):
                    link.execute(
                        f"UPDATE {self.qualifier}position SET end_offset = %s, end_seen_at = %s WHERE topic = %s AND partition = %s",
                        (end.next_offset, seen_at, end.topic, end.partition),
                    )

        self.transact(work)

    def drop_parked(self, numbers: Sequence[int]) -> int:
        """Delete the bytes of these records; how many had any."""
        self._unlock()

        def work(link: Link) -> int:
            with link.pipeline():
                self.begin(link)
                dropped = link.execute(
                    f"UPDATE {self.qualifier}parked SET key = NULL, headers = %s, value = NULL, dropped = true "
                    f"WHERE number = ANY(%s) AND NOT dropped",
                    (headers_to_bytes([]), list(numbers)),
                )
            return dropped.rowcount

        return self.transact(work)


def _named(rows: Sequence[tuple[Any, ...]]) -> str:
    return str(rows[0][0])


def _advance_values(advance: Any) -> tuple[Any, ...]:
    expected, new, counted = advance.expected, advance.next, advance.counters
    counts = (counted.read, counted.applied, counted.unchanged, counted.ignored, counted.parked)
    where = (expected.topic, expected.partition, expected.next_offset, expected.identity)
    return (new.next_offset, new.identity, *counts, to_text(advance.newest_event_time), *where)
