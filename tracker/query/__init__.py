"""The one reading door: ``async with open_query("sqlite:///status.db") as tasks: await tasks.get(id)``."""

from tracker.query.api import Change, TaskQuery, open_query
from tracker.query.pages import Page
from tracker.query.report import PartitionReport, StatusReport

__all__ = ["Change", "Page", "PartitionReport", "StatusReport", "TaskQuery", "open_query"]
