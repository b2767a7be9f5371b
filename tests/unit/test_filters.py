"""Filters: what they say, and how they fail."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest

from tracker.errors import FilterError
from tracker.query.fields import DECODED, FIELDS, TOOK, Field, Kind
from tracker.query.filters import And, Compare, In, IsNull, Moment, Not, Or, parse
from tracker.query.grammar import depth, read
from tracker.query.tree import BEFORE_ALL

STATE, LAUNCHER, CREATED = FIELDS["state"], FIELDS["launcher"], FIELDS["created"]
NOW = datetime(2026, 1, 10, 13, tzinfo=timezone(timedelta(hours=1)))
A, B, C = (Compare(FIELDS["id"], "eq", letter) for letter in "abc")


def _attribute(name: str, *keys: str) -> Field:
    return Field(name, "", Kind.JSON, nullable=True, many=True, keys=keys)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ('state eq "RUNNING"', Compare(STATE, "eq", "RUNNING")),
        ('state eq"running"', Compare(STATE, "eq", "RUNNING")),
        ("state eq Running", Compare(STATE, "eq", "RUNNING")),
        ('launcher in ("A", b)', In(LAUNCHER, ("a", "b"))),
        ('launcher co "a\\"b\\\\c"', Compare(LAUNCHER, "co", 'a"b\\c')),
        ("completed isnull", IsNull(FIELDS["completed"])),
        ("pr completed", Not(IsNull(FIELDS["completed"]))),
        ("attempt ge 2", Compare(FIELDS["attempt"], "ge", 2)),
        ("percentComplete lt 49.5", Compare(FIELDS["percentComplete"], "lt", 49.5)),
        ("created gt 2018-12-18T23:05:55Z", Compare(CREATED, "gt", Moment("2018-12-18T23:05:55.000"))),
        ('created gt "2018-12-18T23:05:55.1234567+01:00"', Compare(CREATED, "gt", Moment("2018-12-18T22:05:55.123456"))),
        ("created gt 2018", Compare(CREATED, "gt", Moment("2018-01-01T00:00:00.000"))),
        ("created le 2018-12-31", Compare(CREATED, "le", Moment("2018-12-31T00:00:00.000"))),
        ("not id eq a or id eq b and id eq c", Or((Not(A), And((B, C))))),
        ("not (id eq a or id eq b) and id eq c", And((Not(Or((A, B))), C))),
        ("id eq a and id eq b and id eq c", And((A, B, C))),
        ("(((id eq a)))", A),
        ("not not id eq a", Not(Not(A))),
        ('completionStatus eq"Success"', Compare(FIELDS["completionStatus"], "eq", "SUCCESS")),
        ("messages ca (A, b)", And((Compare(DECODED["messages"], "eq", "a"), Compare(DECODED["messages"], "eq", "b")))),
        ("attributes.a.b eq 1", Compare(_attribute("attributes.a.b", "a", "b"), "eq", 1)),
        ('attributes."a.b"."c\\"" eq T', Compare(_attribute('attributes."a.b"."c\\""', "a.b", 'c"'), "eq", "t")),
        ("attributes.a in (true, 2.5)", In(_attribute("attributes.a", "a"), (True, 2.5))),
        ("attributes.a ne null", Not(IsNull(_attribute("attributes.a", "a")))),
        ("attributes.a co 12", Compare(_attribute("attributes.a", "a"), "co", "12")),
        ("created gt now", Compare(CREATED, "gt", Moment("2026-01-10T12:00:00.000000"))),
        ("created gt now-1.5h", Compare(CREATED, "gt", Moment("2026-01-10T10:30:00.000000"))),
        ("created gt now+500ms", Compare(CREATED, "gt", Moment("2026-01-10T12:00:00.500000"))),
        ("silence gt 7d", Compare(FIELDS["modified"], "lt", Moment("2026-01-03T12:00:00.000000"))),
        ("silence ne 90s", Not(Compare(FIELDS["modified"], "eq", Moment("2026-01-10T11:58:30.000000")))),
        ("silence gt 999999999d", Compare(FIELDS["modified"], "lt", BEFORE_ALL)),
        (
            "duration ge 10m",
            Or(
                (
                    And((IsNull(FIELDS["completed"]), Compare(FIELDS["launched"], "le", Moment("2026-01-10T11:50:00.000000")))),
                    Compare(TOOK, "ge", 600_000_000),
                )
            ),
        ),
        ("pr duration", Not(IsNull(FIELDS["launched"]))),
    ],
)
def test_texts_and_trees(text, tree):
    """Each form of the grammar gives its tree; not binds tighter than and, that tighter than or, as SailPoint's two examples say."""
    assert parse(text, now=NOW) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'the filter is empty; expected one such as state eq "RUNNING"'),
        ("state", "filter, position 6: expected an operator (eq, ne, in, gt, ge, lt, le, co, sw, ca, isnull), found the end"),
        ("state eq", "filter, position 9: expected a value, found the end"),
        ('stat eq "x"', 'filter, position 1: there is no field "stat"; did you mean "state"?'),
        ('STATE eq "x"', 'filter, position 1: there is no field "STATE"; did you mean "state"?'),
        (
            'state EQ "x"',
            'filter, position 7: expected an operator (eq, ne, in, gt, ge, lt, le, co, sw, ca, isnull), found "EQ"; did you mean "eq"?',
        ),
        (
            'state eq "RUNING"',
            'filter, position 10: expected one of PENDING, RUNNING, COMPLETED, found "RUNING"; did you mean "RUNNING"?',
        ),
        ('id eq "x" AND id eq "y"', 'filter, position 11: expected the end or "and" or "or", found "AND"; did you mean "and"?'),
        ("created gt now 1h", 'filter, position 16: expected the end or "and" or "or", found "1h"; in a URL a "+" is written %2B'),
        ('id eq "x', "filter, position 7: found a string that is not closed"),
        ("id eq 'x'", "filter, position 7: found a single quote; strings stand in double quotes"),
        ('id eq "a\\n"', 'filter, position 9: "\\n" is no escape; there are \\" and \\\\'),
        ("id in ()", 'filter, position 8: expected a value, found ")"'),
        ("(id isnull", 'filter, position 11: expected ")", found the end'),
        ("attempt co 3", 'filter, position 9: attempt is a number and has no "co"; it has eq, ne, in, gt, ge, lt, le, isnull, pr'),
        ("attempt gt abc", 'filter, position 12: expected a number, found "abc"'),
        (
            "created gt yesterday",
            'filter, position 12: "yesterday" is no time: expected an RFC 3339 time with an offset, such as 2026-01-31T09:30:00.123Z, or now-10m',
        ),
        (
            "completionStatus eq null",
            'filter, position 21: null is no value; write "completionStatus isnull", or put the word in double quotes',
        ),
        ("launcher eq in", 'filter, position 13: expected a value, found "in"; the value "in" stands in double quotes'),
        ('id eq "\udc80"', "filter, position 7: the value is not Unicode text"),
        ('state."x" eq 1', 'filter, position 1: there is no field "state."x""; did you mean "state"?'),
        ("attributes eq 1", 'filter, position 11: expected a key, as in attributes.KEY or attributes."any key"'),
        ("attributes.a..b eq 1", 'filter, position 14: expected a key, as in attributes.KEY or attributes."any key"'),
        (
            "attributes.a gt true",
            'filter, position 17: true is neither more nor less than another; write "attributes.a eq true", or put the word in double quotes',
        ),
        ("attributes.a gt null", 'filter, position 17: null is no value; write "attributes.a isnull", or put the word in double quotes'),
        ("silence gt 90", 'filter, position 12: expected a duration such as 500ms, 90s, 10m, 1.5h or 7d, found "90"'),
        ("silence gt 10m", "filter, position 12: what counts from now can't be asked here, where no time of asking is given"),
        ("created gt now-1h", "filter, position 12: what counts from now can't be asked here, where no time of asking is given"),
        (
            "launcher ca (a)",
            'filter, position 10: launcher is a text and has no "ca"; it has eq, ne, in, gt, ge, lt, le, co, sw, isnull, pr',
        ),
        ("messages.type eq FATAL", 'filter, position 18: expected one of INFO, WARN, ERROR, found "FATAL"'),
        ("not " * 32 + "id isnull", "a filter is at most 32 levels deep, not 33"),
        ("id isnull or " * 400, "a filter has at most 4,000 characters, not 5,200"),
        ("id in (" + "1," * 500 + "1)", 'filter, position 1008: "in" takes at most 500 values, not 501'),
    ],
)
def test_errors_say_where_and_what(text, message):
    """A filter that is wrong fails with its position, what was expected, what was found, and a near word."""
    with pytest.raises(FilterError) as raised:
        parse(text)
    assert str(raised.value) == message
    assert 1 <= raised.value.position <= len(text) + 1
    assert f"position {raised.value.position}:" in message or "position" not in message


