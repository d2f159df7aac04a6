"""What supervisors change on the pages of administration; each change leaves a line in the audit log.

The rules are those of the packages below, as on the command line; here the line is written in the same transaction.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from desk import audit, operations, queries
from desk.audit import By
from desk.errors import AgentBusy, Conflict, NotThere, UsernameTaken, WeakPassword
from desk.models import Account, Role
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
    NewAgentForm,
    NewAreaForm,
    NewGroupForm,
)
from ivr import operations as agents_of_calls
from ivr import site
from ivr.config import CallsConfig
from ivr.errors import AgentRefused
from ivr.models import NOT_LEFT, Agent
from ivr.site import Kind
from tickets import areas, directory, levels
from tickets.directory_import import ImportRefused, ImportResult, ImportTable
from tickets.errors import InvalidInput
from tickets.models import AREAS, Area, Company, Contact, SupportGroup
from tickets.notices import Notices
from tickets.operations import take_from_leaver
from tickets.queries import companies as all_companies
from tickets.queries import contacts as found_contacts

FOUND = 50
"""So many contacts are listed at most; a site may have tens of thousands."""
_NOTED_AS: dict[Kind, str] = {"calendar": "hours", "queue": "queue", "line": "line"}
"""How the audit log calls them."""


class LastSupervisor(Conflict):
    """Somebody must be left who may do what supervisors do."""

    code = "last_supervisor"


class NotYourself(Conflict):
    """Who is logged in cannot take the own log-in or role away."""

    code = "not_yourself"


# ------------------------------------------------------------------------------------------------------------- agents


def people(session: Session) -> list[AgentAdminView]:
    """Everybody with a log-in, and agents without one, by name."""
    accounts = {account.username: account for account in session.scalars(select(Account))}
    found = {agent.username: agent for agent in session.scalars(select(Agent).where(NOT_LEFT))}
    views = [_person(username, accounts.get(username), found.get(username)) for username in {*accounts, *found}]
    return sorted(views, key=lambda view: (view.name.casefold(), view.username))


def person(session: Session, username: str) -> AgentAdminView:
    """One of them. Raises NotThere."""
    account = queries.account_by_username(session, username)
    agent = session.scalar(select(Agent).where(Agent.username == username, NOT_LEFT))
    if account is None and agent is None:
        raise NotThere(f"there is nobody with the user name {username!r}")
    return _person(username, account, agent)


def _person(username: str, account: Account | None, agent: Agent | None) -> AgentAdminView:
    return AgentAdminView(
        username=username,
        name=agent.name if agent is not None else username,
        endpoint=agent.endpoint if agent is not None else None,
        browser_phone=agent is not None and agent.browser_phone,
        queues=list(agent.queues) if agent is not None else [],
        role=account.role if account is not None else Role.AGENT,
        takes_calls=agent is not None,
        presence=agent.presence if agent is not None else None,
    )


def add_person(session: Session, config: CallsConfig, form: NewAgentForm, by: By, *, now: datetime) -> AgentAdminView:
    """Add somebody with a log-in; with a phone an agent who takes calls. Raises InvalidInput, Conflict."""
    username = form.username.lower()
    _check_queues(config, form.queues)
    agent_id = None
    if form.endpoint:
        with _told_at_its_field():
            agent_id = agents_of_calls.add_agent(
                session, username, form.name, form.endpoint, form.queues, browser_phone=form.browser_phone, now=now
            ).id
    elif form.role is not Role.SUPERVISOR:
        raise InvalidInput("endpoint", "is needed by who takes calls: only a supervisor does without", "missing")
    elif not agents_of_calls.is_username(username):
        raise InvalidInput("username", "has small letters and digits, with . _ - between them", "no_username")
    try:
        operations.create_account(session, username, form.password, role=form.role, agent_id=agent_id)
    except UsernameTaken as error:
        raise InvalidInput("username", "is taken", "taken") from error
    except WeakPassword as error:
        raise InvalidInput("password", str(error), "weak_password") from error
    view = person(session, username)
    audit.note(session, by, "agent_added", username, None, told_of_person(view), now=now)
    return view


def edit_person(
    session: Session, config: CallsConfig, username: str, form: AgentForm, by: By, *, now: datetime
) -> AgentAdminView:
    """Change what is given of somebody. Raises NotThere, InvalidInput, Conflict."""
    old = person(session, username)
    _check_queues(config, form.queues or ())
    if form.role is not None and form.role is not old.role:
        if username == by.actor:
            raise NotYourself
        _keep_a_supervisor(session, username)
        operations.set_role(session, username, form.role)
    if old.takes_calls:
        with _told_at_its_field():
            agents_of_calls.change_agent(
                session,
                username,
                name=form.name,
                endpoint=form.endpoint or None,
                queues=form.queues,
                browser_phone=form.browser_phone,
            )
    elif form.endpoint:
        with _told_at_its_field():
            agent = agents_of_calls.add_agent(
                session,
                username,
                form.name or username,
                form.endpoint,
                form.queues or (),
                browser_phone=bool(form.browser_phone),
                now=now,
            )
        account = queries.account_by_username(session, username)
        if account is not None:
            account.agent_id = agent.id
    session.flush()
    view = person(session, username)
    audit.note(session, by, "agent_edited", username, told_of_person(old), told_of_person(view), now=now)
    return view


def remove_person(
    session: Session, username: str, notices: Notices, reopen_within: timedelta, by: By, *, now: datetime
) -> None:
    """Take log-in, phone, queues and requests from somebody who leaves; the history keeps the name.

    Raises NotThere, Conflict.
    """
    old = person(session, username)
    if username == by.actor:
        raise NotYourself
    _keep_a_supervisor(session, username)
    if old.takes_calls:
        with _told_at_its_field():
            agents_of_calls.remove_agent(session, username, now=now)
    if queries.account_by_username(session, username) is not None:
        operations.remove_account(session, username)
    take_from_leaver(session, username, notices, now=now, reopen_within=reopen_within)
    audit.note(session, by, "agent_removed", username, told_of_person(old), None, now=now)


def set_password(session: Session, username: str, password: str, by: By, *, now: datetime) -> None:
    """Give somebody a new password, which ends all their log-ins. Raises NotThere, InvalidInput."""
    try:
        operations.set_password(session, username, password)
    except WeakPassword as error:
        raise InvalidInput("password", str(error), "weak_password") from error
    audit.note(session, by, "password_set", username, now=now)


@contextlib.contextmanager
def _told_at_its_field() -> Iterator[None]:
    try:
        yield
    except AgentRefused as error:
        if error.code == agents_of_calls.IN_CALL:
            raise AgentBusy(str(error)) from error
        raise InvalidInput(error.field, str(error), error.code) from error


def _check_queues(config: CallsConfig, wanted: Sequence[str]) -> None:
    if unknown := [queue for queue in wanted if queue not in config.queues]:
        raise InvalidInput("queues", f"there is no queue {unknown[0]!r}; there are {', '.join(config.queues)}")


def _keep_a_supervisor(session: Session, username: str) -> None:
    supervisors = set(
        session.scalars(select(Account.username).where(Account.role == Role.SUPERVISOR).with_for_update())
    )
    if supervisors == {username}:
        raise LastSupervisor


def told_of_person(view: AgentAdminView) -> dict[str, Any]:
    """What the audit log keeps of somebody."""
    return view.model_dump(mode="json", include={"name", "endpoint", "browser_phone", "queues", "role"})


# ---------------------------------------------------------------------------------------------------------- directory


def companies(session: Session) -> list[CompanyAdminView]:
    """All companies by name, with their level-0 desks."""
    return [_company(one) for one in all_companies(session)]


def add_company(session: Session, form: CompanyForm, by: By, *, now: datetime) -> CompanyAdminView:
    """Add a company. Raises InvalidInput, DuplicateEntry."""
    given = form.model_dump(exclude={"name", "phones"})
    view = _company(directory.add_company(session, form.name or "", form.phones or (), **given))
    audit.note(session, by, "company_added", view.name, None, view.model_dump(mode="json"), now=now)
    return view


def edit_company(session: Session, company_id: int, form: CompanyForm, by: By, *, now: datetime) -> CompanyAdminView:
    """Change what is given of a company. Raises InvalidInput, DuplicateEntry, NotFound."""
    known = session.get(Company, company_id)
    old = _company(known) if known is not None else None
    view = _company(directory.edit_company(session, company_id, form.model_dump(exclude_unset=True)))
    told = old.model_dump(mode="json") if old is not None else None
    audit.note(session, by, "company_edited", view.name, told, view.model_dump(mode="json"), now=now)
    return view


def _company(company: Company) -> CompanyAdminView:
    fields = ("id", "code", "name", "level_0_email", "level_0_phone", "level_0_hours")
    return CompanyAdminView(
        **{field: getattr(company, field) for field in fields}, phones=[phone.e164 for phone in company.phones]
    )


def contacts(session: Session, text: str) -> list[ContactAdminView]:
    """Contacts that hold every word of a text, at most `FOUND`."""
    return [_contact(one) for one in found_contacts(session, text, FOUND)] if text.strip() else []


def add_contact(session: Session, form: ContactForm, by: By, *, now: datetime) -> ContactAdminView:
    """Add a contact. Raises InvalidInput, DuplicateEntry, NotFound."""
    given = {field: value for field, value in form.model_dump().items() if value is not None}
    view = _contact(directory.add_contact(session, given.pop("name", ""), **given))
    audit.note(session, by, "contact_added", _named(view), now=now)
    return view


def edit_contact(session: Session, contact_id: int, form: ContactForm, by: By, *, now: datetime) -> ContactAdminView:
    """Change what is given of a contact. Raises InvalidInput, DuplicateEntry, NotFound.

    The audit log names the fields and not what is in them: it is kept longer than a contact may be.
    """
    old = _contact(directory.load_contact(session, contact_id)).model_dump()
    changes = form.model_dump(exclude_unset=True)
    view = _contact(directory.edit_contact(session, contact_id, changes, actor=by.actor, now=now))
    changed = [field for field, value in view.model_dump().items() if value != old[field]]
    if changed:
        audit.note(session, by, "contact_edited", _named(view), None, {"fields": sorted(changed)}, now=now)
    return view


def remove_contact(session: Session, contact_id: int, by: By, *, now: datetime) -> None:
    """Remove a contact to whom nothing belongs. Raises EntryInUse, NotFound."""
    view = _contact(directory.load_contact(session, contact_id))
    operations.remove_contact(session, contact_id)
    audit.note(session, by, "contact_removed", _named(view), now=now)


def _contact(contact: Contact) -> ContactAdminView:
    return ContactAdminView(
        id=contact.id,
        name=contact.name,
        user_code=contact.user_code,
        email=contact.email,
        emails=[one.address for one in contact.emails],
        phones=[phone.e164 for phone in contact.phones],
        language=contact.language,
        role=contact.role,
        company_id=contact.company_id,
        company_name=contact.company.name if contact.company is not None else None,
    )


def _named(view: ContactAdminView) -> str:
    """A contact in the audit log: by number, which says nothing any more once the contact is gone."""
    return f"contact {view.id}"


def import_table(
    session: Session,
    operation: Callable[..., ImportResult],
    table: ImportTable,
    act: str,
    by: By,
    *,
    dry_run: bool,
    now: datetime,
) -> ImportResult:
    """Bring a table into the directory, or tell what it would do; with any error nothing is stored."""
    if dry_run or table.errors:
        return operation(session, table, dry_run=True)
    try:
        result = operation(session, table)
    except ImportRefused as refused:
        session.rollback()
        return ImportResult(errors=list(refused.errors))
    counts = {"added": result.added, "changed": len(result.changes) - result.added}
    audit.note(session, by, act, "csv", None, counts, now=now)
    return result


# --------------------------------------------------------------------------------------------------- areas and groups


def all_areas(session: Session) -> list[AreaAdminView]:
    """All areas, also those not used any more: the built-in ones first, each followed by those below it."""
    rows = session.scalars(select(Area)).all()
    order = {key: place for place, key in enumerate(AREAS)}

    def place(row: Area) -> tuple[int, str, int, str]:
        top = row.parent or row.key
        return (order.get(top, len(order)), top, int(row.parent is not None), row.key)

    return [_area(row) for row in sorted(rows, key=place)]


def add_area(session: Session, form: NewAreaForm, by: By, *, now: datetime) -> AreaAdminView:
    """Add an area. Raises InvalidInput, DuplicateEntry, NotFound."""
    view = _area(areas.add_area(session, **form.model_dump()))
    audit.note(session, by, "area_added", view.key, None, view.model_dump(mode="json"), now=now)
    return view


def edit_area(session: Session, key: str, form: AreaForm, by: By, *, now: datetime) -> AreaAdminView:
    """Change what is given of an area. Raises InvalidInput, NotFound."""
    known = session.get(Area, key)
    old = _area(known).model_dump(mode="json") if known is not None else None
    changes = {field: value for field, value in form.model_dump(exclude_unset=True).items() if value is not None}
    view = _area(areas.edit_area(session, key, changes))
    audit.note(session, by, "area_edited", key, old, view.model_dump(mode="json"), now=now)
    return view


def _area(row: Area) -> AreaAdminView:
    fields = ("key", "name_it", "name_en", "parent", "active", "back_to_level_0")
    return AreaAdminView(**{field: getattr(row, field) for field in fields}, built_in=row.key in AREAS)


def all_groups(session: Session) -> list[GroupAdminView]:
    """All support groups, also those not used any more."""
    return [GroupAdminView.model_validate(one) for one in levels.support_groups(session, retired=True)]


def add_group(session: Session, form: NewGroupForm, by: By, *, now: datetime) -> GroupAdminView:
    """Add a support group. Raises InvalidInput, DuplicateEntry."""
    view = GroupAdminView.model_validate(levels.add_group(session, form.name, form.level, form.email or None))
    audit.note(session, by, "group_added", view.name, None, view.model_dump(mode="json"), now=now)
    return view


def edit_group(session: Session, group_id: int, form: GroupForm, by: By, *, now: datetime) -> GroupAdminView:
    """Change what is given of a group. Raises InvalidInput, DuplicateEntry, EntryInUse, NotFound."""
    known = session.get(SupportGroup, group_id)
    old = GroupAdminView.model_validate(known).model_dump(mode="json") if known is not None else None
    given = form.model_dump(exclude_unset=True).items()
    changes = {field: value for field, value in given if value is not None or field == "email"}
    view = GroupAdminView.model_validate(levels.edit_group(session, group_id, changes))
    audit.note(session, by, "group_edited", view.name, old, view.model_dump(mode="json"), now=now)
    return view


# -------------------------------------------------------------------------------------------- hours, queues and lines


def add_part(
    session: Session,
    base: CallsConfig,
    kind: Kind,
    name: str,
    definition: Mapping[str, Any],
    by: By,
    *,
    now: datetime,
) -> None:
    """Add a calendar, queue or line. Raises InvalidInput."""
    new = site.add_part(session, base, kind, name, definition, actor=by.actor, now=now)
    audit.note(session, by, f"{_NOTED_AS[kind]}_added", f"{kind} {name}", None, new, now=now)


def edit_part(
    session: Session,
    base: CallsConfig,
    kind: Kind,
    name: str,
    changes: Mapping[str, Any],
    by: By,
    *,
    seen: tuple[datetime | None] | None,
    now: datetime,
) -> None:
    """Edit a calendar, queue or line. Raises InvalidInput, SiteChanged."""
    old, new = site.edit_part(session, base, kind, name, changes, actor=by.actor, now=now, seen=seen)
    audit.note(session, by, f"{_NOTED_AS[kind]}_edited", f"{kind} {name}", old, new, now=now)


def take_part_back(session: Session, base: CallsConfig, kind: Kind, name: str, by: By, *, now: datetime) -> None:
    """Go back to what the settings file says, or remove what was added. Raises InvalidInput, StillUsed."""
    if name in site.added_names(session, base, kind):
        old = site.remove_part(session, base, kind, name, now=now)
        audit.note(session, by, f"{_NOTED_AS[kind]}_removed", f"{kind} {name}", old, None, now=now)
        return
    old, new = site.forget_edit(session, base, kind, name)
    audit.note(session, by, f"{_NOTED_AS[kind]}_edited", f"{kind} {name}", old, new, now=now)
