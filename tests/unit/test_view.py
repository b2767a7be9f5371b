"""A state as people see it: the 18 keys, the extension, and the columns of a row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.laws.agreement import SMALL, document, events_by_task
from tests.laws.folding import folded
from tests.naive.logs import random_log
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.state import TaskState, from_bytes, to_bytes
from tracker.fold.view import columns, extension, view
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record
from tracker.model.status import TaskStatus

KEYS = [
    "id", "type", "uniqueName", "description", "parentName", "launcher", "target", "created", "modified", "launched", "completed",
    "completionStatus", "messages", "returns", "attributes", "progress", "percentComplete", "taskDefinitionSummary",
]  # fmt: skip
TEXT = {"locale": "en", "message": "m"}


def event(kind: str, data: dict[str, Any] | None = None, *, second: int = 0, id: str = "1", attempt: int = 1) -> TaskEvent:
    """An event of task t, at a second of 2026's first minute."""
    attributes = {"specversion": "1.0", "type": f"io.tracker.task.{kind}", "id": id, "source": "/s", "subject": "t", "attempt": attempt}
    record = Record("f", 0, 0, json.dumps({**attributes, "time": f"2026-01-01T00:00:{second:02d}.0009999Z", "data": data}).encode())
    decoded = Decoder().decode(record)
    assert isinstance(decoded, TaskEvent)
    return decoded


