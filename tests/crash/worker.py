"""A worker for the tests, as a process: Kafka into SQLite by the product's own classes, and a signal to itself at a named seam.

Run as ``python tests/crash/worker.py SOURCE STORE [options]``. At the end it writes its totals as one line of JSON and ends with the
exit code of the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable

import msgspec

from tracker.errors import TrackerError
from tracker.projector import SEAMS, Options, Projector, Totals
from tracker.sources.kafka import KafkaSource
from tracker.sources.kafka_config import parse_kafka_config
from tracker.stores.sql import SqlStore


def arguments() -> argparse.Namespace:
    """What to read, where to store it, and at which passing of which seam to send which signal to oneself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("store")
    parser.add_argument("--instance")
    parser.add_argument("--config", default="", help="lines of a properties file, separated by spaces")
    parser.add_argument("--max-batch-records", type=int, default=500)
    parser.add_argument("--until-end", action="store_true")
    parser.add_argument("--seam", choices=SEAMS)
    parser.add_argument("--passing", type=int, default=1)
    parser.add_argument("--signal", default="SIGKILL")
    return parser.parse_args()


def seam(name: str | None, passing: int, number: signal.Signals) -> Callable[[str], None]:
    """Sends the signal to this process when the seam is passed for the n-th time; SIGKILL and SIGSTOP leave no time for anything else."""
    passed = 0

    def pass_by(at: str) -> None:
        nonlocal passed
        passed += at == name
        if at == name and passed == passing:
            # To this very thread: a signal to the process may reach another one first, and this one gets into the commit meanwhile.
            signal.pthread_kill(threading.get_ident(), number)

    return pass_by


async def work(told: argparse.Namespace) -> Totals:
    """The run, until its end or SIGTERM."""
    config = parse_kafka_config(told.config.replace(" ", "\n"), "worker.properties")
    with SqlStore(told.store) as store:
        projector = Projector(
            lambda on_revoked: KafkaSource(told.source, on_revoked=on_revoked, config=config, instance=told.instance),
            store,
            options=Options(max_batch_records=told.max_batch_records, until_end=told.until_end),
            seam=seam(told.seam, told.passing, signal.Signals[told.signal]),
        )
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, projector.stop)
        return await projector.run()


def main() -> int:
    """0, or the exit code of the error that ended the run, told on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(name)s %(levelname)s %(message)s")
    try:
        totals = asyncio.run(work(arguments()))
    except TrackerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(msgspec.to_builtins(totals.counters)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
