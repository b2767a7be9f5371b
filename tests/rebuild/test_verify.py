"""A store held against its log, compared with another store, copied, and rehearsed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.naive.workload import task_id
from tests.rebuild.logs import TASKS, hash_of, log_in, plant, smaller, url, worked
from tracker.errors import SourceError, StoreError, StoreMismatch
from tracker.model.limits import DEFAULT_LIMITS
from tracker.model.records import Position
from tracker.rebuild import copying, rehearsing
from tracker.rebuild.copying import copy
from tracker.rebuild.differences import Comparison, Pair, differing, fields, pairs, positions
from tracker.rebuild.logs import Logs
from tracker.rebuild.predicting import predict
from tracker.rebuild.rehearsing import disturbed, rehearse
from tracker.rebuild.run import Order
from tracker.rebuild.verifying import Verified, verify_all, verify_some
from tracker.stores.base import Commit, Jump
from tracker.stores.contents import Contents, Holding
from tracker.stores.open import open_contents, open_shadow, open_store


def opened(store: Path) -> Contents:
    """Its contents."""
    return open_contents(url(store))


def sampled(store: Path, log: Path, count: int = 1_000) -> Verified:
    """Some tasks folded again."""
    return asyncio.run(verify_some(lambda: opened(store), Logs(source=str(log)), count, Random(1)))


def verified(store: Path, log: Path) -> Verified:
    """All of them."""
    return asyncio.run(verify_all(lambda: opened(store), Logs(source=str(log))))


def test_a_sample_is_what_the_log_says(live: Path, log: Path) -> None:
    """So many tasks are looked at, and none differs."""
    found = sampled(live, log, 20)
    assert (found.tasks, found.different, found.whole) == (20, 0, True)


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_a_planted_difference(live: Path, log: Path, check) -> None:
    """It is found, and no other."""
    plant(live, task_id(9))
    found = check(live, log)
    assert (found.different, [pair.id for pair in found.pairs]) == (1, [task_id(9)])


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_a_column_that_somebody_wrote_to(live: Path, log: Path, check) -> None:
    """A row whose columns are not its state's: that one column is named."""
    with closing(sqlite3.connect(live)) as connection, connection:
        connection.execute("UPDATE task SET launcher = 'nobody' WHERE id = ?", (task_id(3),))
    [pair] = check(live, log).pairs
    assert pair.id == task_id(3)
    [column] = fields(pair, DEFAULT_LIMITS, DEFAULT_LIMITS)
    assert (column.field, column.a, column.b != "nobody") == ("column launcher", "nobody", True)


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_only_up_to_the_stored_positions(live: Path, log: Path, check) -> None:
    """What the store has not read yet is no difference."""
    log_in(live.parent, 5, first_task=0)
    with log.open("a") as file:
        file.write(
            '{"specversion":"1.0","id":"x","source":"/t","type":"io.tracker.task.deleted","subject":"task-00000001","time":"2027-01-01T00:00:00Z"}\n'
        )
    assert check(live, log).different == 0


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_another_store_of_a_part_of_the_log(live: Path, tmp_path: Path, check) -> None:
    """Where the store has read what the log has no more, tasks that have all of what is left are covered and no difference; others are."""
    (tmp_path / "rest").mkdir()
    rest = log_in(tmp_path / "rest", 2, first_task=TASKS)
    worked(live, rest)
    plant(live, task_id(TASKS), "A word that is less than what the event said")
    found = check(live, rest)
    assert not found.whole
    assert [pair.id for pair in found.pairs] == [task_id(TASKS)]
    assert found.covered == TASKS


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_a_log_that_was_rotated(live: Path, log: Path, check) -> None:
    """The file of the same name begins at 0 and has not all that the store has read: tasks of the file before are covered."""
    log.rename(log.with_name("events.jsonl.1"))
    worked(live, log_in(live.parent, 2, first_task=TASKS))
    found = check(live, log)
    assert (found.whole, found.different, found.covered) == (False, 0, TASKS)


@pytest.mark.parametrize("check", [sampled, verified], ids=["a sample", "all"])
def test_a_log_that_has_nothing_of_the_store(live: Path, tmp_path: Path, check) -> None:
    """Another file, say: that nothing differs would be no proof, so it is an error."""
    other = tmp_path / "other.jsonl"
    other.touch()
    with pytest.raises(SourceError, match="nothing can be verified"):
        check(live, other)


