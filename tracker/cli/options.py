"""The options that several commands share, and what is read from them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.cli import completing
from tracker.errors import FilterError, UsageError
from tracker.settings import LOST_OFFSET_POLICIES, Settings, did_you_mean

if TYPE_CHECKING:
    from tracker.model.limits import Limits
    from tracker.query.filters import Node

SOURCE_HELP = "The log: kafka://host:9092/topic, a file, a pattern, or - for standard input. [TRACKER_SOURCE; default: events.jsonl]"
STORE_HELP = "The store: sqlite:///status.db, postgresql://user@host/db or memory://. [TRACKER_STORE; default: sqlite:///status.db]"
Source = Annotated[str | None, typer.Option("--source", "-s", metavar="URL", help=SOURCE_HELP, show_default=False)]
Store = Annotated[str | None, typer.Option("--store", "-d", metavar="URL", help=STORE_HELP, show_default=False)]
KafkaConfig = Annotated[
    str | None,
    typer.Option(
        "--kafka-config", metavar="FILE", help="A properties file with the Java client's names: security, timeouts.", show_default=False
    ),
]
Task = Annotated[str, typer.Argument(metavar="TASK", help="The task's id.", autocompletion=completing.task)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output; everything else goes to standard error.")]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="TEXT",
        help='Which tasks, as in: state eq "RUNNING" and silence gt 10m',
        show_default=False,
        autocompletion=completing.filters,
    ),
]
Sort = Annotated[
    str | None,
    typer.Option(
        "--sort",
        metavar="FIELDS",
        help="Fields to sort by, - before one for descending: -modified,id",
        show_default=False,
        autocompletion=completing.sorters,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no log lines but warnings.")]
Instance = Annotated[
    str | None,
    typer.Option(
        "--instance", metavar="NAME", help="Static membership in the Kafka group: a name that no other worker has.", show_default=False
    ),
]
OnLostOffset = Annotated[
    str | None,
    typer.Option(
        "--on-lost-offset",
        metavar="|".join(LOST_OFFSET_POLICIES),
        help="What to do when the stored position is no longer in the log. [default: stop]",
        show_default=False,
    ),
]
MaxBatchRecords = Annotated[
    str | None,
    typer.Option("--max-batch-records", metavar="N", help="At most so many records in one commit. [default: 10000]", show_default=False),
]
MaxBatchAge = Annotated[
    str | None,
    typer.Option(
        "--max-batch-age", metavar="TIME", help="A commit waits at most so long for more records. [default: 100ms]", show_default=False
    ),
]
MaxParkedRatio = Annotated[
    str | None,
    typer.Option(
        "--max-parked-ratio",
        metavar="RATIO",
        help="Stop when more of the last 10,000 records are refused; 0: never. [default: 0.1]",
        show_default=False,
    ),
]
MaxRecordBytes = Annotated[
    str | None,
    typer.Option(
        "--max-record-bytes",
        metavar="SIZE",
        help="Larger records are parked; fixed when a store is made. [default: 1M]",
        show_default=False,
    ),
]
MaxFuture = Annotated[
    str | None,
    typer.Option(
        "--max-future",
        metavar="TIME",
        help="Events further after their record's timestamp are parked; fixed when a store is made. [default: 24h]",
        show_default=False,
    ),
]
LogLevel = Annotated[str | None, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.", show_default=False)]
LogFormat = Annotated[str | None, typer.Option("--log-format", metavar="FORMAT", help="text or json.", show_default=False)]
Access = Annotated[
    str | None,
    typer.Option(
        "--access",
        metavar="FILE",
        help="A TOML file with tokens and clients: who may do what. TRACKER_TOKEN is one token that may do everything.",
        show_default=False,
    ),
]
RootPath = Annotated[
    str | None,
    typer.Option(
        "--root-path", metavar="PATH", help="The prefix under which a proxy shows this server, as in /tracker.", show_default=False
    ),
]
HostName = Annotated[
    str | None,
    typer.Option(
        "--host-name",
        metavar="NAMES",
        help="Names by which this server may be asked without a login, beside those of this machine; commas between.",
        show_default=False,
    ),
]
ForwardedFrom = Annotated[
    str | None,
    typer.Option(
        "--forwarded-from",
        metavar="ADDRESSES",
        help="Proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; commas between.",
        show_default=False,
    ),
]
Rate = Annotated[
    str | None,
    typer.Option(
        "--rate",
        metavar="N",
        help="Requests of one client in 10 seconds; 0: no limit. [default: 100 where a login is needed, else 0]",
        show_default=False,
    ),
]


def limits_of(settings: Settings) -> Limits | None:
    """The limits that were asked for; None: those of the store, or the defaults for a new one."""
    if settings.max_record_bytes is None and settings.max_future is None:
        return None
    from tracker.model.limits import DEFAULT_LIMITS, Limits

    return Limits(
        max_record_bytes=DEFAULT_LIMITS.max_record_bytes if settings.max_record_bytes is None else settings.max_record_bytes,
        max_future_s=DEFAULT_LIMITS.max_future_s if settings.max_future is None else settings.max_future,
    )


By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="FIELD",
        help="Counts for each value of a field, such as state.",
        show_default=False,
        autocompletion=completing.field,
    ),
]
CARET_CHARACTERS = 100
"""Of a filter, so many are shown around the place that is wrong: a line of most terminals."""


def now() -> datetime:
    """The clock's word: what relative times in a filter count from."""
    return datetime.now(UTC)


def where(text: str | None, at: datetime | None = None) -> Node | None:
    """The tree of a filter; relative times and ages are those ``at`` a moment: now unless told.

    FilterError: the sentence, and below it the text with a mark under the place.
    """
    if text is None:
        return None
    from tracker.query.filters import parse

    try:
        return parse(text, now=at or now())
    except FilterError as error:
        raise FilterError(f"{error}\n{_pointed(text, error.position)}", error.position) from None


def _pointed(text: str, position: int) -> str:
    from rich.cells import cell_len

    from tracker.cli.output import visible

    start = max(0, position - 1 - CARET_CHARACTERS // 2)
    shown = visible(text[start : start + CARET_CHARACTERS])
    return f"  {shown}\n  {' ' * cell_len(shown[: position - 1 - start])}^"


def chosen(value: str, known: tuple[str, ...], what: str) -> str:
    """One of a few words. Raises UsageError with the near one."""
    if value not in known:
        raise UsageError(f"{what} can't be {value!r}: {did_you_mean(value, known)}")
    return value


def json_object(text: str, what: str) -> dict[str, Any]:
    """A JSON object given as an option."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise UsageError(f"{what} is nested too deep to be read") from None
    if not isinstance(value, dict):
        raise UsageError(f'{what} must be a JSON object such as {{"percentComplete":50}}, got {text}')
    return value
