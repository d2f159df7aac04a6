"""`centralino mail`, as a person at the terminal uses it."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from centralino.cli import app
from centralino.serve import mail_intake
from centralino.settings import load
from tickets.attachments import AttachmentStore
from tickets.database import Database
from tickets.notices import Notices

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parents[2]
RECEIVED = datetime(2026, 11, 23, 22, 14, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings of a site that has taken two mails, one of them written by a program."""
    shutil.copy(migrated_file, tmp_path / "centralino.db")
    for name, value in {
        "ASTERISK__PASSWORD": "una-password-di-prova",
        "STORAGE__DATABASE": f"sqlite:///{tmp_path}/centralino.db",
        "STORAGE__AUDIO": str(tmp_path / "audio"),
        "MAILBOX__HOST": "imap.desk.example",
        "MAILBOX__USERNAME": "helpdesk",
        "MAILBOX__PASSWORD": "un-altra-password",
    }.items():
        monkeypatch.setenv(f"CENTRALINO_{name}", value)
    settings = load(ROOT / "docs/centralino.example.toml")
    assert settings.mailbox is not None

    async def take() -> None:
        assert settings.mailbox is not None
        database = Database(settings.storage.database)
        attachments = AttachmentStore(settings.storage.attachments)
        intake = mail_intake(settings, settings.mailbox, database, Notices(settings.notices), attachments)
        for name in ("plain_ascii", "precedence_bulk"):
            await intake.take((ROOT / f"tests/mail_corpus/{name}.eml").read_bytes(), RECEIVED)
        await database.close()

    asyncio.run(take())
    return ROOT / "docs/centralino.example.toml"


def centralino(site: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(site)])


def test_mails_are_listed_shown_and_opened_after_all(site: Path) -> None:
    listed = centralino(site, "mail", "list")
    assert listed.exit_code == 0
    assert "opened" in listed.output
    assert "automatic" in listed.output
    only = centralino(site, "mail", "list", "--result", "automatic").output
    assert "Precedence" in only
    assert "opened" not in only
    shown = centralino(site, "mail", "show", "1").output
    assert "da stamattina non stampo le ricette" in shown
    assert centralino(site, "mail", "open", "2").output == "It belongs to the request with the id 2.\n"
    assert centralino(site, "mail", "open", "99").exit_code == 1
    assert "automatic" not in centralino(site, "mail", "list").output


def test_a_promise_by_mail_goes_by_the_hours_of_the_first_line(site: Path) -> None:
    url = load(site).storage.database
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        due = connection.execute("SELECT pickup_due_at FROM request WHERE id = 1").fetchone()
    assert due == ("2026-11-24 08:00:00.000000",)
