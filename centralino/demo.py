"""`centralino demo`: three callers, real SIP phones on a private Asterisk, the whole service, told as it happens.

Nothing is faked: the phones are baresip, the callers speak recorded Italian, the transcript is Vosk's, the mail went
over SMTP. A story counts only if what it promises was seen: in the audio, in the database and in the mailbox.
"""

import asyncio
import contextlib
import json
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

import asterisk_conf
from centralino import log
from centralino.rig.audio import seconds, similarity
from centralino.rig.errors import RigError
from centralino.rig.phone import Event, Phone
from centralino.rig.world import PASSWORD, TIMEZONE, Colleague, Person, World, always_open, closed_today
from centralino.serve import Service
from centralino.terminal import terminal
from ivr.models import Call, Outcome, Phase
from schedules.clock import utc_now
from tickets.changes import Change
from tickets.models import Request
from voicemail.models import Message, TranscriptState

SPEECH = Path(__file__).parent / "rig/speech"
SOUNDS = Path(asterisk_conf.__file__).parent / "sounds/it"
STAFFED, CLOSED = "800", "801"
HEARD = 0.8
"""Above this correlation two pieces of audio are the same speech (unrelated speech stays under 0.4)."""

ROSSI = Person("Maria Rossi", "+390805551234", "ASL Bari", "maria.rossi@asl-bari.example")
MASTROPASQUA = Person("Patrizia Mastropasqua", "+390883555777", "ASL BAT", "patrizia.mastropasqua@asl-bat.example")
TROILO = Person("Anna Troilo", "+390804444555", "Comune di Modugno", "anna.troilo@modugno.example")
BIANCHI = Colleague("anna", "Anna Bianchi", "101", ("credenziali",))
VERDI = Colleague("bruno", "Bruno Verdi", "102", ("applicativi",))


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
    failure: str | None = None
    request_id: int | None = field(default=None, repr=False)


MEANINGS = {
    "due_at": "the promised pickup, UTC",
    "pop_before_ring_ms": "how long before the phone rang the agent's screen had the caller",
    "invite_to_pop_ms": "from the caller's dialling to the pop: greeting, menu and music are in it",
    "queued_to_pop_ms": "from the moment when a caller waited and an agent was free to the pop",
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
        colour = ("cyan", "magenta", "yellow")[(number - 1) % 3]
        at = time.monotonic() - self.start
        self.console.print(f"[dim]{at:6.1f} s[/dim]  [bold {colour}]story {number}[/bold {colour}]  {text}")


@dataclass
class Stage:
    """What a story plays on."""

    world: World
    service: Service
    narrator: Narrator
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


async def run_demo(*, report: Path | None, keep: bool) -> int:
    """Play the three stories at once; returns the exit code: 0 only if every one of them really happened.

    SIGTERM and SIGINT end it in order, also when a shell started it in the background and had SIGINT ignored.
    """
    console = terminal()
    log.configure("ERROR")
    console.print(
        Panel(
            "Three callers ring the help desk of a (made-up) regional health service, at the same time.\n"
            "A private Asterisk answers on this machine's loopback address;\n"
            "phones, speech, mail and transcripts are real.",
            title="Centralino",
        )
    )
    playing = asyncio.create_task(_play_all(console, report, keep))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, playing.cancel)
    try:
        return await playing
    except asyncio.CancelledError:
        console.print("Stopped before the end.")
        return 1
    finally:
        console.print("Nothing is left running.")


