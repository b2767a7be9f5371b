"""Machine code is made once for each version, by a process of its own: that takes most of a minute, and hundreds of MB which this one would keep."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path

log = logging.getLogger("tracker.analytics")
SENTENCE = "machine code for exports of this size is made, once for this version: about a minute"


@cache
def kept_in() -> str:
    """A folder of the user's, made if need be; empty where none can be written."""
    here = Path(__file__).parent
    sources = hashlib.blake2b(b"".join(file.read_bytes() for file in sorted(here.glob("*.py"))), digest_size=8).hexdigest()
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracker" / f"compiled-{sources}"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # not writable, or a user without a home
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


def have_made(say: Callable[[str], None]) -> bool:
    """Make it if it is not there, and ``say`` so before; whether it is there now. Where none can be kept, each process makes its own."""
    folder = kept_in()
    if not folder:
        say(SENTENCE.replace("version", "run"))
        return True
    # Of this machine, as processors differ; where it is there already, under another name of the machine, the process finds it and ends at once.
    mark = Path(folder) / f"made-{sys.implementation.cache_tag}-{version('numba')}-{platform.node()}"
    if not mark.exists():
        say(SENTENCE)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", __package__], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            log.warning(
                "machine code could not be made (%s): exports do without",
                (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1],
            )
            return False
        mark.touch()
    return True
