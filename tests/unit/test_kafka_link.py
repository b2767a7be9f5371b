"""Ending the clients of a Kafka source, whatever aiokafka's tasks are at. Real brokers: ``tests/services/test_kafka_faults.py``."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tracker.sources.kafka_config import KafkaConfig
from tracker.sources.kafka_link import Link, cancelled
from tracker.sources.kafka_url import parse_kafka_url


class SlowAdmin:
    """An admin client whose end takes until `go`."""

    def __init__(self) -> None:
        self.begun, self.go, self.is_closed = asyncio.Event(), asyncio.Event(), False

    async def close(self) -> None:
        self.begun.set()
        await self.go.wait()
        self.is_closed = True


def link_over(admin: Any, consumer: Any = None) -> Link:
    """A link that has these clients."""
    link = Link(parse_kafka_url("kafka://nowhere:9092/tasks?group=g"), KafkaConfig(), None)
    link._admin, link._consumer = admin, consumer
    return link


async def test_a_close_goes_on_when_its_caller_gives_up() -> None:
    """A close that is cancelled goes on, and the next close waits for it."""
    admin = SlowAdmin()
    link = link_over(admin)
    first = asyncio.ensure_future(link.close())
    await admin.begun.wait()
    first.cancel()
    second = asyncio.ensure_future(link.close())
    await asyncio.wait({first})
    assert first.cancelled()
    assert not second.done()
    admin.go.set()
    await second

    assert admin.is_closed


async def swallow(times: int) -> None:
    """Go on for ever after so many cancellations, as a task does that waits for another one while both are cancelled."""
    for _ in range(times):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            continue
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_that_swallows_a_cancellation_is_cancelled_again(times: int) -> None:
    """`cancelled` ends a task that takes more than one cancellation."""
    task = asyncio.ensure_future(swallow(times))
    await asyncio.sleep(0)
    await cancelled(task)

    assert task.cancelled()


async def test_a_closed_link_leaves_no_task_of_the_group() -> None:
    """A stop that ends before the group's tasks do leaves none of them behind."""

    async def nothing() -> None:
        return

    coordination = asyncio.ensure_future(swallow(1))
    heartbeat = asyncio.ensure_future(swallow(0))
    coordinator = SimpleNamespace(_coordination_task=coordination, _heartbeat_task=heartbeat, _commit_refresh_task=None)
    consumer = SimpleNamespace(stop=nothing, _coordinator=coordinator, _client=SimpleNamespace(close=nothing), _fetcher=None)
    await link_over(None, consumer).close()

    assert coordination.cancelled()
    assert heartbeat.cancelled()
