"""HTML: templates, the files that pages load, and the headers that keep a page to itself.

A page loads nothing from elsewhere and holds no script or style of its own, so that whatever a task's texts hold is text. Files stand under
a name with the hash of all of them, which browsers keep for a year; relative imports between modules work because they share it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from starlette.requests import HTTPConnection
from starlette.responses import Response

from tracker.templates import environment
from tracker.web import wording

STATIC, TEMPLATES = Path(__file__).with_name("static"), Path(__file__).with_name("templates")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # with no-referrer a browser hides the origin of our own forms from us
}
"""Of every page."""
PATHS = frozenset(("/", "/task", "/system", "/parked", "/login", "/logout", "/look", "/task/correct", "/parked/retry", "/parked/drop"))
"""Where pages are: what goes wrong there is told as one. A task's id stands in the query, since a browser takes ``..`` out of any path."""
ASSETS = "/static/"
THEMES = ("system", "light", "dark")
THEME_COOKIE = "tracker-theme"
_MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_MIN_GZIP_BYTES = 1_000
_GZIP_LEVEL = 4
"""A page of 50 tasks is 60 kB and goes out as 7, for 1 ms."""


class Asset(NamedTuple):
    """A file as it is sent."""

    media: str
    content: bytes
    compressed: bytes


@cache
def assets() -> tuple[str, dict[str, Asset]]:
    """The hash of all files, and each by its name."""
    files = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in _MEDIA}
    digest = hashlib.blake2b(b"".join(name.encode() + content for name, content in files.items()), digest_size=8).hexdigest()
    return digest, {name: Asset(_MEDIA[Path(name).suffix], content, gzip.compress(content, 9, mtime=0)) for name, content in files.items()}


def is_page(path: str) -> bool:
    """Whether a person looks at what the path gives."""
    return path in PATHS or path.startswith(ASSETS)


def theme_of(request: HTTPConnection) -> str:
    """The theme that was chosen."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else THEMES[0]


@cache
def _environment() -> Environment:
    return environment(TEMPLATES, wording.FILTERS)


def rendered(request: HTTPConnection, template: str, **context: Any) -> str:
    """A template's text; beside the context it has ``root``, ``static``, ``theme`` and ``here``, the path and query that were asked for."""
    root = str(request.scope.get("root_path", ""))
    here = str(request.scope["path"]).removeprefix(root) or "/"
    query = request.scope.get("query_string", b"").decode("latin-1")
    return (
        _environment()
        .get_template(template)
        .render(
            root=root,
            static=f"{root}{ASSETS}{assets()[0]}",
            theme=theme_of(request),
            here=here + ("?" + query if query else ""),
            **context,
        )
    )


def page(
    request: HTTPConnection, template: str, status: int = 200, *, headers: Mapping[str, str] | None = None, **context: Any
) -> Response:
    """A template as an answer."""
    body = rendered(request, template, **context).encode("utf-8", "replace")
    return packed(request, body, "text/html", status, {**HEADERS, **(headers or {})})


def packed(request: HTTPConnection, body: bytes, media: str, status: int, headers: Mapping[str, str]) -> Response:
    """The body, compressed where that is taken and worth it. A page holds no secret that its size could tell."""
    sent = {**headers, "Vary": "Accept-Encoding, Cookie"}
    if len(body) >= _MIN_GZIP_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, _GZIP_LEVEL)
        sent["Content-Encoding"] = "gzip"
    return Response(body, status, headers=sent, media_type=media)


def wrong(request: HTTPConnection, status: int, title: str, text: str, **more: Any) -> Response:
    """An error as a page."""
    return page(request, "wrong.html", status, title=title, text=text, **{"tracking_id": None, "retry": False} | more)
