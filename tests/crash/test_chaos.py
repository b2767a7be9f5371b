"""A short chaos run: three workers, a fault every few seconds, and in the end exactly what the log says.

The figures for the record come from ``python -m tests.crash.chaos``; see there.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.crash import clock
from tests.crash.chaos import Plan, run
from tests.crash.containers import NoDocker

SECONDS = float(os.environ.get("TRACKER_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("TRACKER_CHAOS_SEED") or Random().randrange(10**6))
RATE = 1_200.0

pytestmark = [pytest.mark.crash, pytest.mark.timeout(SECONDS + 600)]


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_chaos(tmp_path: Path, store: str) -> None:
    """Final states are the naive fold's, byte for byte; each record was counted once; no worker ended by itself or showed a traceback."""
    plan = Plan(int(SECONDS * RATE), SEED, RATE, store, folder=tmp_path)
    if clock.library() is None:
        print("no clock steps: there is no C compiler (cc)")
    try:
        report = run(plan)
    except NoDocker as reason:
        if os.environ.get("TRACKER_REQUIRE_SERVICES") == "1":
            pytest.fail(f"no docker, and TRACKER_REQUIRE_SERVICES=1: {reason}")
        pytest.skip(f"no docker: {reason}")

    assert report.wrong == [], f"seed {SEED}"
    assert report.read > SECONDS * RATE / 2
    assert len(list(report.stalls.kinds)) > SECONDS / 20
