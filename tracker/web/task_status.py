"""The compatible API: SailPoint's task-status endpoints, under ``/task-status/v1`` and the legacy prefixes.

Answers are the 18 keys and nothing else. ``docs/compatible-api.md`` says how each oddity of the original is decided.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any, TypeAlias

import orjson
from fastapi import APIRouter, Query, Request, Response

from tracker.model.status import TaskStatus
from tracker.query.base import Snapshot
from tracker.query.fields import FIELDS
from tracker.query.filters import IsNull, Node, parse
from tracker.query.pages import Order, parse_sorters
from tracker.query.questions import Question, shown
from tracker.web.context import Served, TaskId
from tracker.web.faults import JSON, RESPONSES, Fault, spelled

MAX_LIMIT = 250
"""Both the default and the most: the official Paginator takes a shorter page for the last one."""
MAX_OFFSET = 2**31 - 1
LEGACY = ("/beta", "/v2024", "/v2025", "/v2026")
PENDING = IsNull(FIELDS["completionStatus"])

Limit: TypeAlias = Annotated[int, Query(ge=0, le=MAX_LIMIT, description="The most tasks of a page")]
Offset: TypeAlias = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="How many tasks to leave out at the beginning")]
Count: TypeAlias = Annotated[bool, Query(description="Say in X-Total-Count how many match in all")]
Filters: TypeAlias = Annotated[str | None, Query(description='Which tasks, as in: completionStatus isnull and launcher in ("sweep")')]
Sorters: TypeAlias = Annotated[str | None, Query(description="Fields to sort by, - before one for descending; default: created,id")]
Documents: TypeAlias = list[dict[str, Any]]

router = APIRouter(tags=["task-status"], responses=RESPONSES)


def listing(where: Node | None, order: Order, limit: int, offset: int, *, counted: bool) -> Question[tuple[Documents, int | None]]:
    """A page by offset, and how many match in all; of one snapshot."""

    def question(snapshot: Snapshot) -> tuple[Documents, int | None]:
        rows = islice(snapshot.rows(where, order, limit=offset + limit), offset, None) if limit else ()
        return [shown(snapshot, row, extension=False) for row in rows], snapshot.count(where) if counted else None

    return question


def json_response(document: object, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """The document as ``application/json``."""
    return spelled(Response(orjson.dumps(document), status, media_type=JSON), headers or {})


async def list_tasks(
    served: Served, limit: Limit = MAX_LIMIT, offset: Offset = 0, count: Count = False, filters: Filters = None, sorters: Sorters = None
) -> Response:
    """Tasks as a bare array."""
    where = parse(filters) if filters and filters.strip() else None
    documents, total = await served.tasks.ask(listing(where, parse_sorters(sorters), limit, offset, counted=count))
    return json_response(documents, {} if total is None else {"X-Total-Count": str(total)})


async def pending_tasks(request: Request, served: Served, limit: Limit = MAX_LIMIT, offset: Offset = 0, count: Count = False) -> Response:
    """The tasks in flight; deprecated: ask for ``completionStatus isnull``."""
    documents, total = await served.tasks.ask(listing(PENDING, parse_sorters(None), limit, offset, counted=count))
    headers = {"X-Deprecated": "true"} | ({} if total is None else {"X-Total-Count": str(total)})
    return json_response(documents, headers)


async def get_task(served: Served, id: TaskId) -> Response:
    """One task."""
    document = await served.tasks.document(id)
    if document is None:
        raise Fault(404, f"there is no task {id!r}")
    return json_response(document)


def _add(version: str, path: str) -> None:
    name = version.strip("/") or "v1"
    listed: dict[int | str, dict[str, Any]] = {200: {"model": list[TaskStatus]}}
    one: dict[int | str, dict[str, Any]] = {200: {"model": TaskStatus}}
    router.add_api_route(path, list_tasks, responses=listed, operation_id=f"list_tasks_{name}")
    if version:
        pending = f"{path}/pending-tasks"
        router.add_api_route(pending, pending_tasks, responses=listed, deprecated=True, operation_id=f"pending_tasks_{name}")
        router.add_api_route(
            pending, pending_tasks, methods=["HEAD"], responses={200: {}}, deprecated=True, operation_id=f"pending_task_headers_{name}"
        )
    router.add_api_route(f"{path}/{{id}}", get_task, responses=one, operation_id=f"get_task_{name}")


_add("", "/task-status/v1")
for _version in LEGACY:
    _add(_version, f"{_version}/task-status")
