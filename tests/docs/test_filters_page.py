"""docs/filters.md says what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracker.errors import FilterError
from tracker.query.fields import COMPATIBLE_TYPE, DECODED, DOCUMENTS, FIELDS, KNOWN, Kind
from tracker.query.filters import MAX_VALUES, parse
from tracker.query.grammar import MAX_DEPTH, MAX_LENGTH
from tracker.query.tree import Compare
from tracker.query.values import UNITS, duration

PAGE = (Path(__file__).parents[2] / "docs" / "filters.md").read_text()
NOW = datetime(2026, 1, 10, tzinfo=UTC)


def rows(first: str) -> list[list[str]]:
    """The cells of the table whose heading begins with this cell, without the heading."""
    table = PAGE[PAGE.index(f"\n| {first} |") + 1 :].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:] if line]


def words(text: str) -> list[str]:
    """What stands in code quotes."""
    return re.findall(r"`([^`]+)`", text)


def test_every_field_has_its_row() -> None:
    """The table has all fields with their kind, whether they may be missing, and whether the database decides them."""
    table = {
        words(line.split("|")[1])[0]: [cell.strip() for cell in line.split("|")[2:5]]
        for line in PAGE.splitlines()
        if re.match(r"\| `[\w.]+` \| [^|]*\|[^|]*\|[^|]*\|$", line)
    }
    expected = {
        name: [
            f"{field.kind.value}, list" if field.many else field.kind.value,
            "yes" if field.nullable or field.many else "",
            "" if name in DECODED else "yes",
        ]
        for name, field in KNOWN.items()
    }
    expected |= {f"{document}.KEY": ["JSON value, list", "yes", ""] for document in DOCUMENTS}

    assert table == expected


def test_every_kind_has_its_operators() -> None:
    """The table of kinds has all of them, with what each can."""
    assert {kind: tuple(words(operators)) for kind, operators in rows("kind of value")} == {kind.value: kind.operators for kind in Kind}


def test_every_operator_is_explained() -> None:
    """What any field has stands in the table of operators, and nothing else."""
    known = {operator for field in (*KNOWN.values(), COMPATIBLE_TYPE) for operator in field.operators} | {"isnull"}

    assert {word for row in rows("operator") for word in words(row[0])} == known


def test_units_are_all() -> None:
    """The table of units has those that durations take."""
    assert [words(row[0])[0] for row in rows("unit")] == list(UNITS)
    assert duration("1d", 1) == 24 * duration("1h", 1)


def test_compatible_types_are_all() -> None:
    """The words that SailPoint's type takes are listed in their order."""
    assert [words(row[0])[0] for row in rows("value of `type`")] == list(COMPATIBLE_TYPE.words)


def test_limits() -> None:
    """The limits are the code's."""
    assert f"at most {MAX_LENGTH:,} characters, {MAX_DEPTH} levels and {MAX_VALUES} values" in PAGE


@pytest.mark.parametrize("text", [line for block in re.findall(r"```filter\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()])
def test_examples_parse(text: str) -> None:
    """Each example is a filter."""
    parse(text, now=NOW)


@pytest.mark.parametrize(("text", "message"), [(words(row[0])[0], row[1]) for row in rows("filter")])
def test_errors_read_so(text: str, message: str) -> None:
    """Each error is the one that is shown."""
    with pytest.raises(FilterError) as raised:
        parse(text)
    assert str(raised.value) == message


def test_source_id_is_the_targets_id() -> None:
    """Both names have one column."""
    assert FIELDS["sourceId"].column == FIELDS["target.id"].column
    assert isinstance(parse("sourceId eq x"), Compare)
