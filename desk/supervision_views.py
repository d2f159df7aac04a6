"""What supervisors are shown and may send: closures, moves, the audit log, and the pages of administration."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from desk.models import AuditEntry, Role
from desk.views import Words
from ivr.models import Presence
from ivr.site import Kind
from tickets.models import ContactRole

Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
Short = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)]
Username = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


# ----------------------------------------------------------------------------------------------------------- steering


class PresenceForm(_Input):
    """What an agent is to do: `free` only ends what a supervisor began."""

    presence: Literal["free", "paused", "offline"]
    reason: Annotated[str, StringConstraints(max_length=40)] | None = None
    """A code of the site's, needed for a pause."""


class MoveForm(_Input):
    """Where a waiting call goes."""

    target: Annotated[str, StringConstraints(pattern=r"^(head|queue:.{1,40}|agent:[0-9]{1,9})$", max_length=60)]


class ListenForm(_Input):
    """How a supervisor takes part in a talk: hears it, is heard by the agent alone, or by both."""

    mode: Literal["hear", "whisper", "join"]


class ClosureForm(_Input):
    """A closure: why, for how long, and what callers hear."""

    words: Words
    calendar: Short | None = None
    """None: all calendars."""
    prompt: Line | None = None
    begins_at: AwareDatetime | None = None
    """None: at once."""
    ends_at: AwareDatetime | None = None
    """None: until somebody ends it."""


class ClosureEnd(_Input):
    """When a closure ends; None: now."""

    ends_at: AwareDatetime | None = None


class PromptView(_View):
    """A sound that callers may hear, with its words; none are known of the site's own."""

    name: str
    it: str | None
    en: str | None


class ClosureChoices(_View):
    """What a closure may close, and what may be said of it."""

    calendars: list[str]
    prompts: list[PromptView]


# ---------------------------------------------------------------------------------------------------------- audit log


class AuditView(_View):
    """One line of the audit log."""

    id: int
    at: datetime
    actor: str
    act: str
    subject: str
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    source: str


class AuditPage(_View):
    """Lines, the latest first; `more_before` goes on with the older ones."""

    entries: list[AuditView]
    more_before: int | None


def audit_page(found: Sequence[AuditEntry], limit: int) -> AuditPage:
    """Lines as a page."""
    more = found[-1].id if len(found) == limit else None
    return AuditPage(entries=[AuditView.model_validate(one) for one in found], more_before=more)


# ----------------------------------------------------------------------------------------------------- administration


class AgentAdminView(_View):
    """An agent, or a supervisor without a phone, as administration shows them."""

    username: str
    name: str
    endpoint: str | None
    browser_phone: bool
    """The phone is the one in the browser."""
    queues: list[str]
    role: Role
    takes_calls: bool
    presence: Presence | None


class NewAgentForm(_Input):
    """A new person at the desk; without a phone a supervisor who takes no calls."""

    username: Username
    name: Words
    password: Password
    role: Role = Role.AGENT
    endpoint: Short | None = None
    browser_phone: bool = False
    queues: list[Short] = []


class AgentForm(_Input):
    """What is changed of an agent; what is not given stays."""

    name: Words | None = None
    role: Role | None = None
    endpoint: Short | None = None
    browser_phone: bool | None = None
    queues: list[Short] | None = None


class PasswordForm(_Input):
    """A new password; all log-ins of the person end."""

    password: Password


class CompanyAdminView(_View):
    """A company with its level-0 desk."""

    id: int
    code: str | None
    name: str
    phones: list[str]
    level_0_email: str | None
    level_0_phone: str | None
    level_0_hours: str | None


class CompanyForm(_Input):
    """A company; of one that is there only what is given changes, and an empty text takes a value away."""

    name: Line | None = None
    code: Short | None = None
    phones: list[Short] | None = Field(default=None, max_length=50)
    level_0_email: Line | None = None
    level_0_phone: Short | None = None
    level_0_hours: Line | None = None


class ContactAdminView(_View):
    """A contact with all that is kept of them."""

    id: int
    name: str
    user_code: str | None
    email: str | None
    emails: list[str]
    phones: list[str]
    language: str
    role: ContactRole
    company_id: int | None
    company_name: str | None


class ContactForm(_Input):
    """What is changed of a contact; what is not given stays, and an empty text takes a value away."""

    name: Line | None = None
    user_code: Short | None = None
    email: Line | None = None
    phones: list[Short] | None = Field(default=None, max_length=50)
    language: Literal["it", "en"] | None = None
    role: ContactRole | None = None
    company_id: int | None = None


class ImportChangeView(_View):
    """What a line does: `fields` that change, None where the entry is new."""

    line: int
    name: str
    fields: list[str] | None


class ImportView(_View):
    """What a table would do, or has done; with any error nothing is stored."""

    stored: bool
    encoding: str
    added: int
    changed: int
    unchanged: int
    errors: list[tuple[int, str]]
    changes: list[ImportChangeView]
    left_out: int
    """Errors and changes beyond those listed."""


class AreaAdminView(_View):
    """An area of requests."""

    key: str
    name_it: str
    name_en: str
    parent: str | None
    active: bool
    back_to_level_0: bool
    built_in: bool


class NewAreaForm(_Input):
    """A new area."""

    key: Short
    name_it: Line
    name_en: Line
    parent: Short | None = None
    back_to_level_0: bool = False


class AreaForm(_Input):
    """What is changed of an area."""

    name_it: Line | None = None
    name_en: Line | None = None
    parent: Short | None = None
    active: bool | None = None
    back_to_level_0: bool | None = None


class GroupAdminView(_View):
    """A support group."""

    id: int
    name: str
    level: int
    email: str | None
    active: bool


class NewGroupForm(_Input):
    """A new support group."""

    name: Line
    level: Annotated[int, Field(ge=2, le=3)]
    email: Line | None = None


class GroupForm(_Input):
    """What is changed of a group."""

    name: Line | None = None
    level: Annotated[int, Field(ge=2, le=3)] | None = None
    email: Line | None = None
    active: bool | None = None


class PartView(_View):
    """A calendar, queue or line: as it is in force, and as the settings file has it."""

    kind: Kind
    name: str
    definition: dict[str, Any]
    of_file: dict[str, Any] | None
    """None: it was added at the desk."""
    edited_by: str | None
    edited_at: datetime | None
    in_force: bool
    """False: it was added, and does not fit a settings file that has changed since."""


class PartForm(_Input):
    """Fields of a calendar, queue or line, as the settings file writes them; the others stay."""

    definition: Annotated[dict[str, Any], Field(max_length=40)]
    edited_at: datetime | None = None
    """Of what was looked at: where it is given, an edit that somebody else has made since is not overwritten."""


class NewPartForm(_Input):
    """A new calendar, queue or line, as the settings file would write it."""

    name: Short
    """Of a line the number that is dialled."""
    definition: Annotated[dict[str, Any], Field(max_length=40)]
