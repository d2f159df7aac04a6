"""A fax: the dialplan receives it, with the service or without; here it becomes a request."""

import asyncio

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from ivr import operations
from ivr.ari import AriError
from ivr.config import Line
from ivr.fax import FAX_CONTEXT, Pages, ReceivedFax, read_pages
from ivr.flow.call import ActiveCall, Services
from ivr.flow.message import id_of_fallback
from ivr.models import Call, Fax, Outcome
from ivr.settings import node_of
from tickets.attachments import Kept, add_attachment
from tickets.database import OutcomeUnknown
from tickets.models import Channel, Kind, Request
from tickets.operations import SYSTEM, NewRequest, add_note, open_request
from tickets.phone_numbers import parse_phone_number, shown_number
from tickets.promise_rules import Terms
from tickets.queries import CallerMatch, identify_caller

log = structlog.get_logger()

UNDER_WAY = "the fax is coming in, or broke off before its first page was complete"

_WORDS = {
    "it": {
        "subject": "Fax da {who} ({pages})",
        "one": "1 pagina",
        "more": "{count} pagine",
        "withheld": "un numero riservato",
        "received": "Fax ricevuto al numero {line}: {pages}.",
        "caller": "Numero chiamante: {caller}",
        "station": "Il fax del mittente si chiama: {station}",
        "broken": "Il fax si è interrotto: forse mancano delle pagine ({why}).",
    },
    "en": {
        "subject": "Fax from {who} ({pages})",
        "one": "1 page",
        "more": "{count} pages",
        "withheld": "a withheld number",
        "received": "Fax received at the number {line}: {pages}.",
        "caller": "Calling number: {caller}",
        "station": "The sender's machine calls itself: {station}",
        "broken": "The fax broke off: pages may be missing ({why}).",
    },
}


async def leave_to_fax(call: ActiveCall) -> Outcome:
    """A number for faxes that the dialplan does not know as one: let it receive."""
    await call.services.ari.channels.continue_in_dialplan(call.leg.id, context=FAX_CONTEXT, extension=call.line.number)
    call.note = UNDER_WAY
    return Outcome.FAX_FAILED


async def became_fax(call: ActiveCall) -> bool:
    """Whether a call left our hands since the dialplan heard the tone of a fax."""
    if not call.leg.left_to_dialplan:
        return False
    try:
        return (await call.services.ari.channels.get(call.leg.id)).context == FAX_CONTEXT
    except AriError:
        return False  # if it was one it is found in the folder


async def file_fax(services: Services, fax: ReceivedFax) -> None:
    """Make a request of a fax; without a page it is only told of its call. Safe to repeat: the files go last."""
    config = services.config
    line = config.line(fax.line) or config.lines[0]
    pages = await asyncio.to_thread(read_pages, fax.path)
    kept = await asyncio.to_thread(_keep, services, fax, pages) if pages is not None else []
    try:
        ticket = await services.database.run(_file, fax, line, pages.count if pages else 0, kept, services)
    except OutcomeUnknown:  # the request may be there
        raise
    except Exception:
        await asyncio.to_thread(_erase, services, kept)
        raise
    log.info("fax filed", fax=fax.unique_id, ticket=ticket, failure=fax.failure, caller=fax.caller)
    await asyncio.to_thread(_clear_away, services, fax, unreadable=pages is None)


def _keep(services: Services, fax: ReceivedFax, pages: Pages) -> list[tuple[Kept, str, str]]:
    """Put the pictures as they came, the PDF and the preview into the store; gives each with its name and type."""
    files = (
        (pages.pdf, "fax.pdf", "application/pdf"),
        (pages.preview, "fax-1.png", "image/png"),
        (fax.path.read_bytes(), "fax.tif", "image/tiff"),
    )
    kept: list[tuple[Kept, str, str]] = []
    try:
        for content, name, kind in files:
            kept.append((services.attachments.keep(content, fax.received_at), name, kind))
    except OSError:
        _erase(services, kept)
        raise
    return kept


def _erase(services: Services, kept: list[tuple[Kept, str, str]]) -> None:
    """Leave no files that nobody knows: it is tried again in a few seconds, and would fill the disk with them."""
    for file, *_ in kept:
        services.attachments.erase(file.path)


