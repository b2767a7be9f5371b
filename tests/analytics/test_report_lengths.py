"""Percentiles and greatest lengths, beside sorted lists."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.analytics.report import lengths
from tracker.analytics.report.lengths import PERCENTILES, Lengths, Tally
from tracker.analytics.report.top import Top

MICROSECONDS = st.integers(0, 4 * 10**17)


def tally_of(values: list[int]) -> Tally:
    """One that has taken them."""
    tally = Tally()
    for value in values:
        tally.add(value)
    return tally


def tallied(values: list[int]) -> Lengths:
    """What a tally tells of them."""
    return tally_of(values).told()


def nearest_ranks(values: list[int]) -> list[int]:
    """The percentiles of a list: the value at the least rank that holds so many per cent."""
    ordered = sorted(values)
    return [ordered[math.ceil(percent * len(ordered) / 100) - 1] for percent in PERCENTILES]


def percentiles(told: Lengths) -> list[int]:
    """Those that are told."""
    return [value for value in (told.p50, told.p90, told.p95, told.p99) if value is not None]


@given(st.lists(MICROSECONDS, min_size=1, max_size=300))
def test_percentiles_are_those_of_the_sorted_list(values: list[int]) -> None:
    """As long as few lengths differ, each percentile is the length at its rank."""
    told = tallied(values)
    assert (told.tasks, told.least, told.greatest, told.exact) == (len(values), min(values), max(values), True)
    assert percentiles(told) == nearest_ranks(values)


def test_of_no_lengths_nothing_is_told() -> None:
    """But that there is none."""
    assert tallied([]) == Lengths(0)


@given(st.lists(MICROSECONDS, min_size=5, max_size=300), st.randoms(use_true_random=False))
def test_of_many_lengths_percentiles_are_within_a_thousandth(values: list[int], random: Random) -> None:
    """Where too many differ to be counted one by one, none is farther than 1/1000 from the exact one; that is said, and order is nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths, "MAX_DIFFERENT", 3)
        told = tallied(values)
        shuffled = random.sample(values, len(values))
        assert tallied(shuffled) == told
    assert told.exact is (len(set(values)) <= 3)
    assert (told.tasks, told.least, told.greatest) == (len(values), min(values), max(values))
    for found, exact in zip(percentiles(told), nearest_ranks(values), strict=True):
        assert abs(found - exact) <= exact / 1000


@given(st.lists(st.lists(MICROSECONDS, max_size=40), max_size=6), st.integers(1, 60))
def test_a_union_is_of_all_lengths(parts: list[list[int]], different: int) -> None:
    """Parts that are counted apart tell together what they would have told as one, exact ones beside others too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lengths, "MAX_DIFFERENT", different)
        assert Tally.union(map(tally_of, parts)).told() == tallied([value for part in parts for value in part])


def test_memory_does_not_grow_with_the_lengths() -> None:
    """However many come and differ, from a microsecond to the years 1 and 9999, the same few numbers are kept."""
    random, tally = Random(3), Tally()
    for _ in range(100_000):
        tally.add(int(math.exp(random.uniform(0, 40.3))))
    assert not tally.told().exact
    assert tally.steps is not None
    assert (len(tally.steps), len(tally.counts), len(tally._waiting)) == (lengths._STEPS, 0, 0)


@given(st.lists(st.tuples(st.integers(-5, 5), st.text("ab", max_size=3)), max_size=60), st.integers(1, 3))
def test_the_greatest_are_those_of_the_sorted_list(tasks: list[tuple[int, str]], size: int) -> None:
    """Of equal ones those with the least ids, whatever was thrown away on the way."""
    top = Top(size, keep=2)
    for length_us, id in tasks:
        top.add(length_us, id)
    assert top.told() == sorted(tasks, key=lambda task: (-task[0], task[1]))[:size]
