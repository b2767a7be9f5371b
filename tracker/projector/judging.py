"""What ends a run, or moves it on, by an operator's rule: too many refused records, and positions that a log has lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from tracker.errors import LostOffset, SourceChanged, TooManyParked
from tracker.model.records import Position, TopicPartition
from tracker.stores.base import Counters

PARKED_WINDOW_RECORDS = 10_000
"""`Options.max_parked_ratio` looks at so many of the last records."""
PARKED_MIN_RECORDS = 1_000
"""It is not judged before so many were seen."""
Ends = Callable[[], Awaitable[Mapping[TopicPartition, Position] | None]]


class ParkedRatio:
    """Stops a run before a wrong topic or a bad deploy turns the whole log into parked records. A ``most`` of 0: never."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._recent: deque[tuple[int, int]] = deque()

    def judge(self, counted: Counters) -> None:
        """One batch more; raises `TooManyParked`."""
        recent, ratio = self._recent, self._most
        recent.append((counted.read, counted.parked))
        read = sum(each[0] for each in recent)
        while read - recent[0][0] >= PARKED_WINDOW_RECORDS:
            read -= recent.popleft()[0]
        parked = sum(each[1] for each in recent)
        if ratio and read >= PARKED_MIN_RECORDS and parked > ratio * read:
            raise TooManyParked(
                f"{parked} of the last {read} records were parked, more than --max-parked-ratio {ratio:g} allows: look at "
                f"'tracker parked list'; is this the right log? Start again with a greater ratio (0: no limit) to go on"
            )


def judge_whole(counted: Counters, most: float) -> None:
    """The same of logs that are stored all at once, or not at all. Raises `TooManyParked`; never for a ``most`` of 0."""
    if most and counted.read >= PARKED_MIN_RECORDS and counted.parked > most * counted.read:
        raise TooManyParked(
            f"{counted.parked} of {counted.read} records would be parked, more than --max-parked-ratio {most:g} allows, and nothing was "
            f"stored: is this the right log? Start again with a greater ratio (0: no limit) to go on"
        )


async def chosen(
    error: LostOffset | SourceChanged,
    beginnings: Mapping[TopicPartition, Position],
    stored: Mapping[TopicPartition, Position],
    ends: Ends,
    *,
    earliest: bool,
) -> dict[TopicPartition, Position]:
    """Where the policy (the earliest position, or the end) goes on in each partition that the error names; empty if it can't be told for one of them."""
    if isinstance(error, LostOffset):
        offsets = {TopicPartition(lost.topic, lost.partition): lost.beginning if earliest else lost.end for lost in error.lost}
    else:
        known = beginnings if earliest else await ends() or {}
        changed = [TopicPartition(*at) for at in error.changed]
        if any(at not in known and at in beginnings for at in changed):
            return {}
        offsets = {at: known[at].next_offset if at in known else 0 for at in changed}
    identities = {at: beginnings[at].identity if at in beginnings else stored[at].identity for at in offsets}
    return {at: Position(at.topic, at.partition, offset, identities[at]) for at, offset in offsets.items()}
