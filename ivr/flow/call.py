"""A call under way: its leg, its line, its row, and what it needs from around it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, Protocol, TypeVar

from ivr import operations
from ivr.ari import Ari
from ivr.config import CallsConfig, Line, Queue
from ivr.errors import CommandRefused
from ivr.flow.leg import Leg
from ivr.models import Call, Offer, OfferResult, Outcome, Phase
from ivr.prompts import Prompts
from schedules.hours import Calendar
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.models import SYNTHETIC
from tickets.notices import Notices
from tickets.phone_numbers import PhoneNumber
from tickets.promise_rules import PromiseSettings
from voicemail.audio import AudioStore
from voicemail.room import Room

T = TypeVar("T")


class Screen(Protocol):
    """Whoever shows a call to an agent (the desk, further up)."""

    async def pop(self, agent_id: int, call_id: str) -> None:
        """Show the call; returns when the agent's browsers have it, or soon after when they are slow."""


class Transcripts(Protocol):
    """Whoever writes down what is said while it is being recorded."""

    def follow(self, message_id: str, path: Any, language: str) -> None:
        """Begin to read a recording that grows."""

    def stop_following(self, message_id: str) -> None:
        """Leave it: the caller records again."""


@dataclass(frozen=True, slots=True)
class Services:
    """What every call of one worker shares."""

    ari: Ari
    app: str
    """The application's name in rows and leases: that of `ari`, after its node where there are several Asterisks."""
    database: Database
    config: CallsConfig
    prompts: Prompts
    screen: Screen
    audio: AudioStore
    attachments: AttachmentStore
    room: Room
    recordings: Any
    """Asterisk's recording folder (a pathlib.Path), as this service sees it."""
    transcripts: Transcripts | None
    notices: Notices
    now: Callable[[], datetime]
    promises: PromiseSettings = field(default_factory=PromiseSettings)
    """What is promised for the requests that calls become."""
    legs: dict[str, Leg] = field(default_factory=dict)
    """Every channel in our hands by its id: events find their leg here."""

    def new_leg(self, channel_id: str) -> Leg:
        """A leg that receives its channel's events from now on."""
        leg = self.legs[channel_id] = Leg(self.ari, channel_id)
        return leg

    def drop_leg(self, leg: Leg) -> None:
        """Stop handing events to a leg."""
        if self.hears(leg):
            del self.legs[leg.id]

    def hears(self, leg: Leg) -> bool:
        """Whether a leg receives its channel's events; none does any more once the connection was lost."""
        return self.legs.get(leg.id) is leg


class Inbox(Generic[T]):
    """A mailbox with one reader, who waits for its `arrival`."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._arrival: asyncio.Future[None] | None = None

    def put(self, *items: T) -> None:
        """Put something in."""
        self._items += items
        if self._items and self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def arrival(self) -> "asyncio.Future[None]":
        """A future that is done when something is there; it takes nothing out."""
        if self._arrival is None or self._arrival.done():
            self._arrival = asyncio.get_running_loop().create_future()
            if self._items:
                self._arrival.set_result(None)
        return self._arrival

    def take(self) -> list[T]:
        """Take everything out."""
        items, self._items, self._arrival = self._items, [], None
        return items


CommandName = Literal[
    "move",
    "listen",
    "hang_up",
    "phone_lost",
    "hold",
    "unhold",
    "blind_transfer",
    "start_attended_transfer",
    "complete_transfer",
    "cancel_transfer",
    "swap",
    "join",
]
"""What a desk may ask of a waiting call: move it, to an agent, to another queue, or to the head of its line.
And of a talk: end it, or keep the caller since the page with the agent's phone goes away; give the caller music, go on
talking; send the caller on (the agent is free at once); call somebody else while the caller hears music, hand over to
them, or end that second call; swap the two, or let all three talk; let a supervisor listen (`ivr.flow.listen`)."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a desk asks of a call; `done` carries the answer."""

    name: CommandName
    target: str
    """Of a transfer: `agent:<id>`, `queue:<name>` or `number:<digits>`; of a move: the first two, or `head`."""
    done: "asyncio.Future[None]"


