"""What the stories of the demo are played on, and what is noted of each."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from rich.console import Console
from sqlalchemy.orm import Session

from centralino.rig.fake_maximo import FakeMaximo
from centralino.rig.imap import ImapServer
from centralino.rig.mail import Caught
from centralino.rig.world import TIMEZONE, Colleague, Person, World
from centralino.serve import Service
from tickets.changes import Change
from voicemail.models import Message, TranscriptState

STAFFED, CLOSED, FAX = "800", "801", "802"
LEVEL_0 = "livello0@asl-bat.example"

ROSSI = Person("Maria Rossi", "+390805551234", "ASL Bari", "maria.rossi@asl-bari.example")
MASTROPASQUA = Person("Patrizia Mastropasqua", "+390883555777", "ASL BAT", "patrizia.mastropasqua@asl-bat.example")
TROILO = Person("Anna Troilo", "+390804444555", "Comune di Modugno", "anna.troilo@modugno.example")
LORUSSO = Person("Nicola Lorusso", "+390994585858", "ASL Taranto", "nicola.lorusso@asl-taranto.example")
AMATO = Person("Giuseppe Amato", "+390832215215", "ASL Lecce", "giuseppe.amato@asl-lecce.example")
DICORATO = Person("Lucia Dicorato", "+390883577577", "ASL BAT", "lucia.dicorato@asl-bat.example")
BIANCHI = Colleague("anna", "Anna Bianchi", "101", ("credenziali",))
VERDI = Colleague("bruno", "Bruno Verdi", "102", ("applicativi",))
NERI = Colleague("carla", "Carla Neri", "103", (), supervisor=True)
"""Takes no calls: works at the counter, and on what comes in writing; a supervisor, to see their pages afterwards."""


class StoryFailed(Exception):
    """A promise was not kept; the text says which."""


@dataclass
class Story:
    """What became of one story; times in milliseconds (`MEANINGS`), None where a story has none."""

    name: str
    caller: str
    ok: bool = False
    outcome: str | None = None
    ticket: str | None = None
    due_at: str | None = None
    pop_before_ring_ms: float | None = None
    invite_to_pop_ms: float | None = None
    queued_to_pop_ms: float | None = None
    message_seconds: float | None = None
    transcript: str | None = None
    hangup_to_transcript_ms: float | None = None
    mail_subject: str | None = None
    maximo: str | None = None
    failure: str | None = None
    request_id: int | None = field(default=None, repr=False)


MEANINGS = {
    "due_at": "the promised pickup, UTC",
    "pop_before_ring_ms": "how long before the phone rang the agent's screen had the caller",
    "invite_to_pop_ms": "from the caller's dialling to the pop: greeting, menu and music are in it",
    "queued_to_pop_ms": "from the moment when a caller waited and an agent was free to the pop",
    "maximo": "the request's number and status in Maximo",
    "hangup_to_transcript_ms": "negative: the transcript was on the ticket before the caller hung up",
}
"""What the report's figures say, for its readers."""


class Narrator:
    """Tells what happens, as it happens."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.start = time.monotonic()

    def voice(self, number: int) -> Callable[[str], None]:
        """Tells one story's lines."""

        def tell(text: str) -> None:
            self.tell(number, text)

        return tell

    def tell(self, number: int, text: str) -> None:
        """One line of a story."""
        colour = ("cyan", "magenta", "yellow", "green", "blue", "bright_red")[(number - 1) % 6]
        at = time.monotonic() - self.start
        self.console.print(f"[dim]{at:6.1f} s[/dim]  [bold {colour}]story {number}[/bold {colour}]  {text}")


@dataclass
class Stage:
    """What a story plays on."""

    world: World
    service: Service
    narrator: Narrator
    mailbox: ImapServer
    """The help desk's own, to which users write."""
    maximo: FakeMaximo
    transcribed: dict[str, float] = field(default_factory=dict)
    """When each message's transcript was stored (time.monotonic())."""

    async def watch_transcripts(self) -> None:
        """Note the moment each transcript is stored, heard from the database's own announcements."""
        changes: asyncio.Queue[str] = asyncio.Queue()

        def hear(changed: frozenset[Change]) -> None:
            for change in changed:
                if change.kind == "message":
                    changes.put_nowait(str(change.id))

        unsubscribe = self.service.database.subscribe(hear)
        try:
            while True:
                message_id = await changes.get()
                at = time.monotonic()
                message = await self.world.read(_message, message_id)
                if message is not None and message.transcript_state is TranscriptState.DONE:
                    self.transcribed.setdefault(message_id, at)
        finally:
            unsubscribe()


async def mail_to(stage: Stage, number: int, story: Story, address: str | None, words: str = "") -> Caught:
    """The mail about a story's request with these words in its subject, told as it comes."""
    mail = await stage.world.mail.wait_for(address or "", f"{story.ticket}] {words}".strip(), within=30)
    story.mail_subject = mail.subject
    stage.narrator.tell(number, f"mail to {address}: [italic]{mail.subject}[/]".replace("[RdS", r"\[RdS"))
    return mail


def require(kept: bool, failure: str) -> None:
    """Raise `StoryFailed` unless a promise was kept."""
    if not kept:
        raise StoryFailed(failure)


def ms(duration: float) -> float:
    """Seconds as milliseconds."""
    return round(duration * 1000, 1)


def local(when: datetime) -> str:
    """A time for people."""
    return when.astimezone(TIMEZONE).strftime("%A %d %B %H:%M")


def _message(session: Session, message_id: str) -> Message | None:
    return session.get(Message, message_id)
