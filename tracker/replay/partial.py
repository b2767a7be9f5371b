"""A partial fold: the states that some of a log's records give by themselves, handed on before there are too many of them.

Whatever cuts a log into parts (byte ranges, partitions, a dataframe engine's batches) folds each part so, and merges what is handed on by
task: that is the state which folding all of a task's events at once would give.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracker.fold.decode import Decoder
from tracker.fold.event import Ignored, TaskEvent
from tracker.fold.reducers import apply
from tracker.fold.registers import merge_into
from tracker.fold.state import TaskState, from_bytes
from tracker.model.limits import Limits
from tracker.model.records import Record
from tracker.stores.base import Counters, ParkedRecord

STATES_IN_MEMORY = 150_000
"""A process never holds more states than this, about 1 GB; it does where tasks are all mixed, since fewer would be spilled again and again."""
FEW_STATES = 20_000
"""It spills already here where a log's tasks are near each other: what is small stays in the CPU's caches."""
EVENTS_OF_A_WHOLE_TASK = 4
"""Tasks are near each other if a state has seen so many events on average when it is spilled."""


class Tally(msgspec.Struct):
    """What became of the records of one partition, or of a part of it."""

    counters: Counters = msgspec.field(default_factory=Counters)
    newest: str = ""
    """The greatest time of the events, 26 characters of UTC; empty if there were none."""

    def add(self, other: Tally) -> None:
        """Add another part's."""
        self.counters.add(other.counters)
        self.newest = max(self.newest, other.newest)


class Partial:
    """The states of one part of a log, folded by one process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decode = Decoder(limits).decode
        self._states: dict[str, TaskState] = {}
        self._read = self._read_before = 0
        self._few = min(FEW_STATES, STATES_IN_MEMORY)

    def fold(self, records: Sequence[Record], tally: Tally) -> list[ParkedRecord]:
        """Fold these records, count them in their partition's ``tally``, and give back those that were refused."""
        decode, limits, states = self._decode, self._limits, self._states
        applied = unchanged = ignored = 0
        newest, parked = tally.newest, list[ParkedRecord]()
        for record in records:
            verdict = decode(record)
            if isinstance(verdict, TaskEvent):
                task_id = verdict.task_id
                state = states.get(task_id)
                if state is None:
                    state = states[task_id] = TaskState()
                if apply(state, verdict, limits):
                    applied += 1
                else:
                    unchanged += 1
                if verdict.time > newest:  # noqa: PLR1730 - max() costs 0.06 µs more
                    newest = verdict.time
            elif isinstance(verdict, Ignored):
                ignored += 1
            else:
                parked.append(ParkedRecord(record=record, reason=verdict.reason, detail=verdict.detail))
        tally.counters.add(Counters(len(records), applied, unchanged, ignored, len(parked)))
        tally.newest = newest
        self._read += len(records)
        return parked

    @property
    def is_due(self) -> bool:
        """Whether the states are to be handed on now. Asked after each batch, as the answer follows the log's shape."""
        states = len(self._states)
        if states <= self._few:
            return False
        if states <= STATES_IN_MEMORY and self._read - self._read_before < EVENTS_OF_A_WHOLE_TASK * states:
            self._few *= 2
            return False
        self._read_before = self._read
        return True

    def hand_on(self) -> dict[str, TaskState]:
        """The states by task id; nothing is kept of them."""
        states, self._states = self._states, {}
        return states


def joined(registers: Sequence[bytes], limits: Limits) -> TaskState:
    """One task's state, of the bytes that several parts have handed on."""
    first, *others = registers
    state = from_bytes(first)
    for other in others:
        state = merge_into(state, from_bytes(other), limits)
    return state
