"""The README is true: its snippets run, its names exist, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.cli import main

from . import snippets
from .test_how_to import server

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else ""
pytestmark = pytest.mark.skipif(not README, reason="the README is part of the source tree")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_two_commands_come_first() -> None:
    """`make run` and `make test` follow the first paragraph, and the Makefile has both."""
    first = next(block for block in README.split("\n\n") if block.startswith("    "))
    assert [line.strip() for line in first.splitlines()] == ["make run", "make test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search("^run:", makefile, re.MULTILINE)
    assert re.search("^test:", makefile, re.MULTILINE)


@pytest.mark.slow
def test_the_shell_snippets_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of the tour, in order, ends with exit code 0; a run folds after each block, as the first terminal would."""
    commands = 0
    for block in blocks("sh"):
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "tracker"
            assert main(arguments) == 0, f"{line}: {capsys.readouterr().err}"
            commands += 1
        assert main(["run", "--until-end"]) == 0
    assert commands >= 10
    capsys.readouterr()
    assert main(["get", "t1", "--json"]) == 0
    assert '"completionStatus":"SUCCESS"' in capsys.readouterr().out
    assert (folder / "statuses.jsonl").read_text(encoding="utf-8").count("\n") == 1


@pytest.mark.slow
def test_the_python_snippets_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The library snippet works on a store as it is left by the tour."""
    assert main(["emit", "created", "t1", "--launcher", "sweep"]) == 0
    assert main(["run", "--until-end"]) == 0
    capsys.readouterr()
    for block in blocks("python"):
        done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["t1", "None", "0"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("bash"), reason="the snippets need bash and curl")
def test_the_http_snippets_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The four requests are answered by a server over a store as it is left by the tour."""
    assert main(["emit", "created", "t1", "--launcher", "sweep"]) == 0
    assert main(["run", "--until-end"]) == 0
    capsys.readouterr()
    [block] = [block for block in snippets.blocks(ROOT / "README.md") if block.word == "http"]
    with server(folder, "serve", "--listen", "127.0.0.1:0") as address:
        shown = snippets.run(block, address, folder)
    assert '"items":[{"id":"t1","completionStatus":null,"tracker":{"state":"PENDING"}}]' in shown
    assert '"openapi":"3.1' in shown


def test_the_links_lead_somewhere() -> None:
    """Every relative link, and every picture, names a file or folder of the tree."""
    for target in re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src(?:set)?="([^"]+)"', README):
        assert (ROOT / target).exists(), target


def test_named_commands_exist() -> None:
    """Each `tracker COMMAND` that the text names is one."""
    from tracker.cli.app import COMMANDS

    named = set(re.findall(r"tracker ([a-z]+)(?=[ `\n])", "\n".join(re.findall(r"`[^`\n]+`", README) + blocks("sh"))))
    assert named
    assert named <= {*COMMANDS}
