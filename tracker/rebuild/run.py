"""The run of a rebuild: states that follow each other, each left in the live store, so that a killed run goes on where it was.

::

    building ──► catching-up ──► verifying ──► swapping ──► swapped ──► (rolled-back)
                     ▲               │  ▲
                     └── ── ── ── different: an operator must decide

What lives is not touched before the exchange. Verifying compares every task at one position of the live store; what changes afterwards is
compared again while its writers wait for the exchange, so nothing is exchanged that was not looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from math import inf
from time import monotonic
from typing import Literal, TypeAlias

import msgspec

from tracker.errors import StoreError, TrackerError, Undecided, UsageError
from tracker.model.limits import Limits
from tracker.model.records import Position, TopicPartition
from tracker.projector.retention import carry_purged
from tracker.rebuild.differences import Comparison, Pair, differing, is_equal
from tracker.rebuild.folding import Engine, can_be_folded, fold_log
from tracker.rebuild.following import Follower, Pace
from tracker.rebuild.logs import Logs
from tracker.rebuild.threads import heed, in_thread
from tracker.replay.runs import UNTIL_ENDED
from tracker.stores.base import Counters, StatusStore
from tracker.stores.contents import Contents, Holding, Shadow

State: TypeAlias = Literal["building", "catching-up", "verifying", "different", "swapping", "swapped", "rolled-back"]
SEAMS = (
    "building",
    "a stretch is folded",
    "all is folded",
    "a batch is folded",
    "catching-up",
    "verifying",
    "verified",
    "swapping",
    "standing",
    "swapped",
)
"""Where a kill may fall, in a run's order; tests stop the process at each."""
NOTE_EVERY_S = 5.0
"""How often the live store is told how far it is: a transaction of one row."""
SAMPLE_TASKS = 20
"""Differing tasks that a run shows itself; `tracker diff` has all."""
ROUNDS = 10
NEAR_RECORDS = 5_000
"""So near the live store the rest is read while its writers wait: 0.1 s."""


class Note(msgspec.Struct, kw_only=True, rename="camel"):
    """How a rebuild stands: JSON in the live store, and what ``tracker status`` shows."""

    state: State
    sources: list[str]
    limits: Limits
    began_at: str
    noted_at: str
    done: int = 0
    """Of ``total``: bytes of files and offsets of partitions."""
    total: int = 0
    read: int = 0
    """Records folded by the last process of the run."""
    tasks: int = 0
    """Compared by the last verification."""
    different: int = 0
    purged: int = 0
    """Tasks of the live store of which attempts were purged, when it was verified: carried over, whatever the log says of them."""
    left_out: int = 0
    """Purged ones that are exchanged all the same, as the two differ: with other limits, or where purges are forgotten."""
    forget_purged: bool = False
    lock_seconds: float = 0.0
    """How long the live store's writers waited for the exchange."""
    hash: str = ""
    """Of all ids and states of the shadow when it was verified."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    logs: Logs
    limits: Limits | None = None
    """None: those of the live store."""
    accept: bool = False
    """Exchange although there are differences."""
    forget_purged: bool = False
    """Tasks that were purged come back as the log has them."""
    restart: bool = False
    """Drop what an earlier run has left."""
    records_per_s: float = 0.0
    """0: as fast as it goes; else in one process."""
    jobs: int | None = None
    until: Mapping[TopicPartition, int] = {}
    """Next offsets that the store has in the end at least. Where the live store has read further it is followed; where it has not, it is overtaken."""


class Progress(msgspec.Struct, frozen=True):
    """How far a run is."""

    state: State
    done: int
    total: int
    read: int
    seconds: float


class Outcome(msgspec.Struct):
    """What a run ended with."""

    note: Note
    seconds: float
    pairs: list[Pair] = []
    """The first of those that differ."""
    counters: Counters | None = None
    """The shadow's, in all."""
    live_counters: Counters | None = None


Clock: TypeAlias = Callable[[], str]
"""RFC 3339, UTC."""


