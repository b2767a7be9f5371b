"""The projector: the one loop that knows the whole road (``loop``), a batch's way through it (``projection``), parked records again (``retry``)."""

from tracker.projector.loop import Projector
from tracker.projector.projection import SEAMS, Projection
from tracker.projector.retry import RetryTotals, retry_parked
from tracker.projector.terms import BatchTimes, Options, Progress, Totals

__all__ = ["SEAMS", "BatchTimes", "Options", "Progress", "Projection", "Projector", "RetryTotals", "Totals", "retry_parked"]
