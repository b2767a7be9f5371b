"""Pages by offset and with limits on looking, capped counts, histograms, trees and freshness: over every store alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.suites.stores import STORES, store_of
from tests.unit.query_store import commit, event, ids
from tracker.errors import UsageError
from tracker.model.records import Position
from tracker.query import Count, Counts, TaskQuery, questions
from tracker.query.base import Snapshot, Stored, parsed
from tracker.query.fields import FIELDS
from tracker.query.kin import TreeNode
from tracker.query.pages import parse_sorters
from tracker.query.tokens import from_vector
from tracker.stores.base import Advance, Commit, Counters, StatusStore

HINTED = 'attributes.hint eq "yes"'
"""A filter that is decided row by row."""
SORTERS = (
    "id",
    "-created",
    "modified",
    "launched",
    "-launched",
    "completed",
    "-completed",
    "completionStatus,-modified",
    "-parentId",
    "-duration",
)


@pytest.fixture(params=STORES)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[StatusStore, TaskQuery]]:
    """An empty store of each kind, beside a query of it."""
    store, query = store_of(request, tmp_path)
    with store:
        async with query as tasks:
            yield store, tasks


@pytest.fixture
async def many(opened: tuple[StatusStore, TaskQuery]) -> TaskQuery:
    """60 tasks of which some were launched and some ended, many at the same time; every third has the hint."""
    store, tasks = opened
    random = Random(5)
    log = []
    for number in range(60):
        id = f"t{number:02}"
        data: dict[str, Any] = {"attributes": {"hint": "yes" if number % 3 == 0 else "no"}}
        log.append(event(id, "created", f"2026-01-0{random.randint(1, 5)}T00:00:00Z", **data))
        if number % 2:
            log.append(event(id, "launched", f"2026-01-0{random.randint(6, 7)}T0{number % 7}:00:00Z"))
        if number % 4 == 1:
            log.append(event(id, "completed", f"2026-01-08T0{number % 3}:00:00Z", completionStatus=random.choice(["SUCCESS", "ERROR"])))
        if number % 5 == 0:
            log.append(event(id, "updated", parentId=f"p{number % 3}"))
    log.append(event("gone", "deleted"))
    commit(store, log)
    return tasks


@pytest.mark.parametrize("sorters", SORTERS)
@pytest.mark.parametrize("filters", [None, "state eq COMPLETED", HINTED])
async def test_what_is_stored_comes_in_the_order_of_the_rows(many, filters, sorters):
    """The same tasks as ids, revisions and registers, whether SQL says all of the filter or not, and without those that were deleted."""

    def both(snapshot: Snapshot) -> tuple[list[Stored], list[Stored]]:
        where, order = parsed(filters), parse_sorters(sorters)
        return list(snapshot.stored(where, order)), [(row.id, row.revision, row.registers) for row in snapshot.rows(where, order)]

    stored, rows = await many.ask(both)
    assert stored == rows
    assert len(stored) > 10


@pytest.mark.parametrize("sorters", SORTERS)
async def test_pages_by_cursor_and_by_offset_are_the_whole_listing(many, sorters):
    """However long a page is, and whichever way one goes on, each task comes once and in the listing's order, nulls last."""
    whole = [document["id"] async for document in many.documents(sorters=sorters)]
    assert len(whole) == 60
    for limit in (7, 30):
        found: list[str] = []
        after = None
        while True:
            page = await many.documents_page(None, sorters, limit, after)
            assert page.items == (await many.documents_page(None, sorters, limit, offset=len(found))).items
            found += ids(page.items)
            after = page.next
            if after is None:
                break
        assert found == whole


@pytest.mark.parametrize("filters", ["completed isnull", "pr completed", "state ne RUNNING", "id eq none"])
async def test_offsets_by_a_nullable_field(many, filters):
    """An offset may end among those that have a value, at their end, among those that have none, and beyond them all."""
    whole = [document["id"] async for document in many.documents(filters, "-completed")]
    for offset in range(0, 70, 3):
        assert ids((await many.documents_page(filters, "-completed", 4, offset=offset)).items) == whole[offset : offset + 4]


