"""PATCH is an event: a real log, a real projector and a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.query_store import commit
from tests.unit.query_store import event as folded
from tracker.emit.base import Outgoing
from tracker.emit.jsonl import JsonlEmitter
from tracker.errors import EmitError, UsageError
from tracker.projector import Options, Projector
from tracker.query.api import open_query
from tracker.sources.open import open_source
from tracker.stores.open import open_store
from tracker.web.corrections import Corrections, Patch, applied

IN_FLIGHT: dict[str, Any] = {"completionStatus": None, "completed": None}
FINISHED: dict[str, Any] = {"completionStatus": "SUCCESS", "completed": "2026-01-01T00:00:05.000Z"}
ERROR = {"op": "replace", "path": "/completionStatus", "value": "Error"}
AT = {"op": "replace", "path": "/completed", "value": "2024-05-17 19:33:16.470000+00:00"}


class Road:
    """A log, a projector that follows it into ``status.db``, and a client of a server over that."""

    def __init__(self, folder: Path, client: httpx.AsyncClient) -> None:
        self.log = folder / "events.jsonl"
        self.client = client
        self._url = f"sqlite:///{folder}/status.db"

    async def patch(self, *operations: Mapping[str, Any], id: str = "t") -> httpx.Response:
        """A JSON Patch of the task."""
        headers = {"content-type": "application/json-patch+json"}
        return await self.client.patch(f"/task-status/v1/{id}", content=json.dumps(operations), headers=headers)

    async def write(self, *events: dict[str, Any]) -> None:
        """Events into the log, and into the projection."""
        async with JsonlEmitter(self.log) as emitter:
            positions = await emitter.emit([Outgoing(each["subject"], json.dumps(each).encode()) for each in events])
        async with open_query(self._url) as query:
            await query.wait_for(positions, 10)

    def written(self) -> list[dict[str, Any]]:
        """The ``corrected`` events of the log."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        return [each for each in lines if each["type"].endswith(".corrected")]


def event(kind: str, second: int = 0, *, subject: str = "t", attributes: dict[str, Any] | None = None, **data: Any) -> dict[str, Any]:
    """One event of the task."""
    return {
        "specversion": "1.0",
        "id": f"{kind}-{second}",
        "source": "/test",
        "type": f"io.tracker.task.{kind}",
        "subject": subject,
        "time": f"2026-01-01T00:00:{second:02}Z",
        "data": data,
        **(attributes or {}),
    }


Roads = Callable[..., Awaitable[Road]]


@pytest.fixture
async def road(tmp_path: Path, served: Any) -> Any:
    """Makes the road, with these events gone along it."""
    log, url = tmp_path / "events.jsonl", f"sqlite:///{tmp_path}/status.db"
    with open_store(url) as store:
        projector = Projector(
            lambda revoked: open_source(str(log), follow=True, on_revoked=revoked), store, options=Options(max_batch_age_s=0)
        )
        log.touch()
        running = asyncio.create_task(projector.run())

        async def make(*events: dict[str, Any]) -> Road:
            query = open_query(url)
            client = await served(query=query, corrections=Corrections(str(log), lambda: JsonlEmitter(log)))
            made = Road(tmp_path, client)
            await made.write(*events)
            return made

        yield make
        projector.stop()
        await running


LAUNCHED = (event("created"), event("launched", 1))


async def test_a_running_task_is_cleared(road: Roads) -> None:
    """The documented example, mixed case and a space in the time: 200 with the corrected task, as it is from then on."""
    made = await road(*LAUNCHED)
    answer = await made.patch(ERROR, AT)
    assert answer.status_code == 200
    assert (answer.json()["completionStatus"], answer.json()["completed"]) == ("ERROR", "2024-05-17T19:33:16.470Z")
    assert (await made.client.get("/task-status/v1/t")).json() == answer.json()


