"""Filters: which tasks each one finds, in a file and in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.query_store import commit, event
from tracker.query.filters import parse
from tracker.query.memory import MemoryReader
from tracker.query.pages import BY_ID
from tracker.query.sqlite import SqliteReader
from tracker.stores.memory import MemoryStore
from tracker.stores.sql import SqlStore

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
DEFINITION: dict[str, Any] = {"id": "def-1", "uniqueName": "Aggregate", "parentName": "Root", "description": "Reads", "executor": None}


def _message(id: str, type: str, text: str) -> Any:
    return event("a", "messaged", id=id, type=type, key="k-" + id, localizedText={"locale": "en", "message": text})


LOG = [
    event(
        "a",
        "created",
        "2026-01-10T09:00:00.000001Z",
        uniqueName="Cloud Account-Aggregation",
        description="Nightly Load",
        parentName="Batch",
        target={"id": "src", "type": "APPLICATION", "name": "HR"},
        taskDefinitionSummary={**DEFINITION, "arguments": {"mode": {"full": True}}},
        attributes={
            "count": 1,
            "ratio": 0.5,
            "name": "Alpha",
            "ok": True,
            "none": None,
            "list": [1, "two", None, [3]],
            "empty": [],
            "deep": {"er": {"x": 7}, "a.b": "dot", "rows": [{"n": 1}, {"n": 2}]},
            "a.b": "Dotted",
            'q"k': "quote",
            "digits": "1",
            "big": 2**64 - 1,
        },
    ),
    _message("m1", "INFO", "Started"),
    _message("m2", "ERROR", "Connection Timed Out"),
    event("a", "returned", name="Accounts", attributeName="count"),
    event("a", "launched", "2026-01-10T10:00:00Z"),
    event("a", "progressed", "2026-01-10T11:00:00Z", progress="Half way", percentComplete=50),
    event("b", "created", "2026-01-08T00:00:00Z", attributes={"count": 2.0, "ok": False, "name": "beta"}, uniqueName="Identity Refresh"),
    event("b", "launched", "2026-01-08T00:00:00Z"),
    event("b", "completed", "2026-01-08T00:10:00.000001Z", completionStatus="ERROR"),
    event("b", "launched", "2026-01-09T00:00:00.999999Z", attempt=2),
    event("b", "completed", "2026-01-09T00:01:31Z", attempt=2, completionStatus="SUCCESS"),
    event("c", "created", "2026-01-10T12:00:00.000001Z", attributes={"count": "1"}),
    event("gone", "created"),
    event("gone", "deleted"),
]


@pytest.fixture(scope="module")
def readers(tmp_path_factory):
    """A file and a memory store with the log."""
    path, memory = str(tmp_path_factory.mktemp("meaning") / "status.db"), MemoryStore()
    with SqlStore(path) as store:
        for each in (store, memory):
            commit(each, LOG)
    sql = SqliteReader(path)
    yield sql, MemoryReader(memory)
    sql.close()


def found(readers: Any, text: str, *, compatible: bool = False) -> str:
    """The ids that match, the same by both readers, and that the opposite finds the others."""
    answers = []
    for reader in readers:
        with reader.snapshot() as snapshot:
            node, others = (parse(each, now=NOW, compatible=compatible) for each in (text, f"not ({text})"))
            ids = "".join(row.id for row in snapshot.rows(node, BY_ID))
            assert sorted(ids + "".join(row.id for row in snapshot.rows(others, BY_ID))) == ["a", "b", "c"]
            answers.append(ids)
    assert answers[0] == answers[1]
    return answers[0]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('description eq "nightly load"', "a"),
        ('description eq ""', "bc"),
        ("parentName isnull", "bc"),
        ("target.id eq src and sourceId eq src", "a"),
        ("target.type eq application", "a"),
        ("target.name in (hr)", "a"),
        ("progress co way", "a"),
        ("revision eq 1", "abc"),
        ("taskDefinitionSummary.id eq def-1", "a"),
        ("taskDefinitionSummary.id eq DEF-1", ""),
        ("taskDefinitionSummary.uniqueName eq aggregate", "a"),
        ("taskDefinitionSummary.parentName sw r", "a"),
        ("taskDefinitionSummary.description co EAD", "a"),
        ("taskDefinitionSummary.executor isnull", "abc"),
        ("pr taskDefinitionSummary.id", "a"),
        ("taskDefinitionSummary.arguments.mode.full eq true", "a"),
    ],
)
def test_fields_of_the_status(readers, text, ids):
    """Each field of the status is found by, with a column or without."""
    assert found(readers, text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("messages co timed", "a"),
        ('messages eq "started"', "a"),
        ("messages sw time", ""),
        ("messages.type eq error", "a"),
        ("messages.type eq WARN", ""),
        ("messages.type ne ERROR", "bc"),
        ("messages.type ca (INFO, ERROR)", "a"),
        ("messages.type ca (INFO, WARN)", ""),
        ("messages.key in (k-m2, x)", "a"),
        ("messages.localizedText.locale eq EN", "a"),
        ("messages.localizedText.message co out", "a"),
        ("messages isnull", "bc"),
        ("returns ca (accounts)", "a"),
        ("returns.name eq Accounts and returns.attributeName eq count", "a"),
        ("pr returns", "a"),
        ("attempts.attempt eq 1", "ab"),
        ("attempts.completionStatus eq ERROR", "b"),
        ("attempts.completionStatus ca (ERROR, SUCCESS)", "b"),
        ("attempts.launched lt 2026-01-09", "b"),
        ("attempts.completed ge 2026-01-08T00:10:00Z", "b"),
        ("attempts.completed isnull", "ac"),
        ("truncated isnull", "abc"),
        ("truncated eq Messages", ""),
    ],
)
def test_lists_are_found_by_any_of_their_members(readers, text, ids):
    """A comparison with a list is true of one member, ca has all its values, ne is true of none, isnull is an empty list."""
    assert found(readers, text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("attributes.count eq 1", "a"),
        ("attributes.count eq 1.0", "a"),
        ("attributes.count eq 2", "b"),
        ("attributes.count eq 1e0", "a"),
        ('attributes.count eq "1"', "c"),
        ("attributes.count ne 1", "bc"),
        ("attributes.count ge 1", "ab"),
        ('attributes.count ge "0"', "c"),
        ("attributes.count in (1, 2)", "ab"),
        ('attributes.count in (2, "1")', "bc"),
        ("attributes.count co 1", "c"),
        ("attributes.ratio lt 0.75", "a"),
        ("attributes.big eq 18446744073709551615", "a"),
        ("attributes.big eq 18446744073709551616", ""),
        ("attributes.name eq ALPHA", "a"),
        ("attributes.name sw B", "b"),
        ("attributes.name gt alpha", "b"),
        ("attributes.ok eq true", "a"),
        ("attributes.ok eq false", "b"),
        ("attributes.ok ne true", "bc"),
        ('attributes.ok eq "true"', ""),
        ("attributes.ok eq 1", ""),
        ("attributes.count eq true", ""),
        ("attributes.none isnull", "abc"),
        ("attributes.none eq null", "abc"),
        ("attributes.ok eq null", "c"),
        ("attributes.ok ne null", "ab"),
        ("attributes.ok in (null, true)", "ac"),
        ("attributes.ok in (null)", "c"),
        ('attributes.name eq "null"', ""),
        ("pr attributes.ok", "ab"),
        ("attributes.missing isnull", "abc"),
        ("attributes.list eq TWO", "a"),
        ("attributes.list eq 3", "a"),
        ("attributes.list ca (1, two)", "a"),
        ("attributes.list ca (1, 9)", ""),
        ("attributes.list isnull", "bc"),
        ("attributes.empty isnull", "abc"),
        ("attributes.deep isnull", "bc"),
        ("attributes.deep eq 7", ""),
        ("attributes.deep.er.x eq 7", "a"),
        ("attributes.deep.rows.n eq 2", "a"),
        ("attributes.deep.no.x isnull", "abc"),
        ("attributes.a.b isnull", "abc"),
        ('attributes."a.b" eq dotted', "a"),
        ('attributes.deep."a.b" eq dot', "a"),
        ('attributes."deep".er."x" eq 7', "a"),
        ('attributes."q\\"k" eq quote', "a"),
        ('attributes."" isnull', "abc"),
    ],
)
def test_attributes_compare_by_their_json_type(readers, text, ids):
    """A string equals no number and a number no boolean; 1 is 1.0; null and missing are one; a dot goes inside, a quoted one does not."""
    assert found(readers, text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("modified lt now-1h", "b"),
        ("modified le now-1h", "ab"),
        ('modified ge "now-1h"', "ac"),
        ("modified gt now", "c"),
        ("modified gt now+0.001ms", ""),
        ("modified ge now+0.001ms", "c"),
        ("modified in (now-1h, now+0.001ms)", "ac"),
        ("silence ge 1h", "ab"),
        ("silence gt 60m", "b"),
        ("silence eq 3600s", "a"),
        ("silence ne 3600s", "bc"),
        ("silence in (3600000ms, 1d)", "a"),
        ("silence lt 0s", "c"),
        ("silence lt 999999999999d", "abc"),
        ("silence gt 999999999999d", ""),
        ("silence isnull", ""),
        ("duration eq 2h", "a"),
        ("duration eq 90.000001s", "b"),
        ("duration eq 90000.0010009ms", "b"),
        ("duration eq 1.5m", ""),
        ("duration ne 90.000001s", "ac"),
        ("duration in (90.000001s, 2h)", "ab"),
        ("duration le 90.000001s", "b"),
        ("duration lt 90.000001s", ""),
        ("duration lt 90.000002s", "b"),
        ("duration gt 1.5m", "ab"),
        ("duration ge 90.000002s", "a"),
        ("duration gt 999999999999d", ""),
        ("duration isnull", "c"),
        ("pr duration", "ab"),
    ],
)
def test_times_from_now(readers, text, ids):
    """Silence is now minus modified, duration completed or now minus launched, each exact to the microsecond."""
    assert found(readers, text) == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('type eq "CLOUD_ACCOUNT_AGGREGATION"', "a"),
        ("type ne cloud_account_aggregation", "bc"),
        ("type in (IDENTITY_REFRESH, CLOUD_ACCOUNT_AGGREGATION)", "ab"),
        ("type isnull", ""),
        ('completionStatus eq "Success"', "b"),
        ("attributes.ok eq true or type eq ACCOUNT_DELETION", "a"),
    ],
)
def test_compatible_types_are_told_by_the_unique_name(readers, text, ids):
    """Of SailPoint's filters type is the kind of task; all else is as everywhere."""
    assert found(readers, text, compatible=True) == ids
