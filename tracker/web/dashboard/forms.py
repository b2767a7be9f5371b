"""Bodies of the pages' own forms."""

from __future__ import annotations

from urllib.parse import parse_qsl

from fastapi import Request

from tracker.errors import UsageError

MAX_FIELDS = 50


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; of one that comes twice the last. UsageError: the body is none."""
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError:
        raise UsageError("expected the fields of a form in UTF-8, application/x-www-form-urlencoded") from None
