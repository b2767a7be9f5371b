"""What every container of the tests needs from docker's command line."""

from __future__ import annotations

import subprocess
import time

PATIENCE_S = 60.0


def _docker(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *command], capture_output=True, text=True, timeout=120, check=False)


def restart(container: str, grace_s: int) -> None:
    """Stop it, by SIGKILL after so many seconds, and start it again.

    On a busy machine docker gives up where it does not see the old processes end in time, and leaves the container stopped: it is asked
    again for a minute. RuntimeError says what it said, and the container's last words.
    """
    deadline = time.monotonic() + PATIENCE_S
    while (done := _docker("restart", "-t", str(grace_s), container)).returncode:
        if time.monotonic() > deadline:
            raise RuntimeError(f"docker does not restart the container: {done.stderr.strip()}\n{last_words(container)}")
        time.sleep(0.5)


def last_words(container: str) -> str:
    """Its state, and the end of what it said."""
    state, said = _docker("inspect", "--format", "{{json .State}}", container), _docker("logs", "--tail", "30", container)
    return f"{state.stdout}{said.stdout}{said.stderr}"
