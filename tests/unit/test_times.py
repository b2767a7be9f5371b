"""Times of events: RFC 3339 in, 26 characters of UTC that compare as the times do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.naive.decode import _Parked, _time_text, _time_us
from tests.naive.mutate import TIMES
from tracker.model import times
from tracker.model.times import from_millis, shown, to_datetime, to_utc

ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
FIRST, LAST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001 - Hypothesis wants bounds without a zone
MOMENTS = st.datetimes(FIRST, LAST, timezones=ZONES)


def oracle(text: str) -> str | None:
    """The oracle's 26 characters; None if it refuses the time."""
    try:
        return _time_text(_time_us(text, "refused"))
    except _Parked:
        return None


def product(text: str) -> str | None:
    """Our 26 characters; None if the time is refused."""
    try:
        return to_utc(text)
    except ValueError:
        return None


@pytest.mark.parametrize("text", TIMES, ids=range(len(TIMES)))
def test_odd_times_are_read_as_the_oracle_reads_them(text: str) -> None:
    """Each odd spelling agrees when it is new, and again once its minute is remembered."""
    times._minutes.clear()
    assert (product(text), product(text)) == (oracle(text), oracle(text))


def test_what_is_remembered_makes_no_difference() -> None:
    """Thousands of times with characters exchanged agree, with the memory of all that came before."""
    rng = Random(1)
    for _ in range(5_000):
        text = list(rng.choice(TIMES[:30]))
        for _ in range(rng.choice((0, 1, 1, 2))):
            text[rng.randrange(len(text))] = rng.choice("0123456789-+:.TtZz 6")
        if rng.random() < 0.2:
            del text[rng.randrange(len(text))]
        assert product("".join(text)) == oracle("".join(text))


def test_the_memory_is_bounded() -> None:
    """However many minutes a log has, no more than 20,000 are remembered."""
    for day in range(1, 29):
        for minute in range(1440):
            to_utc(f"1999-02-{day:02d}T{minute // 60:02d}:{minute % 60:02d}:00Z")
    assert len(times._minutes) <= 20_000


@given(MOMENTS)
@example(datetime(2000, 2, 29, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-23, minutes=-59))))
def test_any_datetime_comes_back(moment: datetime) -> None:
    """What isoformat writes is read as the same moment, at any offset."""
    assert to_datetime(to_utc(moment.isoformat())) == moment.astimezone(UTC)


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_any_timestamp_comes_back(timestamp_ms: int) -> None:
    """Milliseconds since 1970 within the years 0001 to 9999 are kept exactly."""
    text = from_millis(timestamp_ms)

    assert len(text) == 26
    assert (to_datetime(text) - times.EPOCH) // timedelta(milliseconds=1) == timestamp_ms


@pytest.mark.parametrize("timestamp_ms", [-62_135_596_800_001, 253_402_300_800_000, 2**62, -(2**62)])
def test_timestamps_outside_the_years_are_refused(timestamp_ms: int) -> None:
    """A timestamp that no year from 0001 to 9999 has is a ValueError."""
    with pytest.raises(ValueError, match="outside the years 0001 to 9999"):
        from_millis(timestamp_ms)


@given(MOMENTS, MOMENTS)
def test_texts_compare_as_times_do(a: datetime, b: datetime) -> None:
    """Of two times, the later has the greater text, whatever their offsets."""
    assert (to_utc(a.isoformat()) < to_utc(b.isoformat())) == (a < b)


def test_shown_cuts_and_does_not_round() -> None:
    """A status shows milliseconds, cut."""
    assert shown("2026-01-31T09:30:00.999999") == "2026-01-31T09:30:00.999Z"
