"""Our own API: all tasks that match as one flat table, in Parquet, Arrow or CSV; its columns are those of `tracker.analytics.columns`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from tracker.analytics import needs
from tracker.analytics.attributes import Attribute, parse_attributes
from tracker.analytics.reading import Reached, about, place_of, reached, told
from tracker.errors import StoreChanged, UsageError
from tracker.query.base import Snapshot, parsed
from tracker.query.filters import Node
from tracker.query.following import revision_in
from tracker.query.tokens import Place
from tracker.web.answers import WAITING, Reading, Token, answer_heads, clock, problems, waited
from tracker.web.context import Context, Served
from tracker.web.problems import Problem
from tracker.web.spool import Spool, SpooledText

PARQUET, ARROW, CSV = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream", "text/csv"
TOKEN = "Tracker-Token"  # noqa: S105 - a place in the store's changes, no secret
GROUP_ROWS = 16_384
"""Of Parquet: a quarter of what an export to a file has, as several may be made at once."""

router = APIRouter(prefix="/api", tags=["tasks"])


class Export(Reading):
    """Parameters of a table."""

    filters: str | None = Field(
        None, json_schema_extra={"format": "task-filter"}, description='Which tasks, as in `state eq "RUNNING" and launcher sw "agg"`.'
    )
    attribute: list[Annotated[str, Field(json_schema_extra={"format": "task-attribute"}, max_length=1_000)]] = Field(
        [], max_length=100, description="A column of its own for an attribute, `KEY:TYPE` or `NAME=KEY:TYPE`; may be given again."
    )
    since: Token | None = Field(
        None, description="Only what changed after this change token, by revision; what is gone is told by the column `change`."
    )


Writer = Callable[[Spool, Snapshot, "_Wanted", Reached], None]


class _Wanted:
    """What a request asks for, checked."""

    def __init__(self, asked: Export) -> None:
        self.text = asked.filters
        self.where: Node | None = parsed(asked.filters, clock())
        self.attributes: tuple[Attribute, ...] = parse_attributes(asked.attribute)
        self.since: Place | None = None if asked.since is None else place_of(asked.since)


def _answers(media_type: str) -> dict[int | str, dict[str, Any]]:
    """The documentation of an operation's answers."""
    schema = {"type": "string"} if media_type == CSV else {"type": "string", "format": "binary"}
    header = {"description": "The change token that the table is of: go on from it with `since`.", "schema": {"type": "string"}}
    whole = {"description": "The table, as it is made", "content": {media_type: {"schema": schema}}, "headers": {TOKEN: header}}
    return {200: whole, **problems(*WAITING, *(() if media_type == CSV else (501,)))}


@router.get("/tasks.parquet", operation_id="exportParquet", response_class=Response, responses=_answers(PARQUET))
async def export_parquet(request: Request, served: Served, asked: Annotated[Export, Query()]) -> Response:
    """Get all tasks that match as a table in Parquet, in code point order of their ids. It is sent as it is made."""
    return await _sent(request, served, asked, "parquet", PARQUET, _write_parquet)


@router.get("/tasks.arrow", operation_id="exportArrow", response_class=Response, responses=_answers(ARROW))
async def export_arrow(request: Request, served: Served, asked: Annotated[Export, Query()]) -> Response:
    """Get all tasks that match as a stream of Arrow, which can be read while it comes."""
    return await _sent(request, served, asked, "arrow", ARROW, _write_arrow)


@router.get("/tasks.csv", operation_id="exportCsv", response_class=Response, responses=_answers(CSV))
async def export_csv(request: Request, served: Served, asked: Annotated[Export, Query()]) -> Response:
    """Get all tasks that match as CSV: null is empty, nested columns are JSON."""
    return await _sent(request, served, asked, "csv", CSV, _write_csv)


async def _sent(request: Request, served: Context, asked: Export, name: str, media_type: str, write: Writer) -> Response:
    wanted = _Wanted(asked)
    if name != "csv":
        try:
            needs("pyarrow", f"/api/tasks.{name}")
        except UsageError as error:
            raise Problem(501, f"this server can't make {name} files: {error}") from None
    await waited(served, asked)
    headers = {"Content-Disposition": f'attachment; filename="tasks.{name}"'}
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    spool, at = Spool(), list[Reached]()

    def question(snapshot: Snapshot) -> None:
        place = reached(snapshot)
        if wanted.since is not None:
            revision_in(snapshot, wanted.since)
        at.append(place)
        write(spool, snapshot, wanted, place)

    making = asyncio.create_task(served.turns.export(question))
    pieces = spool.sent(making)
    try:
        await anext(pieces)  # from here on it is a 200
    except StoreChanged as error:
        raise Problem(409, str(error)) from None
    return StreamingResponse(_closed(pieces), headers={**headers, TOKEN: at[0].token}, media_type=media_type)


async def _closed(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same, ended with whoever reads it."""
    try:
        async for piece in pieces:
            yield piece
    finally:
        await pieces.aclose()


def _write_parquet(spool: Spool, snapshot: Snapshot, wanted: _Wanted, at: Reached) -> None:
    from tracker.analytics.files import ParquetFile

    _write_batches(ParquetFile, spool, snapshot, wanted, at)


def _write_arrow(spool: Spool, snapshot: Snapshot, wanted: _Wanted, at: Reached) -> None:
    from tracker.analytics.files import ArrowStream

    _write_batches(ArrowStream, spool, snapshot, wanted, at)


def _write_batches(file_type: Any, spool: Spool, snapshot: Snapshot, wanted: _Wanted, at: Reached) -> None:
    from tracker.analytics.arrow import Batches
    from tracker.analytics.files import write_all

    made = Batches(wanted.attributes, about(at, wanted.since, wanted.text))
    write_all(file_type(spool, made.schema), made.read(snapshot, wanted.where, wanted.since), group_rows=GROUP_ROWS)


def _write_csv(spool: Spool, snapshot: Snapshot, wanted: _Wanted, at: Reached) -> None:  # noqa: ARG001 - one signature for all
    from tracker.analytics.cells import CsvFile

    text = SpooledText(spool)
    CsvFile(text, snapshot.limits, wanted.attributes).write_all(told(snapshot, wanted.where, wanted.since))
    text.flush()


answer_heads(router)
