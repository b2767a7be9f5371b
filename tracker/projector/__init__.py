"""The projector: the one loop that knows the whole road (``loop``), a batch's way through it (``projection``), parked records again (``retry``)."""

from tracker.projector.loop import Projector
from tracker.projector.options import BatchTimes, Options, Progress, Totals
from tracker.projector.projection import SEAMS, Projection
from tracker.projector.retry import RetryTotals, retry_parked

__all__ = ["SEAMS", "BatchTimes", "Options", "Progress", "Projection", "Projector", "RetryTotals", "Totals", "retry_parked"]
