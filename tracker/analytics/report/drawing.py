"""The pictures of a report, drawn by Matplotlib as SVG that stands in a page: text stays text, colours are the page's own.

Each is drawn twice, for a wide page and for a narrow one, since text that shrinks with its picture can't be read; the page shows one of
them. Equal numbers give equal bytes: Matplotlib's ids come from a salt, and no clock, font of the machine or configuration enters.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

from tracker.analytics.report.lengths import Lengths
from tracker.analytics.report.wording import clean, number
from tracker.query.histogram import FIRST, Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTCOMES = ("SUCCESS", "WARNING", "TERMINATED", "TEMPERROR", "ERROR", None)
"""From the bottom of a bar upwards; None has not ended."""
_COLOURS = {
    name: f"#0000{place:02x}"
    for place, name in enumerate(("ink", "soft", "line", "ground", "bar", *(name or "in-flight" for name in OUTCOMES)), 1)
}
"""What Matplotlib is told for each colour of the page: the page's own stylesheet says which it is, on screen, in the dark and in print."""
_COUNTS = {
    1_000: ("ms", (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    1_000_000: ("s", (1, 2, 5, 10, 20, 30)),
    60_000_000: ("min", (1, 2, 5, 10, 20, 30)),
    3_600_000_000: ("h", (1, 2, 5, 12)),
    86_400_000_000: ("d", tuple(digit * 10**power for power in range(8) for digit in (1, 2, 5))),
}
_MARKS = {count * unit_us: f"{count:,} {unit}" for unit_us, (unit, counts) in _COUNTS.items() for count in counts}
"""Of an axis of lengths of time, in microseconds; and those of them that do where a picture is of very different ones."""
_FEWER = [mark for mark, text in _MARKS.items() if text.partition(" ")[0].strip("0,") == "1"]
_SECONDS = (1, 5, 15, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200)
_DAYS = (1, 2, 7, 14, 28, 91, 364, 1_820, 18_200, 182_000, 728_000)
_STEPS = [*(timedelta(seconds=each) for each in _SECONDS), *(timedelta(days=each) for each in _DAYS)]
"""Between two marks of an axis of time: where they can be, they are whole hours, days and weeks."""


class Size(NamedTuple):
    """A kind of page; all in its pixels."""

    name: str
    width: int
    label_width: int
    """Beside the rows; 0: labels stand above them."""
    label_chars: int
    marks: int
    """Of an axis, at most."""


WIDE = Size("wide", 900, 200, 26, 9)
NARROW = Size("narrow", 358, 0, 42, 4)
_FONT = 12.0


def outcomes(histogram: Histogram, label: str) -> list[str]:
    """Bars of time, each stacked by how the tasks ended."""
    return [_drawn(size, f"outcomes-{size.name}", label, lambda size=size: _outcomes(histogram, size)) for size in (WIDE, NARROW)]


def lengths(groups: Sequence[Sequence[tuple[str, Lengths]]], name: str, label: str) -> list[str]:
    """For each group, a row for each of its members: thick from p50 to p90, thin to p99, a dot at the greatest; logarithmic."""
    return [_drawn(size, f"{name}-{size.name}", label, lambda size=size: _lengths(groups, size)) for size in (WIDE, NARROW)]


def counts(rows: Sequence[tuple[str, dict[str, int]]], name: str, label: str) -> list[str]:
    """A row for each label, of how many tasks there are by outcome."""
    return [_drawn(size, f"{name}-{size.name}", label, lambda size=size: _counts(rows, size)) for size in (WIDE, NARROW)]


@contextmanager
def _settings(salt: str) -> Iterator[None]:
    """Matplotlib as it comes, whatever is configured here; what it has to say of fonts nobody needs to hear."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib as mpl

        settings = {
            **{name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith(("backend", "toolbar", "interactive"))},
            "svg.fonttype": "none",
            "svg.hashsalt": salt,
            "text.parse_math": False,
            "font.family": ["DejaVu Sans"],  # comes with Matplotlib; only measures, the page shows its own
            "font.size": _FONT,
            "text.color": _COLOURS["ink"],
        }
        with mpl.rc_context(settings), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            yield
    finally:
        logger.setLevel(level)


def _drawn(size: Size, name: str, label: str, draw: Any) -> str:
    with _settings(name):
        figure: Figure = draw()
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _for_page(file.getvalue(), size, label)


def _figure(size: Size, height: float) -> Figure:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size.width / 72, height / 72), dpi=72)  # a point is a pixel then
    FigureCanvasSVG(figure)
    return figure


def _axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without a frame, at these pixels from the top left."""
    whole_width, whole_height = figure.get_size_inches() * 72
    axes = figure.add_axes((left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height))
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, labelsize=_FONT - 1, labelcolor=_COLOURS["soft"])
    return axes


def _outcomes(histogram: Histogram, size: Size) -> Figure:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    height, left = 230 if size is WIDE else 200, 48
    figure = _figure(size, height)
    axes = _axes(figure, left, 8, size.width - left - 14, height - 52)
    buckets = histogram.buckets
    gap = 0.12 if (size.width - left) / len(buckets) > 5 else 0.0
    below = [0] * len(buckets)
    for outcome in OUTCOMES:
        if outcome not in histogram.values:
            continue
        place = histogram.values.index(outcome)
        boxes = []
        for at, bucket in enumerate(buckets):
            if count := bucket.counts[place]:
                low, high = below[at], below[at] + count
                box = [(at + gap, low), (at + 1 - gap, low), (at + 1 - gap, high), (at + gap, high), (at + gap, low)]
                boxes.append(Path(box, [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]))
                below[at] = high
        if boxes:
            path = Path.make_compound_path(*boxes)
            axes.add_patch(PathPatch(path, facecolor=_COLOURS[outcome or "in-flight"], edgecolor="none", clip_on=False))
    axes.set_xlim(0, len(buckets))
    axes.set_ylim(0, max(1, *below) * 1.04)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(round(value))))
    axes.grid(axis="y", color=_COLOURS["line"], linewidth=1)
    axes.axhline(0, color=_COLOURS["soft"], linewidth=1, clip_on=False)
    axes.set_xticks([])
    for x, lines in _moments(histogram, size.marks if size is WIDE else 3):
        axes.plot([x, x], [0, -5], transform=_below(axes), color=_COLOURS["soft"], linewidth=1, clip_on=False)
        for line, text in enumerate(lines):
            axes.text(
                x, -8 - 15 * line, text, transform=_below(axes), ha="center", va="top", fontsize=_FONT - 1, color=_COLOURS["soft"]
            )  # one by one: of a text of two lines Matplotlib would place each by its own font's width
    return figure


