"""A million mutated records through the decoder. Run with ``-s`` for the figures.

``RECORDS`` and ``SEED`` in the environment choose how many, and which. A quarter is compared with the oracle.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random

import pytest

from tests.laws.agreement import decode_difference, verdict
from tests.laws.test_model_agrees import bare_record, model_difference
from tests.naive.logs import pool, random_record
from tests.naive.mutate import mutated_record
from tracker.fold.decode import Decoder
from tracker.fold.event import REASONS, Ignored, Parked, TaskEvent

RECORDS = int(os.environ.get("RECORDS", "1000000"))
SEED = int(os.environ.get("SEED", "0"))
CHUNK = 5_000
COMPARED = 4
"""One record of so many is compared with the oracle, and one bare document of as many with the models."""


def decoded(seed: int) -> tuple[Counter[str], list[str]]:
    """Counts, and what was found wrong, of one chunk of records."""
    rng, decoder, counts, wrong = Random(seed), Decoder(), Counter[str](), []
    shape = pool(rng)
    for number in range(CHUNK):
        if number % 20 == 0:
            shape = pool(rng)
        record = mutated_record(rng, random_record(rng, shape))
        try:
            result: object = decoder.decode(record)
        except Exception as error:  # noqa: BLE001 - that nothing is raised is what is tested
            wrong.append(f"seed {seed}: raised {error!r} of {record!r}"[:3000])
            continue
        counts["records"] += 1
        if not isinstance(result, TaskEvent | Ignored | Parked) or (isinstance(result, Parked) and result.reason not in REASONS):
            wrong.append(f"seed {seed}: {result!r} of {record!r}"[:3000])
            continue
        counts[verdict(result)] += 1
        if number % COMPARED == 0:
            difference = decode_difference(decoder, record)
            counts["compared with the oracle"] += 1
            if difference:
                wrong.append(f"seed {seed}: {difference}")
        if number % COMPARED == 1:
            difference = model_difference(bare_record(rng, pool(rng)))
            counts["compared with the models"] += 1
            if difference:
                wrong.append(f"seed {seed}: {difference}"[:3000])
    return counts, wrong


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
def test_a_million_mutated_records_are_events_or_ignored_or_parked() -> None:
    """Whatever a record holds, the decoder gives an event, ignores it or parks it for a reason; it never raises."""
    began = time.perf_counter()
    counts, wrong = Counter[str](), []
    with ProcessPoolExecutor(2) as workers:
        for of_chunk, wrong_of_chunk in workers.map(decoded, range(SEED, SEED + (RECORDS + CHUNK - 1) // CHUNK)):
            counts += of_chunk
            wrong += wrong_of_chunk
    print(f"\n{time.perf_counter() - began:.1f} s, 2 processes; {dict(counts)}")

    assert wrong[:3] == []
    assert counts["records"] >= RECORDS
    assert counts["compared with the oracle"] >= RECORDS / COMPARED
