"""What the desk tells its pages: the JSON shapes of the API and of the live events.

Times are ISO 8601 in UTC; the page shows them in the site's time zone. Lengths are seconds. Phone numbers are E.164
where they could be read; `..._shown` is the same number as people read it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from desk.models import DismissReason, Role
from ivr.models import CallBackResult, CallBackWay, Outcome, Phase, Presence
from schedules.promises import Clock
from tickets.models import Channel, DeliveryState, Kind, MailResult, Status
from voicemail.models import MessageState, TranscriptState

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20_000)]
Language = Literal["it", "en"]
Area = Annotated[str, StringConstraints(min_length=1, max_length=40)]
"""A key of the table `area`; one that is not there, or not used any more, is refused with its field."""
OneOfThree = Annotated[int, Field(ge=1, le=3)]
"""1 high, 2, 3 low."""
NeededText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
PhoneText = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
TicketText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=40)]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ChangeView(_View):
    """One change that somebody made meanwhile; `fields` names what was edited."""

    at: datetime
    actor: str
    kind: str
    fields: list[str]


class Problem(_View):
    """An answer that is not what was asked for."""

    error: str
    """A code for programs."""
    message: str
    """Words for the person, in the person's language."""
    fields: dict[str, str] = {}
    """What is wrong with which field."""
    changes: list[ChangeView] = []
    """What others changed meanwhile, where that is why."""


class Health(_View):
    """Whether the line is in order."""

    asterisk: bool
    """Calls are taken and agents rung: the service is connected to Asterisk, and all calls are in hand."""
    database: bool
    """The database answers."""


class Liveness(_View):
    """Whether the process does its work; when it does not, it should be started again."""

    alive: bool
    standing_still: list[str]
    """The vital tasks that have given no sign of life for too long."""


class Readiness(Health):
    """Whether this worker takes new calls."""

    takes_calls: bool
    """It is connected and not leaving."""


# ---------------------------------------------------------------------------------------------------------- people


class Which(StrEnum):
    """The lists of requests."""

    OPEN = "open"
    MINE = "mine"
    """In charge of the reader."""
    UNTAKEN = "untaken"
    """Wait for somebody to take them."""
    WAITING = "waiting"
    """Wait for the user, or for a third party."""
    CLOSED = "closed"
    """Solved or cancelled in the last days."""
    ALL = "all"
    """Searched for, open ones before closed ones of any age, the newest first."""


class Order(StrEnum):
    """How a list stands."""

    DUE = "due"
    """By what is promised next, then by priority; closed ones by the time of closing, the latest first."""
    NEWEST = "newest"
    OLDEST = "oldest"
    PRIORITY = "priority"


class SavedFilter(_Input):
    """A list with what narrows it, under a name."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
    which: Which | Literal["work"] = "work"
    """`work`: what is to be taken here, and what the person has in charge."""
    level: Annotated[int | None, Field(ge=0, le=3)] = None
    q: Annotated[str, StringConstraints(max_length=200)] = ""
    days: Annotated[int, Field(ge=1, le=366)] = 14
    order: Order = Order.DUE


Key = Annotated[str, StringConstraints(min_length=1, max_length=1, pattern=r"^[^\s\x00-\x1f\x7f]$")]


class Keys(_Input):
    """The single keys that do something while nothing is typed (WCAG 2.1, 2.1.4: off, or others)."""

    on: bool = True
    next: Key = "j"
    previous: Key = "k"
    search: Key = "/"
    help: Key = "?"
    choose: Key = "x"

    @model_validator(mode="before")
    @classmethod
    def _one_that_is_free(cls, given: Any) -> Any:
        """Keys that were chosen before there was one to choose lines keep what they do."""
        if not isinstance(given, dict) or "choose" in given:
            return given
        taken = {str(key).lower() for key in given.values()}
        return {**given, "choose": next(key for key in "xsvbmg" if key not in taken)}

    @model_validator(mode="after")
    def _no_key_twice(self) -> Self:
        keys = [self.next, self.previous, self.search, self.help, self.choose]
        if len({key.lower() for key in keys}) < len(keys):
            raise ValueError("each key does one thing")
        return self


Column = Literal["company", "received", "priority", "area", "holder", "since"]


class Preferences(_Input):
    """What a person likes to see, and the keys."""

    filters: Annotated[list[SavedFilter], Field(max_length=30)] = []
    begin_with: Annotated[str | None, StringConstraints(max_length=40)] = None
    """The name of the filter that is there after log-in."""
    columns: list[Column] = ["company", "received", "priority", "area", "holder", "since"]
    """What the line of a list shows beside ticket number, subject, person and status."""
    keys: Keys = Keys()

    @field_validator("filters")
    @classmethod
    def _no_name_twice(cls, filters: list[SavedFilter]) -> list[SavedFilter]:
        if len({one.name.lower() for one in filters}) < len(filters):
            raise ValueError("two filters of one name")
        return filters


class Me(_View):
    """The person who is logged in."""

    username: str
    name: str
    role: Role
    language: str
    agent_id: int | None
    browser_phone: bool = False
    """Whether this person's phone is the one in the browser."""
    preferences: Preferences = Preferences()


