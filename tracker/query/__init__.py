"""The one reading door: ``async with open_query("sqlite:///status.db") as tasks: await tasks.get(id)``."""

from tracker.query.api import TaskQuery, open_query
from tracker.query.blocking import BlockingQuery, connect
from tracker.query.following import Change
from tracker.query.freshness import Freshness
from tracker.query.histogram import Bucket, Histogram
from tracker.query.kin import Tree, TreeNode
from tracker.query.pages import Page
from tracker.query.questions import Count, Counts
from tracker.query.report import PartitionReport, StatusReport
from tracker.query.waiting import Behind, Ending, Impossible, Reached, TimedOut

__all__ = [
    "Behind",
    "BlockingQuery",
    "Bucket",
    "Change",
    "Count",
    "Counts",
    "Ending",
    "Freshness",
    "Histogram",
    "Impossible",
    "Page",
    "PartitionReport",
    "Reached",
    "StatusReport",
    "TaskQuery",
    "TimedOut",
    "Tree",
    "TreeNode",
    "connect",
    "open_query",
]
