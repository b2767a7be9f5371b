"""The services that these tests run against, each started once for the session, and a line at the end that says which were real."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiokafka.admin import NewTopic

from tests.conftest import SERVICES

from .kafka import AIOKafkaAdminClientClosing, Broker, NoBroker, start_broker

MakeTopic = Callable[..., Awaitable[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests in this folder carry the marker."""
    for item in items:
        if "/tests/services/" in item.path.as_posix():
            item.add_marker("services")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Says at the end which services were real, also where none was used."""
    found = config.stash.get(SERVICES, {})
    terminalreporter.write_line("services: " + ", ".join(f"{name} {how}" for name, how in found.items()))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A real broker. Without one: skipped with the reasons, or failed where TRACKER_REQUIRE_SERVICES=1."""
    services = request.config.stash[SERVICES]
    try:
        broker = start_broker()
    except NoBroker as reason:
        services["Kafka"] = f"missing ({reason})"
        if os.environ.get("TRACKER_REQUIRE_SERVICES") == "1":
            pytest.fail(f"no Kafka, and TRACKER_REQUIRE_SERVICES=1: {reason}")
        pytest.skip(f"no Kafka: {reason}")
    services["Kafka"] = f"real ({broker.how})"
    yield broker
    broker.stop()


@pytest.fixture
def restartable(kafka: Broker) -> Broker:
    """The broker, where it is ours to stop."""
    if not kafka.restartable:
        pytest.skip("this broker is not ours to restart")
    return kafka


@pytest.fixture
async def topic(kafka: Broker) -> AsyncIterator[MakeTopic]:
    """A maker of topics: ``await topic(partitions=1, config={...}, name=None)`` makes a topic and gives its name; it is deleted after the test."""
    made: list[str] = []

    async def make(partitions: int = 1, config: dict[str, str] | None = None, name: str | None = None) -> str:
        chosen = name or f"t-{uuid.uuid4().hex[:10]}"
        async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
            answer = await admin.create_topics([NewTopic(chosen, partitions, 1, topic_configs=config or {})])
            assert all(error[1] == 0 for error in answer.topic_errors), answer
        made.append(chosen)
        return chosen

    yield make
    async with AIOKafkaAdminClientClosing(kafka.bootstrap) as admin:
        await admin.delete_topics(list(set(made)))
