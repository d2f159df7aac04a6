"""The waiting line in virtual time: what people do is drawn at random, who gets whom the service's own code decides.

Callers join the line, are offered, answered and end by the operations of `ivr.operations`, on a database in memory, and
decisions are made after the changes after which the switchboard makes them. The way through the line is that of
`ivr.flow.inbound.wait_for_agent`, without the sounds. What comes out is read from the rows of the calls.
"""

import math
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import fmean, stdev
from typing import Any, Concatenate, ParamSpec, TypeVar

import simpy
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from ivr import operations
from ivr.config import Queue
from ivr.models import Agent, Call, Offer, OfferResult, Outcome, Phase, Presence
from tickets.database import Base, create_engine
from voicemail import models as _  # noqa: F401 - calls refer to messages, so that table has to be known

P = ParamSpec("P")
T = TypeVar("T")
Process = Generator[simpy.Event, Any, T]

RUNS = 10
STUDENT_T = 2.262
"""Student's t for 95 % on both sides and RUNS - 1 = 9 degrees of freedom."""
WARM_UP_HANDLINGS = 10.0
"""A run begins with an empty line: callers of its first ten handling times are not counted."""
QUEUE = "simulated"
START = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Demand:
    """What callers and agents do. Times between calls, of talks, patience and picking up are exponential.

    `patience_seconds` None: nobody gives up. An agent who has not picked up within the queue's `ring_seconds` misses
    the call; one whom that pauses is free again `back_seconds` later.
    """

    calls_per_hour: float
    talk_seconds: float
    queue: Queue
    patience_seconds: float | None = None
    answer_seconds: float = 0.0
    back_seconds: float = 60.0

    @property
    def handling_seconds(self) -> float:
        """For how long a call keeps an agent busy, in the mean: the phone rings, talk, wrap-up."""
        return self.answer_seconds + self.talk_seconds + self.queue.wrap_up_seconds

    @property
    def load(self) -> float:
        """The work that arrives, in erlangs."""
        return self.calls_per_hour * self.handling_seconds / 3600


@dataclass(frozen=True, slots=True)
class Run:
    """What one run measured. Shares are from 0 to 1, of all callers (occupancy: of the agents' time)."""

    waiting: float
    """No agent's phone rang at once."""
    mean_wait_seconds: float
    """Of all callers, from joining the line until an agent answered, or until they left it."""
    within: float
    """An agent answered within the seconds asked for."""
    abandoned: float
    """Gave up."""
    messages: float
    """Waited for the queue's `max_wait_seconds` and were sent to leave a message."""
    missed: float
    """Calls that an agent let ring in vain, for each caller."""
    occupancy: float
    """Ringing, talking or wrapping up."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of RUNS runs; the true one is within `margin` of it with a probability of 95 %."""

    mean: float
    margin: float


def simulate(
    demand: Demand, agents: int, *, within_seconds: float, calls: int, seed: int, run_all: Callable[..., Any] = map
) -> dict[str, Estimate]:
    """Measure RUNS runs of `calls` counted callers each; the result has an estimate for each field of `Run`.

    The same seed gives the same callers, whatever the number of agents. `run_all` is `map`, or an executor's.
    """
    once = partial(run_once, demand, agents, within_seconds, calls)
    runs: list[Run] = list(run_all(once, [f"{seed}.{number}" for number in range(RUNS)]))
    measured = zip(*(astuple(run) for run in runs), strict=True)
    return {
        name: Estimate(fmean(values), STUDENT_T * stdev(values) / math.sqrt(RUNS))
        for name, values in zip(Run.__slots__, measured, strict=True)
    }


def run_once(demand: Demand, agents: int, within_seconds: float, calls: int, seed: str) -> Run:
    """One run: as many callers as are counted, after those of the warm-up."""
    early = math.ceil(WARM_UP_HANDLINGS * demand.load)
    simulation = _Simulation(demand, agents, seed)
    try:
        simulation.env.process(simulation.callers(early + calls))
        simulation.env.run()
        return simulation.run(_measure, demand, agents, early, within_seconds)
    finally:
        simulation.engine.dispose()