def status(*events: TaskEvent, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The document and ``tracker`` of these events, which is the same before the state is stored and after."""
    state = folded(events, limits)
    shown = document("t", state, limits)
    assert shown is not None
    assert json.dumps(document("t", from_bytes(to_bytes(state, limits)), limits)) == json.dumps(shown)
    return shown


def states() -> Iterator[tuple[str, TaskState]]:
    """Some hundreds of states of random logs that are not deleted."""
    rng = Random(50)
    for _ in range(200):
        for task_id, events in events_by_task(random_log(rng)).items():
            state = folded(events, DEFAULT_LIMITS)
            if not state.deleted:
                yield task_id, state


def test_one_event_gives_all_18_keys_with_their_defaults() -> None:
    """Whatever comes first, the document is whole."""
    shown = status(event("progressed"))

    assert list(shown) == [*KEYS, "tracker"]
    assert list(shown.values())[:-1] == [
        "t", "QUEUED_TASK", "t", "", None, "", None, "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z", None, None,
        None, [], [], {}, None, 0, None,
    ]  # fmt: skip


def test_an_empty_unique_name_is_shown() -> None:
    """The id stands in for a name that was never set, not for one that is empty."""
    assert status(event("updated", {"uniqueName": ""}))["uniqueName"] == ""


def test_members_stand_in_the_contracts_order() -> None:
    """Before the state is stored and after, whatever the order in the event; unknown members are not shown."""
    summary = {"parentName": "p", "x": 1, "arguments": {"b": {"d": 1, "c": 2}, "a": 1}, "uniqueName": "u", "id": "i"}
    message = {
        "parameters": [{"b": 1, "a": [{"d": 1, "c": 1}]}],
        "localizedText": {"message": "m", "locale": "en"},
        "key": "k",
        "type": "WARN",
    }
    shown = status(
        event("updated", {"target": {"name": "n", "type": "IDENTITY", "x": 1}, "taskDefinitionSummary": summary, "attributes": {"b": 1, "a": {"d": 1, "c": 1}}}),
        event("messaged", message),
        event("returned", {"attributeName": "a", "name": "n"}),
    )  # fmt: skip
    assert json.dumps([shown[name] for name in ("target", "taskDefinitionSummary", "attributes", "messages", "returns")]) == (
        '[{"id": null, "type": "IDENTITY", "name": "n"}, '
        '{"id": "i", "uniqueName": "u", "description": null, "parentName": "p", "executor": null, "arguments": {"a": 1, "b": {"c": 2, "d": 1}}}, '
        '{"a": {"c": 1, "d": 1}, "b": 1}, '
        '[{"type": "WARN", "localizedText": {"locale": "en", "message": "m"}, "key": "k", "parameters": [{"a": [{"c": 1, "d": 1}], "b": 1}]}], '
        '[{"name": "n", "attributeName": "a"}]]'
    )


def test_a_deep_message_survives_the_store() -> None:
    """Parameters of any depth and range are read back."""
    message = {"type": "INFO", "key": "k", "localizedText": TEXT, "parameters": [{"a": [[[[2**64 - 1]]]]}]}
    assert status(event("messaged", message))["messages"][0]["parameters"] == [{"a": [[[[18446744073709551615]]]]}]


def test_a_finished_attempt_stays_finished() -> None:
    """A launch that arrives late, or is later, takes no verdict away."""
    shown = status(event("completed", {"completionStatus": "ERROR"}, second=5), event("launched", second=9, id="2"))
    assert (shown["completionStatus"], shown["launched"], shown["tracker"]["state"]) == ("ERROR", "2026-01-01T00:00:09.000Z", "COMPLETED")


def test_a_temporary_error_is_over_when_launched_again() -> None:
    """TEMPERROR and launches are decided by which is later."""
    failed, again = event("completed", {"completionStatus": "TEMPERROR"}, second=5), event("launched", second=9, id="2")
    assert [status(failed)["completionStatus"], status(again, failed)["completionStatus"]] == ["TEMPERROR", None]


def test_a_new_attempt_opens_the_task_again() -> None:
    """Progress and verdict are the current attempt's; what ended before is among the attempts."""
    shown = status(
        event("progressed", {"progress": "half", "percentComplete": 50}, second=1),
        event("completed", {"completionStatus": "ERROR"}, second=2),
        event("messaged", {"type": "INFO", "key": "k", "localizedText": TEXT}, attempt=2),
    )
    assert (shown["completionStatus"], shown["progress"], shown["percentComplete"], shown["tracker"]["state"]) == (None, None, 0, "PENDING")
    assert shown["tracker"]["attempts"] == [
        {"attempt": 1, "launched": None, "completed": "2026-01-01T00:00:02.000Z", "completionStatus": "ERROR"}
    ]


def test_a_correction_holds_and_brings_its_time() -> None:
    """An operator's word outranks the task's, and its own ``completed`` is shown."""
    corrected = event("corrected", {"completionStatus": "WARNING", "completed": "2025-12-31T23:00:00-01:00"})
    shown = status(corrected, event("completed", {"completionStatus": "ERROR"}, second=9))
    assert (shown["completionStatus"], shown["completed"], shown["percentComplete"]) == ("WARNING", "2026-01-01T00:00:00.000Z", 100)


def test_what_is_cut_is_said_before_the_state_is_stored_too() -> None:
    """The fields of which something was dropped are named, in order, in memory as in the store."""
    message = {"type": "INFO", "key": "k", "localizedText": TEXT}
    events = [event("messaged", {**message, "key": str(n)}, second=n, id=str(n)) for n in range(5)]
    events += [event("returned", {"name": str(n), "attributeName": ""}, second=n) for n in range(5)]
    shown = status(*events, event("updated", {"attributes": {str(n): n for n in range(9)}}), limits=SMALL)

    assert shown["tracker"]["truncated"] == ["attributes", "messages", "returns"]
    assert [entry["key"] for entry in shown["messages"]] == ["2", "3", "4"]
    assert [entry["name"] for entry in shown["returns"]] == ["0", "1", "2"]
    assert list(shown["attributes"]) == ["0", "1", "2", "3"]


def test_a_deleted_task_has_no_document() -> None:
    """The view raises KeyError, there are no columns, and nothing brings the task back."""
    state = folded([event("updated"), event("deleted"), event("created")], DEFAULT_LIMITS)

    assert (to_bytes(state), columns("t", state)) == (to_bytes(TaskState(forgotten=True)), None)
    with pytest.raises(KeyError):
        view("t", state)


def test_documents_are_valid_statuses() -> None:
    """The published model takes every document, and writes the same."""
    for task_id, state in states():
        shown = view(task_id, state)
        assert TaskStatus.model_validate_json(json.dumps(shown)).model_dump(mode="json", by_alias=True) == shown


def test_columns_say_what_the_document_says() -> None:
    """Each column is the document's field, to the microsecond where it is a time."""
    for task_id, state in states():
        row, shown, beyond = columns(task_id, state), view(task_id, state), extension(state)
        target = shown["target"] or dict.fromkeys(("id", "type", "name"))
        assert row is not None
        times = [time and time[:23] + "Z" for time in (row.created, row.modified, row.launched, row.completed)]
        assert times == [shown[name] for name in ("created", "modified", "launched", "completed")]
        assert {len(time) for time in (row.created, row.modified, row.launched, row.completed) if time} == {27}
        assert (row.type, row.unique_name, row.description, row.parent_name, row.launcher, row.completion_status) == tuple(
            shown[name] for name in ("type", "uniqueName", "description", "parentName", "launcher", "completionStatus")
        )
        assert (row.progress, row.percent_complete) == (shown["progress"], shown["percentComplete"])
        assert (row.target_id, row.target_type, row.target_name) == (target["id"], target["type"], target["name"])
        assert (row.parent_id, row.state, row.attempt) == (beyond["parentId"], beyond["state"], beyond["attempt"])
