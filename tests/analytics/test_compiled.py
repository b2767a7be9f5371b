"""Batches that machine code makes are those that Python makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.analytics.stores import all_logs, events_of
from tests.laws.folding import folded
from tests.naive.logs import crowded_log, logs
from tracker.analytics import compiled
from tracker.analytics.arrow import Batches
from tracker.analytics.attributes import Attribute, parse_attributes
from tracker.analytics.compiled.making import have_made
from tracker.analytics.flat import Told
from tracker.cli import main
from tracker.errors import StoreError
from tracker.fold.event import TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.registers import set_purged
from tracker.fold.state import Layer, TaskState, to_bytes
from tracker.model.limits import DEFAULT_LIMITS
from tracker.query.base import Row, Stored

if TYPE_CHECKING:
    from tracker.analytics.compiled.batches import CompiledBatches

# Whoever comes first has the machine code made.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ATTRIBUTES = parse_attributes(["a:int64", "b", "aa:double", "when=\x00:timestamp", "k1=k1:string"])
FRACTIONS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(lambda digits, places: digits / 10**places, st.integers(-(10**17), 10**17), st.integers(0, 22))
    | st.integers(-(10**16), 10**16).map(float)
)
"""Any; of any number of digits and decimals; whole ones."""
drawn = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def made_by(attributes: Sequence[Attribute] = ()) -> CompiledBatches:
    """What makes batches. Numba is imported here: the quick tests, whose processes collect this file too, do without its objects."""
    assert have_made(print)
    from tracker.analytics.compiled.batches import CompiledBatches

    return CompiledBatches(attributes)


def rows_of(states: dict[str, TaskState]) -> list[Stored]:
    """Rows of what is not deleted."""
    return [(id, at, to_bytes(state)) for at, (id, state) in enumerate(sorted(states.items())) if not state.deleted]


def told(rows: Sequence[Stored]) -> list[Told]:
    """The same for the other road."""
    return [(Row(*row), "changed") for row in rows]


def states_of(events: Sequence[TaskEvent]) -> dict[str, TaskState]:
    """The state of each task."""
    by_task = dict[str, list[TaskEvent]]()
    for event in events:
        by_task.setdefault(event.task_id, []).append(event)
    return {id: folded(of_task, DEFAULT_LIMITS) for id, of_task in by_task.items()}


def same(rows: list[Stored]) -> CompiledBatches:
    """Machine code gives what Python gives, and needs no help; nor do many chunks at once. Returns what made it."""
    plain, fast, parted = Batches(ATTRIBUTES), made_by(ATTRIBUTES), made_by(ATTRIBUTES)
    expected = pa.Table.from_batches(plain.of(told(rows)), plain.schema).combine_chunks()
    made = fast.compiled(rows)
    assert made is not None
    for name in expected.schema.names:
        assert made.column(name).to_pylist() == expected.column(name).to_pylist(), name
    found = pa.Table.from_batches(parted.of_stored(rows, max_rows=7), parted.schema).combine_chunks()
    assert found.equals(expected)
    assert fast.misfits == parted.misfits == plain.misfits
    return fast


@pytest.fixture(scope="module")
def states() -> dict[str, TaskState]:
    """Of all logs of the tests."""
    return states_of(all_logs())


def test_every_log_of_the_tests(states: dict[str, TaskState]) -> None:
    """Each row, each column, and how many attributes do not fit theirs."""
    assert same(rows_of(states)).misfits


@given(log=logs(), rng=st.randoms(use_true_random=False))
@drawn
def test_any_log(log: list[Any], rng: Random) -> None:
    """And of any of them that was purged on the way and has gone on."""
    events = events_of(log)
    states = states_of(events)
    for id, state in states.items():
        set_purged(state, "2026-06-01T00:00:00.000000")
        fold(state, [event for event in events if event.task_id == id and rng.random() < 0.5])
    rows = rows_of(states) + rows_of({f"{id}/2": state for id, state in states_of(events).items()})
    if rows:
        same(rows)


def test_tasks_that_have_all_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """The places for cells are too few at first, and are made more."""
    monkeypatch.setattr("tracker.analytics.compiled.sheet.CHUNK_ROWS", 20)
    monkeypatch.setattr("tracker.analytics.compiled.sheet.CHUNK_BYTES", 1_000)
    fast = same(rows_of(states_of(events_of(crowded_log(Random(1))))))
    assert fast._sheets[0].cells.shape[1] > 8 * 20 + 20


@given(values=st.lists(FRACTIONS, min_size=1))
@drawn
def test_any_fraction(values: list[float]) -> None:
    """Of few digits and of many, inside of values and alone."""
    state = folded(all_logs()[:1], DEFAULT_LIMITS)
    state.attributes = [Layer("", {**{f"k{at}": value for at, value in enumerate(values)}, "all": values})]
    same([("t", 1, to_bytes(state))])


def test_values_of_any_depth() -> None:
    """What is deeper than the kernels go is made by Python, and the same."""
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    state = folded(all_logs()[:1], DEFAULT_LIMITS)
    state.attributes = [Layer("", {"deep": deep})]
    rows = [("t", 1, to_bytes(state))]
    fast = made_by()
    assert fast.compiled(rows) is None
    assert list(fast.of_stored(rows)) == list(Batches().of(told(rows)))


def test_damaged_states_are_refused_or_read(states: dict[str, TaskState]) -> None:
    """Any bytes are: never does a kernel read what is not a state's, or fail to end."""
    rng, rows, fast, read = Random(1), rows_of(states), made_by(ATTRIBUTES), 0
    for _ in range(5_000):
        damaged = bytearray(rng.choice(rows)[2])
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        made = fast.compiled([("t", 1, bytes(damaged))])
        read += made is not None
    assert 0 < read < 5_000