@pytest.mark.parametrize("value", ["QUARTZ", '"quartz"'])
def test_compatible_types_fail_as_sailpoint_says_it(value):
    """A type that is none of SailPoint's is refused in its words, and told what there is."""
    with pytest.raises(FilterError) as raised:
        parse(f"type eq {value}", compatible=True)
    assert str(raised.value).startswith(f"filter, position 9: Error converting Enumerated string (type) value ({value.strip(chr(34))}); ")
    assert "CLOUD_ACCOUNT_AGGREGATION, " in str(raised.value)


def test_a_time_from_now_stays_within_the_years():
    """What a status can't hold is no time to compare with."""
    with pytest.raises(FilterError, match='position 12: "now-999999d" lies outside the years 0001 to 9999'):
        parse("created gt now-999999d", now=NOW)


def test_nothing_but_usage_errors():
    """Every sequence of up to four tokens parses or is a usage error."""
    for length in range(1, 5):
        for tokens in itertools.product(["id", "eq", "in", "not", "pr", "and", "isnull", "(", ")", ",", '"x"', '"'], repeat=length):
            try:
                parse(" ".join(tokens))
            except FilterError as error:
                assert "position" in str(error)  # noqa: PT017 - most of them are errors, the others fine


def test_depth_counts_levels_not_width():
    """A wide tree is not deep."""
    assert depth(read(" and ".join(["id eq a"] * 100))) == 2
