"""Parts for the tests of `tickets`."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.intake import Intake, IntakeSettings, MailStore
from tickets.notices import Notices, NoticeSettings
from tickets.promise_rules import Terms


@pytest.fixture
def notices() -> Notices:
    return Notices(NoticeSettings(desk_name="Help Desk", sender="helpdesk@desk.example"))


def intake_at(
    now: Callable[[], datetime],
    database: Database,
    notices: Notices,
    folder: Path,
    terms: Callable[[], Terms] | None = None,
) -> Intake:
    """What takes mails in, with a clock of its own and its files in a folder."""
    return Intake(
        database,
        MailStore(folder / "mail"),
        AttachmentStore(folder / "attachments"),
        IntakeSettings(),
        notices,
        terms,
        now,
    )
