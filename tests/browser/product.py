"""The whole product as a browser meets it, and the tasks that it is told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.web.whole import whole
from tracker.model.events import CloudEvent
from tracker.testing import events
from tracker.web.access import Access

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">\u202eevil \U0001f680 \u0645\u0631\u062d\u0628\u0627'
NAMES = ("Read HR Employees", "Read Active Directory", "Read SAP Finance", "Read Workday")


class Product:
    """A log, a projector and a server; the server's process-wide parts can be stopped and started again at the same address."""

    def __init__(self, folder: Path, access: Access | None = None) -> None:
        self._folder, self._access, self._stack = folder, access, ExitStack()
        self.url = ""

    def start(self) -> None:
        """Answer, at the address of before."""
        self._stack = ExitStack()
        self.url = self._stack.enter_context(whole(self._folder, self.url.partition("://")[2] or "127.0.0.1:0", self._access))

    def stop(self) -> None:
        """Answer no more."""
        self._stack.close()

    def write(self, *made: CloudEvent) -> None:
        """Add events to the log."""
        with (self._folder / "events.jsonl").open("ab") as log:
            log.write(b"".join(event.to_json() + b"\n" for event in made))


def ago(seconds: float) -> datetime:
    """So many seconds before now."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


def story() -> Iterator[CloudEvent]:
    """Tasks in every outcome, some of kin, one retried, one hostile, enough for three pages."""
    yield from night()
    yield from hostile()
    for number in range(120):
        id = f"task-{number:03}"
        yield events.created(id, time=ago(8000 - number), unique_name=f"Identity refresh {number}", launcher="sweep")
        yield events.launched(id, time=ago(7900 - number))
        yield events.completed(
            id, time=ago(7800 - 20 * number), completion_status=("SUCCESS", "SUCCESS", "WARNING", "TERMINATED")[number % 4]
        )


def hostile() -> Iterator[CloudEvent]:
    """A task whose texts would do harm if they were anything but text, and great ones."""
    yield events.created(
        "hostile",
        time=ago(900),
        unique_name=HOSTILE,
        launcher=HOSTILE,
        description=HOSTILE,
        attributes={HOSTILE: HOSTILE, "big": "x" * 60_000},
    )
    yield events.launched("hostile", time=ago(890))
    yield events.messaged("hostile", HOSTILE + "long text " * 6_000, time=ago(880), type="ERROR", key="k")


def night() -> Iterator[CloudEvent]:
    """A task with children, one of them in its second attempt."""
    yield events.created("night", time=ago(4000), unique_name="Nightly reconciliation", launcher="scheduler")
    yield events.launched("night", time=ago(3990))
    for number, name in enumerate(NAMES):
        id = f"night-{number}"
        target = {"id": f"src-{number}", "type": "APPLICATION", "name": name[5:]}
        more = {"worker": f"w-{number}", "batch": {"pages": [1, 2, 3], "full": True}}
        yield events.created(id, time=ago(3900), unique_name=name, launcher="scheduler", parent_id="night", target=target, attributes=more)
        yield events.launched(id, time=ago(3800))
    yield events.messaged("night-1", "Connection refused", time=ago(3500), type="ERROR", key="refused")
    yield events.completed("night-1", time=ago(3400), completion_status="ERROR")
    yield events.launched("night-1", time=ago(3000), attempt=2)
    yield events.progressed("night-1", time=ago(20), attempt=2, progress="Read 9,811 of 12,841 accounts", percent_complete=76)
    yield events.completed("night-0", time=ago(3000), completion_status="SUCCESS")
