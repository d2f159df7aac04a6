"""Stories of the demo that are told by telephone."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from sqlalchemy.orm import Session

import asterisk_conf
from centralino import rig
from centralino.demo.stage import BIANCHI, CLOSED, STAFFED, VERDI, Stage, Story, local, mail_to, ms, require
from centralino.rig.audio import seconds, similarity
from centralino.rig.phone import Event, Phone
from centralino.rig.world import Person
from ivr.models import Call, Outcome, Phase
from tickets.models import Request
from voicemail.models import Message, TranscriptState

SPEECH = Path(rig.__file__).parent / "speech"
SOUNDS = Path(asterisk_conf.__file__).parent / "sounds/it"
HEARD = 0.8
"""Above this correlation two pieces of audio are the same speech (unrelated speech stays under 0.4)."""


async def answered(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
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
    story.pop_before_ring_ms = ms(rang.at - pop.at)
    story.invite_to_pop_ms, story.queued_to_pop_ms = ms(pop.at - dialled), ms(pop.at - max(queued, free))
    item = pop.item or {}
    names = ", ".join(contact["name"] for contact in item.get("contacts", []))
    tell(
        f"{BIANCHI.name}'s screen shows [bold]{names}[/] ({item.get('confidence')}), "
        f"{story.pop_before_ring_ms:.0f} ms before her phone rings"
    )
    require(names == person.name, f"the screen showed {names!r} instead of {person.name}")
    require(story.pop_before_ring_ms > 0, "the phone rang before the screen popped")
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
    require(heard_by_agent > HEARD, "the agent did not hear what the caller said")
    require(heard_by_caller > HEARD, "the caller did not hear what the agent said")
    require(story.outcome == Outcome.ANSWERED, f"the outcome was {story.outcome}")
    await mail_to(stage, number, story, person.email)


async def after_hours(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """The desk is closed: the caller leaves a message, hears ticket and promise, and gets a mail."""
    caller = await stack.enter_async_context(stage.world.caller(person.phone))
    await caller.call(CLOSED)
    stage.narrator.tell(number, f"{person.name} ({person.company}) calls {CLOSED}, which is closed now")
    await caller.wait_for(Event.ESTABLISHED)
    call = await stage.world.call_from(person.phone)
    stage.narrator.tell(number, "hears when the desk opens again and how the message is used")
    await _leave_message(stage, number, story, person, caller, call, SPEECH / "festival-061.wav")


async def nobody_answers(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
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
    story.pop_before_ring_ms = ms(rang.at - pop.at)
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
    require(due is not None, "the request has no promised time")
    if due is None:
        return
    story.due_at = due.isoformat()
    tell(f"hears the ticket [bold]{story.ticket}[/] and the promise: taken in charge by {local(due)}")
    closed = await caller.wait_for(Event.CLOSED, within=60)
    row = await world.call_until(call.id, lambda row: row.outcome)
    story.outcome = row.outcome
    message = await world.until(lambda session: _transcribed(session, row.message_id or ""))
    story.message_seconds, story.transcript = message.seconds, message.transcript
    stored = stage.transcribed.get(message.id)
    story.hangup_to_transcript_ms = ms(stored - closed.at) if stored is not None else None
    tell(f"the transcript is on the ticket: [italic]{message.transcript}[/]")
    require(story.outcome == Outcome.VOICEMAIL, f"the outcome was {story.outcome}")
    require(bool(message.transcript), "the transcript is empty")
    kept = world.settings.storage.audio / (message.audio or "")
    require(similarity(speech, kept) > HEARD, "the kept audio is not what the caller said")
    require(similarity(SOUNDS / "your-ticket-is.wav", caller.heard()) > HEARD, "the caller was not told the ticket")
    await mail_to(stage, number, story, person.email)


def _filed(row: Call) -> bool:
    return row.phase is Phase.ENDED


def _request_of(session: Session, message_id: str) -> Request | None:
    message = session.get(Message, message_id)
    return session.get(Request, message.request_id) if message and message.request_id else None


def _transcribed(session: Session, message_id: str) -> Message | None:
    message = session.get(Message, message_id)
    return message if message and message.transcript_state is TranscriptState.DONE else None
