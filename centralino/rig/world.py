"""A whole Centralino on one machine for the demo, the tests and the benchmarks: Asterisk, service, desk, mail, people.

Everything listens on free ports of the loopback address and lives in one folder; everything a world starts is ended
with it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from zoneinfo import ZoneInfo

import httpx
import tomli_w
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.orm import Session

from asterisk_conf.render import PhoneAccount
from centralino.migrate import migrate
from centralino.rig.asterisk import AsteriskServer
from centralino.rig.desk import DeskClient
from centralino.rig.mail import MailCatcher
from centralino.rig.phone import Phone
from centralino.rig.ports import PortRange
from centralino.serve import Service, service
from centralino.settings import Settings, load
from desk import operations as desk_operations
from desk.models import Role
from ivr import operations
from ivr.models import Agent, Call
from schedules.clock import utc_now
from tickets import directory
from tickets.database import Database

P = ParamSpec("P")
T = TypeVar("T")

TIMEZONE = ZoneInfo("Europe/Rome")
PASSWORD = "una-password-di-prova"  # noqa: S105 - for a rig that lives as long as its folder
MODELS = Path(__file__).resolve().parents[2] / "models"
ITALIAN_MODEL = MODELS / "vosk-model-tiny-it-helpdesk"
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class Person:
    """Someone in the directory, with a telephone and perhaps an address for notices."""

    name: str
    phone: str
    company: str
    email: str | None = None


@dataclass(frozen=True)
class Colleague:
    """An agent of the desk; the phone's name in Asterisk is `extension`."""

    username: str
    name: str
    extension: str
    queues: tuple[str, ...]
    browser: bool = False
    """Has the phone in the browser."""
    supervisor: bool = False

    @property
    def account(self) -> PhoneAccount:
        """The phone in Asterisk."""
        if self.browser:
            return PhoneAccount(name=self.extension, kind="browser")
        return PhoneAccount(name=self.extension, password=SecretStr(PASSWORD))


def always_open() -> dict[str, Any]:
    """A calendar of a desk that never closes."""
    return {"weekly": {day: ["00:00-24:00"] for day in WEEKDAYS}, "holidays": False}


def closed_today(now: datetime) -> dict[str, Any]:
    """A calendar of a desk that is closed today and opens every other day from 8 to 18, whenever the rig runs."""
    today = WEEKDAYS[now.astimezone(TIMEZONE).weekday()]
    return {"weekly": {day: ["08:00-18:00"] for day in WEEKDAYS if day != today}, "holidays": False}


