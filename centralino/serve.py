"""The composition root: everything is built here, on one exit stack, and nowhere else."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog
import uvicorn
from fastapi import FastAPI

from centralino import systemd
from centralino.connectors import in_step
from centralino.migrate import migrate
from centralino.settings import Settings, what_is_broken
from centralino.timetable import look_after_pages, set_timetable
from desk.app import CallControl, create_app
from desk.live import Live
from ivr.elsewhere import SwitchboardElsewhere
from ivr.leases import BEAT_SECONDS
from ivr.ledger import Ledger
from ivr.prompts import Prompts
from ivr.site import Site
from ivr.switchboard import Switchboard
from ivr.terms import terms_of_line
from schedules.clock import Clock, utc_now
from schedules.pulse import Pulse, standing_still
from tickets.alarms import Alarms
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.imap import MailboxSettings
from tickets.intake import Intake, MailStore
from tickets.mailbox import Mailbox
from tickets.notices import Notices
from voicemail.audio import AudioStore
from voicemail.room import Room
from voicemail.transcription import Transcriber

log = structlog.get_logger()

LONGEST_BEAT_SECONDS = 60.0
"""A beat is due each second; a database that is away holds up one for 20 s, and adopting another's calls some more."""
LONGEST_DELIVERY_SECONDS = 2 * 3600.0
"""A hundred mails, four commands each, with a mail server that takes 14 s for every one: an hour and a half."""


class CannotListen(Exception):
    """The desk's address is taken or not this machine's."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running service, as `centralino serve` and the demo see it."""

    settings: Settings
    database: Database
    switchboard: Switchboard
    notices: Notices
    alarms: Alarms
    ledger: Ledger
    live: Live
    desk_url: str
    vital: Mapping[str, Pulse]
    """The tasks that must never stand still, by name."""


@contextlib.asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Service]:
    """Build and start everything; leaving stops it in the opposite order. Calls under way stay up in Asterisk."""
    async with AsyncExitStack() as stack:
        listener, database = await _listener_and_database(stack, settings)
        site = await stack.enter_async_context(Site(database, settings.calls, utc_now))
        notices = Notices(settings.notices)
        alarms = Alarms(database, settings.alarms, notices, utc_now)
        audio = AudioStore(settings.storage.audio)
        attachments = AttachmentStore(settings.storage.attachments)
        storage = settings.storage
        recordings = {node.recordings for node in settings.asterisk.served.values()}
        room = Room(
            {*recordings, storage.audio},
            storage.least_free_mb,
            alarms,
            settings.asterisk.worker,
            attachments=storage.attachments,
        )
        await room.look()
        transcriber = await stack.enter_async_context(
            Transcriber(database, settings.storage.audio, settings.transcription)
        )
        live = await stack.enter_async_context(_live(settings, database, settings.asterisk.own_app))
        switchboard = Switchboard(
            settings.asterisk,
            settings.calls,
            database=database,
            prompts=Prompts(),
            screen=live,
            audio=audio,
            attachments=attachments,
            room=room,
            transcripts=transcriber,
            notices=notices,
            alarms=alarms,
            now=utc_now,
            promises=settings.promises,
        )
        ledger = Ledger(
            settings.asterisk.records,
            settings.calls,
            database=database,
            ari=switchboard.applications.own[0].ari,
            alarms=alarms,
            now=utc_now,
        )
        vital = {
            "decisions": switchboard.pulse,
            "transcripts": transcriber.pulse,
            "leases": Pulse(LONGEST_BEAT_SECONDS),
            "outbox": Pulse(LONGEST_DELIVERY_SECONDS),
        }
        app = _app(settings, database, live, switchboard, notices, attachments, vital, site)
        await stack.enter_async_context(switchboard)
        # after the switchboard, which forgets whose page was open
        desk_url = await stack.enter_async_context(_web(app, listener))
        others = await stack.enter_async_context(in_step(settings, database, notices, alarms, attachments))
        if settings.mailbox is not None:
            await stack.enter_async_context(
                _mailbox(settings, settings.mailbox, database, notices, attachments, alarms)
            )
        clock = await stack.enter_async_context(Clock())
        set_timetable(
            clock, settings, database, switchboard, live, notices, alarms, attachments, ledger, room, vital, others
        )
        yield Service(settings, database, switchboard, notices, alarms, ledger, live, desk_url, vital)


