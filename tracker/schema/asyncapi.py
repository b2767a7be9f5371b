"""The topic as an AsyncAPI 3.0 document: one channel, and each kind of event in structured and in binary mode."""

from __future__ import annotations

from typing import Any

from tracker.model.events import EVENTS
from tracker.model.kinds import KINDS, TYPE_PREFIX, Kind
from tracker.model.limits import DEFAULT_LIMITS
from tracker.schema.json_schemas import data_schema_ref

SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
STRUCTURED = "application/cloudevents+json"
_KEY = {"type": "string", "description": "The task's id, so that all events of a task stand in one partition, in order."}
_HEADERS = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"type": "string", "minLength": 1},
    "ce_source": {"type": "string", "minLength": 1},
    "ce_subject": {"type": "string", "minLength": 1, "description": "The task's id; without it, the record's key."},
    "ce_time": {"type": "string", "format": "date-time", "description": "Without it, the record's timestamp."},
    "ce_attempt": {"type": "string", "pattern": "^[0-9]+$"},
    "ce_sequence": {"type": "string", "pattern": "^[0-9]+$"},
    "content-type": {"const": "application/json"},
}


def asyncapi() -> dict[str, Any]:
    """The document, with references to the event schemas beside it."""
    messages: dict[str, Any] = {}
    for kind in KINDS:
        messages[f"{kind}Structured"] = _structured(kind)
        messages[f"{kind}Binary"] = _binary(kind)
    messages["tombstone"] = {
        "title": "Tombstone",
        "summary": "A record with a key and a null value: the task that the key names is deleted.",
        "payload": {"type": "null"},
        "bindings": {"kafka": {"key": _KEY}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Task events",
            "version": "1.0.0",
            "description": "Events in the life of tasks, as CloudEvents 1.0. Their order, repetition and batching never matter.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": STRUCTURED,
        "channels": {
            "taskEvents": {
                "address": "task-events",
                "title": "The topic of task events",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {
                    "kafka": {
                        "topicConfiguration": {"max.message.bytes": DEFAULT_LIMITS.max_record_bytes},
                        "bindingVersion": "0.5.0",
                    }
                },
            }
        },
        "operations": {
            "foldTaskEvents": {
                "action": "receive",
                "summary": "The tracker reads every event and folds it into its task's status.",
                "channel": {"$ref": "#/channels/taskEvents"},
                "messages": [{"$ref": f"#/channels/taskEvents/messages/{name}"} for name in messages],
            }
        },
        "components": {"messages": messages},
    }


def _structured(kind: Kind) -> dict[str, Any]:
    return {
        "name": TYPE_PREFIX + kind,
        "title": f"{EVENTS[kind].__name__}, structured",
        "summary": _summary(kind),
        "contentType": STRUCTURED,
        "headers": {"type": "object", "properties": {"content-type": {"type": "string", "pattern": f"^{STRUCTURED.replace('+', '[+]')}"}}},
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./events/{kind}.schema.json"}},
        "bindings": {"kafka": {"key": _KEY}},
    }


def _binary(kind: Kind) -> dict[str, Any]:
    type_header = {"ce_type": {"const": TYPE_PREFIX + kind}}
    return {
        "name": TYPE_PREFIX + kind,
        "title": f"{EVENTS[kind].__name__}, binary",
        "summary": _summary(kind),
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
            "properties": type_header | _HEADERS,
        },
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": data_schema_ref(kind)}},
        "bindings": {"kafka": {"key": _KEY}},
    }


def _summary(kind: Kind) -> str:
    return (EVENTS[kind].__doc__ or "").strip().splitlines()[0]
