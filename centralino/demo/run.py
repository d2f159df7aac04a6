"""`centralino demo`: six stories at once, on real parts, the whole service, told as it happens.

The phones are baresip, the callers speak recorded Italian, the transcript is Vosk's, mails go over SMTP and IMAP, the
fax is sent by a second Asterisk. Only Maximo is none, but speaks as one does. A story counts only if what it promises
was seen: in the audio, in the database, in the mailbox and in Maximo.
"""

import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from centralino import log
from centralino.demo import calls, requests
from centralino.demo.stage import (
    AMATO,
    BIANCHI,
    CLOSED,
    DICORATO,
    FAX,
    LEVEL_0,
    LORUSSO,
    MASTROPASQUA,
    MEANINGS,
    NERI,
    ROSSI,
    STAFFED,
    TROILO,
    VERDI,
    Narrator,
    Stage,
    Story,
    StoryFailed,
    local,
)
from centralino.rig import imap
from centralino.rig.errors import RigError
from centralino.rig.fake_maximo import FakeMaximo
from centralino.rig.world import PASSWORD, Person, World, always_open, closed_today
from centralino.terminal import terminal
from schedules.clock import utc_now
from tickets import directory


async def run_demo(*, report: Path | None, keep: bool) -> int:
    """Play the stories at once; returns the exit code: 0 only if every one of them really happened.

    SIGTERM and SIGINT end it in order, also when a shell started it in the background and had SIGINT ignored.
    """
    console = terminal()
    log.configure("ERROR")
    console.print(
        Panel(
            "Six people turn to the help desk of a (made-up) regional health service at the same time:\n"
            "three call, one writes, one sends a fax, one stands at the counter.\n"
            "A private Asterisk answers on this machine's loopback address;\n"
            "phones, speech, fax, mail and transcripts are real, Maximo is a stand-in.",
            title="Centralino",
        )
    )
    playing = asyncio.create_task(_play_all(console, report, keep))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, playing.cancel)
    try:
        return await playing
    except asyncio.CancelledError:
        console.print("Stopped before the end.")
        return 1
    finally:
        console.print("Nothing is left running.")


