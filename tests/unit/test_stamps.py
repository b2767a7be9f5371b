"""A stamp as one text compares as the contract's tuple does, and comes apart again."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from tracker.fold.event import StampParts, stamp_attempt, stamp_head, stamp_of, stamp_parts, stamp_time
from tracker.model.limits import MAX_ATTEMPT, MAX_SEQUENCE

NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=4) | st.sampled_from(["/", "/a", "/a!", "/ ", "/a b"])
TIMES = st.sampled_from(
    ["0001-01-01T00:00:00.000000", "2026-01-01T00:00:00.000000", "2026-01-01T00:00:00.000001", "9999-12-31T23:59:59.999999"]
)
ATTEMPTS = st.integers(1, MAX_ATTEMPT) | st.sampled_from([1, 9, 10, 99, 100, 999, 1_000, MAX_ATTEMPT])
SEQUENCES = st.integers(0, MAX_SEQUENCE) | st.sampled_from([0, 9, 10, 999, 1_000, 2**53, 2**53 + 1, MAX_SEQUENCE])
TUPLES = st.tuples(ATTEMPTS, SEQUENCES, TIMES, NAMES, NAMES)

AT = "2026-01-01T00:00:00.000000"


@given(TUPLES, TUPLES)
@example((1, 0, AT, "/a", "1"), (1, 0, AT, "/a!", "1"))
@example((9, 0, AT, "/a", "1"), (10, 0, AT, "/a", "1"))
@example((1, 99, AT, "/a", "1"), (1, 100, AT, "/a", "1"))
@example((1, 0, AT, "\uffee", "1"), (1, 0, AT, "\U0001f600", "1"))
@example((1, 0, AT, "/a", " "), (1, 0, AT, "/a ", "!"))
def test_texts_compare_as_tuples_do(a: tuple[int, int, str, str, str], b: tuple[int, int, str, str, str]) -> None:
    """The order of two stamps' texts, and whether they are equal, is the order of the tuples."""
    assert (stamp_of(*a) < stamp_of(*b), stamp_of(*a) == stamp_of(*b)) == (a < b, a == b)


@given(TUPLES)
def test_a_stamp_comes_apart_again(parts: tuple[int, int, str, str, str]) -> None:
    """Attempt, sequence, time, source and id are read back from the text."""
    stamp = stamp_of(*parts)

    assert stamp_parts(stamp) == StampParts(*parts)
    assert (stamp_attempt(stamp), stamp_time(stamp)) == (parts[0], parts[2])
    assert stamp[stamp_head(stamp) :] == f"{parts[3]}\0{parts[4]}"
