"""Errors as answers: SailPoint's ErrorResponseDto, but for 401 and 429, which have bodies of their own; pages where people look.

``{"detailCode","trackingId","messages":[{"locale","localeOrigin","text"}],"causes":[]}``. What was sent can be found in the log by its
trackingId where the fault is ours; of such a fault nothing else is told.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse

from tracker.errors import NotFound, StoreUnavailable, TooLong, TrackerError, UsageError
from tracker.telemetry import WEB_FAILED, say
from tracker.web.markup import is_page, wrong
from tracker.web.methods import allowed
from tracker.web.problems import RETRY_AFTER_S, Problem, of_error

log = logging.getLogger("tracker.web")
JSON = "application/json"
_CODES = {400: "400.1 Bad Request Content", 404: "404 Not found", 500: "500.0 Internal Fault"}
"""As the specification spells them; others are the number and its name in HTTP."""


class ErrorMessage(BaseModel):
    """One sentence of an error."""

    locale: str = "en-US"
    localeOrigin: str = "DEFAULT"  # noqa: N815 - the wire's name
    text: str


class ErrorResponse(BaseModel):
    """SailPoint's ErrorResponseDto."""

    detailCode: str = Field(examples=["400.1 Bad Request Content"])  # noqa: N815
    trackingId: str = Field(pattern="^[0-9a-f]{32}$")  # noqa: N815
    messages: list[ErrorMessage]
    causes: list[ErrorMessage]


class Unauthorized(BaseModel):
    """The body of a 401."""

    error: str = Field(examples=["JWT validation failed: JWT is expired"])


class TooManyRequests(BaseModel):
    """The body of a 429."""

    message: str = Field(examples=[" Rate Limit Exceeded "])


RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": Unauthorized, "description": "No token, or none that is valid"},
    429: {"model": TooManyRequests, "description": "Too many requests: `Retry-After` says when to come back"},
    "default": {"model": ErrorResponse, "description": "What is wrong, in one sentence"},
}
"""For a router: every answer that is not said otherwise, which keeps FastAPI's own 422 out of the document."""


class Fault(Exception):
    """An answer that is not the one asked for: raise it anywhere in a route of the compatible API."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})
        self.tracking_id = uuid4().hex

    def response(self) -> Response:
        """The whole answer."""
        body: dict[str, Any]
        if self.status == HTTPStatus.UNAUTHORIZED:
            body = {"error": self.text}
        elif self.status == HTTPStatus.TOO_MANY_REQUESTS:
            body = {"message": " Rate Limit Exceeded "}
        else:
            code = _CODES.get(self.status) or f"{self.status} {HTTPStatus(self.status).phrase}"
            message = {"locale": "en-US", "localeOrigin": "DEFAULT", "text": self.text}
            body = {"detailCode": code, "trackingId": self.tracking_id, "messages": [message], "causes": []}
        return spelled(Response(orjson.dumps(body), self.status, media_type=JSON), self.headers)


def spelled(response: Response, headers: Mapping[str, str]) -> Response:
    """The response with headers spelled as they are given: the official client looks them up with case."""
    response.raw_headers.extend((name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items())
    return response


def answer_of(path: str, error: Exception, request: HTTPConnection) -> Response:
    """Any error as an answer, in the shape that the path has: problem details under /api, a page where people look, else SailPoint's.

    A fault of ours is logged, with the trackingId that the client is given, and not told.
    """
    fault = _fault_of(error)
    if is_page(path):
        return _as_page(request, fault)
    if path != "/api" and not path.startswith("/api/"):
        return (fault if isinstance(fault, Fault) else Fault(fault.status, fault.detail, fault.headers)).response()
    if isinstance(error, TrackerError) and isinstance(fault, Fault) and fault.status != 500:
        fault = of_error(error)
    elif isinstance(fault, Fault):
        named = {"trackingId": fault.tracking_id} if fault.status == 500 else {}
        fault = Problem(fault.status, fault.text, headers=fault.headers, **named)
    return fault.response()


def _as_page(request: HTTPConnection, fault: Fault | Problem) -> Response:
    status, text = fault.status, fault.text if isinstance(fault, Fault) else fault.detail
    if status == HTTPStatus.UNAUTHORIZED and request.scope["method"] in ("GET", "HEAD"):
        root, query = str(request.scope["root_path"]), request.scope["query_string"].decode("latin-1")
        place = str(request.scope["path"]).removeprefix(root) + ("?" + query if query else "")
        return RedirectResponse(f"{root}/login?next={quote(place, safe='')}", 303)
    title = {400: "That can’t be shown", 404: "Not there", 503: "Not for the moment"}.get(status, HTTPStatus(status).phrase)
    response = wrong(
        request, status, title, text, retry=status >= 500, tracking_id=getattr(fault, "tracking_id", None) if status == 500 else None
    )
    for name, value in fault.headers.items():
        response.headers[name] = value
    return response


def _fault_of(error: Exception) -> Fault | Problem:
    match error:
        case Fault() | Problem():
            return error
        case RequestValidationError():
            return Fault(400, _first(error))
        case HTTPException():
            # A route's own Allow has its own methods only: `install` tells those of the path.
            return Fault(
                error.status_code, str(error.detail), None if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
            )
        case UsageError():
            return Fault(400, str(error))
        case NotFound():
            return Fault(404, str(error))
        case TooLong():
            return Fault(503, str(error))
        case StoreUnavailable():
            return Fault(503, "the store is away for a moment: ask again", {"Retry-After": str(RETRY_AFTER_S)})
    fault = Fault(500, "An internal fault occurred: the log has it under the trackingId.")
    say(WEB_FAILED, tracking_id=fault.tracking_id, error=f"{type(error).__name__}: {error}")
    if not isinstance(error, TrackerError):  # its sentence says it all; anything else is a bug
        log.error("request %s", fault.tracking_id, exc_info=error)
    return fault


def _first(error: RequestValidationError) -> str:
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"][1:]) or "the body"
    got = first.get("input")
    shown = f", not {got[:80]!r}" if isinstance(got, str) else ""
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{shown}"


def install(app: FastAPI) -> None:
    """Every error that a route raises is answered here."""

    async def answer(request: Request, error: Exception) -> Response:
        path = str(request.scope["path"]).removeprefix(request.scope["root_path"])  # as the gate put them there
        response = answer_of(path, error, request)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = allowed(request.app, path) or (getattr(error, "headers", None) or {}).get("Allow", "")
        return response

    for kind in (Fault, Problem, RequestValidationError, HTTPException, TrackerError):
        app.add_exception_handler(kind, answer)
