"""What every route may ask for: the desk's parts, the person, the person's agent and call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from desk import queries
from desk.audit import By
from desk.board import Board
from desk.errors import NoAgent, NotAllowed, NotLoggedIn, NotYourCall
from desk.live import Live, Now
from desk.models import Role
from desk.operations import note_use
from desk.queries import Who
from desk.request_queries import Reader
from desk.settings import DeskSettings
from ivr.config import CallsConfig
from ivr.flow.call import CommandName
from ivr.models import Call
from ivr.report import ReportSettings
from ivr.site import Site
from schedules.pulse import Pulse
from tickets import lifecycle
from tickets.attachments import AttachmentSettings, AttachmentStore
from tickets.database import Database
from tickets.intake import Intake
from tickets.lifecycle import RequestSettings
from tickets.notices import Notices
from tickets.promise_rules import PromiseSettings


class CallControl(Protocol):
    """Whoever serves the calls, here or in another process."""

    @property
    def in_service(self) -> bool:
        """Whether calls are taken up and agents rung."""

    @property
    def takes_calls(self) -> bool:
        """Whether new calls are taken: in service, and not leaving."""

    async def command(self, call_id: str, name: CommandName, target: str = "") -> None:
        """Steer a talk. Raises `ivr.errors.CommandRefused` when that is not possible."""


@dataclass(frozen=True)
class Desk:
    """The parts the routes work with; built once, in `desk.app.create_app`."""

    database: Database
    live: Live
    control: CallControl
    notices: Notices
    calls: CallsConfig
    audio_folder: Path
    settings: DeskSettings
    now: Now
    vital: Mapping[str, Pulse] = field(kw_only=True)
    """The tasks that must never stand still, by name."""
    promises: PromiseSettings = field(kw_only=True)
    report: ReportSettings = field(kw_only=True)
    attachments: AttachmentStore = field(kw_only=True)
    attachment_limits: AttachmentSettings = field(kw_only=True)
    request_rules: RequestSettings = field(kw_only=True)
    intake: Intake | None = field(kw_only=True)
    """What takes mails in; None where no mailbox is read."""
    board: Board = field(kw_only=True)
    site: Site = field(kw_only=True)
    """What is edited of the calls' settings at the desk."""

    @property
    def cookie(self) -> str:
        """The cookie's name; the prefix makes browsers refuse one that is not secure or comes from a subdomain."""
        return "__Host-centralino" if self.settings.secure_cookie else "centralino"


def _desk(connection: HTTPConnection) -> Desk:
    desk = connection.app.state.desk
    assert isinstance(desk, Desk)  # noqa: S101 - narrows the type
    return desk


DeskParts = Annotated[Desk, Depends(_desk)]


async def signed_in(connection: HTTPConnection, desk: DeskParts) -> Who:
    """The person behind the log-in cookie. Raises NotLoggedIn."""
    token, now = connection.cookies.get(desk.cookie), desk.now()
    who = await desk.database.read(queries.who_has, token, idle=desk.settings.idle, now=now) if token else None
    if who is None:
        raise NotLoggedIn
    if who.to_be_noted:
        await desk.database.run(note_use, [who.token_sha256], now=now)
    connection.state.language = who.me.language
    return who


Person = Annotated[Who, Depends(signed_in)]


def supervisor(who: Person) -> Who:
    """The person, who must be a supervisor. Raises NotAllowed."""
    if who.me.role is not Role.SUPERVISOR:
        raise NotAllowed
    return who


Supervisor = Annotated[Who, Depends(supervisor)]


def _origin(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "?"


Origin = Annotated[str, Depends(_origin)]
"""The address a request comes from."""


def _acting(who: Supervisor, origin: Origin) -> By:
    return By(who.me.username, origin)


Acting = Annotated[By, Depends(_acting)]
"""The supervisor who changes or steers something, for the audit log."""


def _agent_id(who: Person) -> int:
    if who.me.agent_id is None:
        raise NoAgent
    return who.me.agent_id


def _reader(who: Person, desk: DeskParts) -> Reader:
    return Reader(
        role=lifecycle.Role(who.me.role.value),
        now=desk.now(),
        rules=desk.request_rules,
        largest_attachment=desk.attachment_limits.largest_bytes,
    )


RequestReader = Annotated[Reader, Depends(_reader)]

AgentId = Annotated[int, Depends(_agent_id)]


async def _my_call(call_id: str, agent_id: AgentId, desk: DeskParts) -> Call:
    call = await desk.database.read(queries.call_of_agent, call_id, agent_id)
    if call is None:
        raise NotYourCall
    return call


MyCall = Annotated[Call, Depends(_my_call)]


def _call_on_my_phone(call: MyCall, agent_id: AgentId) -> Call:
    if call.agent_id != agent_id:
        raise NotYourCall
    return call


CallOnMyPhone = Annotated[Call, Depends(_call_on_my_phone)]