class PhoneAccess(_View):
    """What the phone in the browser registers with."""

    url: str
    """The websocket: a path of this server, or an address."""
    name: str
    key: str
    """Good until the next one is made: when a page takes the phone, and when a log-in of the agent's ends."""


class AgentView(_View):
    """An agent as colleagues see them."""

    id: int
    username: str
    name: str
    queues: list[str]
    presence: Presence
    pause_reason: str | None
    """A code of the snapshot's `pause_reasons`, or the machine's: `missed_call`, `phone_unreachable`."""
    pause_after_call: str | None
    presence_since: datetime
    presence_by: str | None
    """The supervisor who put the agent into this state, or asked for the pause after the call."""
    wrap_up_until: datetime | None
    wrap_up_extended: int
    """How often this wrap-up was made longer."""
    code: str | None = None
    """The outcome code of the talk that is being wrapped up: of the snapshot's `outcome_codes`, or `timed_out`."""
    misses: int
    desk_connected: bool
    phone_reachable: bool
    call_id: str | None


class ClosureView(_View):
    """A closure opened at the desk."""

    id: int
    calendar: str | None
    words: str
    prompt: str | None
    begins_at: datetime
    ends_at: datetime | None
    opened_by: str
    ended_by: str | None


class CompanyView(_View):
    """An azienda."""

    id: int
    name: str


class ContactView(_View):
    """A user of the information system."""

    id: int
    name: str
    user_code: str | None
    email: str | None
    language: str
    company: CompanyView | None
    phones: list[str] = []
    phones_shown: list[str] = []


# ------------------------------------------------------------------------------------------------------- requests


class RequestView(_View):
    """A service request as a line of a list."""

    id: int
    ticket: str | None
    kind: Kind
    area: str
    channel: Channel
    impact: int
    urgency: int
    priority: int
    """1 (highest) to 5."""
    level: int
    group_name: str | None
    """The group of level 2 or 3 that has it."""
    status: Status
    subject: str
    contact_name: str | None
    company_name: str | None
    phone: str | None
    phone_shown: str | None
    holder: str | None
    held_since: datetime | None
    """Since when this agent, or this level or group without one, has it."""
    received_at: datetime
    opened_at: datetime
    pickup_due_at: datetime | None
    picked_up_at: datetime | None
    closed_at: datetime | None
    level_0_answered_at: datetime | None
    """When the company's own desk (level 0) answered, while nobody of this desk has done anything since."""
    version: int


class EventView(_View):
    """One line of a request's history."""

    id: int
    at: datetime
    actor: str
    kind: str
    details: dict[str, Any]


class NoticeView(_View):
    """A mail to the user about a request."""

    id: int
    kind: str
    recipient: str
    subject: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    sent_at: datetime | None
    last_error: str | None


class StoppedNotice(NoticeView):
    """A notice that goes nowhere by itself."""

    request_id: int | None
    ticket: str | None


class MailView(_View):
    """A mail that came in."""

    id: int
    received_at: datetime
    sender: str | None
    subject: str
    result: MailResult
    why: str
    """By what it was told, such as a header's name."""
    size: int
    """Bytes."""
    request_id: int | None
    ticket: str | None
    """Of the request that it belongs to, if it does."""