def _below(axes: Axes) -> Any:
    """Across as the axes, down in pixels from their lower edge."""
    from matplotlib.transforms import Affine2D, blended_transform_factory

    edge = axes.bbox.y0
    return blended_transform_factory(axes.transData, Affine2D().translate(0, edge))


def _moments(histogram: Histogram, marks: int) -> Iterator[tuple[float, list[str]]]:
    """Where an axis of time is marked, counted in buckets, and what stands there."""
    starts = [datetime.fromisoformat(bucket.start) for bucket in histogram.buckets]
    width = timedelta(seconds=int(histogram.bucket[:-1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[histogram.bucket[-1]])
    first, whole = starts[0] - FIRST, width * len(starts)
    step = next((step for step in _STEPS if step >= width and whole / step < marks), whole)
    # A text at the right end would stand out of the picture; where no whole step is in it, its beginning is marked.
    places = [place * step - first for place in range(-(-first // step), (starts[-1] - FIRST) // step + 1)]
    inside = [place for place in places if place / whole <= 0.97] or [timedelta()]
    day = ""
    for at in inside:
        moment = starts[0] + at
        before, day = day, moment.strftime("%Y-%m-%d").rjust(10, "0")
        clock = moment.strftime("%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M")
        yield at / width, [day] if step >= timedelta(days=1) else [clock] if day == before else [clock, day]


def _rows(size: Size, groups: Sequence[Sequence[str]], *, below: int, right: int) -> tuple[Figure, Axes, list[list[float]]]:
    """A picture of labelled rows: its axes, in which a row is one pixel high for each of its pixels, and the middle of each row."""
    step, apart = (24, 12) if size.label_width else (36, 10)
    height = sum(step * len(group) for group in groups) + apart * (len(groups) - 1)
    figure = _figure(size, height + below + 6)
    axes = _axes(figure, size.label_width + 4, 6, size.width - size.label_width - 4 - right, height)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    top, middles = 0.0, []
    for group in groups:
        middles.append([top + step * place + (step / 2 if size.label_width else 26) for place in range(len(group))])
        top += step * len(group) + apart
        for label, middle in zip(group, middles[-1], strict=True):
            text = clean(label, size.label_chars)
            if size.label_width:
                axes.annotate(text, (0, middle), (-12, 0), ("axes fraction", "data"), textcoords="offset points", ha="right", va="center")
            else:
                axes.annotate(text, (0, middle), (0, 10), ("axes fraction", "data"), textcoords="offset points", ha="left", va="baseline")
    return figure, axes, middles


def _lengths(groups: Sequence[Sequence[tuple[str, Lengths]]], size: Size) -> Figure:
    figure, axes, middles = _rows(size, [[label for label, _ in group] for group in groups], below=22, right=24)
    told = [each for group in groups for _, each in group]
    low, high = _ends([each.p50 or 0 for each in told], [each.greatest or 0 for each in told])
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    marks = next(
        some for each in (_MARKS, _FEWER) if len(some := [mark for mark in each if low <= mark <= high]) <= size.marks or each is _FEWER
    )
    marks = marks[:: -(-len(marks) // size.marks)]
    less = "≤ " if any((each.p50 or 0) < low for each in told) else ""
    axes.set_xticks(marks, [(less if mark == low else "") + _MARKS[mark] for mark in marks])
    axes.set_xticks([], minor=True)
    axes.grid(axis="x", color=_COLOURS["line"], linewidth=1)
    for group, of_group in zip(groups, middles, strict=True):
        for (_, each), y in zip(group, of_group, strict=True):
            p50, p90, p99, greatest = (max(value or 0, low) for value in (each.p50, each.p90, each.p99, each.greatest))
            bar: dict[str, Any] = {"color": _COLOURS["bar"], "solid_capstyle": "butt", "clip_on": False}
            axes.plot([p90, p99], [y, y], linewidth=2, **bar)
            axes.plot([p50, p90], [y, y], linewidth=9, **bar)
            axes.plot([p50, p50], [y - 7, y + 7], linewidth=2.5, color=_COLOURS["ink"], solid_capstyle="butt", clip_on=False)
            axes.plot([greatest], [y], marker="o", markersize=5, color=_COLOURS["ink"], markeredgewidth=0, clip_on=False)
    return figure


def _ends(least: Sequence[int], greatest: Sequence[int]) -> tuple[int, int]:
    """Marks between which all of it is; what is less than a millisecond stands at that."""
    marks = list(_MARKS)
    low = max((mark for mark in marks if mark <= min(least)), default=marks[0])
    return low, next((mark for mark in marks if mark >= max(greatest) and mark > low), marks[-1])


def _counts(rows: Sequence[tuple[str, dict[str, int]]], size: Size) -> Figure:
    figure, axes, [middles] = _rows(size, [[label for label, _ in rows]], below=4, right=60)
    axes.set_xlim(0, max(sum(by_outcome.values()) for _, by_outcome in rows))
    axes.set_xticks([])
    for (_, by_outcome), y in zip(rows, middles, strict=True):
        shown = [(name, by_outcome[name]) for name in OUTCOMES if name is not None and by_outcome.get(name)]
        ends = [sum(count for _, count in shown[:place]) for place in range(len(shown) + 1)]
        for (name, _), (begin, end) in zip(shown, pairwise(ends), strict=True):
            axes.barh(y, end - begin, 11, begin, color=_COLOURS[name], linewidth=0)
        axes.annotate(number(ends[-1]), (ends[-1], y), (6, 0), textcoords="offset points", va="center", color=_COLOURS["soft"])
    return figure


def _for_page(svg: str, size: Size, label: str) -> str:
    """The picture without what belongs to a file of its own: namespaces, fonts, a style for everything, ids of groups."""
    root = ET.fromstring(svg)  # noqa: S314 - Matplotlib wrote it, and the texts in it are escaped
    root.attrib = {"class": size.name, "viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        if element.tag == "g":
            element.attrib.pop("id", None)
        for name in [name for name in element.attrib if "}" in name]:
            element.attrib[name.rpartition("}")[2]] = element.attrib.pop(name)
        if element.attrib.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        if (style := element.attrib.get("style")) is not None:
            element.attrib["style"] = _style(style)
        if "d" in element.attrib:
            element.attrib["d"] = " ".join(element.attrib["d"].split())
    for parent in [parent for parent in root.iter("defs") if parent.find("style") is not None]:
        root.remove(parent)
    return ET.tostring(root, encoding="unicode")


def _style(style: str) -> str:
    parts = [part for part in style.split("; ") if not part.startswith("font-family:")]
    kept = "; ".join(parts)
    for name, told in _COLOURS.items():
        kept = kept.replace(told, f"var(--{name})")
    return kept
