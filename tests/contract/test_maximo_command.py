"""`centralino maximo` and `centralino fake-maximo`, as somebody types them who connects the two."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session
from typer.testing import CliRunner, Result

from centralino.cli import app
from centralino.connectors import in_step
from centralino.rig.fake_maximo import FakeMaximo
from centralino.settings import Settings, load
from tickets import operations
from tickets.database import Database
from tickets.models import Channel, Kind, Request
from tickets.notices import Notices
from tickets.operations import NewRequest

pytestmark = pytest.mark.contract
EXAMPLE = Path(__file__).parents[2] / "docs/centralino.example.toml"

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
async def fake() -> AsyncIterator[FakeMaximo]:
    async with FakeMaximo() as fake:
        yield fake


@pytest.fixture
def config(tmp_path: Path, fake: FakeMaximo, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CENTRALINO_ASTERISK__PASSWORD", "una-password-di-prova")
    monkeypatch.setenv("CENTRALINO_MAXIMO__API_KEY", fake.api_key)
    monkeypatch.setenv("CENTRALINO_STORAGE__DATABASE", f"sqlite:///{tmp_path}/centralino.db")
    file = tmp_path / "centralino.toml"
    maximo = f'[maximo]\nurl = "{fake.url}"\nfields = {{ siteid = "BARI" }}\n'
    file.write_text(EXAMPLE.read_text(encoding="utf-8") + maximo, encoding="utf-8")
    monkeypatch.setenv("CENTRALINO_CONFIG", str(file))
    return file


@pytest.fixture
def centralino(config: Path) -> Command:
    """Run a command."""

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, words)

    return run


def opened(session: Session, /, notices: Notices) -> Request:
    now = datetime.now(UTC)
    new = NewRequest(
        kind=Kind.PROBLEM, area="use", channel=Channel.EMAIL, subject="Non stampa", received_at=now, actor="system"
    )
    return operations.open_request(session, new, notices, now=now)


async def at_work(settings: Settings, *, opening: bool = False) -> Request | None:
    """What the service does in a round, perhaps after somebody opened a request."""
    database, notices = Database(settings.storage.database, connectors=settings.connectors), Notices(settings.notices)
    try:
        async with in_step(settings, database, notices, None, None) as others:
            request = await database.run(opened, notices) if opening else None
            for other in others:
                await other.work()
            return request
    finally:
        await database.close()


async def test_somebody_connects_maximo_and_finds_out_why_a_change_does_not_arrive(
    centralino: Command, config: Path, fake: FakeMaximo
) -> None:
    checked = await centralino("maximo", "check")
    assert checked.exit_code == 0
    assert f"{fake.url} lets us in as CENTRALINO" in checked.output
    assert "CENTRALINO-{ticket}" in checked.output
    assert "BARI" in checked.output
    assert fake.journal == []
    assert (await centralino("maximo", "status")).exit_code == 0
    fake.moods.refuse_saves = "BMXAA4160E"
    settings = load(config)
    request = await at_work(settings, opening=True)
    assert request is not None
    assert fake.journal == []
    shown = await centralino("maximo", "status")
    assert "│ 1 " in shown.output
    fake.moods.refuse_saves = ""
    assert "1 refused change(s) are tried again" in (await centralino("maximo", "retry", request.ticket or "")).output
    await at_work(settings)
    (record,) = fake.by_reference(f"CENTRALINO-{request.ticket}")
    assert record.values["siteid"] == "BARI"
    assert (await centralino("maximo", "drift")).output == "Everything is the same there.\n"
    fake.move(record.ticketid, "RESOLVED")
    record.values["description"] = "Altro"
    drift = await centralino("maximo", "drift")
    assert drift.exit_code == 1
    assert "RESOLVED" in drift.output
    assert "Altro" in drift.output
    assert (await centralino("maximo", "send", request.ticket or "")).exit_code == 0
    await at_work(settings)
    assert record.values["description"] == "Non stampa"


async def test_a_mistake_is_said_in_words_and_never_with_the_key(
    centralino: Command, fake: FakeMaximo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CENTRALINO_MAXIMO__API_KEY", "chiave-scaduta")
    refused = await centralino("maximo", "check")
    assert refused.exit_code == 1
    assert "look at the key or password" in refused.output
    assert "chiave-scaduta" not in refused.output
    assert "Nothing was refused" in (await centralino("maximo", "retry")).output
    assert "there is no request with the ticket number 99" in (await centralino("maximo", "skip", "99")).output
    await fake.stop()
    assert "does not answer" in (await centralino("maximo", "check")).output
    monkeypatch.delenv("CENTRALINO_MAXIMO__API_KEY")
    assert "api_key is missing" in (await centralino("maximo", "check")).output
    monkeypatch.setenv("CENTRALINO_CONFIG", str(EXAMPLE))
    assert "name no other system" in (await centralino("maximo", "status")).output
    for words in (["retry"], ["retry", "--connector", "webhook-altro"]):
        refused = await centralino("maximo", *words)
        assert refused.exit_code == 1
        assert "the settings name no other ticket system" in refused.output
        assert "they name none" in refused.output


def test_the_maximo_that_is_none_keeps_its_records_in_a_file(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["fake-maximo", "--port", str(port), "--api-key", "k", "--file", str(tmp_path / "maximo.json")]
    url = f"http://127.0.0.1:{port}/maximo/api/os/mxapisr"
    found: list[str] = []
    for round_ in range(2):
        server = subprocess.Popen([sys.executable, "-m", "centralino", *words], stdout=subprocess.PIPE, text=True)
        assert server.stdout
        assert "listens at" in server.stdout.readline()
        try:
            with httpx.Client(headers={"apikey": "k"}, params={"lean": "1"}, trust_env=False) as client:
                assert client.get(url, headers={"apikey": "x"}).status_code == 401
                body = {"description": f"prova {round_}"}
                created = client.post(url, json=body, headers={"properties": "ticketid,status"})
                assert created.status_code == 201
                found.append(created.json()["ticketid"])
                member = client.get(url, params={"lean": "1", "oslc.select": "description"}).json()["member"]
                assert [one["description"] for one in member] == [f"prova {known}" for known in range(round_ + 1)]
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
    assert len(set(found)) == 2
