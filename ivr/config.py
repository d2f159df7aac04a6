"""What a site describes of its calls: lines, menus and queues (part of the settings file)."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ivr.models import TIMED_OUT, PauseReason
from schedules.hours import Calendar
from tickets.models import AREAS
from tickets.notices import check_email

Language = Literal["it", "en"]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def _check_key(key: str) -> str:
    if re.fullmatch(r"[0-9*#]", key) is None:
        raise ValueError(f"{key!r} is no key of a telephone: 0 to 9, * or #")
    return key


def _check_number(number: str) -> str:
    if re.fullmatch(r"\+?[0-9]{1,32}", number) is None:
        raise ValueError(f"{number!r} is no dialled number: digits only, perhaps a + before them, no spaces")
    return number


Key = Annotated[str, AfterValidator(_check_key)]


OUTSIDE_NUMBER = re.compile(r"\+?[0-9]{3,15}")
"""E.164 at most; no `*` and `#`, which would be commands to the network, such as diverting the trunk."""

FieldPath = tuple[int | str, ...]
"""The way to a field, as in pydantic's `loc`."""


def wrong_fields(problems: Sequence[tuple[FieldPath, str]]) -> PydanticCustomError:
    """An error for a check of several fields together: which are wrong (seen from the model checked), and why."""
    text = "; ".join(f"{'.'.join(map(str, path))}: {words}" for path, words in problems)
    return PydanticCustomError("wrong_fields", "{text}", {"text": text, "problems": list(problems)})


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(_Config):
    """What one key of a menu leads to."""

    area: str | None = None
    """Area of the request, such as `credentials`."""
    queue: str | None = None
    """Queue to wait in, when it is not the line's."""
    priority: int = 0
    """Higher is served first."""
    ticket: bool = False
    """The caller keys a ticket number and hears how that request stands."""

    @model_validator(mode="after")
    def _area_exists(self) -> Self:
        if self.area is not None and self.area not in AREAS:
            raise ValueError(f"area {self.area!r} does not exist; it is one of {', '.join(AREAS)}")
        return self


class Menu(_Config):
    """A spoken menu: one prompt, one key."""

    prompt: str = "menu-main"
    choices: dict[Key, Choice] = Field(min_length=1)
    timeout_seconds: Seconds = 5.0


class Queue(_Config):
    """How callers wait and agents are rung."""

    ring_seconds: Seconds = 20.0
    ring_agents: int = Field(default=1, ge=1, le=20)
    """How many free agents ring at once for one call; the first to answer has it."""
    max_wait_seconds: Seconds = 180.0
    """After this the caller is offered to leave a message."""
    max_waiting: int | None = Field(default=None, ge=1, le=10_000)
    """So many callers wait at most; the next one is asked for a message at once. None: no limit."""
    announce_seconds: Seconds = 45.0
    """Pause between two announcements of the position."""
    wrap_up_seconds: float = Field(default=30.0, ge=0, le=3600)
    return_seconds: float = Field(default=30.0, ge=0, le=600)
    """An agent's browser phone that is lost in a call may come back for so long, while the caller hears music."""
    misses_before_pause: int = Field(default=1, ge=1, le=20)
    """After this many calls missed in a row the agent is paused."""
    when_no_agents: Literal["message", "wait"] = "message"
    """What a caller gets when no agent is on duty: the offer of a message at once, or the waiting line."""
    call_back: bool = False
    """Whether a waiting caller may choose to be called back, keeping the place in line; needs `outbound_endpoint`."""
    call_backs_per_agent: float = Field(default=1.0, gt=0, le=20)
    """So many callers for each agent on duty may wait to be called back; further ones are not offered it."""
    call_back_hours: float = Field(default=4.0, gt=0, le=72)
    """A place in line is kept for so long; afterwards the request remains, and an agent calls when there is time."""


class MessageLimits(_Config):
    """Limits of a voicemail message; always set, since Asterisk's own default is no limit at all."""

    max_seconds: int = Field(default=180, ge=5, le=1800)
    max_silence_seconds: int = Field(default=10, ge=2, le=120)


