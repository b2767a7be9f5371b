"""``tracker publish``: the statuses of a store in a compacted Kafka topic."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker import telemetry
from tracker.cli import options, output, stopping
from tracker.errors import UsageError
from tracker.settings import Settings, count
from tracker.telemetry import say

if TYPE_CHECKING:
    from tracker.emit.statuses import StatusTopic
    from tracker.publish.publisher import Totals

LOG_EVERY_S = 10.0
"""A line about the progress so often, where something was published."""


def publish(
    topic: Annotated[
        str | None,
        typer.Option(
            "--topic",
            metavar="URL",
            help="The topic: kafka://host:9092/topic, or its name alone where the source is in Kafka. Made, compacted, if it is missing.",
            show_default=False,
        ),
    ] = None,
    source: options.Source = None,
    store: options.Store = None,
    kafka_config: options.KafkaConfig = None,
    extension: Annotated[
        bool, typer.Option("--extension", help="Add the key tracker: state, attempts and more beyond the 18 keys.")
    ] = False,
    partitions: Annotated[
        str | None,
        typer.Option(
            "--partitions", metavar="N", help="Of a topic that is made. [default: as many as the broker makes]", show_default=False
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Publish everything again, and take out of the topic what the store does not have.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="Stop once everything is published that the store has at the start.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="At the end, write the totals as one JSON document on standard output.")] = False,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Publish each task's status under its id in a compacted topic, and then what changes. Stop with Ctrl-C: the next run goes on there.

    tracker publish --topic kafka://localhost:9092/task-statuses
    """
    from tracker.emit.open import open_status_topic, topic_url

    if topic is None:
        raise UsageError("where to? give --topic kafka://host:9092/topic")
    settings = Settings.load().with_flags(source=source, store=store, kafka_config=kafka_config, log_level=log_level, log_format=log_format)
    telemetry.configure(settings.log_level, settings.log_format)
    url = topic_url(topic, settings.source)
    number = None if partitions is None else count(partitions, "--partitions")
    topic_there = open_status_topic(url, kafka_config=settings.kafka_config, partitions=number)
    totals = stopping.run(_publish(settings.store, topic_there, extension=extension, again=again, until_end=until_end))
    if as_json:
        output.write_json(_shown(totals))


async def _publish(url: str, topic: StatusTopic, *, extension: bool, again: bool, until_end: bool) -> Totals:
    from tracker.publish.publisher import Publisher, place_of
    from tracker.query.api import open_query

    async with open_query(url) as query:
        publisher = Publisher(
            query, topic, place=place_of(url), extension=extension, again=again, until_end=until_end, on_progress=_Reporter()
        )
        with stopping.on_signals(lambda _: publisher.stop()):
            totals = await publisher.run()
    say(telemetry.PUBLISH_STOPPED, **_shown(totals))
    return totals


def _shown(totals: Totals) -> dict[str, Any]:
    return {
        "statuses": totals.statuses,
        "tombstones": totals.tombstones,
        "transactions": totals.transactions,
        "publication": totals.publication,
        "revision": totals.revision,
        "seconds": round(totals.seconds, 3),
    }


class _Reporter:
    """Takes the totals after each transaction, and logs them once in a while."""

    def __init__(self) -> None:
        self._logged_at_s = monotonic()
        self._logged_records = 0

    def __call__(self, totals: Totals) -> None:
        now_s, records = monotonic(), totals.statuses + totals.tombstones
        if (passed_s := now_s - self._logged_at_s) >= LOG_EVERY_S:
            rate = (records - self._logged_records) / passed_s
            self._logged_at_s, self._logged_records = now_s, records
            say(
                telemetry.PUBLISH_PROGRESS,
                statuses=totals.statuses,
                tombstones=totals.tombstones,
                records_per_second=rate,
                revision=totals.revision,
            )