def test_a_state_of_another_shape_is_left_alone(states: dict[str, TaskState]) -> None:
    """A map where a time is meant moves all that follows: nothing is read there."""
    members = msgspec.msgpack.decode(to_bytes(next(state for state in states.values() if state.created)))
    members[3] = {"a": {"b": 1}}
    assert made_by().compiled([("t", 1, msgspec.msgpack.encode(members))]) is None


def test_a_text_that_is_none_is_told(states: dict[str, TaskState]) -> None:
    """Bytes that are no UTF-8 are no text of Arrow's either: the store is damaged, and that is said."""
    whole = next(registers for *_, registers in rows_of(states) if b"QUARTZ" not in registers and b"description" in registers)
    at = whole.index(b"description") + len(b"description")
    damaged = whole[:at] + b"\xa2\xc3\x28" + whole[at + 1 + (whole[at] & 31) :]
    with pytest.raises(StoreError):
        list(made_by().of_stored([("t", 1, damaged)]))


def test_the_command_gives_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are rows enough for machine code."""
    monkeypatch.chdir(tmp_path)
    Path("events.jsonl").touch()
    assert main(["emit", "created", "t1", "--launcher", "sweep"]) == 0
    assert main(["replay", "events.jsonl", "--quiet"]) == 0
    assert main(["export", "--format", "parquet", "--out", "plain.parquet", "--quiet"]) == 0
    monkeypatch.setattr(compiled, "LEAST_ROWS", 1)
    made = list[pa.RecordBatch]()
    whole = type(made_by()).compiled

    def noted(self: CompiledBatches, chunk: Sequence[Stored]) -> pa.RecordBatch | None:
        made.append(whole(self, chunk))
        return made[-1]

    monkeypatch.setattr(type(made_by()), "compiled", noted)
    assert main(["export", "--format", "parquet", "--out", "compiled.parquet", "--quiet"]) == 0
    assert [len(batch) for batch in made] == [1]
    assert pq.read_table("compiled.parquet").equals(pq.read_table("plain.parquet"))
