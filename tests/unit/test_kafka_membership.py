"""Waiting for an assignment, without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition as KafkaPartition

from tracker.sources.kafka_group import Membership

pytestmark = pytest.mark.timeout(30)
PARTITION = KafkaPartition("events", 0)


async def test_an_epoch_that_ended_without_a_revocation_does_not_stop_the_loop() -> None:
    """The place in the group was lost, and a read noticed it first: the loop turns while the next assignment is waited for, so that it can come."""

    async def look() -> None:
        """The broker is there."""

    held: list[frozenset[KafkaPartition]] = []
    consumer = SimpleNamespace(_coordinator=SimpleNamespace(check_errors=lambda: None), pause=lambda *_: None)
    link: Any = SimpleNamespace(consumer=consumer, look=look)
    member = Membership(link, None, 1.0, None, end=held.clear, begin=lambda assigned: held.append(frozenset(assigned)))
    await member.on_partitions_assigned([PARTITION])
    held.clear()  # the epoch ends, and nothing was revoked
    waiting = asyncio.create_task(member.wait(lambda: held[-1] if held else None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    await member.on_partitions_assigned([PARTITION])
    assert await waiting == {PARTITION}
