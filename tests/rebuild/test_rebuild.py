"""A projection built beside the live one and exchanged with it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.naive.workload import task_id
from tests.rebuild.logs import TASKS, Stopped, hash_of, live_in, log_in, plant, rebuilt, smaller, stop_at, url, worked
from tracker.errors import (
    PositionConflict,
    StoreChanged,
    StoreMismatch,
    StoreReplaced,
)
from tracker.model.limits import DEFAULT_LIMITS
from tracker.projector import Options, Projector
from tracker.query import connect
from tracker.rebuild.run import noted, to_text
from tracker.sources.jsonl import JsonlSource
from tracker.stores import schema
from tracker.stores.base import Commit
from tracker.stores.open import open_contents, open_shadow, open_store


def name_of(store: Path) -> str:
    """The store's own."""
    with open_contents(url(store)) as contents:
        return contents.about().store


def test_the_content_is_the_same(live: Path, log: Path) -> None:
    """Without differences nothing but the store's name changes: states, counters and parked records with their numbers stay."""
    with open_store(url(live)) as store:
        before = (hash_of(live), store.partitions()[0].counters, [each.number for each in store.parked()], store.limits)
        name = name_of(live)
    outcome = rebuilt(live, log)
    with open_store(url(live)) as store:
        after = (hash_of(live), store.partitions()[0].counters, [each.number for each in store.parked()], store.limits)
        assert after == before
        assert name_of(live) != name
    assert (outcome.note.state, outcome.note.tasks, outcome.note.different) == ("swapped", TASKS, 0)


def test_a_planted_difference_is_found(live: Path, log: Path) -> None:
    """One field of one task: the run says which, and exchanges nothing."""
    plant(live, task_id(7))
    before = hash_of(live)
    outcome = rebuilt(live, log)
    assert outcome.note.state == "different"
    assert [pair.id for pair in outcome.pairs] == [task_id(7)]
    assert hash_of(live) == before


def test_a_column_that_somebody_wrote_to_is_found(live: Path, log: Path) -> None:
    """The state is as it should be, the row is not: that is a difference too."""
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("UPDATE task SET launcher = 'nobody' WHERE id = ?", (task_id(3),))
    assert [pair.id for pair in rebuilt(live, log).pairs] == [task_id(3)]


def test_what_was_accepted_is_exchanged(live: Path, log: Path) -> None:
    """With --accept the run that found differences goes on, and what is read afterwards is the log's."""
    expected = hash_of(live)
    plant(live, task_id(7))
    rebuilt(live, log)
    assert rebuilt(live, log, accept=True).note.state == "swapped"
    assert hash_of(live) == expected


def test_tasks_that_only_one_side_has(live: Path, log: Path) -> None:
    """A task that no event made goes, and one that was lost comes."""
    expected = hash_of(live)
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("UPDATE task SET id = 'nobody' WHERE id = ?", (task_id(5),))
    outcome = rebuilt(live, log, accept=True)
    assert {pair.id for pair in outcome.pairs} == {"nobody", task_id(5)}
    assert hash_of(live) == expected


def test_a_rollback_brings_the_old_content(live: Path, log: Path) -> None:
    """All that the exchange changed, and all that was written since, is as it was at the exchange; workers then read what came since again."""
    plant(live, task_id(7))
    planted = hash_of(live)
    rebuilt(live, log, accept=True)
    log_in(live.parent, 5, first_task=TASKS)
    worked(live, log)
    shadow = open_shadow(url(live))
    note = noted(shadow)
    assert note is not None
    shadow.roll_back(to_text(note))
    assert hash_of(live) == planted
    worked(live, log)
    with connect(url(live)) as tasks:
        assert tasks.count() == TASKS + 5
        assert tasks.status().counters.read == 8 * (TASKS + 5) + 4
        assert tasks.status().balanced
        document = tasks.document(task_id(7))
        assert document is not None
        assert document["progress"] == "planted"


def test_parked_records_come_back_with_a_rollback(live: Path, log: Path) -> None:
    """Those that the exchange took away, with their bytes."""
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute(
            "INSERT INTO parked SELECT 99, topic, partition, 3, reason, 'made', key, headers, x'ff', NULL, 0 FROM parked LIMIT 1"
        )
    rebuilt(live, log)
    shadow = open_shadow(url(live))
    with open_store(url(live)) as store:
        assert len(store.parked()) == 1
    shadow.roll_back("{}")
    with open_store(url(live)) as store:
        assert [(each.record.offset, each.record.value) for each in store.parked() if each.detail == "made"] == [(3, b"\xff")]


def test_dropped_bytes_stay_dropped(live: Path, log: Path) -> None:
    """What an operator has dropped does not come back with a rebuild."""
    with open_store(url(live)) as store:
        store.drop_parked([store.parked()[0].number])
    rebuilt(live, log)
    with open_store(url(live)) as store:
        [parked] = store.parked()
        assert (parked.dropped, parked.record.value) == (True, None)


def test_change_tokens_are_refused(live: Path, log: Path) -> None:
    """Who follows changes is told to read everything again."""
    with connect(url(live)) as tasks:
        token = tasks.token()
        rebuilt(live, log)
        with pytest.raises(StoreChanged, match="another store"):
            list(tasks.changes(token))


def test_what_was_loaded_before_is_not_committed(live: Path, log: Path) -> None:
    """A worker's states of before the exchange are refused, until it has claimed again."""
    with open_store(url(live)) as store:
        rebuilt(live, log)
        with pytest.raises(StoreReplaced, match="rebuilt meanwhile") as refused:
            store.commit(Commit())
        assert isinstance(refused.value, PositionConflict)
        store.claim([])
        assert store.commit(Commit()) == store.revision()