async def _play_all(console: Console, report: Path | None, keep: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="centralino-demo-") as folder:
        world = World(
            Path(folder),
            _calls(utc_now()),
            colleagues=(BIANCHI, VERDI),
            people=(ROSSI, MASTROPASQUA, TROILO),
        )
        async with AsyncExitStack() as stack:
            with console.status("starting Asterisk, service, desk and mail server ..."):
                await stack.enter_async_context(world)
                service = await stack.enter_async_context(world.serving())
            stage = Stage(world, service, Narrator(console))
            console.print(
                f"Asterisk answers on sip:127.0.0.1:{world.asterisk.sip_port}, the desk on {world.desk_url}\n"
            )
            watching = asyncio.create_task(stage.watch_transcripts())
            stories = await asyncio.gather(
                _play(stage, 1, "staffed hours: an agent with a screen-pop", ROSSI, _answered),
                _play(stage, 2, "after hours: a message becomes a ticket", MASTROPASQUA, _after_hours),
                _play(stage, 3, "staffed hours, nobody answers: a message", TROILO, _nobody_answers),
            )
            watching.cancel()
            ok = all(story.ok for story in stories)
            console.print()
            console.print(_table(stories))
            if report is not None:
                report.write_text(json.dumps(_report(stories), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
                console.print(f"The same as JSON: {report}")
            console.print(
                "[bold green]Every story really happened.[/]" if ok else "[bold red]Not every story happened.[/]"
            )
            if keep:
                with contextlib.suppress(asyncio.CancelledError):  # how it ends
                    await _keep_running(console, world)
    return 0 if ok else 1


def _calls(now: datetime) -> dict[str, Any]:
    menu = {
        "prompt": "menu-main",
        "choices": {
            "1": {"area": "application", "queue": "applicativi"},
            "2": {"area": "use", "queue": "credenziali"},
            "3": {"area": "credentials", "queue": "credenziali"},
            "0": {"queue": "credenziali"},
        },
    }
    return {
        "calendars": {"presidiato": always_open(), "chiuso": closed_today(now)},
        "queues": {
            "credenziali": {"ring_seconds": 20, "wrap_up_seconds": 5, "when_no_agents": "wait"},
            "applicativi": {
                "ring_seconds": 6,
                "max_wait_seconds": 8,
                "announce_seconds": 60,
                "when_no_agents": "wait",
            },
        },
        "lines": [
            {"number": STAFFED, "name": "Edotto", "calendar": "presidiato", "queue": "credenziali", "menu": menu},
            {"number": CLOSED, "name": "Edotto (chiuso)", "calendar": "chiuso", "queue": "credenziali"},
        ],
    }


Play = Callable[[Stage, int, Story, Person, AsyncExitStack], Awaitable[None]]


async def _play(stage: Stage, number: int, name: str, person: Person, play: Play) -> Story:
    story = Story(name, person.phone)
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(150):
            await play(stage, number, story, person, stack)
        story.ok = True
    except (StoryFailed, RigError, TimeoutError) as failure:
        story.failure = str(failure) or "it took longer than 150 s"
        stage.narrator.tell(number, f"[bold red]failed:[/] {story.failure}")
    return story


# ---------------------------------------------------------------------------------------------------------- stories


async def _answered(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """A known caller chooses from the menu and waits; the screen pops, the phone rings, they talk; solved at once."""
    world, tell = stage.world, stage.narrator.voice(number)
    question, answer = SPEECH / "hand-080.wav", SPEECH / "festival-063.wav"
    phone = await stack.enter_async_context(world.phone(BIANCHI.extension, wav=answer, answer="manual"))
    desk = await stack.enter_async_context(world.desk(BIANCHI.username))
    caller = await stack.enter_async_context(world.caller(person.phone))
    dialled = time.monotonic()
    await caller.call(STAFFED)
    tell(f"{person.name} ({person.company}) calls {STAFFED}")
    await caller.wait_for(Event.ESTABLISHED)
    call = await world.call_from(person.phone)
    await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
    tell("hears the greeting and the menu, and presses 3: credentials")
    await caller.press("3")
    await world.call_until(call.id, lambda row: row.phase is Phase.WAITING)
    queued = time.monotonic()
    tell("waits with music")
    await asyncio.sleep(3)  # a moment of music, before the agent comes back from her coffee
    tell(f"{BIANCHI.name} goes on duty")
    await desk.post("/api/presence/free")
    free = time.monotonic()
    pop = await desk.pop(call.id)
    rang = await phone.wait_for(Event.RINGING)
    story.pop_before_ring_ms = _ms(rang.at - pop.at)
    story.invite_to_pop_ms, story.queued_to_pop_ms = _ms(pop.at - dialled), _ms(pop.at - max(queued, free))
    item = pop.item or {}
    names = ", ".join(contact["name"] for contact in item.get("contacts", []))
    tell(
        f"{BIANCHI.name}'s screen shows [bold]{names}[/] ({item.get('confidence')}), "
        f"{story.pop_before_ring_ms:.0f} ms before her phone rings"
    )
    _require(names == person.name, f"the screen showed {names!r} instead of {person.name}")
    _require(story.pop_before_ring_ms > 0, "the phone rang before the screen popped")
    await asyncio.sleep(1)
    await phone.answer()
    await phone.wait_for(Event.ESTABLISHED)
    await world.call_until(call.id, lambda row: row.phase is Phase.TALKING)
    tell("they talk")
    await caller.speak(question)
    await asyncio.sleep(max(seconds(question), seconds(answer)) + 0.5)
    saved = await desk.post(
        f"/api/calls/{call.id}/request",
        {
            "kind": "problem",
            "area": "credentials",
            "subject": "Utenza bloccata",
            "description": "L'utenza risulta bloccata dopo il cambio della password.",
            "solution": "Utenza sbloccata al telefono.",
            "contact_id": item["contacts"][0]["id"],
        },
    )
    story.ticket, story.request_id = saved["request"]["ticket"], saved["request"]["id"]
    tell(f"solved on the spot: ticket [bold]{story.ticket}[/] opened and closed, the caller is told the number")
    await caller.hang_up()
    await phone.wait_for(Event.CLOSED)
    row = await world.call_until(call.id, lambda row: row.outcome)
    story.outcome = row.outcome
    heard_by_agent, heard_by_caller = similarity(question, phone.heard()), similarity(answer, caller.heard())
    tell(
        f"the audio is right: the agent heard the caller ({heard_by_agent:.2f}), the caller heard the agent "
        f"({heard_by_caller:.2f}; 1.00 is identical)"
    )
    _require(heard_by_agent > HEARD, "the agent did not hear what the caller said")
    _require(heard_by_caller > HEARD, "the caller did not hear what the agent said")
    _require(story.outcome == Outcome.ANSWERED, f"the outcome was {story.outcome}")
    await _mail(stage, number, story, person)


async def _after_hours(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """The desk is closed: the caller leaves a message, hears ticket and promise, and gets a mail."""
    caller = await stack.enter_async_context(stage.world.caller(person.phone))
    await caller.call(CLOSED)
    stage.narrator.tell(number, f"{person.name} ({person.company}) calls {CLOSED}, which is closed now")
    await caller.wait_for(Event.ESTABLISHED)
    call = await stage.world.call_from(person.phone)
    stage.narrator.tell(number, "hears when the desk opens again and how the message is used")
    await _leave_message(stage, number, story, person, caller, call, SPEECH / "festival-061.wav")


async def _nobody_answers(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """The agent's phone rings in vain; after the limit the caller is offered a message and leaves one."""
    world, tell = stage.world, stage.narrator.voice(number)
    phone = await stack.enter_async_context(world.phone(VERDI.extension, answer="manual"))
    desk = await stack.enter_async_context(world.desk(VERDI.username))
    await desk.post("/api/presence/free")
    caller = await stack.enter_async_context(world.caller(person.phone))
    await caller.call(STAFFED)
    tell(f"{person.name} ({person.company}) calls {STAFFED}")
    await caller.wait_for(Event.ESTABLISHED)
    call = await world.call_from(person.phone)
    await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
    await caller.press("1")
    tell("presses 1: applications")
    pop = await desk.pop(call.id)
    rang = await phone.wait_for(Event.RINGING)
    story.pop_before_ring_ms = _ms(rang.at - pop.at)
    tell(f"{VERDI.name}'s screen pops and his phone rings, but he has just left his desk")
    await phone.wait_for(Event.CLOSED, within=15)
    paused = await desk.wait_for(
        lambda heard: heard.topic == "agents" and (heard.item or {}).get("presence") == "paused"
    )
    tell(f"{VERDI.name} is paused by itself: {(paused.item or {}).get('pause_reason')}")
    await world.call_until(call.id, lambda row: row.phase is Phase.MENU)
    tell("after the longest wait, all agents being busy, a message is offered; presses 1")
    await asyncio.sleep(1)
    await caller.press("1")
    await _leave_message(stage, number, story, person, caller, call, SPEECH / "festival-072.wav")


async def _leave_message(
    stage: Stage, number: int, story: Story, person: Person, caller: Phone, call: Call, speech: Path
) -> None:
    world, tell = stage.world, stage.narrator.voice(number)
    row = await world.call_until(call.id, lambda row: row.phase is Phase.MESSAGE and row.message_id, within=60)
    recording = world.asterisk.recording_spool / f"{row.message_id}-1.wav"
    async with asyncio.timeout(15):
        while not recording.exists():  # the beep is over when Asterisk opens the file
            await asyncio.sleep(0.02)
    await caller.speak(speech)
    tell(f"speaks after the beep ({seconds(speech):.0f} s)")
    await asyncio.sleep(seconds(speech) + 0.5)
    await caller.press("#")
    await asyncio.sleep(1.5)
    await caller.press("1")
    tell("ends with #, and keeps the message with 1")
    row = await world.call_until(call.id, lambda row: row.outcome or _filed(row))
    request = await world.until(lambda session: _request_of(session, call.id))
    story.ticket, story.request_id = request.ticket, request.id
    due = request.pickup_due_at
    _require(due is not None, "the request has no promised time")
    if due is None:
        return
    story.due_at = due.isoformat()
    tell(f"hears the ticket [bold]{story.ticket}[/] and the promise: taken in charge by {_local(due)}")
    closed = await caller.wait_for(Event.CLOSED, within=60)
    row = await world.call_until(call.id, lambda row: row.outcome)
    story.outcome = row.outcome
    message = await world.until(lambda session: _transcribed(session, row.message_id or ""))
    story.message_seconds, story.transcript = message.seconds, message.transcript
    stored = stage.transcribed.get(message.id)
    story.hangup_to_transcript_ms = _ms(stored - closed.at) if stored is not None else None
    tell(f"the transcript is on the ticket: [italic]{message.transcript}[/]")
    _require(story.outcome == Outcome.VOICEMAIL, f"the outcome was {story.outcome}")
    _require(bool(message.transcript), "the transcript is empty")
    kept = world.settings.storage.audio / (message.audio or "")
    _require(similarity(speech, kept) > HEARD, "the kept audio is not what the caller said")
    _require(similarity(SOUNDS / "your-ticket-is.wav", caller.heard()) > HEARD, "the caller was not told the ticket")
    await _mail(stage, number, story, person)


async def _mail(stage: Stage, number: int, story: Story, person: Person) -> None:
    mail = await stage.world.mail.wait_for(person.email or "", story.ticket or "", within=20)
    story.mail_subject = mail.subject
    stage.narrator.tell(number, f"mail to {person.email}: [italic]{mail.subject}[/]")


# -------------------------------------------------------------------------------------------------------- small parts


def _require(kept: bool, failure: str) -> None:
    if not kept:
        raise StoryFailed(failure)


def _ms(duration: float) -> float:
    return round(duration * 1000, 1)


def _local(when: datetime) -> str:
    return when.astimezone(TIMEZONE).strftime("%A %d %B %H:%M")


def _filed(row: Call) -> bool:
    return row.phase is Phase.ENDED


def _message(session: Session, message_id: str) -> Message | None:
    return session.get(Message, message_id)


def _request_of(session: Session, message_id: str) -> Request | None:
    message = session.get(Message, message_id)
    return session.get(Request, message.request_id) if message and message.request_id else None


def _transcribed(session: Session, message_id: str) -> Message | None:
    message = session.get(Message, message_id)
    return message if message and message.transcript_state is TranscriptState.DONE else None


def _table(stories: Sequence[Story]) -> Table:
    table = Table(title="What happened", show_lines=True)
    for heading in ("story", "outcome", "ticket", "transcript", "due", "times measured"):
        table.add_column(heading, overflow="fold")
    for story in stories:
        times = [
            f"{label} {value:.0f} ms"
            for label, value in (
                ("screen before ring", story.pop_before_ring_ms),
                ("line to screen", story.queued_to_pop_ms),
            )
            if value is not None
        ]
        if (late := story.hangup_to_transcript_ms) is not None:
            times.append(f"transcript {abs(late) / 1000:.1f} s {'before' if late < 0 else 'after'} hang-up")
        if story.message_seconds is not None:
            times.append(f"message {story.message_seconds:.1f} s")
        due = _local(datetime.fromisoformat(story.due_at)) if story.due_at else "-"
        outcome = story.outcome or "-"
        table.add_row(
            story.name,
            f"[green]{outcome}[/]" if story.ok else f"[red]{outcome}: {story.failure}[/]",
            story.ticket or "-",
            story.transcript or "-",
            due,
            "\n".join(times),
        )
    return table


def _report(stories: Sequence[Story]) -> dict[str, Any]:
    return {
        "ok": all(story.ok for story in stories),
        "stories": [asdict(story) for story in stories],
        "meanings": MEANINGS,
    }


async def _keep_running(console: Console, world: World) -> None:
    sip = f"127.0.0.1:{world.asterisk.sip_port}"
    console.print(
        Panel(
            f"Desk       {world.desk_url}\n"
            f"Log-in     {BIANCHI.username} or {VERDI.username}, password {PASSWORD}\n"
            f"Phones     register {BIANCHI.extension} or {VERDI.extension} at sip:{sip}, password {PASSWORD}:\n"
            "           first the phone, then go on duty at the desk\n"
            f"Call       sip:{STAFFED}@{sip} (staffed) or sip:{CLOSED}@{sip} (closed now)\n"
            "           from a SIP phone on this machine\n"
            "Mail       is shown below as it arrives\n\n"
            "Ctrl-C ends everything.",
            title="Go on by hand",
        )
    )
    shown = len(world.mail.messages)
    while True:
        mail = await world.mail.message(shown)
        shown += 1
        console.print(Panel(Text(mail.text.strip()), title=Text(f"{', '.join(mail.recipients)}: {mail.subject}")))
