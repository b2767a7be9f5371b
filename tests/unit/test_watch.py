"""The watch: fires where a worker has records to read and does not move, tells where it hangs, and does not fire otherwise."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from tests.unit.road import Watched, log, projector
from tracker.errors import PositionConflict, StoreUnavailable, Stuck
from tracker.projector import Options, Projector
from tracker.projector import watch as watch_module
from tracker.projector.watch import Sight, Watch
from tracker.sources.memory import END, GAP, PAUSE, Item
from tracker.stores.memory import MemoryStore

EXIT_AFTER_S = 0.4


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks of 50 ms."""
    monkeypatch.setattr(watch_module, "TICK_S", 0.05)


def ticking(sight: Callable[[], Sight]) -> Watch:
    """A watch that is ticked by hand."""
    return Watch(sight, dict, None, tick_s=10.0, stuck_after_s=60.0)


async def tick(watch: Watch, times: int) -> str | None:
    """So many ticks, each followed by a turn of the event loop."""
    for _ in range(times):
        watch.tick()
        await asyncio.sleep(0)
    return watch.trouble


async def test_a_lag_without_progress_is_trouble_after_the_time_and_not_before() -> None:
    """Six ticks of 10 s; the sentence has the lag, the seconds and the stage."""
    watch = ticking(lambda: Sight(1, 7, "the loop is reading"))
    assert await tick(watch, 6) is None
    assert await tick(watch, 1) == "7 records to read and no progress for 60 s: the loop is reading"


async def test_who_begins_over_and_over_has_records_to_read() -> None:
    """The lag is that of the last look that knew one, also where the worker is just beginning again."""
    lag = iter([None, 9, 7, None, None, None, None])
    watch = ticking(lambda: Sight(1, next(lag), "the loop is claiming partitions"))
    assert await tick(watch, 7) == "7 records to read and no progress for 60 s: the loop is claiming partitions"


async def test_who_never_begins_has_partitions_to_read() -> None:
    """No look has known a lag since there was progress."""
    looks = iter([Sight(1, 7, "reading"), *[Sight(2, None, "seeking")] * 7])
    watch = ticking(lambda: next(looks))
    assert await tick(watch, 8) == "partitions to read and no beginning for 60 s: seeking"


async def test_an_idle_topic_is_no_trouble() -> None:
    """No lag, no progress, for an hour."""
    assert await tick(ticking(lambda: Sight(1, 0, "")), 360) is None


async def test_slow_progress_is_no_trouble() -> None:
    """One step every 50 s, with a lag all the time."""
    looks = iter(range(1_000))
    assert await tick(ticking(lambda: Sight(next(looks) // 5, 7, "")), 500) is None


async def test_seconds_without_lag_do_not_count() -> None:
    """An hour of silence, then records: their minute begins with them."""
    lag = [0] * 360 + [7] * 5
    looks = iter(lag)
    assert await tick(ticking(lambda: Sight(1, next(looks), "")), len(lag)) is None


async def test_progress_ends_the_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """And a line says so."""
    advanced = [0] * 8 + [1]
    looks = iter(advanced)
    watch = ticking(lambda: Sight(next(looks), 7, "folding"))
    assert await tick(watch, 8) is not None
    assert await tick(watch, 1) is None
    assert "gets on again" in caplog.text


async def test_an_event_loop_that_does_not_turn_is_trouble_without_any_lag() -> None:
    """It can't even learn of records."""
    watch = ticking(lambda: Sight(1, 0, "reading"))
    for _ in range(6):
        watch.tick()
    assert watch.trouble == "the event loop does not turn for 60 s: reading"
    await asyncio.sleep(0)


def test_a_machine_that_slept_is_not_stuck() -> None:
    """A tick stands for its own length, however late it comes: two late ticks are 20 s."""

    async def slept() -> str | None:
        watch = ticking(lambda: Sight(1, 7, ""))
        return await tick(watch, 3)

    assert asyncio.run(slept()) is None


async def stuck(worker: Projector) -> str:
    """What the run ends with."""
    with pytest.raises(Stuck) as caught:
        async with asyncio.timeout(30):
            await worker.run()
    assert caught.value.exit_code == 4
    return str(caught.value)


def exiting(store: MemoryStore, script: list[Item], max_batch_records: int = 10_000) -> Projector:
    """A projector that exits when stuck."""
    options = Options(max_batch_age_s=0.0, max_parked_ratio=0, exit_when_stuck_s=EXIT_AFTER_S, max_batch_records=max_batch_records)
    return projector(script, store, options=options)


async def test_a_commit_that_hangs_is_found_with_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    """The sentence says committing; the log has the frame of the worker thread that hangs, and what the reading task waits for."""
    release = threading.Event()

    def hang(number: int) -> None:
        if number == 2:
            release.wait(10)

    worker = exiting(Watched(before=hang), [*log(1)[:40], PAUSE], max_batch_records=10)
    worker._on_stuck = lambda _: threading.Timer(0.2, release.set).start()
    told = await stuck(worker)
    assert "the worker thread committing" in told
    assert "hang (test_watch.py" in caplog.text
    assert "reading task: " in caplog.text


async def test_a_store_that_stays_away_is_found() -> None:
    """The stage says what is waited for, in the store's own words."""

    def away(_: int) -> None:
        raise StoreUnavailable("the server is gone")

    told = await stuck(exiting(Watched(before=away), [*log(1), PAUSE]))
    assert "committing, waiting for the store (the server is gone)" in told


async def test_a_batch_that_is_refused_for_ever_is_found() -> None:
    """Conflict, claim, the same records again: much is done, and nothing is progress."""

    def refuse(_: int) -> None:
        time.sleep(0.005)
        raise PositionConflict("somebody was faster")

    assert "no progress" in await stuck(exiting(Watched(before=refuse), [*log(1), PAUSE]))


async def test_a_slow_run_that_gets_on_is_not_ended() -> None:
    """Each commit takes half of the time that is allowed, the whole run ten times as much."""
    slow = Watched(before=lambda _: time.sleep(EXIT_AFTER_S / 2))
    totals = await exiting(slow, [*log(1)[:60], END], max_batch_records=3).run()
    assert totals.counters.read == 60
    assert totals.seconds > 5 * EXIT_AFTER_S


async def test_markers_and_idleness_are_not_stuck() -> None:
    """A position that moves over markers, and then a log without a new record for three times as long as is allowed with a lag."""
    store = MemoryStore()
    worker = exiting(store, [*log(1, partitions=1)[:5], GAP(3)])
    running = asyncio.create_task(worker.run())
    await asyncio.wait({running}, timeout=3 * EXIT_AFTER_S)
    worker.stop()
    totals = await running
    assert totals.counters.read == 5
    assert [each.position.next_offset for each in store.partitions()] == [8]


def test_a_minute_is_the_default() -> None:
    """Longer than a rebalance waits for a silent member."""
    assert watch_module.STUCK_AFTER_S == 60
    assert Options().stuck_after_s == 60
    assert Options().exit_when_stuck_s is None


async def test_who_holds_what_is_told_to_the_store() -> None:
    """The projector's own name, at its claim."""
    store = MemoryStore()
    records = log(1)
    named = Projector(
        lambda _: projector([*records, END], store)._source,
        store,
        options=Options(max_batch_age_s=0.0, max_parked_ratio=0),
        worker="worker-1",
    )
    await named.run()
    assert {each.worker for each in store.partitions()} == {"worker-1"}
