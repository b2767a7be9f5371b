"""Filters and orders over PostgreSQL: whatever is asked of whatever tasks, it finds what the Python predicate finds."""

from __future__ import annotations

from contextlib import closing

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.query_store import commit, event
from tests.unit.test_filters_agree import _ids, filters, logs
from tracker.fold.event import TaskEvent
from tracker.query import connect
from tracker.query.fields import SORTABLE
from tracker.query.memory import MemoryReader
from tracker.query.pages import parse_sorters
from tracker.query.postgres import PostgresReader
from tracker.stores.memory import MemoryStore
from tracker.stores.postgres import PostgresStore
from tracker.stores.postgres_url import address

from .postgres import Server, drop_database, new_database

SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=12)


@pytest.fixture(scope="module")
def filled(postgres: Server):
    """Fills one database anew, again and again; gives the readers of it and of a memory store with the same tasks."""
    database = new_database(postgres)
    opened: list[PostgresReader] = []

    def fill(log: list[list[TaskEvent]]) -> tuple[PostgresReader, MemoryReader]:
        memory = MemoryStore()
        with PostgresStore(database) as store:
            with psycopg.connect(database, autocommit=True) as hand:
                hand.execute("TRUNCATE task")
            for each in (store, memory):
                commit(each, [event for events in log for event in events])
            with psycopg.connect(database, autocommit=True) as hand:
                hand.execute("UPDATE task SET revision = 1")  # as in memory
        if not opened:
            opened.append(PostgresReader(address(database)))
        return opened[0], MemoryReader(memory)

    yield fill
    for reader in opened:
        reader.close()
    drop_database(postgres, database)


@pytest.mark.timeout(300)
@SHARED
@given(log=logs, texts=st.lists(filters, min_size=20, max_size=40))
def test_sql_means_what_the_predicate_means(filled, log, texts):
    """Any filter, and its opposite; texts of any case, long ones and such with U+0000, times to the microsecond in the years 1 to 9999."""
    sql, memory = filled(log)
    everything = _ids(sql, None)
    assert everything == sorted(everything) == _ids(memory, None)
    for text in texts:
        found = _ids(sql, text)
        assert found == _ids(memory, text), text
        assert sorted([*found, *_ids(sql, f"not ({text})")]) == everything, text


@SHARED
@given(
    log=logs,
    names=st.lists(st.sampled_from([name for name in SORTABLE if name != "revision"]), min_size=1, max_size=3, unique=True),
    signs=st.lists(st.sampled_from(["", "-"]), min_size=3, max_size=3),
    limit=st.integers(1, 3),
)
def test_pages_put_together_are_the_listing(filled, log, names, signs, limit):
    """Whatever the order, pages of any size by keyset have each task once, in the order of the whole listing."""
    sql, _ = filled(log)
    order = parse_sorters(",".join(sign + name for sign, name in zip(signs, names, strict=False)))
    whole = _ids(sql, None, order)
    paged: list[str] = []
    after = None
    with sql.snapshot() as snapshot:
        while rows := list(snapshot.rows(None, order, after=after, limit=limit)):
            paged += [row.id for row in rows]
            after = rows[-1].key
    assert paged == whole


@pytest.mark.parametrize(
    "text",
    [
        'id gt "a\0"',
        'id sw "a\0"',
        'id eq "a\0"',
        'id in ("a\0", "b")',
        'id ge "a\0" and id le "a\0z"',
        'not (id co "\0")',
        'launcher gt "a\0"',
        'launcher co "\0"',
        'launcher lt "a\0z"',
        'parentId sw "a\0"',
        'uniqueName ge "a\0"',
    ],
)
def test_a_null_character_in_a_filter_is_no_other_character(filled, text):
    """What is looked for has U+0000, which no column has: it is found, and compared, as in memory."""
    texts = ("a", "ab", "a\ufffd", "b")
    sql, memory = filled([[event(each, "created", launcher=each, parentId=each, uniqueName=each) for each in texts]])
    assert _ids(sql, text) == _ids(memory, text)


def test_long_and_odd_texts_are_found_by_their_documents(database: str) -> None:
    """A column holds 256 code points and no U+0000; a filter means the document's own text all the same."""
    long, odd = "x" * 300, "a\0b"
    with PostgresStore(database) as store:
        commit(
            store,
            [
                event("long", "created", launcher=long + "y", parentId=long + "p"),
                event("other", "created", launcher=long + "z", parentId=long + "q"),
                event("odd", "created", launcher=odd, uniqueName=odd),
                event("even", "created", launcher="a\ufffdb", uniqueName="a\ufffdb"),
                event("plain", "created", launcher="sweep"),
            ],
        )
    with connect(database) as tasks:
        found = {
            text: [task.id for task in tasks.stream(text)]
            for text in (
                f'launcher eq "{long}Y"',
                f'parentId eq "{long}q"',
                'launcher sw "xxx"',
                f'launcher eq "{"x" * 256}"',
                'uniqueName eq "a\ufffdb"',
                'launcher eq "SWEEP"',
                f'not (launcher eq "{long}y")',
            )
        }
    assert list(found.values()) == [["long"], ["other"], ["long", "other"], [], ["even"], ["plain"], ["even", "odd", "other", "plain"]]


def test_parents_are_those_of_the_documents(database: str) -> None:
    """A task whose parentId is longer than the column, or has a U+0000, is not the child of a task whose id looks like the column."""
    long = "p" * 256
    with PostgresStore(database) as store:
        commit(
            store,
            [
                event("not long's", "created", parentId=long + "x"),
                event("not odd's", "created", parentId="a\0b"),
                event("long's", "created", parentId=long),
                event("x", "created", parentId="a\ufffdc"),
            ],
        )
    with closing(PostgresReader(address(database))) as reader, reader.snapshot() as snapshot:
        ids = [long, "a\ufffdb", "a\ufffdc"]
        assert [(row.key, row.id) for row in snapshot.children(ids, 5)] == [(("a\ufffdc",), "x"), ((long,), "long's")]
        assert snapshot.parents_among(ids) == {long, "a\ufffdc"}
