"""All events of a task to its status, at once: for each field the events are sorted and scanned as the contract's table says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.naive.decode import NaiveEvent
from tests.naive.values import canonical

Stamp = tuple[int, int, str, str, str]
REGISTERS: dict[str, Any] = {
    "type": "QUEUED_TASK",
    "uniqueName": None,
    "description": "",
    "parentName": None,
    "parentId": None,
    "launcher": "",
    "target": None,
    "taskDefinitionSummary": None,
}
"""The fields that are each set by the latest event that has them, and what stands there if none has (uniqueName: the id)."""


def naive_fold(
    events: Iterable[NaiveEvent], *, messages: int = 1000, returns: int = 1000, attributes: int = 1000, attempts: int = 100
) -> dict[str, dict[str, Any] | None]:
    """Each task's document: the 18 keys in order and ``tracker``; None for a deleted task. The numbers are the caps."""
    of_task: dict[str, list[NaiveEvent]] = {}
    for event in events:
        of_task.setdefault(event.task_id, []).append(event)
    caps = {"messages": messages, "returns": returns, "attributes": attributes, "attempts": attempts}
    return {task_id: _document(task_id, of_task[task_id], caps) for task_id in sorted(of_task)}


def naive_export(docs: Mapping[str, Mapping[str, Any] | None]) -> bytes:
    """One line of the 18 keys for each task that is not deleted, in code point order of the ids."""
    lines = []
    for task_id in sorted(docs):
        doc = docs[task_id]
        if doc is not None:
            shown = {name: value for name, value in doc.items() if name != "tracker"}
            lines.append(json.dumps(shown, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n")
    return b"".join(lines)


def _document(task_id: str, events: list[NaiveEvent], caps: dict[str, int]) -> dict[str, Any] | None:
    if any(event.kind == "deleted" for event in events):
        return None
    register = {name: _register(name, default, events) for name, default in REGISTERS.items()}
    if not any("uniqueName" in event.data for event in events if event.kind in ("created", "updated")):
        register["uniqueName"] = task_id
    attempt = max(event.attempt for event in events)
    current = [event for event in events if event.attempt == attempt]
    launched, status, completed = _run(current)
    all_messages, all_returns = _messages(events), _returns(events)
    all_attributes, all_attempts = _attributes(events), _attempts(events)
    kept = {
        "messages": all_messages[max(0, len(all_messages) - caps["messages"]) :],
        "returns": all_returns[: caps["returns"]],
        "attributes": dict(list(all_attributes.items())[: caps["attributes"]]),
        "attempts": all_attempts[max(0, len(all_attempts) - caps["attempts"]) :],
    }
    progressed = [event for event in current if event.kind == "progressed"]
    percent = 100 if status in ("SUCCESS", "WARNING") else _latest("percentComplete", progressed, 0)
    return {
        "id": task_id,
        "type": register["type"],
        "uniqueName": register["uniqueName"],
        "description": register["description"],
        "parentName": register["parentName"],
        "launcher": register["launcher"],
        "target": register["target"],
        "created": _shown(min(event.time for event in [e for e in events if e.kind == "created"] or events)),
        "modified": _shown(max(event.time for event in events)),
        "launched": _shown(launched),
        "completed": _shown(completed),
        "completionStatus": status,
        "messages": kept["messages"],
        "returns": kept["returns"],
        "attributes": kept["attributes"],
        "progress": _latest("progress", progressed, None),
        "percentComplete": percent,
        "taskDefinitionSummary": register["taskDefinitionSummary"],
        "tracker": {
            "state": "COMPLETED" if status is not None else "RUNNING" if launched is not None else "PENDING",
            "attempt": attempt,
            "attempts": kept["attempts"],
            "parentId": register["parentId"],
            "truncated": sorted(
                name
                for name, whole in (
                    ("messages", all_messages),
                    ("returns", all_returns),
                    ("attributes", all_attributes),
                    ("attempts", all_attempts),
                )
                if len(whole) > len(kept[name])
            ),
        },
    }


def _shown(time: str | None) -> str | None:
    """Milliseconds and Z, truncated."""
    return None if time is None else time[:23] + "Z"


def _latest(name: str, events: list[NaiveEvent], default: Any) -> Any:
    """The value of the latest event whose data has the key; of equal stamps the value whose canonical JSON is greater."""
    having = [event for event in events if name in event.data]
    if not having:
        return default
    return max(having, key=lambda event: (event.stamp, canonical(event.data[name]))).data[name]


def _register(name: str, default: Any, events: list[NaiveEvent]) -> Any:
    kinds = ("created", "updated", "launched") if name == "launcher" else ("created", "updated")
    return _latest(name, [event for event in events if event.kind in kinds], default)


def _run(events: list[NaiveEvent]) -> tuple[str | None, str | None, str | None]:
    """launched, completionStatus and completed of one attempt's events."""
    launches = sorted(event.stamp for event in events if event.kind == "launched")
    launched = launches[-1][2] if launches else None
    speaking: list[tuple[int, Stamp, tuple[str, ...]]] = []
    for event in events:
        if event.kind == "launched":
            speaking.append((0, event.stamp, ()))
        elif event.kind == "completed":
            status = event.data["completionStatus"]
            speaking.append((0 if status == "TEMPERROR" else 1, event.stamp, (status, event.time)))
        elif event.kind == "corrected":
            speaking.append((2, event.stamp, (event.data["completionStatus"], event.data.get("completed", event.time))))
    pair = max(speaking)[2] if speaking else ()
    return (launched, pair[0], pair[1]) if pair else (launched, None, None)


def _attributes(events: list[NaiveEvent]) -> dict[str, Any]:
    keys = {key for event in events for key in event.data.get("attributes", {})}
    found = {}
    for key in sorted(keys):
        having = [(event.stamp, event.data["attributes"][key]) for event in events if key in event.data.get("attributes", {})]
        found[key] = max(having, key=lambda pair: (pair[0], canonical(pair[1])))[1]
    return found


def _messages(events: list[NaiveEvent]) -> list[dict[str, Any]]:
    """One per identity, its latest, in stamp order."""
    latest = {}
    for event in sorted([e for e in events if e.kind == "messaged"], key=lambda event: (event.stamp, canonical(event.data))):
        latest[event.source, event.id] = event
    return [event.data for event in sorted(latest.values(), key=lambda event: event.stamp)]


def _returns(events: list[NaiveEvent]) -> list[dict[str, Any]]:
    """One per name and attributeName, by smallest stamp, then by the names."""
    ordered = sorted((event.stamp, event.data["name"], event.data["attributeName"]) for event in events if event.kind == "returned")
    pairs = dict.fromkeys((name, attribute_name) for _, name, attribute_name in ordered)
    return [{"name": name, "attributeName": attribute_name} for name, attribute_name in pairs]


def _attempts(events: list[NaiveEvent]) -> list[dict[str, Any]]:
    found = []
    for attempt in sorted({event.attempt for event in events if event.kind in ("launched", "completed", "corrected")}):
        launched, status, completed = _run([event for event in events if event.attempt == attempt])
        found.append({"attempt": attempt, "launched": _shown(launched), "completed": _shown(completed), "completionStatus": status})
    return found
