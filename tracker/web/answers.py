"""What all answers of our own API share: JSON bytes, the place they were read at, and waiting for a place before reading."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias, TypeVar
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator

from tracker.errors import UsageError
from tracker.query.base import Question
from tracker.query.fields import suggestion
from tracker.query.filters import Node
from tracker.query.freshness import freshness
from tracker.query.questions import together
from tracker.query.waiting import Impossible, TimedOut
from tracker.web.context import Context
from tracker.web.documents import ProblemDocument
from tracker.web.problems import Problem

MAX_WAIT_S = 10.0
"""A request that waits holds a connection: after so long the client asks again."""
WAITING = (409, 504)
"""Statuses of what takes `wait_for`."""
WRITING = (404, 408, 409, 413)
Vector: TypeAlias = Annotated[str, StringConstraints(max_length=8_000), WithJsonSchema({"type": "string", "format": "position-vector"})]
Cursor: TypeAlias = Annotated[str, StringConstraints(max_length=8_000), WithJsonSchema({"type": "string", "format": "task-cursor"})]
Token: TypeAlias = Annotated[str, StringConstraints(max_length=200), WithJsonSchema({"type": "string", "format": "change-token"})]
Time: TypeAlias = Annotated[str, StringConstraints(max_length=100), WithJsonSchema({"type": "string", "format": "task-time"})]
T = TypeVar("T")

_PROBLEMS = {
    400: "A parameter is wrong",
    401: "No token, or none that is valid",
    403: "The token lacks the scope",
    404: "It is not there",
    408: "The body did not come in time",
    409: "It can't be as things stand",
    413: "The request is too large",
    429: "Too many requests: `Retry-After` says when to come back",
    500: "A fault of the service, which its log tells more of",
    501: "This server lacks the package that makes such files",
    503: "The store can't be read for now",
    504: "The wait timed out; the answer says how far the store is",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of an operation's errors: those that any has, and these."""
    return {status: {"model": ProblemDocument, "description": _PROBLEMS[status]} for status in (400, 401, 403, 429, 500, 503, *statuses)}


class Parameters(BaseModel):
    """What a request may ask for in its query."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _are_known(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What is not looked at is refused: a `filter` instead of `filters` would answer another question."""
        for name in given:
            if name not in cls.model_fields:
                known = suggestion(name, cls.model_fields) or "; parameters are " + ", ".join(cls.model_fields)
                raise UsageError(f'there is no parameter "{name}" here{known}')
        return given


class Reading(Parameters):
    """Parameters of every GET: wait until the store has read so far, then answer."""

    wait_for: Vector | None = Field(
        None, description="A position vector, from the `at` of an answer or of a write: answer once the store has reached it."
    )
    wait_timeout: float = Field(
        5.0,
        ge=0,
        le=MAX_WAIT_S,
        allow_inf_nan=False,
        description="Wait no more seconds than this; then the answer is 504 and says how far it is.",
    )


def clock() -> datetime:
    """The moment of a request: relative times in a filter and lags are told from it."""
    return datetime.now(UTC)


async def waited(served: Context, reading: Reading) -> None:
    """Wait for the place that was asked for, where one was. Raises `Problem`."""
    if reading.wait_for is not None:
        ending = await served.tasks.wait_for(reading.wait_for, reading.wait_timeout)
        if isinstance(ending, TimedOut):
            raise Problem(504, ending.reason, at=ending.freshness.to_json())
        if isinstance(ending, Impossible):
            raise Problem(409, ending.reason)


async def read(
    served: Context, reading: Reading, question: Question[T], now: datetime, *, where: Node | None = None, small: bool = False
) -> tuple[T, dict[str, Any]]:
    """The question's answer and its place, of one snapshot, after waiting where that was asked for. Raises `Problem`.

    ``where``: the question's filter. ``small``: it reads a few rows by their keys, and need not wait for its turn.
    """
    await waited(served, reading)
    whole = together(question, freshness(now))
    found, at = await (served.tasks.ask(whole, small=True) if small else served.turns.ask(whole, where))
    return found, at.to_json()


def answer(document: object, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Compact JSON in UTF-8."""
    return Response(orjson.dumps(document), status, headers=headers, media_type="application/json")


def paged(request: Request, document: dict[str, Any], cursor: str | int | None, at: dict[str, Any]) -> Response:
    """A page: ``next`` is the path and query of the next one, the same listing after the cursor, and so is the ``Link`` header."""
    document["next"] = None
    headers = {}
    if cursor is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name not in ("after", "wait_for", "wait_timeout")]
        document["next"] = f"{request.url.path}?{urlencode([*kept, ('after', cursor)])}"
        headers["Link"] = f'<{document["next"]}>; rel="next"'
    return answer({**document, "at": at}, headers)


def answer_heads(router: APIRouter) -> None:
    """Let each GET of the router answer HEAD as well, as GET does but without the body, which the server leaves out."""
    for route in list(router.routes):
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            path = route.path.removeprefix(router.prefix)
            router.add_api_route(path, route.endpoint, methods=["HEAD"], include_in_schema=False)