@contextlib.asynccontextmanager
async def pages(settings: Settings) -> AsyncIterator[str]:
    """The desk by itself, beside workers that serve the calls; gives its address."""
    async with AsyncExitStack() as stack:
        listener, database = await _listener_and_database(stack, settings)
        site = await stack.enter_async_context(Site(database, settings.calls, utc_now))
        switchboard = SwitchboardElsewhere(settings.asterisk.own_app, database, utc_now)
        live = await stack.enter_async_context(_live(settings, database, switchboard.name))
        await stack.enter_async_context(switchboard)
        vital = {"leases": Pulse(LONGEST_BEAT_SECONDS)}
        attachments = AttachmentStore(settings.storage.attachments)
        app = _app(settings, database, live, switchboard, Notices(settings.notices), attachments, vital, site)
        desk_url = await stack.enter_async_context(_web(app, listener))
        clock = await stack.enter_async_context(Clock())
        clock.every(BEAT_SECONDS, switchboard.beat, "leases", vital["leases"])
        look_after_pages(clock, live)
        yield desk_url


def _mailbox(
    settings: Settings,
    chosen: MailboxSettings,
    database: Database,
    notices: Notices,
    attachments: AttachmentStore,
    alarms: Alarms,
) -> Mailbox:
    return Mailbox(database, chosen, mail_intake(settings, chosen, database, notices, attachments), alarms, utc_now)


def mail_intake(
    settings: Settings, chosen: MailboxSettings, database: Database, notices: Notices, attachments: AttachmentStore
) -> Intake:
    """What takes mails in, with the site's rules."""
    return Intake(
        database,
        MailStore(settings.storage.mail),
        attachments,
        chosen,
        notices,
        partial(terms_of_line, settings.promises, settings.calls, None),
        utc_now,
        settings.requests.reopen_within,
    )


async def _listener_and_database(stack: AsyncExitStack, settings: Settings) -> tuple[socket.socket, Database]:
    # first of all the address: a second service must not touch anything of the one that runs
    listener = stack.enter_context(_listen(settings.listen.host, settings.listen.port))
    await asyncio.to_thread(migrate, settings.storage.database)
    database = Database(settings.storage.database, connectors=settings.connectors)
    stack.push_async_callback(database.close)
    await stack.enter_async_context(database.hearing_others())
    return listener, database


def _live(settings: Settings, database: Database, worker: str) -> Live:
    return Live(
        database,
        settings.calls,
        settings.desk,
        worker=worker,
        timezone=settings.notices.timezone,
        now=utc_now,
    )


def _app(
    settings: Settings,
    database: Database,
    live: Live,
    control: CallControl,
    notices: Notices,
    attachments: AttachmentStore,
    vital: Mapping[str, Pulse],
    site: Site,
) -> FastAPI:
    return create_app(
        database,
        live,
        control,
        notices,
        settings.calls,
        settings.storage.audio,
        settings.desk,
        vital=vital,
        now=utc_now,
        promises=settings.promises,
        report=settings.report,
        attachments=attachments,
        attachment_limits=settings.attachments,
        request_rules=settings.requests,
        intake=mail_intake(settings, settings.mailbox, database, notices, attachments) if settings.mailbox else None,
        site=site,
    )


async def serve_pages(settings: Settings) -> None:
    """Run the desk by itself until SIGTERM or SIGINT."""
    stop = _told_to_stop()
    async with pages(settings) as desk_url:
        log.info("the desk is up", desk=desk_url)
        async with systemd.watched(list):
            await stop.wait()
            systemd.notify("STOPPING=1")


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; a second one does not wait for callers to be in a better moment."""
    stop = _told_to_stop()
    for text in what_is_broken(settings):
        log.warning("not as the settings say", what=text)
    async with service(settings) as running:
        log.info("centralino is up", desk=running.desk_url, lines=[line.number for line in settings.calls.lines])
        async with systemd.watched(lambda: standing_still(running.vital)):
            await stop.wait()
            log.info("centralino is stopping: calls stay up in Asterisk")
            systemd.notify("STOPPING=1")
            stop.clear()
            draining = asyncio.create_task(running.switchboard.applications.drain())
            told_again = asyncio.create_task(stop.wait())
            await asyncio.wait((draining, told_again), return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, told_again):
                task.cancel()


def _told_to_stop() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: ours stop the whole service, in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def _listen(host: str, port: int) -> socket.socket:
    """Take the desk's address; port 0 takes a free one."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise CannotListen(f"the desk cannot listen on {host}, port {port} ([listen]): {why}") from error


@contextlib.asynccontextmanager
async def _web(app: FastAPI, listener: socket.socket) -> AsyncIterator[str]:
    """Serve the desk; gives its address."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        timeout_graceful_shutdown=3,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        host, port = listener.getsockname()[:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
