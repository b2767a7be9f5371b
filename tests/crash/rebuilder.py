"""A rebuild for the tests, as a process that kills itself at a named seam. Run as ``python tests/crash/rebuilder.py STORE LOG [options]``.

The sizes are small ones, so that a little log has stretches, runs and batches enough.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys

from tracker import replay
from tracker.errors import TrackerError
from tracker.rebuild import folding, following, run
from tracker.rebuild.logs import Logs
from tracker.stores.open import open_shadow


def main() -> int:
    """0 when exchanged, 3 when different; killed at the seam."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("log")
    parser.add_argument("--seam", choices=run.SEAMS)
    parser.add_argument("--passing", type=int, default=1)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--in-order", action="store_true", help="without processes for stretches")
    told = parser.parse_args()
    replay.PARALLEL_FROM_BYTES, folding.STRETCH_BYTES = 0, 200_000
    following.BATCH_RECORDS = 2_000
    passed = 0

    def seam(at: str) -> None:
        nonlocal passed
        passed += at == told.seam
        if at == told.seam and passed == told.passing:
            os.kill(os.getpid(), signal.SIGKILL)

    order = run.Order(logs=Logs(source=told.log), accept=told.accept, records_per_s=1e9 if told.in_order else 0.0)
    try:
        outcome = asyncio.run(run.Rebuild(open_shadow(told.store), order, lambda: "2026-01-01T00:00:00Z", seam=seam).run())
    except TrackerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    print(
        json.dumps({"state": outcome.note.state, "different": outcome.note.different, "hash": outcome.note.hash, "read": outcome.note.read})
    )
    return 0 if outcome.note.state == "swapped" else 3


if __name__ == "__main__":
    sys.exit(main())
