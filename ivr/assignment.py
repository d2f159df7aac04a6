"""Who gets which call: the decision, as a pure function."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call in the waiting line; `tried` are the agents who missed or rejected it already."""

    id: str
    queue: str
    priority: int
    queued_at: datetime
    tried: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class FreeAgent:
    """An agent who could take a call now."""

    id: int
    queues: Collection[str]
    free_since: datetime


@dataclass(slots=True)
class Assignment:
    """One call and the agents to ring for it."""

    call: WaitingCall
    agents: list[FreeAgent] = field(default_factory=list)


def assign(
    calls: Sequence[WaitingCall], agents: Sequence[FreeAgent], ring_agents: Mapping[str, int]
) -> list[Assignment]:
    """Give each call, head of the line first, the agents who are able and idle longest.

    Calls are served by priority, then by time in the line. Every call gets one agent before any call gets a second
    (`ring_agents` says how many phones ring at once in a queue). An agent who missed a call is offered it again only
    when nobody else is free for it, so that a caller never waits on account of a list.
    """
    idle = sorted(agents, key=lambda agent: (agent.free_since, agent.id))
    line = sorted(calls, key=lambda call: (-call.priority, call.queued_at, call.id))
    assignments = {call.id: Assignment(call) for call in line}
    for round_number in range(max(ring_agents.values(), default=1)):
        for call in line:
            if round_number >= ring_agents.get(call.queue, 1):
                continue
            able = [agent for agent in idle if call.queue in agent.queues]
            chosen = next((agent for agent in able if agent.id not in call.tried), able[0] if able else None)
            if chosen is not None:
                idle.remove(chosen)
                assignments[call.id].agents.append(chosen)
    return [assignment for assignment in assignments.values() if assignment.agents]
