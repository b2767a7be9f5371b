"""A report of tasks as one HTML file, for a filter and a period: what it tells (`findings`), and the page of it (`page`).

::

    with tracker.connect("sqlite:///status.db") as tasks:
        found = tasks.ask(findings('launcher eq "sweep"', since="now-7d", now=datetime.now(UTC)))
    Path("report.html").write_text(page(found, store="sqlite:///status.db"))

`findings` needs nothing but the base; `page` needs the extra ``report`` (Matplotlib, Jinja2), which is loaded when it is called.
"""

from __future__ import annotations

from tracker.analytics.report.findings import Findings, findings, selected

__all__ = ["Findings", "findings", "page", "selected"]


def page(found: Findings, *, store: str, title: str = "Task report") -> str:
    """The whole file; ``store`` is what it is called there. Equal findings give equal text.

    Raises UsageError where the extra is not installed.
    """
    from tracker.analytics.lean import with_numpy
    from tracker.errors import UsageError

    with_numpy()
    try:
        from tracker.analytics.report.html import page as made

        return made(found, store=store, title=title)
    except ModuleNotFoundError as error:
        raise UsageError(f"a report needs an extra that is not installed ({error.name}): pip install 'tracker[report]'") from None