@dataclass
class World:
    """One site. Use as `async with`; the service itself is started by `serving()` (here) or `process()` (apart)."""

    folder: Path
    calls: Mapping[str, Any]
    """The `calls` section of the settings."""
    colleagues: Iterable[Colleague] = ()
    people: Iterable[Person] = ()
    settings_extra: Mapping[str, Any] = field(default_factory=dict)
    concurrent_calls: int = 60
    benchmarks: bool = False
    workers: Sequence[str] = ()
    """Names of the workers that share the calls, each to be started with `process`; empty: one, without a name."""
    nodes: Sequence[str] = ()
    """Names of several Asterisks beside each other, the first of which is `asterisk`; empty: one, without a name."""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            phones = [colleague.account for colleague in self.colleagues]
            self.asterisks = {
                name: await stack.enter_async_context(
                    AsteriskServer(
                        self.folder / f"asterisk{name}",
                        phones=phones,
                        workers=bool(self.workers),
                        calls=self.concurrent_calls,
                        benchmarks=self.benchmarks,
                        fax_numbers=[line["number"] for line in self.calls["lines"] if line.get("fax")],
                        # a node tells the others from phones by their addresses; phones call from 127.0.0.1
                        host=f"127.0.0.{number if name else 1}",
                        node=name or None,
                    )
                )
                for number, name in enumerate(self.nodes or [""], start=2)
            }
            self.asterisk = next(iter(self.asterisks.values()))
            if self.nodes:
                for asterisk in self.asterisks.values():
                    await asterisk.join(list(self.asterisks.values()))
            self.mail = await stack.enter_async_context(MailCatcher())
            ports = PortRange(2 + len(self.workers))
            stack.callback(ports.close)
            self._port = ports.first + 1
            self.settings_file = self.folder / "centralino.toml"
            self.settings_file.write_text(tomli_w.dumps(self._settings(self._port)), encoding="utf-8")
            self.settings_file.chmod(0o600)
            self.settings: Settings = load(self.settings_file)
            await asyncio.to_thread(migrate, self.settings.storage.database)
            self.database = Database(self.settings.storage.database, connectors=self.settings.connectors)
            stack.push_async_callback(self.database.close)
            await self.database.run(self._populate)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _settings(self, port: int) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "asterisk": _asterisk_settings(self.asterisk),
            "calls": dict(self.calls),
            "notices": {"desk_name": "Help Desk Edotto", "sender": "helpdesk@example.org"},
            "smtp": {"host": self.mail.host, "port": self.mail.port, "tls": "none"},
            "transcription": {"models": {"it": str(ITALIAN_MODEL)}},
            "storage": {
                "database": f"sqlite:///{self.folder / 'centralino.db'}",
                "audio": str(self.folder / "audio"),
                "attachments": str(self.folder / "attachments"),
            },
            "desk": {"secure_cookie": False, "phone_url": self.asterisk.websocket_url},
            "listen": {"host": "127.0.0.1", "port": port},
        }
        if self.nodes:
            nodes = [{"name": name, **_asterisk_settings(one)} for name, one in self.asterisks.items()]
            settings["asterisk"]["nodes"] = nodes
        else:  # the records of one Asterisk can be read, not of several
            settings["asterisk"]["call_records"] = str(self.asterisk.call_records)
        for section, values in self.settings_extra.items():
            settings[section] = {**settings.get(section, {}), **values}
        return settings

    def _populate(self, session: Session) -> None:
        now = utc_now()
        for colleague in self.colleagues:
            agent = operations.add_agent(
                session,
                colleague.username,
                colleague.name,
                f"PJSIP/{colleague.extension}",
                colleague.queues,
                browser_phone=colleague.browser,
                now=now,
            )
            role = Role.SUPERVISOR if colleague.supervisor else Role.AGENT
            desk_operations.create_account(session, colleague.username, PASSWORD, role=role, agent_id=agent.id)
        for person in self.people:
            company = directory.company_named(session, person.company)
            directory.add_contact(
                session,
                person.name,
                company_id=company.id,
                email=person.email,
                phones=[person.phone],
            )

    # ------------------------------------------------------------------------------------------------- the service

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Service]:
        """Run the service in this process; ready for calls when entered."""
        async with service(self.settings) as running:
            async with asyncio.timeout(20):
                await running.switchboard.ready()
            yield running

    @contextlib.asynccontextmanager
    async def process(
        self, worker: str = "", *, command: str = "serve", options: Sequence[str] = ()
    ) -> AsyncIterator["ServiceProcess"]:
        """Run the service, or one of its workers, as a process of its own, which a test may kill and start again.

        `options` are further ones of the command.
        """
        process = ServiceProcess(self, worker, command=command, options=options)
        try:
            yield process
        finally:
            await process.kill()

    @property
    def desk_url(self) -> str:
        """Where the desk is served."""
        return self.desk_url_of("")

    def desk_url_of(self, worker: str) -> str:
        """Where a worker serves the desk."""
        return f"http://{self.settings.listen.host}:{self.port_of(worker)}"

    def port_of(self, worker: str) -> int:
        """The port of a worker's desk."""
        return self._port + (self.workers.index(worker) + 1 if worker else 0)

    def desk(self, username: str, worker: str = "") -> DeskClient:
        """A page of an agent, to be entered with `async with`."""
        return DeskClient(self.desk_url_of(worker), username, PASSWORD)

    def phone(self, extension: str, *, node: str | None = None, **options: Any) -> Phone:
        """A colleague's phone, registered at a node, or the first."""
        return Phone(extension, self.asterisk if node is None else self.asterisks[node], password=PASSWORD, **options)

    def caller(self, number: str, *, node: str | None = None, **options: Any) -> Phone:
        """A telephone outside with that number, whose calls come to a node, or the first."""
        return Phone(number, self.asterisk if node is None else self.asterisks[node], **options)

    # ---------------------------------------------------------------------------------------------- what can be seen

    async def read(self, query: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read from the database, as an onlooker."""
        return await self.database.read(query, *args, **kwargs)

    async def until(self, seen: Callable[[Session], T | None], *, within: float = 20.0) -> T:
        """Look into the database until `seen` gives something true.

        The onlooker may be another process than the service, so there is no event to await. Raises TimeoutError.
        """
        try:
            async with asyncio.timeout(within):
                while not (result := await self.database.read(seen)):
                    await asyncio.sleep(0.02)
                return result
        except TimeoutError:
            calls = await self.database.read(_all_calls)
            agents = await self.database.read(_all_agents)
            raise TimeoutError(f"not seen within {within} s; calls: {calls}; agents: {agents}") from None

    async def call_from(self, number: str, *, within: float = 10.0) -> Call:
        """The newest call of a caller (E.164), once its row is there."""

        def seen(session: Session) -> Call | None:
            newest = select(Call).where(Call.caller == number).order_by(Call.started_at.desc()).limit(1)
            return session.scalars(newest).one_or_none()

        return await self.until(seen, within=within)

    async def call_until(self, call_id: str, seen: Callable[[Call], object], *, within: float = 30.0) -> Call:
        """A call's row, once `seen` is true of it."""

        def look(session: Session) -> Call | None:
            call = session.get_one(Call, call_id)
            return call if seen(call) else None

        return await self.until(look, within=within)

    async def until_quiet(self, *, within: float = 10.0) -> None:
        """Wait until no call is open, no channel and no bridge is left. Raises TimeoutError with what is left."""
        await self.until(_no_open_call, within=within)
        try:
            async with asyncio.timeout(within):
                while left := [one for asterisk in self.asterisks.values() for one in await _left_in(asterisk)]:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"left in Asterisk: {left}") from None


