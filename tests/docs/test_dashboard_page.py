"""The dashboard's page names what there is: parameters, columns, paths and keys."""

from __future__ import annotations

import re
from pathlib import Path

from tracker.web.dashboard.place import COLUMNS, Place, place
from tracker.web.markup import PATHS, STATIC, assets

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "dashboard.md").read_text(encoding="utf-8")


def test_every_parameter_and_column_is_told() -> None:
    """As the code has them."""
    rows = re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z]+)(?:=[a-z]+)?`", row)}
    assert set(Place.__struct_fields__) <= named
    columns = next(line for line in PAGE.splitlines() if line.startswith("| `columns`"))
    assert set(re.findall(r"`([a-z]+)`", columns)) - {"columns"} == set(COLUMNS)


def test_the_values_that_it_names_are_understood() -> None:
    """Each histogram's time and each sorter."""
    over = next(line for line in PAGE.splitlines() if line.startswith("| `over`"))
    for name in set(re.findall(r"`([a-z]+)`", over)) - {"over"}:
        assert place({"over": name}).over == name


def test_pages_are_named() -> None:
    """Those that are looked at."""
    for path in PATHS - {"/logout", "/look", "/task/correct", "/parked/retry", "/parked/drop"}:
        assert f"`{path}" in PAGE


def test_keys_are_those_of_the_script() -> None:
    """Each of them has its line."""
    script = (STATIC / "page.js").read_text(encoding="utf-8")
    acts = script[script.index("const acts") : script.index("if (acts[")]
    for key in re.findall(r"^\s+\"?([^\s\":]+)\"?: \(\) =>", acts, re.MULTILINE):
        assert f"`{key}`" in PAGE


def test_how_much_there_is_to_load() -> None:
    """The page's figure is the sum of what is sent."""
    told = int(next(iter(re.findall(r"(\d+) kB of style", PAGE))))
    assert abs(sum(len(asset.compressed) for asset in assets()[1].values()) / 1000 - told) < 2
