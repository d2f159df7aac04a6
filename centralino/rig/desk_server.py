"""A desk without telephony: the real application on a free port, a fresh database, people and calls to show."""

import asyncio
import contextlib
import functools
import socket
import tempfile
import uuid
import wave
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import uvicorn
from sqlalchemy.orm import Session

from centralino.migrate import migrate
from desk.app import create_app
from desk.live import Live
from desk.models import Role
from desk.operations import create_account
from desk.settings import DeskSettings
from ivr.config import CallsConfig, Line, Queue
from ivr.errors import CommandRefused
from ivr.flow.call import CommandName
from ivr.models import Agent, Call, Offer, OfferResult, Outcome, Phase, Presence
from ivr.operations import add_agent, answer_offer, begin_call, end_call, join_queue
from ivr.site import Site
from schedules.hours import Calendar
from schedules.pulse import Pulse
from tickets.attachments import AttachmentSettings, AttachmentStore
from tickets.database import Database, announce
from tickets.directory import add_contact, company_named
from tickets.intake import Intake, IntakeSettings, MailStore
from tickets.lifecycle import RequestSettings
from tickets.models import Channel, Contact, Kind, Request
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, open_request
from voicemail.audio import KeptAudio
from voicemail.models import Message
from voicemail.operations import begin_message, file_message, store_transcript
from voicemail.transcript import Transcript, Word

PASSWORD = "correct horse battery"  # noqa: S105 - of invented people
LINE = "0805551000"
HOSTILE = '<img src=x onerror="window.hacked=1">\'"{{7*7}}</script>\u202e ☎'
"""Text that becomes code where it is not treated as text."""

EVERY_DAY = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
CALLS = CallsConfig(
    calendars={"desk": Calendar(name="desk", weekly=dict.fromkeys(EVERY_DAY, ("00:00-24:00",)), holidays=False)},
    queues={"desk": Queue(), "specialists": Queue()},
    lines=[Line(number=LINE, name="Help Desk Edotto", calendar="desk", queue="desk")],
)


class Clock:
    """The time, which a test may move forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Give the time now, moved forward by `ahead`."""
        return datetime.now(UTC) + self.ahead


class Control:
    """Takes the desk's commands in place of a switchboard."""

    def __init__(self) -> None:
        self.commands: list[tuple[CommandName, str, str]] = []
        self.refuse = False
        self.in_service = True
        self.takes_calls = True

    async def command(self, call_id: str, name: CommandName, target: str = "") -> None:
        """Note the command."""
        if self.refuse:
            raise CommandRefused("not now")
        self.commands.append((name, call_id, target))


