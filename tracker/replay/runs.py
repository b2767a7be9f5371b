"""Runs: the states of a stretch of a log, folded in one process and written to a file sorted by task id.

A task may be in several runs; their states merge into the one that folding all its events at once would give. That is what allows
replaying a file in parallel.
"""

from __future__ import annotations

import errno
import gc
import heapq
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from ctypes import Array, c_longlong
from itertools import accumulate, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from tracker.errors import StoreError, StoreFull
from tracker.fold.state import TaskState, to_bytes
from tracker.fold.view import columns
from tracker.model.limits import Limits
from tracker.model.records import Record, TopicPartition
from tracker.model.rows import Columns
from tracker.replay.partial import Partial, Tally, joined
from tracker.sources.files import is_compressed, open_stream
from tracker.sources.jsonl import read_lines
from tracker.sources.lines import LineCutter
from tracker.stores.base import Counters, ParkedRecord, Write

UNTIL_ENDED = 2**63 - 1
"""The end of a log whose length is not known beforehand (a compressed file)."""
FAN_IN = 32
"""So many runs are merged into one, so that a huge log does not end in thousands of open files."""
ROWS_IN_FRAME = 500
FRAME_HEAD_BYTES = 4
FILE_BUFFER_BYTES = 1 << 18

Row = tuple[str, bytes, Columns | None]
"""Task id, state, columns."""

_encode = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(list[tuple[str, bytes, tuple[Any, ...] | None]]).decode
_decode_parked = msgspec.msgpack.Decoder(list[ParkedRecord]).decode


class Stretch(msgspec.Struct, frozen=True):
    """A part of one file or partition: where it is, and which of the shared progress counters tells how far its reading is."""

    path: str
    """The file, or the topic's source as a Kafka URL."""
    topic: str
    begin: int
    end: int
    index: int
    partition: int = 0
    kafka_config: str | None = None


class Folded(msgspec.Struct):
    """What folding a stretch gave."""

    topic: str
    counters: Counters
    newest: str
    runs: list[str]
    """Files of `Row` frames, each sorted by task id."""
    parked: str
    """A file of frames of parked records."""
    partition: int = 0


_progress: Array[c_longlong] | None = None


def share_progress(progress: Array[c_longlong]) -> None:
    """Called once in each process: bytes read so far, one counter a stretch."""
    global _progress  # noqa: PLW0603 - a process pool hands shared memory over in no other way
    _progress = progress
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A parent that is killed leaves its pool waiting for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def fold_stretch(stretch: Stretch, limits: Limits, folder: str) -> Folded:
    """Fold one stretch into runs in ``folder``. Runs in a process of its own."""
    gc.disable()  # states hold no cycles; the process ends with the replay
    partial, tally = Partial(limits), Tally()
    runs = _Runs(Path(folder), str(stretch.index), limits)
    parked_path = str(Path(folder, f"{stretch.index}.parked"))
    with Path(parked_path).open("wb") as parked_file:
        for reached, records in records_of(stretch):
            if parked := partial.fold(records, tally):
                _write_frame(parked_file, parked)
            if partial.is_due:
                runs.spill(partial.hand_on())
            if _progress is not None:
                _progress[stretch.index] = reached - stretch.begin
    runs.spill(partial.hand_on())
    if _progress is not None:
        _progress[stretch.index] = stretch.end - stretch.begin
    return Folded(stretch.topic, tally.counters, tally.newest, runs.paths(), parked_path, stretch.partition)


def records_of(stretch: Stretch) -> Iterator[tuple[int, list[Record]]]:
    """The stretch's records, each list with how far the reading is. A compressed file is read from its beginning to its end."""
    if stretch.path.startswith("kafka:"):
        from tracker.replay.partitions import read_partition

        at = TopicPartition(stretch.topic, stretch.partition)
        yield from read_partition(stretch.path, stretch.kafka_config, at, stretch.begin, stretch.end)
        return
    if is_compressed(stretch.path):
        yield from _whole(stretch)
        return
    for begin, lines in read_lines(stretch.path, stretch.begin, stretch.end):
        offsets = accumulate((len(line) + 1 for line in lines), initial=begin)
        yield (
            begin,
            [Record(stretch.topic, 0, offset, line) for line, offset in zip(lines, offsets, strict=False) if line and not line.isspace()],
        )