class ServiceProcess:
    """`centralino serve`, or another command that serves, as a child process."""

    def __init__(self, world: World, worker: str = "", *, command: str = "serve", options: Sequence[str] = ()) -> None:
        self._world, self.worker, self._command, self._options = world, worker, command, options
        self._log = world.folder / f"service{worker}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until its desk answers."""
        own = {
            "CENTRALINO_ASTERISK__WORKER": self.worker,
            "CENTRALINO_LISTEN__PORT": str(self._world.port_of(self.worker)),
        }
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "centralino", self._command, "--config", str(self._world.settings_file)),
                *self._options,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=os.environ | own,
            )
        async with asyncio.timeout(30), httpx.AsyncClient(base_url=self._world.desk_url_of(self.worker)) as client:
            while True:
                if self._process.returncode is not None:
                    raise RuntimeError(f"the service ended: {self.log()[-2000:]}")
                with contextlib.suppress(httpx.TransportError):
                    await client.get("/api/health")
                    return
                await asyncio.sleep(0.05)

    @property
    def running(self) -> bool:
        """Whether it has been started, and not killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._process is not None  # noqa: S101 - a programming error otherwise
        return self._process.pid

    async def kill(self) -> None:
        """Kill it, and its transcribers, as a crash would (SIGKILL)."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._process = None

    async def terminate(self) -> int:
        """Ask it to stop (SIGTERM), as a deployment does; returns its exit code."""
        assert self._process is not None  # noqa: S101 - a programming error otherwise
        self._process.terminate()
        code = await self._process.wait()
        self._process = None
        return code

    async def in_service(self) -> None:
        """Wait until it says that calls are taken and agents rung."""
        address = self._world.desk_url_of(self.worker)
        async with httpx.AsyncClient(base_url=address) as monitoring, asyncio.timeout(30):
            while (await monitoring.get("/api/health")).status_code != 200:
                await asyncio.sleep(0.05)

    def freeze(self) -> None:
        """Stop it in its tracks (SIGSTOP), as a machine that swaps or a hypervisor does."""
        assert self._process is not None  # noqa: S101 - a programming error otherwise
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        assert self._process is not None  # noqa: S101 - a programming error otherwise
        os.killpg(self._process.pid, signal.SIGCONT)

    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(errors="replace")


def _asterisk_settings(asterisk: AsteriskServer) -> dict[str, Any]:
    return {
        "url": asterisk.ari_url.removesuffix("/ari"),
        "username": asterisk.ari_username,
        "password": asterisk.ari_password,
        "recordings": str(asterisk.recording_spool),
        "fallback": str(asterisk.fallback_spool),
    }


async def _left_in(asterisk: AsteriskServer) -> list[str]:
    bridges = (await asterisk.cli("bridge show all")).splitlines()
    return [*await asterisk.channel_names(), *(line for line in bridges if line and not line.startswith("Bridge-ID"))]


def _no_open_call(session: Session) -> bool:
    return session.scalar(select(Call.id).where(Call.ended_at.is_(None)).limit(1)) is None


def _all_calls(session: Session) -> list[str]:
    return [f"{c.caller} {c.phase} {c.outcome} {c.outcome_note}" for c in session.scalars(select(Call))]


def _all_agents(session: Session) -> list[str]:
    return [
        f"{a.username} {a.presence} {a.pause_reason} desk={a.desk_connected} phone={a.phone_reachable}"
        for a in session.scalars(select(Agent))
    ]
