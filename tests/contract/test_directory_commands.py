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
from tickets.models import Channel, Kind, Request
from tickets.notices import Notices, NoticeSettings
from tickets.operations import NewRequest, open_request

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


def test_bad_values_of_a_contact_are_refused_with_the_reason(centralino: Command) -> None:
    assert centralino("contact", "add", "Maria Rossi", "--phone", "080 5551234").exit_code == 0
    for words, reason in (
        (("add", "Piero Neri", "--phone", "interno"), "phone: is not a telephone number"),
        (("add", "Piero Neri", "--phone", "123456789012"), "phone: is not a telephone number"),
        (("add", "Piero Neri", "--phone", "080 5551235", "--language", "de"), "language: is one of it, en"),
        (("edit", "1", "--phone", "+39 1"), "phone: is not a telephone number"),
        (("edit", "1", "--language", "italiano"), "language: is one of it, en"),
    ):
        refused = centralino("contact", *words)
        assert (refused.exit_code, reason in refused.output) == (1, True), refused.output
    assert centralino("contact", "find", "neri").output == "Nobody in the directory fits.\n"
    assert "+390805551234" in centralino("contact", "find", "rossi").output


def test_who_leaves_leaves_no_request_behind(centralino: Command, tmp_path: Path) -> None:
    add(centralino, "anna", "PJSIP/101", "applicativi")

    async def work() -> tuple[str, str | None]:
        database, now = Database(f"sqlite:///{tmp_path}/centralino.db"), datetime.now(UTC)
        new = NewRequest(
            kind=Kind.PROBLEM, area="use", channel=Channel.PHONE, subject="Non stampa", received_at=now, actor="anna"
        )
        try:
            request = await database.run(open_request, new, Notices(NoticeSettings()), now=now)
            removed = await asyncio.to_thread(centralino, "agent", "remove", "anna")
            assert removed.output.splitlines()[1] == "1 request is in the queue again."
            found = await database.read(lambda session: session.get_one(Request, request.id))
            return found.status, found.holder
        finally:
            await database.close()

    assert asyncio.run(work()) == ("queued", None)


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