def test_a_log_that_is_not_the_one(live: Path, log: Path) -> None:
    """A file that was cut is refused, not compared."""
    log.write_bytes(log.read_bytes()[:5_000])
    with pytest.raises(SourceError):
        sampled(live, log)


@given(st.lists(st.text("abc", min_size=1, max_size=2), unique=True), st.lists(st.text("abc", min_size=1, max_size=2), unique=True))
def test_pairs_are_all_ids_in_order(a: list[str], b: list[str]) -> None:
    """Every id of either side once, ascending, with what each side has."""

    def side(ids: list[str]) -> list[Holding]:
        return [Holding(id, b"", ()) for id in sorted(ids)]

    found = list(pairs(side(a), side(b)))
    assert [pair.id for pair in found] == sorted({*a, *b})
    assert all((pair.a is not None, pair.b is not None) == (pair.id in a, pair.id in b) for pair in found)


def test_the_fields_with_why_on_both_sides(live: Path, tmp_path: Path) -> None:
    """Of a difference in one field that one is told, with the event that set it on either side."""
    other = tmp_path / "other.db"
    other.write_bytes(live.read_bytes())
    plant(other, task_id(4))
    with opened(live) as a, opened(other) as b:
        [pair] = differing(a, b, Comparison())
        [found] = fields(pair, a.about().limits, b.about().limits)
    assert (found.field, found.b) == ("progress", "planted")
    assert found.why_a is not None
    assert found.why_b is not None
    assert found.why_a.event == found.why_b.event


def test_a_task_of_one_side() -> None:
    """Where one side has no such task, nothing else is compared."""
    limits = smaller()
    [found] = fields(Pair("t", Holding("t", b"", ()), None), limits, limits)
    assert (found.field, found.a, found.b) == ("task", True, False)


def test_hashes_are_equal_for_equal_contents(live: Path, tmp_path: Path) -> None:
    """Whatever the order in which tasks were written; and what is different has another one."""
    other = tmp_path / "other.db"
    worked(other, live.parent / "events.jsonl")
    with opened(live) as a, opened(other) as b:
        comparison = Comparison()
        assert list(differing(a, b, comparison)) == []
        assert comparison.hash_a == comparison.hash_b
    plant(other, task_id(4))
    assert hash_of(live) != hash_of(other)


def test_positions_are_compared(live: Path, log: Path, tmp_path: Path) -> None:
    """Stores that have read to different places say so."""
    other = tmp_path / "other.db"
    other.write_bytes(live.read_bytes())
    log_in(tmp_path, 1, first_task=TASKS)
    worked(other, log)
    with opened(live) as a, opened(other) as b:
        [found] = positions(a.partitions(), b.partitions())
    assert (found.topic, found.a is not None and found.b is not None and found.a < found.b) == (str(log), True)


def test_a_copy_has_everything(live: Path, tmp_path: Path) -> None:
    """States, deleted ones too, positions with counters, parked records (a dropped one stays dropped) and jumps; a worker goes on there."""
    log = tmp_path / "events.jsonl"
    with log.open("a") as file:
        file.write(
            '{"specversion":"1.0","id":"x","source":"/t","type":"io.tracker.task.deleted","subject":"task-00000001","time":"2027-01-01T00:00:00Z"}\n'
            "still not JSON\n"
        )
    worked(live, log)
    with open_store(url(live)) as store:
        store.drop_parked([store.parked()[0].number])
        at = store.partitions()[0].position.at
        store.claim([Position(*at, 0)])
        store.commit(Commit(jumps=[Jump(at=at, stored=1, chosen=2, policy="earliest", when="2026-01-01T00:00:00Z")]))
    with opened(live) as contents, open_store(f"{url(tmp_path)}/copy.db", limits=contents.about().limits) as target:
        copy(contents, target)
        with opened(tmp_path / "copy.db") as copied:
            assert list(copied.holdings()) == list(contents.holdings())
            assert [(each.position, each.counters) for each in copied.partitions()] == [
                (each.position, each.counters) for each in contents.partitions()
            ]
            assert list(copied.parked_records()) == list(contents.parked_records())
            assert copied.jumps() == contents.jumps()
    log_in(tmp_path, 1, first_task=TASKS)
    worked(tmp_path / "copy.db", log)
    worked(live, log)
    assert hash_of(tmp_path / "copy.db") == hash_of(live)


