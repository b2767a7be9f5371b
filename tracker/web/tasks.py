"""Our own API, reading: tasks with all that the tracker knows of them, how many, when, and how the store stands."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
import orjson
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import Field, WithJsonSchema

from tracker.fold.event import StampParts
from tracker.fold.view import Reason
from tracker.query import fields, questions
from tracker.query.base import Snapshot, parsed
from tracker.query.kin import MAX_DEPTH, MAX_TASKS
from tracker.query.pages import Page
from tracker.query.questions import SCAN_LIMIT
from tracker.query.report import report
from tracker.web import documents, parked
from tracker.web.answers import WAITING, Cursor, Reading, Time, answer, answer_heads, clock, paged, problems, read
from tracker.web.context import Context, Served, TaskId
from tracker.web.problems import Problem
from tracker.web.selection import parse_selection

MAX_LIMIT = 1_000
PAGE_BYTES = 32_000_000
"""Of stored states: a page of greater tasks ends early. One task has up to 65 MB of messages."""
FieldName: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "enum": list(fields.FIELDS)})]
Tags: TypeAlias = Annotated[str | None, Header(description="The `ETag` of an earlier answer.")]
T = TypeVar("T")
CAP = 10_000
"""Matching tasks are counted so far unless told: more reads "10,000+"."""
FILTERS = Field(
    None, json_schema_extra={"format": "task-filter"}, description='Which tasks, as in `state eq "RUNNING" and launcher sw "agg"`.'
)
FIELDS = Field(
    None,
    json_schema_extra={"format": "task-fields"},
    description="Only these members, as in `id,completionStatus,tracker.state,attributes.worker`.",
)
EXTENSION = Field(default=True, description="Whether tasks have `tracker`, what is known beyond the 18 members of a status.")

router = APIRouter(prefix="/api", tags=["tasks"], responses=problems())


class Listing(Reading):
    """Parameters of a list."""

    filters: str | None = FILTERS
    sorters: str | None = Field(
        None,
        json_schema_extra={"format": "task-sorters"},
        description="Fields, `-` before those that descend, as in `-modified`; `created,id` unless told.",
    )
    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="At most so many tasks.")
    after: Cursor | None = Field(None, description="The cursor of an earlier page: its `next` has it.")
    fields: str | None = FIELDS
    extension: bool = EXTENSION


class Showing(Reading):
    """Parameters of one task."""

    fields: str | None = FIELDS
    extension: bool = EXTENSION


class Counting(Reading):
    """Parameters of counts."""

    filters: str | None = FILTERS
    by: FieldName | None = Field(None, description="A field: how many tasks have each of its values.")
    cap: int = Field(CAP, ge=1, le=1_000_000_000, description="Without `by`: count no further than this.")


class Climbing(Reading):
    """Parameters of a tree."""

    max_tasks: int = Field(1_000, ge=1, le=MAX_TASKS, description="At most so many tasks.")
    max_depth: int = Field(50, ge=0, le=MAX_DEPTH, description="At most so many levels up, and as many down.")


class Timing(Reading):
    """Parameters of a histogram."""

    filters: str | None = FILTERS
    field: Literal["created", "modified", "launched", "completed"] = Field("created", description="Which time of a task.")
    bucket: str | None = Field(
        None, pattern="^[1-9][0-9]{0,5}[smhd]$", description="Width, as in `30s`, `5m`, `1h` or `7d`; chosen to fit unless told."
    )
    since: str | None = Field(
        None,
        json_schema_extra={"format": "task-time"},
        max_length=100,
        description="From this time, as filters have it: `2026-01-31T09:00:00Z`, `now-2h`.",
    )
    until: Time | None = Field(None, description="Before this time.")
    by: FieldName | None = Field(None, description="A field: each bucket's count is told for each of its values as well.")


@router.get("/tasks", operation_id="listTasks", response_model=documents.TaskPage, responses=problems(*WAITING))
async def list_tasks(request: Request, served: Served, wanted: Annotated[Listing, Query()]) -> Response:
    """List tasks: those that match, page by page.

    A page goes on after the last task of the one before it, whatever is written in between: `next` is where to go on.
    """
    now = clock()
    select = None if wanted.fields is None else parse_selection(wanted.fields)
    where = parsed(wanted.filters, now)
    asked = questions.page(where, wanted.sorters, wanted.limit, wanted.after, extension=wanted.extension, max_bytes=PAGE_BYTES)

    def question(snapshot: Snapshot) -> tuple[Page[dict[str, Any]], orjson.Fragment]:
        # Bytes are made in the reading thread: a page of large tasks is many MB.
        page = asked(snapshot)
        return page, orjson.Fragment(orjson.dumps(page.items if select is None else [select(item) for item in page.items]))

    (page, items), at = await read(served, wanted, question, now, where=where)
    document: dict[str, Any] = {"items": items}
    if page.looked_at is not None:
        document["lookedAt"] = page.looked_at
    return paged(request, document, page.next, at)


@router.get(
    "/tasks/{id}",
    operation_id="getTask",
    response_model=documents.TaskAnswer | documents.SelectedTask,
    responses={304: {"description": "The task is as it was"}, **problems(404, *WAITING)},
)
async def get_task(served: Served, id: TaskId, wanted: Annotated[Showing, Query()], if_none_match: Tags = None) -> Response:
    """Get one task. An `If-None-Match` with the `ETag` of an earlier answer gives 304 while the task is the same."""
    select = None if wanted.fields is None else parse_selection(wanted.fields)
    found, at = await read(served, wanted, questions.document(id, extension=wanted.extension), clock(), small=True)
    document = await _there(served, found, id)
    if select is not None:
        document = select(document)
    # Weak, as `at` moves on while the task stays.
    tag = f'W/"{hashlib.blake2b(orjson.dumps(document), digest_size=12).hexdigest()}"'
    if {tag, "*"} & {each.strip() for each in (if_none_match or "").split(",")}:
        return Response(status_code=304, headers={"ETag": tag})
    return answer({**document, "at": at}, {"ETag": tag})


@router.get("/tasks/{id}/why", operation_id="explainTask", response_model=documents.Why, responses=problems(404, *WAITING))
async def explain_task(served: Served, id: TaskId, wanted: Annotated[Reading, Query()]) -> Response:
    """Explain one task: for each field the event that set it, or the rule that it follows. Of a deleted task, that it is deleted."""
    found, at = await read(served, wanted, questions.why(id), clock())
    reasons = {name: _reason(reason) for name, reason in (await _there(served, found, id)).items()}
    return answer({"id": id, "fields": reasons, "at": at})


@router.get("/tasks/{id}/tree", operation_id="getTaskTree", response_model=documents.Tree, responses=problems(404, *WAITING))
async def get_task_tree(served: Served, id: TaskId, wanted: Annotated[Climbing, Query()]) -> Response:
    """Get the tree around one task: its ancestors by `parentId` up to the topmost, and all its descendants."""
    question = questions.tree(id, max_tasks=wanted.max_tasks, max_depth=wanted.max_depth)
    found, at = await read(served, wanted, question, clock())
    document = {**(await _there(served, found, id)).to_json(), "at": at}
    # A tree of 201 levels has 402 of JSON; orjson writes no more than 254.
    return answer(orjson.Fragment(msgspec.json.encode(document)))


@router.get("/counts", operation_id="countTasks", response_model=documents.Counts, responses=problems(*WAITING))
async def count_tasks(served: Served, wanted: Annotated[Counting, Query()]) -> Response:
    """Count tasks: all that match, and by the values of a field."""
    now = clock()
    where = parsed(wanted.filters, now)
    if wanted.by is None:
        total, at = await read(served, wanted, questions.count(where, cap=wanted.cap, scan_limit=SCAN_LIMIT), now, where=where)
        document: dict[str, Any] = {"total": total.number, "exact": total.exact}
        if total.looked_at is not None:
            document["lookedAt"] = total.looked_at
        return answer({**document, "by": None, "counts": None, "other": None, "at": at})
    found, at = await read(served, wanted, questions.counts(where, wanted.by), now, where=where)
    counts = [{"value": value, "count": count} for value, count in found.values.items()]
    sums = sum(found.values.values()) + found.other
    return answer({"total": sums, "exact": True, "by": wanted.by, "counts": counts, "other": found.other, "at": at})


@router.get("/histogram", operation_id="getHistogram", response_model=documents.Histogram, responses=problems(*WAITING))
async def get_histogram(served: Served, wanted: Annotated[Timing, Query()]) -> Response:
    """Count tasks by a time of theirs, in buckets of one width; tasks without that time are in none."""
    now = clock()
    where = parsed(wanted.filters, now)
    question = questions.histogram(where, wanted.field, bucket=wanted.bucket, since=wanted.since, until=wanted.until, by=wanted.by, now=now)
    found, at = await read(served, wanted, question, now, where=where)
    return answer({**found.to_json(), "at": at})


@router.get("/status", operation_id="getStatus", response_model=documents.Status, responses=problems(*WAITING))
async def get_status(served: Served, wanted: Annotated[Reading, Query()]) -> Response:
    """How the store stands: positions, lags, counters, parked records, jumps, size."""
    now = clock()
    facts, at = await read(served, wanted, lambda snapshot: snapshot.facts(), now)
    return answer({**report(facts, now).to_json(), "at": at})


async def _there(served: Context, found: T | None, id: str) -> T:
    if found is None:
        purged: str | None = await served.tasks.ask(questions.purged(id), small=True)
        raise Problem(404, purged or f"there is no task {id!r}")
    return found


def _reason(reason: Reason) -> dict[str, Any]:
    return {"value": reason.value, "event": None if reason.event is None else _event(reason.event), "rule": reason.rule}


def _event(stamp: StampParts) -> dict[str, Any]:
    return {**msgspec.to_builtins(stamp), "time": stamp.time + "Z"}


answer_heads(router)
router.include_router(parked.router)
