"""A process that reads a mailbox and can be killed: started anew within milliseconds, as a fork of this one.

Reads lines: `start` forks a reader and writes its process id; anything else, or the end, ends this one.
"""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from pydantic import SecretStr

from centralino import log
from centralino.rig.imap import PASSWORD, USERNAME
from schedules.hours import Calendar, Weekday
from tickets.alarms import Alarms, AlarmSettings
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.imap import MailboxSettings
from tickets.intake import Intake, MailStore
from tickets.mailbox import Mailbox
from tickets.notices import Notices, NoticeSettings
from tickets.promise_rules import PromiseSettings, Terms

ALWAYS = Calendar(weekly=dict.fromkeys(get_args(Weekday), ("00:00-24:00",)), holidays=False)
TERMS = Terms(PromiseSettings(), ALWAYS)


def now() -> datetime:
    return datetime.now(UTC)


async def read(url: str, port: int, folder: Path) -> None:
    settings = MailboxSettings(
        host="127.0.0.1",
        port=port,
        tls="none",
        username=USERNAME,
        password=SecretStr(PASSWORD),
        done_folder="Fatte",
        timeout=20,
    )
    notices = Notices(NoticeSettings(desk_name="Help Desk", sender="helpdesk@desk.example"))
    database = Database(url)
    intake = Intake(
        database,
        MailStore(folder / "mail"),
        AttachmentStore(folder / "attachments"),
        settings,
        notices,
        lambda: TERMS,
        now,
    )
    async with Mailbox(database, settings, intake, Alarms(database, AlarmSettings(), notices, now), now):
        await asyncio.Event().wait()


def main() -> None:
    url, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    log.configure("ERROR")
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() != "start":
            return
        child = os.fork()
        if child == 0:
            asyncio.run(read(url, port, folder))
            os._exit(0)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("ended", flush=True)


if __name__ == "__main__":
    main()
