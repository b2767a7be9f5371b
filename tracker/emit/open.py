"""An emitter from the text of the source that it writes to, and a topic of statuses from its URL."""

from __future__ import annotations

from pathlib import Path

from tracker.emit.base import Emitter
from tracker.emit.statuses import StatusTopic
from tracker.errors import UsageError
from tracker.sources.open import is_kafka, kafka_missing


def open_emitter(text: str, *, kafka_config: str | Path | None = None) -> Emitter:
    """The emitter for the log that ``text`` names (an async context manager, not entered yet).

    Raises UsageError for a log that can't be written: standard input, patterns, compressed files, several topics.
    """
    if not is_kafka(text):
        from tracker.emit.jsonl import JsonlEmitter

        return JsonlEmitter(text)
    try:
        from tracker.emit.kafka import KafkaEmitter
        from tracker.sources.kafka_config import read_kafka_config
    except ImportError as error:
        raise kafka_missing(error) from None
    return KafkaEmitter(text, read_kafka_config(kafka_config) if kafka_config is not None else None)


def topic_url(topic: str, source: str) -> str:
    """The Kafka URL of a topic that is given as one, or by its name alone, of the brokers that the source names. Raises UsageError."""
    if "://" in topic:
        if not topic.lower().startswith("kafka://"):
            raise UsageError(f"a topic can't be {topic}: expected kafka://host:9092/topic")
        return topic
    if not topic or "/" in topic or "," in topic:
        raise UsageError(
            f"a topic can't be {topic!r}: expected kafka://host:9092/topic, or the name alone where the source is in Kafka too"
        )
    if "://" not in source or not is_kafka(source):
        raise UsageError(f"which brokers have the topic {topic}? give it as kafka://host:9092/{topic}")
    return f"{source.partition('?')[0].rpartition('/')[0]}/{topic}"


def open_status_topic(url: str, *, kafka_config: str | Path | None = None, partitions: int | None = None) -> StatusTopic:
    """The topic of statuses at a Kafka URL, not opened yet. Raises UsageError, and NotFound for the properties."""
    try:
        from tracker.emit.kafka_statuses import KafkaStatusTopic
        from tracker.sources.kafka_config import read_kafka_config
    except ImportError as error:
        raise kafka_missing(error) from None
    return KafkaStatusTopic(url, read_kafka_config(kafka_config) if kafka_config is not None else None, partitions=partitions)
