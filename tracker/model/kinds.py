"""The words of the vocabulary: kinds of events, and the values that a status or a message may have."""

from __future__ import annotations

from typing import Literal

TYPE_PREFIX = "io.tracker.task."
"""What a task event's CloudEvents ``type`` begins with; the kind follows."""

Kind = Literal["created", "updated", "launched", "progressed", "messaged", "returned", "completed", "corrected", "deleted"]
KINDS: tuple[Kind, ...] = ("created", "updated", "launched", "progressed", "messaged", "returned", "completed", "corrected", "deleted")

TaskType = Literal["QUARTZ", "QPOC", "QUEUED_TASK"]
TargetType = Literal["APPLICATION", "IDENTITY"]
MessageType = Literal["INFO", "WARN", "ERROR"]
CompletionStatus = Literal["SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"]
State = Literal["PENDING", "RUNNING", "COMPLETED"]
