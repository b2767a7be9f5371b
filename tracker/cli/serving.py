"""``tracker serve``: HTTP over a store that others fill; and the same server beside the projector of ``tracker run --serve``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tracker import telemetry
from tracker.cli import options, output, stopping
from tracker.errors import UsageError
from tracker.settings import Settings
from tracker.telemetry import say

if TYPE_CHECKING:
    from tracker.query.api import TaskQuery
    from tracker.web.access import Access
    from tracker.web.context import Writable
    from tracker.web.meters import Meters

OTHER_PORTS = 9
"""After the one of the dashboard, tried where that is taken."""


class Prepared(NamedTuple):
    """A server that listens already."""

    url: str
    answer: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    """Answers until the event is set."""


def serve(
    store: options.Store = None,
    source: options.Source = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen", "-l", metavar="HOST:PORT", help="Where to answer. [TRACKER_LISTEN; default: 127.0.0.1:8080]", show_default=False
        ),
    ] = None,
    access: options.Access = None,
    root_path: options.RootPath = None,
    host_name: options.HostName = None,
    forwarded_from: options.ForwardedFrom = None,
    rate: options.Rate = None,
    kafka_config: options.KafkaConfig = None,
    log_level: options.LogLevel = None,
    log_format: options.LogFormat = None,
) -> None:
    """Answer HTTP over a store that others fill: the dashboard for browsers, the APIs for programs. Corrections are written to the source. Stop with Ctrl-C."""
    settings = Settings.load().with_flags(
        store=store,
        source=source,
        listen=listen,
        access=access,
        root_path=root_path,
        host_name=host_name,
        forwarded_from=forwarded_from,
        rate=rate,
        kafka_config=kafka_config,
        log_level=log_level,
        log_format=log_format,
    )
    telemetry.configure(settings.log_level, settings.log_format)
    stopping.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    from tracker.query.api import open_query
    from tracker.stores.open import open_store

    query = open_query(settings.store)
    async with query:  # that the store is there is told before anything listens
        pass
    log = settings.source if "source" in settings.given else None
    serving = prepared(settings, settings.listen, query, lambda: open_store(settings.store, create=False), log)
    stop = asyncio.Event()

    def end(number: signal.Signals) -> None:
        say(telemetry.WEB_STOPPING, signal=number.name)
        stop.set()

    with stopping.on_signals(end):
        await serving.answer(stop)


def prepared(
    settings: Settings,
    address: str,
    query: TaskQuery,
    writable: Writable,
    log: str | None,
    meters: Meters | None = None,
    *,
    or_near: bool = False,
) -> Prepared:
    """The server, listening already; ``log`` is the source that corrections are written to, ``meters`` those of a projector beside it.

    ``or_near``: where the address is taken, one of the next ports will do. Raises a `TrackerError` for an address that is taken, or that needs a login where there is none.
    """
    with _web_extra():
        from tracker.web.access import read_access
        from tracker.web.app import create_app
        from tracker.web.corrections import Corrections
        from tracker.web.gate import is_loopback
        from tracker.web.server import listening_near, serve, split_address, url_of
    from tracker.emit.open import open_emitter

    host, _ = split_address(address)
    access = read_access(settings.access, settings.token)
    if access.is_open and not is_loopback(host):
        raise UsageError(
            f"{address} can be reached by other machines, so it needs a login: give --access FILE or TRACKER_TOKEN, or listen at 127.0.0.1"
        )
    if settings.access is not None:
        _warn_of_readers(settings.access)
    app = create_app(
        query,
        access=access,
        corrections=None if log is None else Corrections(log, partial(open_emitter, log, kafka_config=settings.kafka_config)),
        writable=writable,
        root_path=settings.root_path,
        hosts=settings.host_name,
        rate=settings.rate,
        meters=meters,
    )
    opened = listening_near(address, OTHER_PORTS if or_near else 0)
    url = url_of(opened, settings.root_path)
    said = partial(say, telemetry.WEB_STARTED, url=url, login=_login(access))

    def started() -> None:
        # What is imported by now stays: a full round of the cyclic collector over it took 25 ms, in the middle of some answer.
        gc.freeze()
        said()

    return Prepared(url, lambda stop: serve(app, opened, stop, forwarded_from=settings.forwarded_from, on_started=started))


def web_meters() -> Meters:
    """The meters of a process that both projects and serves."""
    with _web_extra():
        from tracker.web.meters import Meters
    return Meters()


@contextlib.contextmanager
def _web_extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UsageError(f"HTTP needs an extra that is not installed ({error.name}): pip install 'tracker[web]'") from None


def _login(access: Access) -> str:
    return "without a login, for this machine alone" if access.is_open else "with a login"


def _warn_of_readers(path: str) -> None:
    from tracker.web.access import is_readable_by_others

    if is_readable_by_others(path):
        output.note(f"warning: everybody on this machine can read {path}, which holds secrets: chmod 600 {path}")
