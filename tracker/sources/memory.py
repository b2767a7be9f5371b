"""A scripted source: records mixed with marks for what can happen to a reader, so that crash and time are test data.

script = Script([record_1, ABORT, record_2, GAP(3), END])
MemorySource(script)   # gives record_1, then raises Aborted
MemorySource(script)   # the next run of the same script gives what the store has not, and ends
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from tracker.errors import Lost, LostOffset, SourceChanged, SourceError, UsageError
from tracker.model.records import Batch, Position, Record, TopicPartition
from tracker.sources.base import OnRevoked


class Aborted(Exception):
    """The scripted crash. It is no `TrackerError`, so that nothing handles it."""


class _Mark(NamedTuple):
    name: str


ABORT: Final = _Mark("ABORT")
"""``read`` raises `Aborted` once all before it was given. Once for a script: the next run goes on after it."""
END: Final = _Mark("END")
"""The source has ended once all before it was given, in every run. Without it the source waits for more (`Script.append`)."""
PAUSE: Final = _Mark("PAUSE")
"""``read`` gives one empty batch, as if ``max_wait_s`` had passed."""


class GAP(NamedTuple):
    """The next ``offsets`` offsets hold no record: the position moves over them, as over a compacted part or a transaction's marker.

    They follow the last record (or gap) of the partition, by default that of the record before in the script.
    """

    offsets: int
    at: TopicPartition | None = None


class REASSIGN(NamedTuple):
    """The partitions are these from here on; those given up are told to ``on_revoked`` first. Those that come begin where ``seek`` says."""

    partitions: Iterable[TopicPartition]


Item = Record | GAP | REASSIGN | _Mark


class _Stretch(NamedTuple):
    """Offsets of one partition from ``begin`` to before ``end``, with a record at ``begin`` or with none."""

    at: TopicPartition
    begin: int
    end: int
    record: Record | None


class Script:
    """Records and marks in order, and which of the marks that count once were met. Offsets of a partition must ascend."""

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self.steps: list[_Stretch | REASSIGN | _Mark] = []
        self.beginnings: dict[TopicPartition, int] = {}
        self.ends: dict[TopicPartition, int] = {}
        self.met: set[int] = set()
        self.grown = asyncio.Event()
        self._last: TopicPartition | None = None
        self.append(*items)

    def append(self, *items: Item) -> None:
        """Adds to the end, also while a source reads. Raises `UsageError` for an offset that does not ascend."""
        for item in items:
            if isinstance(item, Record):
                self._add(TopicPartition(item.topic, item.partition), item.offset, item.offset + 1, item)
            elif isinstance(item, GAP):
                at = item.at or self._last
                if at is None:
                    raise UsageError("a GAP before the first record must name its partition: GAP(3, at=TopicPartition('events', 0))")
                begin = self.ends.get(at, 0)
                self._add(at, begin, begin + item.offsets, None)
            else:
                self.steps.append(item)
        self.grown.set()

    def _add(self, at: TopicPartition, begin: int, end: int, record: Record | None) -> None:
        if begin < self.ends.get(at, 0):
            raise UsageError(f"{at.topic}, partition {at.partition}: offset {begin} comes after offset {self.ends[at] - 1} in the script")
        self.steps.append(_Stretch(at, begin, end, record))
        self.beginnings.setdefault(at, begin)
        self.ends[at] = end
        self._last = at


class MemorySource:
    """A source over a `Script` (`tracker.sources.base.Source`), for tests of everything above it.

    ``partitions`` are those assigned at first: by default all that the script has records of. ``on_revoked`` is awaited with the
    partitions that a `REASSIGN` takes away. ``identity`` is that of each log; a position of another one is refused by ``seek``.
    """

    def __init__(
        self,
        script: Script | Iterable[Item],
        *,
        partitions: Iterable[TopicPartition] | None = None,
        identity: str = "memory",
        on_revoked: OnRevoked | None = None,
    ) -> None:
        self.script = script if isinstance(script, Script) else Script(script)
        self.positions_committed: dict[TopicPartition, Position] = {}
        """What `committed` was told last."""
        self._partitions = None if partitions is None else frozenset(partitions)
        self._assigned: frozenset[TopicPartition] | None = None
        self._identity = identity
        self._on_revoked = on_revoked
        self._next: dict[TopicPartition, int] = {}
        self._step = 0
        self._passed: set[int] = set()
        self._sought = False

    async def __aenter__(self) -> Self:
        """A new run: it begins with the first assignment, and meets again the marks that count once a run."""
        self._assigned = None
        self._passed = set()
        self._sought = False
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._sought = False

    async def assigned(self) -> Mapping[TopicPartition, Position]:
        """Where each partition's first record is (0 where there is none)."""
        if self._assigned is None:
            self._assigned = frozenset(self.script.beginnings) if self._partitions is None else self._partitions
        self._sought = False
        return {at: self._position(at, self.script.beginnings.get(at, 0)) for at in sorted(self._assigned)}

    async def seek(self, positions: Iterable[Position]) -> None:
        """Partitions without a position begin at their first record; positions of other partitions are passed over."""
        wanted = {position.at: position for position in positions if position.at in (self._assigned or ())}
        if others := [position for position in wanted.values() if position.identity not in ("", self._identity)]:
            topic, partition = others[0].at
            raise SourceChanged(
                f"{topic}, partition {partition}: the store has read {others[0].identity}; this is {self._identity}",
                [position.at for position in others],
            )
        lost: list[Lost] = []
        for at, position in wanted.items():
            beginning, end = self.script.beginnings.get(at, 0), self.script.ends.get(at, 0)
            if not beginning <= position.next_offset <= end:
                lost.append(Lost(at.topic, at.partition, position.next_offset, beginning, end))
        if lost:
            raise LostOffset(lost)
        beginnings = {at: self.script.beginnings.get(at, 0) for at in self._assigned or ()}
        self._next = {at: wanted[at].next_offset if at in wanted else begin for at, begin in beginnings.items()}
        self._step = 0
        self._sought = True

    async def read(self, max_records: int, max_wait_s: float) -> Batch:
        """Raises `Aborted` at an `ABORT`. A batch never goes over a mark."""
        if not self._sought:
            raise SourceError("seek comes before read")
        batch = self._gather(max_records)
        steps = self.script.steps
        if batch.positions or batch.ended:
            return batch
        if self._step == len(steps):
            self.script.grown.clear()
            try:
                await asyncio.wait_for(self.script.grown.wait(), max_wait_s)
            except TimeoutError:
                return batch
            return self._gather(max_records)
        return await self._meet(steps[self._step])

    async def _meet(self, mark: _Stretch | REASSIGN | _Mark) -> Batch:
        if mark == ABORT:
            self.script.met.add(self._step)
            self._sought = False
            raise Aborted(f"the script's mark {self._step}")
        if isinstance(mark, REASSIGN):
            self._passed.add(self._step)
            before, self._assigned = self._assigned or frozenset(), frozenset(mark.partitions)
            self._sought = False
            if self._on_revoked is not None and before - self._assigned:
                await self._on_revoked(before - self._assigned)
            return Batch({}, {}, reassigned=True)
        if mark == PAUSE:
            self._passed.add(self._step)
            self._step += 1
        return Batch({}, {})

    def _gather(self, max_records: int) -> Batch:
        """Up to the next mark, which stays the next step."""
        batch = Batch({}, {})
        left = max_records
        for step in self.script.steps[self._step :]:
            if isinstance(step, _Stretch):
                if self._next.get(step.at, step.end) < step.end:
                    if step.record is not None:
                        if not left:
                            break
                        left -= 1
                        batch.records.setdefault(step.at, []).append(step.record)
                    self._next[step.at] = step.end
                    batch.positions[step.at] = self._position(step.at, step.end)
            elif step == END and not self._is_met(self._step):
                batch.ended = True
                break
            elif not self._is_met(self._step):
                break
            self._step += 1
        return batch

    def _is_met(self, step: int) -> bool:
        return step in self.script.met or step in self._passed

    def _position(self, at: TopicPartition, next_offset: int) -> Position:
        return Position(at.topic, at.partition, next_offset, self._identity)

    async def ends(self) -> Mapping[TopicPartition, Position]:
        """After the last record or gap of each partition in the whole script."""
        return {at: self._position(at, self.script.ends.get(at, 0)) for at in sorted(self._assigned or ())}

    async def committed(self, positions: Iterable[Position]) -> None:
        """Kept in ``positions_committed``, for tests to look at."""
        self.positions_committed.update((position.at, position) for position in positions)


def records(values: Sequence[bytes | None], topic: str = "events", partition: int = 0, first_offset: int = 0) -> list[Record]:
    """Bare records of one partition, with offsets one by one."""
    return [Record(topic, partition, first_offset + index, value) for index, value in enumerate(values)]