@dataclass(slots=True)
class ActiveCall:
    """One call and its memory; only its own coroutine changes it, others put offers and commands into its inboxes."""

    id: str
    leg: Leg
    line: Line
    caller: PhoneNumber
    services: Services
    contact_id: int | None = None
    phase: Phase = Phase.GREETING
    queue: str = ""
    priority: int = 0
    choice: str | None = None
    on_hold: bool = False
    """The caller hears music in the middle of a talk."""
    note: str | None = None
    """Why it ended so, in words, where the outcome alone does not tell."""
    outbound: bool = False
    """We call back: `caller` is whom we call."""
    absent: bool = False
    """Whom we call back is not on the line yet: `leg` is no channel."""
    outcome: Outcome | None = None
    """Set as soon as it is sure, so that a hangup afterwards does not change it."""
    other_legs: set[Leg] = field(default_factory=set)
    """Agents and outside numbers, ringing or talking."""
    offers: Inbox[Offer] = field(default_factory=Inbox)
    commands: Inbox[Command] = field(default_factory=Inbox)
    _heard: set[str] = field(default_factory=set)

    @property
    def synthetic(self) -> bool:
        """Whether the service itself is the caller."""
        return self.id.startswith(SYNTHETIC)

    @property
    def calendar(self) -> Calendar:
        """The opening hours of its line."""
        return self.services.config.calendar_named(self.line.calendar)

    @property
    def queue_config(self) -> Queue:
        """How its queue waits and rings."""
        return self.services.config.queue_named(self.queue or self.line.queue)

    @property
    def settled(self) -> bool:
        """Whether it may be handed over unheard: music, talk and recording go on while nobody serves the call."""
        if self.leg.hears_words:
            return False
        match self.phase:
            case Phase.WAITING:
                return not self.other_legs  # nobody is rung
            case Phase.TALKING:
                return len(self.other_legs) == 1  # nobody is consulted
            case Phase.MESSAGE:
                return self.leg.is_recorded
            case _:
                return False

    def now(self) -> datetime:
        """The time, aware UTC."""
        return self.services.now()

    def new_leg(self, channel_id: str) -> Leg:
        """Another leg of this call: it is forgotten with the call, if not before."""
        leg = self.services.new_leg(channel_id)
        self.other_legs.add(leg)
        return leg

    def drop_leg(self, leg: Leg) -> None:
        """Forget a leg that is over."""
        self.other_legs.discard(leg)
        self.services.drop_leg(leg)

    def media(self, *names: str) -> list[str]:
        """Prompts by name in the call's language; an empty name is no prompt."""
        return [self.services.prompts.media(name, self.line.language) for name in names if name]

    async def say(self, *names: str) -> None:
        """Say prompts by name."""
        await self.leg.say(self.media(*names))

    async def enter(self, phase: Phase, **columns: Any) -> None:
        """Begin a step: the bookmark is on disk before the step acts."""
        self.phase = phase
        await self.services.database.run(operations.bookmark, self.id, phase, **columns)

    def hear_offers(self, offers: Iterable[Offer]) -> None:
        """Take offers that a decision made, each once."""
        new = [offer for offer in offers if offer.id not in self._heard]
        self._heard.update(offer.id for offer in new)
        self.offers.put(*new)

    async def end_offer(self, offer: Offer, result: OfferResult) -> None:
        """An offer was not answered, or is needed no more: its agent goes on as that result asks."""
        await self.services.database.run(
            operations.end_offer,
            offer.id,
            result,
            misses_before_pause=self.queue_config.misses_before_pause,
            now=self.now(),
        )

    def refuse_commands(self, why: str) -> None:
        """Answer every command that nobody has obeyed yet."""
        for command in self.commands.take():
            if not command.done.done():
                command.done.set_exception(CommandRefused(why))

    def restore(self, row: Call) -> None:
        """Take over what the row remembers of a call begun by an earlier process."""
        self.contact_id, self.phase = row.contact_id, row.phase
        self.queue, self.choice, self.priority = row.queue or "", row.choice, row.priority
        self.on_hold, self.outbound = row.on_hold, row.outbound
        self.outcome = Outcome.ANSWERED if row.answered_at else None


def spoken(*parts: Sequence[str]) -> list[str]:
    """Join phrases into one list of media."""
    return [uri for part in parts for uri in part]
