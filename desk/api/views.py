"""The JSON shapes of the API for other programs. Times are ISO 8601 with their offset from UTC."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from tickets.models import Channel, Kind, Status

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(max_length=20_000)]
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.-]{1,40}$")]
Short = Annotated[str, StringConstraints(min_length=1, max_length=254)]
OfThree = Annotated[int, Field(strict=True, ge=1, le=3)]
Id = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]


def _in_reach(at: datetime) -> datetime:
    if not 2000 <= at.year <= 2200:
        raise ValueError("must be between the years 2000 and 2200")
    return at.astimezone(UTC)


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_View):
    """An answer that is not what was asked for (RFC 9457)."""

    type: str
    """`urn:centralino:` and the code."""
    title: str
    status: int
    code: str
    """For programs; it stays the same from version to version."""
    detail: str
    """For people, in English."""
    fields: dict[str, str] = {}
    """What is wrong with which field."""


class ApiCompany(_View):
    """An azienda."""

    id: int
    name: str
    code: str | None


class ApiContact(_View):
    """A user of the information system."""

    id: int
    name: str
    user_code: str | None
    email: str | None
    language: str
    company: ApiCompany | None
    phones: list[str]
    """E.164 where they could be read."""


class ApiEvent(_View):
    """One line of a request's history."""

    id: int
    at: datetime
    actor: str
    """User name of an agent, `system`, or `api:` and the name of a program."""
    kind: str
    text: str | None
    """What somebody wrote: a note, a question, an answer, a solution, a reason."""


class ApiRequest(_View):
    """A service request (RdS)."""

    ticket: str
    kind: Kind
    area: str
    channel: Channel
    priority: int
    """1 (highest) to 5."""
    level: int
    """Who has it: 0 the company's own desk, 1 this desk, 2 and 3 a group of specialists."""
    status: Status
    subject: str
    description: str
    solution: str | None
    language: str
    contact_id: int | None
    contact_name: str | None
    company_name: str | None
    email: str | None
    phone: str | None
    holder: str | None
    """User name of the agent who has it in charge."""
    group: str | None
    received_at: datetime
    opened_at: datetime
    pickup_due_at: datetime | None
    picked_up_at: datetime | None
    closed_at: datetime | None
    updated_at: datetime
    """Of the latest line of its history."""
    version: int


class ApiRequestDetail(ApiRequest):
    """A service request with its history."""

    events: list[ApiEvent]


class ApiRequests(_View):
    """A page of requests, those changed longest ago first."""

    requests: list[ApiRequest]
    next: str | None
    """The cursor of the next page; None on the last."""
    as_of: datetime
    """Ask next time for what was `updated_since` this: some requests may come twice, none is missed."""


class RequestsAsked(_Input):
    """Which requests are asked for."""

    updated_since: Annotated[AwareDatetime, AfterValidator(_in_reach)] | None = Field(
        None, description="With an offset from UTC, such as `Z`."
    )
    status: list[Status] = Field([], max_length=20, description="May be given several times.")
    cursor: str | None = Field(None, max_length=200, description="`next` of the page before.")
    limit: int = Field(100, ge=1, le=200)


class ContactsAsked(_Input):
    """Which contacts are asked for."""

    q: Short | None = Field(None, description="Words of the name, the user code, the address or the company.")
    user_code: Short | None = None
    email: Short | None = None
    phone: Short | None = None


class NewApiRequest(_Input):
    """A request to open. The user is a contact of the directory, or an address or number where the user is reached."""

    kind: Kind
    area: Key
    """A key of the site's areas, such as `application`."""
    subject: Line
    description: Text = ""
    language: Literal["it", "en"] = "it"
    impact: OfThree = 2
    """How many it hits: 1 many, 2 some, 3 one."""
    urgency: OfThree = 2
    """How long it can wait: 1 not at all, 2 not long, 3 it can wait."""
    follow_up_of: Annotated[str, StringConstraints(max_length=60)] | None = None
    """The ticket number of a request, closed for too long to go on, that this one follows."""
    contact_id: Id | None = None
    user_code: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] | None = None
    """The contact's log-in name in the information system, in place of `contact_id`."""
    email: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=254)] | None = None
    """Where notices go, when it is not the contact's address."""
    phone: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] | None = None


class NewNote(_Input):
    """A note: for those who work on the request, not for the user."""

    text: Said


class NewReply(_Input):
    """The user's answer: a request that waits for the user goes on, one that was closed lately is opened again."""

    text: Said
