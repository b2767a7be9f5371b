"""The pydantic models and the decoder say the same of an event that stands on its own."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.laws.agreement import event_values, verdict
from tests.naive.logs import Pool, pool, random_record
from tests.naive.mutate import mutated
from tests.naive.values import NotJson, overflows
from tests.naive.values import parse as parse_json
from tracker.fold.decode import Decoder
from tracker.fold.event import Ignored, TaskEvent
from tracker.model import events as model
from tracker.model.limits import MAX_DEPTH
from tracker.model.records import Record
from tracker.model.times import to_utc

DECODER = Decoder()


def bare_record(rng: Random, shape: Pool) -> Record:
    """A bare record of a file, whose value is the whole event, mutated or not."""
    shape.form = "file"
    value = random_record(rng, shape).value or b""
    return Record("f", 0, 0, mutated(rng, value) if rng.random() < 0.7 else value)


def document_of(record: Record) -> Any:
    """The record's value as parsed JSON; NotJson for what is a fact of bytes, which models do not see."""
    document, depth = parse_json(record.value or b"")
    if depth > MAX_DEPTH or overflows(document) or len(record.value or b"") > 1_048_576:
        raise NotJson
    return document


def model_difference(record: Record) -> str | None:
    """How the models and the decoder differ on a bare record. None too if its bytes are no document for a model."""
    try:
        document = document_of(record)
    except NotJson:
        return None
    result = DECODER.decode(record)
    try:
        event = model.parse(document)
    except ValueError as error:
        return None if verdict(result) in ("parked:not-an-event", "parked:invalid-data") else f"{error}, but {result}: {record}"
    if event is None:
        return None if isinstance(result, Ignored) else f"the model ignores it, the decoder says {result}: {record}"
    if not isinstance(result, TaskEvent):
        return f"the model takes it, the decoder says {result}: {record}"
    moment = event.time.isoformat(timespec="microseconds")
    seen = (event.kind, event.subject, event.attempt, event.sequence, to_utc(moment), event.source, event.id)
    values = event_values(result)
    if seen != (*values[:3], values[5], *values[6:9]):
        return f"the model has {seen}, the decoder {values}: {record}"
    again = DECODER.decode(Record("f", 0, 0, event.to_json()))
    if not isinstance(again, TaskEvent) or event_values(again) != values:
        return f"written by the model it is {again}, read as it came {result}: {record}"
    return None


@given(rng=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_drawn_documents_agree(rng: Random) -> None:
    """Verdict, stamp and data of drawn documents agree, and so they do once the model has written the event."""
    shape = pool(rng)
    assert [model_difference(bare_record(rng, shape)) for _ in range(5)] == [None] * 5


@pytest.mark.parametrize("seed", range(4))
def test_hundreds_of_random_documents_agree(seed: int) -> None:
    """1,200 documents, two of three of them mutated, agree."""
    rng = Random(seed)
    differences = [model_difference(bare_record(rng, shape)) for _ in range(30) for shape in [pool(rng)] for _ in range(10)]
    assert [difference for difference in differences if difference] == []
