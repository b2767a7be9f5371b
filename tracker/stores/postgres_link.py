"""A connection to PostgreSQL: how it is opened, how its waits end early, and what its errors mean.

Nothing here is state of a session, since PgBouncer in transaction mode gives each transaction another one: no prepared statements, no
session's settings or locks, and schema names are written out.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self, TypeVar

import psycopg
from psycopg import errors
from psycopg.generators import send
from psycopg.types.datetime import TimestampBinaryLoader

from tracker.errors import (
    NotFound,
    StoreError,
    StoreFull,
    StoreMismatch,
    StoreUnavailable,
    TooLong,
    TrackerError,
    UsageError,
)
from tracker.stores.postgres_arrays import Array, ArrayDumper
from tracker.stores.postgres_url import Address

# psycopg warns of what it swallows where a block has failed; the failure itself is told in one sentence of ours. A program's own handlers still hear it.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

WAIT_STEP_S = 0.02
"""Between two looks at whether a wait is to end."""
CANCEL_WAIT_S = 1.0
T = TypeVar("T")

_AWAY = ("08", "53300", "57P01", "57P02", "57P03", "57P05", "40001", "40P01", "55P03", "25P03", "25P04", "25006", "53200")
"""SQLSTATEs, or classes of them, that pass: the connection, too many of them, a server that stops or starts, another's lock, a standby."""
_BUSY = re.compile(
    r"too many (?:clients|connections)|connection slots are reserved|no more connections allowed|is starting up|shutting down|in recovery mode"
)
_DENIED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|role .* does not exist|is not permitted to log in|permission denied for database"
)


class Ended(Exception):
    """A wait was ended by its `Link.ended`."""


class _Iso(TimestampBinaryLoader):
    """A timestamp without zone as the text that a SQLite store has: ``2026-01-31T09:30:00.123456Z``."""

    def load(self, data: Any) -> Any:
        return super().load(data).isoformat(timespec="microseconds") + "Z"


