"""The one reading door: ``async with open_query("sqlite:///status.db") as tasks: await tasks.get(id)``."""

from tracker.query.api import TaskQuery, open_query
from tracker.query.following import Change
from tracker.query.pages import Page
from tracker.query.report import PartitionReport, StatusReport
from tracker.query.waiting import Behind, Ending, Impossible, Reached, TimedOut

__all__ = [
    "Behind",
    "Change",
    "Ending",
    "Impossible",
    "Page",
    "PartitionReport",
    "Reached",
    "StatusReport",
    "TaskQuery",
    "TimedOut",
    "open_query",
]
