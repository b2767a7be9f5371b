"""The filter's text as parts: what chips and facets add, replace and take out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.query.filters import parse
from tracker.query.grammar import conjuncts
from tracker.web.dashboard.selecting import Selection, equals

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LEAVES = st.sampled_from(
    [
        'state eq "RUNNING"',
        "launcher isnull",
        "pr target.id",
        'uniqueName co "x and (y or"',
        "attempt in (1, 2)",
        "duration gt 2h",
        'id eq "a\\"b"',
    ]
)
TEXTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join), inner.map("({})".format), inner.map("not ({})".format)
    ),
    max_leaves=8,
)


@given(TEXTS)
def test_the_parts_mean_the_whole(text: str) -> None:
    """Joined by ``and`` again they are the same filter."""
    assert parse(" and ".join(conjuncts(text)), now=NOW) == parse(text, now=NOW)


@given(TEXTS)
def test_what_is_added_is_taken_out_again(text: str) -> None:
    """Neither changes what else there is."""
    selection = Selection(text, NOW)
    added = Selection(selection.plus('type eq "QPOC"'), NOW)
    assert added.has('type eq "QPOC"')
    assert parse(added.but('type eq "QPOC"'), now=NOW) == selection.where


@given(st.text(min_size=1, max_size=40).filter(lambda text: not any("\ud800" <= each <= "\udfff" for each in text)))
def test_any_value_can_be_filtered_by(value: str) -> None:
    """Quotes and backslashes too."""
    node = parse(equals("id", value))
    assert node == parse(f"id in ({equals('id', value).removeprefix('id eq ')})") or node.value == value  # type: ignore[union-attr]
    assert node.value == value  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "fields", "rest"),
    [
        ('state eq "RUNNING" and launcher eq x', ("state", "completionStatus"), "launcher eq x"),
        ("(state eq PENDING or completionStatus eq ERROR) and launcher eq x", ("state", "completionStatus"), "launcher eq x"),
        ("state eq PENDING or launcher eq x", ("state",), "(state eq PENDING or launcher eq x)"),
        ("not launcher eq x and launcher ne y", ("launcher",), ""),
        ("", ("launcher",), ""),
    ],
)
def test_parts_about_a_field_alone_are_left_out(text: str, fields: tuple[str, ...], rest: str) -> None:
    """What is about others as well stays."""
    assert Selection(text, NOW).text_without(fields) == rest