async def test_nulls_are_last_in_both_directions(many):
    """Tasks without the time that is sorted by stand at the end."""
    for sorters in ("completed", "-completed"):
        ended = [document["completed"] is not None async for document in many.documents(sorters=sorters)]
        assert ended == sorted(ended, reverse=True)


async def test_a_page_looks_at_no_more_rows_than_it_may(many):
    """Where rows are decided one by one, a page ends when so many were looked at, says how many, and is gone on from there."""
    found, after, lengths = [], None, []
    while True:
        page = await many.documents_page(HINTED, "id", 4, after, scan_limit=10)
        found += ids(page.items)
        lengths.append((len(page.items), page.looked_at))
        after = page.next
        if after is None:
            break
    assert found == [f"t{number:02}" for number in range(0, 60, 3)]
    assert lengths[0] == (4, 10)
    assert (await many.documents_page(HINTED, "id", 100)).looked_at is None
    assert (await many.documents_page("state eq RUNNING", "id", 2, scan_limit=1)).looked_at is None


async def test_a_scan_that_ends_with_the_rows_is_no_early_end(many):
    """A limit of exactly as many rows as there are has cut nothing."""
    page = await many.documents_page(HINTED, "id", 100, scan_limit=60)
    assert (len(page.items), page.next, page.looked_at) == (20, None, None)


async def test_an_offset_skips_what_matches(many):
    """Of a filter that is decided row by row too, and however many may be looked at."""
    page = await many.documents_page(HINTED, "id", 3, offset=2, scan_limit=1)
    assert ids(page.items) == ["t06", "t09", "t12"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"offset": -1}, "an offset of 0 to 1,000,000, not -1"), ({"offset": 1, "after": "x"}, "after a cursor or at an offset, not both")],
)
def test_wrong_pages_are_usage_errors(arguments, message):
    """An offset that can't be, one beside a cursor, and a scan of nothing are said."""
    with pytest.raises(UsageError, match=message):
        questions.page(**arguments)


async def test_a_capped_count_says_whether_there_are_more(many):
    """Up to the cap a count is exact; above it there are more than that."""
    assert await many.count(cap=59) == Count(59, exact=False)
    assert await many.count(cap=60) == Count(60, exact=True)
    assert await many.count(HINTED, cap=19) == Count(19, exact=False)
    assert await many.count(HINTED) == 20


async def test_a_count_says_how_far_it_looked(many):
    """A count that may not look at all rows says so."""
    assert await many.ask(questions.count(HINTED, scan_limit=30)) == Count(10, exact=False, looked_at=30)
    assert await many.ask(questions.count(HINTED, scan_limit=60)) == Count(20, exact=True)


async def test_counts_tell_the_greatest_apart(many):
    """With a limit the values that most tasks have are told, ascending, and the sum of the others."""
    whole = await many.count(by="created")
    most = sorted(whole, key=lambda value: (-whole[value], value))[:2]
    found = await many.counts(None, "created", limit=2)
    assert found == Counts({value: whole[value] for value in sorted(most)}, 60 - sum(whole[value] for value in most))
    assert (await many.counts(HINTED, "completionStatus")).values == await many.count(HINTED, by="completionStatus")


async def test_counts_by_a_nullable_field_weigh_the_nulls_too(many):
    """Tasks without a value compete for a place as any value does."""
    assert (await many.counts(None, "completed", limit=1)) == Counts({None: 45}, 15)
    assert sum((await many.count(by="parentId")).values()) == 60