class Line(_Config):
    """A dialled number with its hours, words and way."""

    number: Annotated[str, AfterValidator(_check_number)]
    name: str = Field(min_length=1)
    calendar: str
    queue: str
    language: Language = "it"
    greeting: str = "welcome"
    closed_greeting: str = "welcome-closed"
    notice: str = "notice"
    """Information on data processing, played before every recording."""
    menu: Menu | None = None
    fax: bool = False
    """A number for faxes only."""


class Label(_Config):
    """One thing to choose at the desk: a code that is stored, and how it is called."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    it: str = Field(min_length=1, max_length=60)
    en: str = Field(min_length=1, max_length=60)


def _labels(*rows: tuple[str, str, str]) -> tuple[Label, ...]:
    return tuple(Label(code=code, it=italian, en=english) for code, italian, english in rows)


OUTCOME_CODES = _labels(
    ("solved", "Risolto al telefono", "Solved on the phone"),
    ("registered", "Richiesta registrata", "Request registered"),
    ("information", "Informazione data", "Information given"),
    ("status", "Sollecito o stato di una richiesta", "Status of a request"),
    ("passed_on", "Passato ad altri", "Passed on"),
    ("not_ours", "Non di nostra competenza", "Not for this desk"),
    ("line_dropped", "Caduta la linea", "The line dropped"),
    ("wrong_number", "Numero sbagliato", "Wrong number"),
)
PAUSE_REASONS = _labels(
    ("break", "riposo", "break"),
    ("meeting", "riunione", "meeting"),
    ("training", "formazione", "training"),
    ("back_office", "lavoro d'ufficio", "back office"),
    ("technical", "problema tecnico", "technical problem"),
)


class SyntheticCallConfig(_Config):
    """The service calls itself and leaves a message, to see that all of it works (`ivr.synthetic_call`)."""

    every_minutes: int = Field(default=0, ge=0, le=1440)
    """0: only when asked for."""
    line: str = ""
    """The number called; the first line's when empty."""
    mail_to: Annotated[str, AfterValidator(check_email)] | None = None
    """An address of the site's own that gets the notice; None: no notice is written."""


