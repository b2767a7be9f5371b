"""Every error that tracker raises, in one tree.

::

    TrackerError                      exit code 1 unless said otherwise; the message is one clear sentence
    ├── UsageError                    2: an option, URL, filter or argument is wrong
    │   └── FilterError               2: a filter can't be understood; it says where
    ├── NotFound                      1: a file, store, task or parked record is not there
    ├── SourceError                   1: a log can't be read
    │   ├── SourceUnavailable         (retriable) the broker is away; the projector goes on when it is back
    │   ├── LostOffset                3: a stored position is outside the log; an operator must choose
    │   ├── SourceChanged             3: another log stands under a name that the store already knows
    │   ├── DuplicateInstance         3: two workers carry one --instance name
    │   └── TornFile                  1: a file is shorter than it was, or its compressed stream is broken
    ├── StoreError                    1: a store can't be read or written
    │   ├── StoreUnavailable          (retriable) locked, or its server is away
    │   ├── StoreFull                 1: no space left; nothing of the commit was written
    │   ├── StoreMismatch             3: newer schema, another fold version, other limits, or not a tracker store
    │   ├── Undecided                 3: a rebuild can't go on before an operator has decided
    │   ├── StoreChanged              3: a change token belongs to another store, or to a copy that was put back
    │   ├── PositionConflict          (retriable) another worker moved a position: the batch is dropped
    │   │   └── StoreReplaced         (retriable) the store was rebuilt since it was claimed: what was loaded before is dropped
    │   └── StateConflict             (retriable) another writer changed a row: reload, merge, commit again
    ├── TooLong                       1: a question took more time than it may
    ├── EmitError                     1: an event or a status could not be written
    │   ├── EmitUnavailable           (retriable) the broker is away; a publisher goes on when it is back
    │   └── TopicUnfit                3: statuses can't be published to this topic before an operator has decided
    ├── TooManyParked                 3: more records are refused than --max-parked-ratio allows
    └── Stuck                         4: a worker had records to read and did not get on for as long as --exit-when-stuck allows

Adapters translate foreign errors into these and nothing else leaves them. ``exit_code`` is what the command
line ends with; ``retriable`` is what the projector decides by, never the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class TrackerError(Exception):
    """The root: its message says what was expected, what came, where, and what to do."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class UsageError(TrackerError):
    """Wrong usage: an option, URL, filter or argument that can't be understood."""

    exit_code = 2


class FilterError(UsageError):
    """A filter that can't be understood. ``position`` is where, from 1; one more than the text is long where it ends too early."""

    def __init__(self, message: str, position: int) -> None:
        self.position = position
        super().__init__(message)


class NotFound(TrackerError):
    """Something that was named is not there."""


class SourceError(TrackerError):
    """A log can't be read."""


class SourceUnavailable(SourceError):
    """The log is away for now (a broker that restarts, a name that does not resolve)."""

    retriable = True


@dataclass(frozen=True)
class Lost:
    """One stored position outside its log; ``beginning`` and ``end`` are the offsets that the log has (end is exclusive)."""

    topic: str
    partition: int
    next_offset: int
    beginning: int
    end: int


class LostOffset(SourceError):
    """Stored positions that are no longer (or not yet) in the log."""

    exit_code = 3

    def __init__(self, lost: Sequence[Lost]) -> None:
        self.lost = tuple(lost)
        first = self.lost[0]
        more = f" (and {len(self.lost) - 1} more partitions)" if len(self.lost) > 1 else ""
        super().__init__(
            f"{first.topic}, partition {first.partition}: the store goes on at offset {first.next_offset}, but the log has "
            f"{first.beginning} to {first.end}{more}; records may be lost, or the topic was made anew. Choose "
            f"--on-lost-offset=earliest or latest to go on, or fold what there is of the log again with 'tracker rebuild'"
        )


class SourceChanged(SourceError):
    """Another cluster or file stands under a name that the store knows; ``changed`` are its topics and partitions."""

    exit_code = 3

    def __init__(self, message: str, changed: Sequence[tuple[str, int]]) -> None:
        self.changed = tuple(changed)
        super().__init__(message)


class DuplicateInstance(SourceError):
    """Two workers of a group carry the same static membership name."""

    exit_code = 3


class TornFile(SourceError):
    """A file ends before the stored position, or its compressed stream is broken."""


class StoreError(TrackerError):
    """A store can't be read or written."""


class StoreUnavailable(StoreError):
    """The store is away or locked for now; nothing of the commit was written, or its fate is unknown."""

    retriable = True


class StoreFull(StoreError):
    """No space is left for the store; nothing of the commit was written."""


class StoreMismatch(StoreError):
    """The store was made by another version, with other limits, or is no tracker store."""

    exit_code = 3


class Undecided(StoreError):
    """A rebuild would lose or change something that only an operator can give up: ``--accept`` says so."""

    exit_code = 3


class StoreChanged(StoreError):
    """A change token means nothing in this store: whoever follows it must read everything again (``resync``)."""

    exit_code = 3


class TooLong(TrackerError):
    """A question took more time than it may. Nothing is wrong with the store."""


class PositionConflict(StoreError):
    """A stored position is not the expected one: another worker committed, or this one's own answer was lost."""

    retriable = True


class StoreReplaced(PositionConflict):
    """The store's content was exchanged since its positions were claimed: the batch and all states in memory are of the one before."""


class StateConflict(StoreError):
    """Another writer changed tasks since they were loaded; ``task_ids`` says which. Nothing was written."""

    retriable = True

    def __init__(self, task_ids: Sequence[str]) -> None:
        self.task_ids = tuple(task_ids)
        super().__init__(f"{len(self.task_ids)} tasks were changed by another writer since they were loaded")


class EmitError(TrackerError):
    """An event could not be written to its log, or a status to its topic."""


class EmitUnavailable(EmitError):
    """The topic is away for now; nothing of the transaction was written, or its fate is unknown."""

    retriable = True


class TopicUnfit(EmitError):
    """Statuses can't be published to the topic as it is, or no longer by this process: an operator must decide."""

    exit_code = 3


class TooManyParked(TrackerError):
    """More of the last records were refused than --max-parked-ratio allows."""

    exit_code = 3


class Stuck(TrackerError):
    """A worker that had records to read and did not get on, and was told to exit then."""

    exit_code = 4
