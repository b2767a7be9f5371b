"""A compacted topic: made where it is missing, checked where it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from tracker.errors import EmitError, TopicUnfit
from tracker.sources.kafka_log import reason_of

log = logging.getLogger("tracker.publish")

DEFAULT_MAX_BYTES = 1_048_588
"""The brokers' own default of max.message.bytes, taken where a topic's configuration may not be read."""


class Compacted(msgspec.Struct, frozen=True):
    """A topic that statuses can be published to."""

    partitions: int
    max_batch_bytes: int
    """The broker takes no batch of records beyond this, as it is on the wire."""


async def compacted_topic(admin: AIOKafkaAdminClient, topic: str, name: str, partitions: int | None) -> Compacted:
    """The topic, which is made if it is missing. Raises `TopicUnfit` if it is not compacted, `EmitError` if it can't be made.

    ``name`` is the topic's for messages; ``partitions`` are those of a new one, None: as many as the broker makes by default.
    """
    found = await _partitions(admin, topic)
    if found is None:
        await _make(admin, topic, name, partitions)
        while (found := await _partitions(admin, topic)) is None:  # noqa: ASYNC110 - brokers hear of it one after the other
            await asyncio.sleep(0.1)
    elif partitions is not None and partitions != found:
        raise TopicUnfit(f"{name} has {found} partitions, not {partitions}: leave --partitions out, or name another topic")
    config = await _config(admin, ConfigResourceType.TOPIC, topic)
    if config is None:
        log.warning("the configuration of %s can't be read (the user needs DESCRIBE_CONFIGS): see that cleanup.policy is compact", name)
        return Compacted(found, DEFAULT_MAX_BYTES)
    policy = config.get("cleanup.policy", "")
    if policy.replace(" ", "") != "compact":
        raise TopicUnfit(
            f"{name} has cleanup.policy={policy}, which deletes the statuses of tasks that have not changed for long: name another topic, or have this "
            f"one compacted (kafka-configs.sh --bootstrap-server … --alter --topic {topic} --add-config cleanup.policy=compact)"
        )
    return Compacted(found, int(config.get("max.message.bytes") or DEFAULT_MAX_BYTES))


async def _partitions(admin: AIOKafkaAdminClient, topic: str) -> int | None:
    """How many there are; None: no such topic. Asks for all topics: asking for one by name may create it, and not as it is wanted."""
    for found in await admin.describe_topics():
        if found["topic"] == topic:
            if found["error_code"]:
                raise for_code(found["error_code"])
            return len(found["partitions"])
    return None


async def _make(admin: AIOKafkaAdminClient, topic: str, name: str, partitions: int | None) -> None:
    defaults = await _config(admin, ConfigResourceType.BROKER, str(await _a_broker(admin)))
    if defaults is None:  # one replica, where others have three, would be a trap
        raise EmitError(
            f"there is no {name}, and how many replicas it is to have can't be read off the broker: make it with cleanup.policy=compact"
        )
    number = partitions or int(defaults.get("num.partitions") or 1)
    replicas = int(defaults.get("default.replication.factor") or 1)
    answer = await admin.create_topics([NewTopic(topic, number, replicas, topic_configs={"cleanup.policy": "compact"})])
    ((_, code, *text),) = answer.topic_errors
    error = for_code(code)
    if code and error is not TopicAlreadyExistsError:
        raise EmitError(
            f"there is no {name}, and it can't be made ({reason_of(text[0] if text and text[0] else error.__name__)}): make it with cleanup.policy=compact"
        )
    if not code:
        log.info("%s was missing and is made: compacted, %d partitions, %d replicas", name, number, replicas)


async def _a_broker(admin: AIOKafkaAdminClient) -> int:
    cluster = await admin.describe_cluster()
    return int(cluster["brokers"][0]["node_id"])


async def _config(admin: AIOKafkaAdminClient, kind: ConfigResourceType, name: str) -> Mapping[str, str] | None:
    """The configuration as it is in force; None where this user may not read it."""
    for answer in await admin.describe_configs([ConfigResource(kind, name)]):
        for code, _, _, _, entries in answer.resources:
            error: Any = for_code(code)
            if "AuthorizationFailed" in error.__name__:
                return None
            if code:
                raise error
            return {entry[0]: entry[1] or "" for entry in entries}
    return None
