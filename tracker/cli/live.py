"""The live view of ``tracker run --live``: how the tasks stand, the newest of them, and where the reading is."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tracker.cli import output
from tracker.errors import TrackerError
from tracker.telemetry import masked

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from tracker.cli.progress import Reporter
    from tracker.projector import Totals
    from tracker.stores.base import StatusStore

REFRESH_S = 0.5
KAFKA_HINT = "make run SOURCE=kafka://localhost:9092/task-events"
_FRAME_LINES = 11
"""Lines that are not rows of tasks."""
_WIDTHS = {"state": 9, "status": 10, "progress": 15, "launched": 10, "took": 6, "modified": 10}
_STATES = ("PENDING", "RUNNING", "COMPLETED")


class LiveView:
    """Reads the store through the query module as any other reader would, twice a second."""

    def __init__(self, source: str, url: str, store: StatusStore, progress: Reporter, simulation: str, dashboard: str | None) -> None:
        self._source, self._url = source, url
        self._store = store
        self._progress = progress
        self._simulation = simulation
        self._dashboard = dashboard
        self._tasks: list[dict[str, Any]] = []
        self._states: dict[str | int | None, int] = {}
        self._statuses: dict[str | int | None, int] = {}
        self._lag: int | None = None
        self._console = output.console()

    async def show(self, *, until: asyncio.Future[Totals]) -> None:
        """Draw until the run is over."""
        from rich.live import Live

        with Live(self._draw(), console=self._console, auto_refresh=False, transient=False) as live:
            while not until.done():
                with contextlib.suppress(TrackerError):  # a store that is busy for a moment: the next look shows it
                    await self._look()
                live.update(self._draw(), refresh=True)
                await asyncio.wait({until}, timeout=REFRESH_S)
            with contextlib.suppress(TrackerError):
                await self._look()
            live.update(self._draw(), refresh=True)

    async def _look(self) -> None:
        from tracker.query.api import TaskQuery, open_query
        from tracker.stores.memory import MemoryStore

        opened = TaskQuery.over(self._store) if isinstance(self._store, MemoryStore) else open_query(self._url)
        rows = max(3, min(20, self._console.size.height - _FRAME_LINES))
        async with opened as query:
            self._tasks = (await query.documents_page(sorters="-modified", limit=rows)).items
            self._states = await query.count(by="state")
            self._statuses = await query.count(by="completionStatus")
            lags = [partition.lag_records for partition in (await query.status()).partitions]
            self._lag = None if not lags or any(lag is None for lag in lags) else sum(lag or 0 for lag in lags)

    def _draw(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        lines: list[RenderableType] = [
            Text.assemble(("tracker ", "bold"), masked(self._source), (" ──► ", "bright_black"), masked(self._url)),
        ]
        if self._dashboard:
            lines.append(Text.assemble(("dashboard ", "bold"), (self._dashboard, "underline cyan")))
        lines += [self._counts(), self._reading()]
        if self._simulation:
            lines.append(Text(self._simulation, style="yellow"))
        lines += [
            task_table(self._tasks, self._console.width, cut=True),
            Text.assemble(
                ("another terminal: ", "bright_black"),
                f"{program()} emit progressed TASK --percent 60 · {program()} list · {program()} get TASK",
            ),
            Text.assemble(("Kafka instead:    ", "bright_black"), KAFKA_HINT),
            Text("Ctrl-C stops; the next run goes on where this one stopped", style="bright_black"),
        ]
        return Group(*lines)

    def _counts(self) -> Text:
        from rich.text import Text

        text = Text()
        for state in _STATES:
            text.append_text(output.styled(state)).append(f" {self._states.get(state, 0):,}   ")
        for status, number in sorted(self._statuses.items(), key=lambda item: -item[1]):
            if status is not None:
                text.append_text(output.styled(str(status))).append(f" {number:,}  ")
        return text

    def _reading(self) -> Text:
        from rich.text import Text

        progress = self._progress.last
        if progress is None:
            return Text("nothing read yet", style="bright_black")
        counters = progress.counters
        lag = "?" if self._lag is None else f"{self._lag:,}"
        at = sorted(progress.positions.values(), key=lambda position: (position.topic, position.partition))
        where = ", ".join(f"{position.topic.rpartition('/')[2]}/{position.partition} {position.next_offset:,}" for position in at[:3])
        text = Text(f"{counters.read:,} read · {self._progress.records_per_second:,.0f}/s · lag {lag} · at {where or '-'}")
        text.append(f" · {counters.unchanged:,} unchanged · ").append(f"{counters.parked:,} parked", style="red" if counters.parked else "")
        return text


def task_table(tasks: list[dict[str, Any]], width: int, *, cut: bool = False) -> Table:
    """Tasks as a table for people, one row a task; where the terminal is narrow, the times go first.

    ``cut``: rows are one line each, whatever the width (a live view must know its height); else long ids are folded, never cut.
    """
    from rich.table import Table
    from rich.text import Text

    now = datetime.now(UTC)
    has_times, has_both = width >= 124, width >= 76
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("state", *(("status",) if has_times else ()), *(("progress",) if has_both else ()))
    names += ("launched", "took", "modified") if has_times else ()
    # Every width is said: of columns that may not wrap Rich would cut the last ones off.
    id_width = min(max((len(task["id"]) for task in tasks), default=2), 32 if width >= 60 else width // 2)
    name_width = width - id_width - 2 - sum(_WIDTHS[name] + 2 for name in names)
    table.add_column("id", overflow="ellipsis" if cut else "fold", no_wrap=cut, width=id_width)
    table.add_column("name", overflow="ellipsis", no_wrap=True, width=max(4, name_width))
    for name in names:
        table.add_column(name, no_wrap=True, width=_WIDTHS[name])
    for task in tasks:
        state, status = output.state_of(task), task["completionStatus"]
        row = [Text(output.visible(task["id"])), Text(output.visible(task["uniqueName"]))]
        row += [output.styled(state), output.styled(status)] if has_times else [output.styled(status or state)]
        if has_both:
            row.append(output.bar(task["percentComplete"], state))
        if has_times:
            row += [
                Text(text) for text in (output.ago(task["launched"], now), output.duration(task, now), output.ago(task["modified"], now))
            ]
        table.add_row(*row)
    return table


def program() -> str:
    """How this program was called, as somebody else in this folder could call it."""
    return "tracker" if shutil.which("tracker") or not sys.argv[0].endswith("/tracker") else sys.argv[0]
