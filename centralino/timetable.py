"""What runs by itself, and how often."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta

import structlog

from centralino.connectors import DELIVER_SECONDS, ENROL_SECONDS, InStep
from centralino.settings import Settings
from centralino.synthetic import report, synthetic_call
from desk.audit import forget_entries
from desk.live import Live
from desk.once import forget_answers
from desk.operations import end_unused
from ivr.leases import BEAT_SECONDS
from ivr.ledger import Ledger
from ivr.switchboard import Switchboard
from ivr.terms import default_calendar
from schedules.clock import Clock, Job, utc_now
from schedules.pulse import Pulse
from tickets import operations, outbox
from tickets import retention as retention_of_requests
from tickets.alarms import Alarms
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.intake import MailStore
from tickets.notice_watch import NoticeWatch
from tickets.notices import Notices
from tickets.operations import mark_promise_missed
from tickets.promise_watch import Watcher, look_after, promises_to_look_after
from tickets.queries import overdue_pickups
from voicemail import retention
from voicemail.audio import AudioStore
from voicemail.room import Room

log = structlog.get_logger()

CLOSED_AT_ONCE = 100
"""So many resolved requests are closed in one transaction."""


def set_timetable(
    clock: Clock,
    settings: Settings,
    database: Database,
    switchboard: Switchboard,
    live: Live,
    notices: Notices,
    alarms: Alarms,
    attachments: AttachmentStore,
    ledger: Ledger,
    room: Room,
    vital: Mapping[str, Pulse],
    others: Sequence[InStep],
) -> None:
    """Have the clock do all that is due again and again."""

    async def deliver_mail() -> None:
        if settings.smtp is not None:
            await outbox.deliver_due(database, settings.smtp, now=utc_now(), caps=settings.notices.caps)

    async def erase_expired() -> None:
        keep = timedelta(days=settings.storage.keep_audio_days)
        await retention.erase_expired(database, AudioStore(settings.storage.audio), keep, now=utc_now())

    async def forget_old_answers() -> None:
        await database.run(forget_answers, now=utc_now())

    async def end_unused_log_ins() -> None:
        await database.run(end_unused, settings.desk.idle, now=utc_now())

    async def forget_audit() -> None:
        await database.run(forget_entries, timedelta(days=settings.desk.keep_audit_days), now=utc_now())

    async def erase_attachments() -> None:
        keep = timedelta(days=settings.storage.keep_attachments_days)
        await retention_of_requests.erase_attachments(database, attachments, keep, now=utc_now())

    async def erase_mails() -> None:
        keep = timedelta(days=settings.storage.keep_attachments_days)
        await retention_of_requests.erase_mails(database, MailStore(settings.storage.mail), keep, now=utc_now())

    async def close_resolved() -> None:
        within = settings.requests.reopen_within
        closed = CLOSED_AT_ONCE
        while closed == CLOSED_AT_ONCE:
            closed = await database.run(
                operations.close_resolved, alarms.notices, now=utc_now(), reopen_within=within, limit=CLOSED_AT_ONCE
            )

    async def watch_promises() -> None:
        watcher = Watcher(settings.promises, default_calendar(settings.promises, settings.calls), alarms.notices)
        for request_id, which in await database.read(promises_to_look_after, watcher, utc_now()):
            await database.run(look_after, request_id, which, watcher, now=utc_now())
        # of requests opened by versions before this one
        for request in await database.read(overdue_pickups, utc_now()):
            log.warning("promise missed: nobody took the request in charge in time", ticket=request.ticket)
            await database.run(mark_promise_missed, request.id, now=utc_now())

    async def tell_load() -> None:
        # what must not grow while calls come and go
        log.debug("in hand", calls=switchboard.applications.calls_in_hand, tasks=len(asyncio.all_tasks()))

    synthetic = synthetic_call(settings, database, live)

    async def call_ourselves() -> None:
        outcome = await synthetic.run_when_due()
        if outcome is not None:
            await report(outcome, alarms)

    def by_one(job: Job, name: str) -> Job:
        """A job that only one of several workers is to do at a time."""

        async def run() -> None:
            async with database.alone(name) as mine:
                if mine:
                    await job()

        return run

    def every(seconds: float, job: Job, name: str) -> None:
        clock.every(seconds, by_one(job, name), name)

    clock.every(BEAT_SECONDS, switchboard.applications.beat, "leases", vital["leases"])
    clock.every(1, switchboard.tick, "wrap-ups and waiting line")
    clock.every(2, deliver_mail, "outbox", vital["outbox"])
    clock.every(30, NoticeWatch(database, notices, alarms).look, "notices")
    every(5, switchboard.file_fallbacks, "messages recorded by the dialplan")
    clock.every(5, tell_load, "load")
    clock.every(3, switchboard.check_phones, "stale phones")
    clock.every(5, room.look, "disk space")
    every(30, switchboard.settle_call_backs, "call backs")
    every(600, switchboard.tidy_recordings, "recordings of no call")
    every(20, watch_promises, "promises")
    every(10, ledger.read, "Asterisk's records of calls")
    every(120, ledger.compare, "ledger")
    clock.every(60, switchboard.reconcile, "calls without an owner")
    every(30, call_ourselves, "synthetic call")
    every(600, synthetic.remove_leftovers, "leftovers of synthetic calls")
    every(3600, forget_old_answers, "answers kept by their keys")
    for other in others:
        every(DELIVER_SECONDS, other.work, f"in step: {other.name}")
        every(ENROL_SECONDS, other.enrol, f"new to {other.name}")
        clock.daily(4, 10, settings.notices.timezone, by_one(other.compare, f"compare: {other.name}"), other.name)
    every(3600, close_resolved, "resolved requests")
    look_after_pages(clock, live)
    every(60, end_unused_log_ins, "log-ins that are over")
    clock.daily(3, 40, settings.notices.timezone, by_one(erase_attachments, "attachments"), "attachments")
    clock.daily(3, 50, settings.notices.timezone, by_one(erase_mails, "mails"), "mails")
    clock.daily(3, 55, settings.notices.timezone, by_one(forget_audit, "audit log"), "audit log")
    clock.daily(3, 30, settings.notices.timezone, by_one(erase_expired, "retention"), "retention")


def look_after_pages(clock: Clock, live: Live) -> None:
    """What has to be done again and again wherever pages are served."""
    clock.every(5, live.tell_who_is_there, "whose pages are open")
    clock.every(30, live.close_ended, "log-ins that ended")
