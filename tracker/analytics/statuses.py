"""Rows of the table back to status documents: what was exported is what the store says, byte for byte in canonical JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from tracker.model.status import to_millis_text


def to_documents(table: pa.Table | pa.RecordBatch, *, extension: bool = False) -> Iterator[dict[str, Any]]:
    """The 18 keys of each row that has a task, in the contract's order (and the key ``tracker`` with the extension), as the store shows them.

    The table may come from Arrow or Parquet, with any columns beside its own; rows of tasks that are gone are left out.
    """
    columns = {name: table.column(name).to_pylist() for name in table.schema.names}
    for at, change in enumerate(columns["change"]):
        if change == "changed":
            yield _document({name: values[at] for name, values in columns.items()}, extension=extension)


def _document(row: dict[str, Any], *, extension: bool) -> dict[str, Any]:
    definition = row["taskDefinitionSummary"]
    document = {
        **{name: row[name] for name in ("id", "type", "uniqueName", "description", "parentName", "launcher", "target")},
        **{name: _time(row[name]) for name in ("created", "modified", "launched", "completed")},
        "completionStatus": row["completionStatus"],
        "messages": [{**message, "parameters": _parameters(message["parameters"])} for message in row["messages"]],
        "returns": row["returns"],
        "attributes": _object(row["attributes"]),
        "progress": row["progress"],
        "percentComplete": row["percentComplete"],
        "taskDefinitionSummary": None if definition is None else {**definition, "arguments": _object(definition["arguments"])},
    }
    if extension:
        attempts = [{**each, "launched": _time(each["launched"]), "completed": _time(each["completed"])} for each in row["attempts"]]
        document["tracker"] = {
            "state": row["state"],
            "attempt": row["attempt"],
            "attempts": attempts,
            **{name: row[name] for name in ("parentId", "truncated", "revision")},
        }
    return document


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else to_millis_text(moment.astimezone(UTC))


def _parameters(texts: list[str] | None) -> list[Any] | None:
    return None if texts is None else [json.loads(text) for text in texts]


def _object(items: list[tuple[str, str]]) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in items}