class CallsConfig(_Config):
    """Everything a call needs to know about the site. Names that point nowhere are refused at start.

    All parts of the service hold the same one: what supervisors edit at the desk replaces its calendars, queues and
    lines while it runs (`ivr.site`). A queue or calendar may go away under a call that has read its name before: what
    serves calls asks by `queue_named` and `calendar_named`, which always know one.
    """

    model_config = ConfigDict(frozen=False)

    calendars: dict[str, Calendar]
    queues: dict[str, Queue]
    lines: list[Line] = Field(min_length=1)
    message: MessageLimits = MessageLimits()
    synthetic_call: SyntheticCallConfig = SyntheticCallConfig()
    outcome_codes: tuple[Label, ...] = Field(default=OUTCOME_CODES, min_length=1, max_length=15)
    """What an agent may say of a call that is over; who says nothing in time gets `TIMED_OUT`."""
    pause_reasons: tuple[Label, ...] = Field(default=PAUSE_REASONS, min_length=1, max_length=15)
    """Why an agent may pause, beside the machine's own reasons."""
    wrap_up_extensions: int = Field(default=2, ge=0, le=20)
    """So often an agent may make one wrap-up longer."""
    wrap_up_extension_seconds: Seconds = 60.0
    """By so much each time."""
    outbound_endpoint: str | None = None
    """Where calls to outside numbers go, such as `PJSIP/{number}@trunk`; None: transfers outside are refused."""
    outbound_allowed: tuple[str, ...] = ()
    """Regular expressions; an outside number must match one of them as a whole. None given: no number is allowed,
    since a stolen log-in could otherwise call premium numbers at the site's cost."""

    @model_validator(mode="after")
    def _names_point_somewhere(self) -> Self:
        if problems := list(self.problems()):
            raise wrong_fields(problems)
        return self

    def problems(self) -> Iterator[tuple[FieldPath, str]]:
        """What does not fit together: where, and why."""
        numbers: set[str] = set()
        for index, line in enumerate(self.lines):
            path: FieldPath = ("lines", index)
            if line.number in numbers:
                yield (*path, "number"), f"the number {line.number} is described twice"
            numbers.add(line.number)
            if line.calendar not in self.calendars:
                yield (*path, "calendar"), _nowhere("calendar", line.calendar, self.calendars)
            if line.queue not in self.queues:
                yield (*path, "queue"), _nowhere("queue", line.queue, self.queues)
            for key, choice in line.menu.choices.items() if line.menu else ():
                if choice.queue is not None and choice.queue not in self.queues:
                    yield (*path, "menu", "choices", key, "queue"), _nowhere("queue", choice.queue, self.queues)
        for name, queue in self.queues.items():
            if queue.call_back and (self.outbound_endpoint is None or not self.outbound_allowed):
                words = "callers can be called back only where there is a way out: outbound_endpoint, outbound_allowed"
                yield ("queues", name, "call_back"), words
        for field, labels, taken in (
            ("outcome_codes", self.outcome_codes, {TIMED_OUT}),
            ("pause_reasons", self.pause_reasons, set(PauseReason)),
        ):
            codes: set[str] = {str(code) for code in taken}
            for index, label in enumerate(labels):
                if label.code in codes:
                    yield (field, index, "code"), f"{label.code!r} is given twice, or is the machine's own"
                codes.add(label.code)
        if self.synthetic_call.line and self.synthetic_call.line not in numbers:
            yield ("synthetic_call", "line"), _nowhere("line", self.synthetic_call.line, numbers)
        for index, pattern in enumerate(self.outbound_allowed):
            try:
                re.compile(pattern)
            except re.error as error:
                yield ("outbound_allowed", index), f"{pattern!r} is no regular expression: {error}"
        if self.outbound_endpoint is not None and "{number}" not in self.outbound_endpoint:
            yield ("outbound_endpoint",), "must hold {number}, for example PJSIP/{number}@trunk"

    def prompts(self) -> Iterator[tuple[FieldPath, str, Language]]:
        """Every prompt that the settings name: where, its name, a language it is played in. An empty name is none."""
        for index, line in enumerate(self.lines):
            for field in ("greeting", "closed_greeting", "notice"):
                if name := getattr(line, field):
                    yield ("lines", index, field), name, line.language
            if line.menu:
                yield ("lines", index, "menu", "prompt"), line.menu.prompt, line.language
        for calendar_name, calendar in self.calendars.items():
            languages = sorted({line.language for line in self.lines if line.calendar == calendar_name})
            for index, closure in enumerate(calendar.closures):
                path: FieldPath = ("calendars", calendar_name, "closures", index, "prompt")
                yield from ((path, closure.prompt, language) for language in languages if closure.prompt)

    def may_be_called(self, number: str) -> bool:
        """Whether calls may be transferred to an outside number."""
        return self.outbound_endpoint is not None and any(
            re.fullmatch(pattern, number) for pattern in self.outbound_allowed
        )

    def dialled(self, number: str) -> str | None:
        """A number as it may be dialled to the outside, where it is known as E.164; None where that is not allowed.

        Tried in this order: as it is, as Italy dials it (without +39), with 00 for the +.
        """
        ways = (number, number.removeprefix("+39"), f"00{number.removeprefix('+')}" if number[:1] == "+" else number)
        return next((way for way in ways if OUTSIDE_NUMBER.fullmatch(way) and self.may_be_called(way)), None)

    def line(self, number: str) -> Line | None:
        """The line of a dialled number; None when nobody described it."""
        return next((line for line in self.lines if line.number == number), None)

    def calendar_of(self, number: str) -> Calendar:
        """The opening hours of a line; the first line's for a number that is no longer described."""
        line = self.line(number) or self.lines[0]
        return self.calendars[line.calendar]

    def calendar_named(self, name: str) -> Calendar:
        """Opening hours by name; the first line's for a name that is no longer described."""
        return self.calendars.get(name) or self.calendars[self.lines[0].calendar]

    def queue_named(self, name: str) -> Queue:
        """A queue by name; one with the usual times for a name that is no longer described."""
        return self.queues.get(name) or Queue()


def _nowhere(what: str, name: str, known: Iterable[str]) -> str:
    return f"there is no {what} {name!r}; the settings describe {', '.join(known) or 'none'}"
