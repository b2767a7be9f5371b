"""Filters: what they say, how they fail, and that SQL and Python mean the same by them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.query_store import commit, event
from tracker.errors import UsageError
from tracker.query.base import Reader
from tracker.query.fields import FIELDS, Kind
from tracker.query.filters import And, Compare, In, IsNull, Moment, Not, Or, parse
from tracker.query.grammar import depth, read
from tracker.query.memory import MemoryReader
from tracker.query.pages import BY_ID, Order, parse_sorters
from tracker.query.sql import SqlReader
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore

STATE, LAUNCHER, CREATED = FIELDS["state"], FIELDS["launcher"], FIELDS["created"]
A, B, C = (Compare(FIELDS["id"], "eq", letter) for letter in "abc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('state eq "RUNNING"', Compare(STATE, "eq", "RUNNING")),
        ('state eq"running"', Compare(STATE, "eq", "RUNNING")),
        ("state eq Running", Compare(STATE, "eq", "RUNNING")),
        ('launcher in ("A", b)', In(LAUNCHER, ("a", "b"))),
        ('launcher co "a\\"b\\\\c"', Compare(LAUNCHER, "co", 'a"b\\c')),
        ("completed isnull", IsNull(FIELDS["completed"])),
        ("pr completed", Not(IsNull(FIELDS["completed"]))),
        ("attempt ge 2", Compare(FIELDS["attempt"], "ge", 2)),
        ("percentComplete lt 49.5", Compare(FIELDS["percentComplete"], "lt", 49.5)),
        ("created gt 2018-12-18T23:05:55Z", Compare(CREATED, "gt", Moment("2018-12-18T23:05:55.000"))),
        ('created gt "2018-12-18T23:05:55.1234567+01:00"', Compare(CREATED, "gt", Moment("2018-12-18T22:05:55.123456"))),
        ("created gt 2018", Compare(CREATED, "gt", Moment("2018-01-01T00:00:00.000"))),
        ("created le 2018-12-31", Compare(CREATED, "le", Moment("2018-12-31T00:00:00.000"))),
        ("not id eq a or id eq b and id eq c", Or((Not(A), And((B, C))))),
        ("not (id eq a or id eq b) and id eq c", And((Not(Or((A, B))), C))),
        ("id eq a and id eq b and id eq c", And((A, B, C))),
        ("(((id eq a)))", A),
        ("not not id eq a", Not(Not(A))),
    ],
)
def test_texts_and_trees(text, tree):
    """Each form of the grammar gives its tree; not binds tighter than and, that tighter than or, as SailPoint's two examples say."""
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'the filter is empty; expected one such as state eq "RUNNING"'),
        ("state", "filter, position 6: expected an operator (eq, ne, in, gt, ge, lt, le, co, sw, ca, isnull), found the end"),
        ("state eq", "filter, position 9: expected a value, found the end"),
        ('stat eq "x"', 'filter, position 1: there is no field "stat"; did you mean "state"?'),
        ('STATE eq "x"', 'filter, position 1: there is no field "STATE"; did you mean "state"?'),
        (
            'state EQ "x"',
            'filter, position 7: expected an operator (eq, ne, in, gt, ge, lt, le, co, sw, ca, isnull), found "EQ"; did you mean "eq"?',
        ),
        (
            'state eq "RUNING"',
            'filter, position 10: expected one of PENDING, RUNNING, COMPLETED, found "RUNING"; did you mean "RUNNING"?',
        ),
        ('id eq "x" AND id eq "y"', 'filter, position 11: expected the end or "and" or "or", found "AND"; did you mean "and"?'),
        ('id eq "x', "filter, position 7: found a string that is not closed"),
        ("id eq 'x'", "filter, position 7: found a single quote; strings stand in double quotes"),
        ('id eq "a\\n"', 'filter, position 9: "\\n" is no escape; there are \\" and \\\\'),
        ("id in ()", 'filter, position 8: expected a value, found ")"'),
        ("(id isnull", 'filter, position 11: expected ")", found the end'),
        ("attempt co 3", 'filter, position 9: attempt is a number and has no "co"; it has eq, ne, in, gt, ge, lt, le, isnull, pr'),
        ("attempt gt abc", 'filter, position 12: expected a number, found "abc"'),
        (
            "created gt yesterday",
            'filter, position 12: "yesterday" is no time: expected an RFC 3339 time with an offset, such as 2026-01-31T09:30:00.123Z, or now-10m',
        ),
        (
            "completionStatus eq null",
            'filter, position 21: null is no value; write "completionStatus isnull", or put the word in double quotes',
        ),
        ("launcher eq in", 'filter, position 13: expected a value, found "in"; the value "in" stands in double quotes'),
        ('id eq "\udc80"', "filter, position 7: the value is not Unicode text"),
        ("not " * 32 + "id isnull", "a filter is at most 32 levels deep, not 33"),
        ("id isnull or " * 400, "a filter has at most 4,000 characters, not 5,200"),
        ("id in (" + "1," * 500 + "1)", 'filter, position 1008: "in" takes at most 500 values, not 501'),
    ],
)
def test_errors_say_where_and_what(text, message):
    """A filter that is wrong fails with its position, what was expected, what was found, and a near word."""
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert str(raised.value) == message


