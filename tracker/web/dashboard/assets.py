"""``/static``: style, scripts and icons, under names that browsers may keep for a year."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tracker.web import markup
from tracker.web.problems import Problem

FOR_A_YEAR = "public, max-age=31536000, immutable"
router = APIRouter(include_in_schema=False)


@router.api_route(markup.ASSETS + "{digest}/{name}", methods=["GET", "HEAD"])
async def asset(request: Request, digest: str, name: str) -> Response:
    """One file; under an older release's name it is the present one, and not kept."""
    present, files = markup.assets()
    found = files.get(name)
    if found is None:
        raise Problem(404, f"there is no file {name!r}")
    headers = {
        "Cache-Control": FOR_A_YEAR if digest == present else "no-cache",
        "Vary": "Accept-Encoding",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media)
    return Response(found.content, headers=headers, media_type=found.media)
