"""What the product gives its users to test with: event builders, the proof of convergence, and names that cost nothing unused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import tracker.testing
from tracker.fold import reducers
from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.fold.view import view
from tracker.model.events import CloudEvent
from tracker.model.limits import Limits
from tracker.testing import (
    BEGINNING,
    assert_convergent,
    completed,
    corrected,
    created,
    deleted,
    launched,
    messaged,
    progressed,
    returned,
    seconds,
    to_records,
    updated,
)

ALL = [
    created("t", unique_name="x", attributes={"a": 1}),
    updated("t", description="d", time=seconds(1), attributes={"a": 2}),
    launched("t", launcher="sweep", time=seconds(2)),
    progressed("t", percent_complete=50, time=seconds(3)),
    messaged("t", "half", time=seconds(4)),
    returned("t", time=seconds(5)),
    completed("t", completion_status="ERROR", time=seconds(6)),
    corrected("t", time=seconds(7)),
    deleted("u"),
]


@pytest.mark.parametrize("event", ALL, ids=lambda event: event.kind)
def test_every_builder_makes_a_valid_event(event: CloudEvent) -> None:
    """The hot path's decoder takes it, for the task that was named."""
    (record,) = to_records([event])
    decoded = Decoder().decode(record)

    assert isinstance(decoded, TaskEvent)
    assert (decoded.kind, decoded.task_id) == (event.kind, event.subject)


def test_equal_calls_make_one_event() -> None:
    """As a redelivery: the same id, and the same bytes."""
    assert created("t", unique_name="x").to_json() == created("t", unique_name="x").to_json()


@pytest.mark.parametrize(
    "other", [created("u"), updated("t"), created("t", time=seconds(1)), created("t", launcher="x"), created("t", attempt=2)]
)
def test_other_calls_make_other_events(other: CloudEvent) -> None:
    """A difference in task, kind, time, data or attempt gives another id."""
    assert other.id != created("t").id


def test_what_is_given_counts() -> None:
    """Id, source, attempt, sequence and a time as text are taken as they are."""
    event = created("t", id="1", source="/s", attempt=2, sequence=3, time="2026-02-01T00:00:00Z")

    assert event.stamp == (2, 3, event.time, "/s", "1")
    assert event.time > BEGINNING


def test_an_unknown_field_is_a_mistake() -> None:
    """The fields that there are are named, as an event would carry an unknown one along without a word."""
    with pytest.raises(TypeError, match="TaskLaunched has no field luncher; it has launcher, attributes"):
        launched("t", luncher="sweep")


def test_records_have_offsets_one_by_one() -> None:
    """Models and bytes are bare records of one partition."""
    made = to_records([created("t"), b"{"], topic="x", partition=3)

    assert [(each.topic, each.partition, each.offset, each.value) for each in made] == [
        ("x", 3, 0, created("t").to_json()),
        ("x", 3, 1, b"{"),
    ]


def test_a_set_of_events_converges() -> None:
    """Its states come back, by task."""
    states = assert_convergent(ALL)

    assert set(states) == {"t", "u"}
    assert states["u"].deleted
    document = view("t", states["t"])
    assert (document["completionStatus"], document["percentComplete"], document["attributes"]) == ("SUCCESS", 100, {"a": 2})


def test_it_holds_under_caps() -> None:
    """The limits are those that are given."""
    states = assert_convergent([messaged("t", str(n), time=seconds(n)) for n in range(9)], limits=Limits(messages=3))

    assert len(states["t"].messages) == 3


def test_what_does_not_converge_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reducer that lets the order of arrival in is found out, with the task and what was done."""

    def last_comes_last(state: Any, event: TaskEvent, limits: Limits) -> bool:  # noqa: ARG001 - the signature of all
        state.first = event.time
        return True

    monkeypatch.setitem(reducers.REDUCERS, "returned", last_comes_last)
    with pytest.raises(AssertionError, match="task 't': folded backwards, its events give another state"):
        assert_convergent([returned("t"), returned("t", time=seconds(1))])


def test_what_is_no_event_is_shown() -> None:
    """A record that would be parked proves nothing."""
    with pytest.raises(AssertionError, match="no task event: Parked"):
        assert_convergent([b"{"])


def test_every_public_name_is_there() -> None:
    """``__all__`` and the modules agree."""
    assert all(getattr(tracker.testing, name) is not None for name in tracker.testing.__all__)
    assert set(tracker.testing.__all__) <= set(dir(tracker.testing))


def test_builders_need_no_pytest() -> None:
    """The command line's simulation uses this package on a bare install."""
    code = "import sys; sys.modules['pytest'] = None; import tracker.testing.simulate; from tracker.testing import created; created('t')"
    subprocess.run([sys.executable, "-c", code], check=True)
