"""The application: every route over one open store, behind one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from tracker.query.api import TaskQuery
from tracker.web import faults, health, live, metrics, oauth, openapi, tables, task_status
from tracker.web import tasks as tasks_api
from tracker.web.access import Access
from tracker.web.context import Context, Writable
from tracker.web.corrections import Corrections
from tracker.web.dashboard import PAGES
from tracker.web.dashboard.pulse import beating
from tracker.web.gate import Gate
from tracker.web.meters import Measured, Meters
from tracker.web.rate import DEFAULT_REQUESTS, Rate


def create_app(
    tasks: TaskQuery,
    *,
    access: Access | None = None,
    corrections: Corrections | None = None,
    writable: Writable | None = None,
    root_path: str = "",
    hosts: Iterable[str] = (),
    rate: int | None = None,
    meters: Meters | None = None,
) -> FastAPI:
    """An ASGI application over the tasks, which it opens when it starts and closes when it ends.

    ``access``: who may do what; None: everybody everything, by a name of this machine or one of ``hosts``. ``root_path``: the prefix under
    which a proxy shows it, such as ``/tracker``. ``rate``: requests in 10 s for each client, 0: no limit; 100 where a login is needed.
    ``meters``: those that the projector in this process tells its progress to; None: there is none here.
    """
    projects, meters = meters is not None, meters or Meters()
    access = access or Access()
    rate = rate if rate is not None else 0 if access.is_open else DEFAULT_REQUESTS

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tasks)
            if corrections is not None:
                await stack.enter_async_context(corrections)
            app.state.context = Context(tasks, access, corrections, writable, meters, projects=projects)
            await stack.enter_async_context(live.lifespan(app))
            app.state.pulse = await stack.enter_async_context(beating(tasks))
            yield

    app = FastAPI(
        title="tracker",
        version=version("tracker"),
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    faults.install(app)
    app.add_middleware(Gate, access=access, rate=Rate(rate), root_path=root_path, hosts=hosts)
    app.add_middleware(Measured, meters=meters)  # the outermost: it sees what the gate refuses too
    for router in (*(module.router for module in (task_status, oauth, tasks_api, tables, live, metrics, health)), *PAGES):
        app.router.routes += router.routes  # as they are: `include_router` would make each anew, when the first request comes
    openapi.describe(app)
    return app
