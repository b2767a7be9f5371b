"""JSON Schema 2020-12 from the models."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tracker.model.events import EVENTS
from tracker.model.kinds import Kind
from tracker.model.status import TaskExtension, TaskStatus

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def event_schema(kind: Kind) -> dict[str, Any]:
    """A whole event of one kind. Subject and time are required, though a Kafka record's key and timestamp may stand in."""
    schema = _schema(EVENTS[kind], f"urn:io.tracker:schema:event:{kind}:1")
    schema["required"] = ["specversion", "type", *(name for name in schema["required"] if name not in {"specversion", "type"})]
    for name, rule in schema["properties"].items():
        if name not in schema["required"]:
            schema["properties"][name] = _or_null(rule)
    schema["properties"]["data_base64"] = {"description": "Not allowed: data is JSON.", "type": "null"}
    return schema


def data_schema_ref(kind: Kind) -> str:
    """Where the schema of one kind's data stands, seen from ``schemas/``."""
    return f"./events/{kind}.schema.json#/$defs/{EVENTS[kind].model_fields['data'].annotation.__name__}"  # type: ignore[union-attr]


def status_schema() -> dict[str, Any]:
    """The 18 members of a status."""
    return _schema(TaskStatus, "urn:io.tracker:schema:task-status:1")


def extension_schema() -> dict[str, Any]:
    """What stands beside a status under the key ``tracker``."""
    return _schema(TaskExtension, "urn:io.tracker:schema:tracker-extension:1")


def _schema(model: type[BaseModel], urn: str) -> dict[str, Any]:
    schema: dict[str, Any] = _tidy(model.model_json_schema(by_alias=True, mode="validation"))
    return {"$schema": DRAFT, "$id": urn} | schema


def _or_null(rule: dict[str, Any]) -> dict[str, Any]:
    """An attribute that is null is a missing one."""
    annotations = {name: rule[name] for name in ("description", "default", "examples") if name in rule}
    bare = {name: value for name, value in rule.items() if name not in annotations}
    return annotations | {"anyOf": [*bare.pop("anyOf", []), *([bare] if bare else []), {"type": "null"}]}


def _tidy(value: Any, *, names: bool = False) -> Any:
    """Without what pydantic adds of its own: titles of fields, and a null as default where a missing field is not null.

    ``names``: the value is an object of properties or definitions, whose keys are names and no keywords.
    """
    if isinstance(value, list):
        return [_tidy(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if names:
        return {name: _tidy(inner) for name, inner in value.items()}
    return {
        name: _tidy(inner, names=name in {"properties", "$defs"})
        for name, inner in value.items()
        if not (name == "default" and inner is None) and not (name == "title" and "properties" not in value)
    }
