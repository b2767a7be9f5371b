"""Filters: whatever is asked of whatever tasks, SQL and what is decided on decoded rows find what the Python predicate finds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import not_, select
from sqlalchemy.dialects import sqlite

from tests.unit.query_store import commit, event
from tracker.query.base import Reader
from tracker.query.clauses import clause
from tracker.query.fields import COMPATIBLE_TYPE, KNOWN, SORTABLE, Field, Kind
from tracker.query.filters import parse
from tracker.query.memory import MemoryReader
from tracker.query.pages import BY_ID, Order, parse_sorters
from tracker.query.predicate import label
from tracker.query.sqlite import SqliteReader
from tracker.stores import tables
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TEXTS = ["", "a", "A", "ab", "ſ", "s", "S", "ß", "ss", "SS", "İ", "i", "I", "ı", "Σ", "ς", "σ", "K", "k", "é", "É", "日本", "😀"]
TEXTS += [
    "\U0010ffff",
    "a\0b",
    'q"\\',
    "%",
    "_",
    "Account Deletion",
    "account -\tdeletıon",
    "ACCOUNT_DELETION\n",
    "account\0deletion",
    "Account Deletion é",
]
TIMES = [
    f"{day}T{time}Z"
    for day in ("0001-01-01", "1969-12-31", "2026-01-01", "9999-12-31")
    for time in ("00:00:00", "23:59:59.123", "23:59:59.123456", "23:59:59.999999")
]
STATUSES = ["SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"]
KEYS = ["k", "K", "a.b", 'q"']
ATTRIBUTES = [Field(f"attributes.{path}", "", Kind.JSON, many=True) for path in ("k", "K", '"a.b"', "a.b", '"q\\""', "k.k", 'K."a.b".k')]
BY_KIND = {kind: fields for kind in Kind if (fields := [field for field in (*KNOWN.values(), *ATTRIBUTES) if field.kind is kind])}
LENGTHS = ["0s", "0.001ms", "0.456ms", "876.543ms", "0.877s", "86399.123s", "86399.123456s", "1.5h", "1d", "20543d", "999999999999d"]
"""Some of them lie between two of the times, or a time and now."""
SCALARS: st.SearchStrategy[Any] = st.sampled_from(
    [*TEXTS, "1", "true", None, True, False, 0, 1, 1.0, -0.0, 0.5, 2**64 - 1, -(2**63), 1e300]
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=2)


json_values = st.recursive(SCALARS, _nested, max_leaves=4)
text, time = st.sampled_from(TEXTS), st.sampled_from(TIMES)
descriptions: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["QUARTZ", "QPOC", "QUEUED_TASK"]),
        "launcher": text,
        "uniqueName": text,
        "description": text,
        "parentName": st.none() | text,
        "parentId": st.none() | text,
        "target": st.none()
        | st.fixed_dictionaries(
            {}, optional={"id": st.none() | text, "type": st.sampled_from([None, "IDENTITY", "APPLICATION"]), "name": st.none() | text}
        ),
        "taskDefinitionSummary": st.none()
        | st.fixed_dictionaries(
            {"id": text, "uniqueName": text, "parentName": text, "arguments": st.dictionaries(st.sampled_from(KEYS), json_values)},
            optional={"description": st.none() | text, "executor": st.none() | text},
        ),
        "attributes": st.dictionaries(st.sampled_from(KEYS), json_values, max_size=3),
    },
)


@st.composite
def tasks(draw: st.DrawFn, id: str) -> list[Any]:
    """The events of one task, whose fields take values that are near each other."""
    events = [event(id, "created", draw(time), **draw(descriptions))]
    attempt = draw(st.sampled_from([1, 2, 2**31 - 1]))
    if draw(st.booleans()):
        events.append(event(id, "launched", draw(time), attempt=attempt))
    if draw(st.booleans()):
        events.append(event(id, "progressed", draw(time), attempt=attempt, percentComplete=draw(st.sampled_from([0, 49, 50, 100]))))
    if draw(st.booleans()):
        events.append(event(id, "progressed", draw(time), progress=draw(st.none() | text)))
    for number in range(draw(st.integers(0, 2))):
        said: dict[str, Any] = {"type": draw(st.sampled_from(["INFO", "WARN", "ERROR"])), "key": draw(text)}
        events.append(event(id, "messaged", id=str(number), localizedText={"locale": "en", "message": draw(text)}, **said))
    if draw(st.booleans()):
        events.append(event(id, "returned", name=draw(text), attributeName=draw(text)))
    if draw(st.booleans()):
        events.append(event(id, "completed", draw(time), attempt=attempt, completionStatus=draw(st.sampled_from(STATUSES))))
    if draw(st.integers(0, 9)) == 0:
        events.append(event(id, "deleted", draw(time)))
    return events


def quoted(text: str) -> str:
    """A text as a filter's literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _literals(field: Field, op: str) -> st.SearchStrategy[str]:
    if field.kind is Kind.WORD:
        whole = st.sampled_from(field.words).flatmap(lambda word: st.sampled_from([word, word.lower(), word.title()]))
        return (whole if op in ("eq", "ne", "in", "ca") else whole | st.sampled_from(["", "S", "s", "ſ", "err", "ED", "日", "K"])).map(
            quoted
        )
    if field.kind is Kind.NUMBER:
        return st.sampled_from(["0", "1", "2", "49", "49.5", "50", "+100", "-1", "2147483647", "99999999999999999999", "0.0", "1.0", "1e0"])
    if field.kind is Kind.TIME:
        others = [
            "2026",
            "2026-01",
            "2026-01-01",
            "9999-12-31T23:59:59.999Z",
            "2026-01-02T00:59:59.123+01:00",
            "now",
            "now-1d",
            "now-0.877s",
        ]
        return st.sampled_from([*TIMES, *others])
    if field.kind is Kind.DURATION:
        return st.sampled_from(LENGTHS)
    if field.kind is Kind.JSON:
        numbers = ["0", "1", "1.0", "-0", "0.5", "18446744073709551615", "1e300", "1e999"]
        ordered = op in ("gt", "ge", "lt", "le", "co", "sw")
        return st.sampled_from(numbers if ordered else [*numbers, "true", "false"]) | st.sampled_from([*TEXTS, "1", "true"]).map(quoted)
    return st.sampled_from([*TEXTS, "task", "t0", "t1"]).map(quoted)


