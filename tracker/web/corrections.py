"""PATCH is an event: a JSON Patch of how a task ended becomes one ``corrected`` event, written to the log.

Nothing here writes to the projection: the projector folds the event like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, get_args
from urllib.parse import quote
from uuid import uuid4

import msgspec
import orjson

from tracker.emit.base import Emitter, Outgoing
from tracker.emit.encoding import encoded, now_text
from tracker.errors import EmitError, UsageError
from tracker.model.kinds import CompletionStatus
from tracker.model.limits import Limits
from tracker.model.records import Position
from tracker.model.times import to_utc
from tracker.query.base import Question, Snapshot
from tracker.query.questions import document, latest

SOURCE = "/tracker/api"
STATUSES = get_args(CompletionStatus)
MAX_OPERATIONS = 100
_STATUS, _COMPLETED = "/completionStatus", "/completed"


class Known(msgspec.Struct):
    """What one snapshot knows of a task before it is corrected."""

    document: dict[str, Any] | None
    attempt: int
    sequence: int
    """The greatest known; 0: the task's events are not numbered."""
    positions: list[Position]
    limits: Limits


def known(id: str) -> Question[Known]:
    """What a correction of this task is to know."""
    shown, place = document(id), latest(id)

    def question(snapshot: Snapshot) -> Known:
        attempt, sequence = place(snapshot) or (1, 0)
        return Known(shown(snapshot), attempt, sequence, [each.position for each in snapshot.partitions()], snapshot.limits)

    return question


class Patch(msgspec.Struct):
    """How the attempt ended, in the operator's words; None: as it is."""

    completion_status: str | None = None
    completed: str | None = None
    """RFC 3339."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to change: no operation, or tests only."""
        return self.completion_status is None and self.completed is None

    def data(self, document: dict[str, Any]) -> dict[str, Any]:
        """The data of the event: of what is not patched the present value stays. UsageError: the task would be half ended."""
        status = self.completion_status or document["completionStatus"]
        if status is None:
            raise UsageError(f"the task is in flight: {_COMPLETED} alone does not say how it ended; patch {_STATUS} too")
        completed = self.completed or document["completed"]
        return {"completionStatus": status} | ({} if completed is None else {"completed": completed})


def parse_patch(body: bytes) -> list[dict[str, Any]]:
    """The operations of a JSON Patch (RFC 6902). UsageError: it is none."""
    try:
        operations = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"the body is not JSON: {error}") from None
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise UsageError('the body must be a JSON Patch, an array such as [{"op":"replace","path":"/completionStatus","value":"ERROR"}]')
    if len(operations) > MAX_OPERATIONS:
        raise UsageError(f"a JSON Patch has at most {MAX_OPERATIONS} operations here, not {len(operations)}")
    return operations


def applied(operations: list[dict[str, Any]], document: dict[str, Any]) -> Patch:
    """What the operations, one after the other, make of the document's end. UsageError: the first that can't be, and why."""
    patch = Patch()
    for at, operation in enumerate(operations):
        op, path, what = operation.get("op"), operation.get("path"), f"operation {at}"
        if path not in (_STATUS, _COMPLETED):
            raise UsageError(f"{what}: only {_STATUS} and {_COMPLETED} can be patched, not {_shown(path)}")
        if op not in ("replace", "add", "test"):
            raise UsageError(f"{what}: expected the op replace, add or test, not {_shown(op)}")
        if "value" not in operation:
            raise UsageError(f"{what}: the {op} has no value")
        value = operation["value"]
        now = (patch.completion_status or document["completionStatus"]) if path == _STATUS else (patch.completed or document["completed"])
        if op == "test" and (value is None or now is None):
            if value is not now:
                raise UsageError(f"{what}: the test failed: {path} is {_shown(now)}, not {_shown(value)}")
            continue
        wanted = _status(value, what) if path == _STATUS else _time(value, what)
        if op == "test":
            if (wanted if path == _STATUS else to_utc(wanted)) != (now if path == _STATUS else to_utc(str(now))):
                raise UsageError(f"{what}: the test failed: {path} is {_shown(now)}, not {_shown(value)}")
        elif path == _STATUS:
            patch.completion_status = wanted
        else:
            patch.completed = wanted
    return patch


def _status(value: object, what: str) -> str:
    if not isinstance(value, str) or value.upper() not in STATUSES:
        ended = "; what has ended is opened again by a new attempt alone" if value is None else ""
        raise UsageError(f"{what}: {_STATUS} must be one of {', '.join(STATUSES)}, not {_shown(value)}{ended}")
    return value.upper()


def _time(value: object, what: str) -> str:
    try:
        if isinstance(value, str):
            to_utc(value)
            return value
    except ValueError:
        pass
    raise UsageError(f"{what}: {_COMPLETED} must be a time such as 2024-05-17T19:33:16.470Z, not {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, (list, dict)):  # orjson reads what is nested deeper than it writes
        return "an array" if isinstance(value, list) else "an object"
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."


class Corrections:
    """The log that corrections are written to; an async context manager, open as long as the app.

    The log is reached for when it is first needed, kept open, and opened anew after a failure.
    """

    def __init__(self, source: str, make_emitter: Callable[[], Emitter]) -> None:
        self.source = source
        self._make_emitter = make_emitter
        self._emitter: Emitter | None = None
        self._opened = AsyncExitStack()
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close(None)

    async def why_unread(self, positions: list[Position]) -> str | None:
        """Why a projection at these positions would never fold what is written; None: it would. Raises `EmitError`."""
        try:
            emitter = await self._open()
        except UsageError as error:  # standard input, a pattern, a compressed file: it can be read but not written
            return str(error)
        return await emitter.why_unread(positions)

    async def write(self, id: str, data: dict[str, Any], before: Known, by: str) -> Position:
        """One ``corrected`` event of the task; the position after it. Raises `EmitError`; UsageError if a worker would refuse it."""
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": f"{SOURCE}/{quote(by, safe='')}",
            "type": "io.tracker.task.corrected",
            "subject": id,
            "time": now_text(),
            "data": data,
        }
        if before.attempt > 1:
            event["attempt"] = before.attempt
        if before.sequence:
            event["sequence"] = min(before.sequence + 1, 2**63 - 1)
        value = encoded(event, self.source, before.limits)
        emitter = await self._open()
        try:
            [position] = await emitter.emit([Outgoing(id, value)])
        except EmitError:
            await self._close(emitter)
            raise
        return position

    async def _open(self) -> Emitter:
        async with self._lock:
            if self._emitter is None:
                self._emitter = await self._opened.enter_async_context(self._make_emitter())
            return self._emitter

    async def _close(self, failed: Emitter | None) -> None:
        """Closes what is open; after a failure only if it is still the one that failed."""
        async with self._lock:
            if failed is None or failed is self._emitter:
                self._emitter = None
                await self._opened.aclose()