class FoundMails(_View):
    """Mails that fit what was asked for, the latest first."""

    mails: list[MailView]
    more: bool
    """There are more than were given."""


class MailFile(_View):
    """A file in a mail."""

    name: str
    media_type: str
    size: int
    """Bytes."""


class MailDetail(MailView):
    """A mail with what it says, as plain text."""

    author: str | None
    name: str
    text: str
    files: list[MailFile]
    error: str | None
    """What could not be read in it."""
    may_open: bool
    """It became no request, and one can be made of it."""


class NoticePreview(_View):
    """What a notice looks like."""

    kind: str
    sent: bool
    """Whether the site sends notices of this kind."""
    subject: str
    text: str
    html: str
    problems: dict[str, str]
    """The site's templates that failed, and why; the package's own were used."""


class NoticeRetry(_Input):
    """Sending a notice again; `recipient` where the address was wrong."""

    recipient: Email | None = None


class PromiseView(_View):
    """What was promised for a request by one clock, in the reader's language."""

    clock: Clock
    told_due_at: datetime
    """As it was told when the request was opened."""
    due_at: datetime | None
    """Moved by the times in which the user was asked; null while the user is asked."""
    met_at: datetime | None
    breached_at: datetime | None
    paused_since: datetime | None
    explanation: str
    as_now: str | None
    """What it would be in the opening hours of now, where that differs from what was told."""


class RequestLink(_View):
    """Another request that has to do with this one."""

    id: int
    ticket: str | None
    subject: str
    status: Status


class MoveView(_View):
    """A status to which the person may move the request now."""

    to: Status
    event: str
    """The kind of the line that the history gets: picked_up, asked, waiting, resumed, reopened ..."""
    text: Literal["question", "text", "solution"] | None
    """The text that it needs; None where one is not needed."""


LevelMove = Literal["escalate", "hand_back", "refer", "recall"]


class CompanyDesk(_View):
    """The own desk (level 0) of a company."""

    name: str
    email: str | None
    phone: str | None
    phone_shown: str | None
    hours: str | None


class AttachmentView(_View):
    """A file that belongs to a request."""

    id: int
    name: str
    media_type: str
    size: int
    """Bytes."""
    added_by: str
    created_at: datetime
    preview: Literal["image", "pdf"] | None
    """Whether it may be shown without being saved."""


class SyncView(_View):
    """How a request stands with another ticket system, such as Maximo."""

    connector: str
    standing: Literal["in_step", "waiting", "refused", "dead", "differs"]
    remote_id: str | None
    """Its number there, once it is known there."""
    waiting: int
    """Changes that are still to be told."""
    since: datetime | None
    error: str | None
    told_at: datetime | None
    differences: list[dict[str, str]]
    """Each has `field`, `here` and `there`."""


class SpokenView(_View):
    """A voicemail message of a request, with the words that count."""

    id: str
    started_at: datetime
    transcript: str | None
    corrected_by: str | None


class RequestDetail(RequestView):
    """A service request with all that is known of it."""

    description: str
    solution: str | None
    language: str
    email: str | None
    contact: ContactView | None
    events: list[EventView]
    notices: list[NoticeView]
    messages: list[SpokenView]
    promise: str | None
    """How the promised time came about, in the reader's language."""
    promises: list[PromiseView]
    group_id: int | None
    company_id: int | None
    company_desk: CompanyDesk | None
    moves: list[MoveView]
    """What the reader may do with it now."""
    level_moves: list[LevelMove]
    parent: RequestLink | None
    children: list[RequestLink]
    merged_into: RequestLink | None
    merged: list[RequestLink]
    """Those that were joined into this one."""
    follow_up_of: RequestLink | None
    follow_ups: list[RequestLink]
    attachments: list[AttachmentView]
    largest_attachment: int
    """Bytes that an attachment may have."""
    connectors: list[SyncView]


class AreaView(_View):
    """What a request may be about, in the reader's language."""

    key: str
    name: str
    parent: str | None
    active: bool
    """Whether requests may be given it."""
    back_to_level_0: bool


class GroupView(_View):
    """A group of specialists."""

    id: int
    name: str
    level: int


class Extract(_View):
    """Where in a request the words of a search are."""

    where: Literal["description", "solution", "history", "transcript", "contact"]
    text: str
    """Around the first of them; "…" stands for what is left out."""


