"""The broker of the crash tests: one of their own, so that it is gone before the next folder starts one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.services.kafka import Broker, NoBroker, start_broker


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    """A real broker. Without one: skipped with the reasons, or failed where TRACKER_REQUIRE_SERVICES=1."""
    try:
        broker = start_broker()
    except NoBroker as reason:
        if os.environ.get("TRACKER_REQUIRE_SERVICES") == "1":
            pytest.fail(f"no Kafka, and TRACKER_REQUIRE_SERVICES=1: {reason}")
        pytest.skip(f"no Kafka: {reason}")
    yield broker
    broker.stop()
