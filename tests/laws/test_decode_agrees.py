"""The decoder and the oracle give the same verdict, reason and values."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.agreement import decode_difference, verdict
from tests.naive.logs import logs, random_log
from tests.naive.mutate import mutated_record
from tracker.fold.decode import Decoder
from tracker.model.limits import DEFAULT_LIMITS, Limits
from tracker.model.records import Record

NARROW = Limits(max_record_bytes=400, max_future_s=0)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(records=logs(), rng=st.randoms(use_true_random=False))
@QUICK
def test_drawn_records_and_their_mutations_agree(records: list[Record], rng: Random) -> None:
    """Each record of a drawn log is read as the oracle reads it, and so is a mutation of it."""
    decoder = Decoder()
    for record in records:
        assert decode_difference(decoder, record) is None
        assert decode_difference(decoder, mutated_record(rng, record)) is None


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, NARROW], ids=["default limits", "narrow limits"])
def test_thousands_of_random_records_agree(limits: Limits) -> None:
    """Some 3,000 records and mutated records are read as the oracle reads them, under any limits."""
    rng, decoder = Random(20), Decoder(limits)
    for _ in range(120):
        for record in random_log(rng):
            assert decode_difference(decoder, record, limits) is None
            assert decode_difference(decoder, mutated_record(rng, record), limits) is None


def test_a_decoder_remembers_nothing_that_matters() -> None:
    """One decoder for a whole shuffled log gives what a new one for each record gives."""
    rng, used = Random(21), Decoder()
    records = [mutated_record(rng, record) for _ in range(50) for record in random_log(rng)]
    assert [used.decode(record) for record in records] == [Decoder().decode(record) for record in records]


@pytest.mark.parametrize("size", [65_533, 65_534, 65_535, 65_536])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("updated", '{"description":"X"}'),
        ("updated", '{"target":{"name":"X"}}'),
        ("updated", '{"target":{"name":"","unknown":"X"}}'),
        ("updated", '{"taskDefinitionSummary":{"id":"","uniqueName":"","parentName":"","arguments":{"a":"X"}}}'),
        ("updated", '{"attributes":{"a":"","b":"X"}}'),
        ("progressed", '{"progress":"X"}'),
        ("messaged", '{"type":"INFO","key":"k","localizedText":{"locale":"en","message":"X"}}'),
        ("messaged", '{"type":"INFO","key":"k","localizedText":{"locale":"en","message":"","unknown":"X"},"parameters":["é"]}'),
        ("returned", '{"name":"n","attributeName":"X"}'),
    ],
)
def test_the_size_of_a_field_is_measured_as_it_is_shown(kind: str, data: str, size: int) -> None:
    """Fields around 65,536 bytes of canonical JSON agree, whether the length is in what is shown or in what is not."""
    differences = []
    for filler in ("x", "é", "\\u0000", "\\u00e9"):
        width = len(json.dumps(json.loads(f'"{filler}"'), ensure_ascii=False).encode()) - 2
        for text in (filler * (size // width), filler * ((size - 150) // width)):
            value = f'{{"type":"io.tracker.task.{kind}","specversion":"1.0","id":"1","source":"/s","subject":"t",'
            value += f'"time":"2026-01-01T00:00:00Z","data":{data.replace("X", text)}}}'
            differences.append(decode_difference(Decoder(), Record("f", 0, 0, value.encode())))
    assert differences == [None] * 8


@pytest.mark.parametrize("levels", [62, 63, 64, 199, 201, 2_000])
@pytest.mark.parametrize("place", ['"data":{"attributes":{"a":X}}', '"extension":X', '"subject":X', '"data":{"unknown":X}', '"data":X'])
@pytest.mark.parametrize("kind", ["updated", "foreign"])
def test_any_nesting_agrees(levels: int, place: str, kind: str) -> None:
    """Nesting of any depth, anywhere in an event of ours or of another, is judged as the oracle judges it."""
    nested = "[" * (levels - 2) + '{"]":1}' + "]" * (levels - 2)
    for broken in (nested, nested[:-1], nested.replace("1", "x")):
        value = f'{{"type":"io.tracker.task.{kind}","specversion":"1.0","id":"1","source":"/s","subject":"t",'
        value += f'"time":"2026-01-01T00:00:00Z",{place.replace("X", broken)}}}'
        assert decode_difference(Decoder(), Record("f", 0, 0, value.encode())) is None


def test_the_mutations_reach_every_verdict() -> None:
    """The comparison is not one of refusals alone: events and every reason are among the mutated records."""
    rng, decoder = Random(22), Decoder(Limits(max_record_bytes=2_000))
    verdicts = {verdict(decoder.decode(mutated_record(rng, record))) for _ in range(300) for record in random_log(rng)}
    assert verdicts == {
        "event",
        "ignored",
        "parked:too-large",
        "parked:not-json",
        "parked:not-an-event",
        "parked:invalid-data",
        "parked:future-time",
    }
