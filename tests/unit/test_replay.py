"""Replay is exact: in parallel or in order, at once or resumed, the store has what the oracle makes of the files."""

from __future__ import annotations

import asyncio
import gc
import gzip
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.laws.agreement import SMALL
from tests.unit.road import assert_exact, counters, documents, expected, log, registers
from tracker import replay as replay_module
from tracker.errors import NotFound, SourceError, StoreError, StoreFull, TooManyParked, TrackerError
from tracker.model.records import Record, TopicPartition
from tracker.replay import ReplayProgress, ReplayTotals, partial, pool, replay, runs
from tracker.sources.jsonl import JsonlSource, read_lines
from tracker.stores.base import Counters, StatusStore
from tracker.stores.open import open_store
from tracker.testing import created, updated


class Threads(ThreadPoolExecutor):
    """In place of a pool of processes where those would only cost time: the same code, the same files."""

    def __init__(self, max_workers: int, *, mp_context: Any, **how: Any) -> None:  # noqa: ARG002 - threads need none
        super().__init__(max_workers, **how)


@pytest.fixture
def parallel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """However small the files are, they are folded in stretches, here by threads."""
    monkeypatch.setattr(replay_module, "PARALLEL_FROM_BYTES", 0)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", Threads)
    yield
    gc.enable()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with processes, as it really is."""
    monkeypatch.setattr(replay_module, "PARALLEL_FROM_BYTES", 0)


def lines(seed: int, *, logs: int = 6) -> list[bytes]:
    """Lines of a file: events of a few tasks, and some that are refused."""
    return [record.value for record in log(seed, logs=logs) if record.value]


def written(path: Path, values: list[bytes]) -> list[Record]:
    """Writes the file, with blank lines and without a newline at the end; its records as a source gives them."""
    path.write_bytes(b"\n".join([values[0], b"", b" \t", *values[1:]]))
    return in_file(path)


def in_file(path: Path) -> list[Record]:
    """All records of a plain file."""
    records, offset = [], 0
    for line in path.read_bytes().split(b"\n"):
        if line.strip():
            records.append(Record(str(path), 0, offset, line))
        offset += len(line) + 1
    return records


def url(folder: Path, name: str = "status") -> str:
    """A store."""
    return f"sqlite:///{folder}/{name}.db?synchronous=normal"


def replayed(paths: list[Path], store: str, **how: Any) -> ReplayTotals:
    """All of them, whatever is refused, by two workers."""
    return replay([str(path) for path in paths], store, **{"jobs": 2, "max_parked_ratio": 0, **how})


def whole(store: StatusStore, records: list[Record]) -> dict[str, Any]:
    """What two stores of the same files must have in common, byte for byte."""
    return {
        "registers": registers(store, records),
        "positions": [(each.position, each.counters.read, each.counters.parked, each.newest_event_time) for each in store.partitions()],
        "parked": [(each.number, each.record, each.reason, each.detail) for each in store.parked(limit=1_000)],
    }


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("jobs", [2, 3, 8])
def test_in_parallel_is_in_order_is_the_oracle(tmp_path: Path, jobs: int) -> None:
    """Stretches merged, one after the other, and the oracle agree: states, positions, parked records and their numbers."""
    records = written(tmp_path / "a.jsonl", lines(1, logs=10)) + written(tmp_path / "b.jsonl", lines(2))
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    totals = replayed(paths, url(tmp_path, "parallel"), jobs=jobs)
    replayed(paths, url(tmp_path, "in-order"), jobs=1)
    with open_store(url(tmp_path, "parallel")) as store, open_store(url(tmp_path, "in-order")) as other:
        assert_exact(store, records)
        assert whole(store, records) == whole(other, records)
        assert store.revision() == 1
        assert totals.tasks == store.task_count()
    assert totals.counters.read == len(records)
    assert totals.counters.balanced


@pytest.mark.usefixtures("parallel")
def test_spilled_states_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for two states, a stretch gives many runs, merged three at a time; the result is the same."""
    monkeypatch.setattr(partial, "STATES_IN_MEMORY", 2)
    monkeypatch.setattr(runs, "FAN_IN", 3)
    monkeypatch.setattr(runs, "ROWS_IN_FRAME", 1)
    monkeypatch.setattr(runs, "read_lines", lambda path, begin, end: read_lines(path, begin, end, 100))
    records = written(tmp_path / "a.jsonl", lines(3, logs=12))
    replayed([tmp_path / "a.jsonl"], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert_exact(store, records)


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("jobs", [1, 2])
def test_files_in_any_order_give_the_same(tmp_path: Path, jobs: int) -> None:
    """All orders of three files: equal bytes."""
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    records = [record for number, path in enumerate(paths) for record in written(path, lines(number, logs=3))]
    found = []
    for number, order in enumerate(permutations(paths)):
        replayed(list(order), url(tmp_path, str(number)), jobs=jobs)
        with open_store(url(tmp_path, str(number))) as store:
            assert_exact(store, records)
            found.append(registers(store, records))

    assert all(each == found[0] for each in found)


@pytest.mark.usefixtures("parallel")
def test_the_limits_hold_in_every_merge(tmp_path: Path) -> None:
    """Caps that stretches and their merges overflow give what the oracle keeps."""
    records = written(tmp_path / "a.jsonl", lines(4, logs=20))
    replayed([tmp_path / "a.jsonl"], url(tmp_path), limits=SMALL, jobs=5)
    replayed([tmp_path / "a.jsonl"], url(tmp_path, "in-order"), limits=SMALL, jobs=1)
    with open_store(url(tmp_path)) as store, open_store(url(tmp_path, "in-order")) as other:
        assert store.limits == SMALL
        assert registers(store, records) == registers(other, records)
        assert documents(store, records, SMALL) == expected(records, SMALL)


@pytest.mark.usefixtures("processes")
def test_processes_fold_a_file(tmp_path: Path) -> None:
    """The real pool: progress is told in bytes, ends with storing, and nothing is left behind."""
    records = written(tmp_path / "a.jsonl", lines(5, logs=40))
    told: list[ReplayProgress] = []
    replayed([tmp_path / "a.jsonl"], url(tmp_path), on_progress=told.append)
    size = (tmp_path / "a.jsonl").stat().st_size
    with open_store(url(tmp_path)) as store:
        assert_exact(store, records)

    assert [each.step for each in told] == ["folding"] * (len(told) - 1) + ["storing"]
    assert (told[-1].bytes_read, told[-1].bytes_total) == (size, size)
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".replay")]


