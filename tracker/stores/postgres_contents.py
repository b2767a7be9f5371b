"""The whole content of one PostgreSQL store, of one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Any, Self

import msgspec

from tracker.errors import NotFound, StoreMismatch
from tracker.model.limits import Limits
from tracker.stores import postgres_schema, schema, tables
from tracker.stores.base import ParkedRecord
from tracker.stores.contents import About, Holding
from tracker.stores.postgres_link import Link, translated
from tracker.stores.postgres_reads import PostgresReads
from tracker.stores.postgres_rows import COLUMNS
from tracker.stores.postgres_url import Address

SHOWN = ", ".join(["id", "registers", "deleted", *(f"{name} AT TIME ZONE 'UTC'" if name in tables.TIMES else name for name in COLUMNS)])
"""Of a task's row, all but the revision, in the order of a `Holding`; times as SQLite has them."""
HORIZON = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + value::bigint - 1 FROM {0}meta WHERE name = 'revision_base'"
"""The last revision before which no commit is on its way: all later ones, some of which are there already, count as changes after."""
_FETCH_ROWS = 2_000
_PARKED_PAGE = 1_000


def about(link: Link, address: Address) -> About:
    """What the store says of itself, of whatever fold version and limits it is; ``revision`` is the horizon."""
    version, meta = postgres_schema.stored(link, address)
    if version is None:
        raise NotFound(
            f"there is no store in {address.shown}, schema {address.schema}: tracker run or tracker replay makes one, or name another"
        )
    if version not in schema.KNOWN_SCHEMAS:
        raise StoreMismatch(f"{address.shown} has the schema {version}, this release knows up to {schema.SCHEMA}: use the newer release")
    if schema.is_outdated(version):
        raise StoreMismatch(
            f"{address.shown} has the schema {version} of an earlier release: what writes to it next, such as tracker run, brings it up to date"
        )
    try:
        limits = msgspec.json.decode(meta["limits"], type=Limits)
    except (msgspec.DecodeError, KeyError) as error:
        raise StoreMismatch(
            f"{address.shown} does not say what limits it was made with ({error}): it is damaged; restore a copy"
        ) from error
    ((tasks, size_bytes),) = link.rows(
        f"SELECT count(*), (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c "
        f"WHERE c.relkind = 'r' AND c.relnamespace = %s::text::regnamespace) FROM {address.qualifier}task",
        (f'"{address.schema}"',),
    )
    ((horizon,),) = link.rows(HORIZON.format(address.qualifier))
    return About(meta["store"], horizon, meta.get("fold_version", "unknown"), limits, tasks, size_bytes)


def holdings(rows: Iterable[tuple[Any, ...]]) -> Iterator[Holding]:
    """Rows of `SHOWN` as they are compared."""
    return (Holding(row[0], row[1], row[2:]) for row in rows)


def some(link: Link, qualifier: str, task_ids: Iterable[str]) -> dict[str, Holding]:
    """Those of these tasks that the schema's table has."""
    rows = link.rows(f"SELECT {SHOWN} FROM {qualifier}task WHERE id = ANY(%s)", (list(task_ids),))
    return {holding.id: holding for holding in holdings(rows)}


def changed_after(link: Link, qualifier: str, revision: int) -> set[str]:
    """Ids of the tasks that later commits wrote."""
    return {id for (id,) in link.rows(f"SELECT id FROM {qualifier}task WHERE revision > %s", (revision,))}


class Reads(PostgresReads):
    """The store's own reading methods, on a connection of ours."""

    def __init__(self, link: Link, address: Address) -> None:
        super().__init__(address.qualifier)
        self._link, self._address = link, address

    def read(self, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """All rows of a statement."""
        with translated(self._address):
            return self._link.rows(statement, values)


class PostgresContents:
    """See `tracker.stores.contents.Contents`."""

    kind = "postgresql"

    def __init__(self, address: Address) -> None:
        self.where, self._address = address.shown, address

    def __enter__(self) -> Self:
        with translated(self._address):
            self._link = Link.to(self._address)
            try:
                self._link.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._link.execute(f"SELECT {self._link.untimed}")
                self._about = about(self._link, self._address)
            except BaseException:
                self._link.close()
                raise
        reads = Reads(self._link, self._address)
        self.partitions, self.jumps, self.purged, self._parked = reads.partitions, reads.jumps, reads.purged, reads.parked
        self._cursors = 0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._link.close()

    def about(self) -> About:
        """What the store says of itself."""
        return self._about

    def holdings(self) -> Iterator[Holding]:
        """Every task by id."""
        self._cursors += 1
        name = f"tasks_{self._cursors}"
        with translated(self._address):
            self._link.execute(f"DECLARE {name} NO SCROLL CURSOR FOR SELECT {SHOWN} FROM {self._address.qualifier}task ORDER BY id")
            while rows := self._link.rows(f"FETCH {_FETCH_ROWS} FROM {name}"):
                yield from holdings(rows)

    def some(self, task_ids: Iterable[str]) -> Mapping[str, Holding]:
        """Those of them that it has."""
        with translated(self._address):
            return some(self._link, self._address.qualifier, task_ids)

    def sample(self, count: int, random: Random) -> Sequence[Holding]:
        """Some of the tasks of random pages."""
        if count >= self._about.tasks:
            return list(self.holdings())
        with translated(self._address):
            share, found = min(100.0, 100.0 * 3 * count / self._about.tasks), dict[str, Holding]()
            while len(found) < count:
                rows = self._link.rows(
                    f"SELECT {SHOWN} FROM {self._address.qualifier}task TABLESAMPLE BERNOULLI (%s) REPEATABLE (%s) LIMIT %s",
                    (share, random.getrandbits(31), 3 * count),
                )
                random.shuffle(rows)
                found.update((holding.id, holding) for holding in holdings(rows[: count - len(found)]))
                share = min(100.0, 2 * share)
            return list(found.values())

    def changed_after(self, revision: int) -> set[str]:
        """Ids of the tasks that later commits wrote, or may have written."""
        with translated(self._address):
            return changed_after(self._link, self._address.qualifier, revision)

    def parked_records(self) -> Iterator[ParkedRecord]:
        """By number."""
        last = 0
        while page := self._parked(after=last, limit=_PARKED_PAGE):
            yield from page
            last = page[-1].number