def _whole(stretch: Stretch) -> Iterator[tuple[int, list[Record]]]:
    with open_stream(stretch.path) as stream:
        cutter = LineCutter(stretch.topic, 0)
        while block := stream.read():
            yield stream.next_offset, cutter.feed(block)
        stream.check_end()
        yield stream.next_offset, cutter.finish()


class _Runs:
    """The runs of one process, merged `FAN_IN` at a time into longer ones: a row is written again once a level."""

    def __init__(self, folder: Path, name: str, limits: Limits) -> None:
        self._folder, self._name, self._limits = folder, name, limits
        self._levels: list[list[str]] = [[]]
        self._count = 0

    def paths(self) -> list[str]:
        """The runs' files."""
        return [path for level in self._levels for path in level]

    def spill(self, states: dict[str, TaskState]) -> None:
        """Write these states as a run."""
        limits = self._limits
        self._add(0, ((task_id, to_bytes(states[task_id], limits), columns(task_id, states[task_id])) for task_id in sorted(states)))

    def _add(self, level: int, rows: Iterator[Row]) -> None:
        if level == len(self._levels):
            self._levels.append([])
        path = Path(self._folder, f"{self._name}.{self._count}.run")
        self._count += 1
        with path.open("wb", buffering=FILE_BUFFER_BYTES) as file:
            while frame := list(islice(rows, ROWS_IN_FRAME)):
                _write_frame(file, frame)
        paths = self._levels[level]
        paths.append(str(path))
        if len(paths) == FAN_IN:
            self._levels[level] = []
            self._add(level + 1, _merged_rows(paths, self._limits))
            for merged_path in paths:
                Path(merged_path).unlink()


def packed(rows: list[Row]) -> bytes:
    """Some rows as one value."""
    return _encode(rows)


def unpacked(frame: bytes) -> Iterator[Write]:
    """What `packed` has packed, as new tasks."""
    rows: list[Any] = _decode_rows(frame)
    return (Write(task_id, registers, cells, None) for task_id, registers, cells in rows)


def _write_frame(file: Any, rows: list[Any]) -> None:
    frame = _encode(rows)
    file.write(len(frame).to_bytes(FRAME_HEAD_BYTES, "big"))
    file.write(frame)


def _frames(path: str) -> Iterator[bytes]:
    with Path(path).open("rb", buffering=FILE_BUFFER_BYTES) as file:
        while head := file.read(FRAME_HEAD_BYTES):
            yield file.read(int.from_bytes(head, "big"))


def _rows(path: str) -> Iterator[tuple[str, bytes, Any]]:
    for frame in _frames(path):
        yield from _decode_rows(frame)


def parked_records(paths: Iterable[str]) -> Iterator[ParkedRecord]:
    """The parked records of all stretches, in order."""
    for path in paths:
        for frame in _frames(path):
            yield from _decode_parked(frame)


def merged(paths: Iterable[str], limits: Limits) -> Iterator[Write]:
    """All runs as one: each task once, ascending by id, its states of several runs merged."""
    return (Write(task_id, registers, cells, None) for task_id, registers, cells in _merged_rows(paths, limits))


def _merged_rows(paths: Iterable[str], limits: Limits) -> Iterator[Row]:
    rows = heapq.merge(*map(_rows, paths), key=itemgetter(0))
    for task_id, group in groupby(rows, key=itemgetter(0)):
        (_, registers, cells), *others = group
        if others:
            state = joined([registers, *(other for _, other, _ in others)], limits)
            registers, cells = to_bytes(state, limits), columns(task_id, state)
        yield task_id, registers, cells


def unwritten(folder: str, error: OSError) -> StoreError:
    """What a full or broken disk under the runs is to a user."""
    kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
    return kind(f"the states on their way to the store can't be written to {folder} ({error}); nothing was stored")
