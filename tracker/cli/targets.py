"""Where an export goes: standard output, or a file that takes its name only once it is whole and on the disk."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TextIO

from tracker.cli import output
from tracker.errors import TrackerError, UsageError


@contextlib.contextmanager
def text_target(out: Path | None) -> Iterator[TextIO]:
    """For text in UTF-8, line ends as they are written."""
    if out is None:
        yield sys.stdout
        sys.stdout.flush()
    else:
        with _renamed(out) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            yield text
            text.flush()
            text.detach()


@contextlib.contextmanager
def binary_target(out: Path | None, what: str) -> Iterator[IO[bytes]]:
    """For bytes; ``what`` they are. Raises UsageError where a terminal would get them."""
    if out is None:
        if output.is_terminal():
            raise UsageError(f"{what} is binary and can't be shown on a terminal: name a file with --out, or pipe it on")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with _renamed(out) as file:
            yield file


@contextlib.contextmanager
def _renamed(out: Path) -> Iterator[IO[bytes]]:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    except OSError as error:
        raise TrackerError(f"{out} can't be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(out)
    except OSError as error:
        raise TrackerError(f"{out} can't be written: {error.strerror}") from None
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def progress_bar(total: int | None, what: str = "export") -> Iterator[Any]:
    """A progress bar on standard error, told by number; None: none."""
    if total is None:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=output.console(error=True), transient=True) as progress:
        task, shown = progress.add_task(what, total=total), 0

        def advance(written: int) -> None:
            nonlocal shown
            if written - shown >= 500:
                shown = written
                progress.update(task, completed=written)

        yield advance