@pytest.mark.parametrize("filters", [None, "state ne PENDING", HINTED])
async def test_values_are_those_of_the_documents(many, filters):
    """Each matching task has one row of values, whoever decides the filter; times are 27 characters; what is deleted has none."""
    fields = [FIELDS[name] for name in ("id", "revision", "launcher", "created", "completed", "completionStatus", "percentComplete")]
    where = parsed(filters)
    found = sorted(await many.ask(lambda snapshot: list(snapshot.values(where, fields))))
    documents = [document async for document in many.documents(filters, extension=True)]

    assert found == [
        (
            document["id"],
            document["tracker"]["revision"],
            document["launcher"],
            document["created"].replace("Z", "000Z"),
            document["completed"] and document["completed"].replace("Z", "000Z"),
            document["completionStatus"],
            document["percentComplete"],
        )
        for document in documents
    ]


async def test_a_histogram_has_empty_buckets_and_each_value(opened):
    """Buckets go from the first to the last time without a gap; a task without the time is in none."""
    store, tasks = opened
    commit(
        store,
        [event("a", "launched", "2026-01-01T00:30:00Z"), event("b", "launched", "2026-01-01T03:59:59.999999Z"), event("c", "created")],
    )
    commit(store, [event("b", "completed", "2026-01-01T05:00:00Z", completionStatus="ERROR"), event("d", "deleted")])
    found = await tasks.histogram(field="launched", bucket="1h", by="completionStatus")
    assert found.values == ["ERROR", None]
    assert [(bucket.start, bucket.count, bucket.counts) for bucket in found.buckets] == [
        ("2026-01-01T00:00:00.000Z", 1, [0, 1]),
        ("2026-01-01T01:00:00.000Z", 0, [0, 0]),
        ("2026-01-01T02:00:00.000Z", 0, [0, 0]),
        ("2026-01-01T03:00:00.000Z", 1, [1, 0]),
    ]


async def test_a_histogram_until_the_beginning_of_time(many):
    """Nothing is before year 1, and asking for it is no error."""
    assert (await many.histogram(until="0001-01-01")).buckets == []


async def test_a_histogram_tells_only_values_that_it_holds(many):
    """Of those that ended none is running, though some are among those that match."""
    assert (await many.histogram(field="completed", by="state")).values == ["COMPLETED"]
    assert None not in (await many.histogram(field="completed", by="completionStatus")).values


@pytest.mark.parametrize("filters", [None, "state ne PENDING", HINTED])
@pytest.mark.parametrize("by", [None, "state", "completionStatus", "id"])
@pytest.mark.parametrize("field", ["created", "modified", "completed"])
async def test_histograms_add_up(many, field, by, filters):
    """The buckets hold every matching task that has the time, once, whatever they are split by."""
    found = await many.histogram(filters, field, by=by)
    present = f"pr {field}" if filters is None else f"pr {field} and {filters}"
    assert sum(bucket.count for bucket in found.buckets) == await many.count(present)
    assert 1 <= len(found.buckets) <= 120
    assert len(found.values) <= 20
    if by in ("state", "completionStatus"):
        assert all(sum(bucket.counts) == bucket.count for bucket in found.buckets)


async def test_a_histogram_between_bounds(many):
    """Bounds are written as in filters, from a given now too; the first is included, the last is not."""
    now = datetime(2026, 1, 4, tzinfo=UTC)
    found = await many.histogram(bucket="1d", since="now-3d", until="2026-01-04", now=now)
    assert [bucket.start[:10] for bucket in found.buckets] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    assert sum(bucket.count for bucket in found.buckets) == await many.count("created lt 2026-01-04")
    assert (await many.histogram(since="2030-01-01")).buckets == []
    assert [bucket.count for bucket in (await many.histogram(bucket="1d", since="2030-01-01", until="2030-01-03")).buckets] == [0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"field": "complete"}, 'not "complete"; did you mean "completed"'),
        ({"bucket": "1w"}, 'such as 30s, 5m, 1h or 7d, found "1w"'),
        ({"bucket": "0h"}, "expected a width"),
        ({"since": "yesterday"}, 'since: expected a time such as .* found "yesterday"'),
        ({"until": '2026" or id eq "a'}, "until: expected a time"),
        ({"by": "stat"}, 'a histogram is by a field, and there is no "stat"; did you mean "state"'),
    ],
)
def test_wrong_histograms_are_usage_errors(arguments, message):
    """What is wrong is named, with what was expected."""
    with pytest.raises(UsageError, match=message):
        questions.histogram(**arguments)


