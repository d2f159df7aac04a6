"""Notices and tokens from the command line, on a real database file."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from centralino.cli import app
from desk.api.tokens import caller_with
from tickets.database import Database
from tickets.models import Channel, DeliveryState, Kind, OutboxMail
from tickets.notices import KINDS, Notices, NoticeSettings
from tickets.operations import NewRequest, open_request
from tickets.outbox import stopped_notices

pytestmark = pytest.mark.contract
EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)

Command = Callable[..., Result]


@pytest.fixture
def centralino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command on a fresh database, with a folder of the site's own templates."""
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite:///{tmp_path}/centralino.db")
    monkeypatch.setenv("CENTRALINO_NOTICES__TEMPLATES", str(tmp_path))
    monkeypatch.setenv("CENTRALINO_CONFIG", str(EXAMPLE))
    return lambda *words: CliRunner().invoke(app, words)


def on(folder: Path, work: Callable[[Session], object]) -> object:
    async def run() -> object:
        database = Database(f"sqlite:///{folder}/centralino.db")
        try:
            return await database.run(work)
        finally:
            await database.close()

    return asyncio.run(run())


def test_every_notice_can_be_looked_at(centralino: Command, tmp_path: Path) -> None:
    for kind in KINDS:
        shown = centralino("notices", "preview", kind, "--language", "en", "--html", str(tmp_path / "page.html"))
        assert shown.exit_code == 0, shown.output
        assert shown.output.startswith("Subject: [RdS 1000174] ")
        assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
        assert ("does not send it" in shown.output) == (kind in ("picked_up", "level"))
    assert "there is no notice 'nothing'" in centralino("notices", "preview", "nothing").output
    assert "not in 'de'" in centralino("notices", "preview", "closed", "--language", "de").output


def test_a_template_that_fails_is_named(centralino: Command, tmp_path: Path) -> None:
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "closed.body.txt.j2").write_text("{{ nothing }}")
    shown = centralino("notices", "preview", "closed")
    assert shown.exit_code == 1
    assert "è stata chiusa" in shown.output
    assert "it/closed.body.txt.j2: UndefinedError: 'nothing' is undefined" in shown.output
    assert "it/closed.body.txt.j2" in centralino("check").output


def test_held_notices_are_shown_sent_and_given_up(centralino: Command, tmp_path: Path) -> None:
    assert "every notice is sent or on its way" in centralino("notices", "stopped").output

    def hold(session: Session) -> None:
        notices = Notices(NoticeSettings())
        for n in range(3):
            new = NewRequest(
                kind=Kind.PROBLEM,
                area="application",
                channel=Channel.EMAIL,
                subject=f"Richiesta {n}",
                email="u@asl.example",
                received_at=NOW,
            )
            open_request(session, new, notices, now=NOW)
        for mail in session.query(OutboxMail):
            mail.state = DeliveryState.HELD

    on(tmp_path, hold)
    assert centralino("notices", "stopped").output.count("held") == 3
    assert centralino("notices", "dismiss", "2").output == "1 notices are given up.\n"
    assert centralino("notices", "retry", "--all-held").output == "2 notices will be sent.\n"
    assert centralino("notices", "retry", "1").exit_code == 1  # on its way
    assert "Give their numbers" in centralino("notices", "retry").output
    stopped = on(tmp_path, lambda session: [(mail.id, mail.state.value) for mail in stopped_notices(session)])
    assert stopped == [(2, "dead")]


def test_a_token_is_shown_once_and_can_be_taken_away(centralino: Command, tmp_path: Path) -> None:
    assert "No program may use the API" in centralino("token", "list").output
    token = centralino("token", "add", "portale", "--scope", "read", "--scope", "write").output.strip()
    assert token.startswith("centralino_")
    listed = centralino("token", "list").output
    assert "read, write" in listed
    assert token not in listed
    assert on(tmp_path, lambda session: caller_with(session, token, now=NOW)) is not None
    assert "there is a token 'portale' already" in centralino("token", "add", "portale", "--scope", "read").output
    assert "small letters" in centralino("token", "add", "Il Portale", "--scope", "read").output
    assert centralino("token", "add", "altro").exit_code == 2  # without a scope
    assert centralino("token", "remove", "portale").exit_code == 0
    assert on(tmp_path, lambda session: caller_with(session, token, now=NOW)) is None
    assert "no token 'portale'" in centralino("token", "remove", "portale").output
