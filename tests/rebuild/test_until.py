"""A rebuild that ends at given offsets, whatever folds what it begins with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.naive.workload import task_id
from tests.rebuild.logs import NOW, Stopped, hash_of, live_in, log_in, plant, stop_at, url, worked
from tracker import replay
from tracker.errors import UsageError
from tracker.fold.state import to_bytes
from tracker.fold.view import columns
from tracker.model.records import Position, TopicPartition
from tracker.rebuild.folding import store_folded
from tracker.rebuild.logs import Logs
from tracker.rebuild.run import Order, Outcome, Rebuild
from tracker.replay.partial import Partial, Tally
from tracker.replay.runs import Stretch, records_of
from tracker.stores.base import Counters, StatusStore, Write
from tracker.stores.open import open_contents, open_shadow, open_store


class Engine:
    """The smallest there can be: one partial fold, here. ``calls`` are the ends that it was given."""

    def __init__(self) -> None:
        self.calls: list[Mapping[TopicPartition, int]] = []

    def __call__(
        self,
        store: StatusStore,
        beginnings: Mapping[TopicPartition, Position],
        ends: Mapping[TopicPartition, int],
        on_done: Callable[[int], None],
    ) -> Counters:
        self.calls.append(ends)
        partial, tallies, parked = Partial(store.limits), dict[TopicPartition, Tally](), []
        for at, end in ends.items():
            tally = tallies.setdefault(at, Tally())
            for reached, records in records_of(Stretch(at.topic, at.topic, beginnings[at].next_offset, end, 0)):
                parked += partial.fold(records, tally)
                on_done(reached)
        states = partial.hand_on()
        writes = (Write(id, to_bytes(states[id], store.limits), columns(id, states[id]), None) for id in sorted(states))
        reached_all = [Position(*at, ends[at], beginnings[at].identity) for at in ends]
        return store_folded(store, beginnings, reached_all, tallies, parked, writes, indexed=False)


def loaded(store: Path, log: Path, engine: Any = None, seam: Callable[[str], None] = lambda _: None, **order: Any) -> Outcome:
    """One run with the engine."""
    ordered = Order(logs=Logs((), str(log)), **order)
    return asyncio.run(Rebuild(open_shadow(url(store)), ordered, lambda: NOW, engine=engine or Engine(), seam=seam).run())


def empty_in(folder: Path) -> Path:
    """A new store."""
    path = folder / "status.db"
    with open_store(url(path)):
        pass
    return path


def position_of(store: Path) -> int:
    """Of the one log."""
    with open_contents(url(store)) as contents:
        [partition] = contents.partitions()
        assert partition.counters.balanced
        return partition.position.next_offset


def middle_of(log: Path) -> int:
    """Where a line begins, halfway."""
    content = log.read_bytes()
    return content.index(b"\n", len(content) // 2) + 1


def as_replayed(log: Path, folder: Path) -> str:
    """The hash of what the whole log gives."""
    other = folder / "other.db"
    replay.replay([str(log)], url(other), jobs=1)
    return hash_of(other)


def test_a_worker_goes_on_at_the_offset(tmp_path: Path) -> None:
    """An empty store is given what the log says up to an offset; its worker reads the rest, and the end is that of one replay."""
    log, store = log_in(tmp_path), empty_in(tmp_path)
    at, until = TopicPartition(str(log), 0), middle_of(log)
    engine = Engine()
    outcome = loaded(store, log, engine, accept=True, until={at: until})
    assert (outcome.note.state, position_of(store)) == ("swapped", until)
    assert engine.calls == [{at: until}]
    worked(store, log)
    assert position_of(store) == log.stat().st_size
    assert hash_of(store) == as_replayed(log, tmp_path)


def test_a_store_that_is_further_is_followed(tmp_path: Path) -> None:
    """The engine folds up to the offset, what the live store has read beyond is folded too, and nothing differs."""
    log = log_in(tmp_path)
    store, until = live_in(tmp_path), middle_of(log)
    engine = Engine()
    outcome = loaded(store, log, engine, until={TopicPartition(str(log), 0): until})
    assert (outcome.note.state, outcome.note.different) == ("swapped", 0)
    assert list(engine.calls[0].values()) == [until]
    assert position_of(store) == log.stat().st_size


def test_a_store_that_is_behind_is_overtaken_if_it_may(tmp_path: Path) -> None:
    """Tasks that the live store has not read of are differences, which somebody has to accept; then it stands at the offset."""
    log = log_in(tmp_path)
    store = live_in(tmp_path)
    log_in(tmp_path, first_task=500)
    until = {TopicPartition(str(log), 0): log.stat().st_size}
    assert loaded(store, log, until=until).note.state == "different"
    assert position_of(store) < log.stat().st_size
    assert loaded(store, log, until=until, accept=True).note.state == "swapped"
    assert position_of(store) == log.stat().st_size
    assert hash_of(store) == as_replayed(log, tmp_path)


@pytest.mark.parametrize("seam", ["building", "all is folded", "catching-up", "verifying", "verified", "swapping", "standing", "swapped"])
def test_killed_and_begun_again(seam: str, tmp_path: Path) -> None:
    """Wherever a run is stopped, the next one ends at the same offset, with each record counted once."""
    log, store = log_in(tmp_path), empty_in(tmp_path)
    until = {TopicPartition(str(log), 0): middle_of(log)}
    with pytest.raises(Stopped):
        loaded(store, log, seam=stop_at(seam), accept=True, until=until)
    engine = Engine()
    assert loaded(store, log, engine, accept=True, until=until).note.state == "swapped"
    assert bool(engine.calls) == (seam == "building")
    assert [position_of(store)] == list(until.values())
    worked(store, log)
    assert hash_of(store) == as_replayed(log, tmp_path)


def test_what_differs_is_found(tmp_path: Path) -> None:
    """A wrong word in the live store is told before anything is exchanged."""
    log = log_in(tmp_path)
    store = live_in(tmp_path)
    plant(store, task_id(3))
    outcome = loaded(store, log)
    assert (outcome.note.state, [pair.id for pair in outcome.pairs]) == ("different", [task_id(3)])


@pytest.mark.parametrize(("offset", "said"), [(-5, "until -5"), (10**9, "until 1000000000")])
def test_an_offset_that_the_log_has_not(tmp_path: Path, offset: int, said: str) -> None:
    """It is refused with the offsets that there are, and the next run may name another."""
    log, store = log_in(tmp_path), empty_in(tmp_path)
    with pytest.raises(UsageError, match=f"the log has offsets 0 to {log.stat().st_size}, and is to be folded {said}"):
        loaded(store, log, until={TopicPartition(str(log), 0): offset})
    assert loaded(store, log, accept=True).note.state == "swapped"


def test_a_partition_that_is_not_there(tmp_path: Path) -> None:
    """So is an offset of another log."""
    log, store = log_in(tmp_path), empty_in(tmp_path)
    with pytest.raises(UsageError, match="other, partition 4, is in none of"):
        loaded(store, log, until={TopicPartition("other", 4): 1})