any_field = st.sampled_from(list(BY_KIND)).flatmap(lambda kind: st.sampled_from(BY_KIND[kind]))


@st.composite
def comparisons(draw: st.DrawFn, fields: st.SearchStrategy[Field] = any_field) -> str:
    """The text of one comparison."""
    field = draw(fields)
    op = draw(st.sampled_from(["isnull", "pr", *field.operators]))
    if op in ("isnull", "pr"):
        return f"{field.name} isnull" if op == "isnull" else f"pr {field.name}"
    literals = _literals(field, op)
    if op in ("in", "ca"):
        return f"{field.name} {op} ({', '.join(draw(st.lists(literals, min_size=1, max_size=3)))})"
    return f"{field.name} {op} {draw(literals)}"


def composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The text of a filter made of others."""
    several = st.lists(inner, min_size=2, max_size=3)
    return (
        inner.map("not ({})".format)
        | inner.map("not {}".format)
        | several.map(" and ".join)
        | several.map(lambda parts: f"({' or '.join(parts)})")
    )


filters = st.recursive(comparisons(), composed, max_leaves=8)
logs = st.lists(st.sampled_from(["t0", "t1", "T2", "é", "\U0010ffff", "\ue000", "z"]), min_size=1, unique=True).flatmap(
    lambda ids: st.tuples(*(tasks(id) for id in ids))
)


def _ids(reader: Reader, text: str | None, order: Order = BY_ID, *, compatible: bool = False) -> list[str]:
    where = None if text is None else parse(text, now=NOW, compatible=compatible)
    with reader.snapshot() as snapshot:
        found = [row.id for row in snapshot.rows(where, order)]
        assert snapshot.count(where) == len(found)
    return found


def _fill(folder: Path, log: Any) -> tuple[SqliteReader, MemoryReader]:
    path = str(folder / "status.db")
    memory = MemoryStore()
    with SqlStore(path) as store:
        for each in (store, memory):
            commit(each, [event for events in log for event in events])
    return SqliteReader(path), MemoryReader(memory)


@pytest.fixture
def readers(tmp_path):
    """A file and a memory store with the same two tasks."""
    sql, memory = _fill(tmp_path, [[event("a", "launched"), event("b", "created")]])
    yield sql, memory
    sql.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs, texts=st.lists(filters, min_size=20, max_size=40))
def test_sql_means_what_the_predicate_means(tmp_path_factory, log, texts):
    """Any filter finds the same tasks in a file, by SQL as far as it goes, as by the predicate in memory, and so does its opposite."""
    sql, memory = _fill(tmp_path_factory.mktemp("filters"), log)
    everything = _ids(sql, None)
    assert everything == sorted(everything) == _ids(memory, None)
    for text in texts:
        found = _ids(sql, text)
        assert found == _ids(memory, text), text
        assert sorted([*found, *_ids(sql, f"not ({text})")]) == everything, text
    sql.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs)
def test_compatible_types_agree(tmp_path_factory, log):
    """A kind of task told by a pattern in SQL is the one that the name's label is, whatever the name has between its words."""
    sql, memory = _fill(tmp_path_factory.mktemp("types"), log)
    with memory.snapshot() as snapshot:
        names = {row.id: label(row.columns.unique_name) for row in snapshot.rows(None, BY_ID) if row.columns}
    for op in ("eq", "ne"):
        text = f"type {op} ACCOUNT_DELETION"
        found = _ids(sql, text, compatible=True)
        assert found == _ids(memory, text, compatible=True)
        assert found == [id for id, name in names.items() if (name == "ACCOUNT_DELETION") is (op == "eq")]
    sql.close()


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    log=logs,
    names=st.lists(st.sampled_from(list(SORTABLE)), min_size=1, max_size=3, unique=True),
    signs=st.lists(st.sampled_from(["", "-"]), min_size=3, max_size=3),
    limit=st.integers(1, 3),
)
def test_pages_put_together_are_the_listing(tmp_path_factory, log, names, signs, limit):
    """Whatever the order, pages of any size by keyset have each task once, in the order of the whole listing; file and memory agree."""
    sql, memory = _fill(tmp_path_factory.mktemp("pages"), log)
    order = parse_sorters(",".join(sign + name for sign, name in zip(signs, names, strict=False)))
    whole = _ids(sql, None, order)
    assert whole == _ids(memory, None, order)
    for reader in (sql, memory):
        paged: list[str] = []
        after = None
        with reader.snapshot() as snapshot:
            while rows := list(snapshot.rows(None, order, after=after, limit=limit)):
                paged += [row.id for row in rows]
                after = rows[-1].key
        assert paged == whole
    sql.close()