class DeskServer:
    """The desk's application, served; everything it stands on is real but for the switchboard."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.audio = folder / "audio"
        self.now = Clock()
        self.control = Control()
        self.stood_still = 0.0
        """Seconds for which the vital task has given no sign of life."""
        self.pulse = Pulse(60.0, clock=lambda: self.stood_still)
        self.notices = Notices(NoticeSettings(desk_name="Help Desk", sender="desk@example.org"))
        self.attachment_limits = AttachmentSettings(largest_mb=1)
        self.request_rules = RequestSettings()
        self.calls = CALLS.model_copy()
        self.settings = DeskSettings(**({"secure_cookie": False, "grace_seconds": 0.0} | settings))
        self.database = Database(f"sqlite:///{folder / 'desk.db'}")
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.audio.mkdir(parents=True, exist_ok=True)
        self._stack.push_async_callback(self.database.close)
        await asyncio.to_thread((self.folder / "desk.db").write_bytes, _tables())
        self.site = await self._stack.enter_async_context(Site(self.database, self.calls, self.now))
        self.live = await self._stack.enter_async_context(
            Live(
                self.database,
                self.calls,
                self.settings,
                worker="centralino",
                timezone=self.notices.settings.timezone,
                now=self.now,
            )
        )
        attachments = AttachmentStore(self.folder / "attachments")
        self.intake = Intake(
            self.database,
            MailStore(self.folder / "mail"),
            attachments,
            IntakeSettings(),
            self.notices,
            None,
            self.now,
            self.request_rules.reopen_within,
        )
        self.app = create_app(
            self.database,
            self.live,
            self.control,
            self.notices,
            self.calls,
            self.audio,
            self.settings,
            vital={"decisions": self.pulse},
            now=self.now,
            attachments=attachments,
            attachment_limits=self.attachment_limits,
            request_rules=self.request_rules,
            intake=self.intake,
            site=self.site,
        )
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self.app, log_level="warning", ws="websockets-sansio", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        self._stack.push_async_callback(self._stop, serving)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _stop(self, serving: "asyncio.Task[None]") -> None:
        self._server.should_exit = True
        await serving

    @contextlib.asynccontextmanager
    async def browser(self, username: str | None = None, password: str = PASSWORD) -> AsyncIterator[httpx.AsyncClient]:
        """A client as a browser is one: JSON, an Origin, and a log-in where a user name is given."""
        headers = {"content-type": "application/json", "origin": self.url}
        async with httpx.AsyncClient(base_url=f"{self.url}/api", headers=headers) as client:
            if username is not None:
                answer = await client.post("/session", json={"username": username, "password": password})
                answer.raise_for_status()
            yield client

    # ---- people and work

    async def agent(
        self,
        username: str,
        name: str = "",
        *,
        presence: Presence = Presence.OFFLINE,
        language: str = "it",
        browser_phone: bool = False,
    ) -> int:
        """An agent with an account."""
        name = name or username.title()
        return await self.database.run(_agent, username, name, presence, language, browser_phone, now=self.now())

    async def supervisor(self, username: str) -> None:
        """A supervisor, who takes no calls."""
        await self.database.run(create_account, username, PASSWORD, role=Role.SUPERVISOR)

    async def contact(
        self, name: str, *, phone: str = "+390805551234", company: str | None = None, email: str | None = None
    ) -> int:
        """Somebody in the directory."""
        return await self.database.run(_contact, name, phone, company, email)

    async def waiting_call(
        self, caller: str | None = "+390805551234", *, choice: str | None = None, waited: float = 40.0
    ) -> str:
        """A call in the waiting line."""
        call_id = uuid.uuid4().hex[:12]
        at = self.now() - timedelta(seconds=waited)
        await self.database.run(_waiting, call_id, caller, choice, now=at)
        return call_id

    async def ring(self, call_id: str, agent_id: int, *, pop: bool = True) -> str:
        """The agent's phone is about to ring for a waiting call; gives the offer's id."""
        offer_id = await self.database.run(_offer, call_id, agent_id, now=self.now())
        if pop:
            await self.live.pop(agent_id, call_id)
        return offer_id

    async def answer(self, offer_id: str) -> None:
        """The agent answers."""
        await self.database.run(_answer, offer_id, now=self.now())

    async def hang_up(self, call_id: str) -> None:
        """The call is over."""
        await self.database.run(end_call, call_id, Outcome.ANSWERED, wrap_up_seconds=30.0, now=self.now())

    async def missed_call(self, caller: str | None = "+390805551234", *, waited: float = 40.0) -> str:
        """A call whose caller hung up while waiting."""
        call_id = await self.waiting_call(caller, waited=waited)
        await self.database.run(end_call, call_id, Outcome.ABANDONED_QUEUE, now=self.now())
        return call_id

    async def request(self, subject: str, **fields: Any) -> Request:
        """A request, by phone unless said otherwise."""
        known: dict[str, Any] = {
            "kind": Kind.PROBLEM,
            "area": "application",
            "channel": Channel.PHONE,
            "subject": subject,
            "received_at": self.now(),
        }
        new = NewRequest(**(known | fields))
        return await self.database.run(open_request, new, self.notices, now=self.now())

    async def message(
        self,
        message_id: str,
        words: str = "",
        *,
        due: timedelta = timedelta(minutes=40),
        caller: str | None = "+390805551234",
        contact_id: int | None = None,
        seconds: float = 6.0,
        speech: float = 5.0,
        language: str = "it",
    ) -> Message:
        """A message with audio (a tone); with `words` it is transcribed, each third word doubtful."""
        path = self.audio / f"{message_id}.wav"
        await asyncio.to_thread(_tone, path, seconds)
        await self.database.run(
            _message,
            message_id,
            words,
            self.notices,
            KeptAudio(path=path.name, sha256="0" * 64, seconds=seconds, speech_seconds=speech),
            caller,
            contact_id,
            language,
            due=self.now() + due,
            now=self.now(),
        )
        return await self.database.read(_get_message, message_id)


@functools.cache
def _tables() -> bytes:
    """A database with all tables and no rows."""
    with tempfile.TemporaryDirectory() as folder:
        migrate(f"sqlite:///{folder}/empty.db")
        return Path(folder, "empty.db").read_bytes()


def _agent(
    session: Session,
    username: str,
    name: str,
    presence: Presence,
    language: str,
    browser_phone: bool,
    *,
    now: datetime,
) -> int:
    agent = add_agent(session, username, name, f"PJSIP/{username}", ["desk"], browser_phone=browser_phone, now=now)
    agent.presence, agent.phone_reachable = presence, True
    agent.free_since = now
    create_account(session, username, PASSWORD, role=Role.AGENT, agent_id=agent.id, language=language)
    return agent.id


def _contact(session: Session, name: str, phone: str, company: str | None, email: str | None) -> int:
    found = company_named(session, company) if company else None
    contact: Contact = add_contact(session, name, phones=[phone], email=email, company_id=found.id if found else None)
    return contact.id


def _waiting(session: Session, call_id: str, caller: str | None, choice: str | None, *, now: datetime) -> None:
    begin_call(
        session,
        call_id=call_id,
        app="centralino",
        channel_id=call_id,
        line=LINE,
        language="it",
        caller=caller,
        now=now,
    )
    session.flush()
    join_queue(session, call_id, "desk", priority=0, choice=choice, now=now)


def _offer(session: Session, call_id: str, agent_id: int, *, now: datetime) -> str:
    agent, call = session.get_one(Agent, agent_id), session.get_one(Call, call_id)
    agent.presence, agent.presence_since, agent.call_id = Presence.RINGING, now, call_id
    call.phase = Phase.RINGING
    offer = Offer(id=uuid.uuid4().hex[:12], call_id=call_id, agent_id=agent_id, endpoint=agent.endpoint, offered_at=now)
    session.add(offer)
    announce(session, "agent", agent_id)
    announce(session, "call", call_id)
    return offer.id


def _answer(session: Session, offer_id: str, *, now: datetime) -> None:
    answer_offer(session, session.get_one(Offer, offer_id), bridge_id="bridge", now=now)


def withdraw(session: Session, offer_id: str, *, now: datetime) -> None:
    """Another agent was faster, or the caller left."""
    offer = session.get_one(Offer, offer_id)
    offer.ended_at, offer.result = now, OfferResult.WITHDRAWN
    announce(session, "call", offer.call_id)


def _message(
    session: Session,
    message_id: str,
    words: str,
    notices: Notices,
    kept: KeptAudio,
    caller: str | None,
    contact_id: int | None,
    language: str,
    *,
    due: datetime,
    now: datetime,
) -> None:
    begin_message(
        session,
        message_id=message_id,
        call_id=None,
        line=LINE,
        language=language,
        caller=caller,
        contact_id=contact_id,
        area="credentials",
        now=now - timedelta(minutes=20),
    )
    file_message(session, message_id, kept, notices, take=1, pickup_due_at=due, now=now)
    if words:
        spoken = words.split()
        step = kept.seconds / len(spoken)
        store_transcript(
            session,
            message_id,
            Transcript(
                tuple(
                    Word(word, i * step, (i + 0.8) * step, 0.55 if i % 3 == 2 else 0.98)
                    for i, word in enumerate(spoken)
                )
            ),
            now=now,
        )


def _get_message(session: Session, message_id: str) -> Message:
    return session.get_one(Message, message_id)


def _tone(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(8000)
        frames = round(seconds * 8000)
        audio.writeframes(
            b"".join((6000 if i // 10 % 2 else -6000).to_bytes(2, "little", signed=True) for i in range(frames))
        )
