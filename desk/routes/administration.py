"""Pages of administration, for supervisors: people, directory, areas, groups, hours, queues and lines."""

import asyncio
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from sqlalchemy.orm import Session

from desk import administration
from desk.context import Acting, Desk, DeskParts, Supervisor
from desk.errors import DeskError
from desk.routes.files import AS_LARGE_AS_IT_MAY_BE
from desk.supervision_views import (
    AgentAdminView,
    AgentForm,
    AreaAdminView,
    AreaForm,
    CompanyAdminView,
    CompanyForm,
    ContactAdminView,
    ContactForm,
    GroupAdminView,
    GroupForm,
    ImportChangeView,
    ImportView,
    NewAgentForm,
    NewAreaForm,
    NewGroupForm,
    NewPartForm,
    PartForm,
    PartView,
    PasswordForm,
)
from desk.words import say_fault
from ivr import site
from ivr.site import Kind, Part
from tickets.directory_csv import CsvRefused, read_csv
from tickets.directory_import import (
    COMPANY_COLUMNS,
    CONTACT_COLUMNS,
    by_line,
    import_companies,
    import_contacts,
    read_companies,
    read_contacts,
)
from tickets.texts import clean_line

router = APIRouter(prefix="/admin", tags=["administration"])

LARGEST_TABLE = 20_000_000
"""Bytes: some hundred thousand contacts."""
SHOWN = 200
"""So many errors and changes of a table are listed."""


class NotReadable(DeskError):
    """The file is no table."""

    status = 422
    code = "not_readable"


class TooLarge(DeskError):
    """The file is larger than any list of contacts."""

    status = 413
    code = "not_readable"


# ------------------------------------------------------------------------------------------------------------- people


@router.get("/people")
async def people(_who: Supervisor, desk: DeskParts) -> list[AgentAdminView]:
    """Everybody who may log in or takes calls."""
    return await desk.database.read(administration.people)


@router.post("/people", status_code=201)
async def add_person(form: NewAgentForm, by: Acting, desk: DeskParts) -> AgentAdminView:
    """Add an agent with a phone, or a supervisor without one."""
    return await desk.database.run(administration.add_person, desk.calls, form, by, now=desk.now())


@router.patch("/people/{username}")
async def edit_person(username: str, form: AgentForm, by: Acting, desk: DeskParts) -> AgentAdminView:
    """Change what is given; all else stays."""
    return await desk.database.run(administration.edit_person, desk.calls, username, form, by, now=desk.now())


@router.delete("/people/{username}", status_code=204)
async def remove_person(username: str, by: Acting, desk: DeskParts) -> None:
    """Take log-in, phone, queues and requests from somebody who leaves; what they did stays in the history."""
    within = desk.request_rules.reopen_within
    await desk.database.run(administration.remove_person, username, desk.notices, within, by, now=desk.now())
    await desk.live.close_ended()


@router.post("/people/{username}/password", status_code=204)
async def set_password(username: str, form: PasswordForm, by: Acting, desk: DeskParts) -> None:
    """Set a new password; it ends every log-in of that person."""
    await desk.database.run(administration.set_password, username, form.password, by, now=desk.now())
    await desk.live.close_ended()


# ---------------------------------------------------------------------------------------------------------- directory


@router.get("/companies")
async def companies(_who: Supervisor, desk: DeskParts) -> list[CompanyAdminView]:
    """All companies by name, with their level-0 desks."""
    return await desk.database.read(administration.companies)


@router.post("/companies", status_code=201)
async def add_company(form: CompanyForm, by: Acting, desk: DeskParts) -> CompanyAdminView:
    """Add a company."""
    return await desk.database.run(administration.add_company, form, by, now=desk.now())


@router.patch("/companies/{company_id}")
async def edit_company(company_id: int, form: CompanyForm, by: Acting, desk: DeskParts) -> CompanyAdminView:
    """Change what is given of a company."""
    return await desk.database.run(administration.edit_company, company_id, form, by, now=desk.now())


@router.get("/contacts")
async def contacts(
    _who: Supervisor, desk: DeskParts, q: Annotated[str, Query(max_length=200)] = ""
) -> list[ContactAdminView]:
    """Contacts by part of name, user code, e-mail, company or phone; at most 50."""
    return await desk.database.read(administration.contacts, q)


@router.post("/contacts", status_code=201)
async def add_contact(form: ContactForm, by: Acting, desk: DeskParts) -> ContactAdminView:
    """Add a contact."""
    return await desk.database.run(administration.add_contact, form, by, now=desk.now())


@router.patch("/contacts/{contact_id}")
async def edit_contact(contact_id: int, form: ContactForm, by: Acting, desk: DeskParts) -> ContactAdminView:
    """Change what is given of a contact."""
    return await desk.database.run(administration.edit_contact, contact_id, form, by, now=desk.now())


@router.delete("/contacts/{contact_id}", status_code=204)
async def remove_contact(contact_id: int, by: Acting, desk: DeskParts) -> None:
    """Remove a contact to whom nothing belongs; 409 for any other."""
    await desk.database.run(administration.remove_contact, contact_id, by, now=desk.now())


