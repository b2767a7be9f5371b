"""Why a field is what it is: the event that set it, or the rule by which it follows from several."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from tests.laws.agreement import events_by_task
from tests.laws.folding import folded
from tests.naive.decode import NaiveEvent, naive_decode
from tests.naive.logs import random_log
from tests.unit.test_view import TEXT, event
from tracker.fold.event import TaskEvent
from tracker.fold.state import from_bytes, to_bytes
from tracker.fold.view import Reason, extension, view, why
from tracker.model.limits import DEFAULT_LIMITS, Limits

DESCRIBING = ("type", "uniqueName", "description", "parentName", "parentId", "target", "taskDefinitionSummary")


def reasons(*events: TaskEvent, limits: Limits = DEFAULT_LIMITS) -> dict[str, Reason]:
    """The reasons of task t."""
    return why("t", folded(events, limits))


def ids(found: dict[str, Reason]) -> dict[str, str]:
    """The ids of the events that set fields."""
    return {name: reason.event.id for name, reason in found.items() if reason.event}


def test_each_field_names_the_event_that_set_it() -> None:
    """A later event takes over the fields that it has, and no others."""
    first = event("created", {"description": "a", "launcher": "l", "attributes": {"x": 1, "y": 1}}, id="a")
    second = event("updated", {"description": "b", "attributes": {"y": 2}}, second=1, id="b")
    found = reasons(second, first)

    assert ids(found) == {"launcher": "a", "attributes.x": "a", "description": "b", "attributes.y": "b"}
    assert [found[name].value for name in ("description", "attributes.y")] == ["b", 2]


def test_created_modified_and_attempt_have_a_rule() -> None:
    """They follow from several events, so a value and a sentence are given, and no event."""
    found = reasons(event("updated", second=1), event("launched", second=2, attempt=3))

    assert [found[name].value for name in ("created", "modified", "attempt")] == ["2026-01-01T00:00:01.000Z", "2026-01-01T00:00:02.000Z", 3]
    assert all(found[name].rule and found[name].event is None for name in ("created", "modified", "attempt"))


def test_a_field_that_no_event_set_has_no_reason() -> None:
    """Defaults are not explained."""
    assert set(reasons(event("progressed"))) == {"created", "modified", "attempt"}


def test_progress_of_an_earlier_attempt_is_not_explained() -> None:
    """What a new attempt took away has no reason any more."""
    assert "progress" not in reasons(event("progressed", {"progress": "half"}), event("launched", attempt=2, second=1))


def test_full_per_cent_is_explained_by_the_verdict() -> None:
    """A success stands behind 100, not the last word of progress."""
    progressed = event("progressed", {"percentComplete": 40}, second=8, id="p")
    found = reasons(progressed, event("completed", {"completionStatus": "SUCCESS"}, second=9, id="c"))
    assert (found["percentComplete"].value, ids(found)["percentComplete"]) == (100, "c")


def test_a_task_in_flight_is_explained_by_its_launch() -> None:
    """No verdict because it was launched after a temporary error."""
    found = reasons(event("completed", {"completionStatus": "TEMPERROR"}, id="c"), event("launched", second=1, id="l"))
    assert (found["completionStatus"].value, ids(found)["completionStatus"], found["completionStatus"].rule is None) == (None, "l", False)


def test_messages_and_returns_are_listed_in_order() -> None:
    """Each entry of the document names its event."""
    message = {"type": "INFO", "key": "k", "localizedText": TEXT}
    found = reasons(
        event("messaged", message, second=2, id="m2"),
        event("messaged", message, second=1, id="m1"),
        event("returned", {"name": "n", "attributeName": "a"}, second=5, id="r2"),
        event("returned", {"name": "n", "attributeName": "a"}, second=4, id="r1"),
    )
    assert ids(found) == {"messages[0]": "m1", "messages[1]": "m2", "returns[0]": "r1"}


def test_messages_over_the_cap_are_not_explained() -> None:
    """A state that was not stored yet explains the messages that are shown, the latest."""
    message = {"type": "INFO", "key": "k", "localizedText": TEXT}
    events = [event("messaged", message, second=n, id=str(n)) for n in range(3)]
    limits = Limits(messages=2)
    assert ids(why("t", folded(events, limits), limits)) == {"messages[0]": "1", "messages[1]": "2"}


def test_a_deleted_task_has_one_reason() -> None:
    """Nothing else is kept."""
    assert set(reasons(event("updated", {"description": "a"}), event("deleted"))) == {"deleted"}


def test_reasons_of_random_logs_are_events_of_the_log() -> None:
    """Each reason shows the document's value, and its event is the latest that has the field."""
    rng = Random(60)
    for _ in range(150):
        log = random_log(rng)
        naive = [decoded for decoded in map(naive_decode, log) if isinstance(decoded, NaiveEvent)]
        for task_id, events in events_by_task(log).items():
            state = from_bytes(to_bytes(folded(events, DEFAULT_LIMITS)))
            if not state.deleted:
                shown = {**view(task_id, state), **extension(state)}
                check(shown, why(task_id, state), [decoded for decoded in naive if decoded.task_id == task_id])


def check(shown: dict[str, object], found: dict[str, Reason], events: list[NaiveEvent]) -> None:
    """Holds the reasons of one task to its document and its events."""
    stamps = {decoded.stamp for decoded in events}
    for name, reason in found.items():
        assert value_at(shown, name) == reason.value
        stamp = reason.event and (reason.event.attempt, reason.event.sequence, reason.event.time, reason.event.source, reason.event.id)
        assert reason.event is None or stamp in stamps
        if name in DESCRIBING:
            assert stamp == latest(decoded for decoded in events if decoded.kind in ("created", "updated") and name in decoded.data)
        elif name.startswith("attributes."):
            assert stamp == latest(decoded for decoded in events if name.removeprefix("attributes.") in decoded.data.get("attributes", {}))
    assert {
        name for name in DESCRIBING if any(name in decoded.data for decoded in events if decoded.kind in ("created", "updated"))
    } <= set(found)


def latest(events: Iterable[NaiveEvent]) -> tuple[int, int, str, str, str]:
    """The greatest stamp of these events."""
    return max(decoded.stamp for decoded in events)


def value_at(shown: dict[str, object], name: str) -> object:
    """The document's value under a reason's name, such as ``description``, ``attributes.KEY`` or ``messages[0]``."""
    holder, dot, key = name.partition(".")
    if dot:
        return shown[holder][key]  # type: ignore[index]  # an object, as its reasons say
    holder, bracket, index = name.partition("[")
    return shown[holder][int(index[:-1])] if bracket else shown[name]  # type: ignore[index]  # an array, as its reasons say
