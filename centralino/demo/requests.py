"""Stories of the demo that are told in writing and at the counter; and what Maximo knows of each request."""

import asyncio
from contextlib import AsyncExitStack
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.demo.stage import FAX, LEVEL_0, NERI, Stage, Story, StoryFailed, local, mail_to, require
from centralino.rig.fax import FaxMachine
from centralino.rig.mail import Caught
from centralino.rig.world import Person
from ivr.models import Call, Outcome
from ivr.models import Fax as FaxRow
from tickets.connectors.sync import sync_state
from tickets.models import Attachment, Channel, Contact, Request, RequestEvent, Status

PAGES = ("Richiesta di abilitazione\nReparto: Cardiologia", "Firma del referente\ndott. Giuseppe Amato")


async def by_email(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """A user writes; the agent asks back by mail, the answer finds its request; solved, and the user is told."""
    tell = stage.narrator.voice(number)
    desk = await stack.enter_async_context(stage.world.desk(NERI.username))
    mail = _mail(person.email, "Non riesco a stampare le etichette", "Da stamattina la stampante è ferma.\n")
    await _deliver(stage, mail)
    tell(f"{person.name} ({person.company}) writes: [italic]{mail['Subject']}[/]")
    request = await _request_by(stage, Channel.EMAIL)
    await _opened(stage, number, story, request)
    await desk.post(f"/api/requests/{request.id}/take", {})
    question = {"to": Status.PENDING_USER, "text": "In quale reparto si trova la stampante?"}
    await desk.post(f"/api/requests/{request.id}/move", question)
    tell(f"{NERI.name} takes it in charge and asks back: {question['text']}")
    asked = await mail_to(stage, number, story, person.email, "Servono")
    await _deliver(stage, _answer(asked, person.email, "In Radiologia, terzo piano.\n"))
    tell("he answers with his mail program's reply button")
    await _request_is(stage, request.id, Status.IN_PROGRESS)
    replies = await stage.world.read(_replies, request.id)
    require(replies == ["In Radiologia, terzo piano."], f"the answer on the request was {replies}")
    tell(f"the answer is on the request, which is in progress again: [italic]{replies[0]}[/]")
    await desk.post(f"/api/requests/{request.id}/close", {"solution": "Riavviato il servizio di stampa."})
    await stage.world.mail.wait_for(person.email or "", f"{story.ticket}] Richiesta chiusa", within=30)
    story.outcome = "solved by e-mail"
    tell("solved; the user is told by mail")


async def by_fax(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """A fax machine sends two pages: they are on the request, as they came, as a PDF and as a picture."""
    world, tell = stage.world, stage.narrator.voice(number)
    machine = await stack.enter_async_context(
        FaxMachine(world.folder / "fax-machine", world.asterisk, number=person.phone, station="ASL Lecce CED")
    )
    await machine.send(FAX, PAGES)
    tell(f"{person.name} ({person.company}) faxes two pages to {FAX}")
    request = await _request_by(stage, Channel.FAX, within=120)
    call, fax = await world.read(_fax_of, request.id)
    story.outcome = call.outcome
    require(call.outcome == Outcome.FAX, f"the outcome was {call.outcome}")
    require(fax.pages == len(PAGES), f"{fax.pages} pages came")
    names = await world.read(_attachments, request.id)
    require(any(name.endswith(".pdf") for name in names), f"there is no PDF among {names}")
    tell(f"{fax.pages} pages from the machine of [italic]{fax.station}[/] are on the request: {', '.join(names)}")
    require(request.contact is not None and request.contact.name == person.name, "the sender was not recognised")
    await _opened(stage, number, story, request)


async def back_to_level_0(stage: Stage, number: int, story: Story, person: Person, stack: AsyncExitStack) -> None:
    """A network matter, told at the counter, goes back to the desk of the user's company, which answers by mail."""
    world, tell = stage.world, stage.narrator.voice(number)
    desk = await stack.enter_async_context(world.desk(NERI.username))
    contact = await world.read(_contact_named, person.name)
    saved = await desk.post(
        "/api/requests",
        {
            "channel": Channel.IN_PERSON,
            "kind": "problem",
            "area": "network",
            "subject": "Il PC dell'ambulatorio non va in rete",
            "contact_id": contact,
        },
    )
    request_id = saved["request"]["id"]
    story.request_id, story.ticket = request_id, saved["request"]["ticket"]
    tell(f"{person.name} ({person.company}) is at the counter; {NERI.name} registers ticket [bold]{story.ticket}[/]")
    await desk.post(
        f"/api/requests/{request_id}/refer", {"reason": "La presa di rete è guasta: la segue il vostro CED."}
    )
    tell("a network matter: back to level 0 of her company")
    told = await world.mail.wait_for(LEVEL_0, str(story.ticket), within=30)
    await mail_to(stage, number, story, LEVEL_0)
    await world.mail.wait_for(person.email or "", f"{story.ticket}] Richiesta passata", within=30)
    tell("she is told by mail as well")
    await _deliver(stage, _answer(told, LEVEL_0, "RISOLTO\n\nSostituita la presa, ora funziona.\n"))
    tell("the level-0 desk answers by mail that it is solved")
    await world.mail.wait_for(person.email or "", f"{story.ticket}] Richiesta risolta", within=30)
    await _request_is(stage, request_id, Status.RESOLVED)
    story.outcome = "solved at level 0"
    tell("the request is resolved with its words; the user is told")


async def in_maximo(stage: Stage, number: int, story: Story) -> None:
    """See that Maximo knows a story's request once, with the status that it has here."""
    if story.request_id is None:
        raise StoryFailed("there is no request")
    async with asyncio.timeout(30):
        while not await stage.world.read(_is_told, story.request_id):
            await asyncio.sleep(0.2)
    found = stage.maximo.by_reference(f"CENTRALINO-{story.ticket}")
    require(len(found) == 1, f"Maximo has {len(found)} records of {story.ticket}")
    story.maximo = f"SR {found[0].ticketid} {found[0].status}"
    stage.narrator.tell(number, f"Maximo has it too: [bold]{story.maximo}[/]")


# -------------------------------------------------------------------------------------------------------- small parts


async def _opened(stage: Stage, number: int, story: Story, request: Request) -> None:
    story.request_id, story.ticket, due = request.id, request.ticket, request.pickup_due_at
    require(due is not None, "nothing was promised")
    if due is not None:
        story.due_at = due.isoformat()
        stage.narrator.tell(number, f"ticket [bold]{story.ticket}[/], to be taken in charge by {local(due)}")
    contact = request.contact
    await mail_to(stage, number, story, contact.email if contact else None)


def _mail(sender: str | None, subject: str, text: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, "helpdesk@example.org", subject
    mail["Message-ID"] = make_msgid(domain="mail.example.org")
    mail.set_content(text)
    return mail


def _answer(told: Caught, sender: str | None, text: str) -> EmailMessage:
    """As a mail program answers: the subject, what it refers to, and the other mail below."""
    quoted = "".join(f"> {line}\n" for line in told.text.splitlines())
    mail = _mail(sender, f"R: {told.subject}", f"{text}\nIl giorno lunedì Help Desk Edotto ha scritto:\n{quoted}")
    mail["In-Reply-To"] = mail["References"] = str(told.message["Message-ID"])
    return mail


async def _deliver(stage: Stage, mail: EmailMessage) -> None:
    await asyncio.to_thread(stage.mailbox.deliver, mail.as_bytes())


async def _request_by(stage: Stage, channel: Channel, *, within: float = 30) -> Request:
    return await stage.world.until(partial(_first_by, channel=channel), within=within)


def _first_by(session: Session, channel: Channel) -> Request | None:
    return session.scalar(select(Request).where(Request.channel == channel).order_by(Request.id).limit(1))


async def _request_is(stage: Stage, request_id: int, status: Status) -> None:
    def seen(session: Session) -> bool | None:
        return session.get_one(Request, request_id).status == status or None

    await stage.world.until(seen, within=30)


def _replies(session: Session, request_id: int) -> list[str]:
    rows = session.scalars(
        select(RequestEvent).where(RequestEvent.request_id == request_id, RequestEvent.kind == "reply")
    )
    return [row.details["text"] for row in rows]


def _fax_of(session: Session, request_id: int) -> tuple[Call, FaxRow]:
    row = session.execute(
        select(Call, FaxRow).join(FaxRow, FaxRow.call_id == Call.id).where(FaxRow.request_id == request_id)
    ).one()
    return row[0], row[1]


def _attachments(session: Session, request_id: int) -> list[str]:
    return list(session.scalars(select(Attachment.name).where(Attachment.request_id == request_id)))


def _contact_named(session: Session, name: str) -> int:
    return session.scalars(select(Contact.id).where(Contact.name == name)).one()


def _is_told(session: Session, request_id: int) -> bool:
    state = sync_state(session, request_id)
    return bool(state) and all(one.waiting == 0 and one.remote_id for one in state)