class ListedRequest(RequestView):
    """A request of a list, with what is promised next."""

    due_at: datetime | None
    extract: Extract | None = None
    """Where a search found its words, when they are not in what a list shows anyway."""


class FoundRequests(_View):
    """Requests that fit what was asked for."""

    requests: list[ListedRequest]
    more: bool
    """There are more than were given."""
    words: list[str] = []
    """What was searched for, word by word, to be marked; each is a beginning, whatever its accents and capitals."""


class NewRequestForm(_Input):
    """The form beside a call. With a solution the request is opened and closed in one."""

    kind: Kind
    area: Area
    impact: OneOfThree = 2
    urgency: OneOfThree = 2
    subject: Words
    description: Text = ""
    solution: Text | None = None
    email: Email | None = None
    contact_id: int | None = None
    language: Language = "it"


class Draft(_Input):
    """The form as far as it is filled; nothing is required."""

    kind: Kind | None = None
    area: Area | None = None
    impact: OneOfThree | None = None
    urgency: OneOfThree | None = None
    subject: Annotated[str, StringConstraints(max_length=200)] = ""
    description: Annotated[str, StringConstraints(max_length=20_000)] = ""
    solution: Annotated[str, StringConstraints(max_length=20_000)] = ""
    email: Annotated[str, StringConstraints(max_length=254)] = ""
    contact_id: int | None = None
    language: Language | None = None


class PersonForm(_Input):
    """A person who is not in the directory yet, with a telephone."""

    name: Words
    user_code: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] | None = None
    email: Email | None = None
    phone: PhoneText | None = None
    company_id: int | None = None


class CounterForm(NewRequestForm):
    """A request that no call brought: in person at the counter, or by phone."""

    channel: Literal[Channel.IN_PERSON, Channel.PHONE]
    phone: PhoneText | None = None
    """Where to call back; the contact's first number where not given."""
    new_contact: PersonForm | None = None
    """In place of `contact_id`."""
    follow_up_of_id: int | None = None
    """The request, closed for too long to be reopened, that this one follows."""


class Versioned(_Input):
    """A change of a request as it was read: refused when someone else changed it since."""

    version: int | None = None


class CloseForm(Versioned):
    """Closing a request."""

    solution: NeededText


class CallBackForm(_Input):
    """Calling a user back: whose phone rings first, and a number other than the one that is known."""

    first: Literal["agent", "contact"] = "agent"
    number: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] | None = None


class CallBackView(_View):
    """An attempt to call a user back; `result` is there when it is sure how it went."""

    id: str
    request_id: int | None
    message_id: str | None
    call_id: str | None
    way: CallBackWay
    asked_by: str
    number: str
    asked_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    result: CallBackResult | None
    note: str | None


class NoteForm(_Input):
    """A note in a request's history."""

    text: NeededText


class MoveForm(Versioned):
    """Moving a request to another status."""

    to: Status
    text: Text = ""
    """The question to the user, for whom it waits, the solution, why it is cancelled."""


class EditForm(Versioned):
    """Changing fields of a request: only those that are given; null takes an address, a number or a person away."""

    kind: Kind | None = None
    area: Area | None = None
    impact: OneOfThree | None = None
    urgency: OneOfThree | None = None
    subject: Words | None = None
    description: Text | None = None
    language: Language | None = None
    holder: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)] | None = None
    email: Email | None = None
    phone: PhoneText | None = None
    contact_id: int | None = None
    company_id: int | None = None

    @field_validator("kind", "area", "impact", "urgency", "subject", "description", "language", "holder", mode="before")
    @classmethod
    def _stays(cls, value: object) -> object:
        if value is None:
            raise ValueError("cannot be taken away")
        return value

    def changes(self) -> dict[str, Any]:
        """The fields that were given."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"version"}}


class EscalateForm(Versioned):
    """Giving a request to a group of specialists."""

    group_id: int
    reason: NeededText
    handover: NeededText
    """What is known and what was tried."""


MOST_AT_ONCE = 50
"""So many requests at most are changed by one click: more than anybody has looked at."""


class ChosenRequest(Versioned):
    """One of several requests, as it was read."""

    id: int


class SeveralForm(_Input):
    """What is done with each of several requests."""

    requests: Annotated[list[ChosenRequest], Field(min_length=1, max_length=MOST_AT_ONCE)]
    act: Literal["take", "note", "escalate", "close"]
    text: Text = ""
    """The note, the solution, or why they are given on; only taking needs none."""
    group_id: int | None = None
    """To which group they are given on."""
    handover: Text = ""
    """What is known and what was tried, of those that are given on."""

    @field_validator("requests")
    @classmethod
    def _none_twice(cls, requests: list[ChosenRequest]) -> list[ChosenRequest]:
        if len({one.id for one in requests}) < len(requests):
            raise ValueError("one of them is there twice")
        return requests


class OneOfSeveral(_View):
    """What became of one of several requests."""

    id: int
    done: bool
    error: str = ""
    """A code for programs, where it was not done."""
    message: str = ""
    """Why not, in the person's words."""


