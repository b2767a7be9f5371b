"""Three brokers: the one that coordinates the group, and the one that leads most partitions, die; the workers go on, exactly."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic
from aiokafka.admin.client import AIOKafkaAdminClient

from tests.crash.containers import Container, NoDocker, docker
from tests.crash.crash_log import produce_all, records
from tests.crash.scene import ends_of, fleet, log_of, read_all, tend_until, wrong
from tests.ports import free_port
from tests.services.kafka import CLUSTER_ID, IMAGE, AIOKafkaAdminClientClosing, wait_until_ready

TOPIC = "moved"
BROKERS = 3

pytestmark = [pytest.mark.crash, pytest.mark.timeout(400)]


class Broker(Container):
    """One of three; they find each other by their names on a network of their own."""

    def __init__(self, number: int, network: str, ports: list[int]) -> None:
        name = f"{network}-{number}"
        voters = ",".join(f"{each}@{network}-{each}:9094" for each in range(1, BROKERS + 1))
        settings = {
            "NODE_ID": str(number),
            "PROCESS_ROLES": "broker,controller",
            "CONTROLLER_QUORUM_VOTERS": voters,
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "LISTENERS": "PLAINTEXT://:9092,BROKER://:9093,CONTROLLER://:9094",
            "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{ports[number - 1]},BROKER://{name}:9093",
            "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "INTER_BROKER_LISTENER_NAME": "BROKER",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": "3",
            "OFFSETS_TOPIC_NUM_PARTITIONS": "4",
            "MIN_INSYNC_REPLICAS": "1",
            "BROKER_SESSION_TIMEOUT_MS": "6000",
        }
        told = [option for key, value in settings.items() for option in ("-e", f"KAFKA_{key}={value}")]
        told += ["-e", f"CLUSTER_ID={CLUSTER_ID}", "-e", "KAFKA_HEAP_OPTS=-Xmx300m -Xms128m"]
        self.run(
            IMAGE,
            *("--network", network, "--name", name, "-p", f"127.0.0.1:{ports[number - 1]}:9092"),
            *told,
            command=("sh", "-c", "chmod -f u+w /opt/kafka/config/* /etc/kafka/docker/*; exec /etc/kafka/docker/run"),
        )


@pytest.fixture
def brokers() -> Iterator[tuple[str, dict[int, Broker]]]:
    """The addresses of three brokers, and their containers by node."""
    network, ports = f"tracker-{uuid.uuid4().hex[:8]}", [free_port() for _ in range(BROKERS)]
    made: dict[int, Broker] = {}
    try:
        docker("network", "create", network)
        for number in range(1, BROKERS + 1):
            made[number] = Broker(number, network, ports)
        for port in ports:
            wait_until_ready(f"127.0.0.1:{port}")
        yield ",".join(f"127.0.0.1:{port}" for port in ports), made
    except NoDocker as reason:
        if os.environ.get("TRACKER_REQUIRE_SERVICES") == "1":
            pytest.fail(f"no docker, and TRACKER_REQUIRE_SERVICES=1: {reason}")
        pytest.skip(f"no docker: {reason}")
    finally:
        for broker in made.values():
            docker("rm", "-fv", broker.id, check=False)
        docker("network", "rm", network, check=False)


async def make(bootstrap: str) -> None:
    """A topic on all three."""
    async with AIOKafkaAdminClientClosing(bootstrap) as admin, asyncio.timeout(60):
        while True:
            answer = await admin.create_topics([NewTopic(TOPIC, 4, BROKERS, topic_configs={"retention.ms": "-1"})])
            if all(error[1] in (0, 36) for error in answer.topic_errors):  # 36: it is there by now
                return
            await asyncio.sleep(0.5)  # not all brokers have registered yet


async def coordinator(bootstrap: str) -> int:
    """The node that coordinates the workers' group."""
    admin: AIOKafkaAdminClient
    async with AIOKafkaAdminClientClosing(bootstrap) as admin:
        found: int = await admin.find_coordinator(TOPIC)
        return found


def produce(bootstrap: str, count: int, seed: int) -> None:
    """Acknowledged by all replicas that are in sync."""
    asyncio.run(produce_all(bootstrap, list(records(count, TOPIC, seed=seed))))


def test_the_coordinator_moves(brokers: tuple[str, dict[int, Broker]], tmp_path: Path) -> None:
    """Kill the group's coordinator, in the middle of the log; the group goes on with another, and again when that is killed in turn."""
    bootstrap, containers = brokers
    url = f"sqlite:///{tmp_path}/status.db"
    asyncio.run(make(bootstrap))
    produce(bootstrap, 3_000, seed=1)
    moved: list[int] = []
    took_s: list[float] = []
    with fleet(bootstrap, TOPIC, url, tmp_path) as workers:
        workers.start()
        tend_until(workers, read_all(url, tmp_path / "status.db", log_of(bootstrap, TOPIC)), "the first log")
        for seed in (2, 3):
            node = asyncio.run(coordinator(bootstrap))
            moved.append(node)
            began = time.monotonic()
            containers[node].kill()
            produce(bootstrap, 3_000, seed=seed)
            tend_until(workers, read_all(url, None, log_of(bootstrap, TOPIC)), f"the log after the death of broker {node}")
            took_s.append(time.monotonic() - began)
            containers[node].start()
            wait_until_ready(bootstrap.split(",")[node - 1])
        log = log_of(bootstrap, TOPIC)
        tend_until(workers, read_all(url, None, log), "the end")
        assert workers.stop() + workers.complaints() == []

    print(f"\nthe coordinators {moved} died; everything written meanwhile was in the store {took_s[0]:.1f} and {took_s[1]:.1f} s later")
    assert wrong(url, log, ends_of(log), tmp_path) == []
