"""What every topic of statuses promises (`tracker.emit.statuses.StatusTopic`), as tests over whichever is given by the fixture ``topics``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from tracker.emit.statuses import Publication, Reached, StatusRecord, StatusTopic
from tracker.errors import TopicUnfit

FIRST = Publication(number=1, store="one", place="here")
SECOND = Publication(number=2, store="two", place="here", extension=True)


@dataclass
class Topics:
    """One topic, for several publishers after each other, and for a plain reader of it."""

    make: Callable[[], StatusTopic]
    """Another hold on it."""
    folded: Callable[[], Awaitable[dict[str, bytes]]]
    """The last value of each key, without tombstones, as a consumer of committed records has them."""


def records(*numbers: int, revision: int = 1, value: bytes | None = b"{}") -> list[StatusRecord]:
    """Records of some tasks."""
    return [StatusRecord(f"task-{number:03}", value, revision) for number in numbers]


async def reached(topics: Topics) -> Reached | None:
    """What the next publisher finds."""
    topic = topics.make()
    found = await topic.open()
    await topic.close()
    return found


class StatusTopicSuite:
    """Subclassed where the fixture ``topics`` gives a topic that is new."""

    async def test_nothing_is_reached_in_a_new_topic(self, topics: Topics) -> None:
        """Opened for the first time it has nothing."""
        topic = topics.make()
        assert await topic.open() is None
        await topic.close()

    async def test_the_last_record_is_what_is_reached(self, topics: Topics) -> None:
        """Of all partitions the greatest revision and task, with its publication as it was written."""
        topic = topics.make()
        await topic.open()
        await topic.write(FIRST, records(*range(200), revision=3))
        await topic.write(FIRST, records(5, 7, revision=4))  # by id, as the feed has them
        await topic.close()
        assert await reached(topics) == (FIRST, 4, "task-007")

    async def test_a_later_publication_is_further(self, topics: Topics) -> None:
        """Its revisions may be smaller."""
        topic = topics.make()
        await topic.open()
        await topic.write(FIRST, records(1, 2, 3, revision=900))
        await topic.write(SECOND, records(2, revision=5))
        await topic.close()
        assert await reached(topics) == (SECOND, 5, "task-002")

    async def test_who_opens_fences_who_had_opened(self, topics: Topics) -> None:
        """The one before writes nothing more, and is told so."""
        first, second = topics.make(), topics.make()
        await first.open()
        await first.write(FIRST, records(1))
        await second.open()
        with pytest.raises(TopicUnfit, match="another publisher"):
            await first.write(FIRST, records(2))
        await second.write(FIRST, records(3))
        await first.close()
        await second.close()
        assert sorted(await topics.folded()) == ["task-001", "task-003"]

    async def test_a_tombstone_takes_a_task_out(self, topics: Topics) -> None:
        """The last record of a key counts, whichever transaction it came in."""
        topic = topics.make()
        await topic.open()
        await topic.write(FIRST, records(1, 2, 3, value=b'{"a":1}'))
        await topic.write(FIRST, [*records(2, value=None), *records(3, value=b'{"a":2}'), *records(4)])
        await topic.close()
        assert await topics.folded() == {"task-001": b'{"a":1}', "task-003": b'{"a":2}', "task-004": b"{}"}

    async def test_keys_are_those_with_a_status(self, topics: Topics) -> None:
        """All of them, in however many chunks."""
        topic = topics.make()
        await topic.open()
        await topic.write(FIRST, records(*range(120)))
        await topic.write(FIRST, records(500, value=None))
        found = set[str]()
        async for chunk in topic.task_ids():
            found.update(chunk)
        await topic.close()
        assert found == {f"task-{number:03}" for number in range(120)}

    async def test_a_topic_is_opened_again(self, topics: Topics) -> None:
        """As after an outage: it goes on."""
        topic = topics.make()
        await topic.open()
        await topic.write(FIRST, records(1))
        assert await topic.open() == (FIRST, 1, "task-001")
        await topic.write(FIRST, records(2))
        await topic.close()
        assert sorted(await topics.folded()) == ["task-001", "task-002"]
