"""The tasks that the SDK is shown: 1,200 in bulk, one with everything, one with an odd id, and one to correct for each flavour
and for the how-to page.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FLAVOURS = ("v1", "beta", "v2024", "v2025", "v2026")
BULK = 1_200
ODD = "a/b c:d é"
FULL = "full"
PAGE = "import-7"
"""The task that the how-to page ends."""
EXTREME = "extreme"
"""A task with values at the edge of what the contract lets in."""
BEGAN = datetime(2026, 1, 31, 9, tzinfo=UTC)
ENDINGS = {0: "SUCCESS", 1: "ERROR"}
"""Of every four bulk tasks one has ended well, one badly, one runs and one has not begun."""


def bulk_id(number: int) -> str:
    """The id of a bulk task; they are created in the order of their numbers, one a second."""
    return f"bulk-{number:04}"


def running_id(flavour: str) -> str:
    """The task that this flavour corrects."""
    return f"running-{flavour}"


def all_ids() -> list[str]:
    """Every task, in the order of creation."""
    return [*map(bulk_id, range(BULK)), FULL, ODD, *map(running_id, FLAVOURS), PAGE, EXTREME]


class _Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, kind: str, task: str, second: int, **data: Any) -> None:
        time = (BEGAN + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
        event = {"specversion": "1.0", "id": str(len(self.lines)), "source": "/sdk", "type": f"io.tracker.task.{kind}", "subject": task}
        self.lines.append(json.dumps({**event, "time": data.pop("time", time), **({"data": data} if data else {})}))


def write(path: Path) -> None:
    """Write the log."""
    log = _Log()
    for number in range(BULK):
        task, source = bulk_id(number), "source-a" if number < 40 else "source-b"
        log.add(
            "created",
            task,
            number,
            type="QUARTZ",
            uniqueName="Cloud Account Aggregation",
            launcher="sweep" if number % 2 else "System",
            target={"id": source, "type": "APPLICATION", "name": source.title()},
        )
        if number % 4 < 3:
            log.add("launched", task, number + 1)
        if number % 4 in ENDINGS:
            log.add("completed", task, number + 2, completionStatus=ENDINGS[number % 4])
    _write_full(log, BULK)
    log.add("created", ODD, BULK + 10)
    for number, flavour in enumerate(FLAVOURS):
        log.add("created", running_id(flavour), BULK + 20 + number, uniqueName="To be corrected")
        log.add("launched", running_id(flavour), BULK + 30)
    log.add("created", PAGE, BULK + 40, uniqueName="Import 7")
    log.add("launched", PAGE, BULK + 41)
    _write_extreme(log)
    path.write_text("\n".join(log.lines) + "\n", encoding="utf-8")


def _write_full(log: _Log, second: int) -> None:
    log.add(
        "created",
        FULL,
        second,
        type="QUARTZ",
        uniqueName="Cloud Entitlement Import",
        description="Everything that a status can hold",
        parentName="Nightly",
        launcher="sweep",
        target={"id": "source-c", "type": "APPLICATION", "name": "Source C"},
        taskDefinitionSummary={
            "id": "definition-1",
            "uniqueName": "Cloud Entitlement Import",
            "parentName": "Imports",
            "description": None,
            "executor": "sailpoint.task.ServiceTaskExecutor",
            "arguments": {"serviceMethod": "entitlementAggregationTask", "deep": {"b": [1, 2.5, None]}},
        },
        attributes={"identityCount": 0, "eventId": 4311625, "ratio": 0.5, "optimizedAggregation": "enabled", "nothing": None},
    )
    log.add("launched", FULL, second + 1)
    log.add("progressed", FULL, second + 2, progress="Read 400 of 1,000", percentComplete=40)
    text = {"locale": "en", "message": "3 accounts were left out"}
    log.add("messaged", FULL, second + 3, type="WARN", key="left_out", localizedText=text, parameters=[{"name": "value"}, "text"])
    log.add("returned", FULL, second + 4, name="TASK_OUT_TOTAL", attributeName="total")
    log.add("completed", FULL, second + 5, completionStatus="WARNING")


def _write_extreme(log: _Log) -> None:
    """It is created last of all, in the year 9999."""
    log.add(
        "created",
        EXTREME,
        0,
        time="9999-12-31T23:59:59.999999Z",
        type="QPOC",
        uniqueName="\u0000\U0001f600\u202e" + "x" * 10_000,
        description="",
        parentName="",
        target={"id": None, "type": None, "name": None},
        taskDefinitionSummary={"id": "", "uniqueName": "", "parentName": "", "description": None, "executor": None, "arguments": {}},
        attributes={"": None, "most": 2**64 - 1, "least": -(2**63), "double": 1.7976931348623157e308, "tiny": 5e-324, "deep": [[[[{}]]]]},
    )
    text = {"locale": "", "message": ""}
    log.add("messaged", EXTREME, 1, type="ERROR", key="", localizedText=text, parameters=[{}, "", {"a": [1, None]}])
    log.add("messaged", EXTREME, 2, type="INFO", key="", localizedText=text, parameters=None)
    log.add("returned", EXTREME, 3, name="", attributeName="")
    log.add("progressed", EXTREME, 4, progress=None, percentComplete=0)
    log.add("launched", EXTREME, 0, time="0001-01-01T00:00:00Z")
    log.add("completed", EXTREME, 0, time="0001-01-01T00:00:00.001Z", completionStatus="TERMINATED")
