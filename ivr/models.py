"""The tables of calls and of the agents who take them."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tickets.database import Base, UTCDateTime, enum_column, index_of_some


class Phase(enum.StrEnum):
    """The bookmark of a call: which step it is in, written when the step begins."""

    GREETING = "greeting"
    MENU = "menu"
    WAITING = "waiting"
    RINGING = "ringing"
    TALKING = "talking"
    MESSAGE = "message"
    ENDED = "ended"


class Outcome(enum.StrEnum):
    """How a call ended; every call has exactly one."""

    ANSWERED = "answered"
    VOICEMAIL = "voicemail"
    ABANDONED_GREETING = "abandoned_greeting"
    ABANDONED_MENU = "abandoned_menu"
    ABANDONED_QUEUE = "abandoned_queue"
    ABANDONED_MESSAGE = "abandoned_message"
    FALLBACK = "fallback"
    """Recorded by the dialplan while the service was down."""
    ABANDONED_FALLBACK = "abandoned_fallback"
    """Hung up in the dialplan's greeting, or after its beep without a word: there is no message."""
    CALLBACK = "callback"
    """No message could be recorded: a request to call back was made instead."""
    TURNED_AWAY = "turned_away"
    """No message could be recorded, and nobody to call back was known: the caller was asked to call again."""
    TICKET_TOLD = "ticket_told"
    """The caller heard how a request stands, and wanted nothing else."""
    FAX = "fax"
    """A fax came in, or the pages of it until it broke off: there is a request."""
    FAX_FAILED = "fax_failed"
    """A fax machine called, and no page came; also until it is known how the fax went."""
    NOT_REACHED = "not_reached"
    """We called back, and did not get through."""
    FAILED = "failed"
    LOST = "lost"
    """The Asterisk that carried it was lost; it is open again if it turns out to have gone on."""


ABANDONED = (
    Outcome.ABANDONED_GREETING,
    Outcome.ABANDONED_MENU,
    Outcome.ABANDONED_QUEUE,
    Outcome.ABANDONED_MESSAGE,
)
"""The caller hung up while the service had the call."""

UNSERVED = frozenset({*ABANDONED, Outcome.ABANDONED_FALLBACK, Outcome.TURNED_AWAY, Outcome.FAILED, Outcome.LOST})
"""Nobody served the caller to the end, and nothing was left to work on: somebody should call back."""

OF_DIALPLAN = (Outcome.FALLBACK, Outcome.ABANDONED_FALLBACK, Outcome.FAX, Outcome.FAX_FAILED)
"""The dialplan had the call at its end: its times are Asterisk's own."""


class Presence(enum.StrEnum):
    """What an agent is doing."""

    OFFLINE = "offline"
    FREE = "free"
    RINGING = "ringing"
    TALKING = "talking"
    WRAP_UP = "wrap_up"
    PAUSED = "paused"


class PauseReason(enum.StrEnum):
    """Why the machine pauses an agent; the reasons of people are the site's (`CallsConfig.pause_reasons`)."""

    MISSED_CALL = "missed_call"
    PHONE_UNREACHABLE = "phone_unreachable"


class OfferResult(enum.StrEnum):
    """What became of ringing one agent for one call."""

    ANSWERED = "answered"
    MISSED = "missed"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    WITHDRAWN = "withdrawn"
    """The caller left, or another agent was faster."""


TIMED_OUT = "timed_out"
"""The outcome code of a talk for which the agent chose none before the wrap-up was over."""


class DoneReason(enum.StrEnum):
    """Why nothing is left to do for a call that nobody served."""

    CALLED_BACK = "called_back"
    """The caller was called back and answered; also set by the machine."""
    CALLED_AGAIN = "called_again"
    NOT_NEEDED = "not_needed"
    NOT_REACHED = "not_reached"
    """The caller was called back several times, and never answered."""
    WRONG_NUMBER = "wrong_number"


