"""An emitter from the text of the source that it writes to."""

from __future__ import annotations

from pathlib import Path

from tracker.emit.base import Emitter
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