async def test_a_patch_is_one_corrected_event(road: Roads) -> None:
    """Keyed by the task, from the API and whoever asked, of the current attempt, with an id of its own."""
    made = await road(*LAUNCHED, event("launched", 2, attributes={"attempt": 3}))
    assert (await made.patch(ERROR)).status_code == 200
    [written] = made.written()
    assert (written["subject"], written["source"], written["attempt"]) == ("t", "/tracker/api/local", 3)
    assert written["data"] == {"completionStatus": "ERROR"}
    assert "sequence" not in written


async def test_the_time_is_now_unless_it_is_patched(road: Roads) -> None:
    """Of a task in flight the completionStatus alone can be patched: it ended now."""
    made = await road(*LAUNCHED)
    answer = await made.patch(ERROR)
    assert answer.json()["completed"] == answer.json()["modified"] == f"{made.written()[0]['time'][:23]}Z"


async def test_numbered_events_get_a_number_above(road: Roads) -> None:
    """One without would rank before them all."""
    made = await road(event("created", attributes={"sequence": 7}), event("launched", 1, attributes={"sequence": 8}))
    assert (await made.patch(ERROR)).json()["completionStatus"] == "ERROR"
    assert made.written()[0]["sequence"] == 9


async def test_a_late_event_does_not_undo_a_correction(road: Roads) -> None:
    """A correction holds for its attempt, whatever the task itself says afterwards."""
    made = await road(*LAUNCHED)
    await made.patch(ERROR)
    await made.write(event("completed", 50, completionStatus="SUCCESS"))
    assert (await made.client.get("/task-status/v1/t")).json()["completionStatus"] == "ERROR"


async def test_a_new_attempt_ends_a_correction(road: Roads) -> None:
    """It is launched again: in flight."""
    made = await road(*LAUNCHED)
    await made.patch(ERROR)
    await made.write(event("launched", 51, attributes={"attempt": 2}))
    assert (await made.client.get("/task-status/v1/t")).json()["completionStatus"] is None


async def test_a_patch_that_races_with_an_event(road: Roads) -> None:
    """Whichever is folded first, the correction decides."""
    made = await road(*LAUNCHED)
    answer, _ = await asyncio.gather(made.patch(ERROR), made.write(event("completed", 2, completionStatus="SUCCESS")))
    assert answer.status_code == 200
    assert (await made.client.get("/task-status/v1/t")).json()["completionStatus"] == "ERROR"


async def test_concurrent_patches(road: Roads) -> None:
    """Each is written, and the one with the greatest stamp decides, as the contract has it."""
    made = await road(*LAUNCHED)
    statuses = ["SUCCESS", "WARNING", "ERROR", "TERMINATED", "TEMPERROR"] * 2
    answers = await asyncio.gather(*(made.patch({**ERROR, "value": status}) for status in statuses))
    assert {answer.status_code for answer in answers} == {200}
    last = max(made.written(), key=lambda each: (each["time"], each["source"], each["id"]))
    assert len(made.written()) == len(statuses)
    assert (await made.client.get("/task-status/v1/t")).json()["completionStatus"] == last["data"]["completionStatus"]


async def test_completed_alone_on_a_finished_task(road: Roads) -> None:
    """It keeps its completionStatus."""
    made = await road(*LAUNCHED, event("completed", 2, completionStatus="WARNING"))
    answer = (await made.patch(AT)).json()
    assert (answer["completionStatus"], answer["completed"]) == ("WARNING", "2024-05-17T19:33:16.470Z")


async def test_completion_status_alone_on_a_finished_task(road: Roads) -> None:
    """It keeps the time at which it ended: a patch changes what it names."""
    made = await road(*LAUNCHED, event("completed", 2, completionStatus="WARNING"))
    answer = (await made.patch(ERROR)).json()
    assert (answer["completionStatus"], answer["completed"]) == ("ERROR", "2026-01-01T00:00:02.000Z")


async def test_completed_alone_on_a_task_in_flight(road: Roads) -> None:
    """400: it would be half ended. Nothing is written."""
    made = await road(*LAUNCHED)
    answer = await made.patch(AT)
    assert answer.status_code == 400
    assert "in flight" in answer.text
    assert made.written() == []


async def test_an_empty_patch_changes_nothing(road: Roads) -> None:
    """200 with the task, and no event."""
    made = await road(*LAUNCHED)
    assert (await made.patch()).status_code == 200
    assert made.written() == []