class Agent(Base):
    """A person who takes calls, or did: one who has left has no phone any more, but stays in the history of calls."""

    __tablename__ = "agent"

    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    endpoint: Mapped[str | None] = mapped_column(String(80), unique=True)
    """The phone, such as `PJSIP/101`; None: the agent has left."""
    queues: Mapped[list[str]] = mapped_column(JSON, default=list)
    presence: Mapped[Presence] = mapped_column(enum_column(Presence), default=Presence.OFFLINE, index=True)
    pause_reason: Mapped[str | None] = mapped_column(String(32))
    """A code of the site's, or one of `PauseReason`."""
    pause_after_call: Mapped[str | None] = mapped_column(String(32))
    """A pause asked for during a call: it begins when the call and its wrap-up are over."""
    presence_since: Mapped[datetime] = mapped_column(UTCDateTime)
    presence_by: Mapped[str | None] = mapped_column(String(64))
    """The supervisor who put the agent into this state; None: the agent or the machine did."""
    free_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Idle time counts from here: the longest idle agent is served first."""
    wrap_up_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    wrap_up_extended: Mapped[int] = mapped_column(default=0)
    """How often this wrap-up, or the last one, was made longer."""
    misses: Mapped[int] = mapped_column(default=0)
    """Offers missed in a row."""
    desks: Mapped[list[str]] = mapped_column(JSON, default=list)
    """The workers (by their Stasis application) at which pages of this agent are open."""
    desk_connected: Mapped[bool] = mapped_column(default=False)
    """Whether there is such a worker; on its own, since every decision asks it."""
    phone_reachable: Mapped[bool] = mapped_column(default=False)
    phone_node: Mapped[str] = mapped_column(String(40), default="")
    """The node at which the phone is registered, or was last; empty where there is only one Asterisk."""
    browser_phone: Mapped[bool] = mapped_column(default=False)
    """The phone is the one in the browser: this service makes its keys (see `ivr.browser_phones`)."""
    phone_key: Mapped[str | None] = mapped_column(String(64))
    """What the browser phone registers with now; another one each time a page takes the phone."""
    phone_ready_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When a page last said that its phone is registered."""
    call_id: Mapped[str | None] = mapped_column(String(32))
    """The call this agent is ringing for, talking in, or wrapping up; no foreign key, since calls point to agents."""


NOT_LEFT = Agent.endpoint.is_not(None)
"""The condition for an agent who has not left."""


