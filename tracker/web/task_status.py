"""The compatible API: SailPoint's task-status endpoints, under ``/task-status/v1`` and the legacy prefixes.

Answers are the 18 keys and nothing else. ``docs/compatible-api.md`` says how each oddity of the original is decided.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from tracker.errors import EmitError
from tracker.model.status import TaskStatus
from tracker.query import Reached
from tracker.query.base import Question, Snapshot
from tracker.query.fields import FIELDS
from tracker.query.filters import IsNull, Node, parse
from tracker.query.pages import Page
from tracker.query.questions import MAX_OFFSET, Count, count, page, together
from tracker.web.access import Client
from tracker.web.context import Asking, Context, Served, TaskId
from tracker.web.corrections import MAX_OPERATIONS, Corrections, Known, applied, known, parse_patch
from tracker.web.faults import JSON, RESPONSES, Fault, spelled

MAX_LIMIT = 250
"""Both the default and the most: the official Paginator takes a shorter page for the last one."""
PAGE_BYTES = 32_000_000
"""Of stored states, which are about as large as the answer."""
LEGACY = ("/beta", "/v2024", "/v2025", "/v2026")
PENDING = IsNull(FIELDS["completionStatus"])
PATCH_TYPES = ("application/json-patch+json", "application/json")
WRITE_S = 10.0
"""Opening the log and writing to it: a broker that was asked for longer is away."""
WAIT_S = 5.0
"""How long a PATCH waits for the projection; a live projector takes some 100 ms."""

Limit: TypeAlias = Annotated[int, Query(ge=0, le=MAX_LIMIT, description="The most tasks of a page")]
Offset: TypeAlias = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="How many tasks to leave out at the beginning")]
Counted: TypeAlias = Annotated[bool, Query(alias="count", description="Say in X-Total-Count how many match in all")]
Filter: TypeAlias = Annotated[
    str | None,
    Query(
        alias="filters",
        json_schema_extra={"format": "task-filter"},
        description='Which tasks, as in: completionStatus isnull and launcher in ("sweep")',
    ),
]
Sorters: TypeAlias = Annotated[
    str | None,
    Query(json_schema_extra={"format": "task-sorters"}, description="Fields to sort by, - before one for descending; default: created,id"),
]
Document: TypeAlias = dict[str, Any]

router = APIRouter(tags=["task-status"], responses=RESPONSES)


class PatchOperation(BaseModel):
    """One operation of a JSON Patch (RFC 6902)."""

    op: Literal["replace", "add", "test"] = Field(examples=["replace"])
    path: Literal["/completionStatus", "/completed"] = Field(examples=["/completionStatus"])
    value: str | None = Field(examples=["ERROR"], description="A completion status, or a time; null only to test for it.")


def _json(body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return spelled(Response(body, status, media_type=JSON), headers or {})


async def list_tasks(
    served: Served,
    filters: Filter = None,
    sorters: Sorters = None,
    limit: Limit = MAX_LIMIT,
    offset: Offset = 0,
    counted: Counted = False,
) -> Response:
    """Tasks as a bare array."""
    where = parse(filters, now=datetime.now(UTC), compatible=True) if filters and filters.strip() else None
    return await _listed(served, where, sorters, limit, offset, counted=counted)


async def pending_tasks(
    served: Served,
    limit: Limit = MAX_LIMIT,
    offset: Offset = 0,
    counted: Counted = False,
) -> Response:
    """The tasks in flight; deprecated: list those with ``completionStatus isnull``."""
    return spelled(await _listed(served, PENDING, None, limit, offset, counted=counted), {"X-Deprecated": "true"})


async def _listed(served: Context, where: Node | None, sorters: str | None, limit: int, offset: int, *, counted: bool) -> Response:
    # A page that ended early would read as the last one, so nothing but time limits how far it looks.
    asked: Question[Page[Document]] = page(where, sorters or None, limit, offset=offset, scan_limit=None, max_bytes=PAGE_BYTES)

    def rows(snapshot: Snapshot) -> bytes:
        # Bytes are made in the reading thread: a page of large tasks is many MB.
        page = asked(snapshot)
        if page.next is not None and len(page.items) < limit:
            raise Fault(400, f"{len(page.items)} tasks of this page are over {PAGE_BYTES:,} bytes already: ask for a limit of fewer")
        return orjson.dumps(page.items)

    if not counted:
        return _json(await served.turns.ask(rows, where))
    total: Question[Count] = count(where)
    found, number = await served.turns.ask(together(rows, total), where)
    return _json(found, {"X-Total-Count": str(number.number)})


async def get_task(served: Served, id: TaskId) -> Response:
    """One task."""
    return _json(orjson.dumps(_there(await served.tasks.document(id), id)))


async def patch_task(request: Request, served: Served, asking: Asking, id: TaskId) -> Response:
    """An operator's word on how the task ended: one event in the log, and the task as it is once that is folded.

    202: it is written, but was not folded in time.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in PATCH_TYPES:
        raise Fault(415, f"expected a body of the type {PATCH_TYPES[0]}, not {kind or 'none'}")
    document, late = await correct(served, asking, id, parse_patch(await request.body()))
    if late is None:
        return _json(orjson.dumps(document))
    return _json(orjson.dumps(document), {"X-Tracker-Pending": "".join(each if " " <= each <= "~" else "?" for each in late)}, 202)