@router.post(
    "/import/{what}",
    max_body_size=AS_LARGE_AS_IT_MAY_BE,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def import_table(
    what: Literal["companies", "contacts"],
    request: Request,
    by: Acting,
    who: Supervisor,
    desk: DeskParts,
    dry_run: bool = True,
) -> ImportView:
    """Bring a CSV table into the directory, or (`dry_run`) say what each line would do; all of it or nothing."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LARGEST_TABLE:
            raise TooLarge
    of_companies = what == "companies"
    columns, key = (COMPANY_COLUMNS, "code") if of_companies else (CONTACT_COLUMNS, "user_code")
    try:
        file = await asyncio.to_thread(read_csv, bytes(content), columns, key)
    except CsvRefused as error:
        raise NotReadable(str(error)) from error
    table = await asyncio.to_thread(read_companies if of_companies else read_contacts, file.rows)
    only_told = dry_run or bool(file.errors)
    result = await desk.database.run(
        administration.import_table,
        import_companies if of_companies else partial(import_contacts, now=desk.now()),
        table,
        f"{what}_imported",
        by,
        dry_run=only_told,
        now=desk.now(),
    )
    errors = sorted([*file.errors, *result.errors], key=by_line)
    return ImportView(
        stored=not only_told and not errors,
        encoding=file.encoding,
        added=result.added,
        changed=len(result.changes) - result.added,
        unchanged=result.unchanged,
        errors=[(line, say_fault(fault, who.me.language)) for line, fault in errors[:SHOWN]],
        changes=[ImportChangeView.model_validate(change) for change in result.changes[:SHOWN]],
        left_out=max(len(errors) - SHOWN, 0) + max(len(result.changes) - SHOWN, 0),
    )


# --------------------------------------------------------------------------------------------------- areas and groups


@router.get("/areas")
async def areas(_who: Supervisor, desk: DeskParts) -> list[AreaAdminView]:
    """All areas, also those not used any more."""
    return await desk.database.read(administration.all_areas)


@router.post("/areas", status_code=201)
async def add_area(form: NewAreaForm, by: Acting, desk: DeskParts) -> AreaAdminView:
    """Add an area, below another or on its own."""
    return await desk.database.run(administration.add_area, form, by, now=desk.now())


@router.patch("/areas/{key}")
async def edit_area(key: str, form: AreaForm, by: Acting, desk: DeskParts) -> AreaAdminView:
    """Change what is given of an area; `active` false retires it, an empty `parent` takes it to the top."""
    return await desk.database.run(administration.edit_area, key, form, by, now=desk.now())


@router.get("/groups")
async def groups(_who: Supervisor, desk: DeskParts) -> list[GroupAdminView]:
    """All support groups, also those not used any more."""
    return await desk.database.read(administration.all_groups)


@router.post("/groups", status_code=201)
async def add_group(form: NewGroupForm, by: Acting, desk: DeskParts) -> GroupAdminView:
    """Add a group of specialists."""
    return await desk.database.run(administration.add_group, form, by, now=desk.now())


@router.patch("/groups/{group_id}")
async def edit_group(group_id: int, form: GroupForm, by: Acting, desk: DeskParts) -> GroupAdminView:
    """Change what is given of a group; `active` false retires it."""
    return await desk.database.run(administration.edit_group, group_id, form, by, now=desk.now())


# -------------------------------------------------------------------------------------------- hours, queues and lines


@router.get("/site")
async def parts(_who: Supervisor, desk: DeskParts) -> list[PartView]:
    """Calendars, queues and lines as they are in force, and as the settings file has them."""
    return await desk.database.read(_parts, desk)


@router.post("/site/{kind}", status_code=201)
async def add_part(kind: Kind, form: NewPartForm, by: Acting, desk: DeskParts) -> PartView | None:
    """Add a calendar, queue or line. In force at once, everywhere; calls reach a line once its number comes here."""
    name, base = clean_line(form.name), desk.site.base
    await desk.database.run(administration.add_part, base, kind, name, form.definition, by, now=desk.now())
    return await _looked_again(desk, kind, name)


@router.put("/site/{kind}/{name}")
async def edit_part(kind: Kind, name: str, form: PartForm, by: Acting, desk: DeskParts) -> PartView | None:
    """Edit a calendar, queue or line: the fields as the settings file writes them. In force at once, everywhere."""
    seen = (form.edited_at,) if "edited_at" in form.model_fields_set else None
    base = desk.site.base
    await desk.database.run(administration.edit_part, base, kind, name, form.definition, by, seen=seen, now=desk.now())
    return await _looked_again(desk, kind, name)


@router.delete("/site/{kind}/{name}")
async def take_part_back(kind: Kind, name: str, by: Acting, desk: DeskParts) -> PartView | None:
    """Go back to what the settings file says; null: it was added here, and is removed. 409 tells what still uses it."""
    await desk.database.run(administration.take_part_back, desk.site.base, kind, name, by, now=desk.now())
    return await _looked_again(desk, kind, name)


async def _looked_again(desk: Desk, kind: Kind, name: str) -> PartView | None:
    """As it is now; None: there is none, perhaps since somebody else has removed it this moment."""
    await desk.site.look()
    found = await desk.database.read(_parts, desk)
    return next((part for part in found if (part.kind, part.name) == (kind, name)), None)


def _parts(session: Session, desk: Desk) -> list[PartView]:
    found: list[Part] = site.parts(desk.calls, desk.site.base, site.edits(session))
    return [PartView.model_validate(part) for part in found]
