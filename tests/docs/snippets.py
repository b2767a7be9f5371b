"""The fenced blocks of a page, and what runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:8080"
"""Where the pages say that the server is."""


class Block(NamedTuple):
    language: str
    word: str
    """What stands behind the language, for us: a reader's page does not show it."""
    text: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    found = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [Block(*each) for each in found]


def environment() -> dict[str, str]:
    """One without our settings, in which `tracker` and `python3` are those that run the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "140"}


def command(block: Block, address: str) -> list[str]:
    """What runs the block, with the server at this address; what waits a moment on a reader's machine waits a minute on ours."""
    text = block.text.replace(ADDRESS, address).replace("--wait 5s", "--wait 60s").replace("timeout_s=5", "timeout_s=60")
    return [sys.executable, "-c", text] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", text]


def run(block: Block, address: str, folder: Path) -> str:
    """What the block writes. AssertionError: it failed, and how."""
    done = subprocess.run(command(block, address), cwd=folder, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout
