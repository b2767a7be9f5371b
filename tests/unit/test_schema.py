"""The files of schemas/ are what the code says, and say what the code does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tracker.fold.decode import Decoder
from tracker.fold.event import TaskEvent
from tracker.model.events import KINDS, parse
from tracker.model.records import Record
from tracker.schema import check, generate, write

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = sorted(path.relative_to(SCHEMAS).as_posix() for path in SCHEMAS.glob("examples/*/*.json"))


def load(path: str) -> Any:
    """A parsed file of schemas/."""
    return json.loads((SCHEMAS / path).read_bytes())


def schema_of(example: str) -> dict[str, Any]:
    """The schema of an example's kind."""
    schema: dict[str, Any] = load(f"events/{example.split('/')[1]}.schema.json")
    return schema


def test_files_are_what_the_code_says() -> None:
    """`make schema` leaves nothing to change."""
    assert check(SCHEMAS) == []


def test_write_says_what_it_changed(tmp_path: Path) -> None:
    """A second run changes nothing, and only what differs is written."""
    assert write(tmp_path) == sorted(generate())
    (tmp_path / "asyncapi.json").write_text("{}")
    assert check(tmp_path) == ["asyncapi.json"]
    assert write(tmp_path) == ["asyncapi.json"]
    assert write(tmp_path) == []


def test_check_names_missing_and_unknown_files(tmp_path: Path) -> None:
    """A file that the code does not know differs too."""
    write(tmp_path)
    (tmp_path / "task-status.schema.json").unlink()
    (tmp_path / "other.json").write_text("{}")

    assert check(tmp_path) == ["other.json", "task-status.schema.json"]


@pytest.mark.parametrize("path", [path for path in generate() if path.endswith(".schema.json")])
def test_schemas_are_schemas(path: str) -> None:
    """Each schema is valid JSON Schema 2020-12."""
    Draft202012Validator.check_schema(load(path))


def test_every_kind_has_an_example() -> None:
    """No kind is without a published example."""
    assert {example.split("/")[1] for example in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_fit_their_schemas(example: str) -> None:
    """Every example ever published is valid by its kind's schema."""
    Draft202012Validator(schema_of(example)).validate(load(example))


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_fit_the_models(example: str) -> None:
    """Every example ever published is read by the models, for ever."""
    event = parse(load(example))

    assert event is not None
    assert event.kind == example.split("/")[1]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_decoded(example: str) -> None:
    """Every example ever published is decoded from a log, for ever."""
    record = Record("t", 0, 0, (SCHEMAS / example).read_bytes())

    assert isinstance(Decoder().decode(record), TaskEvent)


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize(
    "change", [{"specversion": None}, {"id": ""}, {"subject": "a\nb"}, {"data": []}, {"attempt": 0}, {"data_base64": "e30="}]
)
def test_schemas_refuse(example: str, change: dict[str, Any]) -> None:
    """What breaks a rule of the envelope is not valid by the schemas either."""
    assert not Draft202012Validator(schema_of(example)).is_valid(load(example) | change)


@pytest.mark.parametrize("example", EXAMPLES)
def test_schemas_let_through(example: str) -> None:
    """Unknown extensions, unknown fields, and nulls for optional attributes are valid."""
    document = load(example)
    document |= {"traceparent": {"any": 1}, "attempt": None, "sequence": "7", "data": {**document.get("data", {}), "unknown": 1}}

    assert Draft202012Validator(schema_of(example)).is_valid(document)


def references(value: Any) -> list[str]:
    """All `$ref` inside."""
    if isinstance(value, dict):
        return [
            reference
            for name, inner in value.items()
            for reference in ([inner] if name == "$ref" and isinstance(inner, str) else references(inner))
        ]
    return [reference for inner in value for reference in references(inner)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", sorted(generate()))
def test_references_resolve(path: str) -> None:
    """Each reference leads to something that is there."""
    for reference in references(load(path)):
        file, _, pointer = reference.partition("#")
        target = load((Path(path).parent / file).as_posix() if file else path)
        for step in pointer.split("/")[1:]:
            target = target[step]
        assert target


def test_asyncapi_has_each_kind_in_both_modes() -> None:
    """The topic's messages are the nine kinds, structured and binary, and the tombstone."""
    document = load("asyncapi.json")

    assert document["asyncapi"] == "3.0.0"
    expected = {f"{kind}{mode}" for kind in KINDS for mode in ("Structured", "Binary")} | {"tombstone"}
    assert set(document["channels"]["taskEvents"]["messages"]) == set(document["components"]["messages"]) == expected


def test_every_field_is_described() -> None:
    """No property of any schema is without a sentence."""
    for path in generate():
        if path.endswith(".schema.json"):
            schema = load(path)
            for part in [schema, *schema.get("$defs", {}).values()]:
                assert all("description" in rule for rule in part.get("properties", {}).values()), path
