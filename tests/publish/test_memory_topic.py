"""The suite of topics over the one in memory, which the other tests stand on."""

from __future__ import annotations

import pytest

from tests.publish.memory_topic import Log, MemoryTopic
from tests.publish.topic_suite import StatusTopicSuite, Topics


@pytest.fixture
def topics() -> Topics:
    """A new topic."""
    log = Log()

    async def folded() -> dict[str, bytes]:
        return log.folded()

    return Topics(lambda: MemoryTopic(log), folded)


class TestMemoryTopic(StatusTopicSuite):
    """All of it."""