async def test_too_many_buckets_are_refused(many):
    """More than 2,000 are said when it is asked, since only then it is known."""
    with pytest.raises(UsageError, match="345,601 buckets of 1s are more than 2,000"):
        await many.histogram(bucket="1s", since="2026-01-01", until="2026-01-05T00:00:01Z")


async def test_weeks_begin_on_mondays_at_the_end_of_time_too(opened):
    """Buckets of 7 days are weeks; the first and last years have buckets as others do."""
    store, tasks = opened
    commit(store, [event("a", "created", "0001-01-01T00:00:00Z"), event("b", "created", "9999-12-31T23:59:59.999999Z")])
    week = await tasks.histogram(bucket="7d", since="2026-01-07", until="2026-01-08")
    assert [bucket.start for bucket in week.buckets] == ["2026-01-05T00:00:00.000Z"]
    whole = await tasks.histogram()
    assert (whole.bucket, sum(bucket.count for bucket in whole.buckets)) == ("36500d", 2)


def shape(node: TreeNode):
    """A tree as nested tuples of ids, with the marks."""
    mark = "" if node.mark is None else f" {node.mark}"
    return (f"{node.id}{mark}", *map(shape, node.children))


async def test_a_tree_has_ancestors_and_descendants(opened):
    """From the root down the one way to the task, and from there everything below it, by id."""
    store, tasks = opened
    family = {"child": "root", "other": "root", "b": "child", "a": "child", "deep": "a", "lost": "deleted"}
    commit(store, [event("root", "created"), *(event(id, "created", parentId=parent) for id, parent in family.items())])
    commit(store, [event("deleted", "deleted"), event("a", "completed", completionStatus="SUCCESS")])
    found = await tasks.tree("child")
    assert shape(found.root) == ("root", ("child", ("a", ("deep",)), ("b",)))
    assert (found.id, found.tasks, found.cut) == ("child", 5, False)
    assert found.to_json()["root"]["children"][0]["children"][0] == {
        "id": "a",
        "uniqueName": "a",
        "state": "COMPLETED",
        "completionStatus": "SUCCESS",
        "percentComplete": 100,
        "mark": None,
        "children": [{**found.to_json()["root"], "id": "deep", "uniqueName": "deep", "children": []}],
    }
    assert shape((await tasks.tree("lost")).root) == ("deleted missing", ("lost",))
    assert await tasks.tree("deleted") is None
    assert await tasks.tree("nobody") is None


async def test_trees_that_bite_their_tail_end(opened):
    """A task that is its own ancestor is shown once more, marked, and no further."""
    store, tasks = opened
    commit(store, [event(id, "created", parentId=parent) for id, parent in ("ab", "ba", "ca", "ss")])
    assert shape((await tasks.tree("a")).root) == ("a cycle", ("b", ("a", ("b cycle",), ("c",))))
    assert shape((await tasks.tree("c")).root) == ("a cycle", ("b", ("a", ("c",))))
    assert shape((await tasks.tree("s")).root) == ("s cycle", ("s", ("s cycle",)))


