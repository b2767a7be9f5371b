"""Retention: what is purged and what is kept, what late events do, and what is said of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.suites.retained import ALL, DAY_S, NOW, OLD, RECENT, batch, ending, fold_in, life, purged, state
from tests.suites.retained import opened as opened  # noqa: PLC0414 - a fixture
from tests.suites.retained import store as store  # noqa: PLC0414 - a fixture
from tests.unit.query_store import record as event
from tracker.fold.state import TaskState
from tracker.fold.view import extension, view
from tracker.projector import Projection, retry_parked
from tracker.projector.retention import TYPES, carry_purged, count_due, moment_known, purge
from tracker.query import TaskQuery
from tracker.stores.base import Commit, Counters, ParkedRecord, StatusStore
from tracker.stores.memory import MemoryStore
from tracker.stores.open import open_store
from tracker.testing.stores.values import AT, advance, everything, position


def test_what_ended_long_ago_is_purged(store: StatusStore) -> None:
    """And nothing else: not what ended lately, is in flight, waits, or was opened again by a later attempt that is in flight."""
    again = [*life("again"), event("again", "launched", OLD, attempt=2)]
    running = [event("running", "created", OLD), event("running", "launched", OLD)]
    fold_in(
        store, [*life("old"), *life("recent", RECENT), *again, *running, event("waiting", "created", OLD), event("gone", "deleted", OLD)]
    )
    done = purge(store, ALL, NOW)

    assert (done.total, done.tasks) == (1, {"QUARTZ": 0, "QPOC": 0, "QUEUED_TASK": 1})
    assert list(store.purged()) == ["old"]
    assert store.task_count() == 4
    assert purge(store, ALL, NOW).total == 0


def test_an_age_ends_at_the_microsecond(store: StatusStore) -> None:
    """What ended exactly so long ago is kept, what ended a microsecond earlier is not."""
    edge = NOW - timedelta(days=90)
    fold_in(store, [*life("at", edge.isoformat()), *life("before", (edge - timedelta(microseconds=1)).isoformat())])

    assert purged(store) == ["before"]


def test_types_have_ages_of_their_own(store: StatusStore) -> None:
    """A type without an age is kept for ever."""
    fold_in(store, [each for type in TYPES for each in life(type, RECENT, type=type)])

    assert purged(store, {"QUARTZ": DAY_S, "QPOC": 365 * DAY_S}) == ["QUARTZ"]


def test_counting_finds_what_purging_purges(store: StatusStore) -> None:
    """By type, and nothing is written."""
    fold_in(store, [each for number in range(7) for each in life(f"{number}", type=TYPES[number % 3])])
    before = everything(store)
    counted = count_due(store, ALL, NOW)

    assert everything(store) == before
    assert counted == purge(store, ALL, NOW).tasks == {"QUARTZ": 3, "QPOC": 2, "QUEUED_TASK": 2}


def test_an_age_beyond_all_times_purges_nothing(store: StatusStore) -> None:
    """Ten thousand years before now there is no time."""
    fold_in(store, life("old"))

    assert purged(store, dict.fromkeys(TYPES, 10_000 * 365 * DAY_S)) == []


def test_no_other_task_is_changed(store: StatusStore) -> None:
    """Parents, children and neighbours of what was purged keep their bytes and revisions, and the counters their sums."""
    kin = [*life("parent"), *life("child", RECENT, parentId="parent"), *life("other", RECENT), *life("child of child", parentId="child")]
    fold_in(store, kin)
    store.commit(Commit(advances=[advance(0, 12)]))
    ids = ["child", "other"]
    before, partitions = dict(store.load(ids)), list(store.partitions())

    assert purged(store) == ["child of child", "parent"]
    assert (dict(store.load(ids)), list(store.partitions())) == (before, partitions)


def test_a_thousand_tasks_are_purged_in_small_commits(store: StatusStore) -> None:
    """Each commit has its own revision, and progress is told after each."""
    fold_in(store, [each for number in range(1_000) for each in life(f"{number:04}")])
    first, told = store.revision(), list[int]()
    purge(store, ALL, NOW, on_progress=lambda done: told.append(done.total))

    assert (told[:4], store.revision() - first) == ([250, 500, 750, 1_000], 4)


def test_a_purge_that_is_stopped_goes_on_later(store: StatusStore) -> None:
    """It ends after the batch that is under way."""
    fold_in(store, [each for number in range(600) for each in life(f"{number:04}")])
    stop = threading.Event()
    done = purge(store, ALL, NOW, stop=stop, on_progress=lambda _: stop.set())

    assert (done.total, store.purged_count()) == (250, 250)
    assert purge(store, ALL, NOW).total == 350


def test_late_events_open_nothing(store: StatusStore) -> None:
    """Any event of a purged attempt, seen before or not, leaves the row as it is, byte by byte and in its revision."""
    fold_in(store, life("t", attempt=2))
    purge(store, ALL, NOW)
    before = store.load(["t"])
    late = [
        *life("t", RECENT, attempt=1),
        *life("t", RECENT, attempt=2, status="ERROR"),
        event("t", "corrected", RECENT, attempt=2, completionStatus="ERROR"),
        event("t", "messaged", RECENT, attempt=2, type="INFO", key="k", localizedText={"locale": "en", "message": "m"}),
    ]
    projection = Projection(store)
    projection.claim([position()])
    counted = projection.process(batch(late))

    assert counted == Counters(8, 0, 8, 0, 0)
    assert store.load(["t"]) == before


def test_a_later_attempt_opens_the_task_again(store: StatusStore) -> None:
    """It is shown as what the later attempts say, says that the rest was purged, and can be purged again when it has ended."""
    fold_in(store, [*life("t"), event("t", "updated", OLD, launcher="sweep")])
    purge(store, ALL, NOW)
    fold_in(store, [event("t", "launched", RECENT, attempt=2)])
    again = state(store, "t")

    assert (view("t", again)["uniqueName"], view("t", again)["launched"]) == ("t", "2026-05-01T00:00:00.000Z")
    assert {name: extension(again)[name] for name in ("state", "attempt", "truncated")} == {
        "state": "RUNNING",
        "attempt": 2,
        "truncated": ["purged"],
    }
    assert purged(store) == ["t"]
    assert store.task_count() == 1
    fold_in(store, [ending("t", RECENT, attempt=2)])
    assert purge(store, dict.fromkeys(TYPES, DAY_S), NOW).total == 1
    assert store.task_count() == 0


def test_deleting_ends_a_purged_task(store: StatusStore) -> None:
    """A tombstone is a tombstone, whatever was there before."""
    fold_in(store, life("t"))
    purge(store, ALL, NOW)
    fold_in(store, [event("t", "deleted", RECENT)])

    assert state(store, "t") == TaskState(forgotten=True)
    assert list(store.purged()) == []


def test_replaying_the_whole_log_brings_nothing_back(store: StatusStore) -> None:
    """Every record again, into the same store: the marks stay, and so do all other tasks."""
    log = [each for task in ("a", "b", "c") for each in life(task, OLD if task != "b" else RECENT)]
    fold_in(store, log)
    purge(store, ALL, NOW)
    before = dict(store.load(["a", "b", "c"]))
    projection = Projection(store)
    projection.claim([position()])

    assert projection.process(batch(log)) == Counters(9, 0, 9, 0, 0)
    assert store.load(["a", "b", "c"]) == before


def test_a_parked_record_of_a_purged_task(store: StatusStore) -> None:
    """Tried again it is unchanged, as any late event; of a later attempt it opens the task, which still says that it was purged."""
    fold_in(store, life("t"))
    refused = batch([event("t", "updated"), event("t", "launched", attempt=2)]).records[AT]
    store.commit(
        Commit(
            advances=[advance(0, 2, counters=Counters(2, 0, 0, 0, 2))],
            parked=[ParkedRecord(record=each, reason="too-large", detail="") for each in refused],
        )
    )
    purge(store, ALL, NOW)
    totals = retry_parked(store, [1, 2])

    assert (totals.unchanged, totals.applied) == (1, 1)
    assert (list(store.purged()), store.task_count()) == (["t"], 1)


def test_a_store_that_is_behind_measures_from_what_it_has_read(store: StatusStore) -> None:
    """While there is more to read, a next attempt may be in it: 90 days before the newest event is what counts, not before now."""
    fold_in(store, [*life("old"), *life("older", "2025-01-01T00:00:00Z")])
    store.commit(Commit(advances=[advance(0, 5)]))
    store.report_ends([position(next_offset=9)], "2026-06-01T00:00:00Z")

    assert moment_known(store.partitions(), NOW) == datetime.min.replace(tzinfo=UTC)
    assert purged(store) == []

    newest = advance(5, 6)
    newest.newest_event_time = "2026-01-02T00:00:00.000000"
    store.commit(Commit(advances=[newest]))
    assert purged(store) == ["older"]

    store.commit(Commit(advances=[advance(6, 9)]))
    assert purged(store) == ["old", "older"]


async def test_what_is_purged_is_not_there_and_is_said_to_be_purged(store: StatusStore, opened: tuple[StatusStore, TaskQuery]) -> None:
    """No list, count or document has it; ``why`` and the changes tell it apart from what was deleted."""
    fold_in(store, [*life("old"), *life("recent", RECENT), event("gone", "deleted", OLD)])
    async with opened[1] as query:
        token = [change async for change in query.changes(None)][-1].token
        purge(store, ALL, NOW)

        assert [task.id for task in (await query.list()).items] == ["recent"]
        assert await query.count('completionStatus eq "SUCCESS"') == 1
        assert await query.document("old") is None
        assert [(change.id, change.kind) async for change in query.changes(token)] == [("old", "purged")]
        assert {change.id: change.kind async for change in query.changes(None)} == {"old": "purged", "recent": "changed", "gone": "deleted"}
        (reason,) = (await query.why("old") or {}).values()
        assert "attempt 1 had ended with SUCCESS at 2026-01-01T00:00:00.000Z" in str(reason.rule)
        report = await query.status(NOW)
        assert (report.tasks, report.purged) == (1, 1)


async def test_reopened_tasks_are_found_by_what_was_cut(store: StatusStore, opened: tuple[StatusStore, TaskQuery]) -> None:
    """`truncated eq "purged"` has the tasks that are shown without their first attempts."""
    fold_in(store, [*life("old"), *life("recent", RECENT)])
    purge(store, ALL, NOW)
    fold_in(store, [event("old", "launched", RECENT, attempt=2)])
    async with opened[1] as query:
        page = await query.list('truncated eq "purged"')
        assert [task.id for task in page.items] == ["old"]
        assert "purged" in (await query.why("old") or {})


def marks(store: StatusStore) -> Iterable[tuple[str, bytes]]:
    """Ids and states of what was purged."""
    return {id: each.registers for id, each in store.load(store.purged()).items()}.items()


def test_what_was_purged_is_carried_into_a_store_folded_anew(store: StatusStore) -> None:
    """Marks are there, with what later attempts said, whatever the log had of them and whenever it is folded; deleted stays deleted."""
    log = [each for task in ("a", "b", "c", "d") for each in life(task)]
    fold_in(store, [*log, *life("kept", RECENT)])
    purge(store, ALL, NOW)
    again = [event("b", "launched", RECENT, attempt=2)]
    fold_in(store, again)
    later = [*again, event("c", "deleted", RECENT), event("a", "updated", RECENT, launcher="late")]
    for order in ([*log, *later, None], [None, *log, *later], [*log, None, *later, None]):
        anew = MemoryStore()
        for each in order:
            if each is None:
                assert carry_purged(marks(store), anew) == 4
            else:
                fold_in(anew, [each])

        assert {id: each.registers for id, each in anew.load(["a", "b", "d"]).items()} == {
            id: each.registers for id, each in store.load(["a", "b", "d"]).items()
        }
        assert state(anew, "c").forgotten is True
        assert list(anew.purged()) == ["a", "b", "d"]


def test_a_store_that_has_read_further_keeps_what_was_opened_again(store: StatusStore) -> None:
    """The other does not know of the second attempt: the mark must not swallow it. Nor does it come twice where both know."""
    again = [event("a", "launched", RECENT, attempt=2)]
    fold_in(store, [*life("a"), *life("b")])
    purge(store, ALL, NOW)
    anew = MemoryStore()
    fold_in(anew, [*life("a"), *life("b"), *again])

    assert carry_purged(marks(store), anew, ahead=True) == 2
    assert (state(anew, "a").attempt, state(anew, "a").purged, list(anew.purged())) == (2, None, ["b"])


def test_a_new_sqlite_store_gets_smaller(tmp_path: Path) -> None:
    """Nearly all of 3,000 tasks' space goes back to the file system, in steps, and less than 500 bytes of each are kept."""
    path = tmp_path / "status.db"
    with open_store(f"sqlite:///{path}") as store:
        fold_in(store, [each for number in range(3_000) for each in life(f"{number:05}", description="x" * 1_000)])
    before = path.stat().st_size
    with open_store(f"sqlite:///{path}") as store:
        done = purge(store, ALL, NOW)
    after = path.stat().st_size

    assert done.total == 3_000
    assert before - after >= done.freed_bytes * 0.99 > before / 2
    assert after < 3_000 * 500