class _Simulation:
    """One desk with one queue, from the first caller to the last."""

    def __init__(self, demand: Demand, agents: int, seed: str) -> None:
        self.demand, self.queue = demand, demand.queue
        self.env = simpy.Environment()
        # One source for each kind of chance: what an agent draws must not change who calls.
        self._arrivals, self._talks, self._patience, self._answers = (
            random.Random(f"{seed} {kind}")  # noqa: S311 - chance, not secrets
            for kind in ("arrivals", "talks", "patience", "answers")
        )
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        Base.metadata.create_all(self.engine)
        self._waiting: dict[str, simpy.Event] = {}
        """The calls in the line; the event comes with the offers made for one."""
        for number in range(agents):
            self.run(_on_duty, f"agent{number}", now=self.now)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.env.now)

    def run(self, operation: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction, as `Database.run`; then a decision, if that is due as the switchboard sees it."""
        with Session(self.engine, expire_on_commit=False) as session:
            result = operation(session, *args, **kwargs)
            kinds = {change.kind for change in session.info.get("changes", ())}
            session.commit()
        if self._waiting and kinds & {operations.WAITING, operations.FREE_AGENT}:
            self._decide()
        return result

    def _decide(self) -> None:
        offers = self.run(operations.make_offers, self._waiting, {QUEUE: self.queue}, own=[QUEUE], now=self.now)
        by_call: dict[str, list[Offer]] = {}
        for offer in offers:
            by_call.setdefault(offer.call_id, []).append(offer)
        for call_id, made in by_call.items():
            self._waiting.pop(call_id).succeed(made)

    def callers(self, count: int) -> Process[None]:
        """Callers come at random, `count` of them."""
        for number in range(count):
            yield self.env.timeout(self._arrivals.expovariate(self.demand.calls_per_hour / 3600))
            patience = self.demand.patience_seconds
            stays = math.inf if patience is None else self._patience.expovariate(1 / patience)
            talks = self._talks.expovariate(1 / self.demand.talk_seconds)
            self.env.process(self._call(f"{number:09}", self.env.now + stays, talks))

    def _call(self, call_id: str, hangs_up: float, talk_seconds: float) -> Process[None]:
        """The way of `wait_for_agent`, and the talk."""
        self.run(_begin, call_id, now=self.now)
        gives_up = self.env.now + self.queue.max_wait_seconds
        offered = self._waiting[call_id] = self.env.event()
        self.run(operations.join_queue, call_id, QUEUE, priority=0, choice=None, now=self.now)
        while True:
            yield offered | self._until(min(hangs_up, gives_up))
            if offered.triggered:
                offers: Sequence[Offer] = offered.value or ()
                if (reached := (yield from self._ring(offers, hangs_up))) is not None:
                    yield from self._talk(reached, talk_seconds)
                    return
                if self.env.now >= hangs_up:
                    self.run(operations.end_call, call_id, Outcome.ABANDONED_QUEUE, now=self.now)
                    return
                offered = self._waiting[call_id] = self.env.event()
                self.run(operations.wait_again, call_id)
            else:
                del self._waiting[call_id]
                outcome = Outcome.ABANDONED_QUEUE
                if gives_up < hangs_up:
                    self.run(operations.leave_line, call_id, Phase.MENU)
                    outcome = Outcome.VOICEMAIL
                self.run(operations.end_call, call_id, outcome, now=self.now)
                return

    def _ring(self, offers: Sequence[Offer], hangs_up: float) -> Process[Offer | None]:
        """The way of `ivr.flow.ring.ring`."""
        after = {offer.id: self._answer_seconds() for offer in offers}
        first = min(offers, key=lambda offer: after[offer.id])
        answered, missed = self.env.now + after[first.id], self.env.now + self.queue.ring_seconds
        yield self._until(min(answered, missed, hangs_up))
        winner = first if answered <= min(missed, hangs_up) else None
        result = OfferResult.MISSED if missed < min(answered, hangs_up) else OfferResult.WITHDRAWN
        for offer in offers:
            if offer is not winner:
                misses = self.queue.misses_before_pause
                self.run(operations.end_offer, offer.id, result, misses_before_pause=misses, now=self.now)
                if self.run(_presence, offer.agent_id) is Presence.PAUSED:
                    self.env.process(self._come_back(offer.agent_id))
        return winner

    def _answer_seconds(self) -> float:
        mean = self.demand.answer_seconds
        return self._answers.expovariate(1 / mean) if mean else 0.0

    def _come_back(self, agent_id: int) -> Process[None]:
        yield self.env.timeout(self.demand.back_seconds)
        self.run(operations.go_free, agent_id, now=self.now)

    def _talk(self, offer: Offer, seconds: float) -> Process[None]:
        self.run(operations.answer_offer, offer, bridge_id="", now=self.now)
        yield self.env.timeout(seconds)
        wrap_up = self.queue.wrap_up_seconds
        self.run(operations.end_call, offer.call_id, Outcome.ANSWERED, wrap_up_seconds=wrap_up, now=self.now)
        if wrap_up:
            # the service looks once a second
            yield self._until(math.ceil(self.env.now + wrap_up))
            self.run(operations.finish_wrap_ups, now=self.now)

    def _until(self, moment: float) -> simpy.Event:
        """An event that comes at a moment; never, when that is infinite."""
        return self.env.event() if math.isinf(moment) else self.env.timeout(max(moment - self.env.now, 0.0))


def _on_duty(session: Session, name: str, *, now: datetime) -> None:
    agent = operations.add_agent(session, name, name, f"PJSIP/{name}", [QUEUE], now=now)
    operations.set_desk_connected(session, agent.id, QUEUE, True, now=now)
    operations.set_phone_reachable(session, f"PJSIP/{name}", True, now=now)
    operations.go_free(session, agent.id, now=now)


def _begin(session: Session, call_id: str, *, now: datetime) -> None:
    operations.begin_call(
        session,
        call_id=call_id,
        app=QUEUE,
        channel_id=call_id,
        line=QUEUE,
        language="it",
        caller=None,
        now=now,
    )


def _presence(session: Session, agent_id: int) -> Presence:
    return session.get_one(Agent, agent_id).presence


def _measure(session: Session, demand: Demand, agents: int, early: int, within_seconds: float) -> Run:
    """Read a run from its rows: call ids are numbers in the order of arrival, the first `early` are not counted."""
    first_offer = select(func.min(Offer.offered_at)).where(Offer.call_id == Call.id).scalar_subquery()
    rows = session.execute(
        select(Call.queued_at, Call.answered_at, Call.ended_at, Call.outcome, first_offer.label("offered_at"))
        .where(Call.id >= f"{early:09}")
        .order_by(Call.id)
    ).all()
    waits = [((row.answered_at or row.ended_at) - row.queued_at).total_seconds() for row in rows]
    answered = [row.answered_at is not None for row in rows]
    since, until = rows[0].queued_at, rows[-1].queued_at
    busy = [(row.offered_at, row.ended_at) for row in session.execute(select(Offer.offered_at, Offer.ended_at))]
    wrap_up = timedelta(seconds=demand.queue.wrap_up_seconds)
    talks = select(Call.answered_at, Call.ended_at).where(Call.answered_at.is_not(None))
    busy += [(row.answered_at, row.ended_at + wrap_up) for row in session.execute(talks)]
    seconds = sum(max((min(end, until) - max(begin, since)).total_seconds(), 0.0) for begin, end in busy)
    missed = session.scalar(
        select(func.count()).where(Offer.result == OfferResult.MISSED, Offer.call_id >= f"{early:09}")
    )
    return Run(
        waiting=fmean(row.offered_at is None or row.offered_at > row.queued_at for row in rows),
        mean_wait_seconds=fmean(waits),
        within=fmean(there and wait <= within_seconds for there, wait in zip(answered, waits, strict=True)),
        abandoned=fmean(row.outcome is Outcome.ABANDONED_QUEUE for row in rows),
        messages=fmean(row.outcome is Outcome.VOICEMAIL for row in rows),
        missed=(missed or 0) / len(rows),
        occupancy=seconds / (agents * (until - since).total_seconds()),
    )
