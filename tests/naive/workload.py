"""A realistic log of bare events, about 400 bytes each, for benchmarks and crash tests: a pure function of its arguments.

Each line is made on its own from (seed, task, step), so that a shuffled log needs no more memory than its order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from random import Random

BASE_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
LEAST_EVENTS = 5
"""created, launched, messaged, returned and completed; all beyond are progressed."""
_DAY_MS = 86_400_000
_DAYS = tuple(
    f"2026-{month:02}-{day:02}"
    for month, days in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), 1)
    for day in range(1, days + 1)
)
_LAUNCHERS = ("sweep", "spadmin", "scheduler", "aggregation-service", "Élodie")
_TYPES = ("QUARTZ", "QPOC", "QUEUED_TASK")
_STATUSES = ("SUCCESS",) * 7 + ("WARNING", "ERROR", "TERMINATED")
_HEAD = (
    '{"specversion":"1.0","id":"%016x-%02d","source":"/engine/%d","type":"io.tracker.task.%s","subject":"task-%08d","time":"%s",'
    '"sequence":%d,"traceparent":"00-%032x-%016x-01","data":'
)
_CREATED = (
    '{"type":"%s","uniqueName":"Aggregate accounts %d","description":"Reads the accounts of source %d","launcher":"%s",'
    '"target":{"id":"src-%d","type":"APPLICATION","name":"Source %d"},"taskDefinitionSummary":{"id":"def-%d","uniqueName":"Account aggregation",'
    '"parentName":"Aggregation","arguments":{"full":%s}},"attributes":{"source":"src-%d","host":"h%d"}}}'
)
_LAUNCHED = '{"launcher":"%s","attributes":{"host":"h%d.engine.internal","pid":%d,"queue":"aggregation"}}}'
_PROGRESSED = '{"progress":"Read %d of %d accounts","percentComplete":%d,"attributes":{"accountsRead":%d,"bytesRead":%d,"lastAccount":"acc-%06d","rate":%d.5}}}'
_MESSAGED = (
    '{"type":"WARN","key":"aggregation.account.skipped","localizedText":{"locale":"en","message":"Account acc-%06d has no owner"},'
    '"parameters":["acc-%06d"]}}'
)
_RETURNED = '{"name":"accountsRead","attributeName":"total%d"}}'
_COMPLETED = '{"completionStatus":"%s","attributes":{"accountsRead":%d,"seconds":%d,"cache":"warm","owners":[%d,%d]}}}'


def lines(
    tasks: int, events_per_task: int = 8, seed: int = 0, *, interleave: int = 64, shuffle: bool = False, first_task: int = 0
) -> Iterator[bytes]:
    """The log's lines, without newlines: ``tasks * events_per_task`` of them, of the tasks from ``first_task`` on.

    ``interleave`` tasks run at a time: a task's events are in order and on average that far apart. With ``shuffle`` the whole log is in random
    order, so that nearly each event is of another task than those before it. ValueError: fewer than 5 events a task.
    """
    if events_per_task < LEAST_EVENTS:
        raise ValueError(f"a task has at least {LEAST_EVENTS} events, not {events_per_task}")
    rng = Random(seed)
    if shuffle:
        order = array("Q", range(tasks * events_per_task))
        rng.shuffle(order)
        for place in order:
            yield line(first_task + place // events_per_task, place % events_per_task, events_per_task, seed)
        return
    waiting = iter(range(first_task, first_task + tasks))
    running = [[task, 0] for _, task in zip(range(interleave), waiting, strict=False)]
    random = rng.random
    while running:
        slot = int(random() * len(running))
        at = running[slot]
        yield line(at[0], at[1], events_per_task, seed)
        at[1] += 1
        if at[1] == events_per_task:
            following = next(waiting, None)
            if following is None:
                running[slot] = running[-1]
                running.pop()
            else:
                at[:] = following, 0


def task_id(task: int) -> str:
    """The subject of a task's events."""
    return f"task-{task:08d}"


def line(task: int, step: int, events_per_task: int, seed: int) -> bytes:
    """Event ``step`` (0 is created, the last one completed) of one task."""
    mix = (task * 0x9E3779B97F4A7C15 + seed * 0xD1B54A32D192ED03 + 0x2545F4914F6CDD1D) & 0xFFFFFFFFFFFFFFFF
    mix ^= mix >> 29
    number, accounts = mix % 997, 1000 + mix % 9000
    progress_steps = events_per_task - LEAST_EVENTS
    if step == 0:
        kind = "created"
        source = mix % 40
        full = "true" if mix & 1 else "false"
        launcher = _LAUNCHERS[mix % 5]
        body = _CREATED % (_TYPES[mix % 3], task, source, launcher, source, source, mix % 7, full, source, mix % 16)
    elif step == 1:
        kind = "launched"
        body = _LAUNCHED % (_LAUNCHERS[mix % 5], mix % 16, 1000 + number)
    elif step < 2 + progress_steps:
        kind = "progressed"
        percent = 100 * (step - 1) // (progress_steps + 1)
        read = accounts * percent // 100
        body = _PROGRESSED % (read, accounts, percent, read, read * 731, read, 200 + number)
    elif step == events_per_task - 3:
        kind = "messaged"
        body = _MESSAGED % (number, number)
    elif step == events_per_task - 2:
        kind = "returned"
        body = _RETURNED % (mix % 4)
    else:
        kind = "completed"
        body = _COMPLETED % (_STATUSES[mix % 10], accounts, number, mix % 50, mix % 60)
    head = _HEAD % (
        mix,
        step,
        mix % 4,
        kind,
        task,
        _time(BASE_MS + task * 47 + step * (800 + number)),
        step + 1,
        mix | (task << 64),
        mix ^ step,
    )
    return (head + body).encode()


def _time(ms: int) -> str:
    days, rest = divmod(ms - BASE_MS, _DAY_MS)
    seconds, millis = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    return f"{_DAYS[days % 365]}T{minutes // 60:02}:{minutes % 60:02}:{second:02}.{millis:03}Z"