async def test_an_unknown_task(road: Roads) -> None:
    """404, before anything is written."""
    made = await road(*LAUNCHED)
    assert (await made.patch(ERROR, id="nothing")).status_code == 404
    assert made.written() == []


async def test_another_content_type(road: Roads) -> None:
    """A form can't patch: 415. Plain JSON can."""
    made = await road(*LAUNCHED)
    assert (await made.client.patch("/task-status/v1/t", data={"a": "b"})).status_code == 415
    assert (await made.client.patch("/task-status/v1/t", json=[ERROR])).status_code == 200


@pytest.mark.parametrize("body", ["", "{}", "[1]", "null", "[", '"x"', "[" * 60_000])
async def test_a_body_that_is_no_patch(road: Roads, body: str) -> None:
    """400 with a sentence."""
    made = await road(*LAUNCHED)
    answer = await made.client.patch("/task-status/v1/t", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["detailCode"]) == (400, "400.1 Bad Request Content")


@pytest.mark.parametrize(
    "operation", ['{"op":"replace","path":%s}', '{"op":"replace","path":"/completed","value":%s}'], ids=["path", "value"]
)
async def test_a_deep_operation(road: Roads, operation: str) -> None:
    """400 however deep it is nested: what can be read is not always what can be written."""
    made = await road(*LAUNCHED)
    body = "[" + operation % ("[" * 500 + "]" * 500) + "]"
    answer = await made.client.patch("/task-status/v1/t", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert "not an array" in answer.json()["messages"][0]["text"]


async def test_a_log_that_the_store_does_not_read(served: Any, tmp_path: Path) -> None:
    """409 saying so, and nothing is written there."""
    other = tmp_path / "other.jsonl"
    client = await served(folded("t", "created"), corrections=Corrections(str(other), lambda: JsonlEmitter(other)))
    answer = await client.patch("/task-status/v1/t", json=[ERROR])
    assert answer.status_code == 409
    assert f"does not read {other}" in answer.text
    assert not other.exists()


@pytest.fixture
async def stopped(tmp_path: Path, served: Any) -> Road:
    """A road whose projector has read everything and ended."""
    log, url = tmp_path / "events.jsonl", f"sqlite:///{tmp_path}/status.db"
    log.write_text("".join(json.dumps(each) + "\n" for each in LAUNCHED))
    with open_store(url) as store:
        await Projector(lambda _: open_source(str(log)), store, options=Options(until_end=True)).run()
    return Road(tmp_path, await served(query=open_query(url), corrections=Corrections(str(log), lambda: JsonlEmitter(log))))


async def test_another_file_under_the_same_name(stopped: Road) -> None:
    """What the store has read is gone: 409, and nothing is written to the new file."""
    stopped.log.unlink()
    stopped.log.write_text("{}\n")
    answer = await stopped.patch(ERROR)
    assert answer.status_code == 409
    assert stopped.log.read_text() == "{}\n"


async def test_a_projector_that_is_away(stopped: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """202: it is written, the task is shown as it is, and a header says what is missing."""
    monkeypatch.setattr("tracker.web.task_status.WAIT_S", 0.1)
    answer = await stopped.patch(ERROR)
    assert (answer.status_code, answer.json()["completionStatus"]) == (202, None)
    assert "written but not folded yet" in answer.headers["X-Tracker-Pending"]
    assert len(stopped.written()) == 1


@pytest.mark.parametrize("source", ["-", "*.jsonl", "events.jsonl.gz"])
async def test_a_source_that_cannot_be_written(served: Any, source: str) -> None:
    """409 with the reason: standard input, patterns and compressed files are read only."""
    client = await served(folded("t", "created"), corrections=Corrections(source, lambda: JsonlEmitter(source)))
    answer = await client.patch("/task-status/v1/t", json=[ERROR])
    assert answer.status_code == 409


async def test_no_log_at_all(served: Any) -> None:
    """409 naming the option."""
    client = await served(folded("t", "created"))
    answer = await client.patch("/task-status/v1/t", json=[ERROR])
    assert answer.status_code == 409
    assert "--source" in answer.text


class Broken(JsonlEmitter):
    """A log that takes nothing the first time."""

    failures = 1

    async def emit(self, events: Any) -> Any:
        """Fails once."""
        if Broken.failures:
            Broken.failures -= 1
            raise EmitError("the disk is away")
        return await super().emit(events)


async def test_a_log_that_fails_is_opened_anew(tmp_path: Path) -> None:
    """The failure is told; the next correction goes to a new emitter."""
    log, made = tmp_path / "events.jsonl", []

    def make() -> Broken:
        made.append(Broken(log))
        return made[-1]

    corrections = Corrections(str(log), make)
    async with corrections:
        await corrections.why_unread([])
        before = await _known(tmp_path)
        with pytest.raises(EmitError, match="the disk is away"):
            await corrections.write("t", {"completionStatus": "ERROR"}, before, "x")
        assert (await corrections.write("t", {"completionStatus": "ERROR"}, before, "x")).next_offset > 0
    assert len(made) == 2


async def _known(folder: Path) -> Any:
    from tracker.web.corrections import known

    url = f"sqlite:///{folder}/known.db"
    with open_store(url) as store:
        commit(store, [folded("t", "created")])
    async with open_query(url) as query:
        return await query.ask(known("t"))


@pytest.mark.parametrize(
    ("operations", "document", "patch"),
    [
        ([{"op": "add", "path": "/completionStatus", "value": "temperror"}], IN_FLIGHT, Patch("TEMPERROR")),
        ([{"op": "test", "path": "/completionStatus", "value": None}, ERROR], IN_FLIGHT, Patch("ERROR")),
        ([ERROR, {"op": "test", "path": "/completionStatus", "value": "ERROR"}], IN_FLIGHT, Patch("ERROR")),
        ([{"op": "test", "path": "/completed", "value": "2026-01-01T01:00:05+01:00"}], FINISHED, Patch()),
        ([ERROR, {**ERROR, "value": "SUCCESS"}], IN_FLIGHT, Patch("SUCCESS")),
        ([{**AT, "value": "2026-01-01T00:00:05Z"}], FINISHED, Patch(None, "2026-01-01T00:00:05Z")),
    ],
)
def test_operations(operations: list[dict[str, Any]], document: dict[str, Any], patch: Patch) -> None:
    """replace, add and test, one after the other, as RFC 6902 has them."""
    assert applied(operations, document) == patch


@pytest.mark.parametrize(
    ("operation", "document", "why"),
    [
        ({"op": "remove", "path": "/completionStatus"}, FINISHED, "expected the op"),
        ({"op": "move", "path": "/completed", "from": "/created"}, FINISHED, "expected the op"),
        ({"op": "replace", "path": "/progress", "value": "x"}, FINISHED, "only /completionStatus"),
        ({"op": "replace", "path": "", "value": {}}, FINISHED, "only /completionStatus"),
        ({"op": "replace", "path": "/completionStatus"}, FINISHED, "no value"),
        ({**ERROR, "value": None}, FINISHED, "new attempt"),
        ({**ERROR, "value": "CANCELLED"}, FINISHED, "must be one of"),
        ({**ERROR, "value": 1}, FINISHED, "must be one of"),
        ({**AT, "value": None}, FINISHED, "must be a time"),
        ({**AT, "value": "yesterday"}, FINISHED, "must be a time"),
        ({"op": "test", "path": "/completionStatus", "value": "ERROR"}, FINISHED, "the test failed"),
        ({"op": "test", "path": "/completionStatus", "value": "ERROR"}, IN_FLIGHT, "the test failed"),
        ({"op": "test", "path": "/completed", "value": None}, FINISHED, "the test failed"),
        ({}, FINISHED, "only /completionStatus"),
    ],
)
def test_operations_that_cannot_be(operation: dict[str, Any], document: dict[str, Any], why: str) -> None:
    """One that can't be refuses the whole patch, with the operation's number and why."""
    with pytest.raises(UsageError, match=f"operation 0: .*{why}"):
        applied([operation], document)
