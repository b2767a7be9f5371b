"""What all pages share: who looks, what they may do, and the frame around what is shown."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import Request, Response

from tracker.web import markup
from tracker.web.access import WRITE, Client
from tracker.web.context import Context
from tracker.web.dashboard.place import Place, place
from tracker.web.dashboard.pulse import Pulse
from tracker.web.dashboard.standing import Standing

VERSION = version("tracker")


def pulse_of(request: Request) -> Pulse:
    """The app's."""
    pulse: Pulse = request.app.state.pulse
    return pulse


def may_write(asking: Client) -> bool:
    """Whether this one may correct tasks, and try records again."""
    return WRITE in asking.scopes


def framed(
    request: Request,
    served: Context,
    asking: Client,
    template: str,
    status: int = 200,
    *,
    now: datetime,
    at: Place,
    standing: Standing | None,
    **context: Any,
) -> Response:
    """A page in its frame. ``at`` is where the list was, or of another page the time zone alone."""
    return markup.page(
        request,
        template,
        status,
        **context,
        now=now,
        at=at,
        standing=standing,
        version=VERSION,
        asking=asking,
        is_open=served.access.is_open,
        writes=may_write(asking),
    )


def zone_only(request: Request) -> Place:
    """Of a page that is no list, the time zone."""
    return place({"tz": request.query_params.get("tz", "")})
