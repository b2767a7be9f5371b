"""Why tasks failed: the failed ones by the keys of their messages of type ERROR."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from tracker.query import questions
from tracker.query.base import Snapshot
from tracker.query.fields import FIELDS
from tracker.query.histogram import within
from tracker.query.pages import BY_ID
from tracker.query.tree import In, Node

FAILED = ("ERROR", "TEMPERROR")
"""A task that was stopped (TERMINATED) has not failed: somebody wanted it."""
LISTED = 20
MAX_KEYS = 10_000
"""Keys that are counted apart: who writes ids into them has as many as tasks."""
KEY_CHARS = 256
"""Of a key, which may have 65,000."""
TEXT_CHARS = 300


class Failure(msgspec.Struct, rename="camel"):
    """The failed tasks with an ERROR message of one key."""

    key: str
    tasks: int
    by_status: dict[str, int]
    latest_completed: str
    latest_task: str
    """The task that failed last."""
    text: str
    """What that task's latest such message says."""


class Failures(msgspec.Struct, rename="camel"):
    """Failed tasks: ERROR and TEMPERROR. One with messages of several keys counts for each of them."""

    tasks: int
    by_status: dict[str, int]
    without_message: int
    """Tasks among them that have no message of type ERROR."""
    keys: list[Failure]
    """Those of most tasks."""
    other_keys: int
    """Different keys that are not listed, of those that were counted apart."""
    uncounted: int
    """Tasks with a key beyond the first 10,000 different ones, in order of the tasks' ids: they may be missing in any line."""


def failures(snapshot: Snapshot, where: Node | None) -> Failures:
    """The failed ones among the tasks that match. Their whole states are read, one at a time."""
    found: dict[str, Failure] = {}
    statuses: Counter[str] = Counter()
    without = uncounted = 0
    for row in snapshot.rows(within(where, In(FIELDS["completionStatus"], FAILED)), BY_ID):
        document = questions.shown(snapshot, row, extension=False)
        statuses[document["completionStatus"]] += 1
        texts = {
            message["key"][:KEY_CHARS]: message["localizedText"]["message"]
            for message in document["messages"]
            if message["type"] == "ERROR"
        }
        without += not texts
        left_out = False
        for key, text in texts.items():
            if key in found or len(found) < MAX_KEYS:
                _count(found, key, text, document)
            else:
                left_out = True
        uncounted += left_out
    ordered = sorted(found.values(), key=lambda failure: (-failure.tasks, failure.key))
    return Failures(statuses.total(), dict(sorted(statuses.items())), without, ordered[:LISTED], max(0, len(ordered) - LISTED), uncounted)


def _count(found: dict[str, Failure], key: str, text: str, document: dict[str, Any]) -> None:
    failure = found.get(key)
    if failure is None:
        failure = found[key] = Failure(key, 0, {}, "", "", "")
    status, ended = document["completionStatus"], (document["completed"], document["id"])
    failure.tasks += 1
    failure.by_status[status] = failure.by_status.get(status, 0) + 1
    if ended > (failure.latest_completed, failure.latest_task):
        failure.latest_completed, failure.latest_task = ended
        failure.text = text[:TEXT_CHARS] + ("…" if len(text) > TEXT_CHARS else "")