def cells(output: str) -> list[list[str]]:
    """The rows of a table that a command shows."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_a_company_and_its_level_0_desk_are_kept_by_command(centralino: Command) -> None:
    assert "There are no companies yet" in centralino("company", "list").output
    desk = ("--level-0-email", "help@asl.example", "--level-0-phone", "080 1", "--level-0-hours", "8-14")
    assert centralino("company", "add", "ASL Bari", "--code", "160114", "--phone", "080 5842111", *desk).exit_code == 0
    assert cells(centralino("company", "list").output) == [
        ["160114", "ASL Bari", "+39 080 584 2111", "help@asl.example", "080 1", "8-14"]
    ]
    edited = centralino("company", "edit", "160114", "--name", "ASL di Bari", "--level-0-hours", "", "--phone", "")
    assert edited.output == "ASL di Bari is changed.\n"
    assert cells(centralino("company", "list").output)[0][1:] == ["ASL di Bari", "-", "help@asl.example", "080 1", "-"]
    for words, reason in (
        (("edit", "160114"), "nothing to change"),
        (("edit", "160115", "--name", "X"), "no company with the code or name '160115'"),
        (("add", "ASL di Bari"), "in the directory already"),
        (("add", "ASL Lecce", "--level-0-email", "x"), "level_0_email: is not a mail address"),
    ):
        result = centralino("company", *words)
        assert (result.exit_code, reason in result.output) == (1, True), result.output


def test_a_contact_is_changed_merged_and_removed_by_command(centralino: Command) -> None:
    centralino("company", "add", "ASL Bari", "--code", "160114")
    centralino("contact", "add", "Anna Rossi", "--phone", "080 5551234")
    centralino("contact", "add", "A. Rossi", "--phone", "3331234567", "--user-code", "RSSNNA", "--role", "referent")
    edited = centralino(
        "contact", "edit", "RSSNNA", "--company", "160114", "--role", "referent", "--email", "a@b.example"
    )
    assert edited.output == "A. Rossi is changed.\n"
    assert centralino("contact", "merge", "1", "RSSNNA").output == "All of A. Rossi is Anna Rossi's now.\n"
    (found,) = cells(centralino("contact", "find", "rssnna").output)
    assert found == [
        "1", "RSSNNA", "Anna Rossi", "ASL Bari", "referent", "none", "+390805551234, +393331234567", "a@b.example",
    ]  # fmt: skip
    assert "nothing to change" in centralino("contact", "edit", "RSSNNA").output
    assert centralino("contact", "remove", "RSSNNA").output == "Anna Rossi is removed.\n"
    assert "no contact with the user code or id 'RSSNNA'" in centralino("contact", "remove", "RSSNNA").output


def test_credentials_go_their_way_by_command(centralino: Command) -> None:
    for name, code, role in (("Anna Rossi", "A", "user"), ("Rita Capo", "R", "referent")):
        more = ("--user-code", code, "--company", "ASL Bari", "--role", role)
        assert centralino("contact", "add", name, "--phone", "0805551234", *more).exit_code == 0
    for words, said in (
        (("authorise", "A", "--by", "R"), "nobody asked for credentials of Anna Rossi: ask for them first"),
        (("request-credentials", "A"), "Anna Rossi: credentials requested."),
        (("authorise", "A", "--by", "R"), "Anna Rossi has taken no course: record its day first"),
        (("trained", "A", "ieri"), "'ieri' is no day"),
        (("trained", "A", "2026-11-02"), "Anna Rossi: credentials requested."),
        (("trained", "A", "2126-11-02"), "still to come"),
        (("authorise", "A", "--by", "A"), "Anna Rossi is no referent"),
        (("authorise", "A", "--by", "R", "--request", "123456"), "no request with the ticket number"),
        (("authorise", "A", "--by", "R"), "Anna Rossi: credentials authorised."),
        (("activate", "A"), "Anna Rossi: credentials active."),
        (("withdraw", "A", "--reason", "Trasferita"), "Anna Rossi: credentials none."),
    ):
        assert said in centralino("contact", *words).output


def test_groups_and_areas_are_kept_by_command(centralino: Command) -> None:
    assert "There are no groups yet" in centralino("group", "list").output
    centralino("group", "add", "Sistemisti", "--level", "2", "--email", "s@desk.example")
    assert centralino("group", "edit", "Sistemisti", "--level", "3", "--retired").exit_code == 0
    assert cells(centralino("group", "list").output) == [["3", "Sistemisti", "s@desk.example", "no"]]
    assert "nothing to change" in centralino("group", "edit", "Sistemisti").output
    assert "no support group 'Altri'" in centralino("group", "edit", "Altri", "--level", "2").output

    assert len(cells(centralino("area", "list").output)) == 6
    centralino("area", "add", "cup", "--italian", "Prenotazioni", "--english", "Bookings", "--below", "application")
    assert cells(centralino("area", "list").output)[1] == ["cup", "Prenotazioni", "Bookings", "no", "yes"]
    assert centralino("area", "edit", "cup", "--below", "", "--level-0", "--retired").exit_code == 0
    assert cells(centralino("area", "list").output)[-1] == ["cup", "Prenotazioni", "Bookings", "yes", "no"]
    assert "built in" in centralino("area", "edit", "network", "--retired").output
    assert "nothing to change" in centralino("area", "edit", "network").output


def test_a_directory_is_imported_whole_or_not_at_all(centralino: Command, tmp_path: Path) -> None:
    companies, people = tmp_path / "companies.csv", tmp_path / "people.csv"
    companies.write_bytes("code;name;level_0_email\r\n160114;ASL Città;h@asl.example\r\n".encode("cp1252"))
    head = "user_code;name;company_code;phones\n"
    people.write_text(head + "A;Anna Rossi;160114;080 5551234|3331234567\nB;Bruno Neri;160114;\n", encoding="utf-8")
    preview = centralino("company", "import", str(companies), "--dry-run").output
    assert "is no UTF-8; read as Windows-1252: look at the accents" in preview
    assert preview.endswith("line 2: ASL Città: new\nwould be added: 1, would be changed: 0, as they were: 0\n")
    assert "There are no companies yet" in centralino("company", "list").output
    assert "line 2: company: there is no company '160114'" in centralino("contact", "import", str(people)).output
    assert centralino("company", "import", str(companies)).exit_code == 0
    for expected in ("added: 2, changed: 0, as they were: 0\n", "added: 0, changed: 0, as they were: 2\n"):
        assert centralino("contact", "import", str(people)).output == expected
    people.write_text(head + "A;Anna Bianchi;160114;\nC;Carla;160199;\nD;Dora;160114\n", encoding="utf-8")
    for more in ((), ("--dry-run",)):
        bad = centralino("contact", "import", str(people), *more)
        assert bad.exit_code == 1
        assert "line 3: company: there is no company '160199': add it first\n" in bad.output
        assert "line 4: has 3 cells, the first line has 4\n" in bad.output
        assert "2 lines cannot be taken, so nothing is changed" in bad.output
    assert "Anna Rossi" in centralino("contact", "find", "A").output
    assert "quotation marks" in centralino("contact", "import", str(_with(tmp_path, 'user_code\n"A'))).output


def _with(folder: Path, text: str) -> Path:
    file = folder / "bad.csv"
    file.write_text(text, encoding="utf-8")
    return file
