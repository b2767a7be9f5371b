"""Settings from flags, environment and file; the log; the public names."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import tracker
from tracker import telemetry
from tracker.errors import NotFound, UsageError
from tracker.settings import Settings, duration_s, ratio, size_bytes
from tracker.testing.simulate import Simulation, history


def test_a_flag_beats_the_environment_beats_the_file(folder: Path) -> None:
    """Flag, else environment, else file, else default."""
    (folder / "t.toml").write_text('source = "file"\nstore = "file"\ninstance = "file"\n')
    settings = Settings.load({"TRACKER_CONFIG": "t.toml", "TRACKER_SOURCE": "environment", "TRACKER_STORE": "environment"})
    settings = settings.with_flags(source="flag", store=None)
    assert (settings.source, settings.store, settings.instance, settings.max_batch_records) == ("flag", "environment", "file", 10_000)


def test_unknown_settings_say_what_is_near(folder: Path) -> None:
    """In the environment a near name is a mistake; in the file any unknown one is."""
    with pytest.raises(UsageError, match="did you mean TRACKER_SOURCE"):
        Settings.load({"TRACKER_SOURC": "x"})
    assert Settings.load({"TRACKER_SOMETHING_ELSE": "x"}) == Settings()
    (folder / "t.toml").write_text("sorce = 1")
    with pytest.raises(UsageError, match="did you mean source"):
        Settings.load({"TRACKER_CONFIG": "t.toml"})
    with pytest.raises(NotFound, match=r"none\.toml"):
        Settings.load({"TRACKER_CONFIG": "none.toml"})


@pytest.mark.parametrize(("text", "expected"), [("500ms", 0.5), ("1s", 1.0), ("2", 2.0), ("0.25", 0.25), ("5m", 300.0), ("24h", 86400.0)])
def test_durations(text: str, expected: float) -> None:
    """A duration has a unit; without one it is seconds."""
    assert duration_s(text, "x") == expected


def test_sizes_and_ratios() -> None:
    """K, M and G are powers of 1024; per cent are ratios."""
    assert (size_bytes("1M", "x"), size_bytes("512KiB", "x"), size_bytes("7", "x")) == (2**20, 2**19, 7)
    assert (ratio("10%", "x"), ratio("0", "x")) == (0.1, 0.0)


def test_passwords_are_masked_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like a password never reaches a log line, in text or JSON."""
    for format_ in ("text", "json"):
        handler = telemetry.configure("info", format_)
        logging.getLogger("tracker.test").warning("at %s with %s", "postgresql://me:hunter2@host/db", 'password="hunter2"')
        telemetry.say(telemetry.RUN_STARTED, source="kafka://me:hunter2@x/y", store="s")
        logging.getLogger("tracker").removeHandler(handler)
    err = capsys.readouterr().err
    assert "hunter2" not in err
    assert json.loads(err.splitlines()[-1])["event"] == "run.started"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssl.key.password=hunter2", "ssl.key.password=***"),
        ("ssl.key.password = hunter2", "ssl.key.password = ***"),
        ("password:hunter2, and more", "password:***, and more"),
        ('required username="me" password="hunter2 hunter2";', 'required username="me" password="***";'),
        ("{'password': 'hunter2'}", "{'password': '***'}"),
        ('{"token":"hunter2"}', '{"token":"***"}'),
        ("kafka://me:hunter2@x/y", "kafka://me:***@x/y"),
        ("https://x/y?secret=hunter2&z=1", "https://x/y?secret=***&z=1"),
    ],
)
def test_passwords_are_masked_in_all_their_forms(text: str, expected: str) -> None:
    """Properties, JSON, JAAS and URLs lose the password and nothing else."""
    assert telemetry.masked(text) == expected


@pytest.mark.parametrize("sentence", ["it takes no user or password: put them elsewhere", "ssl.key.password: it has no effect"])
def test_sentences_about_passwords_stay_whole(sentence: str) -> None:
    """A word after a colon and a space is no password."""
    assert telemetry.masked(sentence) == sentence


def test_each_log_event_has_its_own_name() -> None:
    """Names are what dashboards and alarms are made of."""
    names = [event.name for event in telemetry.EVENTS]
    assert len(names) == len(set(names))
    assert sorted(names) == sorted(value.name for value in vars(telemetry).values() if isinstance(value, telemetry.LogEvent))


def test_the_public_face_is_what_it_says() -> None:
    """Every name of `__all__` is there, is listed once, and nothing else is public."""
    assert tracker.__all__ == sorted(tracker.__all__)
    assert set(tracker.__all__) == set(tracker._HOMES)
    for name in tracker.__all__:
        assert getattr(tracker, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tracker.nothing


def test_a_history_is_a_function_of_its_seed() -> None:
    """The same seed and end make the same bytes, which end there; about as many as were asked for; all kinds are among them."""
    end = tracker.parse_event(
        {"specversion": "1.0", "id": "1", "source": "/", "type": "io.tracker.task.created", "subject": "t", "time": "2026-01-31T09:00:00Z"}
    )
    assert end is not None
    first = history(3, 2_000, end.time)
    assert first == history(3, 2_000, end.time)
    assert 1_800 < len(first) < 2_200
    events = [tracker.parse_event(json.loads(each.value)) for each in first]
    assert {event.kind for event in events if event is not None} == {
        *("created", "updated", "launched", "progressed", "messaged", "returned", "completed", "corrected", "deleted")
    }
    assert max(event.time for event in events if event is not None) <= end.time
    assert len({each.value for each in first}) < len(first)


def test_a_simulation_ends() -> None:
    """With a number of tasks it comes to its end, late events included, each task's first event among them."""
    simulation, now, written = Simulation(1, tasks=20), datetime(2026, 1, 31, tzinfo=UTC), []
    while not simulation.has_ended():
        now += timedelta(seconds=1)
        written += simulation.step(now)
    assert len({each.task_id for each in written if b".created" in each.value}) == 20
    assert simulation.step(now) == []
