"""Agents and contacts from the command line, on a real database file."""

import asyncio
import contextlib
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from centralino.cli import app
from desk.queries import agent_items
from ivr.errors import AgentRefused
from ivr.operations import go_free
from tickets.database import Database

pytestmark = pytest.mark.contract
EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"

Command = Callable[..., Result]


@pytest.fixture
def centralino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command on a fresh database; what is typed is a password."""
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite:///{tmp_path}/centralino.db")
    monkeypatch.setenv("CENTRALINO_CONFIG", str(EXAMPLE))
    return lambda *words, typed="lunga-abbastanza\n": CliRunner().invoke(app, words, input=typed)


def add(centralino: Command, username: str, phone: str, *more: str) -> Result:
    """Add an agent of the queue `applicativi`."""
    return centralino("agent", "add", username, "--name", username.title(), "--phone", phone, "--queue", *more)


def row(centralino: Command, username: str) -> list[str]:
    """An agent's row in the list, cell by cell; empty when there is none."""
    lines = centralino("agent", "list").output.splitlines()
    return next(([cell.strip() for cell in line.split("│")[1:-1]] for line in lines if f" {username} " in line), [])


def test_an_agent_is_added_changed_and_removed(centralino: Command) -> None:
    assert "There are no agents yet" in centralino("agent", "list").output
    assert add(centralino, "anna", "PJSIP/101", "applicativi").output == "Anna can log in as anna.\n"
    assert row(centralino, "anna") == ["anna", "Anna", "agent", "PJSIP/101", "applicativi", "offline"]
    changed = centralino("agent", "edit", "anna", "--phone", "PJSIP/102", "--queue", "credenziali", "--supervisor")
    assert changed.exit_code == 0
    assert row(centralino, "anna") == ["anna", "Anna", "supervisor", "PJSIP/102", "credenziali", "offline"]
    assert centralino("agent", "password", "anna").exit_code == 0
    assert centralino("agent", "remove", "anna").exit_code == 0
    assert row(centralino, "anna") == []
    assert "no account 'anna'" in centralino("agent", "password", "anna").output


def test_who_left_frees_the_phone_and_may_come_back(centralino: Command) -> None:
    add(centralino, "anna", "PJSIP/101", "applicativi")
    centralino("agent", "remove", "anna")
    assert add(centralino, "bruno", "PJSIP/101", "applicativi").exit_code == 0
    assert add(centralino, "anna", "PJSIP/102", "credenziali").exit_code == 0
    assert row(centralino, "anna")[3:5] == ["PJSIP/102", "credenziali"]


def test_what_cannot_be_is_refused_with_the_reason(centralino: Command) -> None:
    add(centralino, "anna", "PJSIP/101", "applicativi")
    for words, reason in (
        (("add", "anna", "--name", "A", "--phone", "PJSIP/102", "--queue", "applicativi"), "user name 'anna' already"),
        (("add", "bea", "--name", "B", "--phone", "PJSIP/101", "--queue", "applicativi"), "PJSIP/101 is anna's"),
        (("add", "bea", "--name", "B", "--phone", "104", "--queue", "applicativi"), "such as PJSIP/101"),
        (("add", "bea", "--name", "B", "--phone", "PJSIP/104", "--queue", "altra"), "there is no queue 'altra'"),
        (("add", "Bea", "--name", "B", "--phone", "PJSIP/104", "--queue", "applicativi"), "'Bea' is no user name"),
        (("add", "bea", "--name", " ", "--phone", "PJSIP/104", "--queue", "applicativi"), "1 to 120 characters"),
        (("edit", "anna", "--name", "x" * 121), "1 to 120 characters"),
        (("edit", "anna"), "nothing to change"),
        (("edit", "bea", "--name", "B"), "there is no agent with the user name 'bea'"),
        (("remove", "bea"), "there is no agent with the user name 'bea'"),
    ):
        result = centralino("agent", *words)
        assert (result.exit_code, reason in result.output) == (1, True), result.output
    assert row(centralino, "bea") == []
    for typed, reason in (("", "no password came"), ("corta\n", "at least 10 characters")):
        result = centralino("agent", "password", "anna", typed=typed)
        assert (result.exit_code, reason in result.output) == (1, True), result.output


def test_two_contacts_of_one_company_are_found_and_nobody_twice(centralino: Command) -> None:
    company = ("--company", "ASL Bari")
    assert centralino("contact", "add", "Maria Rossi", "--phone", "080 5551234", *company).exit_code == 0
    assert centralino("contact", "add", "Piero Neri", "--phone", "080 5551235", *company).exit_code == 0
    again = centralino("contact", "add", "Maria Rossi", "--phone", "+39 080 5551234")
    assert (again.exit_code, "already with this number" in again.output) == (1, True)
    found = centralino("contact", "find", "asl bari").output
    assert ["Maria Rossi" in found, "Piero Neri" in found, "+390805551234" in found] == [True, True, True]
    assert centralino("contact", "find", "verdi").output == "Nobody in the directory fits.\n"


def test_who_left_is_on_no_page_and_comes_back_off_duty(centralino: Command, tmp_path: Path) -> None:
    add(centralino, "anna", "PJSIP/101", "applicativi")

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Database]:
        database = Database(f"sqlite:///{tmp_path}/centralino.db")
        yield database
        await database.close()

    async def seen() -> dict[int, str]:
        async with opened() as database:
            items = await database.read(agent_items)
        return {agent_id: item.presence for agent_id, item in items.items()}

    async def free() -> None:
        async with opened() as database:
            await database.run(go_free, 1, now=datetime.now(UTC))

    asyncio.run(free())
    assert asyncio.run(seen()) == {1: "free"}
    centralino("agent", "remove", "anna")
    assert asyncio.run(seen()) == {}
    with pytest.raises(AgentRefused, match="no agent any more"):
        asyncio.run(free())
    add(centralino, "anna", "PJSIP/101", "applicativi")
    assert asyncio.run(seen()) == {1: "offline"}


def test_nobody_in_a_call_is_removed(centralino: Command, tmp_path: Path) -> None:
    add(centralino, "anna", "PJSIP/101", "applicativi")
    with contextlib.closing(sqlite3.connect(tmp_path / "centralino.db")) as database, database:
        database.execute("UPDATE agent SET presence = 'ringing'")
    refused = centralino("agent", "remove", "anna")
    assert (refused.exit_code, "anna is in a call just now" in refused.output) == (1, True)
    assert centralino("agent", "password", "anna").exit_code == 0


def test_the_database_is_its_owners_only(centralino: Command, tmp_path: Path) -> None:
    assert centralino("migrate").exit_code == 0
    assert stat.S_IMODE((tmp_path / "centralino.db").stat().st_mode) == 0o600


def test_a_file_that_is_no_database_is_said_so_plainly(centralino: Command, tmp_path: Path) -> None:
    (tmp_path / "centralino.db").write_text("Non sono una banca dati.\n" * 100, encoding="utf-8")
    result = centralino("agent", "list")
    assert (result.exit_code, "file is not a database" in result.output) == (1, True)
    assert result.exception is None or isinstance(result.exception, SystemExit)
