"""Faxes: to a number of their own and by their tone, with the service and without, whole and broken off."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from centralino.rig.fax import FaxMachine
from centralino.rig.phone import Event
from centralino.rig.world import Colleague, World
from centralino.serve import Service
from ivr.models import Call, Fax, Outcome
from tests.stories.conftest import (
    AMATO,
    ANNA,
    MENU,
    ROSSI,
    STAFFED,
    Duty,
    answered_by,
    calls,
    dial,
    nothing_left,
    outcome_of,
)
from tickets.models import Attachment, Channel, Request, RequestEvent, Status

pytestmark = pytest.mark.story

FAX = "809"
"""A number for faxes only."""
PAGES = ("Modulo di abilitazione\nReparto: Cardiologia", "Firma del referente")


@pytest.fixture
async def world(tmp_path: Path, colleagues: tuple[Colleague, ...]) -> AsyncIterator[World]:
    """As elsewhere, with a number for faxes."""
    described = calls()
    described["lines"].append(
        {"number": FAX, "name": "Fax", "calendar": "sempre", "queue": "edotto", "fax": True, "greeting": ""}
    )
    extra = {"asterisk": {"fallback_settled_seconds": 3}}
    async with World(tmp_path, described, colleagues=colleagues, people=(ROSSI, AMATO), settings_extra=extra) as world:
        yield world


@pytest.fixture
async def machine(world: World) -> AsyncIterator[FaxMachine]:
    """Maria Rossi's fax machine."""
    async with FaxMachine(
        world.folder / "machine", world.asterisk, number=ROSSI.phone, station="+39 080 5551234"
    ) as machine:
        yield machine


async def filed(world: World, *, within: float = 90) -> tuple[Fax, Call]:
    """The fax, once it is filed, and its call."""

    def look(session: Session) -> tuple[Fax, Call] | None:
        row = session.execute(select(Fax, Call).join(Call, Call.id == Fax.call_id)).one_or_none()
        return (row[0], row[1]) if row else None

    return await world.until(look, within=within)


async def request_of_fax(world: World, fax: Fax) -> tuple[Request, dict[str, Attachment]]:
    def look(session: Session) -> tuple[Request, dict[str, Attachment]]:
        request = session.get_one(Request, fax.request_id)
        found = session.scalars(select(Attachment).where(Attachment.request_id == request.id))
        return request, {one.name: one for one in found}

    return await world.read(look)


async def events_of(world: World, request: Request) -> list[RequestEvent]:
    def look(session: Session) -> list[RequestEvent]:
        return list(session.scalars(select(RequestEvent).where(RequestEvent.request_id == request.id)))

    return await world.read(look)


def kept(world: World, attachment: Attachment) -> bytes:
    return (world.settings.storage.attachments / attachment.path).read_bytes()


async def is_whole(world: World, sent: Path) -> None:
    """The fax is a request with all that belongs to it, and no dot of it differs."""
    fax, call = await filed(world)
    assert (fax.pages, fax.failure, fax.station) == (2, None, "+39 080 5551234")
    assert (call.outcome, call.caller, call.request_id) == (Outcome.FAX, ROSSI.phone, fax.request_id)
    request, attachments = await request_of_fax(world, fax)
    assert (request.channel, request.status, request.phone) == (Channel.FAX, Status.QUEUED, ROSSI.phone)
    assert request.contact is not None
    assert request.contact.name == ROSSI.name
    assert request.pickup_due_at is not None
    assert "2 pagine" in request.subject
    assert set(attachments) == {"fax.pdf", "fax-1.png", "fax.tif"}
    assert kept(world, attachments["fax.pdf"]).startswith(b"%PDF")
    assert Image.open(io.BytesIO(kept(world, attachments["fax-1.png"]))).format == "PNG"
    arrived = Image.open(io.BytesIO(kept(world, attachments["fax.tif"])))
    original = _opened(sent)
    for page in range(2):
        arrived.seek(page)
        original.seek(page)
        assert arrived.convert("1").tobytes() == original.convert("1").tobytes()
    assert [path.name for path in world.asterisk.fallback_spool.iterdir()] == []
    await until(lambda: bool(world.mail.messages))
    await nothing_left(world)


def _opened(picture: Path) -> Image.Image:
    return Image.open(io.BytesIO(picture.read_bytes()))


async def until(seen: Callable[[], Any], *, within: float = 15.0) -> None:
    async with asyncio.timeout(within):
        while not seen():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)


async def test_a_fax_comes_in_on_a_line_where_people_call(world: World, service: Service, machine: FaxMachine) -> None:
    sent = await machine.send(MENU, PAGES)
    await is_whole(world, sent)


async def test_a_fax_comes_in_on_its_own_number(world: World, service: Service, machine: FaxMachine) -> None:
    sent = await machine.send(FAX, PAGES)
    await is_whole(world, sent)


async def test_a_fax_comes_in_while_the_service_is_down(world: World, machine: FaxMachine) -> None:
    sent = await machine.send(STAFFED, PAGES)
    await until(lambda: list(world.asterisk.fallback_spool.glob("*.fax")), within=90)
    async with world.serving():
        await is_whole(world, sent)


async def test_a_fax_that_breaks_off_keeps_the_pages_that_came(
    world: World, service: Service, machine: FaxMachine
) -> None:
    await machine.send(FAX, ("Prima pagina", "Seconda pagina", "Terza pagina"))
    [pictures] = await _appears(world, "*.tif")
    await until(lambda: pictures.stat().st_size > 500, within=60)  # the first page is written
    await machine.hang_up()
    fax, call = await filed(world)
    assert fax.pages in (1, 2)
    assert fax.failure
    assert (call.outcome, call.outcome_note) == (Outcome.FAX, fax.failure)
    request, attachments = await request_of_fax(world, fax)
    assert "fax.pdf" in attachments
    assert any("interrotto" in str(event.details) for event in await events_of(world, request) if event.kind == "note")
    await nothing_left(world)


async def test_a_fax_of_which_no_page_comes_is_a_call_with_its_reason_and_no_request(
    world: World, service: Service, machine: FaxMachine
) -> None:
    await machine.send(STAFFED, PAGES)
    call = await world.call_from(ROSSI.phone)
    await world.call_until(call.id, lambda row: row.outcome is Outcome.FAX_FAILED)  # it has begun
    await asyncio.sleep(1)
    await machine.hang_up()
    fax, call = await filed(world)
    assert (fax.request_id, fax.pages, call.outcome) == (None, 0, Outcome.FAX_FAILED)
    assert fax.failure
    assert call.outcome_note == fax.failure
    assert await world.read(lambda session: list(session.scalars(select(Request)))) == []
    await nothing_left(world)


async def test_who_speaks_is_no_fax(world: World, service: Service, on_duty: Duty) -> None:
    """The tone is listened for on every line, and takes no call away from anybody."""
    anna = await on_duty(ANNA)
    async with world.caller(AMATO.phone) as amato:
        call = await dial(world, amato, STAFFED)
        await answered_by(world, anna, call)
        await asyncio.sleep(2)
        await amato.hang_up()
    assert await outcome_of(world, call) is Outcome.ANSWERED
    assert [one.event for one in amato.events if one.event is Event.CLOSED]
    await nothing_left(world, service)


async def _appears(world: World, pattern: str) -> list[Path]:
    await until(lambda: list(world.asterisk.fallback_spool.glob(pattern)), within=60)
    return list(world.asterisk.fallback_spool.glob(pattern))
