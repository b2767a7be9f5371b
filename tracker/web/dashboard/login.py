"""Logging in, where a login is needed: the token goes into a cookie that no script can read. And the theme, in another."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from tracker.web import markup
from tracker.web.access import Refused
from tracker.web.context import Served
from tracker.web.dashboard.forms import form
from tracker.web.gate import SESSION_COOKIE

THEME_S = 365 * 86_400

router = APIRouter(include_in_schema=False)


@router.api_route("/login", methods=["GET", "HEAD"])
async def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - the parameter's name in the URL
    """The form."""
    return markup.page(request, "login.html", next=_own(next), wrong=None)


@router.post("/login")
async def log_in(request: Request, served: Served) -> Response:
    """Keep the token, and go on to where the browser was sent from."""
    given = await form(request)
    token, following = given.get("token", "").strip(), _own(given.get("next", "/"))
    try:
        served.access.who(f"Bearer {token}")
    except Refused:
        return markup.page(request, "login.html", 401, next=following, wrong="That is no token of this server, or it has expired.")
    root = str(request.scope["root_path"])
    answer = RedirectResponse(root + following, 303)
    answer.set_cookie(SESSION_COOKIE, token, path=root or "/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return answer


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """Forget the token."""
    root = str(request.scope["root_path"])
    answer = RedirectResponse(f"{root}/login", 303)
    answer.delete_cookie(SESSION_COOKIE, path=root or "/", httponly=True, samesite="strict")
    return answer


@router.get("/look")
async def look(request: Request, theme: str = "", back: str = "/") -> Response:
    """Remember the theme, and go back: for who has no scripts."""
    root = str(request.scope["root_path"])
    answer = RedirectResponse(root + _own(back), 303)
    if theme in markup.THEMES:
        answer.set_cookie(markup.THEME_COOKIE, theme, max_age=THEME_S, path=root or "/", samesite="lax")
    return answer


def _own(place: str) -> str:
    """A path of this server; the list of tasks instead of anything else, so that nobody is sent elsewhere by us."""
    is_path = place.startswith("/") and not place.startswith(("//", "/\\"))
    return place if is_path and place.isprintable() and place.isascii() else "/"
