"""What a site promises: working time for pickup, first answer and solution, by kind, priority and channel."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schedules.hours import Calendar
from schedules.promises import PICKUP, Clock
from tickets.models import Channel, Kind
from tickets.notices import check_email

Priority = Annotated[int, Field(ge=1, le=5)]
Minutes = Annotated[int, Field(ge=0, le=100_000)]
"""Working minutes; 0: nothing is promised."""
Email = Annotated[str, AfterValidator(check_email)]


class Rule(BaseModel):
    """What is promised to requests of some kinds, priorities and channels; what is empty fits all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[Kind, ...] = ()
    priorities: tuple[Priority, ...] = ()
    """1 is the most urgent, 5 the least."""
    channels: tuple[Channel, ...] = ()
    pickup_minutes: Minutes | None = None
    first_answer_minutes: Minutes | None = None
    solution_minutes: Minutes | None = None

    def fits(self, kind: Kind, priority: int, channel: Channel) -> bool:
        """Whether the rule speaks of such requests."""
        return (
            (not self.kinds or kind in self.kinds)
            and (not self.priorities or priority in self.priorities)
            and (not self.channels or channel in self.channels)
        )

    def minutes(self, clock: Clock) -> int | None:
        """The working minutes of one clock; None: the rule does not speak of it."""
        return {
            Clock.PICKUP: self.pickup_minutes,
            Clock.FIRST_ANSWER: self.first_answer_minutes,
            Clock.SOLUTION: self.solution_minutes,
        }[clock]


CUSTOMERS_RULE = Rule(pickup_minutes=int(PICKUP.total_seconds() // 60))
"""Stands after a site's own rules: what nobody has in charge at once (voicemail, e-mail, fax and the like) is taken in
charge within the next working hour."""


class PromiseSettings(BaseModel):
    """The rules, when a warning is due, and who is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = ()
    calendar: str = ""
    """Opening hours of requests that came by no line, and of the mails to the desk's own people; the first line's when
    empty."""
    warn_share: float = Field(default=0.75, gt=0, le=1)
    """A warning is due when so much of the time is used up."""
    warn_minutes_before: int | None = Field(default=None, ge=1, le=100_000)
    """Instead: so many working minutes before the end."""
    agents: dict[str, Email] = {}
    """User name of an agent to the address for warnings."""
    levels: dict[Annotated[str, Field(pattern="^[0-3]$")], Email] = {}
    """Level to the address of its group, for requests that nobody holds."""
    supervisors: tuple[Email, ...] = ()
    """Told of every promise that is broken."""
    language: Literal["it", "en"] = "it"
    """Of the mails to the desk's own people."""

    def target(self, clock: Clock, kind: Kind, priority: int, channel: Channel) -> timedelta | None:
        """The working time of a clock: of the first rule that fits and speaks of it. None: nothing is promised."""
        for rule in (*self.rules, CUSTOMERS_RULE):
            if rule.fits(kind, priority, channel) and (minutes := rule.minutes(clock)) is not None:
                return timedelta(minutes=minutes) if minutes else None
        return None

    @property
    def warn_lead(self) -> timedelta | None:
        """The working time before the end at which a warning is due, where a site has given one."""
        return None if self.warn_minutes_before is None else timedelta(minutes=self.warn_minutes_before)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is promised to one request, and in which hours."""

    rules: PromiseSettings
    calendar: Calendar
