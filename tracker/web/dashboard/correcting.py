"""The correction form: an operator's word on how a task ended, written to the log as one event."""

from __future__ import annotations

from datetime import UTC
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from tracker.errors import UsageError
from tracker.model.times import to_utc
from tracker.web import wording
from tracker.web.context import Asking, Served
from tracker.web.dashboard import chrome
from tracker.web.dashboard.detail import shown
from tracker.web.dashboard.forms import form
from tracker.web.faults import Fault
from tracker.web.task_status import correct

router = APIRouter(include_in_schema=False)


@router.post("/task/correct")
async def correction(request: Request, served: Served, asking: Asking) -> Response:
    """Write it, and show the task again. The gate has seen that the form is our own, and that who sends it may write."""
    given = await form(request)
    id = given.get("id", "")
    try:
        if given.get("sure") != "yes":
            raise UsageError("tick that you mean it: a correction is an event in the log, and stays there")
        operations = [{"op": "replace", "path": "/completionStatus", "value": given.get("completionStatus", "")}]
        if completed := given.get("completed", "").strip():
            operations.append({"op": "replace", "path": "/completed", "value": _time(completed)})
        _, late = await correct(served, asking, id, operations)
    except UsageError as error:
        return await shown(request, served, asking, id, status=400, wrong=str(error))
    except Fault as fault:
        return await shown(request, served, asking, id, status=fault.status, wrong=fault.text)
    if late is not None:
        return await shown(request, served, asking, id, status=202, said=late)
    tz = chrome.zone_only(request).tz
    query = urlencode({"id": id, **({"tz": tz} if tz else {})}, errors="replace")
    # A reload then asks for the page again, and does not send the form again.
    return RedirectResponse(f"{request.scope['root_path']}/task?{query}&corrected=yes", 303)


def _time(text: str) -> str:
    """As it is, or the ``2026-01-31T09:30`` of a browser's own field, which is meant in UTC."""
    try:
        moment = wording.instant(text)
        return text if moment.tzinfo else moment.replace(tzinfo=UTC).isoformat()
    except ValueError:
        pass
    try:
        to_utc(text)
    except ValueError:
        raise UsageError(f"completed: expected a time such as 2026-01-31T09:30:00Z, found {text[:60]!r}") from None
    return text