class Call(Base):
    """One call that reached the line, from its first second to its outcome."""

    __tablename__ = "call"
    __table_args__ = (
        Index("ix_call_phase_queued", "phase", "queued_at"),
        Index("ix_call_caller_started", "caller", "started_at"),
        index_of_some("ix_call_open", "ended_at IS NULL", "app"),
        index_of_some("ix_call_to_do", "to_do_since IS NOT NULL", "to_do_since"),
        Index("ix_call_outcome_started", "outcome", "started_at"),
        index_of_some("ix_call_without_outcome", "outcome IS NULL AND ended_at IS NOT NULL", "ended_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel_id: Mapped[str] = mapped_column(String(150), index=True)
    """Asterisk's id of the caller's channel."""
    app: Mapped[str] = mapped_column(String(80))
    """The Stasis application that holds the channel, after its node and a slash where there are several Asterisks;
    whoever holds its lease serves the call."""
    line: Mapped[str] = mapped_column(String(40))
    """The dialled number."""
    caller: Mapped[str | None] = mapped_column(String(64))
    """The caller's number, E.164 where it could be read; None when withheld."""
    caller_name: Mapped[str | None] = mapped_column(String(120))
    contact_id: Mapped[int | None] = mapped_column(ForeignKey("contact.id"))
    language: Mapped[str] = mapped_column(String(5))
    phase: Mapped[Phase] = mapped_column(enum_column(Phase))
    outcome: Mapped[Outcome | None] = mapped_column(enum_column(Outcome))
    outcome_note: Mapped[str | None] = mapped_column(Text)
    """Why, in words, where the outcome alone does not tell."""
    choice: Mapped[str | None] = mapped_column(String(40))
    """The area chosen in the menu."""
    queue: Mapped[str | None] = mapped_column(String(40))
    priority: Mapped[int] = mapped_column(default=0)
    """Higher is served first."""
    started_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    queued_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the first agent answered."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    agent_id: Mapped[int | None] = mapped_column(ForeignKey("agent.id"))
    """The agent who talks or talked last."""
    agent_channel_id: Mapped[str | None] = mapped_column(String(150))
    bridge_id: Mapped[str | None] = mapped_column(String(64))
    on_hold: Mapped[bool] = mapped_column(default=False)
    """The caller hears music in the middle of a talk."""
    consulting: Mapped[bool] = mapped_column(default=False)
    """The agent has a second call: asks someone (or rings them) to whom the call may be handed over."""
    third_away: Mapped[bool] = mapped_column(default=False)
    """In a second call: whom it is with is not in the talk, but still rings or hears music."""
    listened_by: Mapped[str | None] = mapped_column(String(64))
    """The supervisor who listened to the talk, or joined it, last."""
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"), index=True)
    message_id: Mapped[str | None] = mapped_column(ForeignKey("message.id"))
    outbound: Mapped[bool] = mapped_column(default=False)
    """We call back: `caller` is whom we call, and the channel is theirs, once they are called."""
    tickets_keyed: Mapped[int] = mapped_column(default=0)
    """How many ticket numbers the caller has keyed, right or wrong."""
    draft: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """The request form as the agent has filled it so far: it survives a reload of the page."""
    to_do_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Since when it waits for somebody to look after it, as nobody served the caller; None: it does not (any more).
    One whose number was withheld never does, since nobody could be called back."""
    owner: Mapped[str | None] = mapped_column(String(64))
    """User name of who looks after it, or has."""
    owned_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    done_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    done_by: Mapped[str | None] = mapped_column(String(64))
    done_reason: Mapped[DoneReason | None] = mapped_column(enum_column(DoneReason))
    offers: Mapped[list["Offer"]] = relationship(back_populates="call", order_by="Offer.offered_at")


class CallRecord(Base):
    """One call from the telephone network as Asterisk's own records tell it (see `ivr.ledger`)."""

    __tablename__ = "call_record"
    __table_args__ = (index_of_some("ix_call_record_unsettled", "settled_at IS NULL", "started_at"),)

    channel_id: Mapped[str] = mapped_column(String(150), primary_key=True)
    """Asterisk's unique id of the caller's channel, by which the call's own row is found."""
    line: Mapped[str] = mapped_column(String(40))
    """The dialled number."""
    caller: Mapped[str | None] = mapped_column(String(64))
    """The caller's number as Asterisk knew it, kept only until the call has its own row."""
    fallback: Mapped[bool] = mapped_column()
    """Whether the dialplan had the call in hand."""
    started_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    recording_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the dialplan began to record."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    end_unwritten: Mapped[bool] = mapped_column()
    """Asterisk has no such channel any more and wrote no end: `ended_at` is when that was seen."""
    settled_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the ended call was compared with its row, or got one."""


class CallRecordFile(Base):
    """How far a file of Asterisk's records has been read."""

    __tablename__ = "call_record_file"

    path: Mapped[str] = mapped_column(String(500), primary_key=True)
    offset: Mapped[int] = mapped_column(BigInteger)
    """Bytes."""
    tail: Mapped[str] = mapped_column(String(400))
    """The last bytes read, in hexadecimal: by them the file is known again when it was renamed."""
    unreadable: Mapped[int] = mapped_column()
    """Lines so far that were no records."""
    read_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When all that was there had been read."""


class Lease(Base):
    """A Stasis application in the hands of one worker, for as long as the worker renews it (see `ivr.leases`)."""

    __tablename__ = "lease"

    app: Mapped[str] = mapped_column(String(80), primary_key=True)
    """As in `Call.app`."""
    holder: Mapped[str] = mapped_column(String(32))
    """The worker: a random name that it gave itself when it started."""
    beats: Mapped[int] = mapped_column()
    """Raised by the holder each second."""
    adopted: Mapped[bool] = mapped_column()
    """Whether the application bears another worker's name, whose calls the holder has taken over."""
    takes_calls: Mapped[bool] = mapped_column()
    """Whether the holder takes new calls under this name."""


class NodeBeat(Base):
    """That an Asterisk is reached: a counter which every worker raises that is connected with it (see `ivr.nodes`)."""

    __tablename__ = "node_beat"

    node: Mapped[str] = mapped_column(String(40), primary_key=True)
    beats: Mapped[int] = mapped_column()


class CallCommand(Base):
    """What a desk asks of a call that another worker serves; forgotten as soon as the desk has the answer."""

    __tablename__ = "call_command"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"))
    name: Mapped[str] = mapped_column(String(40))
    """Such as hold or blind_transfer."""
    target: Mapped[str] = mapped_column(String(80))
    asked_at: Mapped[datetime] = mapped_column(UTCDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    refused: Mapped[str | None] = mapped_column(Text)
    """Why it was not possible; None: it was carried out."""


class SyntheticResult(Base):
    """How a synthetic call went; kept for a month."""

    __tablename__ = "synthetic_result"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    steps: Mapped[dict[str, int]] = mapped_column(JSON)
    """Milliseconds of each step that was done, in the order of `ivr.synthetic_call.STEPS`."""
    failed: Mapped[str | None] = mapped_column(String(20))
    """The step that failed; None: all went well."""
    why: Mapped[str | None] = mapped_column(Text)


RUNG_IN_VAIN = "result IN ('missed', 'rejected', 'unreachable')"
"""The SQL condition for an offer that its agent did not answer; as text, by which SQLite knows its index again."""


class Offer(Base):
    """One agent's phone ringing for one call."""

    __tablename__ = "offer"
    __table_args__ = (
        Index("ix_offer_agent_offered", "agent_id", "offered_at"),
        # With the agent: SQLite might else search through all that an agent was ever offered.
        Index("ix_offer_call_agent", "call_id", "agent_id"),
        index_of_some("ix_offer_in_vain", RUNG_IN_VAIN, "offered_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Also the id of the agent's channel."""
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"))
    agent_id: Mapped[int] = mapped_column(ForeignKey("agent.id"))
    endpoint: Mapped[str] = mapped_column(String(130))
    """The agent's phone at that time, as the caller's Asterisk dials it: by way of another node it is
    `PJSIP/101@centralino-node-NAME`."""
    offered_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True)
    result: Mapped[OfferResult | None] = mapped_column(enum_column(OfferResult))
    code: Mapped[str | None] = mapped_column(String(40))
    """What the agent said of the talk when it was over: one of the site's outcome codes, or `TIMED_OUT`."""
    call: Mapped[Call] = relationship(back_populates="offers")


class Fax(Base):
    """A fax that came in, whole or not."""

    __tablename__ = "fax"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Made from Asterisk's id of the call, so that the same files are filed once."""
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), index=True)
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"), index=True)
    """None: no page came."""
    station: Mapped[str] = mapped_column(String(64))
    """What the sender's machine called itself; empty where it said nothing."""
    pages: Mapped[int] = mapped_column()
    failure: Mapped[str | None] = mapped_column(Text)
    """Why it is not whole; None: it is."""
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class CallBackWay(enum.StrEnum):
    """Who is called first when somebody is called back."""

    AGENT = "agent"
    """The agent who asked for it, and the user once the agent has picked up."""
    CONTACT = "contact"
    """The user, and the agent once the user has picked up."""
    LINE = "line"
    """An agent who is free when the place in the waiting line comes up, which the caller has kept; then the caller."""


class CallBackResult(enum.StrEnum):
    """How an attempt to call back went; with any but the first the user is still to be called."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    WRONG_NUMBER = "wrong_number"
    NO_AGENT = "no_agent"
    """No agent's phone was answered."""
    WITHDRAWN = "withdrawn"
    """The agent hung up before the user answered, or the user was called in another way meanwhile."""
    FAILED = "failed"


class CallBack(Base):
    """One attempt to call a user back."""

    __tablename__ = "call_back"
    __table_args__ = (index_of_some("ix_call_back_open", "ended_at IS NULL", "asked_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    request_id: Mapped[int | None] = mapped_column(ForeignKey("request.id"), index=True)
    """What it is about; its history tells how it went."""
    message_id: Mapped[str | None] = mapped_column(ForeignKey("message.id"))
    """The message that it answers, if any."""
    asked_in_call: Mapped[str | None] = mapped_column(ForeignKey("call.id"), index=True)
    """The call in which the caller asked for it."""
    call_id: Mapped[str | None] = mapped_column(ForeignKey("call.id"), index=True)
    """The call that was made."""
    for_call_id: Mapped[str | None] = mapped_column(ForeignKey("call.id"), index=True)
    """The call that nobody had served."""
    way: Mapped[CallBackWay] = mapped_column(enum_column(CallBackWay))
    agent_id: Mapped[int | None] = mapped_column(ForeignKey("agent.id"))
    """Who asked for it, or who was rung."""
    asked_by: Mapped[str] = mapped_column(String(64))
    """User name of the agent, or `system`."""
    number: Mapped[str] = mapped_column(String(64))
    """Whom to call, E.164 where it could be read."""
    line: Mapped[str] = mapped_column(String(40))
    """The line in whose name it is."""
    queue: Mapped[str] = mapped_column(String(40))
    priority: Mapped[int] = mapped_column(default=0)
    queued_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Since when the caller has the place in line that is kept."""
    asked_at: Mapped[datetime] = mapped_column(UTCDateTime)
    begun_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When a worker took it up."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was sure how it went: for one that was answered, the beginning of the talk."""
    result: Mapped[CallBackResult | None] = mapped_column(enum_column(CallBackResult))
    note: Mapped[str | None] = mapped_column(Text)
    """Why, in words, where the result alone does not tell."""


class ClosedNow(Base):
    """A closure that a supervisor opened at the desk, beside those of the settings file (see `ivr.site`)."""

    __tablename__ = "closed_now"
    __table_args__ = (index_of_some("ix_closed_now_open", "ends_at IS NULL", "begins_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    calendar: Mapped[str | None] = mapped_column(String(80))
    """The calendar that it closes; None: all of them."""
    words: Mapped[str] = mapped_column(String(200))
    """Why, for people."""
    prompt: Mapped[str | None] = mapped_column(String(200))
    """The prompt that says why to callers."""
    begins_at: Mapped[datetime] = mapped_column(UTCDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UTCDateTime, index=True)
    """None: it goes on until somebody ends it."""
    opened_by: Mapped[str] = mapped_column(String(64))
    ended_by: Mapped[str | None] = mapped_column(String(64))


class SiteEdit(Base):
    """A part of the calls' settings as it was edited or added at the desk (see `ivr.site`)."""

    __tablename__ = "site_edit"

    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    """One of `ivr.site.KINDS`."""
    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    """Of the calendar or queue, the number of the line."""
    added: Mapped[bool] = mapped_column(default=False, server_default=false())
    """The settings file has nothing of this name."""
    definition: Mapped[dict[str, Any]] = mapped_column(JSON)
    edited_by: Mapped[str] = mapped_column(String(64))
    edited_at: Mapped[datetime] = mapped_column(UTCDateTime)
