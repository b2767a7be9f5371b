"""A task's row as a store keeps it: the state as bytes, and the scalar fields beside it for filters and sorting."""

from __future__ import annotations

from typing import NamedTuple


class Columns(NamedTuple):
    """The scalar fields of a task that is not deleted. Times are ``YYYY-MM-DDTHH:MM:SS.ffffffZ``, which sorts as time does."""

    type: str
    unique_name: str
    description: str
    parent_name: str | None
    parent_id: str | None
    launcher: str
    target_id: str | None
    target_type: str | None
    target_name: str | None
    created: str
    modified: str
    launched: str | None
    completed: str | None
    completion_status: str | None
    progress: str | None
    percent_complete: int
    state: str
    attempt: int
