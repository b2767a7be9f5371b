"""The wall clock of a child process, to be stepped while it runs.

By a small library of our own that is compiled on the spot: libfaketime also takes over what sleeps, and with it every ``time.sleep`` of Python
3.11 fails (EINVAL), since that sleeps until a time of the monotonic clock.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


@cache
def library() -> Path | None:
    """What to preload; None where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    built = Path(tempfile.mkdtemp(prefix="tracker-clock-")) / "clock.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", built, SOURCE, "-ldl"], check=True)
    return built


def set_step(path: Path, seconds: int) -> None:
    """The clock of whoever runs with ``environment(path)`` is from now on so many seconds ahead."""
    if not path.exists():
        path.write_bytes(bytes(8))
    with path.open("r+b", buffering=0) as file:
        file.write(struct.pack("=q", seconds))


def environment(path: Path) -> dict[str, str]:
    """What a process needs to go by the clock of this file; empty without a compiler."""
    preloaded = library()
    if preloaded is None:
        return {}
    set_step(path, 0)
    return {"LD_PRELOAD": str(preloaded), "TRACKER_TEST_CLOCK": str(path)}
