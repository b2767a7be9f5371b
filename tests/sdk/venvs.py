"""The SDK's own venvs: one a version, made once from a plain list of pins and reused until the list changes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
VENVS = Path(__file__).resolve().parents[2] / ".cache" / "sdk"
INSTALL_TIMEOUT_S = 300
"""Ten small packages and the SDK, 7 MB: seconds where the index is near."""


class NoSdk(Exception):
    """The SDK can't be installed here, and why."""


def python_with(version: str) -> Path:
    """The Python of a venv that has this version of the SDK and nothing of ours. NoSdk: it is not there and can't be had."""
    pins = REQUIREMENTS / f"sailpoint-{version}.txt"
    mark = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    venv = VENVS / f"{version}-{mark}"
    python, ready = venv / "bin" / "python", venv / "ready"
    if not ready.exists():
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
        _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "-r", str(pins)])
        ready.touch()
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NoSdk(f"{' '.join(command[:4])} took more than {INSTALL_TIMEOUT_S} s") from None
    if done.returncode:
        raise NoSdk((done.stderr or done.stdout).strip().rpartition("\n")[2] or f"exit code {done.returncode}")
