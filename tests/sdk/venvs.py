"""Other people's programs in venvs of their own: each made once from a plain list of pins, and reused until the list changes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parent / "requirements"
VENVS = Path(__file__).resolve().parents[2] / ".cache" / "venvs"
INSTALL_TIMEOUT_S = 300
"""Ten small packages and the SDK, 7 MB: seconds where the index is near."""


class NotInstalled(Exception):
    """It can't be installed here, and why."""


def installed(name: str) -> Path:
    """The folder of programs of a venv with the pins of ``requirements/NAME.txt`` and nothing of ours. Raises `NotInstalled`."""
    pins = REQUIREMENTS / f"{name}.txt"
    mark = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    venv = VENVS / f"{name}-{mark}"
    ready = venv / "ready"
    if not ready.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
        # Where nothing is required and there is no index, that shall be known at once.
        retries = "5" if _all_required() else "1"
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", retries]
        _run([*pip, "-r", str(pins)])
        ready.touch()
    return venv / "bin"


def required(name: str) -> Path:
    """The same for a test. Without it: skipped with the reason, or failed where TRACKER_REQUIRE_SERVICES=1."""
    try:
        return installed(name)
    except NotInstalled as reason:
        sentence = f"{name} is not there: {reason}"
    if _all_required():
        pytest.fail(f"{sentence}, and TRACKER_REQUIRE_SERVICES=1")
    pytest.skip(sentence)


def _all_required() -> bool:
    return os.environ.get("TRACKER_REQUIRE_SERVICES") == "1"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{' '.join(command[:4])} took more than {INSTALL_TIMEOUT_S} s") from None
    if done.returncode:
        raise NotInstalled((done.stderr or done.stdout).strip().rpartition("\n")[2] or f"exit code {done.returncode}")