async def test_a_tree_is_cut_where_it_is_too_great(opened):
    """Limits on tasks and depth are kept, and the nodes whose kin is left out are marked."""
    store, tasks = opened
    commit(store, [event("t0", "created"), *(event(f"t{number}", "created", parentId=f"t{number - 1}") for number in range(1, 8))])
    found = await tasks.tree("t4", max_depth=2)
    assert shape(found.root) == ("t2 cut", ("t3", ("t4", ("t5", ("t6 cut",)))))
    assert found.cut
    found = await tasks.tree("t1", max_tasks=3)
    assert shape(found.root) == ("t0", ("t1", ("t2 cut",)))
    commit(store, [event(f"c{number}", "created", parentId="t7") for number in range(10)])
    assert shape((await tasks.tree("t7", max_depth=1, max_tasks=5)).root) == ("t6 cut", ("t7 cut", ("c0",), ("c1",), ("c2",)))
    assert not (await tasks.tree("t7", max_tasks=18)).cut
    with pytest.raises(UsageError, match="1 to 10,000 tasks"):
        questions.tree("a", max_tasks=0)


async def test_every_task_with_kin_left_out_is_marked(opened):
    """Where several tasks of a level have children that are not shown, each says so, not the first of them alone."""
    store, tasks = opened
    commit(store, [event("r", "created"), *(event(id, "created", parentId="r") for id in "abc")])
    commit(store, [event(f"{id}{number}", "created", parentId=id) for id in "ac" for number in range(5)])
    cut = ("r", ("a cut",), ("b",), ("c cut",))
    assert shape((await tasks.tree("r", max_depth=1)).root) == cut
    assert shape((await tasks.tree("r", max_tasks=4)).root) == cut
    whole = await tasks.tree("r", max_tasks=14)
    assert not whole.cut


async def test_freshness_is_the_place_in_the_logs(opened):
    """Positions, their vector and the lag: unknown where one partition's end is, in all and the greatest."""
    store, tasks = opened
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert (await tasks.freshness(now)).lag_records is None
    for partition, (read, newest) in enumerate([(7, "2026-01-01T11:59:50.000000"), (3, "2026-01-01T11:59:58.000000")]):
        begin = Position("t", partition, 0, "kafka:c")
        store.claim([begin])
        counters = Counters(read=read, applied=read)
        advance = Advance(expected=begin, next=Position("t", partition, read, "kafka:c"), counters=counters, newest_event_time=newest)
        store.commit(Commit(advances=[advance]))
    store.report_ends([Position("t", 0, 10, "kafka:c")], "2026-01-01T12:00:00Z")
    assert (await tasks.freshness(now)).lag_records is None
    store.report_ends([Position("t", 1, 3, "kafka:c")], "2026-01-01T12:00:00Z")
    fresh = await tasks.freshness(now)
    assert (fresh.lag_records, fresh.lag_seconds, fresh.newest_event_time) == (3, 10.0, "2026-01-01T11:59:58.000000Z")
    assert from_vector(fresh.vector) == fresh.positions
    assert fresh.to_json() == {
        "revision": store.revision(),
        "vector": fresh.vector,
        "lagRecords": 3,
        "lagSeconds": 10.0,
        "positions": [{"topic": "t", "partition": 0, "nextOffset": 7}, {"topic": "t", "partition": 1, "nextOffset": 3}],
    }
    assert (await tasks.freshness(now + timedelta(minutes=5))).lag_records is None


async def test_latest_is_the_current_attempt_and_the_greatest_sequence(opened):
    """Over all that the state remembers: fields, attributes, attempts, messages and returns."""
    store, tasks = opened
    commit(store, [event("a", "created", sequence=3), event("a", "launched", attempt=2, sequence=4), event("b", "created")])
    assert await tasks.latest("a") == (2, 4)
    commit(store, [event("a", "returned", sequence=9, name="n", attributeName="x")])
    assert await tasks.latest("a") == (2, 9)
    said: dict[str, Any] = {"type": "INFO", "key": "k", "localizedText": {"locale": "en", "message": "m"}}
    commit(store, [event("a", "messaged", sequence=11, **said), event("gone", "deleted")])
    assert await tasks.latest("a") == (2, 11)
    assert await tasks.latest("b") == (1, 0)
    assert await tasks.latest("gone") is None
    assert await tasks.latest("nobody") is None