def test_a_copy_into_a_store_that_has_something(live: Path, tmp_path: Path) -> None:
    """It is refused, and nothing is written."""
    (tmp_path / "other").mkdir()
    worked(tmp_path / "other.db", log_in(tmp_path / "other", 1, first_task=99))
    before = hash_of(tmp_path / "other.db")
    with opened(live) as contents, open_store(f"{url(tmp_path)}/other.db") as target, pytest.raises(StoreError, match="not empty"):
        copy(contents, target)
    assert hash_of(tmp_path / "other.db") == before


def test_a_copy_that_was_stopped_is_made_again(live: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What had only been claimed, as the disk was full for the rest, is no content."""
    with monkeypatch.context() as full:
        full.setattr(copying, "filler", Mock(side_effect=StoreError("the disk is full")))
        with pytest.raises(StoreError, match="full"):
            copied(live, tmp_path / "copy.db")
    copied(live, tmp_path / "copy.db")
    assert hash_of(tmp_path / "copy.db") == hash_of(live)


def copied(store: Path, to: Path) -> None:
    """A copy in a new store."""
    with opened(store) as contents, open_store(url(to), limits=contents.about().limits) as target:
        copy(contents, target)


def test_a_copy_under_other_limits(live: Path, tmp_path: Path) -> None:
    """The states were made under the ones, and would be gone on with under the others."""
    with (
        opened(live) as contents,
        open_store(f"{url(tmp_path)}/other.db", limits=smaller(messages=5)) as target,
        pytest.raises(StoreMismatch, match="other limits"),
    ):
        copy(contents, target)


def test_a_prediction_is_of_the_whole_log(live: Path, log: Path) -> None:
    """A sample that is the whole log counts every record of it, and nothing of the store changes."""
    before = live.read_bytes()
    found = asyncio.run(predict(open_shadow(url(live)), Order(logs=Logs(source=str(log)))))
    assert found.records == 8 * TASKS + 2
    assert found.seconds > 0
    assert live.read_bytes() == before
    assert not open_shadow(url(live)).exists


def test_a_prediction_from_a_part_of_the_log(live: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a quarter of the log the rest is estimated, within a quarter: records are of much the same size."""
    from tracker.rebuild import predicting

    monkeypatch.setattr(predicting, "SAMPLE_LEAST", log.stat().st_size // 4)
    found = asyncio.run(predict(open_shadow(url(live)), Order(logs=Logs(source=str(log)))))
    assert found.sampled < 4 * TASKS
    assert abs(found.records - 8 * TASKS) < 8 * TASKS / 4


def test_disturbed_lines_are_the_same_set() -> None:
    """Every line is there, some twice, and the order is another; the same seed gives the same."""
    made = [b"%d" % number for number in range(2_000)]
    for shuffled in (False, True):
        found = disturbed(made, Random(5), shuffled=shuffled)
        assert set(found) == set(made)
        assert len(found) > len(made)
        assert [line for line in found if found.count(line) == 1][:50] != made[:50]
        assert found == disturbed(made, Random(5), shuffled=shuffled)


@pytest.mark.slow
def test_a_rehearsal_ends_byte_equal(log: Path, tmp_path: Path) -> None:
    """Shuffled, doubled, by workers that are killed: what the log gives in order."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    found = rehearse([str(log)], folder, 7, kills=2)
    assert (found.tasks, found.different, found.kills >= 2) == (TASKS, 0, True)


@pytest.mark.slow
def test_a_rehearsal_finds_what_order_changes(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the rehearsal's copy of the log lacks an event, the tasks differ: the comparison is no formality."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    deal = rehearsing.disturbed

    def lacking(lines, random, *, shuffled):
        return [
            line for line in deal(lines, random, shuffled=shuffled) if b'"subject":"task-00000005"' not in line or b"completed" not in line
        ]

    monkeypatch.setattr(rehearsing, "disturbed", lacking)
    found = rehearse([str(log)], folder, 7, kills=0)
    assert [pair.id for pair in found.pairs] == [task_id(5)]