class Link(psycopg.Connection[tuple[Any, ...]]):
    """A connection in autocommit; a transaction is said in SQL. Its waits end with `Ended`, and it with them, where ``ended`` says so."""

    ended: Callable[[], bool] = staticmethod(lambda: False)

    @classmethod
    def to(cls, address: Address) -> Self:
        """A new one. Raises psycopg's errors."""
        link = cls.connect(address.conninfo, autocommit=True, prepare_threshold=None)
        link.adapters.register_loader("timestamp", _Iso)
        link.adapters.register_dumper(Array, ArrayDumper)
        return link

    @classmethod
    def unless(cls, ended: Callable[[], bool], address: Address) -> Self:
        """`to`, whose wait for a server that says nothing, seconds, has an end of ours too: it is left to itself then."""
        opening: Future[Self] = Future()

        def connect() -> None:
            try:
                opening.set_result(cls.to(address))
            except BaseException as error:  # noqa: BLE001 - it is raised in the other thread
                opening.set_exception(error)

        threading.Thread(target=connect, name="tracker-connect", daemon=True).start()
        while not wait([opening], WAIT_STEP_S).done:
            if ended():
                opening.add_done_callback(lambda done: done.exception() or done.result().close())
                raise Ended
        link = opening.result()
        link.ended = ended
        return link

    @property
    def untimed(self) -> str:
        """What a SELECT does so that no timer ends this transaction: what the user's role may have for its questions is not for commits, nor for
        work on a whole store, which folds and compares for minutes between two statements.
        """
        timers = ["statement_timeout", "idle_in_transaction_session_timeout"]
        if self.info.server_version >= 170_000:
            timers.append("transaction_timeout")
        return ", ".join(f"set_config('{name}', '0', true)" for name in timers)

    def wait(self, gen: Generator[Any, Any, T], interval: float = WAIT_STEP_S, *args: Any, **words: Any) -> T:
        """See psycopg: what every statement waits in."""
        try:
            return super().wait(self._watched(gen), min(interval, WAIT_STEP_S), *args, **words)
        except Ended:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_WAIT_S)
            self.close()
            raise

    @contextmanager
    def pipeline(self) -> Iterator[psycopg.Pipeline]:
        """See psycopg; but the server's timer for a transaction that nobody goes on with runs after it."""
        with super().pipeline() as pipeline:
            pipeline._exit_gen = partial(_exit, pipeline)  # type: ignore[method-assign]  # noqa: SLF001 - there is no public way
            yield pipeline

    def _watched(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and self.ended():
                    raise Ended
                wanted = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result

    def rows(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a statement, in binary."""
        return self.execute(statement, values, binary=True).fetchall()


def _exit(pipeline: psycopg.Pipeline) -> Generator[Any, Any, None]:
    """Psycopg's own, which ends a pipeline with a Sync, without the Flush message that it sends after that.

    The Sync makes the server answer all, and any message after it stops the server's idle_in_transaction_session_timeout without starting it again:
    a worker that is frozen before its COMMIT would hold its rows for as long as it is.
    """
    try:
        pipeline._enqueue_sync()  # noqa: SLF001
        yield from pipeline._communicate_gen()  # noqa: SLF001
        yield from send(pipeline.pgconn)  # megabytes of arrays are still to go out: psycopg waits for answers alone from here on
    finally:
        yield from pipeline._fetch_gen(flush=False)  # noqa: SLF001


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Psycopg's errors as ours."""
    try:
        yield
    except psycopg.Error as error:
        raise translation(error, address) from error


def translation(error: psycopg.Error, address: Address) -> TrackerError:
    """What an error means. Its text is the server's first line: values and passwords are not in it."""
    state, text = error.sqlstate or "", _first_line(error)
    if not state and not isinstance(error, psycopg.OperationalError):
        return StoreError(f"{address.shown} can't be used: {text}")
    if not state:
        return _connection_error(error, text, address)
    if isinstance(error, errors.QueryCanceled):
        return TooLong("the question took more time than it may: narrow it by a field that has an index, or ask for less at once")
    if isinstance(error, errors.DiskFull):
        return StoreFull(f"no space is left for {address.shown}: nothing of this commit was written. Make room and start again")
    if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName | errors.UndefinedFunction | errors.UndefinedColumn):
        return StoreMismatch(f"{address.shown}, schema {address.schema}: the store was removed or changed ({text})")
    if isinstance(error, errors.InsufficientPrivilege):
        return StoreError(f"{address.shown}, schema {address.schema}: the user has no right to it ({text})")
    if isinstance(error, errors.IndexCorrupted | errors.DataCorrupted):
        return StoreError(f"{address.shown} is damaged ({text}): restore a copy, or fold the log again into a new store")
    if isinstance(error, psycopg.DataError):
        return UsageError(f"a value of the question is none that the database takes ({text})")
    if state.startswith(_AWAY):
        return StoreUnavailable(f"{address.shown} is away or busy: {text}")
    return StoreError(f"{address.shown} can't be used: {text}")


def is_passing(error: psycopg.Error) -> bool:
    """Whether a server that is there takes no connection now, or has just ended this one, but will take one soon."""
    return (error.sqlstate or "").startswith("57P") or _BUSY.search(str(error)) is not None


def _connection_error(error: psycopg.Error, text: str, address: Address) -> TrackerError:
    """Libpq has no code for why a connection failed; what is not known to be lasting passes."""
    if is_passing(error):
        return StoreUnavailable(f"{address.shown} takes no more connections now: {text}")
    if re.search(r"database .* does not exist", str(error)):
        return NotFound(f"there is no database for {address.shown}: create it (createdb NAME), or name another with --store")
    failed = error.pgconn
    # A server may say it in another language: what it refuses after a password was sent is the password, or the user.
    if _DENIED.search(str(error)) or ("FATAL" in str(error) and failed is not None and failed.used_password):
        return StoreError(f"{address.shown} does not let us in: {text}; is the password right (in PGPASSWORD, ~/.pgpass or the URL)?")
    if failed is not None and failed.needs_password:
        return StoreError(f"{address.shown} asks for a password: give one in PGPASSWORD, ~/.pgpass or the URL")
    return StoreUnavailable(f"{address.shown} can't be reached: {text}")


def _first_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    fatal = next((line for line in lines if "FATAL:" in line), lines[0] if lines else type(error).__name__)
    return fatal.rpartition("FATAL:")[2].strip() or fatal
