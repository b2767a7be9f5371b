"""``tracker serve``: HTTP over a store that others fill."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

import typer

from tracker import telemetry
from tracker.cli import options
from tracker.settings import Settings
from tracker.telemetry import say


def serve(
    store: options.Store = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", "-l", metavar="HOST:PORT", help="Where to answer. [TRACKER_LISTEN; default: 127.0.0.1:8080]", show_default=False
        ),
    ] = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Answer HTTP over a store that others fill. Stop with Ctrl-C."""
    settings = Settings.load().with_flags(store=store, listen=listen, log_level=log_level, log_format=log_format)
    telemetry.configure(settings.log_level, settings.log_format)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from tracker.query.api import open_query
    from tracker.web.app import create_app
    from tracker.web.server import listening, serve, url_of

    stop = asyncio.Event()
    query = open_query(settings.store)
    opened = listening(settings.listen)
    say(telemetry.WEB_STARTED, url=url_of(opened), login="without a login")
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(create_app(query), opened, stop)
