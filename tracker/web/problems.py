"""Errors of our own API as problem details (RFC 9457): ``application/problem+json`` with title, status and detail."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.responses import Response

from tracker.errors import NotFound, StoreError, TooLong, TrackerError, UsageError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
"""Told with a 503: what is away (a locked store) is usually back sooner."""


class Problem(Exception):
    """An answer that is not a 2xx: ``detail`` is one sentence, ``members`` go into the document beside it."""

    def __init__(self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        self.status, self.detail, self.headers, self.members = status, detail, dict(headers or {}), members
        super().__init__(detail)

    def response(self) -> Response:
        """The answer itself."""
        document = {"title": HTTPStatus(self.status).phrase, "status": self.status, "detail": self.detail, **self.members}
        return Response(orjson.dumps(document), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def of_error(error: TrackerError) -> Problem:
    """The problem that an error of ours is to a client; of a filter with ``position`` (from 1) and ``expected``."""
    detail = str(error)
    if isinstance(error, UsageError):
        facts = {name: getattr(error, name, None) for name in ("position", "expected")}
        return Problem(400, detail, **{name: value for name, value in facts.items() if value is not None})
    if isinstance(error, NotFound):
        return Problem(404, detail)
    if isinstance(error, TooLong):
        return Problem(503, detail)
    if isinstance(error, StoreError):
        return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
    return Problem(500, detail)
