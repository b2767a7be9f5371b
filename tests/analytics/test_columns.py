"""The table's columns: their types, their names, and the pages and files that tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from tracker.analytics.arrow import arrow_schema, arrow_type
from tracker.analytics.attributes import TYPES, Attribute, parse_attribute, parse_attributes, with_attributes
from tracker.analytics.columns import CHANGES, EVENTS, TASKS, Column, type_text
from tracker.analytics.flat import SCALARS
from tracker.errors import UsageError
from tracker.model.status import TaskExtension, TaskStatus
from tracker.query.following import ChangeKind
from tracker.schema.tables import page, table

ROOT = Path(__file__).parents[2]


def test_the_first_18_are_the_status() -> None:
    """In the contract's order, by the names that JSON has."""
    assert [column.name for column in TASKS[:18]] == [field.alias for field in TaskStatus.model_fields.values()]


def test_the_extension_is_there() -> None:
    """Each member of it is a column."""
    assert {field.alias for field in TaskExtension.model_fields.values()} <= {column.name for column in TASKS}


def test_changes_have_the_words_of_the_feed() -> None:
    """`change` says what `changes` does."""
    assert get_args(ChangeKind) == CHANGES


@pytest.mark.parametrize("columns", [TASKS, EVENTS])
def test_types_are_named_as_arrow_does(columns: tuple[Column, ...]) -> None:
    """The text of a type is Arrow's own."""
    assert [type_text(column.type) for column in columns] == [str(arrow_type(column.type)) for column in columns]


def test_the_schema_says_what_may_be_null() -> None:
    """Only the id, the revision and the kind of change are always there."""
    assert [field.name for field in arrow_schema() if not field.nullable] == ["id", "revision", "change"]


def test_scalars_are_columns() -> None:
    """What the hot path reads out are columns of the table."""
    assert set(SCALARS) < {column.name for column in TASKS}


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are part of the source tree")
def test_the_page_has_the_tables() -> None:
    """docs/table.md has every column with its type and sentence; `make schema` writes it."""
    text = (ROOT / "docs" / "table.md").read_text(encoding="utf-8")
    assert page(text) == text


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are part of the source tree")
def test_the_page_has_the_types_of_attributes() -> None:
    """The types that an attribute's column may be of are listed."""
    text = (ROOT / "docs" / "table.md").read_text(encoding="utf-8")
    assert f"of type {', '.join(f'`{name}`' for name in list(TYPES)[:-1])} or `{list(TYPES)[-1]}`" in text


def test_tables_are_plain_json() -> None:
    """What schemas/ has of a table names all of its columns."""
    assert [column["name"] for column in json.loads(json.dumps(table("tasks")))["columns"]] == [column.name for column in TASKS]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("identityCount:int64", Attribute("identityCount", "identityCount", "int64")),
        ("owner", Attribute("owner", "owner", "json")),
        ("count=a:b:double", Attribute("count", "a:b", "double")),
        ("x=a=b:string", Attribute("x", "a=b", "string")),
    ],
)
def test_attributes_are_read(text: str, expected: Attribute) -> None:
    """A key, a name before `=`, a type behind the last `:`."""
    assert parse_attribute(text) == expected
    assert with_attributes([expected])[-1].name == expected.name


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a:int65"], 'expected KEY:TYPE with a type of json, string, bool, int64, double, timestamp, found "int65"'),
        (["type:string"], "give this one another, as in my_type=type:string"),
        (["Launcher:string"], "the table has a column of that name"),
        (["a:string", "A:int64"], "the table has a column of that name"),
        (["=a:string"], "found no name"),
    ],
)
def test_attributes_are_refused(texts: list[str], message: str) -> None:
    """An unknown type, a name that is taken (engines tell names apart without case), no name."""
    with pytest.raises(UsageError, match=message):
        parse_attributes(texts)
