"""A publisher for the tests, as a process: ``tracker publish`` by the product's own classes, and a signal to itself at a named seam.

Run as ``python tests/crash/publishing.py STORE TOPIC [options]``. Ends with the exit code of the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from tests.crash.worker import seam
from tracker.emit.kafka_statuses import KafkaStatusTopic
from tracker.errors import TrackerError
from tracker.publish import feed
from tracker.publish.publisher import Publisher, place_of
from tracker.query import open_query

SEAMS = ("opened", "swept", "read", "begun", "sent", "committed", "written")
"""In the order in which they are passed."""


def arguments() -> argparse.Namespace:
    """What to publish where, and at which passing of which seam to send which signal to oneself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("topic")
    parser.add_argument("--until-end", action="store_true")
    parser.add_argument("--page-records", type=int, default=50)
    parser.add_argument("--seam", choices=SEAMS)
    parser.add_argument("--passing", type=int, default=1)
    parser.add_argument("--signal", default="SIGKILL")
    return parser.parse_args()


async def publish(told: argparse.Namespace) -> None:
    """The run, until its end or SIGTERM."""
    feed.PAGE_RECORDS, feed.AT_ONCE = told.page_records, 10
    pass_by = seam(told.seam, told.passing, signal.Signals[told.signal])
    topic = KafkaStatusTopic(told.topic, seam=pass_by)
    async with open_query(told.store) as query:
        publisher = Publisher(query, topic, place=place_of(told.store), until_end=told.until_end, seam=pass_by)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, publisher.stop)
        await publisher.run()


def main() -> int:
    """0, or the exit code of the error that ended the run, told on standard error."""
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(name)s %(levelname)s %(message)s")
    try:
        asyncio.run(publish(arguments()))
    except TrackerError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