SCRIPT = """
import sys
from tracker import replay, replay_files
replay.PARALLEL_FROM_BYTES = 0
print(replay_files([sys.argv[1]], sys.argv[2], jobs=2, max_parked_ratio=0).counters.read)
"""


def test_a_script_without_a_guard_may_replay(tmp_path: Path) -> None:
    """The processes do not run the caller's script again, as spawned ones would."""
    records = written(tmp_path / "a.jsonl", lines(20))
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "a.jsonl"), url(tmp_path)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )

    assert (done.stdout, done.stderr) == (f"{len(records)}\n", "")


def hang(*_: object) -> None:
    """What a process folds that is to be killed in the middle of it."""
    signal.pause()


@pytest.mark.usefixtures("processes")
def test_a_killed_process_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does when memory is short: nothing is stored, nothing is left, and the next try is whole."""
    records = written(tmp_path / "a.jsonl", lines(6))
    monkeypatch.setattr(pool, "fold_stretch", hang)

    def kill(_: ReplayProgress) -> None:
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(TrackerError, match=r"a process of the replay was killed .* nothing was stored: try --jobs 1"):
        replayed([tmp_path / "a.jsonl"], url(tmp_path), on_progress=kill)
    with open_store(url(tmp_path)) as store:
        assert (store.revision(), store.task_count()) == (0, 0)
        assert [each.counters for each in store.partitions()] == [Counters()]
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".replay")]

    replayed([tmp_path / "a.jsonl"], url(tmp_path), jobs=1)
    with open_store(url(tmp_path)) as store:
        assert_exact(store, records)


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError(28, "No space left on device"), StoreFull, "No space left on device.*nothing was stored"),
        (OSError(5, "Input/output error"), StoreError, "Input/output error.*nothing was stored"),
        (SourceError("a line is too long"), SourceError, "a line is too long"),
    ],
)
def test_a_failing_worker_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[TrackerError], message: str
) -> None:
    """Full disks and broken files in a stretch come out as our errors."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(runs._Runs, "spill", fail)
    written(tmp_path / "a.jsonl", lines(7))
    with pytest.raises(kind, match=message):
        replayed([tmp_path / "a.jsonl"], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert (store.revision(), store.task_count()) == (0, 0)


@pytest.mark.usefixtures("parallel")
def test_too_many_parked_store_nothing(tmp_path: Path) -> None:
    """In parallel the whole is judged before it is stored."""
    (tmp_path / "a.jsonl").write_bytes(b"{\n" * 1_000 + b'{"type":"other"}\n' * 8_000)
    with pytest.raises(TooManyParked, match=r"1000 of 9000 records would be parked, .* nothing was stored"):
        replayed([tmp_path / "a.jsonl"], url(tmp_path), max_parked_ratio=0.1)
    with open_store(url(tmp_path)) as store:
        assert (store.revision(), list(store.parked())) == (0, [])


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize(("refused", "ratio"), [(999, 0.1), (3_000, 0.0)])
def test_few_records_or_no_ratio_are_not_judged(tmp_path: Path, refused: int, ratio: float) -> None:
    """Below 1,000 records, and with 0, everything may be parked."""
    (tmp_path / "a.jsonl").write_bytes(b"{\n" * refused)
    totals = replayed([tmp_path / "a.jsonl"], url(tmp_path), max_parked_ratio=ratio)

    assert totals.counters == Counters(read=refused, parked=refused)


# Again and again


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_file_that_has_grown_is_gone_on_with(tmp_path: Path, jobs: int) -> None:
    """The second replay reads what is new, says where it went on, and the third reads nothing."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines(8)))
    first = replayed([path], url(tmp_path), jobs=jobs)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.writelines(line + b"\n" for line in lines(9))
    second = replayed([path], url(tmp_path), jobs=jobs)
    third = replayed([path], url(tmp_path), jobs=jobs)
    with open_store(url(tmp_path)) as store:
        assert_exact(store, in_file(path))

    assert first.resumed == {}
    assert second.resumed == {str(path): size}
    assert (second.counters.read, third.counters.read) == (len(lines(9)), 0)


@pytest.mark.usefixtures("parallel")
def test_what_is_written_meanwhile_is_the_next_replays(tmp_path: Path) -> None:
    """A writer that goes on while the file is folded loses nothing: the position is where folding ended."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines(10)))

    def append(progress: ReplayProgress) -> None:
        if progress.step == "storing":
            with path.open("ab") as file:
                file.writelines(line + b"\n" for line in lines(11))

    replayed([path], url(tmp_path), on_progress=append)
    second = replayed([path], url(tmp_path), jobs=1)
    with open_store(url(tmp_path)) as store:
        assert_exact(store, in_file(path))

    assert second.counters.read == len(lines(11))


@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("jobs", [1, 2])
def test_again_changes_counters_alone(tmp_path: Path, jobs: int) -> None:
    """Read from the start once more: the same states, each record counted twice, none of them applied."""
    records = written(tmp_path / "a.jsonl", lines(12))
    replayed([tmp_path / "a.jsonl"], url(tmp_path), jobs=jobs)
    with open_store(url(tmp_path)) as store:
        before = registers(store, records)
    again = replayed([tmp_path / "a.jsonl"], url(tmp_path), jobs=jobs, again=True)
    with open_store(url(tmp_path)) as store:
        assert registers(store, records) == before
        assert counters(store)[TopicPartition(str(tmp_path / "a.jsonl"), 0)].read == 2 * len(records)
    assert (again.counters.read, again.counters.applied, again.resumed) == (len(records), 0, {})


@pytest.mark.usefixtures("parallel")
def test_a_second_file_joins_the_first(tmp_path: Path) -> None:
    """Into a store that has tasks of the same ids."""
    records = written(tmp_path / "a.jsonl", lines(13)) + written(tmp_path / "b.jsonl", lines(14))
    replayed([tmp_path / "a.jsonl"], url(tmp_path))
    replayed([tmp_path / "b.jsonl"], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert_exact(store, records)


@pytest.mark.usefixtures("parallel")
def test_a_file_that_was_empty_when_it_was_claimed_is_folded(tmp_path: Path) -> None:
    """A live tracker saw it before it had a line: its identity is another by now, its position is not."""
    path = tmp_path / "a.jsonl"
    path.touch()
    with open_store(url(tmp_path)) as store:
        store.claim(asyncio.run(beginnings(path)))
    records = written(path, lines(15))
    totals = replayed([path], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert_exact(store, records)

    assert totals.resumed == {}


async def beginnings(path: Path) -> Any:
    """Where the file begins."""
    async with JsonlSource([str(path)]) as source:
        return list((await source.assigned()).values())


@pytest.mark.usefixtures("parallel")
def test_a_compressed_file_is_folded_in_order(tmp_path: Path) -> None:
    """Offsets are those of the decompressed lines."""
    name = "a.jsonl.gz"
    records = written(tmp_path / "plain", lines(16))
    with (tmp_path / "plain").open("rb") as plain, gzip.open(tmp_path / name, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    totals = replayed([tmp_path / name], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert_exact(store, [Record(str(tmp_path / name), 0, each.offset, each.value) for each in records])

    assert totals.counters.read == len(records)


@pytest.mark.usefixtures("parallel")
def test_empty_files_are_folded(tmp_path: Path) -> None:
    """Alone and beside others; each has a position afterwards."""
    (tmp_path / "a.jsonl").touch()
    assert replayed([tmp_path / "a.jsonl"], url(tmp_path, "empty")).counters == Counters()
    records = written(tmp_path / "b.jsonl", lines(17))
    replayed([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert_exact(store, records)
        assert len(store.partitions()) == 2


def test_into_memory(tmp_path: Path) -> None:
    """The memory store takes the projector's loop; the totals are the same."""
    records = written(tmp_path / "a.jsonl", lines(18))
    in_memory = replayed([tmp_path / "a.jsonl"], "memory://")
    in_sqlite = replayed([tmp_path / "a.jsonl"], url(tmp_path))

    assert in_memory.counters == in_sqlite.counters
    assert (in_memory.tasks, in_memory.counters.read) == (in_sqlite.tasks, len(records))


def test_deleted_tasks_are_not_counted(tmp_path: Path) -> None:
    """``tasks`` is the store's count without them."""
    events = [created("a"), created("b"), updated("c")]
    (tmp_path / "a.jsonl").write_bytes(b"".join(event.to_json() + b"\n" for event in events))
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(
            b'{"specversion":"1.0","type":"io.tracker.task.deleted","id":"1","source":"/s","subject":"b","time":"2026-01-01T00:00:00Z"}'
        )

    assert replayed([tmp_path / "a.jsonl"], url(tmp_path)).tasks == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """And no position is stored for the others."""
    written(tmp_path / "a.jsonl", lines(19))
    with pytest.raises(NotFound, match=r"b\.jsonl"):
        replayed([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], url(tmp_path))
    with open_store(url(tmp_path)) as store:
        assert list(store.partitions()) == []
