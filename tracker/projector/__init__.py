"""The projector: the one loop that knows the whole road (``loop``), a batch's way through it (``projection``), parked records again (``retry``)."""

from tracker.projector.loop import BatchTimes, Options, Progress, Projector, Totals
from tracker.projector.projection import SEAMS, Projection
from tracker.projector.retry import RetryTotals, retry_parked

__all__ = ["SEAMS", "BatchTimes", "Options", "Progress", "Projection", "Projector", "RetryTotals", "Totals", "retry_parked"]