def _clear_away(services: Services, fax: ReceivedFax, *, unreadable: bool) -> None:
    """Remove what is filed; pictures that we cannot read are kept aside, as long as unusable recordings are."""
    if unreadable and fax.path.exists() and fax.path.stat().st_size:
        services.audio.set_aside(fax.path, id_of_fallback(fax.unique_id))
    for path in (fax.path, fax.result):
        path.unlink(missing_ok=True)


def _file(
    session: Session,
    fax: ReceivedFax,
    line: Line,
    pages: int,
    kept: list[tuple[Kept, str, str]],
    services: Services,
) -> str | None:
    fax_id = id_of_fallback(fax.unique_id)
    known = session.get(Fax, fax_id)
    if known is not None:
        request = session.get(Request, known.request_id) if known.request_id else None
        return request.ticket if request else None
    match = _sender(session, fax)
    call = _call(session, fax, line, match, services)
    request = _open_request(session, fax, line, pages, kept, match, call, services) if pages else None
    session.add(
        Fax(
            id=fax_id,
            call_id=call.id,
            request_id=request.id if request else None,
            station=fax.station[:64],
            pages=pages,
            failure=fax.failure,
            received_at=fax.received_at,
        )
    )
    call.outcome, call.outcome_note = (Outcome.FAX if pages else Outcome.FAX_FAILED), fax.failure
    call.contact_id = call.contact_id or match.contact_id
    if request is not None and call.request_id is None:
        operations.bind_request(session, call.id, request.id)
    return request.ticket if request else None


def _sender(session: Session, fax: ReceivedFax) -> CallerMatch:
    """Whoever has the calling number, or else the number that the machine has as its name."""
    match = identify_caller(session, fax.caller)
    if match.contacts or match.company is not None:
        return match
    station = parse_phone_number(fax.station).best()
    by_station = identify_caller(session, station) if station else match
    return by_station if by_station.contacts or by_station.company is not None else match


def _call(session: Session, fax: ReceivedFax, line: Line, match: CallerMatch, services: Services) -> Call:
    """The row of its call, closed; one that only the dialplan had in hand has none yet."""
    now = services.now()
    rows = session.scalars(select(Call).where(Call.channel_id == fax.unique_id)).all()
    call = next((row for row in rows if node_of(row.app) == node_of(services.app)), None)
    if call is None:
        call_id = id_of_fallback(fax.unique_id)
        operations.begin_call(
            session,
            call_id=call_id,
            app=services.app,
            channel_id=fax.unique_id,
            line=line.number,
            language=line.language,
            caller=parse_phone_number(fax.caller).best(),
            contact_id=match.contact_id,
            now=fax.received_at,
        )
        call = session.get_one(Call, call_id)
    if call.ended_at is None:
        operations.end_call(session, call.id, Outcome.FAX_FAILED, now=now)
        session.refresh(call)
    return call


def _open_request(
    session: Session,
    fax: ReceivedFax,
    line: Line,
    pages: int,
    kept: list[tuple[Kept, str, str]],
    match: CallerMatch,
    call: Call,
    services: Services,
) -> Request:
    words = _WORDS[line.language]
    number = parse_phone_number(fax.caller).best() or parse_phone_number(fax.station).best()
    shown = shown_number(number) if number else fax.station or words["withheld"]
    count = words["one"] if pages == 1 else words["more"].format(count=pages)
    text = [words["received"].format(line=line.number, pages=count)]
    if fax.caller:
        text.append(words["caller"].format(caller=shown_number(parse_phone_number(fax.caller).best() or fax.caller)))
    if fax.station:
        text.append(words["station"].format(station=fax.station))
    request = open_request(
        session,
        NewRequest(
            kind=Kind.REQUEST,
            area="application",
            channel=Channel.FAX,
            subject=words["subject"].format(who=shown, pages=count)[:200],
            description="\n".join(text),
            language=line.language,
            contact_id=match.contact_id,
            company_id=match.company.id if match.company else None,
            phone=number,
            call_id=call.id,
            received_at=fax.received_at,
            terms=Terms(services.promises, services.config.calendar_named(line.calendar)),
        ),
        services.notices,
        now=services.now(),
    )
    for file, name, media_type in kept:
        add_attachment(
            session,
            request,
            file,
            name=name,
            media_type=media_type,
            actor=SYSTEM,
            now=services.now(),
            tell=False,  # it came with the request
        )
    if fax.failure is not None:
        note = words["broken"].format(why=fax.failure)
        add_note(session, request.id, note, actor=SYSTEM, now=services.now())
    return request
