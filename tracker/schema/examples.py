"""One example of each kind: the life of one aggregation. What was published once stays for ever; a new form is a new version."""

from __future__ import annotations

import json
from typing import Any

from tracker.model.events import (
    CloudEvent,
    CompletedData,
    CorrectedData,
    CreatedData,
    LaunchedData,
    MessagedData,
    ProgressedData,
    ReturnedData,
    TaskCompleted,
    TaskCorrected,
    TaskCreated,
    TaskDeleted,
    TaskLaunched,
    TaskMessaged,
    TaskProgressed,
    TaskReturned,
    TaskUpdated,
    UpdatedData,
)
from tracker.model.status import LocalizedMessage, Target, TaskDefinitionSummary

TASK_ID = "af1b82086c194f89acce82e156ff6e61"


def _common(number: int, time: str, source: str = "/scheduler/eu-1") -> dict[str, Any]:
    return {
        "source": source,
        "id": f"5b0e7c52-9a1d-4a6e-8f10-{number:012d}",
        "subject": TASK_ID,
        "time": f"2026-01-31T{time}Z",
    }


def examples() -> list[CloudEvent]:
    """The first version of each kind, in the order of a task's life."""
    return [
        TaskCreated(
            **_common(1, "09:30:00.412"),
            data=CreatedData(
                type="QUARTZ",
                unique_name="Cloud Account Aggregation",
                description="Aggregates the accounts of a source.",
                parent_name=None,
                launcher="sweep",
                target=Target(id="2c918087701c40cf01701dfdf2c61e2a", type="APPLICATION", name="HR Employees"),
                task_definition_summary=TaskDefinitionSummary(
                    id="2c91808475b4334b0175e1dff64b63c5",
                    unique_name="Cloud Account Aggregation",
                    description="Aggregates the accounts of a source.",
                    parent_name="Account Aggregation",
                    executor="sailpoint.task.ServiceTaskExecutor",
                    arguments={"optimizedAggregation": "enabled", "batchSize": 500},
                ),
                attributes={"appId": "2c918087701c40cf01701dfdf2c61e2a", "eventId": 4311625},
            ),
        ),
        TaskUpdated(
            **_common(2, "09:30:00.958"),
            data=UpdatedData(parent_name="Nightly run", parent_id="0f7d2a9be15c4a35b8a2bb3c33b1a0de", launcher="Nightly run"),
        ),
        TaskLaunched(**_common(3, "09:30:02.117", "/worker/eu-1-b"), data=LaunchedData(attributes={"worker": "eu-1-b"})),
        TaskProgressed(
            **_common(4, "09:31:40.5", "/worker/eu-1-b"),
            data=ProgressedData(progress="Reading accounts", percent_complete=42, attributes={"processed": 840}),
        ),
        TaskMessaged(
            **_common(5, "09:32:11.02", "/worker/eu-1-b"),
            data=MessagedData(
                type="WARN",
                key="task_aggregation_skipped",
                localized_text=LocalizedMessage(locale="en-US", message="12 accounts were skipped."),
                parameters=["12", {"reason": "no correlation"}],
            ),
        ),
        TaskReturned(**_common(6, "09:33:05.7", "/worker/eu-1-b"), data=ReturnedData(name="Accounts", attribute_name="total")),
        TaskCompleted(
            **_common(7, "09:33:05.812345", "/worker/eu-1-b"),
            attempt=1,
            data=CompletedData(completion_status="WARNING", attributes={"total": 2000}),
        ),
        TaskCorrected(
            **_common(8, "10:05:00", "/operator/w.wilson"),
            data=CorrectedData(completion_status="SUCCESS", completed="2026-01-31T09:33:05.812345Z"),
        ),
        TaskDeleted(**_common(9, "23:00:00", "/retention")),
    ]


def example_files() -> dict[str, Any]:
    """Each example as a parsed document, by its path under ``schemas/``."""
    return {f"examples/{event.kind}/v1.json": json.loads(event.to_json()) for event in examples()}