async def correct(served: Context, asking: Client, id: str, operations: list[dict[str, Any]]) -> tuple[Document, str | None]:
    """Write what the operations make of the task's end; the task as it is then, and why the correction is not folded yet, if it isn't.

    Raises `Fault`; UsageError for operations that can't be.
    """
    before = await served.tasks.ask(known(id))
    document = _there(before.document, id)
    patch = applied(operations, document)
    if patch.is_empty:
        return document, None
    data = patch.data(document)
    try:
        async with asyncio.timeout(WRITE_S):
            corrections = await _log(served, before)
            position = await corrections.write(id, data, before, asking.name)
    except EmitError as error:
        raise Fault(503, f"the correction may not be written: {error}") from None
    except TimeoutError:
        raise Fault(503, f"the log did not take the correction within {WRITE_S:g} s; it may be written") from None
    ending = await served.tasks.wait_for(position, WAIT_S)
    document = _there(await served.tasks.document(id), id)
    return document, None if isinstance(ending, Reached) else f"the correction is written but not folded yet: {ending.reason}"


async def _log(served: Context, before: Known) -> Corrections:
    """The log to write to. Raises `Fault` where there is none that the projection reads."""
    if served.corrections is None:
        raise Fault(409, "there is no log to write the correction to: start the server with --source, a Kafka topic or a plain file")
    why = await served.corrections.why_unread(before.positions)
    if why is not None:
        raise Fault(409, f"the correction would never be seen, and was not written: {why}")
    return served.corrections


def _there(document: Document | None, id: str) -> Document:
    if document is None:
        raise Fault(404, f"there is no task {id!r}")
    return document


def _add(version: str, path: str) -> None:
    name = (version.strip("/") or "v1").capitalize()
    listed: dict[int | str, dict[str, Any]] = {
        200: {
            "model": list[TaskStatus],
            "description": "The tasks",
            "headers": {"X-Total-Count": {"description": "With count=true: how many match in all", "schema": {"type": "integer"}}},
        }
    }
    one: dict[int | str, dict[str, Any]] = {200: {"model": TaskStatus, "description": "The task"}}
    late: dict[int | str, dict[str, Any]] = {
        202: {
            "model": TaskStatus,
            "description": "The task as it is; the correction is written but not folded yet",
            "headers": {"X-Tracker-Pending": {"description": "Why it is late", "schema": {"type": "string"}}},
        }
    }
    body = {"schema": {"type": "array", "maxItems": MAX_OPERATIONS, "items": PatchOperation.model_json_schema()}}
    router.add_api_route(path, list_tasks, responses=listed, operation_id=f"listTaskStatus{name}")
    if version:
        pending = f"{path}/pending-tasks"
        router.add_api_route(pending, pending_tasks, responses=listed, deprecated=True, operation_id=f"listPendingTasks{name}")
        router.add_api_route(
            pending,
            pending_tasks,
            methods=["HEAD"],
            responses={200: {"description": "The headers of the GET"}},
            deprecated=True,
            operation_id=f"headPendingTasks{name}",
        )
    router.add_api_route(f"{path}/{{id}}", get_task, responses=one, operation_id=f"getTaskStatus{name}")
    router.add_api_route(
        f"{path}/{{id}}",
        patch_task,
        methods=["PATCH"],
        responses=one | late,
        operation_id=f"patchTaskStatus{name}",
        openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(PATCH_TYPES, body)}},
    )
    for headed, answers in ((path, list_tasks), (f"{path}/{{id}}", get_task)):  # as GET, but the server leaves the body out
        router.add_api_route(headed, answers, methods=["HEAD"], include_in_schema=False)


_add("", "/task-status/v1")
for _version in LEGACY:
    _add(_version, f"{_version}/task-status")
