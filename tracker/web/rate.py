"""How often one client may ask: a bucket of requests that fills again over time."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic
from typing import NamedTuple

PERIOD_S = 10.0
DEFAULT_REQUESTS = 100
"""SailPoint's own: 100 requests in 10 s."""
MAX_CLIENTS = 10_000
"""Buckets held at once, each some 200 bytes. Beyond it the one unused for longest goes: it has most likely filled again."""


class _Bucket(NamedTuple):
    requests: float
    seen_s: float


class Rate:
    """``requests`` in 10 s for each client, at once or spread; 0: no limit."""

    def __init__(self, requests: int) -> None:
        self._most = float(requests)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_s(self, client: str) -> float:
        """Takes one request; 0 if it may go on, else how many seconds until the next may."""
        if not self._most:
            return 0.0
        now = monotonic()
        held = self._buckets.pop(client, _Bucket(self._most, now))
        filled = min(self._most, held.requests + (now - held.seen_s) * self._most / PERIOD_S)
        taken = filled >= 1
        self._buckets[client] = _Bucket(filled - taken, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - filled) * PERIOD_S / self._most