def test_a_worker_with_states_in_memory_does_not_bring_the_old_back(live: Path, log: Path) -> None:
    """A planted state that a live worker holds is not merged into the new content: its next batch is folded into what was exchanged."""
    plant(live, task_id(TASKS - 1))
    read = threading.Event()
    more = log.parent / "events.jsonl"

    async def beside() -> None:
        with open_store(url(live)) as store:
            projector = Projector(
                lambda _: JsonlSource([str(more)], follow=True),
                store,
                options=Options(max_batch_age_s=0.01),
                on_progress=lambda _: read.set(),
            )
            running = asyncio.create_task(projector.run())
            touch(more, "a")
            await asyncio.to_thread(read.wait, 20)
            read.clear()
            await asyncio.to_thread(rebuilt, live, log, accept=True)
            touch(more, "b")
            await asyncio.to_thread(read.wait, 20)
            projector.stop()
            await running

    def touch(path: Path, id: str) -> None:
        event = f'{{"specversion":"1.0","id":"{id}","source":"/t","type":"io.tracker.task.messaged","subject":"{task_id(TASKS - 1)}"'
        message = '"data":{"type":"INFO","key":"k","localizedText":{"locale":"en","message":"m"}}}'
        with path.open("a") as file:
            file.write(f'{event},"time":"2027-01-01T00:00:00Z",{message}\n')

    asyncio.run(beside())
    with connect(url(live)) as tasks:
        document = tasks.document(task_id(TASKS - 1))
        assert document is not None
        assert document["progress"] != "planted"
        assert len(document["messages"]) == 3


def test_a_worker_takes_the_new_limits(tmp_path: Path) -> None:
    """One that asked for none goes on under those that the store was rebuilt with; one that asked for the old ones is stopped."""
    log = log_in(tmp_path)
    live = live_in(tmp_path)
    with open_store(url(live)) as easy, open_store(url(live), limits=DEFAULT_LIMITS) as strict:
        assert rebuilt(live, log, accept=True, limits=smaller(attributes=2)).note.state == "swapped"
        easy.claim([])
        assert easy.limits == smaller(attributes=2)
        with pytest.raises(StoreMismatch, match="other limits"):
            strict.claim([])
    with connect(url(live)) as tasks:
        assert all(len(document["attributes"]) <= 2 for document in tasks.documents())


def test_a_new_fold_version(live: Path, log: Path) -> None:
    """A store that this release refuses is rebuilt to one that it takes."""
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("UPDATE meta SET value = '0' WHERE name = 'fold_version'")
    with pytest.raises(StoreMismatch, match="tracker rebuild"):
        open_store(url(live))
    assert rebuilt(live, log).note.state == "swapped"
    with open_store(url(live)) as store:
        assert store.task_count() == TASKS


def test_an_older_schema_of_another_fold(tmp_path: Path) -> None:
    """Both at once, as a store of long ago: it is migrated and rebuilt; a log that it has never read is read to its end."""
    log, store = log_in(tmp_path), tmp_path / "status.db"
    schema.migrate(str(store), None, to="0001")
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE meta SET value = '0' WHERE name = 'fold_version'")
    assert rebuilt(store, log, accept=True).note.state == "swapped"
    plain = tmp_path / "plain.db"
    worked(plain, log)
    assert hash_of(store) == hash_of(plain)


@pytest.mark.parametrize("seam", ["building", "catching-up", "verifying", "verified", "swapping", "standing", "swapped"])
def test_a_run_that_stopped_goes_on(live: Path, log: Path, seam: str) -> None:
    """Whatever the seam, the next run ends as one that was never stopped."""
    plant(live, task_id(7))
    with pytest.raises(Stopped):
        rebuilt(live, log, accept=True, seam=stop_at(seam))
    outcome = rebuilt(live, log, accept=True)
    assert outcome.note.state == "swapped"
    plain = live.with_name("plain.db")
    replay_into(plain, log)
    assert hash_of(live) == hash_of(plain)
    assert open_shadow(url(live)).has_old


def test_another_run_after_one_that_was_killed_at_its_end(live: Path, log: Path) -> None:
    """What is asked for now is done: that the exchange before was made is no answer to it."""
    with pytest.raises(Stopped):
        rebuilt(live, log, seam=stop_at("swapped"))
    rebuilt(live, log, limits=smaller(messages=3), accept=True)
    with open_store(url(live)) as store:
        assert store.limits.messages == 3


def replay_into(store: Path, log: Path) -> None:
    """The plain fold."""
    worked(store, log)


def test_live_events_are_caught_up(live: Path, log: Path) -> None:
    """What a worker commits between verifying and the exchange is in the new content."""

    def at(name: str) -> None:
        if name == "verified":
            log_in(live.parent, 5, first_task=TASKS)
            worked(live, log)

    rebuilt(live, log, seam=at)
    with connect(url(live)) as tasks:
        assert tasks.count() == TASKS + 5


def test_what_changes_late_is_compared_too(live: Path, log: Path) -> None:
    """A row that goes wrong after it was verified is found while the writers wait, and nothing is exchanged."""

    def at(name: str) -> None:
        if name == "swapping":
            log_in(live.parent, 1, first_task=TASKS)
            worked(live, log)
            plant(live, task_id(TASKS))

    outcome = rebuilt(live, log, seam=at)
    assert (outcome.note.state, [pair.id for pair in outcome.pairs]) == ("different", [task_id(TASKS)])


def test_the_live_store_is_not_read_past(live: Path, log: Path) -> None:
    """Records that no worker has read yet are left to them."""
    log_in(live.parent, 5, first_task=TASKS)
    rebuilt(live, log)
    with connect(url(live)) as tasks:
        assert tasks.count() == TASKS
