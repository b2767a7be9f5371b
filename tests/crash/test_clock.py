"""The stepped clock of the chaos runs does what it says, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crash import clock

CHILD = """
import sys, time
for line in sys.stdin:
    before = time.monotonic()
    time.sleep(0.01)
    print(time.time(), time.monotonic() - before, flush=True)
"""


def test_a_step_moves_the_wall_clock_alone(tmp_path: Path) -> None:
    """A step is seen at once by time(), sleeping goes on, and monotonic time does not jump."""
    path = tmp_path / "clock"
    made = clock.environment(path)
    if not made:
        pytest.skip("there is no C compiler (cc)")
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | made) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for step in (0, 7200, -3600, 0):
            clock.set_step(path, step)
            child.stdin.write("\n")
            child.stdin.flush()
            wall, slept = map(float, child.stdout.readline().split())
            assert abs(wall - time.time() - step) < 30
            assert 0.01 <= slept < 30
        child.stdin.close()
        assert child.wait() == 0