async def _play_all(console: Console, report: Path | None, keep: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="centralino-demo-") as folder:
        async with AsyncExitStack() as stack:
            with console.status("starting Asterisk, service, desk, mail servers and Maximo ..."):
                mailbox = await asyncio.to_thread(imap.ImapServer().__enter__)
                stack.push(mailbox.__exit__)
                maximo = await stack.enter_async_context(FakeMaximo())
                world = World(
                    Path(folder),
                    _calls(utc_now()),
                    colleagues=(BIANCHI, VERDI, NERI),
                    people=(ROSSI, MASTROPASQUA, TROILO, LORUSSO, AMATO, DICORATO),
                    settings_extra=_settings(mailbox, maximo),
                )
                await stack.enter_async_context(world)
                await world.database.run(_know_level_0)
                service = await stack.enter_async_context(world.serving())
            stage = Stage(world, service, Narrator(console), mailbox, maximo)
            console.print(
                f"Asterisk answers on sip:127.0.0.1:{world.asterisk.sip_port}, the desk on {world.desk_url}\n"
            )
            watching = asyncio.create_task(stage.watch_transcripts())
            stories = await asyncio.gather(
                _play(stage, 1, "staffed hours: an agent with a screen-pop", ROSSI, calls.answered),
                _play(stage, 2, "after hours: a message becomes a ticket", MASTROPASQUA, calls.after_hours),
                _play(stage, 3, "staffed hours, nobody answers: a message", TROILO, calls.nobody_answers),
                _play(stage, 4, "by e-mail: a question back, an answer, a solution", LORUSSO, requests.by_email),
                _play(stage, 5, "by fax: the pages are on the request", AMATO, requests.by_fax),
                _play(stage, 6, "at the counter: back to level 0", DICORATO, requests.back_to_level_0),
            )
            watching.cancel()
            ok = all(story.ok for story in stories)
            console.print()
            console.print(_table(stories))
            if report is not None:
                report.write_text(json.dumps(_report(stories), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
                console.print(f"The same as JSON: {report}")
            console.print(
                "[bold green]Every story really happened.[/]" if ok else "[bold red]Not every story happened.[/]"
            )
            if keep:
                with contextlib.suppress(asyncio.CancelledError):  # how it ends
                    await _keep_running(console, world)
    return 0 if ok else 1


def _calls(now: datetime) -> dict[str, Any]:
    menu = {
        "prompt": "menu-main",
        "choices": {
            "1": {"area": "application", "queue": "applicativi"},
            "2": {"area": "use", "queue": "credenziali"},
            "3": {"area": "credentials", "queue": "credenziali"},
            "0": {"queue": "credenziali"},
        },
    }
    return {
        "calendars": {"presidiato": always_open(), "chiuso": closed_today(now)},
        "queues": {
            "credenziali": {"ring_seconds": 20, "wrap_up_seconds": 5, "when_no_agents": "wait"},
            "applicativi": {
                "ring_seconds": 6,
                "max_wait_seconds": 8,
                "announce_seconds": 60,
                "when_no_agents": "wait",
            },
        },
        "lines": [
            {"number": STAFFED, "name": "Edotto", "calendar": "presidiato", "queue": "credenziali", "menu": menu},
            {"number": CLOSED, "name": "Edotto (chiuso)", "calendar": "chiuso", "queue": "credenziali"},
            {"number": FAX, "name": "Fax", "calendar": "presidiato", "queue": "credenziali", "fax": True},
        ],
    }


def _settings(mailbox: imap.ImapServer, maximo: FakeMaximo) -> dict[str, Any]:
    return {
        "mailbox": {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "tls": "none",
            "username": imap.USERNAME,
            "password": imap.PASSWORD,
        },
        "notices": {"send": ["opened", "information", "resolved", "closed", "cancelled", "referred", "referred_to"]},
        "maximo": {"url": maximo.url, "api_key": maximo.api_key, "poll_seconds": 10},
    }


def _know_level_0(session: Session) -> None:
    company = directory.company_named(session, DICORATO.company)
    directory.edit_company(session, company.id, {"level_0_email": LEVEL_0, "level_0_hours": "lun-ven 8-14"})


LONGEST_STORY = 180.0
"""Seconds."""

Play = Callable[[Stage, int, Story, Person, AsyncExitStack], Awaitable[None]]


async def _play(stage: Stage, number: int, name: str, person: Person, play: Play) -> Story:
    story = Story(name, person.phone)
    try:
        async with AsyncExitStack() as stack, asyncio.timeout(LONGEST_STORY):
            await play(stage, number, story, person, stack)
            await requests.in_maximo(stage, number, story)
        story.ok = True
    except (StoryFailed, RigError, TimeoutError) as failure:
        story.failure = str(failure) or f"it took longer than {LONGEST_STORY:.0f} s"
        stage.narrator.tell(number, f"[bold red]failed:[/] {story.failure}")
    return story


def _table(stories: Sequence[Story]) -> Table:
    table = Table(title="What happened", show_lines=True)
    for heading in ("story", "outcome", "ticket", "in Maximo", "transcript", "due", "times measured"):
        table.add_column(heading, overflow="fold")
    for story in stories:
        times = [
            f"{label} {value:.0f} ms"
            for label, value in (
                ("screen before ring", story.pop_before_ring_ms),
                ("line to screen", story.queued_to_pop_ms),
            )
            if value is not None
        ]
        if (late := story.hangup_to_transcript_ms) is not None:
            times.append(f"transcript {abs(late) / 1000:.1f} s {'before' if late < 0 else 'after'} hang-up")
        if story.message_seconds is not None:
            times.append(f"message {story.message_seconds:.1f} s")
        due = local(datetime.fromisoformat(story.due_at)) if story.due_at else "-"
        outcome = story.outcome or "-"
        table.add_row(
            story.name,
            f"[green]{outcome}[/]" if story.ok else f"[red]{outcome}: {story.failure}[/]",
            story.ticket or "-",
            story.maximo or "-",
            story.transcript or "-",
            due,
            "\n".join(times),
        )
    return table


def _report(stories: Sequence[Story]) -> dict[str, Any]:
    return {
        "ok": all(story.ok for story in stories),
        "stories": [asdict(story) for story in stories],
        "meanings": MEANINGS,
    }


async def _keep_running(console: Console, world: World) -> None:
    sip = f"127.0.0.1:{world.asterisk.sip_port}"
    console.print(
        Panel(
            f"Desk       {world.desk_url}\n"
            f"Log-in     {BIANCHI.username}, {VERDI.username} or {NERI.username} (supervisor), password {PASSWORD}\n"
            f"Phones     register {BIANCHI.extension} or {VERDI.extension} at sip:{sip}, password {PASSWORD}:\n"
            "           first the phone, then go on duty at the desk\n"
            f"Call       sip:{STAFFED}@{sip} (staffed) or sip:{CLOSED}@{sip} (closed now)\n"
            "           from a SIP phone on this machine\n"
            "Mail       is shown below as it arrives\n\n"
            "Ctrl-C ends everything.",
            title="Go on by hand",
        )
    )
    shown = len(world.mail.messages)
    while True:
        mail = await world.mail.message(shown)
        shown += 1
        console.print(Panel(Text(mail.text.strip()), title=Text(f"{', '.join(mail.recipients)}: {mail.subject}")))
