"""docs/contract.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tracker.fold.decode import Decoder
from tracker.fold.event import REASONS, TaskEvent
from tracker.fold.reducers import fold
from tracker.fold.state import TaskState
from tracker.fold.view import extension, view
from tracker.model.event_data import EventData
from tracker.model.events import EVENTS, KINDS, parse
from tracker.model.limits import DEFAULT_LIMITS, MAX_ATTEMPT, MAX_DEPTH, MAX_FIELD_BYTES, MAX_ID_CODE_POINTS, MAX_SEQUENCE
from tracker.model.records import Record
from tracker.model.status import TaskExtension, TaskStatus
from tracker.schema.examples import examples

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
DOCUMENTS: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def section(title: str) -> str:
    """The text from a heading to the next one of any level."""
    return re.split(r"^#+ ", PAGE, flags=re.MULTILINE)[[*re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)].index(title) + 1]


def first_cells(text: str) -> set[str]:
    """The code words in the first column of a section's tables."""
    return {word for row in re.findall(r"^\|([^|]*)\|", text, re.MULTILINE) for word in re.findall(r"`([^`]+)`", row)}


def test_every_kind_has_its_row() -> None:
    """The table of kinds has all nine, and no other."""
    assert first_cells(section("Kinds")) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_row_of_a_kind_has_its_fields(kind: str) -> None:
    """Each field of the data stands in the kind's row, with a star exactly where it may be null."""
    row = next(row for row in section("Kinds").splitlines() if row.startswith("|") and f"`{kind}`" in row.split("|")[1]).split("|")[2]
    model = EVENTS[kind].model_fields["data"].annotation  # type: ignore[index]
    assert isinstance(model, type)
    assert issubclass(model, EventData)
    rules = model.model_json_schema(by_alias=True)["properties"]
    nullable = {name for name, rule in rules.items() if {"type": "null"} in rule.get("anyOf", [])}

    assert set(re.findall(r"`(\w+)`", row)) == set(rules)
    assert set(re.findall(r"`(\w+)`\\\*", row)) == nullable


def test_every_reason_has_its_row() -> None:
    """The reasons stand in the order in which the rules are looked at."""
    rows = re.findall(r"^\| `([\w-]+)` \|", section("What is refused"), re.MULTILINE)

    assert rows == list(REASONS)


def test_every_field_has_its_row() -> None:
    """All 18 fields of a status and all keys of the extension are explained."""
    known = {field.alias for model in (TaskStatus, TaskExtension) for field in model.model_fields.values()}

    assert first_cells(section("Field by field")) == known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.get("type") or document.get("state"))
def test_examples_are_valid(document: dict[str, Any]) -> None:
    """Each JSON example is an event, a status or an extension, and read by its model."""
    if "specversion" in document:
        assert parse(document) is not None
    elif "state" in document:
        assert json.loads(TaskExtension.model_validate(document).to_json()) == document
    else:
        assert json.loads(TaskStatus.model_validate(document).to_json()) == document


def decoded(document: bytes) -> TaskEvent:
    """An event that must be one."""
    event = Decoder().decode(Record("t", 0, 0, document))
    assert isinstance(event, TaskEvent)
    return event


def test_the_status_is_what_the_examples_fold_into() -> None:
    """The page's status and extension are computed, not made up: key by key, in this order."""
    state = TaskState()
    fold(state, [decoded(event.to_json()) for event in examples() if event.kind != "deleted"])
    status = next(document for document in DOCUMENTS if "uniqueName" in document)
    beyond = next(document for document in DOCUMENTS if "state" in document)

    assert json.dumps(view(status["id"], state)) == json.dumps(status)
    assert json.dumps(extension(state) | {"revision": 7}) == json.dumps(beyond)


VERDICTS = re.findall(r"^\| ((?:launched|completed|corrected)[^|]*) \| (null|`\w+`) \|", section("How an attempt ended"), re.MULTILINE)


def test_verdicts_are_read() -> None:
    """The table of verdicts is not empty."""
    assert len(VERDICTS) == 9


@pytest.mark.parametrize(("events", "expected"), VERDICTS)
def test_verdicts_are_what_the_fold_says(events: str, expected: str) -> None:
    """Each row of the table of verdicts folds into what it says."""
    state = TaskState()
    for number, words in enumerate(events.split(", ")):
        kind, *rest = words.split()
        attempt = int(rest.pop()) if "attempt" in rest else 1
        document: dict[str, Any] = {
            "specversion": "1.0",
            "type": f"io.tracker.task.{kind}",
            "source": "/s",
            "id": str(number),
            "subject": "t",
        }
        document |= {"time": f"2026-01-31T09:30:{number:02}Z", "attempt": attempt}
        if kind != "launched":
            document["data"] = {"completionStatus": rest[0]}
        fold(state, [decoded(json.dumps(document).encode())])

    assert view("t", state)["completionStatus"] == (None if expected == "null" else expected.strip("`"))


@pytest.mark.parametrize(
    ("title", "number"),
    [
        ("What is refused", f"{DEFAULT_LIMITS.max_record_bytes:,} bytes"),
        ("What is refused", f"{MAX_FIELD_BYTES:,} bytes"),
        ("What is refused", f"{MAX_DEPTH} levels"),
        ("What is refused", f"{DEFAULT_LIMITS.max_future_s:,} seconds"),
        ("Attributes", f"1 to {MAX_ID_CODE_POINTS} code points"),
        ("Attributes", f"from 1 to {MAX_ATTEMPT},"),
        ("Attributes", f"from 0 to {MAX_SEQUENCE},"),
        ("Bounds", f"`messages` | the {DEFAULT_LIMITS.messages:,} latest"),
        ("Bounds", f"`returns` | the {DEFAULT_LIMITS.returns:,} first"),
        ("Bounds", f"`attributes` | the {DEFAULT_LIMITS.attributes:,} first keys"),
        ("Bounds", f"`attempts` | the {DEFAULT_LIMITS.attempts:,} greatest"),
    ],
)
def test_limits_are_those_of_the_code(title: str, number: str) -> None:
    """A number on the page is the code's."""
    assert number in section(title)


def test_links_lead_somewhere() -> None:
    """Each link inside the page, and each to a file, has its end."""
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif not target.startswith("https://"):
            assert (Path(__file__).parents[2] / "docs" / target).exists(), target