@pytest.mark.slow
def test_the_longest_or_and_in_are_answered(readers):
    """The widest filters that the limits allow stay within SQLite's limits on depth and values."""
    wide = " or ".join(["id eq a"] * 360)
    times = "launched in (" + ",".join(["2018"] * 500) + ")"
    deep = "not " * 31 + "id eq a"
    lengths = " or ".join(f"duration in ({','.join(f'{number}s' for number in range(start, start + 270))})" for start in (0, 10, 20))
    named = " or ".join(["sourceId ne a"] * 230)
    long = " or ".join(["duration ne 1s"] * 220)
    for text in (
        wide,
        times,
        f"not {times} and not id in ({','.join(['a'] * 500)})",
        deep,
        "(" * 1_900 + "id eq a" + ")" * 1_900,
        lengths,
        f"not ({lengths})",
        named,
        long,
        f"not ({long})",
        "silence in (" + ",".join(["0s"] * 500) + ") or silence in (" + ",".join(["1s"] * 500) + ")",
        "attributes" + ".a" * 1_900 + " isnull",
    ):
        assert _ids(readers[0], text) == _ids(readers[1], text)


def test_compatible_types_in_the_longest_list_are_answered(readers):
    """Values given more than once are looked for once."""
    text = "type in (" + ",".join(COMPATIBLE_TYPE.words * 10) + ")"
    assert _ids(readers[0], text, compatible=True) == _ids(readers[1], text, compatible=True) == []


@pytest.mark.parametrize("text", ["completionStatus isnull", "state eq RUNNING", "state ne COMPLETED"])
def test_tasks_in_flight_are_found_by_their_state(tmp_path, text):
    """Few tasks are in flight as a rule: a listing by another field looks at those, not at all tasks in its order."""
    path = str(tmp_path / "status.db")
    with SqlStore(path):
        pass
    where = clause(parse(text))
    statement = select(tables.task.c.registers).where(not_(tables.task.c.deleted), where).order_by(tables.task.c.created).limit(250)
    compiled = statement.compile(dialect=sqlite.dialect(paramstyle="named"), compile_kwargs={"render_postcompile": True})
    with closing(sqlite3.connect(path)) as connection:
        plan = str(connection.execute(f"EXPLAIN QUERY PLAN {compiled}", compiled.params).fetchall())
    assert "INDEX task_state" in plan