class Rebuild:
    """One run. ``clock`` tells the time for people; ``engine`` folds what the shadow begins with, in another way than this machine's processes."""

    def __init__(
        self,
        shadow: Shadow,
        order: Order,
        clock: Clock,
        *,
        engine: Engine | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        seam: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._shadow, self._order, self._clock, self._engine = shadow, order, clock, engine
        self._on_progress, self._seam = on_progress, seam
        self._began_s = self._noted_s = monotonic()
        self._followers: list[Follower] = []
        self._stop = threading.Event()
        self._before: str | None = None
        self._is_new = False
        """Begun by this run, and not at a record yet; ``before`` is the note that stood there."""
        self._is_ahead = False
        """Of the live store, which has not read all that the logs have or has lost its place in one."""

    async def run(self) -> Outcome:
        """From wherever the last one was to the exchange, or to differences that nobody has accepted."""
        with self._shadow.alone():
            self._note = self._begun()
            if self._note.state == "swapped":  # killed after the exchange
                self._shadow.keep_old()
                if not self._order.restart and self._is_asked_for(self._note):
                    return self._outcome()
                self._note = self._begun()
            try:
                async with AsyncExitStack() as stack:
                    with self._shadow.open(self._note.limits) as store:
                        await self._open(stack, store)
                        self._is_new = False
                        await self._build(store)
                        self._shadow.finish()
                        outcome = await self._verify_and_swap(store)
                if self._note.state == "swapped":
                    self._shadow.keep_old()
                    self._shadow.remember(to_text(self._note))
                return self._outcome(outcome)
            except TrackerError:
                if self._is_new:  # a log that is not there, say: the next run may name another
                    self._shadow.discard()
                    self._shadow.remember(self._before)
                raise

    def _begun(self) -> Note:
        """The note of the run that goes on, or of a new one."""
        order, found = self._order, noted(self._shadow)
        if order.restart and self._shadow.exists and not (found and found.state == "swapped"):
            self._shadow.discard()
        elif found is not None and self._shadow.exists:
            if found.state == "swapped":
                return found
            if not self._is_asked_for(found):
                raise UsageError(
                    f"a rebuild from {', '.join(found.sources)}{' with --forget-purged' if found.forget_purged else ''} is under way "
                    f"({found.state}): go on with the same sources, limits and flags, or begin anew with --restart"
                )
            return found
        self._shadow.discard()
        self._before, self._is_new = self._shadow.note(), True
        now = self._clock()
        note = Note(
            state="building", sources=order.logs.names, limits=self._limits(), forget_purged=order.forget_purged, began_at=now, noted_at=now
        )
        self._shadow.remember(to_text(note))
        return note

    def _limits(self) -> Limits:
        with self._shadow.live_contents() as live:
            return self._order.limits or live.about().limits

    def _is_asked_for(self, note: Note) -> bool:
        order = self._order
        return (note.sources, note.limits, note.forget_purged) == (order.logs.names, self._limits(), order.forget_purged)

    async def _open(self, stack: AsyncExitStack, store: StatusStore) -> None:
        pace = Pace(self._order.records_per_s)
        live = self._live_positions()
        for source in self._order.logs.open():
            following = Follower(source, store, pace=pace, until=self._order.until, on_records=self._on_records)
            follower = await stack.enter_async_context(following)
            await follower.open(live)
            self._followers.append(follower)
        self._check_until()
        known = {each.at for each in live}
        self._is_ahead = any(follower.lost or follower.beginnings.keys() - known for follower in self._followers) or any(
            self._order.until.get(each.at, 0) > each.next_offset for each in live
        )
        unread = [each for each in live if each.next_offset and not any(each.at in f.beginnings for f in self._followers)]
        if unread and not self._order.accept:
            raise Undecided(
                f"the store has read {unread[0].topic}, partition {unread[0].partition}, up to {unread[0].next_offset}, which is in none of "
                f"{', '.join(self._order.logs.names)}: its events would be missing. Name it too, or go without it with --accept"
            )

    def _check_until(self) -> None:
        for at, until in self._order.until.items():
            follower = next((each for each in self._followers if at in each.beginnings), None)
            if follower is None:
                raise UsageError(f"{at.topic}, partition {at.partition}, is in none of {', '.join(self._order.logs.names)}")
            begin, end = follower.beginnings[at].next_offset, follower.ends.get(at, UNTIL_ENDED)
            if not begin <= until <= end:
                raise UsageError(
                    f"{at.topic}, partition {at.partition}: the log has offsets {begin} to {end}, and is to be folded until {until}"
                )

    def _live_positions(self) -> list[Position]:
        with self._shadow.live_contents() as live:
            return [each.position for each in live.partitions()]

    async def _build(self, store: StatusStore) -> None:
        if self._note.state != "building":
            return
        self._seam("building")
        live = self._live_positions()
        if self._engine is not None and not store.revision():
            ends = {at: self._order.until.get(at, aim) for at, aim in self._aims(live).items()}
            beginnings = {at: each for follower in self._followers for at, each in follower.beginnings.items()}
            self._note.total = sum(end - beginnings[at].next_offset for at, end in ends.items() if end != UNTIL_ENDED)
            counters = await in_thread(partial(self._engine, store, beginnings, ends, self._tell), self._stop)
            self._note.read += counters.read
            self._seam("all is folded")
        for follower in self._followers:
            aims = follower.aims(live)
            if not self._order.records_per_s and can_be_folded(store, follower, aims):
                self._note.total = sum(aims.values())
                folder, jobs = self._shadow.folder, self._order.jobs
                work = partial(fold_log, indexed=False, on_bytes=self._tell, seam=self._seam)
                work = partial(work, store, self._order.logs, aims, follower.beginnings, folder, jobs)
                counters = await in_thread(work, self._stop)
                self._note.read += counters.read
            await self._follow([follower], aims)
        self._say("catching-up")

    async def _follow(self, followers: Iterable[Follower], aims: Mapping[TopicPartition, int], *, at_once: bool = False) -> None:
        self._note.total = sum(aim for aim in aims.values() if aim != UNTIL_ENDED)
        for follower in followers:
            await follower.follow({at: aim for at, aim in aims.items() if at in follower.beginnings}, at_once=at_once)

    def _aims(self, live: Iterable[Position]) -> dict[TopicPartition, int]:
        positions = list(live)
        return {at: aim for follower in self._followers for at, aim in follower.aims(positions).items()}

    async def _catch_up(self) -> None:
        """Until the live store is near, or does not come nearer."""
        self._seam("catching-up")
        for _ in range(ROUNDS):
            before = self._note.read
            await self._follow(self._followers, self._aims(self._live_positions()))
            if self._note.read - before <= NEAR_RECORDS:
                break

    async def _verify_and_swap(self, store: StatusStore) -> Outcome:
        await self._catch_up()
        self._say("verifying")
        with self._shadow.live_contents() as live:
            await self._follow(self._followers, self._aims(each.position for each in live.partitions()))
            await in_thread(partial(self._carry, live, store), self._stop)
            with self._shadow.contents() as ours:
                outcome, wanted = await in_thread(partial(self._verified, live, ours), self._stop)
                since_live, since_ours = live.about().revision, ours.about().revision
        self._seam("verified")
        if outcome.pairs and not self._order.accept:
            self._say("different")
            return outcome
        await self._catch_up()
        self._say("swapping")
        began_s = monotonic()
        self._seam("swapping")
        self._noted_s = inf  # whoever holds the lock can't wait for it
        with self._shadow.live_standing() as standing:
            self._seam("standing")
            await self._follow(self._followers, self._aims(each.position for each in standing.partitions()), at_once=True)
            changed = standing.changed_after(since_live)
            self._carry_some(standing.some(changed).values(), store)  # purged since
            with self._shadow.contents() as ours:
                again = changed | ours.changed_after(since_ours)
                theirs, new = standing.some(again), ours.some(again)
            pairs = [Pair(id, theirs.get(id), new.get(id)) for id in sorted(again)]
            pairs = [pair for pair in pairs if not is_equal(pair, cells=live.kind == ours.kind)]
            now, different = {pair.id for pair in pairs}, [pair for pair in pairs if not pair.is_purged and pair.id not in wanted]
            if different and not self._order.accept:
                outcome.pairs = different[:SAMPLE_TASKS]
                self._note.different += len(different)
            else:
                self._note.state, self._note.noted_at = "swapped", self._clock()
                self._note.lock_seconds = round(monotonic() - began_s, 3)
                standing.exchange((wanted - again) | now, to_text(self._note))
        if self._note.state != "swapped":
            self._say("different")
            return outcome
        self._note.lock_seconds = round(monotonic() - began_s, 3)
        self._seam("swapped")
        return outcome

    def _carry(self, live: Contents, store: StatusStore) -> None:
        """What was purged in the live store until now is so in the shadow."""
        after, self._note.purged = "", 0
        while page := live.purged(after=after):
            self._note.purged += self._carry_some(live.some(page).values(), store)
            after = page[-1]
            heed(self._stop)

    def _carry_some(self, holdings: Iterable[Holding], store: StatusStore) -> int:
        marked = [(each.id, each.registers) for each in holdings if each.is_purged]
        if self._order.forget_purged or not marked:
            return 0
        carried = carry_purged(marked, store, ahead=self._is_ahead)
        for follower in self._followers:
            follower.let_go()
        return carried

    def _verified(self, live: Contents, ours: Contents) -> tuple[Outcome, set[str]]:
        """Every task of both sides, and the sums."""
        comparison, wanted, shown = Comparison(), set[str](), list[Pair]()
        self._note.total = ours.about().tasks

        def on_task() -> None:
            if comparison.tasks % 10_000 == 0:
                self._tell(comparison.tasks)

        self._seam("verifying")
        for pair in differing(live, ours, comparison, on_task, lambda pair: wanted.add(pair.id)):
            wanted.add(pair.id)
            if len(shown) < SAMPLE_TASKS:
                shown.append(pair)
        note = self._note
        note.tasks, note.different, note.left_out, note.hash = (
            comparison.tasks,
            comparison.different,
            comparison.left_out,
            comparison.hash_b,
        )
        sums, live_sums = Counters(), Counters()
        for each in ours.partitions():
            sums.add(each.counters)
            if not each.counters.balanced:
                raise StoreError(f"the counters of what was built do not add up ({each.counters}): nothing was exchanged")
        for each in live.partitions():
            live_sums.add(each.counters)
        return Outcome(note, monotonic() - self._began_s, shown, sums, live_sums), wanted

    def _outcome(self, outcome: Outcome | None = None) -> Outcome:
        made = outcome or Outcome(self._note, 0.0)
        made.seconds = monotonic() - self._began_s
        return made

    def _on_records(self, records: int) -> None:
        self._seam("a batch is folded")
        self._note.read += records
        self._tell(sum(sum(follower.at.values()) for follower in self._followers))

    def _tell(self, done: int) -> None:
        heed(self._stop)
        note, now_s = self._note, monotonic()
        note.done = done
        self._on_progress(Progress(note.state, done, note.total, note.read, now_s - self._began_s))
        if now_s - self._noted_s > NOTE_EVERY_S:
            self._say(note.state)

    def _say(self, state: State) -> None:
        self._note.state, self._note.noted_at = state, self._clock()
        self._noted_s = monotonic()
        self._shadow.remember(to_text(self._note))


def noted(shadow: Shadow) -> Note | None:
    """How the last rebuild of a store stands; None if there was none, or another release's, which can't be gone on with."""
    text = shadow.note()
    try:
        return None if text is None else msgspec.json.decode(text, type=Note)
    except msgspec.DecodeError:
        return None


def to_text(note: Note) -> str:
    """As the live store keeps it."""
    return msgspec.json.encode(note).decode()
