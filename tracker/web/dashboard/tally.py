"""How many tasks there are of each outcome, and how many match: told of the same snapshot as the list beside them."""

from __future__ import annotations

import msgspec

from tracker.query import questions
from tracker.query.base import Question, Snapshot
from tracker.query.clauses import split
from tracker.query.fields import FIELDS
from tracker.query.filters import And, Compare, Node
from tracker.query.questions import SCAN_LIMIT
from tracker.web.dashboard.selecting import OUTCOME_FIELDS, Selection
from tracker.web.wording import OUTCOMES

_PENDING = Compare(FIELDS["state"], "eq", "PENDING")
_STATUS = FIELDS["completionStatus"]


class Tally(msgspec.Struct):
    """Counts of one snapshot."""

    total: int
    """Tasks that match the whole filter."""
    exact: bool
    """Whether it is all; if not, no more tasks were looked at."""
    outcomes: dict[str, int] | None
    """Of each outcome, whatever the filter says of outcomes; None where too many tasks would have to be looked at."""

    @property
    def of_all(self) -> int:
        """Over all outcomes."""
        return sum((self.outcomes or {}).values())


def tally(selection: Selection) -> Question[Tally]:
    """Counts for a selection."""
    where, rest = selection.where, selection.without(OUTCOME_FIELDS)

    def question(snapshot: Snapshot) -> Tally:
        if where is not None and split(where)[1] is not None:
            found = questions.count(where, scan_limit=SCAN_LIMIT)(snapshot)
            if not found.exact or not questions.count(rest, scan_limit=SCAN_LIMIT)(snapshot).exact:
                return Tally(found.number, found.exact, None)
        outcomes = _outcomes(snapshot, rest)
        if where == rest:
            return Tally(sum(outcomes.values()), exact=True, outcomes=outcomes)
        for outcome in OUTCOMES:
            if selection.has(outcome.filter) and sum(part.fields <= OUTCOME_FIELDS for part in selection.parts) == 1:
                return Tally(outcomes[outcome.name], exact=True, outcomes=outcomes)
        return Tally(snapshot.count(where), exact=True, outcomes=outcomes)

    return question


def _outcomes(snapshot: Snapshot, where: Node | None) -> dict[str, int]:
    """Two counts: by the status, which only what has ended has, and of what waits. What is neither runs."""
    found = dict(snapshot.counts(where, _STATUS))
    in_flight = found.pop(None, 0)
    pending = snapshot.count(_PENDING if where is None else And((where, _PENDING)))
    counted = {outcome.name: found.get(outcome.name, 0) for outcome in OUTCOMES}
    return counted | {"PENDING": pending, "RUNNING": in_flight - pending}