class SeveralDone(_View):
    """What became of each of several requests, in their order."""

    results: list[OneOfSeveral]


class LogInView(_View):
    """One log-in of the person who asks."""

    id: str
    """To end it; says nothing of its cookie."""
    browser: str | None
    """What the browser calls itself; None: not known."""
    address: str | None
    since: datetime
    used_at: datetime
    """To within a minute."""
    this: bool
    """It is the one that asks."""


class ReferForm(Versioned):
    """Sending a request back to the own desk of its company."""

    reason: NeededText


class BackForm(Versioned):
    """Bringing a request back to level 1."""

    note: NeededText


class OtherRequestForm(Versioned):
    """Another request, by its ticket number."""

    ticket: TicketText


# ------------------------------------------------------------------------------------------------------- messages


class WordView(_View):
    """A recognised word; `start` and `end` in seconds of the audio, confidence from 0 to 1."""

    word: str
    start: float = 0.0
    end: float = 0.0
    confidence: float = 1.0


class MessageView(_View):
    """A voicemail message as a line of a list."""

    id: str
    state: MessageState
    caller: str | None
    caller_shown: str | None
    callback: str | None
    callback_shown: str | None
    contact_name: str | None
    company_name: str | None
    line: str
    line_name: str
    language: str
    area: str | None
    started_at: datetime
    seconds: float | None
    speech_seconds: float | None
    has_audio: bool
    transcript_state: TranscriptState
    transcript_error: str | None
    transcript: str | None
    """The words that count: those recognised, or those of the last correction."""
    corrections: int
    """How often it was corrected; a correction says which of them it knew."""
    corrected_at: datetime | None
    """When and by whom the words that count were written; None where they are those recognised."""
    corrected_by: str | None
    numbers: list[str]
    heard_at: datetime | None
    heard_by: str | None
    request: RequestView | None


class MessageDetail(MessageView):
    """A message with its words."""

    words: list[WordView]
    """Those recognised, which stay whatever is corrected."""
    corrected_words: list[list[WordView]]
    """Of a corrected transcript line by line, each with its place in the audio; empty where nothing was recognised."""
    promise: str | None
    """How the promised time came about, in the reader's language."""
    others: list[RequestView]
    """Other open requests of who called: it may tell the same as one of them."""


class CorrectionForm(_Input):
    """The words of a message as a person heard them; no text gives back what was recognised."""

    text: NeededText | None
    corrections: Annotated[int, Field(ge=0)]
    """`corrections` of the message as it was read: refused when someone else corrected it since."""


class WaveformView(_View):
    """How loud a message is over its length: stretches of equal length, each 0 to 100 (full scale)."""

    seconds: float
    loudness: list[int]


class HeardForm(_Input):
    """Several messages at once."""

    ids: list[str] = Field(max_length=500)


# ---------------------------------------------------------------------------------------------------------- calls


class WaitingView(_View):
    """A caller in the waiting line."""

    id: str
    caller: str | None
    caller_shown: str | None
    caller_name: str | None
    contact_name: str | None
    line: str
    line_name: str
    language: str
    choice: str | None
    queue: str | None
    priority: int
    phase: Phase
    queued_at: datetime | None
    started_at: datetime


