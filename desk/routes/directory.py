"""Contacts and companies, for saying who is calling; areas and groups of specialists."""

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk import operations, queries, request_queries
from desk.context import DeskParts, Person
from desk.views import AreaView, CompanyView, ContactView, GroupView, PersonForm
from tickets.models import Company, Contact
from tickets.queries import contacts as find_contacts

router = APIRouter(tags=["directory"])

FOUND = 20


@router.get("/contacts")
async def contacts(_who: Person, desk: DeskParts, q: str = Query("", max_length=200)) -> list[ContactView]:
    """Contacts by part of name, user code, e-mail or phone; at most 20."""
    return await desk.database.read(_contacts, q)


@router.post("/contacts", status_code=201)
async def add_contact(form: PersonForm, who: Person, desk: DeskParts) -> ContactView:
    """Add somebody to the directory; 409 where the user code, or the name with this number, is there already."""
    contact = await desk.database.run(operations.add_person, form, language=who.me.language)
    return (await desk.database.read(_contact, contact.id))[0]


@router.get("/companies")
async def companies(_who: Person, desk: DeskParts) -> list[CompanyView]:
    """All companies by name."""
    return await desk.database.read(_companies)


@router.get("/areas")
async def areas(who: Person, desk: DeskParts) -> list[AreaView]:
    """What requests may be about, in the reader's language: each area followed by those below it."""
    return await desk.database.read(request_queries.areas, who.me.language)


@router.get("/support-groups")
async def groups(_who: Person, desk: DeskParts) -> list[GroupView]:
    """The groups of specialists that requests can be escalated to."""
    return await desk.database.read(request_queries.groups)


def _contact(session: Session, contact_id: int) -> list[ContactView]:
    return queries.contact_views(session, [session.get_one(Contact, contact_id)])


def _contacts(session: Session, text: str) -> list[ContactView]:
    return queries.contact_views(session, find_contacts(session, text, FOUND)) if text.strip() else []


def _companies(session: Session) -> list[CompanyView]:
    rows = session.scalars(select(Company).order_by(Company.name))
    return [CompanyView.model_validate(company) for company in rows]
