"""Stretches of logs, folded by processes of their own, as many at a time as there are workers."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import ModuleType

from tracker.errors import TrackerError
from tracker.model.limits import Limits
from tracker.replay.runs import Folded, Stretch, fold_stretch, share_progress


def fold_all(
    stretches: Sequence[Stretch],
    limits: Limits,
    workers: int,
    folder: str,
    on_progress: Callable[[int], None],
    on_folded: Callable[[Stretch, Folded], None] = lambda *_: None,
) -> list[Folded]:
    """Fold all stretches, each in a process, into runs in ``folder``. ``on_progress`` is told the bytes read so far, ``on_folded`` each
    stretch that is done. Raises what a stretch raises, and `TrackerError` where a process was killed; then the others are ended.
    """
    # Fresh processes: a progress bar's thread does not survive a fork.
    context = multiprocessing.get_context("spawn")
    progress = context.Array("q", max(1, len(stretches)), lock=False)
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=share_progress, initargs=(progress,)) as pool:
        with no_main_module(), _no_interrupt():
            futures = [pool.submit(fold_stretch, stretch, limits, folder) for stretch in stretches]
        told = set[int]()
        try:
            while wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION).not_done and not any(map(_failed, futures)):
                _tell(stretches, futures, told, on_folded)
                on_progress(sum(progress))
            for future in filter(_failed, futures):
                future.result()
            _tell(stretches, futures, told, on_folded)
            return [future.result() for future in futures]
        except BaseException as error:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()  # what the rest would fold is not wanted any more
            if isinstance(error, BrokenProcessPool):
                raise TrackerError("a process of the replay was killed (out of memory?); nothing was stored: try --jobs 1") from error
            raise


def _tell(
    stretches: Sequence[Stretch], futures: Sequence[Future[Folded]], told: set[int], on_folded: Callable[[Stretch, Folded], None]
) -> None:
    for index, (stretch, future) in enumerate(zip(stretches, futures, strict=True)):
        if index not in told and future.done():
            told.add(index)
            on_folded(stretch, future.result())


@contextmanager
def no_main_module() -> Iterator[None]:
    """A spawned process first imports the caller's main module again: a script without a guard would replay anew, and no fold needs it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """A process that is begun inside never hears of a Ctrl-C, which would be one traceback for each: its parent ends it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _failed(future: Future[Folded]) -> bool:
    return future.done() and future.exception() is not None