def test_nothing_but_usage_errors():
    """Every sequence of up to four tokens parses or is a usage error."""
    for length in range(1, 5):
        for tokens in itertools.product(["id", "eq", "in", "not", "pr", "and", "isnull", "(", ")", ",", '"x"', '"'], repeat=length):
            try:
                parse(" ".join(tokens))
            except UsageError as error:
                assert "position" in str(error)  # noqa: PT017 - most of them are errors, the others fine


def test_the_longest_or_and_in_are_answered(readers):
    """The widest filters that the limits allow stay within SQLite's limits on depth and values."""
    wide = " or ".join(["id eq a"] * 360)
    times = "launched in (" + ",".join(["2018"] * 500) + ")"
    deep = "not " * 31 + "id eq a"
    for text in (wide, times, f"not {times} and not id in ({','.join(['a'] * 500)})", deep, "(" * 1_900 + "id eq a" + ")" * 1_900):
        assert _ids(readers[0], text) == _ids(readers[1], text)


TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "ſ",
    "s",
    "S",
    "ß",
    "ss",
    "SS",
    "İ",
    "i",
    "I",
    "ı",
    "Σ",
    "ς",
    "σ",
    "K",
    "k",
    "é",
    "É",
    "日本",
    "😀",
    "\U0010ffff",
    "a\0b",
    'q"\\',
    "%",
    "_",
]
TIMES = [
    f"{day}T{time}Z"
    for day in ("0001-01-01", "2026-01-01", "9999-12-31")
    for time in ("00:00:00", "23:59:59.123", "23:59:59.123456", "23:59:59.999999")
]
STATUSES = ["SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"]


