"""The application: every route over one open store, behind one gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec

from fastapi import FastAPI

from tracker.query.api import TaskQuery
from tracker.web import faults, task_status
from tracker.web.context import Context
from tracker.web.corrections import Corrections


def create_app(tasks: TaskQuery, *, corrections: Corrections | None = None, root_path: str = "") -> FastAPI:
    """An ASGI application over the tasks, which it opens when it starts and closes when it ends."""
    others = [import_module(f"tracker.web.{name}") for name in ("tasks", "live", "metrics", "health") if find_spec(f"tracker.web.{name}")]

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(tasks)
            app.state.context = Context(tasks, corrections)
            for module in others:
                if hasattr(module, "lifespan"):
                    await stack.enter_async_context(module.lifespan(app))
            yield

    app = FastAPI(
        title="tracker",
        version=version("tracker"),
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        root_path=root_path,
    )
    faults.install(app)
    app.include_router(task_status.router)
    for module in others:
        app.include_router(module.router)
    return app