class PopState(StrEnum):
    """Where the call of a pop stands, as its agent sees it."""

    RINGING = "ringing"
    TALKING = "talking"
    CONSULTED = "consulted"
    """A colleague asks this agent about the caller, and may hand the call over."""
    RETURNING = "returning"
    """The phone in the browser was lost: the caller hears music, and it rings again as soon as it is there."""
    ENDED = "ended"


class Pop(_View):
    """All an agent needs at pick-up: who calls, since when, about what, and the form."""

    call_id: str
    state: PopState
    caller: str | None
    caller_shown: str | None
    caller_name: str | None
    confidence: str
    """known, probable, several, unknown or withheld."""
    reason: str
    """Why the caller is believed to be who is shown."""
    contacts: list[ContactView]
    company: CompanyView | None
    open_requests: list[RequestView]
    recent_requests: list[RequestView]
    on_hold: bool
    listened_by: str | None
    """The supervisor who listened to this talk."""
    consulting: bool
    """The agent has a second call: rings or asks someone to whom the call may be handed over."""
    third_away: bool
    """In a second call: whom it is with still rings (while the caller is on hold) or hears music."""
    attempts_today: int
    choice: str | None
    queue: str | None
    line: str
    line_name: str
    language: str
    started_at: datetime
    queued_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    outcome: Outcome | None
    draft: Draft
    request: RequestView | None
    """The request the call is bound to, once it is."""


class SavedRequest(_View):
    """A request that was just registered: the ticket is told to the caller at once."""

    request: RequestView


class AttachForm(_Input):
    """Binding a call to a request that exists."""

    request_id: int
    note: Text = ""


class DismissForm(_Input):
    """Putting a call aside without a request."""

    reason: DismissReason


class NewContact(_Input):
    """A person who is not in the directory yet."""

    name: Words
    user_code: Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)] | None = None
    email: Email | None = None
    company_id: int | None = None


class IdentifyForm(_Input):
    """Who is calling: a known contact or a new one. The number is remembered as theirs."""

    contact_id: int | None = None
    new: NewContact | None = None


class TransferForm(_Input):
    """Where a call goes: `agent:<id>`, `queue:<name>` or `number:<digits>`."""

    target: Annotated[str, StringConstraints(pattern=r"^(agent:\d{1,10}|queue:[^\s:]{1,40}|number:\+?[0-9*#]{1,32})$")]
    attended: bool = False


class PauseForm(_Input):
    """A pause and why, one of the snapshot's `pause_reasons`; those that the machine sets are not for people."""

    reason: Code


class CodeForm(_Input):
    """How a talk went: one of the snapshot's `outcome_codes`."""

    code: Code


class Credentials(_Input):
    """A log-in."""

    username: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
    password: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class LanguageForm(_Input):
    """The language of the pages."""

    language: Language


class AlarmView(_View):
    """Something that supervisors have to look after."""

    id: int
    kind: str
    subject: str
    words: dict[str, str]
    """By language: it is sent to all pages alike."""
    sounded_at: datetime


class LabelView(_View):
    """Something to choose, in both languages."""

    code: str
    it: str
    en: str


class MissedView(_View):
    """A call that nobody served, and that waits for somebody to look after it."""

    id: str
    to_do_since: datetime
    owner: str | None


class Own(_View):
    """What only this page shows at first: with `Shared` it is its snapshot, which numbered events then change."""

    me: Me
    now: datetime
    """The server's time: the page counts waiting times by it, whatever its own clock says."""
    timezone: str
    """The site's, such as `Europe/Rome`: the page shows times in it, wherever its browser is."""
    pops: list[Pop]
    alarms: list[AlarmView]
    """Only for supervisors."""
    listening: bool
    """Whether supervisors may listen to talks here."""


class Shared(_View):
    """What every page shows at first."""

    agents: list[AgentView]
    waiting: list[WaitingView]
    messages: list[MessageView]
    requests: list[RequestView]
    missed: list[MissedView]
    closures: list[ClosureView]
    """Those opened at the desk that hold or are to come."""
    queues: list[str]
    outcome_codes: list[LabelView]
    pause_reasons: list[LabelView]
    wrap_up_extensions: int
    """So often a wrap-up may be made longer."""
    pages: str
    """The version of the pages' files: a page of another one should be loaded anew."""
