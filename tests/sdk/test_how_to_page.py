"""The page on the SDK is true: its snippet runs as it stands, in the SDK's venv, against a server without a login."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.docs.snippets import ADDRESS, ROOT, blocks

from . import workload
from .conftest import SDKS
from .venvs import required

PAGE = ROOT / "docs" / "how-to" / "use-the-sailpoint-sdk.md"


def test_the_snippet_of_the_page(served: dict[str, str], tmp_path: Path) -> None:
    """It lists what runs, counts what failed and ends a task."""
    [snippet] = [block.text for block in blocks(PAGE) if block.word == "sdk"]
    text = snippet.replace(ADDRESS, served["unlocked"].removeprefix("http://"))
    done = subprocess.run(
        [str(required(SDKS["v1"]) / "python"), "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    *running, failed, ended = done.stdout.splitlines()
    assert f"{workload.PAGE} Import 7 0" in running
    assert workload.BULK // 4 <= int(failed.removesuffix(" failed")) <= workload.BULK // 4 + len(workload.FLAVOURS)
    assert ended == "TERMINATED"
