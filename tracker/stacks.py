"""Where threads and tasks are, in words: for a worker that hangs, whose log is all that anybody will see of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

STACK_FRAMES = 12
"""The innermost ones tell where it hangs."""


def of_threads(names: Mapping[int, str]) -> list[str]:
    """The stacks of threads, by their ids."""
    frames = sys._current_frames()  # noqa: SLF001 - the documented way to see another thread's stack
    return [f"{name}: {_stack(frames.get(ident))}" for ident, name in names.items()]


def of_task(task: asyncio.Task[Any]) -> str:
    """What a task waits for: the frames of the coroutines that await each other, the innermost first."""
    told: list[str] = []
    waiting: Any = task.get_coro()
    while waiting is not None and (frame := getattr(waiting, "cr_frame", None)) is not None:
        told.append(_place(frame))
        waiting = waiting.cr_await
    return " < ".join(reversed(told[-STACK_FRAMES:])) or "at its end"


def of_process(loop: asyncio.AbstractEventLoop | None) -> str:
    """All threads, and all tasks of a loop that are not done; from any thread."""
    threads = of_threads({each.ident: each.name for each in threading.enumerate() if each.ident is not None})
    tasks = [] if loop is None else [f"{task.get_name()}: {of_task(task)}" for task in asyncio.all_tasks(loop)]
    return "; ".join([*threads, *tasks])


def _stack(frame: FrameType | None) -> str:
    told: list[str] = []
    while frame is not None and len(told) < STACK_FRAMES:
        told.append(_place(frame))
        frame = frame.f_back
    return " < ".join(told) or "no such thread"


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_name} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