@st.composite
def tasks(draw: st.DrawFn, id: str) -> list[Any]:
    """The events of one task, whose fields take values that are near each other."""
    text, time = st.sampled_from(TEXTS), st.sampled_from(TIMES)
    data: Any = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["QUARTZ", "QPOC", "QUEUED_TASK"]),
                "launcher": text,
                "uniqueName": text,
                "parentId": st.none() | text,
                "target": st.none() | st.fixed_dictionaries({}, optional={"id": st.none() | text}),
            },
        )
    )
    events = [event(id, "created", draw(time), **data)]
    attempt = draw(st.sampled_from([1, 2, 2**31 - 1]))
    if draw(st.booleans()):
        events.append(event(id, "launched", draw(time), attempt=attempt))
    if draw(st.booleans()):
        events.append(event(id, "progressed", draw(time), attempt=attempt, percentComplete=draw(st.sampled_from([0, 49, 50, 100]))))
    if draw(st.booleans()):
        events.append(event(id, "completed", draw(time), attempt=attempt, completionStatus=draw(st.sampled_from(STATUSES))))
    if draw(st.integers(0, 9)) == 0:
        events.append(event(id, "deleted", draw(time)))
    return events


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    """The text of one comparison."""
    field = draw(st.sampled_from(list(FIELDS.values())))
    op = draw(st.sampled_from(["isnull", "pr", *field.kind.operators]))
    if op in ("isnull", "pr"):
        return f"{field.name} isnull" if op == "isnull" else f"pr {field.name}"
    if field.kind is Kind.WORD:
        whole = st.sampled_from(field.words).flatmap(lambda word: st.sampled_from([word, word.lower(), word.title()]))
        value = whole if op in ("eq", "ne", "in") else whole | st.sampled_from(["", "S", "s", "ſ", "err", "ED", "日", "K"])
        literal = value.map(_quoted)
    elif field.kind is Kind.NUMBER:
        literal = st.sampled_from(["0", "1", "2", "49", "49.5", "50", "+100", "-1", "2147483647", "99999999999999999999", "0.0", "1.0"])
    elif field.kind is Kind.TIME:
        literal = st.sampled_from([*TIMES, "2026", "2026-01", "2026-01-01", "9999-12-31T23:59:59.999Z", "2026-01-02T00:59:59.123+01:00"])
    else:
        literal = st.sampled_from([*TEXTS, "task", "t0", "t1"]).map(_quoted)
    if op == "in":
        return f"{field.name} in ({', '.join(draw(st.lists(literal, min_size=1, max_size=3)))})"
    return f"{field.name} {op} {draw(literal)}"


def _composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=2, max_size=3)
    return (
        inner.map("not ({})".format)
        | inner.map("not {}".format)
        | several.map(" and ".join)
        | several.map(lambda parts: f"({' or '.join(parts)})")
    )


filters = st.recursive(comparisons(), _composed, max_leaves=8)
logs = st.lists(st.sampled_from(["t0", "t1", "T2", "é", "\U0010ffff", "\ue000", "z"]), min_size=1, unique=True).flatmap(
    lambda ids: st.tuples(*(tasks(id) for id in ids))
)


def _ids(reader: Reader, text: str | None, order: Order = BY_ID) -> list[str]:
    with reader.snapshot() as snapshot:
        found = [row.id for row in snapshot.rows(None if text is None else parse(text), order)]
        assert snapshot.count(None if text is None else parse(text)) == len(found)
    return found


def _fill(folder: Path, log: Any) -> tuple[SqlReader, MemoryReader]:
    path = str(folder / "status.db")
    memory = MemoryStore()
    with SqlStore(path) as store:
        for each in (store, memory):
            commit(each, [event for events in log for event in events])
    return SqlReader(path), MemoryReader(memory)


@pytest.fixture
def readers(tmp_path):
    """A file and a memory store with the same two tasks."""
    sql, memory = _fill(tmp_path, [[event("a", "launched"), event("b", "created")]])
    yield sql, memory
    sql.close()


@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(log=logs, texts=st.lists(filters, min_size=20, max_size=40))
def test_sql_means_what_the_predicate_means(tmp_path_factory, log, texts):
    """Any filter finds the same tasks by SQL in a file as by the Python predicate in memory, and so does its opposite."""
    sql, memory = _fill(tmp_path_factory.mktemp("filters"), log)
    everything = _ids(sql, None)
    assert everything == sorted(everything) == _ids(memory, None)
    for text in texts:
        found = _ids(sql, text)
        assert found == _ids(memory, text), text
        assert sorted([*found, *_ids(sql, f"not ({text})")]) == everything, text
    sql.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    log=logs,
    names=st.lists(st.sampled_from(list(FIELDS)), min_size=1, max_size=3, unique=True),
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


def test_depth_counts_levels_not_width():
    """A wide tree is not deep."""
    assert depth(read(" and ".join(["id eq a"] * 100))) == 2
